"""A tenant's items read: in the order of their ids, over all shards, consistently."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from tenantctl.awsfailures import AWS_ERRORS, PASSING, failure
from tenantctl.items import Digest, Digester, Item, has_same_content, sort_key
from tenantctl.writes import TRIES, Sleep, back_off
from tenantry.contract import partitions
from tenantry.outcomes import outcome_of

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Compared:
    """Two tables' items of a tenant.

    Attributes:
        equal: Keys under which both hold the same message.
        missing: Items of the first that the second lacks.
        conflicts: Keys under which the second holds something else.
        more: Items of the second alone: what came since.
    """

    equal: int = 0
    missing: int = 0
    conflicts: int = 0
    more: int = 0


class TableReads:
    """What reads tables, and changes nothing."""

    def __init__(
        self,
        client: DynamoDBClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep

    async def items(self, table: str, tenant_id: str, shards: int) -> AsyncGenerator[Item]:
        """A tenant's items in the order of their ids, over all shards, read consistently.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies.
        """
        streams = [self._partition(table, key) for key in partitions(tenant_id, shards)]
        if len(streams) == 1:
            async for item in streams[0]:
                yield item
            return
        heads: list[tuple[bytes, int, Item]] = []
        for n, stream in enumerate(streams):
            if (first := await _next(stream)) is not None:
                heapq.heappush(heads, (sort_key(first), n, first))
        while heads:
            _, n, item = heads[0]
            yield item
            following = await _next(streams[n])
            if following is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (sort_key(following), n, following))

    async def _partition(self, table: str, key: str) -> AsyncGenerator[Item]:
        start: dict[str, Any] = {}
        while True:
            request: dict[str, Any] = {
                "TableName": table,
                "KeyConditionExpression": "tenant_id = :partition",
                "ExpressionAttributeValues": {":partition": {"S": key}},
                "ConsistentRead": True,
                **start,
            }
            answer = await self.ask("Query", table, lambda: self._client.query(**request))  # noqa: B023 - awaited here
            for item in answer["Items"]:
                yield item
            if "LastEvaluatedKey" not in answer:
                return
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def count_and_digest(self, table: str, tenant_id: str, shards: int) -> Digest:
        """How many items a tenant has, and a digest over every attribute as stored.

        Equal for equal items, also with other shards.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies.
        """
        digester = Digester(tenant_id)
        async for item in self.items(table, tenant_id, shards):
            digester.add(item)
        return digester.digest()

    async def compare(
        self, old: str, new: str, tenant_id: str, shards: int, *, new_shards: int | None = None
    ) -> Compared:
        """Whether `new` holds what `old` does: `missing` and `conflicts` are 0.

        Unlike two digests it also holds while messages go on being stored in `new`, and where a
        message was delivered to both.

        Raises:
            UnavailableError: A table is not there, does not answer, or denies.
        """
        found: Counter[str] = Counter()
        async for first, second in self.pairs(old, new, tenant_id, shards, new_shards):
            if first is None:
                found["more"] += 1
            elif second is None:
                found["missing"] += 1
            else:
                found["equal" if has_same_content(first, second) else "conflicts"] += 1
        return Compared(**found)

    async def is_empty(self, table: str) -> bool:
        """Whether a table holds nothing of anybody.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies.
        """
        async for _ in self._scan(table, Limit=1):
            return False
        return True

    async def foreign_items(self, table: str, known: Mapping[str, int]) -> dict[str, int]:
        """Items that are none of the known tenants': how many there are by partition.

        Args:
            table: All of it is read.
            known: The tenants that live there, and their shards.

        Raises:
            UnavailableError: The table is not there, does not answer, or denies.
        """
        ours = {key for tenant, shards in known.items() for key in partitions(tenant, shards)}
        found: Counter[str] = Counter()
        async for item in self._scan(table, ProjectionExpression="tenant_id"):
            if (key := item["tenant_id"]["S"]) not in ours:
                found[key] += 1
        return dict(found)

    async def _scan(self, table: str, **request: Any) -> AsyncGenerator[Item]:
        request |= {"TableName": table, "ConsistentRead": True}
        while True:
            answer = await self.ask("Scan", table, lambda: self._client.scan(**request))
            for item in answer["Items"]:
                yield item
            if "LastEvaluatedKey" not in answer:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    async def pairs(
        self, old: str, new: str, tenant_id: str, shards: int, new_shards: int | None
    ) -> AsyncGenerator[tuple[Item | None, Item | None]]:
        """Both tables' items side by side, by their ids."""
        async with (
            aclosing(self.items(old, tenant_id, shards)) as firsts,
            aclosing(self.items(new, tenant_id, new_shards or shards)) as seconds,
        ):
            first, second = await _next(firsts), await _next(seconds)
            while first is not None or second is not None:
                is_first = second is None or (
                    first is not None and sort_key(first) <= sort_key(second)
                )
                is_second = first is None or (
                    second is not None and sort_key(second) <= sort_key(first)
                )
                yield first if is_first else None, second if is_second else None
                if is_first:
                    first = await _next(firsts)
                if is_second:
                    second = await _next(seconds)

    async def ask(
        self, operation: str, table: str, ask: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        """A call that changes nothing, again while what fails may pass."""
        for tries in range(1, TRIES + 1):
            try:
                return await ask()
            except AWS_ERRORS as error:
                if tries == TRIES or outcome_of(error) not in PASSING:
                    raise failure(error, operation, f"table {table}") from error
            await back_off(tries, self._sleep)
        raise AssertionError


async def _next(items: AsyncGenerator[Item]) -> Item | None:
    """The next item; None at the end."""
    async for item in items:
        return item
    return None
