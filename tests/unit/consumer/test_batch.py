"""What becomes of a batch: each message has one verdict, whatever its neighbours have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from consumer.batch import BatchResult, process_batch
from consumer.forwarding import Places
from consumer.hand import Held
from consumer.queue import Delivery
from fakes.clock import Clock
from fakes.deliveries import a_held, a_message
from fakes.queue import FakeSqs
from fakes.registry import MemoryRegistry, a_placement
from fakes.repository import FakeRepository
from fakes.waiting import until
from tenantry.contract import Message, decode, item_bytes
from tenantry.errors import StoreUnavailableError
from tenantry.limits import DYNAMODB_ITEM_BYTES
from tenantry.registry import PlacementCache
from tenantry.tenant_id import TenantId

HERE: Final = "http://sqs.example/000000000000/dev-pool-1-messages"
ELSEWHERE: Final = "http://sqs.example/000000000000/dev-initech-messages"
TABLE: Final = "dev-pool-1-messages"
STORED_AT: Final = "2026-01-02T03:04:06.000000Z"


@dataclass(slots=True)
class Bench:
    """A consumer's parts around `process_batch`."""

    registry: MemoryRegistry
    repository: FakeRepository
    sqs: FakeSqs
    places: Places

    async def process(self, *batch: Held) -> BatchResult:
        return await process_batch(
            batch,
            places=self.places,
            repository=self.repository,
            forwarder=self.sqs.forwarder(),
            stored_at=STORED_AT,
        )

    def move(self, tenant_id: str, **changes: object) -> None:
        """The registry says something else; the cache does not know yet."""
        self.registry.placements[TenantId(tenant_id)] = a_placement(tenant_id, **changes)


@pytest.fixture
def bench() -> Bench:
    """A pool with acme and globex; initech has a queue and a table of its own."""
    return a_bench()


def a_bench() -> Bench:
    registry = MemoryRegistry(
        a_placement("acme"),
        a_placement("globex", queue_url=HERE.replace("sqs.example", "vpce-1.sqs.example")),
        a_placement(
            "initech",
            tier="advanced",
            queue_url=ELSEWHERE,
            table_name="dev-initech-messages",
        ),
        a_placement("umbrella", status="offboarded"),
    )
    sqs = FakeSqs(Clock())
    sqs.create(HERE)
    sqs.create(ELSEWHERE)
    cache = PlacementCache(registry, max_age_seconds=300, clock=Clock())
    return Bench(registry, FakeRepository(TABLE), sqs, Places(cache, HERE))


def verdicts(result: BatchResult) -> dict[Held, list[str]]:
    """The lists that hold each message, by their names."""
    found: dict[Held, list[str]] = {}
    for name in (field.name for field in fields(result)):
        for entry in getattr(result, name):
            held = entry[0] if isinstance(entry, tuple) else entry
            found.setdefault(held, []).append(name)
    return found


async def test_what_is_here_is_stored(bench: Bench) -> None:
    """Each message under its tenant, with what it said and when it was stored."""
    batch = [a_held(a_message("acme")), a_held(a_message("globex"))]
    result = await bench.process(*batch)

    assert batch == result.stored
    assert batch == result.settled()
    stored = bench.repository.stored(TABLE)
    assert [held.message for held in batch] == [one.message for one in stored]
    assert {STORED_AT} == {one.stored_at for one in stored}
    assert [2] == bench.repository.calls


async def test_a_message_that_is_stored_already_is_settled(bench: Bench) -> None:
    """It was received again: nothing is changed, nothing is compared."""
    message = a_message()
    await bench.process(a_held(message))
    again = a_held(message)
    result = await bench.process(again)

    assert [again] == result.duplicates
    assert [again] == result.settled()
    assert bench.repository.reads == 0


async def test_the_same_again_under_a_key_is_a_duplicate(bench: Bench) -> None:
    """A client that retried, or SQS: type and payload are the same."""
    await bench.process(a_held(a_message(key="order-1")))
    again = a_held(a_message(key="order-1"))

    assert [again] == (await bench.process(again)).duplicates


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(a_message(key="order-1", payload='{"secret":"second"}'), id="payload"),
        pytest.param(
            a_message(key="order-1", payload='{"secret":"first"}', type="other"), id="type"
        ),
    ],
)
async def test_another_payload_under_a_key_is_a_conflict(bench: Bench, second: Message) -> None:
    """The first stands; the log names both digests, and says nothing of what they are of."""
    first = a_message(key="order-1", payload='{"secret":"first"}')
    await bench.process(a_held(first))
    held = a_held(second)
    with structlog.testing.capture_logs() as logs:
        result = await bench.process(held)

    assert [held] == result.conflicts
    assert [held] == result.settled()
    assert [first] == [one.message for one in bench.repository.stored(TABLE)]
    assert logs == [
        {
            "event": "message.conflicted",
            "log_level": "warning",
            "tenant_id": "acme",
            "message_id": first.message_id,
            "stored_sha256": first.payload_sha256().hex(),
            "refused_sha256": second.payload_sha256().hex(),
        }
    ]
    assert "secret" not in repr(logs)


async def test_two_tenants_may_use_one_key(bench: Bench) -> None:
    """Keys are a tenant's own."""
    batch = [a_held(a_message(tenant_id, key="order-1")) for tenant_id in ("acme", "globex")]

    assert batch == (await bench.process(*batch)).stored


async def test_what_cannot_be_compared_is_delayed(bench: Bench) -> None:
    """A duplicate under a key is not deleted before it is known to be the same."""
    await bench.process(a_held(a_message(key="order-1")))
    other, again = a_held(), a_held(a_message(key="order-1"))
    bench.repository = Undigested(bench.repository)
    result = await bench.process(again, other)

    assert [again] == result.delayed
    assert [other] == result.stored


class Undigested(FakeRepository):
    """The same tables, of which digests cannot be read."""

    def __init__(self, other: FakeRepository) -> None:
        super().__init__()
        self.tables = other.tables

    async def digests(
        self, table_name: str, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], bytes]:
        raise StoreUnavailableError("throttled")


async def test_a_duplicate_that_is_gone_again_is_stored_after_all(bench: Bench) -> None:
    """Between the write and the comparison its lifetime may end: it is tried again."""
    await bench.process(a_held(a_message(key="order-1")))
    again = a_held(a_message(key="order-1"))
    forgetful = Forgetful(bench.repository)
    bench.repository = forgetful
    result = await bench.process(again)

    assert [again] == result.delayed
    forgetful.tables[TABLE].clear()
    assert [again] == (await bench.process(again)).stored


class Forgetful(Undigested):
    """The same tables; between two calls an item's lifetime ends."""

    async def digests(
        self, table_name: str, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], bytes]:
        return {}


async def test_a_message_goes_to_its_shard(bench: Bench) -> None:
    """The placement says into how many partitions a tenant's messages go."""
    bench.move("acme", shards=4)
    await bench.process(*(a_held(a_message()) for _ in range(25)))

    partitions = {key for key, _ in bench.repository.tables[TABLE]}
    assert partitions == {f"acme#{n}" for n in range(4)}


async def test_a_tenant_that_lives_elsewhere_is_followed(bench: Bench) -> None:
    """Body and attributes go as they came, to the queue that the registry names."""
    held = Held(
        Delivery("handle", a_message("initech").body().encode(), {"traceparent": "00-1"}, 1, 0, 0),
        a_message("initech"),
        30,
        0,
    )
    result = await bench.process(held)

    assert [held] == result.forwarded
    assert [held] == result.settled()
    (sent,) = bench.sqs.state(ELSEWHERE).messages
    assert (held.delivery.body, {"traceparent": "00-1"}) == (sent.body, sent.attributes)
    assert bench.repository.calls == []


@pytest.mark.parametrize(("tier", "group_id"), [("basic", "acme"), ("premium", None)])
async def test_only_a_pools_queue_is_told_the_group(
    bench: Bench, tier: str, group_id: str | None
) -> None:
    """On a pool's queue the tenant is the message's group; on its own it would be noise."""
    bench.move("acme", tier=tier, queue_url=ELSEWHERE)
    await bench.process(a_held())

    assert [group_id] == [one.group_id for one in bench.sqs.state(ELSEWHERE).messages]


async def test_tenants_of_one_queue_do_not_share_a_group(bench: Bench) -> None:
    """Two tenants that moved to one pool are forwarded under their own names."""
    for tenant_id in ("acme", "globex"):
        bench.move(tenant_id, queue_url=ELSEWHERE)
    await bench.process(a_held(a_message("acme")), a_held(a_message("globex")))

    sent = bench.sqs.state(ELSEWHERE).messages
    assert {(decode(one.body).tenant_id, one.group_id) for one in sent} == {
        ("acme", "acme"),
        ("globex", "globex"),
    }


async def test_a_move_is_believed_only_of_the_registry_itself(bench: Bench) -> None:
    """What the cache holds may be older than a move back: it is looked up again."""
    bench.move("acme", queue_url=ELSEWHERE)
    await bench.process(a_held())
    bench.move("acme")
    asked = len(bench.registry.asked)
    held = a_held()
    result = await bench.process(held)

    assert [held] == result.stored
    assert asked + 1 == len(bench.registry.asked)
    assert len(bench.sqs.state(ELSEWHERE).messages) == 1


async def test_what_stays_costs_no_look_up(bench: Bench) -> None:
    """While a placement is fresh the registry is left alone."""
    for _ in range(3):
        await bench.process(a_held(), a_held())

    assert ["acme"] == bench.registry.asked


async def test_a_queue_that_does_not_take_it_now_delays_nothing_else(bench: Bench) -> None:
    """Its messages stay in hand; the others of the batch are stored."""
    bench.sqs.fail("forward")
    moved, here = a_held(a_message("initech")), a_held()
    result = await bench.process(moved, here)

    assert [moved] == result.unforwarded
    assert [here] == result.stored


async def test_what_can_be_stored_does_not_wait_for_a_queue_elsewhere(bench: Bench) -> None:
    """A queue that hangs is asked after the others of the batch are stored."""
    bench.sqs.gate("forward").clear()
    moved, here = a_held(a_message("initech")), a_held()
    processing = asyncio.create_task(bench.process(moved, here))
    await until(lambda: bench.sqs.count("forward") == 1)

    assert [here.message.message_id] == bench.repository.ids(TABLE)
    bench.sqs.gate("forward").set()
    assert [moved] == (await processing).forwarded


async def test_a_message_that_the_other_queue_refuses_is_rejected_alone(bench: Bench) -> None:
    """It can never go there; its neighbours do."""
    bad, good = (a_held(a_message("initech", payload=payload)) for payload in ('{"n":13}', "{}"))
    bench.sqs.refuse("forward", lambda body: "InvalidMessageContents" if b"13" in body else None)
    result = await bench.process(bad, good)

    assert [(bad, "not-forwarded")] == result.rejected
    assert [good] == result.forwarded


async def test_the_messages_of_a_tenant_that_left_are_dropped(bench: Bench) -> None:
    """Counted and deleted: neither stored nor forwarded."""
    held = a_held(a_message("umbrella"))
    result = await bench.process(held)

    assert [held] == result.dropped
    assert [held] == result.settled()
    assert bench.repository.calls == []
    assert bench.registry.asked.count(TenantId("umbrella")) == 2  # before anything is dropped


@pytest.mark.parametrize("status", ["active", "suspended", "moving", "draining"])
async def test_what_was_accepted_is_stored_whatever_the_status(bench: Bench, status: str) -> None:
    """Only a tenant that left loses messages."""
    bench.move("acme", status=status)
    held = a_held()

    assert [held] == (await bench.process(held)).stored


async def test_the_messages_of_an_unknown_tenant_are_kept(bench: Bench) -> None:
    """The registry may learn of it yet."""
    stranger, neighbour = a_held(a_message("stranger")), a_held()
    result = await bench.process(stranger, neighbour)

    assert [stranger] == result.kept
    assert [neighbour] == result.settled()


async def test_a_tenant_whose_move_was_undone_by_deletion_is_kept(bench: Bench) -> None:
    """It was elsewhere, and is nowhere: nobody guesses."""
    await bench.places.find(TenantId("initech"))
    del bench.registry.placements[TenantId("initech")]
    held = a_held(a_message("initech"))

    assert [held] == (await bench.process(held)).kept


async def test_without_the_registry_only_what_is_known_is_stored(bench: Bench) -> None:
    """The others wait, and none of them is anybody's fault."""
    await bench.process(a_held())
    bench.registry.failing = True
    known, unknown, moved = a_held(), a_held(a_message("globex")), a_held(a_message("initech"))
    result = await bench.process(known, unknown, moved)

    assert [known] == result.stored
    assert [unknown, moved] == result.unplaced
    assert bench.sqs.state(ELSEWHERE).messages == []


def a_message_of(size: int) -> Message:
    """A message whose item takes so many bytes."""
    fixed = item_bytes(a_message(payload='{"text":""}'))
    return a_message(payload='{"text":"%s"}' % ("x" * (size - fixed)))


async def test_a_message_larger_than_an_item_is_rejected_before_it_is_sent(bench: Bench) -> None:
    """It would be refused each time; its neighbour is stored at once."""
    large, neighbour = a_held(a_message_of(DYNAMODB_ITEM_BYTES + 1)), a_held()
    result = await bench.process(large, neighbour)

    assert [(large, "too-large")] == result.rejected
    assert [neighbour] == result.stored
    assert [1] == bench.repository.calls


async def test_the_largest_item_is_stored(bench: Bench) -> None:
    """400 KB, names and all."""
    held = a_held(a_message_of(DYNAMODB_ITEM_BYTES))

    assert [held] == (await bench.process(held)).stored


async def test_a_message_that_the_table_refuses_is_rejected_alone(bench: Bench) -> None:
    """Its neighbours are stored at once."""
    batch = [a_held() for _ in range(25)]
    bench.repository.poison = {batch[7].message.message_id}
    result = await bench.process(*batch)

    assert [(batch[7], "refused")] == result.rejected
    assert [*batch[:7], *batch[8:]] == result.stored


async def test_a_throttled_partition_delays_its_own_only(bench: Bench) -> None:
    """Throttling is not the message's fault."""
    bench.repository.throttled = {"acme"}
    slow, quick = a_held(), a_held(a_message("globex"))
    result = await bench.process(slow, quick)

    assert [slow] == result.delayed
    assert [quick] == result.stored


async def test_without_the_table_all_that_goes_there_is_blocked(bench: Bench) -> None:
    """What goes elsewhere goes on."""
    bench.repository.down = True
    here, moved, gone = a_held(), a_held(a_message("initech")), a_held(a_message("umbrella"))
    result = await bench.process(here, moved, gone)

    assert [here] == result.blocked
    assert [moved] == result.forwarded
    assert [gone] == result.dropped


async def test_what_is_more_than_one_call_takes_goes_in_several(bench: Bench) -> None:
    """By its bytes as sent: characters beyond ASCII take up to twelve for four."""
    text = "\N{GRINNING FACE}" * 90_000
    batch = [a_held(a_message(payload='{"text":"%s"}' % text)) for _ in range(8)]
    result = await bench.process(*batch)

    assert batch == result.stored
    assert bench.repository.refused_calls == 0
    assert [3, 3, 2] == bench.repository.calls


async def test_tenants_of_several_tables_are_written_each_to_its_own(bench: Bench) -> None:
    """A placement names queue and table."""
    bench.repository.create("dev-pool-1-messages-2")
    bench.move("globex", table_name="dev-pool-1-messages-2")
    batch = [a_held(a_message("acme")), a_held(a_message("globex"))]
    await bench.process(*batch)

    assert [batch[0].message.message_id] == bench.repository.ids(TABLE)
    assert [batch[1].message.message_id] == bench.repository.ids("dev-pool-1-messages-2")


@pytest.mark.parametrize(
    ("queue_url", "is_here"),
    [
        (HERE, True),
        ("https://vpce-1.sqs.eu-central-1.example/000000000000/dev-pool-1-messages", True),
        (HERE + "-2", False),
        (HERE.replace("000000000000", "111111111111"), False),
    ],
)
async def test_a_queue_is_its_account_and_name(
    bench: Bench, queue_url: str, is_here: bool
) -> None:
    """The host differs between an endpoint in the network and the region's."""
    bench.move("acme", queue_url=queue_url)
    bench.sqs.create(queue_url)
    held = a_held()
    result = await bench.process(held)

    assert [held] == (result.stored if is_here else result.forwarded)


KINDS: Final = st.sampled_from(
    ["here", "key", "poison", "large", "elsewhere", "gone", "stranger", "throttled"]
)


@settings(max_examples=60, deadline=None)
@given(
    kinds=st.lists(KINDS, max_size=25),
    faults=st.sets(st.sampled_from(["store", "registry", "queue", "warm", "answer"])),
)
async def test_every_message_has_exactly_one_verdict(kinds: list[str], faults: set[str]) -> None:
    """Whatever is in a batch, and whatever is broken."""
    bench = a_bench()
    tenant_ids = {"elsewhere": "initech", "gone": "umbrella", "stranger": "stranger"}
    batch: list[Held] = []
    for number, kind in enumerate(kinds):
        key = f"key-{number}" if kind == "key" else None
        payload = '{"text":"%s"}' % ("x" * (410_000 if kind == "large" else 10))
        tenant_id = "globex" if kind == "throttled" else tenant_ids.get(kind, "acme")
        held = a_held(a_message(tenant_id, key=key, payload=payload))
        batch.append(held)
        if kind == "poison":
            bench.repository.poison.add(held.message.message_id)
    bench.repository.throttled = {"globex"}
    if "warm" in faults:
        await bench.process(a_held())
    bench.repository.down = "store" in faults
    bench.registry.failing = "registry" in faults
    if "queue" in faults:
        bench.sqs.fail("forward", 100)
    if "answer" in faults:
        bench.repository.lose_answers()
    result = await bench.process(*batch)

    found = verdicts(result)
    assert set(batch) == set(found)
    assert all(len(lists) == 1 for lists in found.values())
    # Settled is: stored as it is, confirmed elsewhere, or of a tenant that left.
    ids = set(bench.repository.ids(TABLE))
    sent = set(bench.sqs.state(ELSEWHERE).bodies)
    for held in result.settled():
        assert (
            held.message.message_id in ids
            or held.delivery.body in sent
            or held.message.tenant_id == "umbrella"
        )


async def test_nothing_of_an_empty_batch_is_called(bench: Bench) -> None:
    """There is nothing to ask about."""
    result = await bench.process()

    assert result.settled() == []
    assert bench.repository.calls == []
    assert bench.sqs.calls == []
    assert bench.registry.asked == []
