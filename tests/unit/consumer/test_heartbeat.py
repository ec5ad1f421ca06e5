"""What is in hand stays invisible to others for as long as it is worked on, and no longer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

import pytest
from prometheus_client import CollectorRegistry

from consumer.hand import Hand, Held
from consumer.heartbeat import Heartbeat
from fakes.clock import Clock
from fakes.deliveries import a_message
from fakes.loop import SimulatedLoop
from fakes.queue import FakeSqs
from fakes.waiting import until
from tenantry.contract import decode
from tenantry.limits import EXTEND_AT_MOST_SECONDS
from tenantry.metrics import ConsumerMetrics

URL: Final = "http://sqs.example/000000000000/dev-pool-1-messages"
VISIBILITY: Final = 30


@dataclass(slots=True)
class Bench:
    """A heartbeat, its queue and its hand."""

    clock: Clock
    sqs: FakeSqs
    hand: Hand
    metrics: ConsumerMetrics
    heartbeat: Heartbeat

    async def receive(self, messages: int = 1) -> list[Held]:
        """So many messages come in hand."""
        for _ in range(messages):
            await self.sqs.send(URL, a_message().body())
        deliveries = await self.sqs.queue(URL, visibility_seconds=VISIBILITY).receive(
            messages, wait_seconds=0
        )
        held = [
            Held(one, decode(one.body), one.received_at + VISIBILITY, one.received_at)
            for one in deliveries
        ]
        self.hand.add(held)
        return held

    async def beat(self) -> None:
        """One look at the hand."""
        await self.heartbeat.beat()

    @property
    def extensions(self) -> list[int]:
        """How many messages each call extended."""
        return [call.entries for call in self.sqs.calls if call.operation == "set_visibility"]

    @property
    def expired(self) -> float:
        """What the metric says."""
        expired: float = self.metrics.expired._value.get()
        return expired


@pytest.fixture
def bench() -> Bench:
    """An empty hand, at the time when the clock starts."""
    clock = Clock()
    sqs = FakeSqs(clock)
    sqs.create(URL)
    hand = Hand(most_messages=100, most_bytes=10**6)
    metrics = ConsumerMetrics(CollectorRegistry())
    queue = sqs.queue(URL, visibility_seconds=VISIBILITY)
    heartbeat = Heartbeat(hand, queue, metrics, visibility_seconds=VISIBILITY, clock=clock)
    return Bench(clock, sqs, hand, metrics, heartbeat)


@pytest.mark.parametrize(("age", "is_extended"), [(0, False), (18.0, False), (18.1, True)])
async def test_only_what_is_near_its_end_is_extended(
    bench: Bench, age: float, is_extended: bool
) -> None:
    """Nearer than 0.4 of the visibility timeout: a message younger than that costs no call."""
    (held,) = await bench.receive()
    bench.clock.advance(age)
    await bench.beat()

    assert ([1] if is_extended else []) == bench.extensions
    ends_at = bench.sqs.state(URL).messages[0].visible_at
    assert ends_at == held.visible_at
    assert ends_at == bench.clock() + VISIBILITY - (0 if is_extended else age)


async def test_many_share_a_call(bench: Bench) -> None:
    """By ten, as SQS takes them; and what is not due is left out."""
    for _ in range(3):
        await bench.receive(10)
    bench.clock.advance(20)
    await bench.receive(5)
    await bench.beat()

    assert [10, 10, 10] == bench.extensions


async def test_an_extension_is_felt(bench: Bench) -> None:
    """For hours nobody else gets a message that is in hand."""
    (held,) = await bench.receive()
    for _ in range(3_600 // 3):
        bench.clock.advance(3)
        await bench.beat()
        assert bench.sqs.visible(URL) == []

    assert held in bench.hand
    # Each extension lasts 0.6 of a visibility timeout.
    assert 3_600 / 30 < len(bench.extensions) < 3_600 / 17


async def test_what_is_being_written_is_extended_too(bench: Bench) -> None:
    """A write may take long: until it ended, the message is worked on."""
    await bench.receive()
    bench.hand.take(0)
    bench.clock.advance(20)
    await bench.beat()

    assert [1] == bench.extensions


async def test_what_somebody_else_has_leaves_the_hand(bench: Bench) -> None:
    """The handle is no longer the message's: it goes before it is written."""
    lost, kept = await bench.receive(2)
    bench.clock.advance(20)
    bench.sqs.refuse(
        "set_visibility",
        lambda body: "ReceiptHandleIsInvalid" if body == lost.delivery.body else None,
    )
    await bench.beat()

    assert [kept] == list(bench.hand)
    assert bench.expired == 1
    assert [kept] == bench.hand.take(0)


async def test_what_came_too_late_leaves_the_hand_without_a_call(bench: Bench) -> None:
    """Its visibility timeout ended, while the process stood still, say."""
    await bench.receive()
    bench.clock.advance(VISIBILITY)
    await bench.beat()

    assert len(bench.hand) == 0
    assert bench.expired == 1
    assert bench.extensions == []


async def test_a_call_that_failed_is_tried_at_the_next_beat(bench: Bench) -> None:
    """Until the visibility timeout is over; then the message is let go."""
    (held,) = await bench.receive()
    bench.sqs.fail("set_visibility", 2)
    bench.clock.advance(20)
    await bench.beat()
    await bench.beat()
    assert held in bench.hand
    await bench.beat()

    assert bench.clock() + VISIBILITY == held.visible_at
    assert [1, 1, 1] == bench.extensions


async def test_while_nothing_can_be_extended_the_message_is_let_go_in_time(bench: Bench) -> None:
    """It is not written after somebody else may have it."""
    (held,) = await bench.receive()
    bench.sqs.down = True
    for _ in range(9):
        bench.clock.advance(3)
        await bench.beat()
    assert held in bench.hand
    bench.clock.advance(3)
    await bench.beat()

    assert held not in bench.hand


async def test_nothing_is_extended_past_eleven_hours(bench: Bench) -> None:
    """Something is stuck: SQS gives the message to somebody else, before it would refuse."""
    (held,) = await bench.receive()
    while held in bench.hand:
        bench.clock.advance(3)
        await bench.beat()

    age = bench.clock() - held.delivery.received_at
    assert EXTEND_AT_MOST_SECONDS <= age < EXTEND_AT_MOST_SECONDS + VISIBILITY + 3
    assert len(bench.sqs.visible(URL)) == 1


async def test_what_was_settled_meanwhile_is_not_called_expired(bench: Bench) -> None:
    """Deleted while the call was under way: its handle is invalid, and nothing was lost."""
    (held,) = await bench.receive()
    bench.clock.advance(20)
    bench.sqs.gate("set_visibility").clear()
    beat = asyncio.create_task(bench.beat())
    await until(lambda: bench.sqs.count("set_visibility") == 1)
    await bench.sqs.queue(URL).delete([held.delivery])
    bench.hand.remove([held])
    bench.sqs.gate("set_visibility").set()
    await beat

    assert bench.expired == 0


async def test_an_empty_hand_costs_no_call(bench: Bench) -> None:
    """SQS refuses an empty batch, too."""
    await bench.beat()

    assert bench.sqs.calls == []


def test_it_looks_ten_times_in_a_visibility_timeout() -> None:
    """So that there are several attempts between the first extension that fails and the end."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        loop = runner.get_loop()
        sqs = FakeSqs(loop.time)
        sqs.create(URL)
        hand = Hand(most_messages=10, most_bytes=10**6)
        heartbeat = Heartbeat(
            hand,
            sqs.queue(URL, visibility_seconds=VISIBILITY),
            ConsumerMetrics(CollectorRegistry()),
            visibility_seconds=VISIBILITY,
            clock=loop.time,
        )

        async def hold_for(seconds: float) -> None:
            await sqs.send(URL, a_message().body())
            (one,) = await sqs.queue(URL, visibility_seconds=VISIBILITY).receive(1, wait_seconds=0)
            hand.add([Held(one, decode(one.body), one.received_at + VISIBILITY, 0)])
            sqs.fail("set_visibility", 10)
            beating = asyncio.create_task(heartbeat.run())
            await asyncio.sleep(seconds)
            beating.cancel()
            await asyncio.wait([beating])

        runner.run(hold_for(2 * VISIBILITY))

    # From 18 s on every 3 s, until the message is let go at 30 s.
    assert sqs.count("set_visibility") in (3, 4)
