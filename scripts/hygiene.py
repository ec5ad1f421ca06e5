"""Looks for what must not be committed, in every file that Git tracks or would add.

Hosts of package registries (each user has a configuration of their own), lock files that record
them, paths of somebody's machine, private keys and AWS access keys. What is looked for is put
together from parts, so that this file passes its own check.

Exit status: 0 nothing found; 1 with a line for each place.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).resolve().parent.parent

#: Lock files of package managers that write where each package was found.
LOCK_FILES: Final = frozenset({"uv.lock", "poetry.lock", "pdm.lock", "package-lock.json"})


def _any(*alternatives: tuple[str, ...]) -> str:
    """A pattern for any of the texts, each given in parts."""
    return "|".join(re.escape("".join(parts)) for parts in alternatives)


_HOSTS: Final = _any(
    ("pypi", ".org"),
    ("python", "hosted.org"),
    ("npmjs", ".org"),
    ("npmjs", ".com"),
    ("yarnpkg", ".com"),
    ("proxy.", "golang.org"),
    ("sum.", "golang.org"),
    ("goproxy", ".io"),
    ("repo.", "maven.apache.org"),
    ("repo1.", "maven.org"),
    ("crates", ".io"),
    ("rubygems", ".org"),
    ("deb.", "debian.org"),
)

PATTERNS: Final = {
    "the host of a package registry": re.compile(_HOSTS, re.IGNORECASE),
    "where packages come from": re.compile(
        _any(("--index", "-url"), ("--extra-index", "-url"), ("GO", "PROXY="))
    ),
    "a path of somebody's machine": re.compile(r"(?<![\w.}~-])/(?:work|root|(?:home|Users)/\w+)/"),
    "a private key": re.compile("-----" + "BEGIN [A-Z ]*" + "PRIVATE KEY"),
    "an AWS access key": re.compile(r"\b(?:AKIA|ASIA)" + r"[0-9A-Z]{16}\b"),
}


def main() -> int:
    """Print each place where something was found."""
    found = [place for name in sorted(_names()) for place in places(ROOT / name, name)]
    for place in found:
        print(place, file=sys.stderr)
    return 1 if found else 0


def places(path: Path, name: str) -> Iterator[str]:
    """What one file holds that it must not, as `name:line: what`."""
    if path.name in LOCK_FILES:
        yield f"{name}: a lock file that records the addresses of a registry"
    try:
        lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    except (FileNotFoundError, IsADirectoryError):
        return  # removed, and the removal not committed yet; or a submodule
    for number, line in enumerate(lines, 1):
        for what, pattern in PATTERNS.items():
            if pattern.search(line):
                yield f"{name}:{number}: {what}"


def _names() -> list[str]:
    """What Git tracks or would add."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if name]


if __name__ == "__main__":
    sys.exit(main())
