"""The readers of YAML that make something else of a plain word, each in its own way."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

_Safe: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Yaml11(_Safe):  # type: ignore[misc] # libyaml's, where it is there
    """YAML 1.1, as PyYAML reads it: `yes`, `off`, `0123` and dates are no text."""


class Kubernetes(_Safe):  # type: ignore[misc]
    """As Helm and the API server read: sigs.k8s.io/yaml, which is 1.1 and more numbers.

    Besides 1.1: `y` and `n`; numbers of either version, `0b1`, `0o7` and `1_000` among them.
    """

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - PyYAML's own way


class Core(_Safe):  # type: ignore[misc]
    """The core schema of YAML 1.2: `true`, `null`, `~`, decimal, 0o, 0x, floats."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


READERS: Final[tuple[Any, ...]] = (Yaml11, Kubernetes, Core)

_NULL: Final = r"~|null|Null|NULL|"
_TRUTH: Final = r"true|True|TRUE|false|False|FALSE"
_FLOAT: Final = (
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_INTEGER: Final = r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
_YES: Final = r"y|Y|yes|Yes|YES|n|N|no|No|NO|on|On|ON|off|Off|OFF"


def _resolves(reader: Any, tag: str, pattern: str) -> None:
    reader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(f"^(?:{pattern})$"), None)


for _reader, _truth, _integer in (
    (Core, _TRUTH, _INTEGER),
    (
        Kubernetes,
        f"{_TRUTH}|{_YES}",
        rf"{_INTEGER}|[-+]?0b[01_]+|[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+",
    ),
):
    _resolves(_reader, "null", _NULL)
    _resolves(_reader, "bool", _truth)
    _resolves(_reader, "int", _integer)
    _resolves(_reader, "float", _FLOAT)
for _reader in READERS:
    # What it is does not matter here, only that it is not the text.
    for _tag in ("bool", "int", "float", "timestamp"):
        _reader.add_constructor(
            f"tag:yaml.org,2002:{_tag}", lambda _, node, tag=_tag: (tag, node.value)
        )
