"""The fleet's repository: read at one commit, changed by one commit at a time.

A bare clone and Git's own plumbing: there is no work tree that could be dirty, half checked out
or shared by two commands. A change is an edit that is applied to what main holds now, validated,
committed with its explicit paths and pushed. When the push is refused because somebody was
faster, all of that happens again on what main holds then; nothing is rebased.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenantctl.clone import HEAD, Clone, cache_folder
from tenantctl.errors import GitError, InvalidError
from tenantctl.git import (
    LOCAL_SECONDS,
    SILENT_SECONDS,
    TRANSFER_SECONDS,
    Git,
    OvertakenError,
    TransferError,
)
from tenantctl.remote import Remote
from tenantctl.snapshot import Edit, Snapshot, Validate

__all__ = [
    "CHANGE_SECONDS",
    "Change",
    "Edit",
    "Fleet",
    "LogEntry",
    "Remote",
    "Snapshot",
    "Validate",
    "message",
]

#: How long a change may be overtaken, and its server be away, until it is given up.
CHANGE_SECONDS: Final = 180.0
#: The longest wait before the second try, and before any: seconds, of which a part is taken.
_FIRST_WAIT_SECONDS: Final = 0.2
_LONGEST_WAIT_SECONDS: Final = 5.0
_SUBJECT_CHARACTERS: Final = 72
_TRAILER_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Change:
    """A commit that main holds.

    Attributes:
        commit: Its id; empty after a dry run, which makes none.
        diff: What it changes, as `git diff` shows it.
    """

    commit: str
    diff: str


@dataclass(frozen=True, slots=True)
class LogEntry:
    """A commit that touched a file."""

    commit: str
    time: dt.datetime
    subject: str


def message(
    subject: str, *, verb: str, tenant: str | None = None, request_id: str | None = None
) -> str:
    """A commit's message: what was done, and trailers that tools find it by.

    Raises:
        InvalidError: A part is empty, longer than a line, or more than one.
    """
    lines = [_line("subject", subject, _SUBJECT_CHARACTERS), ""]
    trailers = {"Tenant": tenant, "Verb": verb, "Request-Id": request_id}
    for name, value in trailers.items():
        if value is not None:
            lines.append(f"{name}: {_line(name, value, _TRAILER_CHARACTERS)}")
    return "\n".join(lines) + "\n"


def _line(name: str, value: str, longest: int) -> str:
    if not value.strip() or not value.isprintable() or len(value) > longest:
        raise InvalidError(f"{name} of a commit is one line of 1 to {longest} characters")
    return value


def may_change(environment: str) -> tuple[str, ...]:
    """The folders of the fleet that are written for an environment: all else is people's."""
    return (
        f"tenants/{environment}",
        f"releases/{environment}",
        f"facts/{environment}",
        f"clusters/{environment}/addons",
    )


class Fleet:
    """The fleet of a remote.

    Several processes may share a cache folder, and any of them may be killed at any time.
    """

    def __init__(
        self,
        remote: Remote,
        *,
        may_change: Sequence[str],
        cache: Path | None = None,
        change_seconds: float = CHANGE_SECONDS,
        transfer_seconds: float = TRANSFER_SECONDS,
        silent_seconds: int = SILENT_SECONDS,
    ) -> None:
        """What of it is used.

        Args:
            remote: Where it is.
            may_change: The folders that edits may touch.
            cache: Where clones are; the user's cache folder if None.
            change_seconds: Until a change is given up.
            transfer_seconds: Until one fetch or push is.
            silent_seconds: How long a server may say nothing within one.
        """
        self._may_change = tuple(may_change)
        self._change_seconds = change_seconds
        git = Git(
            folder=Path(),
            remote=remote,
            local_seconds=LOCAL_SECONDS,
            transfer_seconds=transfer_seconds,
            silent_seconds=silent_seconds,
        )
        folder = cache_folder(remote.url, remote.branch, cache)
        self._clone = Clone(git, folder, lock_seconds=change_seconds)

    async def snapshot(self) -> Snapshot:
        """What main holds now, in memory.

        Raises:
            GitError: It cannot be brought, or its history was rewritten.
        """
        return await self._clone.snapshot()

    async def accept_rewrite(self, commit: str) -> Snapshot:
        """Go on with a history that lost commits which this machine had seen.

        What was lost stays in the clone, under `refs/tenantry/lost`.

        Raises:
            GitError: Main does not end at this commit, or cannot be brought.
        """
        return await self._clone.snapshot(accepted=commit)

    async def change(
        self,
        edit: Edit,
        message: str,
        *,
        validate: Validate | None = None,
        dry_run: bool = False,
    ) -> Change | None:
        """Have main hold what an edit asks for.

        Args:
            edit: Is called again on what main holds then, as often as somebody is faster.
            message: Of the commit; see `message`.
            validate: Sees what comes out; what it raises ends the change.
            dry_run: Only say what would be changed.

        Returns:
            None if main holds all of it already.

        Raises:
            InvalidError: The edit touches what it may not.
            GitError: Main cannot be read or written; where that is said, it is not known whether
                it was. The same change again goes on in each case.
        """
        give_up = time.monotonic() + self._change_seconds
        sent: list[Change] = []
        tries = 0
        snapshot = await self._clone.snapshot()
        while True:
            for change in sent:
                if await self._clone.reaches(change.commit, snapshot.commit):
                    return change
            made = await self._make(snapshot, edit, message, validate, dry_run=dry_run)
            if made is None or dry_run:
                return made
            # Also of one that was overtaken: when an answer is lost on the way, curl asks again by
            # itself, and the server says that main was changed, which was by the first time.
            sent.append(made)
            try:
                await self._clone.git.push(made.commit)
            except OvertakenError:
                trouble = None
            except TransferError as error:
                trouble = error
            else:
                # It is on main: a busy cache folder makes that no failure.
                with contextlib.suppress(GitError):
                    await self._clone.saw(made.commit)
                return made
            tries += 1
            snapshot = await self._look_again(give_up, tries, sent, trouble)

    async def propose(
        self, edit: Edit, message: str, branch: str, *, validate: Validate | None = None
    ) -> Change | None:
        """Put what an edit asks for on a branch of its own, for others to look at.

        Returns:
            None if main holds all of it already.

        Raises:
            InvalidError: The edit touches what it may not.
            GitError: Main cannot be read, or the branch not be written.
        """
        snapshot = await self._clone.snapshot()
        made = await self._make(snapshot, edit, message, validate, dry_run=False)
        if made is not None:
            await self._clone.git.push(made.commit, proposal=branch)
        return made

    async def log(self, path: str, *, limit: int = 5) -> tuple[LogEntry, ...]:
        """The last commits that touched a file, as of the last snapshot; the newest first."""
        out = await self._clone.git.run(
            *("log", f"--max-count={limit}", "--format=%H%x00%cI%x00%s", HEAD, "--", path)
        )
        entries = (line.split("\0", 2) for line in out.decode(errors="replace").split("\n")[:-1])
        return tuple(
            LogEntry(commit, dt.datetime.fromisoformat(time_), subject)
            for commit, time_, subject in entries
        )

    async def _look_again(
        self, give_up: float, tries: int, sent: list[Change], trouble: TransferError | None
    ) -> Snapshot:
        """What main holds by now, after a wait that no two writers share."""
        while True:
            longest = min(_LONGEST_WAIT_SECONDS, _FIRST_WAIT_SECONDS * 2 ** min(tries, 10))
            wait = random.uniform(0, longest)  # noqa: S311 - not a secret
            if time.monotonic() + wait > give_up:
                if trouble is None:
                    raise GitError(
                        f"others changed {self._clone.git.remote.branch} {tries} times within "
                        f"{self._change_seconds:g} s, each time before this change: nothing was "
                        f"changed by it"
                    )
                raise GitError(
                    f"{trouble}. Whether {self._clone.git.remote.branch} took "
                    f"{sent[-1].commit} is not known: the same command finds out"
                ) from trouble
            await asyncio.sleep(wait)
            try:
                return await self._clone.snapshot()
            except TransferError as error:
                tries += 1
                trouble = error

    async def _make(
        self,
        base: Snapshot,
        edit: Edit,
        message: str,
        validate: Validate | None,
        *,
        dry_run: bool,
    ) -> Change | None:
        """The edit as a commit on a snapshot, which nobody has seen yet."""
        wanted = edit(base)
        base.guard(wanted, self._may_change)
        changes = base.changes(wanted)
        if not changes:
            return None
        if validate is not None:
            validate(base.but(changes))
        git = self._clone.git
        tree = await self._tree(git, base.commit, changes)
        diff = await git.run("diff-tree", "-r", "-p", "--no-renames", base.commit, tree)
        if dry_run:
            return Change("", diff.decode(errors="replace"))
        commit = await git.run(
            *("commit-tree", tree, "-p", base.commit, "-F", "-"),
            stdin=message.encode(),
            more=git.remote.person(),
        )
        return Change(commit.decode().strip(), diff.decode(errors="replace"))

    async def _tree(self, git: Git, base: str, changes: Mapping[str, bytes | None]) -> str:
        """The tree of a commit with changes, and with nothing else.

        Raises:
            GitError: Something else would be changed.
        """
        entries = []
        for path, data in changes.items():
            if data is None:
                entries.append(f"0 {'0' * len(base)}\t{path}\0")
            else:
                name = await git.run("hash-object", "-w", "--stdin", stdin=data)
                entries.append(f"100644 {name.decode().strip()}\t{path}\0")
        with self._clone.work() as folder:
            index = {"GIT_INDEX_FILE": str(folder / "index")}
            await git.run("read-tree", base, more=index)
            await git.run(
                *("update-index", "-z", "--index-info"),
                stdin="".join(entries).encode(),
                more=index,
            )
            tree = (await git.run("write-tree", more=index)).decode().strip()
        touched = await git.run("diff-tree", "-r", "-z", "--no-renames", "--name-only", base, tree)
        others = set(touched.decode(errors="replace").split("\0")) - {""} ^ changes.keys()
        if others:
            raise GitError(f"the commit would touch {min(others)}, which the edit does not say")
        return tree
