"""What went wrong once in consuming, and must not again; in simulated time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from consumer.batch import process_batch
from consumer.forwarding import Places, Whereabouts
from consumer.poller import FINISH_SECONDS
from consumer.queue import Delivery, Settled, SqsQueue
from fakes.consuming import URL, Consuming, consume
from fakes.deliveries import a_delivery, a_held, a_message
from fakes.queue import FakeSqs
from fakes.registry import MemoryRegistry, a_placement
from fakes.repository import FakeRepository
from fakes.waiting import until
from tenantry.errors import RegistryUnavailableError
from tenantry.metrics import ConsumerMetrics
from tenantry.registry import Placement, PlacementCache
from tenantry.tenant_id import TenantId

TABLE: Final = "dev-pool-1-messages"
STORED_AT: Final = "2026-01-02T03:04:06.000000Z"
WAIT: Final = 20
DRAIN: Final = 10


@pytest.fixture
async def consuming() -> AsyncGenerator[Consuming, None]:
    """A pool's consumer that runs, with an empty queue."""
    running = consume(wait_seconds=WAIT, drain_seconds=DRAIN)
    yield running
    await running.close()


def now() -> float:
    """The simulated time."""
    return asyncio.get_running_loop().time()


# One queue call that hangs


class HangingClient:
    """An SQS client whose calls never come back."""

    async def _never(self, **_: object) -> None:
        await asyncio.Event().wait()

    change_message_visibility_batch = _never
    delete_message_batch = _never


def an_sqs_queue(client: object) -> SqsQueue:
    """The adapter on this client."""
    made: Any = client
    metrics = ConsumerMetrics(CollectorRegistry())
    return SqsQueue(made, URL, visibility_seconds=30, metrics=metrics)


@pytest.mark.parametrize("operation", ["delete", "extend"])
async def test_a_call_that_hangs_is_given_up_long_before_a_poll_would_be(operation: str) -> None:
    """Polls may take 25 s; an extension that did would come after the visibility's end."""
    queue = an_sqs_queue(HangingClient())
    delivery = a_delivery(a_message())
    started = now()
    if operation == "delete":
        settled = await queue.delete([delivery])
    else:
        settled = await queue.set_visibility([delivery], 30)

    assert settled == Settled(failed=(delivery,))
    assert now() - started < 6


class ThrottlingClient:
    """An SQS client that throttles, which SQS calls the sender's fault."""

    async def change_message_visibility_batch(self, **_: object) -> dict[str, Any]:
        return {"Failed": [{"Id": "0", "SenderFault": True, "Code": "RequestThrottled"}]}


async def test_a_throttled_extension_is_not_a_lost_message() -> None:
    """It is still ours, and is extended at the next beat."""
    delivery = a_delivery(a_message())
    settled = await an_sqs_queue(ThrottlingClient()).set_visibility([delivery], 30)

    assert settled == Settled(failed=(delivery,))


# Look-ups and queues elsewhere that hang


class SlowRegistry(MemoryRegistry):
    """Each look-up takes as long as one may."""

    async def get(self, tenant_id: TenantId) -> Placement | None:
        await asyncio.sleep(4)
        return await super().get(tenant_id)


async def test_the_tenants_of_a_batch_are_looked_up_together() -> None:
    """Twenty-five look-ups that time out one after the other would be a hundred seconds."""
    names = [f"tenant-{chr(97 + n)}" for n in range(25)]
    registry = SlowRegistry(*(a_placement(name) for name in names))
    registry.failing = True
    cache = PlacementCache(registry, max_age_seconds=300, clock=now)
    started = now()
    result = await process_batch(
        [a_held(a_message(name)) for name in names],
        places=Places(cache, URL),
        repository=FakeRepository(TABLE),
        forwarder=FakeSqs(now).forwarder(),
        stored_at=STORED_AT,
    )

    assert len(result.unplaced) == 25
    assert now() - started < 5


class SlowForwarder:
    """Each queue takes as long as a call may, and then nothing."""

    async def forward(
        self, queue_url: str, group_id: str | None, deliveries: Sequence[Delivery]
    ) -> Settled:
        await asyncio.sleep(5)
        return Settled(failed=tuple(deliveries))


async def test_queues_elsewhere_are_sent_to_together() -> None:
    """Those that hang hang at the same time: a write slot is everybody's."""
    names = [f"tenant-{chr(97 + n)}" for n in range(5)]
    registry = MemoryRegistry(
        *(a_placement(name, queue_url=f"http://sqs.example/0/{name}") for name in names)
    )
    cache = PlacementCache(registry, max_age_seconds=300, clock=now)
    started = now()
    result = await process_batch(
        [a_held(a_message(name)) for name in names],
        places=Places(cache, URL),
        repository=FakeRepository(TABLE),
        forwarder=SlowForwarder(),
        stored_at=STORED_AT,
    )

    assert len(result.unforwarded) == 5
    assert now() - started < 6


# One tenant's trouble


def unreadable(consuming: Consuming, name: str) -> None:
    """The registry has an item of the tenant that this version does not understand."""
    answer = consuming.registry.get

    async def get(tenant_id: TenantId) -> Placement | None:
        if tenant_id == name:
            msg = "the placement of the tenant is not understood"
            raise RegistryUnavailableError(msg, of_one_tenant=True)
        return await answer(tenant_id)

    consuming.registry.get = get  # type: ignore[method-assign]


async def test_one_tenants_unreadable_placement_stops_nobody_else(consuming: Consuming) -> None:
    """Its messages stay away and come back; the pool goes on receiving."""
    unreadable(consuming, "acme")
    await consuming.send_many(30)
    await until(lambda: len(consuming.stored) == 20)
    await asyncio.sleep(21)
    await consuming.send_many(30, "globex", "umbrella")
    await until(lambda: len(consuming.stored) == 50)

    assert consuming.poller.blocked is None
    assert len(consuming.left) == 10
    assert consuming.dead_letters == []


async def test_where_the_only_tenants_placement_is_unreadable_nothing_is_received() -> None:
    """No receive is spent: there is nobody else to serve."""
    consuming = consume(instance="acme", tier="premium")
    unreadable(consuming, "acme")
    await consuming.send_many(30, "acme")
    await until(lambda: consuming.poller.blocked == "registry")
    await asyncio.sleep(600)

    assert {0, 1} >= {one.receive_count for one in consuming.left}
    await consuming.close()


async def test_after_an_outage_one_throttled_tenant_does_not_keep_the_pool_blocked(
    consuming: Consuming,
) -> None:
    """That its partition is throttled says that the store answers."""
    consuming.repository.down = True
    await consuming.send_many(10, "acme")
    await until(lambda: consuming.poller.blocked == "store")
    await asyncio.sleep(21)
    consuming.repository.throttled = {"acme"}
    consuming.repository.down = False
    await consuming.send_many(5, "globex")

    await until(lambda: len(consuming.stored) == 5, seconds=25)


# Stopping


async def test_writes_that_hang_are_given_back_too(consuming: Consuming) -> None:
    """To insert is to insert once, so that nothing need wait for its visibility timeout."""
    consuming.repository.open.clear()
    await consuming.send_many(200)
    await until(lambda: len(consuming.poller.hand) == 200)
    await consuming.stop()

    assert len(consuming.sqs.visible(URL)) == 200
    assert len(consuming.poller.hand) == 0


async def test_a_queue_that_hangs_does_not_outlast_the_grace_period(
    consuming: Consuming,
) -> None:
    """Neither a poll that does not end, nor giving back that does not answer."""
    consuming.repository.down = True
    await consuming.send_many(20)
    await until(lambda: consuming.poller.blocked is not None)
    consuming.poller.stop()
    for operation in ("receive", "set_visibility", "delete"):
        consuming.sqs.gate(operation).clear()
    started = now()
    async with asyncio.timeout(100):
        await consuming.running

    assert now() - started <= WAIT + 2 + DRAIN + 2 * FINISH_SECONDS + 1


async def test_a_poll_that_never_ends_is_not_waited_for_for_ever(consuming: Consuming) -> None:
    """What the grace period counts for it is its wait and two seconds."""
    await until(lambda: consuming.queue.polls == 1)
    await asyncio.sleep(WAIT - 1)
    consuming.sqs.gate("receive").clear()
    await until(lambda: consuming.receives == 2)
    started = now()
    consuming.poller.stop()
    async with asyncio.timeout(100):
        await consuming.running

    assert WAIT < now() - started <= WAIT + 2 + FINISH_SECONDS + 2


async def test_a_tenants_own_consumer_asks_for_no_other_placement() -> None:
    """Its role may not: the denial looked like a registry that is gone, and blocked the queue."""
    registry = MemoryRegistry(a_placement("globex"))
    places = Places(PlacementCache(registry, max_age_seconds=300), URL, only=TenantId("umbrella"))

    assert (Whereabouts.UNKNOWN, None) == await places.find(TenantId("globex"))
    assert [] == registry.asked
