"""Placements: items and back, and a cache that outlives the registry's outages, but not long."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import Clock
from fakes.registry import MemoryRegistry, a_placement
from fakes.waiting import until
from tenantry import registry
from tenantry.errors import RegistryUnavailableError
from tenantry.registry import (
    DynamoRegistry,
    Left,
    Place,
    Placement,
    PlacementCache,
    from_item,
    to_item,
)
from tenantry.tenant_id import TenantId

ACME = TenantId("acme")
MAX_AGE = 300.0


@pytest.fixture
def clock() -> Clock:
    """What the cache takes for the time."""
    return Clock()


@pytest.fixture
def memory() -> MemoryRegistry:
    """A registry that knows acme."""
    return MemoryRegistry(a_placement())


@pytest.fixture
def cache(memory: MemoryRegistry, clock: Clock) -> PlacementCache:
    """The cache under test."""
    return PlacementCache(memory, max_age_seconds=MAX_AGE, clock=clock)


PLACES = st.builds(Place, st.text(min_size=1), st.text(min_size=1))
PLACEMENTS = st.builds(
    Placement,
    tenant_id=st.sampled_from([ACME, TenantId("globex-2")]),
    tier=st.sampled_from(["basic", "advanced", "premium"]),
    queue_url=st.text(min_size=1),
    table_name=st.text(min_size=1),
    pool=st.none() | st.just("pool-1"),
    status=st.sampled_from(["active", "suspended", "moving", "draining", "offboarded"]),
    max_message_bytes=st.integers(1, 2**20),
    shards=st.integers(1, 16),
    rate=st.integers(1, 10_000),
    generation=st.integers(1, 2**40),
    previous=st.none() | PLACES,
    until=st.none() | st.integers(1, 2**40),
    changed_at=st.none() | st.integers(1, 2**40),
    registered_at=st.none() | st.integers(1, 2**40),
    left=st.dictionaries(st.sampled_from(["pool-1", "pool-2"]), st.integers(1, 2**40)).map(
        lambda pools: tuple(Left(*one) for one in sorted(pools.items()))
    ),
)


@settings(max_examples=100, deadline=None)
@given(PLACEMENTS)
def test_a_placement_comes_back_as_it_was(placement: Placement) -> None:
    """Every field survives the item."""
    assert placement == from_item(to_item(placement))


@pytest.mark.parametrize(("tier", "rate"), [("basic", 50), ("advanced", 200), ("premium", 1_000)])
def test_what_an_item_leaves_out_has_its_default(tier: str, rate: int) -> None:
    """An item of the least attributes is one of an active tenant with its tier's rate."""
    item = {
        "tenant_id": {"S": "acme"},
        "tier": {"S": tier},
        "queue_url": {"S": "q"},
        "table_name": {"S": "t"},
        "later": {"S": "ignored"},
    }
    found = from_item(item)

    assert (rate, "active", 1, 1, 262_144) == (
        found.rate,
        found.status,
        found.shards,
        found.generation,
        found.max_message_bytes,
    )
    assert found.pool is None
    assert found.previous is None
    assert (found.until, found.changed_at) == (None, None)


def test_what_is_not_known_is_not_written() -> None:
    """A tombstone alone has an end, and an item that was never changed no time of it."""
    assert {"until", "changed_at"}.isdisjoint(to_item(a_placement()))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"tenant_id": None}, id="no-tenant"),
        pytest.param({"tenant_id": {"S": "Acme"}}, id="no-tenants-id"),
        pytest.param({"tier": None}, id="no-tier"),
        pytest.param({"tier": {"S": "gold"}}, id="unknown-tier"),
        pytest.param({"tier": {"N": "1"}}, id="tier-a-number"),
        pytest.param({"status": {"S": "gone"}}, id="unknown-status"),
        pytest.param({"queue_url": None}, id="no-queue"),
        pytest.param({"table_name": None}, id="no-table"),
        pytest.param({"shards": {"N": "1.5"}}, id="shards-no-integer"),
        pytest.param({"rate": {"N": "0"}}, id="rate-of-nothing"),
        pytest.param({"generation": {"S": "1"}}, id="generation-a-text"),
        pytest.param({"previous": {"M": {"queue_url": {"S": "q"}}}}, id="half-a-place"),
        pytest.param({"until": {"S": "2026-12-07"}}, id="until-a-text"),
        pytest.param({"changed_at": {"N": "1.5"}}, id="changed-at-no-integer"),
    ],
)
async def test_an_item_that_is_not_understood_is_as_good_as_unreadable(
    change: dict[str, Any],
) -> None:
    """Nobody guesses where a tenant lives: 503, not a wrong queue and not an unknown tenant."""
    item = {k: v for k, v in (to_item(a_placement()) | change).items() if v is not None}

    with pytest.raises(RegistryUnavailableError, match="not understood"):
        await DynamoRegistry(ItemClient(item), "dev-tenants").get(ACME)  # type: ignore[arg-type]


class ItemClient:
    """The one call of DynamoDB that reads need."""

    def __init__(self, answer: dict[str, Any] | Exception | None) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []

    async def get_item(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {} if self.answer is None else {"Item": self.answer}


async def test_reads_are_consistent() -> None:
    """A placement that was just written is seen by the next read."""
    client = ItemClient(to_item(a_placement()))
    found = await DynamoRegistry(client, "dev-tenants").get(ACME)  # type: ignore[arg-type]

    assert a_placement() == found
    assert [
        {
            "TableName": "dev-tenants",
            "Key": {"tenant_id": {"S": "acme"}},
            "ConsistentRead": True,
        }
    ] == client.asked


async def test_no_item_is_no_tenant() -> None:
    """None, and no error."""
    assert await DynamoRegistry(ItemClient(None), "t").get(ACME) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetItem"),
        ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetItem"),
        EndpointConnectionError(endpoint_url="http://x"),
        ReadTimeoutError(endpoint_url="http://x"),
    ],
)
async def test_a_registry_that_does_not_answer_is_unavailable(error: Exception) -> None:
    """Denied, missing, unreachable, slow: the placement cannot be learnt."""
    with pytest.raises(RegistryUnavailableError) as caught:
        await DynamoRegistry(ItemClient(error), "t").get(ACME)  # type: ignore[arg-type]

    assert error is caught.value.__cause__


def test_only_a_pools_queue_has_message_groups() -> None:
    """The tenant is the group where tenants share a queue, which makes it fair."""
    assert a_placement().message_group_id == "acme"
    assert a_placement(tier="advanced", pool="pool-1").message_group_id is None
    assert a_placement(tier="premium", pool=None).message_group_id is None


async def test_a_placement_is_asked_for_once_while_fresh(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """The second request within the time costs nothing, and need not wait."""
    assert cache.peek(ACME) is None
    first = await cache.get(ACME)
    clock.advance(23.9)

    assert first == await cache.get(ACME) == cache.peek(ACME) == a_placement()
    assert [ACME] == memory.asked


async def test_the_time_to_live_is_spread_by_a_fifth(clock: Clock) -> None:
    """Between 24 and 36 s, and not the same for all: look-ups do not come in waves."""
    tenants = [TenantId(f"tenant-{n}") for n in range(300)]
    cache = PlacementCache(
        MemoryRegistry(*(a_placement(tenant) for tenant in tenants)),
        max_age_seconds=MAX_AGE,
        clock=clock,
    )
    for tenant in tenants:
        await cache.get(tenant)
    fresh = []
    for second in (23.9, 27, 30, 33, 36):
        clock.now = 1_000.0 + second
        fresh.append(sum(cache.peek(tenant) is not None for tenant in tenants))

    assert (300, 0) == (fresh[0], fresh[-1])
    assert 300 > fresh[1] > fresh[2] > fresh[3] > 0
    assert 100 < fresh[2] < 200


async def test_nothing_is_fresh_for_longer_than_it_may_serve(
    memory: MemoryRegistry, clock: Clock
) -> None:
    """A short maximum age bounds the time to live too."""
    cache = PlacementCache(memory, max_age_seconds=5, clock=clock)
    await cache.get(ACME)
    clock.advance(5)

    assert cache.peek(ACME) is None


async def test_requests_at_the_same_time_share_one_look_up(
    cache: PlacementCache, memory: MemoryRegistry
) -> None:
    """One in flight for a tenant, another for another."""
    memory.open.clear()
    waiting = [asyncio.create_task(cache.get(ACME)) for _ in range(20)]
    other = asyncio.create_task(cache.get(TenantId("globex")))
    await until(lambda: len(memory.asked) == 2)
    memory.open.set()

    assert [a_placement()] * 20 == await asyncio.gather(*waiting)
    assert await other is None
    assert [ACME, "globex"] == memory.asked


async def test_a_request_that_leaves_ends_no_look_up(
    cache: PlacementCache, memory: MemoryRegistry
) -> None:
    """The one who asked first may go; the others get their answer, and it is kept."""
    memory.open.clear()
    leaving = asyncio.create_task(cache.get(ACME))
    await until(lambda: memory.asked == [ACME])
    staying = asyncio.create_task(cache.get(ACME))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.wait([leaving])
    memory.open.set()

    assert leaving.cancelled()
    assert a_placement() == await staying == cache.peek(ACME)
    assert [ACME] == memory.asked


async def test_a_look_up_that_everybody_left_is_kept(
    cache: PlacementCache, memory: MemoryRegistry
) -> None:
    """Its answer serves the next request; its failure disturbs nobody."""
    memory.open.clear()
    leaving = asyncio.create_task(cache.get(ACME))
    await until(lambda: memory.asked == [ACME])
    leaving.cancel()
    await asyncio.wait([leaving])
    memory.open.set()
    await until(lambda: cache.peek(ACME) is not None)

    assert [ACME] == memory.asked


async def test_an_unknown_tenant_is_believed_for_seconds(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """A flood of requests for nobody asks once; onboarding shows within six seconds."""
    memory.placements.clear()
    for _ in range(10):
        assert await cache.get(ACME) is None
        clock.advance(0.3)
    asked = len(memory.asked)
    memory.placements[ACME] = a_placement()
    clock.now = 1_006.0

    assert a_placement() == await cache.get(ACME)
    assert asked == 1


async def test_a_tenant_that_left_is_unknown_when_its_time_is_up(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """An item that is gone is not served on."""
    await cache.get(ACME)
    memory.placements.clear()
    clock.advance(36)

    assert await cache.get(ACME) is None


async def test_the_last_good_placement_serves_until_its_maximum_age(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """While the registry fails it serves for 300 s from its question, and not a second more."""
    await cache.get(ACME)
    memory.failing = True
    for second in (36, 100, 299.9):
        clock.now = 1_000.0 + second
        assert a_placement() == await cache.get(ACME)
    clock.now = 1_300.0

    assert cache.peek(ACME) is None
    with pytest.raises(RegistryUnavailableError):
        await cache.get(ACME)


async def test_the_age_counts_from_the_question(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """An answer that took long is as old as its question."""
    memory.open.clear()
    asking = asyncio.create_task(cache.get(ACME))
    await until(lambda: memory.asked == [ACME])
    clock.advance(200)
    memory.open.set()
    await asking
    memory.failing = True
    clock.now = 1_299.9
    served = await cache.get(ACME)
    clock.now = 1_300.0

    assert a_placement() == served
    with pytest.raises(RegistryUnavailableError):
        await cache.get(ACME)


async def test_a_failing_registry_is_left_alone_for_a_second(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """Requests of a tenant that is known ask it once a second, not each."""
    await cache.get(ACME)
    memory.failing = True
    clock.advance(36)
    for _ in range(50):
        await cache.get(ACME)
    first = len(memory.asked)
    clock.advance(1)
    await cache.get(ACME)

    assert (2, 3) == (first, len(memory.asked))


async def test_an_outage_hides_no_unknown_tenant(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """Whom we do not know while the registry fails: 503, not 403."""
    memory.failing = True
    with pytest.raises(RegistryUnavailableError):
        await cache.get(ACME)
    memory.failing = False
    memory.placements.clear()
    assert await cache.get(ACME) is None
    memory.failing = True
    clock.advance(6)

    with pytest.raises(RegistryUnavailableError):
        await cache.get(ACME)


async def test_it_recovers_by_itself_and_says_so(
    cache: PlacementCache, memory: MemoryRegistry, clock: Clock
) -> None:
    """`failing` follows the last look-up; a new placement is seen after the outage."""
    await cache.get(ACME)
    states = [cache.failing]
    memory.failing = True
    clock.advance(36)
    await cache.get(ACME)
    states.append(cache.failing)
    memory.failing = False
    memory.placements[ACME] = a_placement(generation=2)
    clock.advance(1)

    assert a_placement(generation=2) == await cache.get(ACME)
    assert [False, True, False] == [*states, cache.failing]


async def test_refresh_asks_though_the_placement_is_fresh(
    cache: PlacementCache, memory: MemoryRegistry
) -> None:
    """A move is seen at once by who has reason to look; a failure is not papered over."""
    await cache.get(ACME)
    memory.placements[ACME] = a_placement(generation=2)

    assert a_placement(generation=2) == await cache.refresh(ACME) == cache.peek(ACME)
    memory.failing = True
    with pytest.raises(RegistryUnavailableError):
        await cache.refresh(ACME)


async def test_the_cache_is_bounded(
    cache: PlacementCache, memory: MemoryRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The placement learnt longest ago goes first."""
    monkeypatch.setattr(registry, "CACHE_ENTRIES", 2)
    for name in ("acme", "globex", "initech"):
        memory.placements[TenantId(name)] = a_placement(name)
        await cache.get(TenantId(name))

    assert cache.peek(ACME) is None
    assert a_placement("globex") == cache.peek(TenantId("globex"))
    assert a_placement("initech") == cache.peek(TenantId("initech"))
