"""What is committed, and since when: nothing else is built."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.programs import run

#: What somebody put in the place of a commit is not that commit.
_ENV: Final = {"GIT_NO_REPLACE_OBJECTS": "1"}
_PROGRAM: Final = "100755"
_LINK: Final = "120000"
#: More than `git cat-file` says of an object before its bytes.
_HEAD_BYTES: Final = 128


@dataclass(frozen=True, slots=True)
class Change:
    """The commit of the branch that changed something last.

    Attributes:
        commit: Its id, 40 hexadecimal digits.
        number: How many commits of the branch there are up to it, merges as one: later is more.
        time: When it was committed, in seconds since 1970.
    """

    commit: str
    number: int
    time: int

    def version(self, base: str) -> str:
        """By semantic versioning: the later change of a branch is the greater version."""
        return f"{base}-main.{self.number}.g{self.commit[:12]}"


@dataclass(frozen=True, slots=True)
class _Committed:
    path: str
    mode: str
    data: bytes


class Source:
    """A repository, as of one commit.

    Raises:
        DeliveryError: It is none, knows no such commit, or has only a part of its history.
    """

    def __init__(self, root: Path, commit: str = "HEAD") -> None:
        self._root = root
        try:
            self.commit = self._git("rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}")
        except FailedError:
            raise DeliveryError(f"{root} has no commit {commit}") from None
        if self._git("rev-parse", "--is-shallow-repository") == "true":
            raise DeliveryError(
                f"{root} has only a part of its history, from which versions are counted: "
                "`git fetch --unshallow`"
            )

    def changed(self, paths: Sequence[str]) -> Change:
        """What changed any of these paths last.

        Raises:
            DeliveryError: One of them is not there.
        """
        for path in paths:
            try:
                self._git("cat-file", "-e", f"{self.commit}:{path}")
            except FailedError:
                raise DeliveryError(f"{path} is not in commit {self.commit[:12]}") from None
        # Of the branch itself: a merge is one change, of its own time, whatever it brought.
        line = self._git(
            *("rev-list", "-1", "--first-parent", "--timestamp", self.commit, "--", *paths)
        )
        time, commit = line.split()
        number = self._git("rev-list", "--count", "--first-parent", commit)
        return Change(commit, int(number), int(time))

    def uncommitted(self) -> int:
        """How many files differ from what is committed."""
        return len(self._git("status", "--porcelain").splitlines())

    def is_of(self, branch: str) -> bool:
        """Whether a branch has the commit."""
        try:
            self._git("merge-base", "--is-ancestor", self.commit, branch)
        except FailedError:
            return False
        return True

    def read(self, path: str) -> bytes:
        """A file, as it is committed."""
        return run("git", "cat-file", "blob", f"{self.commit}:{path}", folder=self._root, env=_ENV)

    def files(self, folder: str) -> dict[str, bytes]:
        """The files below a folder, by their paths in it; those that Git may run are no others."""
        return {
            found.path: found.data
            for found in self._below(f"{self.commit}:{folder}")
            if found.mode != _LINK
        }

    def extract(self, paths: Sequence[str], folder: Path) -> None:
        """Put files and folders where they can be worked with."""
        for found in self._below(self.commit, *paths):
            place = folder / found.path
            place.parent.mkdir(parents=True, exist_ok=True)
            if found.mode == _LINK:
                place.symlink_to(os.fsdecode(found.data))
            else:
                place.write_bytes(found.data)
                place.chmod(0o755 if found.mode == _PROGRAM else 0o644)

    def _below(self, tree: str, *paths: str) -> list[_Committed]:
        """What Git has, byte by byte: `git archive` makes of it what a user's settings say."""
        words = ("ls-tree", "-r", "-z", "--full-tree", tree, "--", *paths)
        listed = run("git", *words, folder=self._root, env=_ENV)
        named = []
        for line in filter(None, listed.split(b"\0")):
            about, _, path = line.partition(b"\t")
            mode, kind, blob = about.split()
            if kind == b"blob":
                named.append((mode.decode(), blob, os.fsdecode(path)))
        asked = b"".join(blob + b"\n" for _, blob, _ in named)
        said = run("git", "cat-file", "--batch", folder=self._root, env=_ENV, data=asked)
        found, start = [], 0
        for mode_of, _, path_of in named:
            head, _, _ = said[start : start + _HEAD_BYTES].partition(b"\n")
            begin = start + len(head) + 1
            start = begin + int(head.split()[-1])
            found.append(_Committed(path_of, mode_of, said[begin:start]))
            start += 1  # the end of its line
        return found

    def _git(self, *words: str) -> str:
        return run("git", *words, folder=self._root, env=_ENV).decode().strip()
