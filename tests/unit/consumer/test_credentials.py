"""Reads in a pool are signed for one tenant, or not at all: never with this process's role."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from aiobotocore.credentials import AioCredentials
from aiohttp import web
from botocore.exceptions import ClientError, EndpointConnectionError

from consumer import credentials as module
from consumer.credentials import (
    RENEW_SECONDS,
    RETRY_SECONDS,
    ReaderSessions,
    sign_each,
    signing_with,
)
from consumer.reads import Reads
from consumer.repository import DynamoMessageReader
from fakes.clock import Clock
from fakes.deliveries import message_id
from fakes.registry import MemoryRegistry, a_placement
from fakes.waiting import until
from tenantry.aws import Aws
from tenantry.errors import MessageNotFoundError, StoreUnavailableError
from tenantry.registry import PlacementCache
from tenantry.tenant_id import TenantId

ACME: Final = TenantId("acme")
GLOBEX: Final = TenantId("globex")
ROLE: Final = "arn:aws:iam::000000000000:role/dev-tenant-reader"
HOUR: Final = 3_600.0


class Sts:
    """Gives a session for each request; it can fail, and hold its answers back."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def assume_role(self, **request: Any) -> dict[str, Any]:
        """AssumeRole."""
        self.asked.append(request)
        number = len(self.asked)
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA-{request['RoleSessionName']}-{number}",
                "SecretAccessKey": "secret",
                "SessionToken": f"token-{number}",
            }
        }


@pytest.fixture
def sts() -> Sts:
    """A service that works."""
    return Sts()


@pytest.fixture
def clock() -> Clock:
    """What sessions take for the time."""
    return Clock()


@pytest.fixture
def sessions(sts: Sts, clock: Clock) -> ReaderSessions:
    """Under test."""
    return ReaderSessions(sts, ROLE, clock=clock)  # type: ignore[arg-type]


FAILURES: Final = [
    pytest.param(
        ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AssumeRole"),
        id="denied",
    ),
    pytest.param(EndpointConnectionError(endpoint_url="https://sts"), id="unreachable"),
]


async def test_a_session_is_the_tenants(sessions: ReaderSessions, sts: Sts) -> None:
    """Tagged with it and named after it, for the longest that a chained role allows."""
    credentials = await sessions.of(ACME)

    assert (credentials.access_key, credentials.token) == ("ASIA-acme-1", "token-1")
    assert [
        {
            "RoleArn": ROLE,
            "RoleSessionName": "acme",
            "DurationSeconds": 3_600,
            "Tags": [{"Key": "tenant", "Value": "acme"}],
        }
    ] == sts.asked


async def test_a_session_serves_until_it_is_renewed(
    sessions: ReaderSessions, sts: Sts, clock: Clock
) -> None:
    """At 45 minutes, less up to a tenth, so that tenants do not all come at once."""
    first = await sessions.of(ACME)
    clock.advance(RENEW_SECONDS * 0.9 - 1)
    assert first is await sessions.of(ACME)
    clock.advance(RENEW_SECONDS * 0.1 + 1)
    assert first is await sessions.of(ACME)  # nobody waits for the renewal
    await until(lambda: not sessions._renewals)
    second = await sessions.of(ACME)

    assert RENEW_SECONDS == 45 * 60
    assert second.access_key == "ASIA-acme-2"
    assert len(sts.asked) == 2


async def test_renewals_are_spread(sts: Sts, clock: Clock) -> None:
    """A hundred tenants that were first read at once are not renewed at once."""
    sessions = ReaderSessions(sts, ROLE, clock=clock)  # type: ignore[arg-type]
    tenants = [TenantId(f"tenant-{n}") for n in range(100)]
    for tenant in tenants:
        await sessions.of(tenant)
    clock.advance(RENEW_SECONDS * 0.95)
    for tenant in tenants:
        await sessions.of(tenant)
    await until(lambda: not sessions._renewals)

    assert 120 < len(sts.asked) < 180


async def test_one_request_is_in_flight_for_a_tenant(sessions: ReaderSessions, sts: Sts) -> None:
    """However many readers wait for it; and other tenants do not wait for this one."""
    sts.open.clear()
    readers = [asyncio.create_task(sessions.of(ACME)) for _ in range(20)]
    other = asyncio.create_task(sessions.of(GLOBEX))
    await until(lambda: len(sts.asked) == 2)
    sts.open.set()
    found = await asyncio.gather(*readers)

    assert {"ASIA-acme-1"} == {one.access_key for one in found}
    assert (await other).access_key == "ASIA-globex-2"
    assert len(sts.asked) == 2


async def test_a_reader_that_leaves_ends_nobody_elses_wait(
    sessions: ReaderSessions, sts: Sts
) -> None:
    """The request is the tenant's, not the reader's."""
    sts.open.clear()
    leaving, staying = (asyncio.create_task(sessions.of(ACME)) for _ in range(2))
    await until(lambda: bool(sts.asked))
    leaving.cancel()
    await asyncio.wait([leaving])
    sts.open.set()

    assert (await staying).access_key == "ASIA-acme-1"
    assert leaving.cancelled()


@pytest.mark.parametrize("error", FAILURES)
async def test_without_sts_an_old_session_serves_until_its_end(
    sessions: ReaderSessions, sts: Sts, clock: Clock, error: Exception
) -> None:
    """And then reading fails: no other credentials stand in."""
    first = await sessions.of(ACME)
    sts.error = error
    clock.advance(HOUR - 61)
    assert first is await sessions.of(ACME)
    clock.advance(1)
    with pytest.raises(StoreUnavailableError):
        await sessions.of(ACME)
    sts.error = None

    assert (await sessions.of(ACME)).access_key != first.access_key


async def test_an_outage_of_sts_costs_reads_nothing_while_a_session_is_good(
    sessions: ReaderSessions, sts: Sts, clock: Clock
) -> None:
    """A renewal that hangs or fails is nobody's wait, and is tried every five seconds at most."""
    first = await sessions.of(ACME)
    clock.advance(RENEW_SECONDS)
    sts.open.clear()
    for _ in range(10):
        assert first is await sessions.of(ACME)
    sts.error = EndpointConnectionError(endpoint_url="https://sts")
    sts.open.set()
    await until(lambda: not sessions._renewals)
    for _ in range(10):
        assert first is await sessions.of(ACME)
    assert len(sts.asked) == 2
    clock.advance(RETRY_SECONDS)
    await sessions.of(ACME)
    await until(lambda: not sessions._renewals)

    assert len(sts.asked) == 3


@pytest.mark.parametrize("error", FAILURES)
async def test_without_sts_nobody_new_reads(
    sessions: ReaderSessions, sts: Sts, error: Exception
) -> None:
    """Not by another tenant's session either."""
    await sessions.of(GLOBEX)
    sts.error = error

    with pytest.raises(StoreUnavailableError):
        await sessions.of(ACME)


async def test_calls_to_sts_are_counted(sts: Sts, clock: Clock) -> None:
    """By outcome, so that an operator knows why nobody reads."""
    counted: list[tuple[str, str]] = []
    sessions = ReaderSessions(
        sts,  # type: ignore[arg-type]
        ROLE,
        clock=clock,
        count=lambda operation, outcome: counted.append((operation, outcome)),
    )
    await sessions.of(ACME)
    await sessions.of(ACME)
    for code in ("AccessDenied", "Throttling"):
        sts.error = ClientError({"Error": {"Code": code, "Message": "no"}}, "AssumeRole")
        with pytest.raises(StoreUnavailableError):
            await sessions.of(GLOBEX)

    assert [
        ("assume_role", "ok"),
        ("assume_role", "denied"),
        ("assume_role", "throttled"),
    ] == counted


async def test_what_was_used_least_lately_is_forgotten(
    sessions: ReaderSessions, sts: Sts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sessions are bounded in number."""
    monkeypatch.setattr(module, "SESSIONS", 2)
    for tenant in (ACME, GLOBEX, ACME, TenantId("initech")):
        await sessions.of(tenant)
    assert len(sts.asked) == 3
    await sessions.of(ACME)
    assert len(sts.asked) == 3
    await sessions.of(GLOBEX)

    assert len(sts.asked) == 4


# With a real client


@dataclass(slots=True)
class Endpoint:
    """What speaks for DynamoDB: it notes who signed, and answers that there is no item."""

    url: str = ""
    failures: int = 0
    signed: list[tuple[str, str | None]] = field(default_factory=list)
    partitions: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        """Any operation."""
        signature = re.search(r"Credential=([^/]+)/", request.headers.get("Authorization", ""))
        key = signature[1] if signature else "unsigned"
        self.signed.append((key, request.headers.get("X-Amz-Security-Token")))
        body = json.loads(await request.read())
        if "Key" in body:
            self.partitions.append(body["Key"]["tenant_id"]["S"])
        if self.failures:
            self.failures -= 1
            return web.Response(status=500, body=b"{}")
        content = json.dumps({"Items": [], "Count": 0} if "Limit" in body else {}).encode()
        return web.Response(body=content, content_type="application/x-amz-json-1.0")


@pytest.fixture
async def endpoint(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Endpoint, None]:
    """On a free port of the loopback interface; this process's own role signs as POD."""
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/", endpoint.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    endpoint.url = f"http://{host}:{port}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "POD")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    yield endpoint
    await runner.cleanup()


@pytest.fixture
async def reader(endpoint: Endpoint) -> AsyncGenerator[DynamoMessageReader, None]:
    """As the consumer makes it in a pool with a reader role."""
    async with AsyncExitStack() as stack:
        client = await Aws(stack).dynamodb()
        sign_each(client)
        yield DynamoMessageReader(client)


def credentials(name: str) -> AioCredentials:
    return AioCredentials(name, "secret", f"token-{name}")


async def test_each_read_is_signed_with_what_was_said(
    reader: DynamoMessageReader, endpoint: Endpoint
) -> None:
    """Key and token; get and list alike."""
    with signing_with(credentials("ASIA-acme")):
        await reader.get("table", "acme", message_id(1))
        await reader.page("table", "acme", after=None, limit=1)

    assert [("ASIA-acme", "token-ASIA-acme")] * 2 == endpoint.signed


async def test_a_read_that_says_nothing_fails_and_sends_nothing(
    reader: DynamoMessageReader, endpoint: Endpoint
) -> None:
    """A mistake in this program opens nobody's partition."""
    with pytest.raises(StoreUnavailableError):
        await reader.get("table", "acme", message_id(1))
    with signing_with(credentials("ASIA-acme")):
        await reader.get("table", "acme", message_id(1))
    with pytest.raises(StoreUnavailableError):
        await reader.page("table", "acme", after=None, limit=1)

    assert [("ASIA-acme", "token-ASIA-acme")] == endpoint.signed


async def test_a_retry_is_signed_by_the_same(
    reader: DynamoMessageReader, endpoint: Endpoint
) -> None:
    """The client's own retries know no other credentials."""
    endpoint.failures = 1
    with signing_with(credentials("ASIA-acme")):
        await reader.get("table", "acme", message_id(1))

    assert [("ASIA-acme", "token-ASIA-acme")] * 2 == endpoint.signed


async def test_reads_at_once_do_not_mix(reader: DynamoMessageReader, endpoint: Endpoint) -> None:
    """One client serves all tenants; each read keeps its own credentials."""

    async def read(tenant_id: str) -> None:
        with signing_with(credentials(f"ASIA-{tenant_id}")):
            await asyncio.gather(
                *(reader.get("table", tenant_id, message_id(n)) for n in range(5))
            )

    await asyncio.gather(read("acme"), read("globex"))

    signers = [key.removeprefix("ASIA-") for key, _ in endpoint.signed]
    assert endpoint.partitions == signers
    assert {"acme", "globex"} == set(signers)


async def test_another_client_of_the_process_signs_as_ever(endpoint: Endpoint) -> None:
    """The consumer's own writes are its role's."""
    async with AsyncExitStack() as stack:
        aws = Aws(stack)
        sign_each(await aws.dynamodb())
        own = await aws.dynamodb()
        with signing_with(credentials("ASIA-acme")):
            await own.get_item(TableName="table", Key={"tenant_id": {"S": "x"}})

    assert [("POD", None)] == endpoint.signed


@pytest.mark.parametrize("sts_fails", [False, True])
async def test_a_pools_reads_go_by_the_tenants_session_or_not_at_all(
    reader: DynamoMessageReader,
    endpoint: Endpoint,
    sessions: ReaderSessions,
    sts: Sts,
    sts_fails: bool,
) -> None:
    """From the request to the signature; and where STS fails nothing is sent."""
    reads = Reads(
        reader,
        PlacementCache(
            MemoryRegistry(a_placement("acme"), a_placement("globex")), max_age_seconds=300
        ),
        instance="pool-1",
        is_pool=True,
        sessions=sessions,
    )
    if sts_fails:
        sts.error = EndpointConnectionError(endpoint_url="https://sts")
        for attempt in (
            reads.get(ACME, message_id(1)),
            reads.list(ACME, limit=1, cursor=None),
        ):
            with pytest.raises(StoreUnavailableError):
                await attempt
        assert endpoint.signed == []
        return
    with pytest.raises(MessageNotFoundError):
        await reads.get(ACME, message_id(1))
    await reads.list(GLOBEX, limit=1, cursor=None)

    assert ["ASIA-acme-1", "ASIA-globex-2"] == [key for key, _ in endpoint.signed]
