"""What went wrong once in sending, and must not again."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from botocore.exceptions import EndpointConnectionError
from prometheus_client import CollectorRegistry

from fakes.producer import ProducerApp
from fakes.publisher import FakeSqsClient, Step, answer, client_error, failed
from fakes.waiting import until
from producer import publisher as module
from producer.publisher import Outgoing, SqsPublisher
from tenantry.errors import NotAcceptedError, OutcomeUnknownError, TenantryError
from tenantry.metrics import ProducerMetrics

URL = "http://sqs.example/000000000000/dev-a-messages"
NEVER = 3_600.0

Outcome = asyncio.Task[list[TenantryError | None]]


class Sender:
    """A publisher on a fake client, with a linger that is over soon."""

    def __init__(self) -> None:
        self.client = FakeSqsClient()
        client: Any = self.client
        self.publisher = SqsPublisher(
            client,
            ProducerMetrics(CollectorRegistry()),
            linger_seconds=0.001,
            calls_per_queue=8,
            queue_buffer_bytes=1_048_576,
            buffer_bytes=1_048_576,
        )

    def send(self, body: str, seconds: float = NEVER) -> Outcome:
        """Publish one message, as one request does."""
        deadline = asyncio.get_running_loop().time() + seconds
        return asyncio.create_task(
            self.publisher.publish(URL, [Outgoing(body, {}, None)], deadline=deadline)
        )


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    """It backs off for a millisecond, not for fifty."""
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(module, "MOST_BACKOFF_SECONDS", 0.002)
    return Sender()


def failing(body: str, code: str, *, sender_fault: bool) -> Step:
    """Of one call, the entry with this body fails."""

    def step(entries: Sequence[Any]) -> dict[str, Any]:
        bad = [entry["Id"] for entry in entries if entry["MessageBody"] == body]
        return answer(entries, [failed(one, code, sender_fault=sender_fault) for one in bad])

    return step


_KEY = ConnectionKey("sqs.example", 80, False, True, None, None, None)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (aiohttp.ClientOSError(104, "Connection reset by peer"), OutcomeUnknownError),
        (aiohttp.ClientConnectionResetError("closing transport"), OutcomeUnknownError),
        (aiohttp.ClientConnectorError(_KEY, ConnectionRefusedError(111, "")), NotAcceptedError),
    ],
)
async def test_a_connection_that_breaks_leaves_a_doubt(
    sender: Sender, cause: Exception, kind: type[TenantryError]
) -> None:
    """A reset has the name of a refused connection in aiobotocore: SQS may have the message."""
    sender.client.then(*[EndpointConnectionError(endpoint_url=URL, error=cause)] * 1_000)

    (outcome,) = await sender.send("a", seconds=0.05)
    assert type(outcome) is kind


async def test_what_was_given_up_is_not_sent_by_the_second_half(sender: Sender) -> None:
    """Its client was told that nothing was sent, while the first half was under way."""
    gate = sender.client.hold(URL)
    gate.set()

    def refuse(_: Sequence[Any]) -> dict[str, Any]:
        gate.clear()
        raise client_error("BatchRequestTooLong")

    sender.client.then(refuse)
    sent = [sender.send(body) for body in "abc"]
    late = sender.send("d", seconds=0.05)
    (outcome,) = await late
    assert type(outcome) is NotAcceptedError
    gate.set()
    await asyncio.gather(*sent)

    assert ["abcd", "ab", "c"] == ["".join(call.bodies) for call in sender.client.calls]


async def test_one_entry_that_goes_on_failing_holds_up_nobody(sender: Sender) -> None:
    """The queue answers: what comes later has calls of its own."""
    sender.client.then(*[failing("bad", "InternalError", sender_fault=False)] * 100_000)
    bad, good = sender.send("bad"), sender.send("good")
    assert [None] == await good
    await until(lambda: len(sender.client.calls) > 3)

    async with asyncio.timeout(2):
        assert [None] == await sender.send("later")
    assert not bad.done()
    bad.cancel()


@pytest.mark.parametrize(
    "code", ["RequestThrottled", "ThrottlingException", "KMS.ThrottlingException", "KmsThrottled"]
)
async def test_an_entry_that_was_throttled_is_tried_again(sender: Sender, code: str) -> None:
    """SQS calls that the sender's fault, too; the message is good all the same."""
    sender.client.then(failing("a", code, sender_fault=True))

    assert [None] == await sender.send("a")


async def test_the_body_has_what_is_left_of_the_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow registry and a slow body together take no longer than one request may."""
    producer = ProducerApp(tmp_path / "jwks.json", request_seconds=10)
    # The deadline is set at 0 s; when the body is read, 9.99 s of the ten are gone.
    times = itertools.chain([1_000.0], itertools.repeat(1_009.99))
    monkeypatch.setattr("producer.hot.time", SimpleNamespace(monotonic=lambda: next(times)))

    async def never() -> Any:
        await asyncio.Event().wait()

    async with asyncio.timeout(5):
        answered = await producer.post(receive=never)
    assert answered.status == 408


async def test_a_tenants_own_producer_asks_for_no_other_placement(tmp_path: Path) -> None:
    """Its role may not: the denial looked like a registry that is gone, and was 503."""
    producer = ProducerApp(tmp_path / "jwks.json", instance="umbrella", tier="premium")
    answered = await producer.post(tenant="acme")

    assert "urn:tenantry:problem:misplaced" == answered.json["type"]
    assert [] == producer.registry.asked


async def test_a_tokens_header_with_a_lone_surrogate_is_401(tmp_path: Path) -> None:
    """The verifier quotes what is critical in it, and no answer could be written: 500."""
    head = base64.urlsafe_b64encode(rb'{"alg":"RS256","crit":["\ud83d"]}').rstrip(b"=")
    producer = ProducerApp(tmp_path / "jwks.json")
    token = (b"authorization", b"Bearer " + head + b".e30.AAAA")
    answered = await producer.post(only=[token, (b"content-type", b"application/json")])

    assert 401 == answered.status
    assert "urn:tenantry:problem:unauthenticated" == answered.json["type"]
