"""Answers: whole, broken, in any pieces, unasked, and too late."""

from __future__ import annotations

import asyncio

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from fakes.waiting import until
from support.pools import LONG, SHORT, ask, gone, pool_of, request, start
from support.raw_server import Peer, answer, answering, echo, raw_server
from tenantry.transport.connections import Answer

# --- broken answers --------------------------------------------------------------------------

WHOLE = answer(b'{"a": 1}', "X-A: b")
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
@pytest.mark.parametrize(
    "part",
    [
        b"",
        WHOLE[:12],
        WHOLE[: WHOLE.index(b"\r\n\r\n") + 4],
        WHOLE[:-1],
        INTERIM,
        INTERIM + WHOLE[:30],
        CHUNKED + b"2\r\n{}\r\n",
    ],
    ids=["nothing", "half a head", "a head", "half a body", "interim", "after interim", "chunks"],
)
async def test_an_answer_that_is_cut_off_is_none(part: bytes, reset: bool) -> None:
    """The request may have been done; the next one is made on a connection of its own."""
    async with raw_server() as server, pool_of(server.port, most=1) as pool:
        call = start(ask(pool))
        peer = await server.peer(0)
        await peer.request()
        await peer.send(part)
        peer.end(reset=reset)
        with pytest.raises(ConnectionClosedError):
            await call
        server.script = echo

        assert b"a" == await ask(pool, b"a")


@pytest.mark.parametrize(
    "garbage",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: \x00\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 99 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n{}",
    ],
    ids=[
        "other protocol",
        "tls",
        "length below 0",
        "two lengths",
        "length and chunks",
        "chunk of no length",
        "nul",
        "status 99",
        "upgrade",
    ],
)
async def test_garbage_is_no_answer(garbage: bytes) -> None:
    """At once, not when its time is over; the connection is not used again."""
    async with raw_server(answering(garbage)) as server, pool_of(server.port, most=1) as pool:
        with pytest.raises(ConnectionClosedError):
            await ask(pool)
        server.script = echo

        assert b"a" == await ask(pool, b"a")
        assert 2 == len(server.peers)


@pytest.mark.parametrize("part", [b"", WHOLE[:12], WHOLE[:-1]], ids=["nothing", "head", "body"])
async def test_an_answer_has_its_time(part: bytes) -> None:
    """All of it: one that trickles is cut off too. It is not taken for the next one's."""
    async with raw_server() as server, pool_of(server.port, most=1) as pool:
        call = start(ask(pool, seconds=SHORT))
        peer = await server.peer(0)
        await peer.request()
        await peer.send(part)
        async with asyncio.timeout(LONG / 2):
            with pytest.raises(ReadTimeoutError):
                await call
        await peer.send(WHOLE[len(part) :])
        server.script = echo

        assert b"a" == await ask(pool, b"a")
        assert 2 == len(server.peers)


# --- whole answers, however they are sent ----------------------------------------------------


@pytest.mark.parametrize(
    ("data", "body"),
    [
        (WHOLE, b'{"a": 1}'),
        (CHUNKED + b'2\r\n{"\r\n6;x=y\r\na": 1}\r\n0\r\n\r\n', b'{"a": 1}'),
        (CHUNKED + b"2\r\n{}\r\n0\r\nX-A: trailer\r\n\r\n", b"{}"),
        (INTERIM + WHOLE, b'{"a": 1}'),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 3 + WHOLE, b'{"a": 1}'),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""),
        (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    ],
    ids=["length", "chunks", "trailer", "100", "103", "204", "empty", "no reason", "1.0"],
)
@pytest.mark.parametrize("pieces", ["at once", "byte by byte"])
async def test_a_whole_answer_is_taken(data: bytes, body: bytes, pieces: str) -> None:
    """And its connection is used again."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            if pieces == "at once":
                await peer.send(data)
            else:
                for byte in data:
                    await peer.send(bytes([byte]))

    async with raw_server(script) as server, pool_of(server.port) as pool:
        assert [body] * 3 == [await ask(pool) for _ in range(3)]
        assert 1 == len(server.peers)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        CHUNKED.replace(b"\r\n", b"\r\nConnection: close\r\n", 1) + b"2\r\n{}\r\n0\r\n\r\n",
    ],
    ids=["close", "1.0", "close and chunks"],
)
async def test_a_connection_that_was_to_end_is_not_used_again(data: bytes) -> None:
    """Also where the server does not end it."""
    async with raw_server(answering(data)) as server, pool_of(server.port, most=1) as pool:
        assert [b"{}"] * 3 == [await ask(pool) for _ in range(3)]
        assert 3 == len(server.peers)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_an_answer_without_a_length_ends_with_its_connection(version: str) -> None:
    """As load balancers and plain servers send what they say themselves."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/{version} 403 Forbidden\r\nX-A: b\r\n\r\nno ".encode())
        await peer.send(b"entry")

    async with raw_server(script) as server, pool_of(server.port, most=1) as pool:
        got = [await pool.exchange(request(), seconds=LONG) for _ in range(2)]

        assert [Answer(403, [(b"X-A", b"b")], b"no entry")] * 2 == got
        assert 2 == len(server.peers)


async def test_large_requests_and_answers_pass() -> None:
    """Beyond what one read or write takes."""
    body = bytes(range(256)) * 8 * 1_024
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        assert [body, b"a", body] == [await ask(pool, one) for one in (body, b"a", body)]
        assert 1 == len(server.peers)


async def test_headers_are_the_answers_own() -> None:
    """None of an interim answer, none of a trailer; of one sent twice the last."""
    data = (
        b"HTTP/1.1 103 Early Hints\r\nX-Interim: a\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nX-Empty:\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Trailer: a\r\n\r\n"
    )
    async with raw_server(answering(data)) as server, pool_of(server.port) as pool:
        got = await pool.exchange(request(), seconds=LONG)

        assert {"x-a": "2", "x-empty": "", "transfer-encoding": "chunked"} == got.headers()


# --- answers that nobody asked for -----------------------------------------------------------


async def test_an_answer_that_nobody_asked_for_is_nobodys() -> None:
    """It ends the connection, before a request could take it for its own."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await ask(pool)
        await server.peers[0].send(answer(b"stray"))
        await until(lambda: not pool._open)

        assert b"b" == await ask(pool, b"b")
        assert 2 == len(server.peers)


@pytest.mark.parametrize(
    "more",
    [answer(b"stray", "X-B: c"), answer(b"stray", "X-B: c")[:30], b"stray"],
    ids=["twice", "half of another", "bytes"],
)
async def test_an_answer_with_more_behind_it_is_the_last_of_its_connection(more: bytes) -> None:
    """It used to be kept, with the headers of the second in the first."""
    async with raw_server() as server, pool_of(server.port) as pool:
        call = asyncio.ensure_future(pool.exchange(request(), seconds=LONG))
        peer = await server.peer(0)
        await peer.request()
        await peer.send(answer(b"{}", "X-A: b") + more)

        assert {"content-length": "2", "x-a": "b"} == (await call).headers()
        server.script = echo
        assert b"b" == await ask(pool, b"b")
        assert 2 == len(server.peers)


async def test_a_request_that_was_not_read_is_not_taken_for_the_next() -> None:
    """Answered early, its rest still waits to be sent: it would be read as another request."""
    large = b"a" * 16 * 1_024 * 1_024
    async with raw_server() as server, pool_of(server.port) as pool:
        call = start(ask(pool, large))
        peer = await server.peer(0)
        await peer._reader.readuntil(b"\r\n\r\n")
        await peer.send(answer(b"too large", status="413 Too Large"))
        assert b"too large" == await call
        server.script = echo

        assert b"b" == await ask(pool, b"b")
        assert 2 == len(server.peers)


# --- callers that leave


@pytest.mark.parametrize("part", [b"", WHOLE[:12], WHOLE[:-1]], ids=["nothing", "head", "body"])
async def test_an_answer_whose_caller_left_is_nobodys(part: bytes) -> None:
    """Its connection ends; a call that waited for a place has it, and its own answer."""
    async with raw_server() as server, pool_of(server.port, most=1) as pool:
        call = start(ask(pool, b"a"))
        peer = await server.peer(0)
        await peer.request()
        await peer.send(part)
        next_one = start(ask(pool, b"b"))
        server.script = echo
        await asyncio.sleep(0)
        await gone(call)
        await peer.send(WHOLE[len(part) :])

        assert b"b" == await next_one
        assert 2 == len(server.peers)
