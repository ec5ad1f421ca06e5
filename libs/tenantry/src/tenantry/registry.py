"""Where a tenant lives: the registry's items, and a cache that survives its outages.

`tenantctl` alone writes; services read. An item that cannot be read right now serves from the
cache for `max_age_seconds`, and not a second longer: a producer that was cut off must not go
on sending to a queue that a move has emptied.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol, get_args

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from tenantry.errors import RegistryUnavailableError
from tenantry.limits import DEFAULT_MAX_MESSAGE_BYTES
from tenantry.outcomes import outcome_of
from tenantry.tenant_id import TenantId, parse_tenant_id

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = structlog.get_logger()

Tier = Literal["basic", "advanced", "premium"]
Status = Literal["active", "suspended", "moving", "draining", "offboarded"]

#: Write units a second that each producer process lets through, by tier.
TIER_RATES: Final[dict[Tier, int]] = {"basic": 50, "advanced": 200, "premium": 1_000}

#: How long an answer is used without asking again, in seconds, and by how much that varies.
TTL_SECONDS: Final = 30.0
JITTER: Final = 0.2
#: How long "no such tenant" is believed, in seconds: onboarding must not wait for it.
UNKNOWN_TTL_SECONDS: Final = 5.0
#: How long to leave a registry alone that failed, in seconds.
RETRY_SECONDS: Final = 1.0
#: How long to wait for one that failed, where a last good value can serve, in seconds.
PATIENCE_SECONDS: Final = 0.25
CACHE_ENTRIES: Final = 50_000
#: How long one look-up may take, its retries included, in seconds: less than a request has.
LOOKUP_SECONDS: Final = 4.0


@dataclass(frozen=True, slots=True)
class Place:
    """A queue and the table behind it."""

    queue_url: str
    table_name: str


@dataclass(frozen=True, slots=True)
class Left:
    """A pool that a tenant has left, and when, in epoch seconds.

    What was sent there before may wait on its queue for as long as that keeps messages.
    """

    pool: str
    at: int


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a tenant lives. Decided on the server; a client never chooses it.

    Attributes:
        rate: Write units a second in each producer process; the burst is twice that.
        max_message_bytes: Of one message with its attributes: the queue's own maximum.
        shards: Partitions of the tenant in its table; changed by a move only.
        generation: Counts the changes; every write is conditional on it.
        previous: While moving, the place that is left.
        until: Of an offboarded tenant: when its id may be given again, in epoch seconds.
        changed_at: When the item was last written, in epoch seconds; None: not known.
        registered_at: When the tenant came, in epoch seconds, which tells the lives of one id
            apart; None: not known.
        left: Pools that it left lately. Services do not use it.
    """

    tenant_id: TenantId
    tier: Tier
    queue_url: str
    table_name: str
    pool: str | None = None
    status: Status = "active"
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    shards: int = 1
    rate: int = TIER_RATES["basic"]
    generation: int = 1
    previous: Place | None = None
    until: int | None = None
    changed_at: int | None = None
    registered_at: int | None = None
    left: tuple[Left, ...] = ()

    @property
    def message_group_id(self) -> str | None:
        """The tenant on a pool's queue, which makes a standard queue a fair one."""
        return self.tenant_id if self.tier == "basic" else None


class PlacementReader(Protocol):
    """Looks placements up."""

    async def get(self, tenant_id: TenantId) -> Placement | None:
        """The tenant's placement as it stands now; None if there is none.

        Raises:
            RegistryUnavailableError: It cannot be learnt now.
        """
        ...


class DynamoRegistry:
    """The table `<environment>-tenants`. `count` is told the outcome of each look-up."""

    def __init__(
        self,
        client: DynamoDBClient,
        table_name: str,
        *,
        count: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._table_name = table_name
        self._count = count

    async def get(self, tenant_id: TenantId) -> Placement | None:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                answer = await self._client.get_item(
                    TableName=self._table_name,
                    Key={"tenant_id": {"S": tenant_id}},
                    ConsistentRead=True,
                )
        except (BotoCoreError, ClientError, TimeoutError) as error:
            self._count(outcome_of(error))
            msg = "the placement of the tenant cannot be read"
            raise RegistryUnavailableError(msg) from error
        item = answer.get("Item")
        try:
            placement = from_item(item) if item else None
        except (KeyError, ValueError) as error:
            self._count("misunderstood")
            # As good as unreadable: nobody may guess where a tenant lives.
            log.error("registry.item_refused", tenant_id=tenant_id, error=repr(error))  # noqa: TRY400 - the item is named, the traceback says no more
            msg = "the placement of the tenant is not understood"
            raise RegistryUnavailableError(msg, of_one_tenant=True) from error
        self._count("ok")
        return placement

    async def put(self, placement: Placement, *, expected_generation: int | None) -> bool:
        """Write, if the item still has the generation expected (None: if there is none).

        Returns:
            False if somebody else wrote meanwhile, and nothing was changed.

        Raises:
            BotoCoreError, ClientError: It is not known whether it was written.
        """
        condition: dict[str, Any] = (
            {"ConditionExpression": "attribute_not_exists(tenant_id)"}
            if expected_generation is None
            else {
                "ConditionExpression": "generation = :expected",
                "ExpressionAttributeValues": {":expected": {"N": str(expected_generation)}},
            }
        )
        try:
            await self._client.put_item(
                TableName=self._table_name, Item=to_item(placement), **condition
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def to_item(placement: Placement) -> dict[str, Any]:
    """The registry's item of a placement."""
    item: dict[str, Any] = {
        "tenant_id": {"S": placement.tenant_id},
        "tier": {"S": placement.tier},
        "status": {"S": placement.status},
        "queue_url": {"S": placement.queue_url},
        "table_name": {"S": placement.table_name},
        "max_message_bytes": {"N": str(placement.max_message_bytes)},
        "shards": {"N": str(placement.shards)},
        "rate": {"N": str(placement.rate)},
        "generation": {"N": str(placement.generation)},
    }
    if placement.pool is not None:
        item["pool"] = {"S": placement.pool}
    if placement.previous is not None:
        item["previous"] = {
            "M": {
                "queue_url": {"S": placement.previous.queue_url},
                "table_name": {"S": placement.previous.table_name},
            }
        }
    if placement.until is not None:
        item["until"] = {"N": str(placement.until)}
    if placement.changed_at is not None:
        item["changed_at"] = {"N": str(placement.changed_at)}
    if placement.registered_at is not None:
        item["registered_at"] = {"N": str(placement.registered_at)}
    if placement.left:
        item["left"] = {"M": {one.pool: {"N": str(one.at)} for one in placement.left}}
    return item


def from_item(item: dict[str, Any]) -> Placement:
    """The placement of a registry's item.

    Raises:
        KeyError: An attribute is missing.
        ValueError: One is not what it should be.
    """
    tier = item["tier"]["S"]
    status = item.get("status", {}).get("S", "active")
    if tier not in get_args(Tier) or status not in get_args(Status):
        msg = "a tier or a status that does not exist"
        raise ValueError(msg)
    previous = item.get("previous", {}).get("M")
    return Placement(
        tenant_id=parse_tenant_id(item["tenant_id"]["S"]),
        tier=tier,
        pool=item.get("pool", {}).get("S"),
        status=status,
        queue_url=item["queue_url"]["S"],
        table_name=item["table_name"]["S"],
        max_message_bytes=_number(item, "max_message_bytes", DEFAULT_MAX_MESSAGE_BYTES),
        shards=_number(item, "shards", 1),
        rate=_number(item, "rate", TIER_RATES[tier]),
        generation=_number(item, "generation", 1),
        previous=Place(previous["queue_url"]["S"], previous["table_name"]["S"])
        if previous
        else None,
        until=_number(item, "until", 1) if "until" in item else None,
        changed_at=_number(item, "changed_at", 1) if "changed_at" in item else None,
        registered_at=_number(item, "registered_at", 1) if "registered_at" in item else None,
        left=tuple(
            Left(pool, int(at["N"]))
            for pool, at in sorted(item.get("left", {}).get("M", {}).items())
        ),
    )


def _number(item: dict[str, Any], name: str, default: int) -> int:
    value = int(item[name]["N"]) if name in item else default
    if value < 1:
        msg = f"{name} is at least 1"
        raise ValueError(msg)
    return value


@dataclass(slots=True)
class _Known:
    placement: Placement | None
    learnt_at: float
    fresh_until: float


class PlacementCache:
    """Remembers placements; one look-up in flight for a tenant."""

    def __init__(
        self,
        reader: PlacementReader,
        *,
        max_age_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._max_age_seconds = max_age_seconds
        self._clock = clock
        self._known: OrderedDict[TenantId, _Known] = OrderedDict()
        self._lookups: dict[TenantId, asyncio.Task[Placement | None]] = {}
        #: Whether the last look-up failed: for health and metrics.
        self.failing = False

    def peek(self, tenant_id: TenantId) -> Placement | None:
        """The placement if it is known and fresh, without waiting."""
        known = self._known.get(tenant_id)
        if known is not None and self._clock() < known.fresh_until:
            return known.placement
        return None

    async def get(self, tenant_id: TenantId) -> Placement | None:
        """The placement; None if the registry knows no such tenant.

        Raises:
            RegistryUnavailableError: Not known, or not for `max_age_seconds`, and the registry
                does not answer.
        """
        known = self._known.get(tenant_id)
        if known is not None and self._clock() < known.fresh_until:
            return known.placement
        lookup = self._start_look_up(tenant_id)
        if self.failing and known is not None and known.placement is not None:
            # It may hang: nobody waits long who has something to go on with.
            await asyncio.wait([lookup], timeout=PATIENCE_SECONDS)
            if not lookup.done() and (last := self._last_good(known)) is not None:
                return last
        try:
            # Shielded: a request that leaves must not end the look-up that others wait for.
            return await asyncio.shield(lookup)
        except RegistryUnavailableError:
            if (last := self._last_good(known)) is not None:
                return last
            raise

    def _last_good(self, known: _Known | None) -> Placement | None:
        """What serves while the registry fails, for a moment; None if it is too old."""
        if known is None or known.placement is None:
            return None
        now = self._clock()
        ends_at = known.learnt_at + self._max_age_seconds
        if now >= ends_at:
            return None
        known.fresh_until = min(now + RETRY_SECONDS, ends_at)
        return known.placement

    async def refresh(self, tenant_id: TenantId) -> Placement | None:
        """The placement as the registry has it, asked now; a look-up in flight is shared.

        Raises:
            RegistryUnavailableError: The registry does not answer.
        """
        return await asyncio.shield(self._start_look_up(tenant_id))

    def _start_look_up(self, tenant_id: TenantId) -> asyncio.Task[Placement | None]:
        lookup = self._lookups.get(tenant_id)
        if lookup is None:
            lookup = asyncio.create_task(self._learn(tenant_id), name="registry.get")
            self._lookups[tenant_id] = lookup
            lookup.add_done_callback(lambda done: self._ended(tenant_id, done))
        return lookup

    def _ended(self, tenant_id: TenantId, lookup: asyncio.Task[Placement | None]) -> None:
        del self._lookups[tenant_id]
        if not lookup.cancelled():
            lookup.exception()  # seen, also when every waiter left

    async def _learn(self, tenant_id: TenantId) -> Placement | None:
        # The age counts from the question: the answer may be as old as that.
        asked_at = self._clock()
        try:
            placement = await self._reader.get(tenant_id)
        except RegistryUnavailableError as error:
            if error.of_one_tenant:
                self.failing = False
                raise
            if not self.failing:
                log.warning("registry.unavailable", error=repr(error.__cause__ or error))
            self.failing = True
            raise
        self.failing = False
        ttl = UNKNOWN_TTL_SECONDS if placement is None else TTL_SECONDS
        ttl *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - spreads look-ups, hides nothing
        ttl = min(ttl, self._max_age_seconds)
        self._known[tenant_id] = _Known(placement, asked_at, asked_at + ttl)
        self._known.move_to_end(tenant_id)
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
        return placement
