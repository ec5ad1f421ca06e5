"""Reads of a tenant's messages: one order out of many partitions, and no word about others'."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.reads import Listing, Reads
from consumer.repository import Page, Row
from fakes.clock import Clock
from fakes.deliveries import a_message, message_id
from fakes.registry import MemoryRegistry, a_placement
from fakes.repository import FakeRepository
from tenantry.contract import Message, StoredMessage, partition
from tenantry.errors import (
    InvalidRequestError,
    MessageNotFoundError,
    MisplacedError,
    RegistryUnavailableError,
    StoreUnavailableError,
    TenantryError,
    TenantSuspendedError,
    UnknownTenantError,
)
from tenantry.registry import Place, PlacementCache, Tier
from tenantry.tenant_id import TenantId

ACME: Final = TenantId("acme")
GLOBEX: Final = TenantId("globex")
TABLE: Final = "dev-pool-1-messages"
OLD_TABLE: Final = "dev-pool-0-messages"
STORED_AT: Final = "2026-01-02T03:04:06.000000Z"
MOVING: Final = a_placement(
    status="moving", previous=Place("http://sqs.example/0/dev-pool-0-messages", OLD_TABLE)
)


def reads_of(
    repository: FakeRepository,
    registry: MemoryRegistry,
    *,
    instance: str = "pool-1",
) -> Reads:
    return Reads(
        repository,
        PlacementCache(registry, max_age_seconds=300, clock=Clock()),
        instance=instance,
        is_pool=instance.startswith("pool-"),
        sessions=None,
    )


@pytest.fixture
def repository() -> FakeRepository:
    """Both tables, empty."""
    return FakeRepository(TABLE, OLD_TABLE)


@pytest.fixture
def registry() -> MemoryRegistry:
    """Two tenants, acme and globex, side by side in pool-1."""
    return MemoryRegistry(a_placement("acme"), a_placement("globex"))


@pytest.fixture
def reads(repository: FakeRepository, registry: MemoryRegistry) -> Reads:
    """Of the pool."""
    return reads_of(repository, registry)


async def store(
    repository: FakeRepository, *messages: Message, table: str = TABLE, shards: int = 1
) -> None:
    for one in messages:
        key = partition(one.tenant_id, one.message_id, shards)
        await repository.insert(table, [Row(key, one)], STORED_AT)


def found(listing: Listing) -> list[str]:
    return [one.message.message_id for one in listing.items]


# One message


async def test_a_message_is_found_as_it_was_stored(
    reads: Reads, repository: FakeRepository
) -> None:
    """With when it was stored, and its digest."""
    message = a_message()
    await store(repository, message)

    assert StoredMessage(message, message.payload_sha256(), STORED_AT) == await reads.get(
        ACME, message.message_id
    )


async def test_a_message_is_found_in_its_shard(
    reads: Reads, repository: FakeRepository, registry: MemoryRegistry
) -> None:
    """By one read: the id says in which."""
    registry.placements[ACME] = a_placement(shards=8)
    messages = [a_message() for _ in range(20)]
    await store(repository, *messages, shards=8)

    for message in messages:
        assert message == (await reads.get(ACME, message.message_id)).message
    assert repository.reads == 20


async def test_anothers_message_looks_like_none(reads: Reads, repository: FakeRepository) -> None:
    """Word for word: nobody learns which ids exist."""
    theirs = a_message("globex")
    await store(repository, theirs)
    refusals: list[tuple[type, str]] = []
    upper = "0192AAAA-0000-7000-8000-000000000000"
    for wanted in (theirs.message_id, message_id(10**6), "no-id", "", upper):
        with pytest.raises(MessageNotFoundError) as refusal:
            await reads.get(ACME, wanted)
        refusals.append((type(refusal.value), refusal.value.detail))

    assert len(set(refusals)) == 1


async def test_what_is_no_id_is_not_looked_for(reads: Reads, repository: FakeRepository) -> None:
    """There is no such item."""
    with pytest.raises(MessageNotFoundError):
        await reads.get(ACME, "../globex")

    assert repository.reads == 0


async def test_while_moving_a_miss_is_tried_where_the_tenant_was(
    reads: Reads, repository: FakeRepository, registry: MemoryRegistry
) -> None:
    """And what is in both is read from the new place alone."""
    registry.placements[ACME] = MOVING
    old, both = a_message(), a_message()
    await store(repository, old, both, table=OLD_TABLE)
    await store(repository, both)

    assert old == (await reads.get(ACME, old.message_id)).message
    assert repository.reads == 2
    assert both == (await reads.get(ACME, both.message_id)).message
    assert repository.reads == 3


async def test_after_the_move_the_old_table_is_left_alone(
    reads: Reads, repository: FakeRepository
) -> None:
    """It may be gone."""
    old = a_message()
    await store(repository, old, table=OLD_TABLE)

    with pytest.raises(MessageNotFoundError):
        await reads.get(ACME, old.message_id)


# Who may read, and where


@pytest.mark.parametrize(
    ("placement", "error"),
    [
        (None, UnknownTenantError),
        (a_placement(status="offboarded"), UnknownTenantError),
        (a_placement(status="suspended"), TenantSuspendedError),
        (a_placement(status="draining"), TenantSuspendedError),
        (a_placement(status="moving"), MessageNotFoundError),
        (a_placement(status="active"), MessageNotFoundError),
    ],
)
async def test_the_status_decides(
    reads: Reads,
    repository: FakeRepository,
    registry: MemoryRegistry,
    placement: object,
    error: type[TenantryError],
) -> None:
    """Who left is as unknown as who never came; for lists as for single messages."""
    registry.placements.clear()
    if placement is not None:
        registry.placements[ACME] = placement  # type: ignore[assignment]
    with pytest.raises(error):
        await reads.get(ACME, message_id(1))
    if error is MessageNotFoundError:
        assert Listing([], None) == await reads.list(ACME, limit=1, cursor=None)
        return
    with pytest.raises(error):
        await reads.list(ACME, limit=1, cursor=None)

    assert repository.reads == 0


async def test_a_dedicated_instance_serves_its_own_tenant(
    repository: FakeRepository, registry: MemoryRegistry
) -> None:
    """Any other is told to come again, where it is served."""
    reads = reads_of(repository, registry, instance="acme")
    message = a_message()
    await store(repository, message, a_message("globex"))

    assert message == (await reads.get(ACME, message.message_id)).message
    for attempt in (
        reads.get(GLOBEX, message.message_id),
        reads.list(GLOBEX, limit=1, cursor=None),
    ):
        with pytest.raises(MisplacedError):
            await attempt


@pytest.mark.parametrize(
    ("tier", "pool"), [("basic", "pool-2"), ("advanced", "pool-1"), ("premium", None)]
)
async def test_a_pool_reads_for_its_basic_tenants_alone(
    registry: MemoryRegistry, reads: Reads, tier: Tier, pool: str | None
) -> None:
    """Whoever lives elsewhere is told that it is misplaced, not that its table fails."""
    registry.placements[ACME] = a_placement(tier=tier, pool=pool)

    for attempt in (reads.get(ACME, message_id(1)), reads.list(ACME, limit=1, cursor=None)):
        with pytest.raises(MisplacedError):
            await attempt


async def test_without_the_registry_nobody_guesses(reads: Reads, registry: MemoryRegistry) -> None:
    """Where the tenant lives is not known: later."""
    registry.failing = True

    with pytest.raises(RegistryUnavailableError):
        await reads.get(ACME, message_id(1))


async def test_without_the_store_it_is_not_called_missing(
    reads: Reads, repository: FakeRepository
) -> None:
    """404 would be a lie."""
    repository.down = True

    with pytest.raises(StoreUnavailableError):
        await reads.get(ACME, message_id(1))
    with pytest.raises(StoreUnavailableError):
        await reads.list(ACME, limit=1, cursor=None)


# Lists


async def test_a_list_holds_the_tenants_own_in_order(
    reads: Reads, repository: FakeRepository
) -> None:
    """Ascending by id, and nobody else's."""
    messages = [a_message("acme", number) for number in (3, 1, 2)]
    await store(repository, *messages, a_message("globex", 0), a_message("acme-2", 4))
    listing = await reads.list(ACME, limit=10, cursor=None)

    assert [message_id(number) for number in (1, 2, 3)] == found(listing)
    assert listing.next_cursor is None


async def test_a_page_ends_at_its_limit(reads: Reads, repository: FakeRepository) -> None:
    """And the cursor leads on, to the end."""
    await store(repository, *(a_message("acme", number) for number in range(5)))
    first = await reads.list(ACME, limit=3, cursor=None)
    second = await reads.list(ACME, limit=3, cursor=first.next_cursor)

    assert [message_id(number) for number in range(3)] == found(first)
    assert [message_id(number) for number in (3, 4)] == found(second)
    assert second.next_cursor is None


async def test_large_messages_make_short_pages_not_gaps(
    reads: Reads, repository: FakeRepository, registry: MemoryRegistry
) -> None:
    """A partition that was cut by its bytes bounds the page: beyond it nothing is known."""
    registry.placements[ACME] = a_placement(shards=3)
    payload = '{"text":"%s"}' % ("x" * 300_000)
    messages = [a_message("acme", number, payload=payload) for number in range(20)]
    await store(repository, *messages, shards=3)
    seen: list[str] = []
    cursor = None
    for _ in range(20):
        listing = await reads.list(ACME, limit=100, cursor=cursor)
        seen += found(listing)
        cursor = listing.next_cursor
        if cursor is None:
            break

    assert [message_id(number) for number in range(20)] == seen
    assert cursor is None


class CutReader(FakeRepository):
    """Cuts pages wherever it likes, as a table of large items does; but never an empty one."""

    def __init__(self, seed: int) -> None:
        super().__init__(TABLE, OLD_TABLE)
        self._random = Random(seed)

    async def page(
        self, table_name: str, partition: str, *, after: str | None, limit: int
    ) -> Page:
        whole = await super().page(table_name, partition, after=after, limit=limit)
        if len(whole.items) < 2 or self._random.random() < 0.4:
            return whole
        return Page(whole.items[: self._random.randint(1, len(whole.items) - 1)], is_cut=True)


@settings(max_examples=150, deadline=None)
@given(
    numbers=st.lists(st.integers(0, 60), max_size=40, unique=True),
    shards=st.integers(1, 5),
    limit=st.integers(1, 12),
    moved=st.none() | st.sets(st.sampled_from(["old", "both", "new"]), min_size=1),
    seed=st.integers(0, 2**16),
)
async def test_paging_shows_each_message_once_and_in_order(
    numbers: list[int], shards: int, limit: int, moved: set[str] | None, seed: int
) -> None:
    """However many partitions and tables there are, and wherever their pages are cut."""
    repository = CutReader(seed)
    placement = replace(MOVING if moved else a_placement(), shards=shards)
    reads = reads_of(repository, MemoryRegistry(placement))
    chosen = Random(seed)
    for number in numbers:
        where = chosen.choice(sorted(moved)) if moved else "new"
        if where != "old":
            await store(repository, a_message("acme", number), shards=shards)
        if where != "new":
            copy = a_message("acme", number, type="old")
            await store(repository, copy, table=OLD_TABLE, shards=shards)
    new = {key[1] for key in repository.tables[TABLE]}
    seen: list[StoredMessage] = []
    cursor = None
    for _ in range(len(numbers) + shards + 2):
        listing = await reads.list(ACME, limit=limit, cursor=cursor)
        assert len(listing.items) <= limit
        seen += listing.items
        cursor = listing.next_cursor
        if cursor is None:
            break

    assert cursor is None
    assert [message_id(number) for number in sorted(numbers)] == [
        one.message.message_id for one in seen
    ]
    # What is in both tables comes from the new one.
    assert all((one.message.type != "old") == (one.message.message_id in new) for one in seen)


async def test_what_comes_behind_a_cursor_does_not_repeat_what_was_seen(
    reads: Reads, repository: FakeRepository
) -> None:
    """An id made from a key has no order in time: it may be missed, never doubled."""
    await store(repository, *(a_message("acme", number) for number in (2, 4, 6)))
    first = await reads.list(ACME, limit=2, cursor=None)
    await store(repository, *(a_message("acme", number) for number in (1, 5)))
    second = await reads.list(ACME, limit=2, cursor=first.next_cursor)

    assert [message_id(number) for number in (5, 6)] == found(second)


def encoded(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "====",
        "ü" * 10,
        message_id(1),
        encoded("acme"),
        encoded("0192AAAA-0000-7000-8000-000000000000"),
        encoded(message_id(1) + "\n"),
        encoded(b"\xff" * 36),
        encoded(message_id(1)) + "!",
        encoded("globex#1" + message_id(1)),
    ],
    ids=repr,
)
async def test_a_cursor_that_was_not_given_is_refused(
    reads: Reads, repository: FakeRepository, cursor: str
) -> None:
    """Before anything is read; it cannot name another partition either."""
    with pytest.raises(InvalidRequestError, match="cursor"):
        await reads.list(ACME, limit=1, cursor=cursor)

    assert repository.reads == 0


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=64))
async def test_no_cursor_breaks_anything(cursor: str) -> None:
    """It is a good one, or it is refused."""
    reads = reads_of(FakeRepository(TABLE), MemoryRegistry(a_placement()))
    try:
        listing = await reads.list(ACME, limit=1, cursor=cursor)
    except InvalidRequestError:
        return
    assert listing == Listing([], None)


async def test_a_cursor_is_worth_nothing_to_another_tenant(
    reads: Reads, repository: FakeRepository
) -> None:
    """It is a place in the order, not a permission."""
    await store(repository, *(a_message("acme", number) for number in range(4)))
    await store(repository, a_message("globex", 3))
    cursor = (await reads.list(ACME, limit=2, cursor=None)).next_cursor
    theirs = await reads.list(GLOBEX, limit=2, cursor=cursor)

    assert ["globex"] == [one.message.tenant_id for one in theirs.items]


async def test_partitions_are_read_at_once(
    reads: Reads, repository: FakeRepository, registry: MemoryRegistry
) -> None:
    """A list of many shards takes as long as one of them."""
    registry.placements[ACME] = a_placement(shards=6)
    repository.open.clear()
    entered = 0
    original = FakeRepository.page

    async def page(*args: object, **kwargs: object) -> Page:
        nonlocal entered
        entered += 1
        if entered == 6:
            repository.open.set()
        return await original(repository, *args, **kwargs)  # type: ignore[arg-type]

    repository.page = page  # type: ignore[method-assign]
    async with asyncio.timeout(5):
        await reads.list(ACME, limit=1, cursor=None)

    assert entered == 6
