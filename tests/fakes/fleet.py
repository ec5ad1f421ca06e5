"""A fleet's repository in memory: `tenantctl.fleet.Fleet` without Git."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from difflib import unified_diff

from tenantctl.fleet import Change
from tenantctl.snapshot import Edit, Snapshot, Validate


class MemoryFleet:
    """One branch, which is never overtaken.

    Attributes:
        head: What it holds.
        log: The message of each commit and the paths that it touched, the newest last.
    """

    def __init__(self, files: dict[str, bytes], may_change: Sequence[str]) -> None:
        self.head = Snapshot(f"{0:040x}", dict(files))
        self.log: list[tuple[str, list[str]]] = []
        self._may_change = tuple(may_change)

    async def snapshot(self) -> Snapshot:
        """As `Fleet.snapshot`."""
        await asyncio.sleep(0)
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
        await asyncio.sleep(0)
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
        self.log.append((message, sorted(changes)))
        commit = f"{len(self.log):040x}"
        self.head = Snapshot(commit, after.files)
        return Change(commit, diff)
