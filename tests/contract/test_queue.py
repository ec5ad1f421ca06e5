"""The consumer's `Queue` and `Forwarder`: in memory, and on engines of SQS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from consumer.queue import (
    Delivery,
    Forwarder,
    Queue,
    QueueUnavailableError,
    Settled,
    SqsForwarder,
    SqsQueue,
)
from contract.engines import sqs_calls
from contract.queues import (
    Queues,
    Sent,
    bodies,
    receive,
)
from fakes.queue import FakeSqs
from tenantry.limits import DEFAULT_MAX_MESSAGE_BYTES, SQS_BATCH_BYTES
from tenantry.metrics import ConsumerMetrics

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}


@pytest.fixture(
    params=[
        "fake",
        "standin",
        "moto",
        "ministack",
        "ministack-botocore",
        pytest.param("elasticmq", marks=pytest.mark.engines),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    """Where the queues are."""
    name: str = request.param
    return name


@pytest.fixture
async def nowhere(engine: str, nowhere_url: str) -> AsyncGenerator[tuple[Queue, Forwarder, str]]:
    """A queue and a forwarder whose service does not answer, and a URL for it."""
    url = f"{nowhere_url}/000000000000/any"
    if engine == "fake":
        sqs = FakeSqs()
        sqs.create(url)
        sqs.down = True
        yield sqs.queue(url), sqs.forwarder(), url
        return
    metrics = ConsumerMetrics(CollectorRegistry())
    async with sqs_calls(nowhere_url, engine) as client:
        queue = SqsQueue(client, url, visibility_seconds=30, metrics=metrics)
        yield queue, SqsForwarder(client, metrics), url


# Receiving


async def test_a_message_is_received_as_it_was_sent(queues: Queues) -> None:
    """Body and attributes; the first receive is counted as one."""
    url = await queues.make()
    before = time.time()
    await queues.send(url, Sent('{"a": "ü \U0001f600"}', TRACE))
    asked_at = time.monotonic()
    (found,) = await receive(queues.queue(url), 1)

    assert '{"a": "ü \U0001f600"}'.encode() == found.body
    assert found.attributes == TRACE
    assert found.receive_count == 1
    assert before - 1 <= found.sent_at <= time.time() + 1
    assert asked_at - 1 <= found.received_at <= time.monotonic()


async def test_whatever_sqs_takes_arrives_unchanged(queues: Queues) -> None:
    """White space at the ends, control characters that XML has, the highest planes, entities."""
    text = "\t\n x \x85\u2028 \ud7ff\ue000\ufffd \U00010000\U0010ffff &amp;<a> \r\n "
    url = await queues.make()
    await queues.send(url, Sent(text))

    assert [text] == bodies(await receive(queues.queue(url), 1))


async def test_a_receive_brings_no_more_than_asked_for(queues: Queues) -> None:
    """The others stay visible."""
    url = await queues.make()
    await queues.send(url, *(Sent(str(n)) for n in range(5)))
    found = await queues.queue(url).receive(3, wait_seconds=1)

    assert 1 <= len(found) <= 3
    assert (5 - len(found), len(found)) == await queues.depth(url)


async def test_what_is_received_is_hidden(queues: Queues) -> None:
    """Another receive does not bring it."""
    url = await queues.make()
    await queues.send(url, Sent("a"))
    await receive(queues.queue(url), 1)

    assert [] == await queues.queue(url).receive(10, wait_seconds=0)


async def test_an_empty_queue_answers_at_once_where_nothing_shall_wait(queues: Queues) -> None:
    """A receive of no wait is no long poll."""
    queue = queues.queue(await queues.make())
    started = time.monotonic()

    assert [] == await queue.receive(10, wait_seconds=0)
    assert time.monotonic() - started < 2


async def test_a_long_poll_ends_when_a_message_comes(queues: Queues) -> None:
    """Not when its time is over."""
    url = await queues.make()
    started = time.monotonic()
    poll = asyncio.create_task(queues.queue(url).receive(10, wait_seconds=20))
    await queues.polling(url)
    assert not poll.done()
    await queues.send(url, Sent("a"))

    assert ["a"] == bodies(await poll)
    assert time.monotonic() - started < 5


async def test_what_was_not_settled_comes_again_and_is_counted(queues: Queues) -> None:
    """After its visibility timeout; what was extended does not come with it."""
    url = await queues.make()
    await queues.send(url, Sent("a"), Sent("b"))
    queue = queues.queue(url, visibility_seconds=2)
    first = await receive(queue, 2)
    extended = next(one for one in first if one.body == b"b")
    assert Settled(done=(extended,)) == await queue.set_visibility([extended], 30)
    await queues.pass_time(2.1)
    (again,) = await receive(queue, 1)

    assert again.body == b"a"
    assert again.receive_count == 2
    assert [] == await queue.receive(10, wait_seconds=0)


async def test_a_visibility_of_zero_gives_back(queues: Queues) -> None:
    """At once, any number of them, and each receive is counted."""
    url = await queues.make()
    await queues.send(url, *(Sent(f"{n:02}") for n in range(12)))
    queue = queues.queue(url)
    held = await receive(queue, 12)
    given = await queue.set_visibility(held, 0)
    again = await receive(queue, 12)

    assert Settled(done=tuple(held)) == given
    assert bodies(held) == bodies(again)
    assert {2} == {one.receive_count for one in again}


# Settling


async def test_what_is_deleted_is_gone(queues: Queues) -> None:
    """More than one call takes, in one go."""
    url = await queues.make()
    await queues.send(url, *(Sent(str(n)) for n in range(13)))
    queue = queues.queue(url)
    held = await receive(queue, 13)

    assert Settled(done=tuple(held)) == await queue.delete(held)
    assert (0, 0) == await queues.depth(url)


async def test_nothing_to_settle_is_settled(queues: Queues) -> None:
    """No call is made that the service would refuse."""
    queue = queues.queue(await queues.make())

    assert Settled() == await queue.delete([])
    assert Settled() == await queue.set_visibility([], 0)
    assert Settled() == await queues.forwarder.forward(queues.missing(), None, [])


@pytest.mark.needs("DeleteMessageBatch, a handle that is not one")
async def test_a_handle_that_is_none_is_lost_and_its_neighbours_are_deleted(
    queues: Queues,
) -> None:
    """HTTP 200 says nothing about the entries."""
    url = await queues.make()
    await queues.send(url, *(Sent(str(n)) for n in range(3)))
    queue = queues.queue(url)
    held = await receive(queue, 3)
    bad = replace(held[1], receipt_handle="nonsense")
    settled = await queue.delete([held[0], bad, held[2]])

    assert Settled(done=(held[0], held[2]), lost=(bad,)) == settled
    assert (0, 1) == await queues.depth(url)


@pytest.mark.needs("DeleteMessageBatch, a handle of an earlier receive")
async def test_the_handle_of_an_earlier_receive_deletes_nothing(queues: Queues) -> None:
    """The message is somebody else's now; whether done or lost, trying again is no use.

    SQS answers that it is done, engines that the handle is none.
    """
    url = await queues.make()
    await queues.send(url, Sent("a"))
    queue = queues.queue(url)
    (stale,) = await receive(queue, 1)
    await queue.set_visibility([stale], 0)
    (fresh,) = await receive(queue, 1)

    assert fresh.receipt_handle != stale.receipt_handle
    assert await queue.delete([stale]) in (Settled(lost=(stale,)), Settled(done=(stale,)))
    assert (0, 1) == await queues.depth(url)


@pytest.mark.needs("ChangeMessageVisibilityBatch, a message that is not in flight")
async def test_what_is_visible_again_cannot_be_extended(queues: Queues) -> None:
    """Somebody else may have it any moment: it is lost."""
    url = await queues.make()
    await queues.send(url, Sent("a"))
    queue = queues.queue(url)
    held = await receive(queue, 1)
    await queue.set_visibility(held, 0)

    assert Settled(lost=tuple(held)) == await queue.set_visibility(held, 30)


@pytest.mark.needs("ChangeMessageVisibilityBatch, a deleted message")
async def test_what_is_deleted_cannot_be_extended(queues: Queues) -> None:
    """It is lost, and not failed: trying again is no use."""
    url = await queues.make()
    await queues.send(url, Sent("a"), Sent("b"))
    queue = queues.queue(url)
    held = await receive(queue, 2)
    await queue.delete(held[:1])
    settled = await queue.set_visibility(held, 30)

    assert Settled(done=(held[1],), lost=(held[0],)) == settled


@pytest.mark.needs("DeleteMessageBatch, a deleted message")
async def test_deleting_again_is_done(queues: Queues) -> None:
    """An answer that was lost is no harm."""
    url = await queues.make()
    await queues.send(url, Sent("a"))
    queue = queues.queue(url)
    held = await receive(queue, 1)
    await queue.delete(held)

    assert Settled(done=tuple(held)) == await queue.delete(held)


async def test_what_was_received_too_often_is_a_dead_letter(queues: Queues) -> None:
    """After `maxReceiveCount` receives, with its attributes; its neighbours are not."""
    url = await queues.make(max_receive_count=2)
    await queues.send(url, Sent("bad", TRACE))
    queue = queues.queue(url)
    for _ in range(2):
        await queue.set_visibility(await receive(queue, 1), 0)
    await queues.send(url, Sent("good"))

    assert ["good"] == bodies(await receive(queue, 1))
    assert [] == await queue.receive(10, wait_seconds=0)
    dead = await receive(queues.queue(queues.dead_letters(url)), 1)
    assert [(b"bad", TRACE)] == [(one.body, one.attributes) for one in dead]


# Forwarding


async def held(queues: Queues, *messages: Sent) -> list[Delivery]:
    """Messages received from a queue of their own, in the order of their bodies."""
    url = await queues.make(max_message_bytes=DEFAULT_MAX_MESSAGE_BYTES)
    await queues.send(url, *messages)
    found = await receive(queues.queue(url), len(messages))
    return sorted(found, key=lambda one: one.body)


@pytest.mark.needs("SendMessageBatch, MessageGroupId on a standard queue")
async def test_a_group_is_set_on_what_is_forwarded(queues: Queues) -> None:
    """Body and attributes are as they were; so a pool's queue stays fair."""
    target = await queues.make()
    messages = await held(queues, Sent("a", TRACE), Sent("b"))

    assert Settled(done=tuple(messages)) == await queues.forwarder.forward(
        target, "acme", messages
    )
    found = sorted(await queues.contents(target), key=lambda one: one.body)
    assert [Sent("a", TRACE, "acme"), Sent("b", {}, "acme")] == found


async def test_what_is_forwarded_keeps_body_and_attributes(queues: Queues) -> None:
    """Without a group, where the tenant has a queue of its own."""
    target = await queues.make()
    messages = await held(queues, Sent("ü\U0001f600\t", TRACE | {"b": "ü"}))
    settled = await queues.forwarder.forward(target, None, messages)

    assert Settled(done=tuple(messages)) == settled
    assert [Sent("ü\U0001f600\t", TRACE | {"b": "ü"})] == await queues.contents(target)


@pytest.mark.needs("SendMessageBatch of 1 MiB")
async def test_many_are_forwarded_in_calls_that_sqs_takes(queues: Queues) -> None:
    """More than ten, and more than 1 MiB."""
    target = await queues.make()
    messages = await held(queues, *(Sent(f"{n:02}" + "x" * 150_000) for n in range(12)))
    settled = await queues.forwarder.forward(target, None, messages)

    assert Settled(done=tuple(messages)) == settled
    assert bodies(messages) == sorted(one.body for one in await queues.contents(target))


@pytest.mark.needs("SendMessageBatch of 1 MiB")
async def test_a_call_of_exactly_one_mebibyte_is_taken(queues: Queues) -> None:
    """Attributes included: four messages of the largest size a queue takes by default."""
    target = await queues.make()
    attributes = {"a": "é" * 10}
    size = DEFAULT_MAX_MESSAGE_BYTES - len("a") - len("String") - 20
    messages = await held(queues, *(Sent(f"{n}" + "x" * (size - 1), attributes) for n in range(4)))
    assert 4 * DEFAULT_MAX_MESSAGE_BYTES == SQS_BATCH_BYTES

    settled = await queues.forwarder.forward(target, None, messages)

    assert Settled(done=tuple(messages)) == settled


@pytest.mark.needs("SendMessageBatch, an entry that is too large fails alone")
async def test_what_the_other_queue_never_takes_is_lost(queues: Queues) -> None:
    """And its neighbours are forwarded."""
    target = await queues.make(max_message_bytes=1_024)
    messages = await held(queues, Sent("a"), Sent("b" * 1_025), Sent("c" * 1_024))
    settled = await queues.forwarder.forward(target, None, messages)

    assert Settled(done=(messages[0], messages[2]), lost=(messages[1],)) == settled
    assert ["a", "c" * 1_024] == sorted(one.body for one in await queues.contents(target))


# Outages


async def test_a_queue_that_is_not_there_yet_can_be_waited_for(queues: Queues) -> None:
    """Receiving says so; settling and forwarding may be tried again."""
    messages = await held(queues, Sent("a"))
    queue = queues.queue(queues.missing())

    with pytest.raises(QueueUnavailableError):
        await queue.receive(10, wait_seconds=0)
    assert Settled(failed=tuple(messages)) == await queue.delete(messages)
    assert Settled(failed=tuple(messages)) == await queue.set_visibility(messages, 0)
    assert Settled(failed=tuple(messages)) == await queues.forwarder.forward(
        queues.missing(), None, messages
    )


async def test_a_service_that_does_not_answer_can_be_waited_for(
    nowhere: tuple[Queue, Forwarder, str],
) -> None:
    """As a queue that is not there."""
    queue, forwarder, url = nowhere
    one = Delivery("handle", b"a", {}, 1, 0.0, 0.0)

    with pytest.raises(QueueUnavailableError):
        await queue.receive(10, wait_seconds=0)
    assert Settled(failed=(one,)) == await queue.delete([one])
    assert Settled(failed=(one,)) == await queue.set_visibility([one], 0)
    assert Settled(failed=(one,)) == await forwarder.forward(url, None, [one])
