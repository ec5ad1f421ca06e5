"""A coverage-guided fuzzer for whatever reads what others wrote.

`python tests/fuzz/fuzz_json.py TARGET [libFuzzer's options] FOLDERS`: finds bytes for which a
check of `support/corpus.py` fails, or raises what nobody documented. A find is written to
`-artifact_prefix`, and its status is not 0. What is found belongs into `tests/corpus`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import atheris

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
for name in [name for name in sys.modules if name.partition(".")[0] == "json"]:
    del sys.modules[name]  # to be imported again, below, with what guides the fuzzer

with atheris.instrument_imports(include=["json", "jwt", "support", "tenantry"]):
    import json.decoder
    import json.scanner

    from support.corpus import Verifier, check_envelope, check_json


class Guide(json.JSONDecoder):
    """The standard library's parser in Python.

    Ours is compiled, and shows a fuzzer nothing: this one sees every branch of a JSON text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.parse_string: Any = json.decoder.py_scanstring  # type: ignore[attr-defined]
        self.scan_once: Any = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def see(self, body: bytes) -> None:
        """Read it, for the branches that it takes."""
        with contextlib.suppress(ValueError, RecursionError):  # the checks judge
            self.decode(body.decode())


def main(arguments: list[str]) -> None:
    """Fuzz one target until an option of libFuzzer's ends it."""
    guide = Guide()
    targets: Final[dict[str, Callable[[bytes], str]]] = {
        "json": check_json,
        "envelopes": check_envelope,
        "headers": Verifier().check_header,
    }
    if len(arguments) < 2 or arguments[1] not in targets:
        sys.exit(f"name a target: {', '.join(targets)}")
    check = targets[arguments[1]]

    def target(body: bytes) -> None:
        guide.see(body)
        check(body)

    atheris.Setup([arguments[0], *arguments[2:]], target)
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv)
