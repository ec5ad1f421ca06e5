"""A poller among fakes, in one time that all of them share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from opentelemetry.trace import Tracer
from prometheus_client import CollectorRegistry

from consumer.forwarding import Places
from consumer.poller import Poller
from consumer.queue import Delivery, Queue, Settled
from consumer.settings import Settings
from fakes.deliveries import a_message
from fakes.queue import FakeSqs
from fakes.registry import MemoryRegistry, a_placement
from fakes.repository import FakeRepository
from tenantry.contract import Message, decode
from tenantry.health import Health
from tenantry.metrics import ConsumerMetrics
from tenantry.registry import PlacementCache
from tenantry_local import sqs_standin

URL: Final = "http://sqs.example/000000000000/dev-pool-1-messages"
DEAD_LETTERS: Final = URL + "-dead-letters"
TABLE: Final = "dev-pool-1-messages"
#: Where initech lives.
OTHER_URL: Final = "http://sqs.example/000000000000/dev-initech-messages"
TENANTS: Final = ("acme", "globex", "umbrella")


class WatchedQueue(Queue):
    """A queue, and how it is polled.

    Attributes:
        polls: In flight now.
        most_polls: In flight at once, so far.
        cancelled: Polls that were aborted: each may have stranded messages.
        broken: What the next receive raises.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.polls = 0
        self.most_polls = 0
        self.cancelled = 0
        self.broken: Exception | None = None

    async def receive(self, most: int, *, wait_seconds: int) -> list[Delivery]:
        if self.broken is not None:
            raise self.broken
        self.polls += 1
        self.most_polls = max(self.most_polls, self.polls)
        try:
            # The way there and back, so that polls are in flight together; of simulated time.
            await asyncio.sleep(0.005)
            return await self._queue.receive(most, wait_seconds=wait_seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.polls -= 1

    async def delete(self, deliveries: Sequence[Delivery]) -> Settled:
        return await self._queue.delete(deliveries)

    async def set_visibility(self, deliveries: Sequence[Delivery], seconds: int) -> Settled:
        return await self._queue.set_visibility(deliveries, seconds)


def pool_settings(**changes: Any) -> Settings:
    """A pool's, with everything that has a default left at it."""
    values = {
        "environment": "dev",
        "instance": "pool-1",
        "tier": "basic",
        "registry_table": "dev-tenants",
        "identity": "header",
        "queue_url": URL,
        "table_name": TABLE,
    }
    return Settings(**(values | changes))


@dataclass(slots=True, repr=False)
class Consuming:
    """A poller that runs, and the world around it."""

    settings: Settings
    sqs: FakeSqs
    repository: FakeRepository
    registry: MemoryRegistry
    queue: WatchedQueue
    health: Health
    metrics: ConsumerMetrics
    poller: Poller
    running: asyncio.Task[None]
    sent: list[Message] = field(default_factory=list)

    async def send(self, *messages: Message, attributes: dict[str, str] | None = None) -> None:
        """Messages arrive."""
        for message in messages:
            self.sent.append(message)
            await self.sqs.send(URL, message.body(), attributes=attributes)

    async def send_many(self, number: int, *tenant_ids: str) -> list[Message]:
        """So many messages arrive, of these tenants in turn."""
        names = tenant_ids or TENANTS
        messages = [a_message(names[n % len(names)]) for n in range(number)]
        await self.send(*messages)
        return messages

    @property
    def left(self) -> list[sqs_standin.Message]:
        """What the queue holds, in flight or not."""
        return self.sqs.state(URL).messages

    @property
    def dead_letters(self) -> list[bytes]:
        """Bodies in the dead-letter queue."""
        return self.sqs.state(DEAD_LETTERS).bodies

    @property
    def stored(self) -> list[Message]:
        """What the table holds."""
        return [one.message for one in self.repository.stored(TABLE)]

    @property
    def receives(self) -> int:
        """Calls so far."""
        return self.sqs.count("receive")

    def assert_stored_once(self) -> None:
        """All that was sent is stored as it was sent; nothing else is; nothing is left."""
        assert sorted(self.sent, key=_key) == sorted(self.stored, key=_key)
        assert self.left == []
        assert self.dead_letters == []

    async def stop(self) -> None:
        """Drain; what broke the poller is raised here, too."""
        self.poller.stop()
        await self.running

    async def close(self) -> None:
        """End it, whatever its state."""
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


def _key(message: Message) -> tuple[str, str]:
    return message.tenant_id, message.message_id


def world() -> tuple[FakeSqs, FakeRepository, MemoryRegistry]:
    """Queues and tables of pool-1 and of initech, which was in the pool once."""
    sqs = FakeSqs(asyncio.get_running_loop().time)
    sqs.create(URL, dead_letter_url=DEAD_LETTERS, max_receive_count=10)
    sqs.create(OTHER_URL)
    registry = MemoryRegistry(
        *(a_placement(tenant_id) for tenant_id in TENANTS),
        a_placement(
            "initech", tier="advanced", queue_url=OTHER_URL, table_name="dev-initech-messages"
        ),
    )
    return sqs, FakeRepository(TABLE), registry


def consume(
    parts: tuple[FakeSqs, FakeRepository, MemoryRegistry] | None = None,
    *,
    tracer: Tracer | None = None,
    **changes: Any,
) -> Consuming:
    """Start a poller, in a world of its own or in one that was there before."""
    sqs, repository, registry = parts or world()
    clock = asyncio.get_running_loop().time
    settings = pool_settings(**changes)
    metrics = ConsumerMetrics(CollectorRegistry())
    health = Health(clock)
    queue = WatchedQueue(sqs.queue(URL, visibility_seconds=settings.visibility_seconds))
    cache = PlacementCache(
        registry, max_age_seconds=settings.placement_max_age_seconds, clock=clock
    )
    poller = Poller(
        settings,
        queue=queue,
        repository=repository,
        forwarder=sqs.forwarder(),
        places=Places(cache, URL),
        metrics=metrics,
        health=health,
        tracer=tracer,
        clock=clock,
    )
    running = asyncio.create_task(poller.run(), name="poller.run")
    return Consuming(settings, sqs, repository, registry, queue, health, metrics, poller, running)


def ids(bodies: Sequence[bytes]) -> list[str]:
    """The messages of envelopes."""
    return sorted(decode(body).message_id for body in bodies)
