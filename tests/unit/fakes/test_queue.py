"""The queue in memory: its faults are felt, and its time is the test's."""

from __future__ import annotations

import asyncio
import time

import pytest

from consumer.queue import QueueUnavailableError, Settled
from fakes.clock import Clock
from fakes.queue import FakeSqs
from fakes.waiting import until
from tenantry.limits import SQS_MAX_VISIBILITY_SECONDS

URL = "http://sqs.example/000000000000/dev-pool-1-messages"
OTHER = "http://sqs.example/000000000000/dev-initech-messages"


@pytest.fixture
def sqs() -> FakeSqs:
    """An engine whose time stands still, with two queues."""
    sqs = FakeSqs(Clock())
    sqs.create(URL)
    sqs.create(OTHER)
    return sqs


async def test_a_failed_call_changes_nothing_and_the_next_is_well(sqs: FakeSqs) -> None:
    """As often as it was told, and for that operation alone."""
    queue = sqs.queue(URL)
    await sqs.send(URL, "a")
    sqs.fail("receive", 2)
    for _ in range(2):
        with pytest.raises(QueueUnavailableError, match="ServiceUnavailable"):
            await queue.receive(10, wait_seconds=0)
    held = await queue.receive(10, wait_seconds=0)
    sqs.fail("delete", code="RequestThrottled")

    assert held[0].receive_count == 1
    assert Settled(failed=tuple(held)) == await queue.delete(held)
    assert Settled(done=tuple(held)) == await queue.delete(held)
    assert [3, 2] == [sqs.count("receive"), sqs.count("delete")]


async def test_a_call_whose_answer_is_lost_has_taken_effect(sqs: FakeSqs) -> None:
    """Received and not seen, sent and not confirmed, deleted and not known."""
    queue, forwarder = sqs.queue(URL), sqs.forwarder()
    await sqs.send(URL, "a")
    sqs.lose_answers("receive")
    with pytest.raises(QueueUnavailableError):
        await queue.receive(10, wait_seconds=0)
    assert len(sqs.in_flight(URL)) == 1

    await sqs.advance(30)
    held = await queue.receive(10, wait_seconds=0)
    assert held[0].receive_count == 2
    sqs.lose_answers("forward")
    assert Settled(failed=tuple(held)) == await forwarder.forward(OTHER, "acme", held)
    assert [b"a"] == sqs.state(OTHER).bodies
    sqs.lose_answers("delete")
    assert Settled(failed=tuple(held)) == await queue.delete(held)
    assert [] == sqs.state(URL).bodies


async def test_single_entries_are_refused(sqs: FakeSqs) -> None:
    """By what they hold; whose fault it is decides what becomes of them."""
    queue = sqs.queue(URL)
    for body in ("a", "b", "c"):
        await sqs.send(URL, body)
    held = await queue.receive(10, wait_seconds=0)
    sqs.refuse("delete", lambda body: "InternalError" if body == b"b" else None)

    assert Settled(done=(held[0], held[2]), failed=(held[1],)) == await queue.delete(held)
    sqs.refuse("delete", None)
    assert Settled(done=(held[1],)) == await queue.delete(held[1:2])


async def test_while_it_is_down_every_call_fails(sqs: FakeSqs) -> None:
    """And nothing changes, until it is up again."""
    queue = sqs.queue(URL)
    await sqs.send(URL, "a")
    held = await queue.receive(10, wait_seconds=0)
    sqs.down = True
    with pytest.raises(QueueUnavailableError):
        await queue.receive(10, wait_seconds=0)
    assert Settled(failed=tuple(held)) == await queue.set_visibility(held, 0)
    assert Settled(failed=tuple(held)) == await sqs.forwarder().forward(OTHER, None, held)

    sqs.down = False
    assert Settled(done=tuple(held)) == await queue.delete(held)


async def test_a_gate_holds_calls_back(sqs: FakeSqs) -> None:
    """They take effect when it opens."""
    queue = sqs.queue(URL)
    await sqs.send(URL, "a")
    sqs.gate("receive").clear()
    poll = asyncio.create_task(queue.receive(10, wait_seconds=0))
    await until(lambda: sqs.count("receive") == 1)
    assert len(sqs.visible(URL)) == 1

    sqs.gate("receive").set()
    assert len(await poll) == 1


async def test_a_cancelled_poll_strands_the_next_message(sqs: FakeSqs) -> None:
    """SQS sends it to somebody who left: it is hidden for a visibility timeout."""
    queue = sqs.queue(URL, visibility_seconds=30)
    poll = asyncio.create_task(queue.receive(10, wait_seconds=20))
    await until(lambda: sqs.polls(URL) == 1)
    poll.cancel()
    await asyncio.wait([poll])
    await sqs.send(URL, "a")
    await sqs.send(URL, "b")

    assert [b"b"] == [one.body for one in await queue.receive(10, wait_seconds=0)]
    await sqs.advance(30)
    again = await queue.receive(10, wait_seconds=0)
    assert [(b"a", 2), (b"b", 2)] == [(one.body, one.receive_count) for one in again]


async def test_a_poll_ends_when_its_time_is_over(sqs: FakeSqs) -> None:
    """In the time of the test; visibility ends in it too."""
    queue = sqs.queue(URL, visibility_seconds=5)
    await sqs.send(URL, "a")
    await queue.receive(10, wait_seconds=0)
    poll = asyncio.create_task(queue.receive(10, wait_seconds=20))
    await until(lambda: sqs.polls(URL) == 1)
    await sqs.advance(4.9)
    assert not poll.done()
    await sqs.advance(0.1)
    assert [2] == [one.receive_count for one in await poll]

    empty = asyncio.create_task(sqs.queue(OTHER).receive(10, wait_seconds=20))
    await until(lambda: sqs.polls(OTHER) == 1)
    await sqs.advance(20)
    assert [] == await empty


async def test_by_real_time_a_poll_ends_by_itself() -> None:
    """Without a `Clock`, nobody has to tell it."""
    sqs = FakeSqs()
    sqs.create(URL)
    await sqs.send(URL, "a")
    started = time.monotonic()
    await sqs.queue(URL, visibility_seconds=1).receive(10, wait_seconds=0)
    again = await sqs.queue(URL).receive(10, wait_seconds=5)

    assert [2] == [one.receive_count for one in again]
    assert 1 <= time.monotonic() - started < 3


async def test_twelve_hours_are_the_longest(sqs: FakeSqs) -> None:
    """From the receive, however often it is extended."""
    queue = sqs.queue(URL)
    await sqs.send(URL, "a")
    held = await queue.receive(10, wait_seconds=0)
    await sqs.advance(10)

    most = SQS_MAX_VISIBILITY_SECONDS - 10
    assert Settled(lost=tuple(held)) == await queue.set_visibility(held, most + 1)
    assert Settled(done=tuple(held)) == await queue.set_visibility(held, most)


async def test_a_dead_letter_keeps_its_age(sqs: FakeSqs) -> None:
    """And is counted on: a redrive begins anew by sending."""
    sqs.create(URL, dead_letter_url=f"{URL}-dead", max_receive_count=1)
    await sqs.send(URL, "a")
    (first,) = await sqs.queue(URL, visibility_seconds=1).receive(10, wait_seconds=0)
    await sqs.advance(1)

    assert [] == await sqs.queue(URL).receive(10, wait_seconds=0)
    (dead,) = await sqs.queue(f"{URL}-dead").receive(10, wait_seconds=0)
    assert (first.sent_at, 2) == (dead.sent_at, dead.receive_count)
