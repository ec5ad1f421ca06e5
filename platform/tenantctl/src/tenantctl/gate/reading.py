"""A fleet in a folder, as `check` reads it."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from tenantctl.snapshot import Snapshot


def read_folder(folder: Path) -> Snapshot:
    """Every file of a folder, but for Git's own; it is of no commit."""
    files: dict[str, bytes] = {}
    irregular: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name.partition("/")[0] == ".git":
            continue
        if path.is_symlink():
            irregular[name] = "symbolic link"
        elif path.is_file():
            files[name] = path.read_bytes()
    return Snapshot("", MappingProxyType(files), MappingProxyType(irregular))
