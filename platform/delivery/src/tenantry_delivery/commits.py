"""What is committed, and since when: nothing else is built."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.programs import run


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
            *("log", "-1", "--first-parent", "--format=%H %ct", self.commit, "--", *paths)
        )
        commit, time = line.split()
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
        return run("git", "show", f"{self.commit}:{path}", folder=self._root)

    def files(self, folder: str) -> dict[str, bytes]:
        """The files below a folder, by their paths in it; those that Git may run are no others."""
        data = run("git", "archive", "--format=tar", f"{self.commit}:{folder}", folder=self._root)
        found = {}
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                if file is not None:
                    found[member.name] = file.read()
        return found

    def extract(self, paths: Sequence[str], folder: Path) -> None:
        """Put files and folders where they can be worked with."""
        data = run("git", "archive", "--format=tar", self.commit, "--", *paths, folder=self._root)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(folder, filter="data")

    def _git(self, *words: str) -> str:
        return run("git", *words, folder=self._root).decode().strip()
