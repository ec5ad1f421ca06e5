"""To stop is to drain: nothing is aborted, nothing is lost, and what is left is given back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Final

import pytest

from consumer.poller import FINISH_SECONDS
from fakes.consuming import URL, Consuming, consume, world
from fakes.deliveries import a_message
from fakes.waiting import until

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


async def drained(consuming: Consuming) -> float:
    """Stop, and how long that took."""
    started = now()
    await consuming.stop()
    return now() - started


async def test_an_idle_poll_ends_by_itself(consuming: Consuming) -> None:
    """Aborted, it might strand what it was about to bring; so stopping takes up to one wait."""
    await until(lambda: consuming.queue.polls == 1)
    took = await drained(consuming)

    assert WAIT - 1 < took < WAIT + 1
    assert consuming.queue.cancelled == 0
    assert consuming.receives == 1
    assert consuming.health.stalled() == []


async def test_a_busy_consumer_finishes_what_it_holds(consuming: Consuming) -> None:
    """What the last polls bring is written and deleted; nothing is received after them."""
    await consuming.send_many(1_000)
    await until(lambda: len(consuming.stored) > 100)
    receives = consuming.receives + consuming.queue.polls
    took = await drained(consuming)

    assert took < 1
    assert receives >= consuming.receives
    assert consuming.queue.cancelled == 0
    # All that was received is stored and deleted; all else is untouched.
    assert len(consuming.stored) + len(consuming.left) == 1_000
    assert consuming.left == consuming.sqs.visible(URL)
    assert {0} == {one.receive_count for one in consuming.left}


async def test_a_message_that_comes_in_the_last_poll_is_stored(consuming: Consuming) -> None:
    """The poll was under way when the signal came."""
    await until(lambda: consuming.queue.polls == 1)
    consuming.poller.stop()
    await consuming.send_many(5)
    await consuming.running

    consuming.assert_stored_once()


async def test_what_cannot_be_written_in_time_is_given_back_at_once(
    consuming: Consuming,
) -> None:
    """The next consumer need not wait for the visibility timeout."""
    consuming.repository.down = True
    await consuming.send_many(50)
    await until(lambda: consuming.poller.blocked is not None)
    assert await drained(consuming) <= WAIT + DRAIN + 1

    assert len(consuming.sqs.visible(URL)) == 50
    assert {1} >= {one.receive_count for one in consuming.left} - {0}
    assert len(consuming.poller.hand) == 0
    assert consuming.stored == []


async def test_writes_that_hang_are_not_waited_for_for_ever(consuming: Consuming) -> None:
    """They get a little longer than the drain; what they hold is given back like the rest."""
    consuming.repository.open.clear()
    await consuming.send_many(200)
    await until(lambda: len(consuming.poller.hand) == 200)
    assert 0 < consuming.poller.hand.waiting < 200
    took = await drained(consuming)

    assert took <= WAIT + DRAIN + FINISH_SECONDS + 1
    assert len(consuming.sqs.visible(URL)) == 200
    assert {asyncio.current_task()} == asyncio.all_tasks()


async def test_a_write_that_ends_in_the_last_moment_is_deleted(consuming: Consuming) -> None:
    """It is stored: to give it back would be work for nothing."""
    consuming.repository.open.clear()
    await consuming.send_many(20)
    await until(lambda: len(consuming.poller.hand) == 20)
    consuming.poller.stop()
    await asyncio.sleep(WAIT + DRAIN + FINISH_SECONDS / 2)
    assert not consuming.running.done()
    consuming.repository.open.set()
    await consuming.running

    consuming.assert_stored_once()


async def test_a_store_that_comes_back_while_draining_is_used(consuming: Consuming) -> None:
    """The drain goes on probing."""
    consuming.repository.down = True
    await consuming.send_many(50)
    await until(lambda: consuming.poller.blocked is not None)
    held = {one.message for one in consuming.poller.hand}
    consuming.poller.stop()
    await asyncio.sleep(1)
    consuming.repository.down = False
    await consuming.running

    assert held <= set(consuming.stored)
    assert len(consuming.stored) + len(consuming.sqs.visible(URL)) == 50


async def test_what_was_just_stored_is_deleted_also_if_that_fails_once(
    consuming: Consuming,
) -> None:
    """A deletion is tried again while draining, too."""
    consuming.sqs.fail("delete", 2)
    await consuming.send_many(10)
    await until(lambda: len(consuming.stored) == 10)
    await consuming.stop()

    consuming.assert_stored_once()


async def test_bad_messages_do_not_hold_up_the_drain(consuming: Consuming) -> None:
    """They left the hand when they came."""
    await consuming.sqs.send(URL, b"no JSON")
    await until(lambda: consuming.receives == 2)
    assert await drained(consuming) < WAIT + 1

    assert len(consuming.left) == 1


async def test_it_can_be_stopped_before_it_started() -> None:
    """A signal may come at any time."""
    consuming = consume()
    await consuming.send_many(1)
    consuming.poller.stop()
    assert await drained(consuming) < 2

    assert consuming.receives == 0


async def test_what_one_consumer_gives_back_the_next_one_stores() -> None:
    """A rolling update in the middle of an outage spends one receive of what was in hand."""
    parts = world()
    first = consume(parts)
    parts[1].down = True
    await first.send_many(100)
    await until(lambda: first.poller.blocked is not None)
    await first.stop()
    parts[1].down = False
    second = consume(parts)
    second.sent = first.sent
    await until(lambda: not second.left)
    await second.close()

    second.assert_stored_once()


async def test_two_consumers_share_a_queue_and_store_once() -> None:
    """Neither knows of the other."""
    parts = world()
    first, second = consume(parts), consume(parts)
    await first.send_many(300)
    for message in first.sent[::3]:
        await first.sqs.send(URL, message.body())
    await until(lambda: not first.left)
    await asyncio.gather(first.stop(), second.stop())

    first.assert_stored_once()
    received = [one.metrics.received._value.get() for one in (first, second)]
    assert all(received)
    assert sum(received) == 400


async def test_the_last_word_is_not_an_extension(consuming: Consuming) -> None:
    """What was given back stays given back."""
    consuming.repository.down = True
    await consuming.send(*(a_message() for _ in range(5)))
    await until(lambda: len(consuming.poller.hand) == 5)
    await consuming.stop()
    await asyncio.sleep(60)

    assert len(consuming.sqs.visible(URL)) == 5
    assert {asyncio.current_task()} == asyncio.all_tasks()
