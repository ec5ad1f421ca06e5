"""What the producer says became of a message: that nothing was sent only when nothing was."""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from aiobotocore.credentials import AioCredentials
from botocore.exceptions import CredentialRetrievalError
from prometheus_client import CollectorRegistry

from producer.publisher import Outgoing, SqsPublisher, _Entry, _Lane
from support.raw_server import Peer, answer, certificate, raw_server
from support.transports import QUEUE_URL, TRANSPORTS, calls_of
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)
from tenantry.metrics import ProducerMetrics
from tenantry_local.processes import free_port

_TAKEN: Final = answer(b'{"Successful": [{"Id": "0"}], "Failed": []}')
_WHOLE: Final = answer(b'{"Successful": [{"Id": "0"}]}')


def refused(code: str, status: str = "400 Bad Request", query: str = "") -> bytes:
    """An answer of SQS that refuses a call."""
    headers = [f"x-amzn-query-error: {query};Sender"] if query else []
    return answer(json.dumps({"__type": code}).encode(), *headers, status=status)


def failed(code: str, *, sender: str) -> bytes:
    """An answer that refuses the one entry."""
    entry = f'{{"Id": "0", "Code": "{code}", "SenderFault": {sender}}}'
    return answer(f'{{"Failed": [{entry}]}}'.encode())


#: What the server sends for a request before it ends the connection, and what that means.
ANSWERS: Final[dict[str, tuple[bytes, type[TenantryError] | None]]] = {
    "taken": (_TAKEN, None),
    "nothing": (b"", OutcomeUnknownError),
    "half a head": (_WHOLE[:12], OutcomeUnknownError),
    "a head": (_WHOLE[: _WHOLE.index(b"\r\n\r\n") + 4], OutcomeUnknownError),
    "half a body": (_WHOLE[:-1], OutcomeUnknownError),
    "garbage": (b"\x15\x03\x01\x00\x02\x02\x28", OutcomeUnknownError),
    "continue": (b"HTTP/1.1 100 Continue\r\n\r\n", OutcomeUnknownError),
    "no JSON": (answer(b"<html>"), OutcomeUnknownError),
    "no entries": (answer(b"{}"), OutcomeUnknownError),
    "empty": (answer(b""), OutcomeUnknownError),
    "server's error": (refused("InternalError", "500 Oops"), OutcomeUnknownError),
    "unavailable": (answer(b"", status="503 Service Unavailable"), OutcomeUnknownError),
    "bad gateway": (answer(b"<html>no</html>", status="502 Bad Gateway"), OutcomeUnknownError),
    "time-out of a gateway": (
        b"HTTP/1.1 504 Gateway Time-out\r\n\r\n<html>no</html>",
        OutcomeUnknownError,
    ),
    "throttled": (refused("ThrottlingException"), NotAcceptedError),
    "signature": (refused("SignatureDoesNotMatch", "403 Forbidden"), NotAcceptedError),
    "unreadable refusal": (answer(b"no", status="400 Bad Request"), NotAcceptedError),
    "refusal without a length": (b"HTTP/1.1 400 Bad Request\r\n\r\nno", NotAcceptedError),
    "entry, server's fault": (failed("InternalError", sender="false"), NotAcceptedError),
    "entry, throttled": (failed("RequestThrottled", sender="true"), NotAcceptedError),
    "entry, invalid": (failed("InvalidMessageContents", sender="true"), InvalidMessageError),
    "call, invalid": (refused("InvalidParameterValue"), InvalidMessageError),
    "no queue": (
        refused("QueueDoesNotExist", query="AWS.SimpleQueueService.NonExistentQueue"),
        MisplacedError,
    ),
    "denied": (refused("AccessDeniedException", "403 Forbidden"), MisplacedError),
}


@dataclass(slots=True)
class Bench:
    """One message in a publisher, whose calls go to a server one by one."""

    calls: Any
    entry: _Entry = field(init=False)
    lane: _Lane = field(init=False)

    def __post_init__(self) -> None:
        publisher = SqsPublisher(
            self.calls,
            ProducerMetrics(CollectorRegistry()),
            linger_seconds=0,
            calls_per_queue=1,
            queue_buffer_bytes=1,
            buffer_bytes=1,
        )
        self.lane = _Lane(publisher, QUEUE_URL)
        outcome = asyncio.get_running_loop().create_future()
        self.entry = _Entry(Outgoing("a", {}, None), 1, 0.0, outcome)

    async def attempt(self) -> None:
        """One call."""
        await self.lane._attempt([self.entry])

    def outcome(self) -> type[TenantryError] | None:
        """What a client is told, whose time ends now."""
        self.lane.give_up([self.entry])
        error = self.entry.outcome.result()
        return None if error is None else type(error)


@dataclass(slots=True)
class Sqs:
    """A server that sends these bytes for a request, and counts what reached it."""

    data: bytes
    requests: int = 0

    async def script(self, peer: Peer) -> None:
        await peer.request()
        self.requests += 1
        await peer.send(self.data)


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer_or_none_means_the_same_by_either_way(name: str) -> None:
    """A refusal is an answer: nothing was taken. Whatever else follows a request is unknown."""
    data, expected = ANSWERS[name]
    for transport in TRANSPORTS:
        sqs = Sqs(data)
        async with (
            raw_server(sqs.script) as server,
            calls_of(transport, "sqs", f"http://127.0.0.1:{server.port}") as calls,
        ):
            bench = Bench(calls)
            await bench.attempt()

            assert (expected, 1) == (bench.outcome(), sqs.requests)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_answer_that_does_not_come_is_unknown(transport: str) -> None:
    """The request is there all the same."""
    asked = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.over()

    async with (
        raw_server(script) as server,
        calls_of(transport, "sqs", f"http://127.0.0.1:{server.port}", read_seconds=0.2) as calls,
    ):
        bench = Bench(calls)
        async with asyncio.timeout(2):
            await bench.attempt()

        assert OutcomeUnknownError is bench.outcome()
        assert asked.is_set()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_refused_connection_has_taken_nothing(transport: str) -> None:
    """Nothing listens."""
    async with calls_of(transport, "sqs", f"http://127.0.0.1:{free_port()}") as calls:
        bench = Bench(calls)
        await bench.attempt()

        assert NotAcceptedError is bench.outcome()


async def _never(peer: Peer) -> None:
    await peer.over()


async def test_connections_that_never_are_have_taken_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys are never agreed on: no byte of a request left."""
    monkeypatch.setattr("tenantry.aws.CONNECT_SECONDS", 0.1)
    made = certificate(tmp_path, "127.0.0.1")
    async with raw_server(_never) as server:
        url = f"https://127.0.0.1:{server.port}"
        async with calls_of("lean", "sqs", url, ca_bundle=str(made.path)) as calls:
            bench = Bench(calls)
            await bench.attempt()

            assert NotAcceptedError is bench.outcome()


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_server_that_is_somebody_else_is_never_said_to_have_taken_it(
    tmp_path: Path, transport: str
) -> None:
    """No byte of the message left before its certificate was looked at."""
    made = certificate(tmp_path, "other.example")
    sqs = Sqs(_TAKEN)
    async with (
        raw_server(sqs.script, tls=made.server) as server,
        calls_of(transport, "sqs", f"https://127.0.0.1:{server.port}") as calls,
    ):
        bench = Bench(calls)
        await bench.attempt()

        assert (NotAcceptedError, 0) == (bench.outcome(), sqs.requests)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "encrypted"])
async def test_nothing_was_sent_is_said_only_when_nothing_was(
    tmp_path: Path, transport: str, secure: bool
) -> None:
    """A server that ends connections at once, many times: before the request, or after."""
    made = certificate(tmp_path, "127.0.0.1")
    tls: ssl.SSLContext | None = made.server if secure else None
    came: list[bool] = []

    async def script(peer: Peer) -> None:
        if len(came) % 2:
            peer.end(reset=True)
            came.append(False)
        else:
            came.append(True)
            await peer.request()

    async with raw_server(script, tls=tls) as server:
        url = f"{'https' if secure else 'http'}://127.0.0.1:{server.port}"
        bundle = str(made.path) if secure else None
        async with calls_of(transport, "sqs", url, ca_bundle=bundle) as calls:
            for number in range(10):
                bench = Bench(calls)
                await bench.attempt()
                if bench.outcome() is NotAcceptedError:
                    assert not came[number]


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    "then", [refused("ThrottlingException"), failed("InternalError", sender="false")]
)
async def test_what_may_have_been_sent_once_stays_so(transport: str, then: bytes) -> None:
    """A refusal of the second call says nothing about the first, whose answer was lost."""
    sqs = Sqs(b"")
    async with (
        raw_server(sqs.script) as server,
        calls_of(transport, "sqs", f"http://127.0.0.1:{server.port}") as calls,
    ):
        bench = Bench(calls)
        await bench.attempt()
        sqs.data = then
        await bench.attempt()

        assert (OutcomeUnknownError, 2) == (bench.outcome(), sqs.requests)


class _Broken(AioCredentials):
    """Credentials that cannot be had."""

    async def get_frozen_credentials(self) -> Any:  # type: ignore[override]
        raise CredentialRetrievalError(provider="container-role", error_msg="no")


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_call_that_nobody_can_sign_has_taken_nothing(transport: str) -> None:
    """No byte left."""
    sqs = Sqs(_TAKEN)
    async with (
        raw_server(sqs.script) as server,
        calls_of(
            transport, "sqs", f"http://127.0.0.1:{server.port}", credentials=_Broken("a", "b")
        ) as calls,
    ):
        bench = Bench(calls)
        await bench.attempt()

        assert (NotAcceptedError, 0) == (bench.outcome(), sqs.requests)
        assert [] == server.peers
