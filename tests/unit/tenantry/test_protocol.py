"""What a client may do to a connection before an application sees a request."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fakes.waiting import until
from tenantry import protocol
from tenantry.limits import HEAD_BYTES, HEAD_FIELDS
from tenantry.serving import bind, serving

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"
LAST = GET + b"Connection: close\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n"


class Server:
    """Echoes what reached the application; `/early` answers before the body is there."""

    def __init__(self) -> None:
        self.port = 0
        self.requests = 0
        self.open = asyncio.Event()
        self.open.set()
        self.app = Starlette(
            routes=[
                Route("/", self.echo, methods=["GET", "POST"]),
                Route("/early", self.early, methods=["POST"]),
            ]
        )

    async def echo(self, request: Request) -> Response:
        self.requests += 1
        await self.open.wait()
        body = await request.body()
        names = sorted(name for name in request.headers if name.startswith("x-"))
        return JSONResponse({"body": body.decode(), "names": names})

    async def early(self, _: Request) -> Response:
        return Response(status_code=413)


@pytest.fixture
async def server() -> AsyncGenerator[Server, None]:
    """A server on a port of its own."""
    subject = Server()
    sock = bind("127.0.0.1", 0)
    subject.port = sock.getsockname()[1]
    async with serving(subject.app, sock, name="test", drain_seconds=1):
        yield subject


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes, if the server still takes them."""
        with contextlib.suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def rest(self) -> bytes:
        """All that comes until the server closes the connection."""
        received = b""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(5):
                while data := await self._reader.read(65_536):
                    received += data
        return received

    async def status(self) -> int:
        """The status of one answer, whose head and body are taken."""
        async with asyncio.timeout(5):
            head = await self._reader.readuntil(b"\r\n\r\n")
            lengths = [
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            ]
            await self._reader.readexactly(lengths[0])
        return int(head.split()[1])

    async def ask(self, data: bytes) -> bytes:
        """Send, and all that comes back until the server closes the connection."""
        await self.send(data)
        return await self.rest()


@pytest.fixture
async def client(server: Server) -> AsyncGenerator[Client, None]:
    """A connection to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    yield Client(reader, writer)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


@pytest.mark.parametrize(
    "flood",
    [
        GET + b"X-A: " + b"a" * 4 * HEAD_BYTES,
        GET + b"x:y\r\n" * HEAD_BYTES,
        b"GET /" + b"a" * 4 * HEAD_BYTES,
        CHUNKED + b"X-A: " + b"a" * 4 * HEAD_BYTES,
        POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * 4 * HEAD_BYTES,
    ],
    ids=["one header", "many headers", "target", "trailer", "chunk extension"],
)
async def test_a_head_without_end_is_refused(client: Client, flood: bytes) -> None:
    """It used to be kept in memory, whatever its size, before anybody showed a token."""
    answer = await client.ask(flood)

    assert answer.startswith(b"HTTP/1.1 431 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_head_of_the_usual_size_is_taken(client: Client) -> None:
    """A token of 8 KiB and many headers, however they are cut."""
    head = GET + b"".join(b"X-%d: a\r\n" % n for n in range(HEAD_FIELDS - 3))
    for cut in (10, 500, 600, len(head)):
        await client.send(head[:cut])
        head = head[cut:]
    await client.send(b"Authorization: Bearer " + b"a" * 8_192 + b"\r\n")
    await client.send(b"Connection: close\r\n\r\n")

    assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def test_a_large_body_counts_as_no_head(client: Client) -> None:
    """In chunks of one byte, too."""
    chunks = b"1\r\na\r\n" * HEAD_BYTES
    head = POST + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await client.ask(head + chunks + b"0\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"a" * HEAD_BYTES in answer


async def test_pipelined_requests_are_not_piled_up(server: Server, client: Client) -> None:
    """256 KB of them used to become 30 MB of requests; now the first is answered alone."""
    server.open.clear()
    await client.send(GET + b"\r\n" + LAST * 5_000)
    await until(lambda: server.requests == 1)
    server.open.set()
    answer = await client.rest()

    assert server.requests == 1
    assert answer.count(b"HTTP/1.1 200 ") == 1
    assert b"connection: close" in answer


async def test_what_follows_a_request_takes_nothing_from_its_answer(client: Client) -> None:
    """A request that was accepted used to be answered with the 400 of what came behind it."""
    answer = await client.ask(GET + b"\r\n" + b"\x00 no HTTP\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_connection_takes_one_request_after_another(client: Client) -> None:
    """Also with the empty lines between them that old clients send."""
    for _ in range(3):
        await client.send(GET + b"\r\n")
        assert await client.status() == 200
        await client.send(b"\r\n")


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMA\r\n",
        b"Connection: Upgrade, close\r\nUpgrade: websocket\r\n",
    ],
    ids=["h2c", "websocket"],
)
@pytest.mark.parametrize("is_cut", [False, True])
async def test_an_offer_to_upgrade_costs_no_body(
    server: Server, client: Client, offer: bytes, *, is_cut: bool
) -> None:
    """Java's client makes one with each request; its body was lost and answered with 400."""
    head = b"POST / HTTP/1.1\r\nHost: x\r\nX-A: 1\r\nContent-Length: 4\r\n" + offer + b"\r\n"
    await client.send(head + (b"bo" if is_cut else b"body"))
    if is_cut:
        await until(lambda: server.requests == 1)
        await client.send(b"dy")
    answer = await client.rest()

    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'{"body":"body","names":["x-a"]}' in answer


async def test_a_declined_offer_leaves_the_connection_open(client: Client) -> None:
    """The next request is answered as the first was."""
    for _ in range(2):
        await client.send(GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        assert await client.status() == 200


@pytest.mark.parametrize("target", [b"example:443", b"/"])
async def test_nothing_is_tunnelled(client: Client, target: bytes) -> None:
    """CONNECT is refused, and the connection closed."""
    answer = await client.ask(b"CONNECT " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 400 ")


async def test_trailers_are_no_headers(client: Client) -> None:
    """What a proxy strips from the headers must not come in behind the body."""
    answer = await client.ask(CHUNKED + b"X-Tenant: evil\r\n\r\n")

    assert answer.endswith(b'{"body":"body","names":[]}')


async def test_half_a_head_is_not_waited_for_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then used to hold a connection as long as the client liked."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    await client.send(GET)
    trickle = asyncio.create_task(_trickle(client, b"x"))

    assert await client.rest() == b""
    trickle.cancel()


async def test_the_rest_of_a_body_is_not_waited_for_for_ever(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was answered before it was there, as a 413 is."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.2)
    await client.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert await client.status() == 413
    trickle = asyncio.create_task(_trickle(client, b"x"))

    assert await client.rest() == b""
    trickle.cancel()


async def test_a_request_in_work_has_all_its_time(
    server: Server, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is on heads: how long an answer takes is the application's."""
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)
    server.open.clear()
    await client.send(LAST[:30])
    await client.send(LAST[30:])
    await until(lambda: server.requests == 1)
    asyncio.get_running_loop().call_later(0.2, server.open.set)

    assert (await client.rest()).startswith(b"HTTP/1.1 200 ")


async def _trickle(client: Client, data: bytes) -> None:
    while True:
        await client.send(data)
        await asyncio.sleep(0.02)
