"""Control groups: one for all that kubelets make, below it the nodes', below them the pods'."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

#: In each hierarchy.
NAME: Final = "tenantry-e2e"
_ROOT: Final = Path("/sys/fs/cgroup")
#: Version 1 gives a new group none of them, and nothing runs in it then.
_INHERITED: Final = ("cpuset.cpus", "cpuset.mems")


def make(node: str) -> None:
    """Make a node's, empty, and what it is in."""
    for hierarchy in _hierarchies():
        for place in (hierarchy / NAME, hierarchy / NAME / node):
            place.mkdir(exist_ok=True)
            for name in _INHERITED:
                if (place / name).exists() and not (place / name).read_text("ascii").strip():
                    (place / name).write_text((place.parent / name).read_text("ascii"), "ascii")
    if (_ROOT / "cgroup.controllers").exists():
        for place in (_ROOT, _ROOT / NAME, _ROOT / NAME / node):
            (place / "cgroup.subtree_control").write_text("+cpu +cpuset +memory +pids", "ascii")


def is_gone() -> bool:
    """Whether it and all below it could be removed: no process is in them."""
    places = [hierarchy / NAME for hierarchy in _hierarchies()]
    for top in places:
        for place, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(place).rmdir()
    return not any(place.exists() for place in places)


def _hierarchies() -> list[Path]:
    """Of version 2 there is one; names beside the real ones are links to them."""
    if (_ROOT / "cgroup.controllers").exists():
        return [_ROOT]
    return [path for path in sorted(_ROOT.iterdir()) if path.is_dir() and not path.is_symlink()]
