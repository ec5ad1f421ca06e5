"""The producer's `Publisher`: in memory, and `SqsPublisher` on engines of SQS.

`fake-client` is `SqsPublisher` too, on the client of `fakes.publisher` that its unit tests use.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from typing import Any, Protocol

import pytest
from prometheus_client import CollectorRegistry

from contract.engines import sqs_calls
from contract.queues import MemoryQueues, Queues, Sent
from fakes.publisher import FakePublisher, FakeSqsClient
from fakes.queue import FakeSqs
from producer.publisher import Outgoing, Publisher, SqsPublisher
from tenantry.contract import Message, decode, dump_json
from tenantry.errors import InvalidMessageError, MisplacedError, NotAcceptedError, TenantryError
from tenantry.limits import DEFAULT_MAX_MESSAGE_BYTES, SQS_BATCH_BYTES
from tenantry.metrics import ProducerMetrics

TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
SECONDS = 6.0


class Publish(Protocol):
    """Publishes with a deadline so many seconds ahead."""

    async def __call__(
        self, url: str, *messages: Outgoing, seconds: float = SECONDS
    ) -> list[TenantryError | None]: ...


@pytest.fixture(
    params=[
        "fake",
        "fake-client",
        "standin",
        "moto",
        "ministack",
        "ministack-botocore",
        pytest.param("elasticmq", marks=pytest.mark.engines),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    """What sends, and where to."""
    name: str = request.param
    return name


@pytest.fixture
async def publish(engine: str, engine_url: str | None, queues: Queues) -> AsyncGenerator[Publish]:
    """The port under test."""
    if engine_url is None:
        assert isinstance(queues, MemoryQueues)
        in_memory = engine == "fake"
        sqs = queues.sqs
        yield _by(FakePublisher(sqs) if in_memory else _publisher(FakeSqsClient(sqs)))
        return
    async with sqs_calls(engine_url, engine) as client:
        yield _by(_publisher(client))


@pytest.fixture
async def publish_nowhere(engine: str, nowhere_url: str) -> AsyncGenerator[Publish]:
    """The port, where the service does not answer."""
    sqs = FakeSqs()
    sqs.down = True
    if engine == "fake":
        yield _by(FakePublisher(sqs))
    elif engine == "fake-client":
        yield _by(_publisher(FakeSqsClient(sqs)))
    else:
        async with sqs_calls(nowhere_url, engine) as client:
            yield _by(_publisher(client))


def _publisher(client: Any) -> SqsPublisher:
    return SqsPublisher(
        client,
        ProducerMetrics(CollectorRegistry()),
        linger_seconds=0.005,
        calls_per_queue=8,
        queue_buffer_bytes=8_388_608,
        buffer_bytes=33_554_432,
    )


def _by(publisher: Publisher) -> Publish:
    async def publish(
        url: str, *messages: Outgoing, seconds: float = SECONDS
    ) -> list[TenantryError | None]:
        deadline = time.monotonic() + seconds
        return await publisher.publish(url, messages, deadline=deadline)

    return publish


def plain(body: str) -> Outgoing:
    """A message of a tenant that has a queue of its own, and no trace."""
    return Outgoing(body, {}, None)


def kinds(outcomes: list[TenantryError | None]) -> list[type[TenantryError] | None]:
    """What became of each, without the words."""
    return [None if outcome is None else type(outcome) for outcome in outcomes]


@pytest.mark.needs("SendMessageBatch, MessageGroupId on a standard queue")
async def test_a_message_arrives_with_its_group_and_its_attributes(
    queues: Queues, publish: Publish
) -> None:
    """What makes a pool's queue fair, and what joins the traces."""
    url = await queues.make()
    outcomes = await publish(
        url, Outgoing("a", TRACE, "acme"), Outgoing("b", {}, "globex"), Outgoing("c", {}, None)
    )

    assert [None] * 3 == outcomes
    found = sorted(await queues.contents(url), key=lambda one: one.body)
    assert [Sent("a", TRACE, "acme"), Sent("b", {}, "globex"), Sent("c")] == found


async def test_a_payload_arrives_equal(queues: Queues, publish: Publish) -> None:
    """Also what is JSON and not allowed in SQS: noncharacters, control characters."""
    payload = {
        "\ufffe": "\uffff\x00\x1b\x7f\x85 ü \U0001f600 \\uffff",
        "n": [1e16, -0.0, 2**64 - 1],
    }
    message = Message(
        "019b7b2e-5c00-7abc-8def-0123456789ab",
        "acme",
        "order.created",
        dump_json(payload),
        "2026-01-02T03:04:05.678901Z",
    )
    url = await queues.make()

    assert [None] == await publish(url, plain(message.body()))
    (found,) = await queues.contents(url)
    assert message == decode(found.body.encode())


async def test_what_the_queue_never_takes_is_refused_alone(
    queues: Queues, publish: Publish
) -> None:
    """By the queue's own attribute: one byte more than that, between two that fit."""
    url = await queues.make(max_message_bytes=DEFAULT_MAX_MESSAGE_BYTES)
    outcomes = await publish(
        url,
        plain("a" * DEFAULT_MAX_MESSAGE_BYTES),
        plain("b" * (DEFAULT_MAX_MESSAGE_BYTES + 1)),
        plain("c"),
        seconds=2,
    )

    assert [None, InvalidMessageError, None] == kinds(outcomes)
    assert ["a", "c"] == sorted(one.body[0] for one in await queues.contents(url))


@pytest.mark.needs("SendMessageBatch, MaximumMessageSize with attributes")
async def test_attributes_count_for_the_size_of_a_message(
    queues: Queues, publish: Publish
) -> None:
    """Name, type and value of each."""
    own = len("traceparent") + len("String") + len(TRACE["traceparent"])
    fits = DEFAULT_MAX_MESSAGE_BYTES - own
    url = await queues.make(max_message_bytes=DEFAULT_MAX_MESSAGE_BYTES)
    outcomes = await publish(
        url,
        Outgoing("a" * fits, TRACE, None),
        Outgoing("b" * (fits + 1), TRACE, None),
        seconds=2,
    )

    assert [None, InvalidMessageError] == kinds(outcomes)


@pytest.mark.needs("SendMessageBatch, InvalidMessageContents")
async def test_characters_that_sqs_does_not_take_are_refused_alone(
    queues: Queues, publish: Publish
) -> None:
    """The contract escapes them; whoever does not learns that it is no use to try again."""
    url = await queues.make()
    outcomes = await publish(url, plain("a"), plain("b\uffff"), plain("c"), seconds=2)

    assert [None, InvalidMessageError, None] == kinds(outcomes)
    assert ["a", "c"] == sorted(one.body for one in await queues.contents(url))


async def test_more_than_one_call_takes_is_sent(queues: Queues, publish: Publish) -> None:
    """More than ten, and calls of exactly 1 MiB."""
    url = await queues.make()
    large = [plain(f"{n}" * DEFAULT_MAX_MESSAGE_BYTES) for n in range(8)]
    small = [plain(f"{n:02}") for n in range(23)]
    assert 2 * SQS_BATCH_BYTES == sum(one.size_bytes() for one in large)

    assert [None] * 31 == await publish(url, *large, *small)
    sent = sorted(one.body for one in await queues.contents(url))
    assert sorted(one.body for one in [*large, *small]) == sent


async def test_a_queue_that_is_not_there_is_misplaced(queues: Queues, publish: Publish) -> None:
    """At once, for each of its messages; others go where they belong."""
    url = await queues.make()
    started = time.monotonic()

    assert [MisplacedError] * 2 == kinds(await publish(queues.missing(), plain("a"), plain("b")))
    assert time.monotonic() - started < SECONDS / 2
    assert [None] == await publish(url, plain("c"))


async def test_a_service_that_does_not_answer_has_taken_nothing(
    publish_nowhere: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, and the answer comes by the deadline."""
    # At the deadline no attempt may be under way, of which nobody knows what becomes: without
    # jitter they begin after 0.05, 0.15, 0.35, 0.75, 1.55 and 2.55 s.
    monkeypatch.setattr("producer.publisher.random.uniform", lambda _, most: most)

    outcomes = await publish_nowhere("http://sqs.example/0/any", plain("a"), seconds=2.5)

    assert [NotAcceptedError] == kinds(outcomes)
