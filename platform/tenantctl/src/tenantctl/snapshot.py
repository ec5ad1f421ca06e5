"""The fleet at one commit, in memory, and what may be changed of it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Final, Self

from tenantctl.errors import InvalidError

_PATH_CHARACTERS: Final = 400


@dataclass(frozen=True)
class Snapshot:
    """The fleet at one commit, or what an edit would make of it.

    Attributes:
        commit: The commit; of an edited one, the commit that it was made from.
        files: Every regular file, by path.
        irregular: What is at a path and is no regular file (`symbolic link`, …).
        before: What was edited; None of a commit's own.
    """

    commit: str
    files: Mapping[str, bytes]
    irregular: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    before: Snapshot | None = None

    @cached_property
    def _sorted(self) -> list[str]:
        return sorted((*self.files, *self.irregular))

    def read(self, path: str) -> bytes | None:
        """What a file holds; None if there is none.

        Raises:
            InvalidError: There is something, and it is no file.
        """
        if (what := self.irregular.get(path)) is not None:
            raise InvalidError(f"{path} is a {what}, not a file")
        return self.files.get(path)

    def paths(self, under: str) -> tuple[str, ...]:
        """Everything in a folder and its folders, in order."""
        folder = f"{under.rstrip('/')}/"
        first = bisect_left(self._sorted, folder)
        # "0" comes right after "/".
        last = bisect_left(self._sorted, f"{folder[:-1]}0")
        return tuple(self._sorted[first:last])

    def changes(self, wanted: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        """What of an edit is not so already, in order of the paths."""
        return {
            path: data for path, data in sorted(wanted.items()) if self.files.get(path) != data
        }

    def but(self, changes: Mapping[str, bytes | None]) -> Self:
        """What the changes make of it."""
        files = {path: data for path, data in self.files.items() if path not in changes}
        files |= {path: data for path, data in changes.items() if data is not None}
        return replace(self, files=files, before=self)

    @property
    def changed(self) -> frozenset[str]:
        """The paths that an edit changed; none of a commit's own."""
        if self.before is None:
            return frozenset()
        was = self.before.files
        return frozenset(
            path
            for path in was.keys() | self.files.keys()
            if was.get(path) != self.files.get(path)
        )

    def guard(self, paths: Iterable[str], prefixes: Iterable[str]) -> None:
        """Refuse paths that an edit may not touch.

        Raises:
            InvalidError: One is not under a prefix, is no plain path, or crosses what is there.
        """
        allowed = tuple(f"{prefix.rstrip('/')}/" for prefix in prefixes)
        for path in paths:
            _check_path(path)
            if not path.startswith(allowed):
                raise InvalidError(
                    f"{path} may not be changed: only what is under {', '.join(allowed)}"
                )
            folders = path.split("/")[:-1]
            for end in range(1, len(folders) + 1):
                folder = "/".join(folders[:end])
                if folder in self.files:
                    raise InvalidError(f"{path}: {folder} is a file")
                if folder in self.irregular:
                    raise InvalidError(f"{path}: {folder} is a {self.irregular[folder]}")
            if path in self.irregular:
                raise InvalidError(f"{path} is a {self.irregular[path]}")
            if self.paths(path):
                raise InvalidError(f"{path} is a folder")


#: Paths and what they are to hold (None: nothing); nothing to do is an empty mapping.
Edit = Callable[[Snapshot], Mapping[str, bytes | None]]
#: Looks at what an edit makes of the fleet; raises ControlError.
Validate = Callable[[Snapshot], None]


def _check_path(path: str) -> None:
    parts = path.split("/")
    if (
        not path
        or len(path) > _PATH_CHARACTERS
        or not path.isascii()
        or not path.isprintable()
        or "\\" in path
        or any(part in {"", ".", ".."} or part.lower() == ".git" for part in parts)
    ):
        raise InvalidError(f"{path[:100]!r} is no path in the fleet")
