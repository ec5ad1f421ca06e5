"""Tables, as the verbs use them: a tenant's items read, copied, compared and deleted.

Everything here can be killed anywhere and done again: a copy only inserts, and what is deleted
was read, and where it moved was found in the other table first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog

from tenantctl.awsfailures import AWS_ERRORS, ResourceMissingError, failure
from tenantctl.errors import UnavailableError
from tenantctl.items import (
    Digest,
    Item,
    first_of,
    has_same_content,
    is_line_of,
    item_units,
    key_of,
    relocated,
    sort_key,
    sort_key_of,
)
from tenantctl.reads import Compared, TableReads
from tenantctl.writes import (
    TRIES,
    Deleter,
    Deletion,
    Guard,
    Inserted,
    Inserter,
    Pace,
    back_off,
    replace_item,
)
from tenantry.limits import PARTIQL_BATCH_STATEMENTS

__all__ = ["Compared", "Copied", "Deleted", "Digest", "Item", "Tables"]

log = structlog.get_logger()

#: How long a table may take until it says that its protection changed, in seconds.
_PROTECT_SECONDS: Final = 60.0
_PROTECT_POLL_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Copied:
    """One pass of a copy.

    Attributes:
        read: Items of the source.
        added: Inserted into the target. A pass that adds nothing found all of them there.
        conflicts: Keys under which the target holds something else, which stays.
        settled: Keys that a client used twice, of which what was stored first stays.
        refused: Items that the target will never take.
    """

    read: int = 0
    added: int = 0
    conflicts: int = 0
    settled: int = 0
    refused: int = 0


@dataclass(frozen=True, slots=True)
class Deleted:
    """One pass of a deletion.

    Attributes:
        deleted: Items that are gone.
        missing: Items that stay, since the other table (or the export) lacks them.
        conflicts: Items that stay, since the other holds something else there.
    """

    deleted: int = 0
    missing: int = 0
    conflicts: int = 0


class Tables(TableReads):
    """Every table of messages that the credentials reach."""

    async def copy(
        self,
        source: str,
        target: str,
        tenant_id: str,
        shards: int,
        *,
        rate: float,
        target_shards: int | None = None,
    ) -> Copied:
        """One pass: insert what the target lacks. What it holds is compared, and stays.

        Args:
            source: The table that is left.
            target: The table that is reached.
            tenant_id: Whose items.
            shards: In the source.
            rate: Write units a second.
            target_shards: In the target; None: as many.

        Raises:
            UnavailableError: A table is not there, does not answer, or denies; done again, it
                goes on.
        """
        inserter = Inserter(self._client, target, self._sleep)
        pace = self._pace(rate)
        found: Counter[str] = Counter()
        hand: list[Item] = []

        async def flush() -> None:
            for batch in inserter.batches(hand):
                await pace.take(sum(map(item_units, batch)))
                found.update(await self._insert(inserter, target, batch))
            hand.clear()

        async for old, new in self.pairs(source, target, tenant_id, shards, target_shards):
            if old is None:
                continue
            found["read"] += 1
            if new is None:
                hand.append(relocated(old, tenant_id, target_shards or shards))
                if len(hand) == PARTIQL_BATCH_STATEMENTS:
                    await flush()
            elif not has_same_content(old, new):
                moved = relocated(old, tenant_id, target_shards or shards)
                found[await self._settle(target, moved, new)] += 1
        await flush()
        return Copied(**found)

    async def _settle(
        self, target: str, moved: Item, there: Item
    ) -> Literal["settled", "conflicts"]:
        """Have what was stored first in the target, too, of a key that was used twice."""
        first = first_of(moved, there)
        if first is None:
            log.warning("item.conflicts", table=target, message_id=moved["message_id"]["S"])
            return "conflicts"
        log.warning("item.settled", table=target, message_id=moved["message_id"]["S"])
        if first is moved:
            await replace_item(self._client, target, there, moved, self._sleep)
        return "settled"

    async def _insert(self, inserter: Inserter, target: str, batch: list[Item]) -> dict[str, int]:
        outcomes = await inserter.insert(batch)
        by: dict[Inserted, list[Item]] = {outcome: [] for outcome in Inserted}
        for item, outcome in zip(batch, outcomes, strict=True):
            by[outcome].append(item)
        # Somebody was faster than this pass: a consumer, another copy, or a try of this call
        # whose answer was lost.
        held = await self._get(target, by[Inserted.DUPLICATE])
        found = Counter(added=len(by[Inserted.ADDED]), refused=len(by[Inserted.REFUSED]))
        for item in by[Inserted.DUPLICATE]:
            there = held.get(sort_key(item))
            if there is None or dict(there) == dict(item):
                # To the last attribute: it is this copy's own. Gone again: another pass is due.
                found["added"] += 1
            elif not has_same_content(item, there):
                found[await self._settle(target, item, there)] += 1
        for item in by[Inserted.REFUSED]:
            log.error("item.refused", table=target, message_id=item["message_id"]["S"])
        return found

    async def _get(self, table: str, items: list[Item]) -> dict[bytes, Item]:
        found: dict[bytes, Item] = {}
        pending: list[Any] = [key_of(item) for item in items]
        tries = 0
        while pending:
            request: dict[str, Any] = {table: {"Keys": pending, "ConsistentRead": True}}
            answer = await self.ask(
                "BatchGetItem",
                table,
                lambda: self._client.batch_get_item(RequestItems=request),  # noqa: B023 - awaited here
            )
            for item in answer.get("Responses", {}).get(table, []):
                found[sort_key(item)] = item
            unread: Any = answer.get("UnprocessedKeys", {})
            left = unread.get(table, {}).get("Keys", [])
            tries = tries + 1 if len(left) == len(pending) else 0
            if tries == TRIES:
                raise UnavailableError(f"table {table}: BatchGetItem is throttled")
            pending = list(left)
            if pending:
                await back_off(tries, self._sleep)
        return found

    async def delete_exported(
        self,
        table: str,
        tenant_id: str,
        shards: int,
        lines: AsyncIterator[bytes],
        *,
        rate: float,
        guard: Guard,
    ) -> Deleted:
        """Delete the items of a tenant that are lines of an export, and nothing else.

        `guard` is asked before each hand.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies; done again, it
                goes on.
        """
        deletion = Deletion(Deleter(self._client, table, self._sleep), self._pace(rate), guard)
        found: Counter[str] = Counter()
        async for item, is_exported in self._beside(table, tenant_id, shards, lines):
            if is_exported:
                await deletion.add(item)
            else:
                found["missing" if is_exported is None else "conflicts"] += 1
        return Deleted(await deletion.end(), **found)

    async def count_unexported(
        self, table: str, tenant_id: str, shards: int, lines: AsyncIterator[bytes]
    ) -> int:
        """How many items of a tenant are no lines of an export.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies.
        """
        beside = self._beside(table, tenant_id, shards, lines)
        return sum([1 async for _, is_exported in beside if not is_exported])

    async def _beside(
        self, table: str, tenant_id: str, shards: int, lines: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[Item, bool | None]]:
        """Each item, and whether the export has it just so; None: it has none of this id."""
        line = await anext(lines, None)
        async for item in self.items(table, tenant_id, shards):
            key = sort_key(item)
            while line is not None and sort_key_of(line) < key:
                line = await anext(lines, None)
            if line is None or sort_key_of(line) != key:
                yield item, None
            else:
                yield item, is_line_of(line, item)

    async def delete_verified(
        self,
        old: str,
        new: str,
        tenant_id: str,
        shards: int,
        *,
        rate: float,
        guard: Guard,
        new_shards: int | None = None,
    ) -> Deleted:
        """Delete from `old` what `new` holds with the same content, and nothing else.

        Of a key that was used twice also what was stored second. `guard` is asked before each
        hand.

        Raises:
            UnavailableError: A table is not there, does not answer, or denies; done again, it
                goes on.
        """
        deletion = Deletion(Deleter(self._client, old, self._sleep), self._pace(rate), guard)
        missing = conflicts = 0
        async for first, second in self.pairs(old, new, tenant_id, shards, new_shards):
            if first is None:
                continue
            if second is None:
                missing += 1
            elif has_same_content(first, second) or first_of(first, second) is second:
                await deletion.add(first)
            else:
                conflicts += 1
        return Deleted(await deletion.end(), missing, conflicts)

    # Tables themselves

    async def exists(self, table: str) -> bool:
        """Whether the table is there, or still being deleted.

        Raises:
            UnavailableError: DynamoDB does not answer, or denies.
        """
        try:
            await self._describe(table)
        except ResourceMissingError:
            return False
        return True

    async def protect(self, table: str, *, on: bool) -> None:
        """Put deletion protection on the table, or take it off, and see that it is so.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies, or is being
                changed by somebody else for too long.
        """
        ends_at = self._clock() + _PROTECT_SECONDS
        has_asked = False
        while True:
            described = await self._describe(table)
            if bool(described.get("DeletionProtectionEnabled")) is on:
                return
            if self._clock() >= ends_at:
                raise UnavailableError(f"table {table}: its deletion protection does not change")
            if not has_asked:
                has_asked = await self._protect(table, on=on)
            await self._sleep(_PROTECT_POLL_SECONDS)

    async def _protect(self, table: str, *, on: bool) -> bool:
        try:
            await self._client.update_table(TableName=table, DeletionProtectionEnabled=on)
        except self._client.exceptions.ResourceInUseException:
            return False  # it is being changed: ask again
        except AWS_ERRORS as error:
            raise failure(error, "UpdateTable", f"table {table}") from error
        return True

    async def _describe(self, table: str) -> Mapping[str, Any]:
        answer = await self.ask(
            "DescribeTable", table, lambda: self._client.describe_table(TableName=table)
        )
        return answer["Table"]

    def _pace(self, rate: float) -> Pace:
        return Pace(rate, clock=self._clock, sleep=self._sleep)
