from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tenantry_local.model import LaptopError, Tenant
from tenantry_local.processes import free_port
from tenantry_local.router import Router, service_of


def a_tenant(tenant_id: str, producer: str, consumer: str) -> Tenant:
    return Tenant(tenant_id, "advanced", "pool-1", producer, consumer, "", "", "", Path())


class FakeDirectory:
    """One upstream stands for every instance; which one was asked for is in the path."""

    def __init__(self, upstream: str) -> None:
        self.tenants = {
            "acme": a_tenant("acme", "pool-1", "pool-1"),
            "initech": a_tenant("initech", "pool-1", "initech"),
            "umbrella": a_tenant("umbrella", "umbrella", "umbrella"),
            "gone": a_tenant("gone", "nowhere", "nowhere"),
        }
        self._upstream = upstream

    def find(self, tenant_id: str) -> Tenant | None:
        return self.tenants.get(tenant_id)

    def address(self, instance: str, service: str) -> str:
        if instance == "nowhere":
            return f"http://127.0.0.1:{free_port()}"
        return f"{self._upstream}/{instance}/{service}"


class Upstream:
    """Echoes what reached it."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.target = ""
        #: Instead of the echo.
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.answer is not None:
            return await self.answer(request)
        self.headers = [(k.decode().lower(), v.decode()) for k, v in request.raw_headers]
        self.body = await request.read()
        self.target = request.raw_path
        headers = {"Location": "/messages/1", "X-Custom": "kept", "Retry-After": "3"}
        return web.Response(status=202, text=request.raw_path, headers=headers)


@pytest.fixture
async def upstream() -> AsyncGenerator[tuple[Upstream, str], None]:
    subject = Upstream()
    app = web.Application(client_max_size=8 * 2**20)
    app.router.add_route("*", "/{path:.*}", subject.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, auto_decompress=False)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield subject, f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def client(
    upstream: tuple[Upstream, str],
) -> AsyncGenerator[aiohttp.ClientSession, None]:
    async def page() -> str:
        return "<title>the page</title>"

    router = Router(FakeDirectory(upstream[1]), page)
    port = await router.start(0)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session:
        yield session
    await router.close()


@pytest.mark.parametrize(
    ("method", "path", "service"),
    [
        ("POST", "/messages", "producer"),
        ("POST", "/messages/batch", "producer"),
        ("GET", "/producer", "producer"),
        ("GET", "/messages", "consumer"),
        ("GET", "/messages/1", "consumer"),
        ("GET", "/consumer", "consumer"),
        ("POST", "/messagesque", "consumer"),
        ("DELETE", "/messages", "consumer"),
        ("GET", "/", "consumer"),
    ],
)
def test_method_and_path_choose_the_service(method: str, path: str, service: str) -> None:
    """POST /messages… and GET /producer go to the producer, everything else to the consumer."""
    assert service_of(method, path) == service


@pytest.mark.parametrize(
    ("headers", "path"),
    [
        pytest.param({"tenantID": "acme"}, "/pool-1/producer/messages", id="header"),
        pytest.param({"Host": "acme.localhost:80"}, "/pool-1/producer/messages", id="host"),
        pytest.param({"Host": "ACME.LOCALHOST"}, "/pool-1/producer/messages", id="case"),
        pytest.param(
            {"Host": "umbrella.localhost", "tenantID": "acme"},
            "/umbrella/producer/messages",
            id="host-first",
        ),
    ],
)
async def test_the_tenant_comes_from_host_or_header(
    client: aiohttp.ClientSession, headers: dict[str, str], path: str
) -> None:
    """Either names the tenant; the host goes first, and the service judges the header."""
    async with client.post("/messages", headers=headers) as response:
        assert await response.text() == path


async def test_an_advanced_tenants_producer_is_its_pools(client: aiohttp.ClientSession) -> None:
    """Its consumer is its own."""
    async with client.get("/producer", headers={"tenantID": "initech"}) as response:
        assert await response.text() == "/pool-1/producer/producer"
    async with client.get("/messages?limit=3", headers={"tenantID": "initech"}) as response:
        assert await response.text() == "/initech/consumer/messages?limit=3"


async def test_requests_and_answers_pass_unchanged(
    client: aiohttp.ClientSession, upstream: tuple[Upstream, str]
) -> None:
    """Body, status and headers arrive as they were; those of one connection do not."""
    body = bytes(range(256)) * 8_192
    headers = [
        ("tenantID", "acme"),
        ("tenantID", "globex"),
        ("Authorization", "Bearer a.b.c"),
        ("Content-Encoding", "gzip"),
        ("Keep-Alive", "1"),
        ("traceparent", "00-1-2-01"),
    ]
    async with client.post("/messages", data=io.BytesIO(body), headers=headers) as response:
        assert response.status == 202
        assert response.headers["Location"] == "/messages/1"
        assert (response.headers["X-Custom"], response.headers["Retry-After"]) == ("kept", "3")
    subject, _ = upstream
    assert subject.body == body
    assert [value for name, value in subject.headers if name == "tenantid"] == ["acme", "globex"]
    received = dict(subject.headers)
    assert received["authorization"] == "Bearer a.b.c"
    assert received["content-length"] == str(len(body))
    assert received["content-encoding"] == "gzip"
    assert received["traceparent"] == "00-1-2-01"
    assert "keep-alive" not in received


async def raw(client: aiohttp.ClientSession, headers: bytes) -> bytes:
    """The answer to a request whose headers are these bytes."""
    url = client._base_url
    assert url is not None
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"GET / HTTP/1.1\r\nHost: acme.localhost\r\nConnection: close\r\n" + headers)
    writer.write(b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_a_header_that_is_sent_twice_arrives_twice(
    client: aiohttp.ClientSession, upstream: tuple[Upstream, str]
) -> None:
    """However its name is written: of two that differed in case the service saw only one."""
    await raw(client, b"Idempotency-Key: a\r\nidempotency-key: b\r\n")
    keys = [value for name, value in upstream[0].headers if name == "idempotency-key"]
    assert keys == ["a", "b"]


@pytest.mark.parametrize("name", [b"Authorization", b"Idempotency-Key", b"tenantID"])
async def test_a_header_that_is_no_text_is_refused(
    client: aiohttp.ClientSession, upstream: tuple[Upstream, str], name: bytes
) -> None:
    """It used to arrive without those bytes: another key, and a bad token as a good one."""
    answer = await raw(client, name + b": a\xe9b\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert not upstream[0].headers

    await raw(client, name + ": aéb\r\n".encode())
    assert (name.decode().lower(), "aéb") in upstream[0].headers


async def test_a_body_without_a_length_is_streamed(
    client: aiohttp.ClientSession, upstream: tuple[Upstream, str]
) -> None:
    """Chunks pass as chunks."""

    async def chunks() -> AsyncGenerator[bytes, None]:
        for _ in range(3):
            yield b"x" * 1_000

    async with client.post("/messages", data=chunks(), headers={"tenantID": "acme"}) as response:
        assert response.status == 202
    assert upstream[0].body == b"x" * 3_000


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        pytest.param("/messages", {}, 400, id="no-tenant"),
        pytest.param("/messages", {"tenantID": "nobody"}, 404, id="unknown"),
        pytest.param("/", {"Host": "a.b.localhost"}, 404, id="host"),
        pytest.param("/messages", {"tenantID": "gone"}, 502, id="down"),
    ],
)
async def test_what_cannot_be_routed_is_a_problem(
    client: aiohttp.ClientSession, path: str, headers: dict[str, str], status: int
) -> None:
    """No tenant, one that does not live here, or a service that is down."""
    async with client.get(path, headers=headers) as response:
        assert response.status == status
        assert response.content_type == "application/problem+json"
        assert (await response.json(content_type=None))["status"] == status


async def test_the_root_without_a_tenant_is_the_page(client: aiohttp.ClientSession) -> None:
    """A browser on the router's address sees who lives here."""
    async with client.get("/") as response:
        assert (response.status, response.content_type) == (200, "text/html")
    async with client.get("/", headers={"tenantID": "acme"}) as response:
        assert await response.text() == "/pool-1/consumer/"


async def test_a_port_that_is_taken_is_one_line(upstream: tuple[Upstream, str]) -> None:
    """The line names the port; nothing was tried."""

    async def page() -> str:
        return ""

    port = int(upstream[1].rpartition(":")[2])
    router = Router(FakeDirectory(upstream[1]), page)
    with pytest.raises(LaptopError, match=f"port {port} is taken") as caught:
        await router.start(port)
    await router.close()
    assert caught.value.status == 2


async def test_a_client_that_leaves_is_no_error(
    upstream: tuple[Upstream, str], client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is written on the terminal of the laptop because somebody's request was cut off."""
    subject, _ = upstream
    asked, left = asyncio.Event(), asyncio.Event()

    async def answer_late(_: web.Request) -> web.StreamResponse:
        asked.set()
        await left.wait()
        return web.Response(text="too late")

    subject.answer = answer_late
    request = asyncio.create_task(client.get("/messages", headers={"tenantID": "acme"}))
    await asked.wait()
    request.cancel()
    await asyncio.wait([request])
    left.set()
    subject.answer = None
    async with client.get("/messages", headers={"tenantID": "acme"}) as response:
        assert response.status == 202
    assert caplog.records == []
