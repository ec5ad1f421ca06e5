"""A fleet's repository in memory: `tenantctl.fleet.Fleet` without Git."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import unified_diff
from typing import Final

from tenantctl.fleet import Change, LogEntry
from tenantctl.snapshot import Edit, Snapshot, Validate

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


class MemoryFleet:
    """One branch, which is never overtaken.

    Attributes:
        head: What it holds.
        commits: The message of each and the paths that it touched, the newest last.
        error: What every call ends with, if it is set.
    """

    def __init__(self, files: dict[str, bytes], may_change: Sequence[str]) -> None:
        self.head = Snapshot(f"{0:040x}", dict(files))
        self.commits: list[tuple[str, list[str]]] = []
        self.error: Exception | None = None
        self._may_change = tuple(may_change)

    async def snapshot(self) -> Snapshot:
        """As `Fleet.snapshot`."""
        await self._ask()
        return self.head

    async def change(
        self,
        edit: Edit,
        message: str,
        *,
        validate: Validate | None = None,
        dry_run: bool = False,
    ) -> Change | None:
        """As `Fleet.change`."""
        await self._ask()
        wanted = edit(self.head)
        self.head.guard(wanted, self._may_change)
        changes = self.head.changes(wanted)
        if not changes:
            return None
        after = self.head.but(changes)
        if validate is not None:
            validate(after)
        diff = "".join(
            line
            for path, data in changes.items()
            for line in unified_diff(
                (self.head.files.get(path) or b"").decode().splitlines(keepends=True),
                (data or b"").decode().splitlines(keepends=True),
                f"a/{path}",
                f"b/{path}",
            )
        )
        if dry_run:
            return Change("", diff)
        self.commits.append((message, sorted(changes)))
        commit = f"{len(self.commits):040x}"
        self.head = Snapshot(commit, after.files)
        return Change(commit, diff)

    async def propose(
        self, edit: Edit, message: str, branch: str, *, validate: Validate | None = None
    ) -> Change | None:
        """As `Fleet.propose`; the branch is kept nowhere."""
        del branch
        made = await self.change(edit, message, validate=validate, dry_run=True)
        return None if made is None else Change(f"{0xB:040x}", made.diff)

    async def log(self, path: str, *, limit: int = 5) -> tuple[LogEntry, ...]:
        """As `Fleet.log`."""
        await self._ask()
        found = [
            LogEntry(f"{number:040x}", _EPOCH, message.partition("\n")[0])
            for number, (message, paths) in enumerate(self.commits, start=1)
            if path in paths
        ]
        return tuple(found[::-1][:limit])

    async def _ask(self) -> None:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
