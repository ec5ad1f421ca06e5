"""What a request is signed by: AWS's clock, and the credentials of the moment."""

from __future__ import annotations

import asyncio
import calendar
import datetime as dt
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.utils import formatdate
from typing import Any, Final

import pytest
from aiobotocore.credentials import AioCredentials, AioRefreshableCredentials
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    MetadataRetrievalError,
)

from fakes.clock import Clock
from support.raw_server import Peer, Request, answer, answering, raw_server
from support.transports import CALLS, TRANSPORTS, calls_of, insert, refusal, send
from tenantry.transport.calls import SKEW_SECONDS

#: A clock that far off is refused by AWS.
MOST_SECONDS: Final = 300.0
HOUR: Final = 3_600.0


class Aws:
    """A server that refuses what its clock calls too old or too new."""

    def __init__(self, *, ahead: float = 0.0, code: str = "InvalidSignatureException") -> None:
        self.ahead = ahead
        self.code = code
        #: Who asked, in order, whether it was answered or refused.
        self.requests: list[Request] = []
        #: In place of its own.
        self.date: str | None = None

    async def script(self, peer: Peer) -> None:
        while True:
            request = await peer.request()
            self.requests.append(request)
            now = time.time() + self.ahead
            date = formatdate(now, usegmt=True) if self.date is None else self.date
            headers = [f"Date: {date}"] if date else []
            stamp = time.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ")
            if abs(calendar.timegm(stamp) - now) < MOST_SECONDS:
                await peer.send(answer(b"{}", *headers))
            else:
                body = f'{{"__type": "com.amazon#{self.code}", "message": "expired"}}'.encode()
                await peer.send(answer(body, *headers, status="403 Forbidden"))


@asynccontextmanager
async def calls_to(aws: Aws, service: str = "dynamodb") -> AsyncGenerator[Any]:
    """Lean calls to it."""
    async with (
        raw_server(aws.script) as server,
        calls_of("lean", service, f"http://127.0.0.1:{server.port}") as calls,
    ):
        yield calls


# --- the clock -------------------------------------------------------------------------------


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize("ahead", [HOUR, -HOUR, 400.0, -400.0, 400 * 24 * HOUR])
@pytest.mark.parametrize(
    "code", ["InvalidSignatureException", "RequestTimeTooSkewed", "RequestExpired"]
)
async def test_a_clock_that_is_wrong_costs_one_request(
    service: str, ahead: float, code: str
) -> None:
    """It is signed again by AWS's clock, as is all that follows; botocore fails for ever."""
    aws = Aws(ahead=ahead, code=code)
    async with calls_to(aws, service) as calls:
        assert {} == await CALLS[service](calls)
        assert 2 == len(aws.requests)
        assert aws.requests[0].body == aws.requests[1].body
        await CALLS[service](calls)

    assert 3 == len(aws.requests)
    assert ahead == pytest.approx(calls.skew_seconds, abs=5)


async def test_many_calls_at_once_are_all_signed_again() -> None:
    """Only the first of them used to be: the others failed by a correction they had not used."""
    aws = Aws(ahead=HOUR)
    async with calls_to(aws) as calls:
        assert [{}] * 20 == await asyncio.gather(*(insert(calls) for _ in range(20)))

    assert 40 >= len(aws.requests)


async def test_a_clock_that_is_put_right_costs_one_request() -> None:
    """Its correction is taken back."""
    aws = Aws(ahead=HOUR)
    async with calls_to(aws) as calls:
        await insert(calls)
        aws.ahead = 0.0
        await insert(calls)
        await insert(calls)

    assert 5 == len(aws.requests)
    assert 0.0 == pytest.approx(calls.skew_seconds, abs=5)


@pytest.mark.parametrize(
    ("code", "ahead"),
    [
        ("SignatureDoesNotMatch", 0.0),
        ("InvalidSignatureException", SKEW_SECONDS - 10),
        ("InvalidSignatureException", 10 - SKEW_SECONDS),
        ("AccessDeniedException", HOUR),
        ("ExpiredTokenException", HOUR),
        ("UnrecognizedClientException", HOUR),
    ],
)
async def test_what_no_clock_is_to_blame_for_is_not_tried_again(code: str, ahead: float) -> None:
    """A wrong key stays wrong; another refusal has another reason."""
    body = f'{{"__type": "{code}"}}'.encode()
    date = f"Date: {formatdate(time.time() + ahead, usegmt=True)}"
    seen = 0

    async def script(peer: Peer) -> None:
        nonlocal seen
        while True:
            await peer.request()
            seen += 1
            await peer.send(answer(body, date, status="403 Forbidden"))

    async with (
        raw_server(script) as server,
        calls_of("lean", "sqs", f"http://127.0.0.1:{server.port}") as calls,
    ):
        assert code == (await refusal(calls, "sqs")).response["Error"]["Code"]
        assert (1, 0.0) == (seen, calls.skew_seconds)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "yesterday",
        "Mon, 32 Jan 2026 99:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2400",
    ],
    ids=["none", "words", "no day", "no zone"],
)
async def test_a_date_that_says_nothing_corrects_nothing(date: str) -> None:
    """The refusal is told as it is."""
    aws = Aws(ahead=HOUR)
    aws.date = date
    async with calls_to(aws) as calls:
        assert aws.code == (await refusal(calls, "dynamodb")).response["Error"]["Code"]
        assert (1, 0.0) == (len(aws.requests), calls.skew_seconds)


async def test_a_server_that_never_agrees_is_asked_twice() -> None:
    """Each call: a correction that does not help is no reason for a third request."""
    aws = Aws(ahead=HOUR)
    aws.date = formatdate(time.time() + 10 * HOUR, usegmt=True)
    async with calls_to(aws) as calls:
        await refusal(calls, "dynamodb")
        assert 2 == len(aws.requests)
        await refusal(calls, "dynamodb")
        assert 3 == len(aws.requests)


# --- credentials -----------------------------------------------------------------------------


class Fetcher:
    """Makes credentials, each with a number, that last for an hour of its clock."""

    def __init__(self) -> None:
        self.clock = Clock(time.time())
        self.fetches = 0
        self.error: Exception | None = None
        self.lasts = HOUR
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> dict[str, str]:
        self.fetches += 1
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.made()

    def made(self) -> dict[str, str]:
        until = dt.datetime.fromtimestamp(self.clock() + self.lasts, dt.UTC)
        return {
            "access_key": f"KEY{self.fetches}",
            "secret_key": f"secret {self.fetches}",
            "token": f"token-{self.fetches}",
            "expiry_time": until.isoformat(),
        }

    def credentials(self) -> Any:
        """As a pod's: they are fetched anew when they are about to end."""
        made: Any = AioRefreshableCredentials.create_from_metadata(self.made(), self, "test")
        made._time_fetcher = lambda: dt.datetime.fromtimestamp(self.clock(), dt.UTC)
        return made


@asynccontextmanager
async def signing(
    transport: str, credentials: Any, requests: list[Request]
) -> AsyncGenerator[Any]:
    """Calls that sign with these; what comes is noted."""

    async def script(peer: Peer) -> None:
        while True:
            requests.append(await peer.request())
            await peer.send(answer())

    async with (
        raw_server(script) as server,
        calls_of(
            transport, "sqs", f"http://127.0.0.1:{server.port}", credentials=credentials
        ) as calls,
    ):
        yield calls


def signed_with(requests: list[Request]) -> list[tuple[str, str]]:
    """Key and token of each request."""
    return [
        (
            request.headers["authorization"].split("Credential=")[1].split("/")[0],
            request.headers["x-amz-security-token"],
        )
        for request in requests
    ]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_credentials_that_were_fetched_anew_are_used_at_once(transport: str) -> None:
    """Key, secret and token of one fetch together, fetched when they are about to end."""
    requests: list[Request] = []
    fetcher = Fetcher()
    async with signing(transport, fetcher.credentials(), requests) as calls:
        await send(calls)
        fetcher.clock.advance(HOUR - 60)
        await send(calls)
        await send(calls)

    assert [("KEY0", "token-0"), ("KEY1", "token-1"), ("KEY1", "token-1")] == signed_with(requests)
    assert 1 == fetcher.fetches


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_credentials_are_fetched_once_for_many_calls(transport: str) -> None:
    """All wait for the one fetch; none goes out with what has ended."""
    requests: list[Request] = []
    fetcher = Fetcher()
    async with signing(transport, fetcher.credentials(), requests) as calls:
        fetcher.clock.advance(2 * HOUR)
        fetcher.open.clear()
        under_way = [asyncio.ensure_future(send(calls)) for _ in range(20)]
        await asyncio.sleep(0)
        assert [] == requests
        fetcher.open.set()
        await asyncio.gather(*under_way)

    assert {("KEY1", "token-1")} == set(signed_with(requests))
    assert (1, 20) == (fetcher.fetches, len(requests))


@pytest.mark.parametrize(
    "error",
    [
        CredentialRetrievalError(provider="container-role", error_msg="no"),
        MetadataRetrievalError(error_msg="no"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "AssumeRoleWithWebIdentity"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_credentials_that_cannot_be_had_fail_as_botocores(error: Exception) -> None:
    """Nothing is sent; once they can be had again, it is."""
    for transport in TRANSPORTS:
        requests: list[Request] = []
        fetcher = Fetcher()
        async with signing(transport, fetcher.credentials(), requests) as calls:
            fetcher.clock.advance(2 * HOUR)
            fetcher.error = error
            with pytest.raises(type(error)):
                await send(calls)
            assert [] == requests
            fetcher.error = None
            await send(calls)

        assert [("KEY2", "token-2")] == signed_with(requests)


async def test_credentials_that_are_expired_when_made_cannot_be_had() -> None:
    """With a RuntimeError botocore says so, which no caller could tell from a bug."""
    requests: list[Request] = []
    fetcher = Fetcher()
    async with signing("lean", fetcher.credentials(), requests) as calls:
        fetcher.clock.advance(2 * HOUR)
        fetcher.error = RuntimeError("refreshed, but still expired")
        with pytest.raises(CredentialRetrievalError):
            await send(calls)

    assert [] == requests


async def test_credentials_that_are_good_for_a_while_outlive_a_failing_fetch() -> None:
    """A fetch in good time may fail: what there is still signs."""
    requests: list[Request] = []
    fetcher = Fetcher()
    async with signing("lean", fetcher.credentials(), requests) as calls:
        fetcher.clock.advance(HOUR - 12 * 60)
        fetcher.error = OSError("no")
        await send(calls)

    assert [("KEY0", "token-0")] == signed_with(requests)
    assert 1 == fetcher.fetches


@pytest.mark.parametrize("token", ["token\n", "to\r\nken", "t\u00f6ken"])
async def test_credentials_that_no_header_takes_are_none(token: str) -> None:
    """A token from a file, with its line end: nothing is sent, and the error quotes nothing."""
    async with (
        raw_server(answering(answer())) as server,
        calls_of(
            "lean",
            "sqs",
            f"http://127.0.0.1:{server.port}",
            credentials=AioCredentials("AKIDEXAMPLE", "secret", token),
        ) as calls,
    ):
        with pytest.raises(CredentialRetrievalError) as caught:
            await send(calls)
        assert token not in str(caught.value)
        assert [] == server.peers
