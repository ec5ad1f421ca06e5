"""The consumer's tables in memory. They refuse what DynamoDB refuses, also where it is strict."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from consumer.repository import (
    Inserted,
    MessageReader,
    MessageRepository,
    Page,
    Row,
    from_item,
    to_item,
)
from tenantry.contract import StoredMessage, utf8_bytes
from tenantry.errors import StoreUnavailableError
from tenantry.limits import (
    BATCH_GET_KEYS,
    DYNAMODB_ITEM_BYTES,
    PARTIQL_BATCH_BYTES,
    PARTIQL_BATCH_STATEMENTS,
)

Key = tuple[str, str]

#: Bytes of items that one Query reads. DynamoDB, "Paginating table query results".
QUERY_BYTES: Final = 1_048_576
#: Text and names of one statement, and the call around it.
_STATEMENT_BYTES: Final = 400
#: Significant digits of a number. DynamoDB, "Supported data types".
_NUMBER_DIGITS: Final = 38


class FakeRepository(MessageRepository, MessageReader):
    """Tables of messages, and the two ports on them.

    A whole call that DynamoDB would refuse (a key that is there twice, more than 4 MiB as sent,
    a number beyond 38 digits) is halved until the culprit is left, as the adapter does, and
    counted. DynamoDB Local itself takes more than 4 MiB, and stores the first of each key before
    it refuses a call for one that is twice: then both are duplicates.

    Faults are set before the call that shall feel them:

    - `down = True`: nobody's message can be stored or read, until it is False again.
    - `fail(times)`: the next calls are unavailable and change nothing.
    - `lose_answers(times)`: the next inserts take effect, and their callers see unavailable.
    - `throttled`: partitions that take nothing now.
    - `poison`: message ids that are refused for ever.
    - `open`: an event; cleared, calls wait before they take effect.

    Attributes:
        calls: Rows of each insert that reached the tables; a whole call that was refused
            counts, and so do its halves.
        refused_calls: Whole calls that were refused: the caller packed them badly.
        reads: Calls of `digests`, `get` and `page`.
    """

    def __init__(self, *table_names: str) -> None:
        self.tables: dict[str, dict[Key, dict[str, Any]]] = {name: {} for name in table_names}
        self.calls: list[int] = []
        self.refused_calls = 0
        self.reads = 0
        self.down = False
        self.throttled: set[str] = set()
        self.poison: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()
        self._failing = 0
        self._losing = 0

    # What a test sets up and looks at

    def create(self, table_name: str) -> None:
        """Make a table."""
        self.tables.setdefault(table_name, {})

    def fail(self, times: int = 1) -> None:
        """The next calls are unavailable."""
        self._failing += times

    def lose_answers(self, times: int = 1) -> None:
        """The next inserts take effect and are called unavailable."""
        self._losing += times

    def stored(self, table_name: str) -> list[StoredMessage]:
        """What a table holds, in the order of its keys."""
        items = self.tables[table_name]
        return [from_item(items[key]) for key in sorted(items)]

    def ids(self, table_name: str) -> list[str]:
        """The ids of what a table holds, in order."""
        return sorted(message_id for _, message_id in self.tables[table_name])

    # The ports

    async def insert(self, table_name: str, rows: Sequence[Row], stored_at: str) -> list[Inserted]:
        if len(rows) > PARTIQL_BATCH_STATEMENTS:
            msg = f"{len(rows)} rows in one call, which takes {PARTIQL_BATCH_STATEMENTS}"
            raise ValueError(msg)
        await self.open.wait()
        self.calls.append(len(rows))
        if self._is_unavailable():
            return [Inserted.UNAVAILABLE] * len(rows)
        items = [to_item(row, stored_at) for row in rows]
        if _is_refused_whole(items):
            self.refused_calls += 1
            if len(rows) == 1:
                return [Inserted.REFUSED]
            middle = len(rows) // 2
            return [
                *await self.insert(table_name, rows[:middle], stored_at),
                *await self.insert(table_name, rows[middle:], stored_at),
            ]
        outcomes = [
            self._one(table_name, row, item) for row, item in zip(rows, items, strict=True)
        ]
        if self._losing:
            self._losing -= 1
            return [Inserted.UNAVAILABLE] * len(rows)
        return outcomes

    async def digests(self, table_name: str, keys: Sequence[Key]) -> Mapping[Key, bytes]:
        if not keys:
            return {}
        table = await self._read(table_name)
        if len(set(keys)) < len(keys) or len(keys) > BATCH_GET_KEYS:
            msg = "the table cannot be read now"  # as DynamoDB's refusal looks to the caller
            raise StoreUnavailableError(msg)
        return {key: table[key]["payload_sha256"]["B"] for key in keys if key in table}

    async def get(self, table_name: str, partition: str, message_id: str) -> StoredMessage | None:
        item = (await self._read(table_name)).get((partition, message_id))
        return None if item is None else from_item(item)

    async def page(
        self, table_name: str, partition: str, *, after: str | None, limit: int
    ) -> Page:
        table = await self._read(table_name)
        keys = sorted(
            key for key in table if key[0] == partition and (after is None or key[1] > after)
        )
        items: list[StoredMessage] = []
        size = 0
        for key in keys:
            # DynamoDB stops where it has read enough, and does not look whether more follow.
            if len(items) == limit or size > QUERY_BYTES:
                break
            size += item_bytes(table[key])
            items.append(from_item(table[key]))
        return Page(items, is_cut=len(items) == limit or size > QUERY_BYTES)

    # Inside

    def _is_unavailable(self) -> bool:
        if self._failing:
            self._failing -= 1
            return True
        return self.down

    def _one(self, table_name: str, row: Row, item: dict[str, Any]) -> Inserted:
        if table_name not in self.tables:
            return Inserted.UNAVAILABLE
        if item_bytes(item) > DYNAMODB_ITEM_BYTES or row.message.message_id in self.poison:
            return Inserted.REFUSED
        if row.partition in self.throttled:
            return Inserted.THROTTLED
        if row.key in self.tables[table_name]:
            return Inserted.DUPLICATE
        self.tables[table_name][row.key] = item
        return Inserted.STORED

    async def _read(self, table_name: str) -> dict[Key, dict[str, Any]]:
        await self.open.wait()
        self.reads += 1
        if self._is_unavailable() or table_name not in self.tables:
            msg = "the table cannot be read now"
            raise StoreUnavailableError(msg)
        return self.tables[table_name]


def _is_refused_whole(items: Sequence[dict[str, Any]]) -> bool:
    keys = {(item["tenant_id"]["S"], item["message_id"]["S"]) for item in items}
    numbers = (value["N"] for item in items for value in item.values() if "N" in value)
    return (
        not items
        or len(keys) < len(items)
        or any(len(number.strip("0")) > _NUMBER_DIGITS for number in numbers)
        or _sent_bytes(items) > PARTIQL_BATCH_BYTES
    )


def _sent_bytes(items: Sequence[dict[str, Any]]) -> int:
    # No character takes more than twelve bytes for four: most calls need no exact count.
    most = sum(3 * utf8_bytes(item["payload"]["S"]) + 2 * _STATEMENT_BYTES for item in items)
    if most <= PARTIQL_BATCH_BYTES:
        return most
    return sum(_STATEMENT_BYTES + len(json.dumps(item, default=_base64)) for item in items)


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def item_bytes(item: Mapping[str, Any]) -> int:
    """What DynamoDB counts of an item: names, and values by their type."""
    size = 0
    for name, typed in item.items():
        ((kind, value),) = typed.items()
        size += len(name)
        if kind == "N":
            size += (len(value.lstrip("-")) + 1) // 2 + 1
        else:
            size += len(value) if kind == "B" else utf8_bytes(value)
    return size
