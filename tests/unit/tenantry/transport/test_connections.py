"""Connections that are kept, bounded, waited for, given up and ended."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from fakes.clock import Clock
from fakes.waiting import until
from support.pools import SHORT, ask, gone, pool_of, start
from support.raw_server import Peer, RawServer, answer, certificate, echo, raw_server
from tenantry.transport import connections
from tenantry.transport.connections import Connections
from tenantry_local.processes import free_port


async def all_places_are_free(pool: Connections, server: RawServer, most: int) -> None:
    """As many calls at once as there may be connections; one more waits for one of them."""
    held = asyncio.Event()
    asked: list[bytes] = []

    async def hold(peer: Peer) -> None:
        while True:
            body = (await peer.request()).body
            asked.append(body)
            await held.wait()
            await peer.send(answer(body))

    server.script = hold
    # Connections that are idle still run what the server did before.
    for connection in list(pool._idle):
        connection.abort()
    bodies = [b"%d" % n for n in range(most + 1)]
    calls = [start(ask(pool, body)) for body in bodies]
    await until(lambda: len(asked) == most)
    await asyncio.sleep(SHORT)  # what must not happen has no event: time for it to go wrong
    assert most == len(asked) == len(pool._open)
    held.set()

    assert bodies == await asyncio.gather(*calls)


# --- keeping ---------------------------------------------------------------------------------


async def test_a_connection_is_kept() -> None:
    """One after the other: one connection."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        assert [b"a", b"b", b"c"] == [await ask(pool, body) for body in (b"a", b"b", b"c")]
        assert 1 == len(server.peers)


async def test_a_connection_has_one_request_at_a_time() -> None:
    """The second at the same time makes a connection of its own, and both stay."""
    async with raw_server() as server, pool_of(server.port) as pool:
        calls = [start(ask(pool, b"a")), start(ask(pool, b"b"))]
        peers = [await server.peer(0), await server.peer(1)]
        bodies = [(await peer.request()).body for peer in peers]
        assert [b"a", b"b"] == sorted(bodies)
        for peer, body in zip(peers, bodies, strict=True):
            assert b"" == bytes(peer._reader._buffer)  # type: ignore[attr-defined]
            await peer.send(answer(body))

        assert [b"a", b"b"] == await asyncio.gather(*calls)
        assert 2 == len(pool._idle)


async def test_there_are_never_more_connections_than_agreed() -> None:
    """Twenty calls over three connections: each gets its own answer."""
    async with raw_server(echo) as server, pool_of(server.port, most=3) as pool:
        bodies = [b"%d" % n for n in range(20)]

        assert bodies == await asyncio.gather(*(ask(pool, body) for body in bodies))
        assert 3 == len(server.peers)


async def test_whoever_waits_is_served_in_order() -> None:
    """A caller that asks again and again used to starve all that waited."""
    served: list[bytes] = []

    async def often(pool: Connections, body: bytes) -> None:
        for _ in range(4):
            await ask(pool, body)
            served.append(body)

    async with raw_server(echo) as server, pool_of(server.port, most=1) as pool:
        await asyncio.gather(*(often(pool, body) for body in (b"a", b"b", b"c")))
        assert 1 == len(server.peers)

    assert [b"a", b"b", b"c"] * 4 == served


async def test_what_was_used_last_is_used_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a connection that is not needed grows old, and is ended."""
    clock = Clock()
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=clock))
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await asyncio.gather(ask(pool, b"a"), ask(pool, b"b"))
        last = pool._idle[-1]
        for _ in range(3):
            clock.advance(1)
            await ask(pool)
            assert last is pool._idle[-1]

        clock.advance(connections.IDLE_SECONDS - 1)
        await ask(pool)
        await until(lambda: 1 == server.open())
        assert 2 == len(server.peers)
        assert {last} == pool._open == set(pool._idle)


async def test_an_old_connection_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other side may be ending it right now."""
    clock = Clock()
    monkeypatch.setattr(connections, "time", SimpleNamespace(monotonic=clock))
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await ask(pool)
        clock.advance(connections.IDLE_SECONDS + 0.1)
        await ask(pool)

        await until(lambda: 1 == server.open())
        assert 2 == len(server.peers)


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_an_idle_connection_that_the_server_ended_is_not_used(reset: bool) -> None:
    """The next call takes another one, and nobody notices."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await ask(pool)
        server.peers[0].end(reset=reset)
        await until(lambda: not pool._open)

        assert b"b" == await ask(pool, b"b")
        assert 2 == len(server.peers)


async def test_an_idle_connection_that_is_about_to_be_lost_is_not_used() -> None:
    """In the turn of the loop in which its end was read."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await ask(pool)
        pool._idle[0].eof_received()

        assert b"b" == await ask(pool, b"b")
        assert 2 == len(server.peers)


# --- no connection ---------------------------------------------------------------------------


async def test_waiting_for_a_place_ends() -> None:
    """Nothing was sent; whoever has the connection keeps it."""
    async with (
        raw_server() as server,
        pool_of(server.port, most=1, connect_seconds=SHORT) as pool,
    ):
        first = start(ask(pool, b"a"))
        peer = await server.peer(0)
        with pytest.raises(ConnectTimeoutError):
            await ask(pool, b"b")
        assert b"a" == (await peer.request()).body
        await peer.send(answer(b"a"))

        assert b"a" == await first
        server.take_over(peer, echo)
        assert b"c" == await ask(pool, b"c")
        assert 1 == len(server.peers)


async def test_a_place_for_nobody_passes_to_the_next() -> None:
    """One that gives up just as its turn has come takes nothing with it."""
    async with raw_server() as server, pool_of(server.port, most=1) as pool:

        async def first() -> bytes:
            body = await ask(pool, b"a")
            second.cancel()
            return body

        calls = [start(first())]
        peer = await server.peer(0)
        second = start(ask(pool, b"b"))
        calls.append(start(ask(pool, b"c")))
        await asyncio.sleep(0)
        server.take_over(peer, echo)

        assert [b"a", b"c"] == await asyncio.gather(*calls)
        assert second.cancelled()
        assert 1 == len(server.peers)


async def test_a_refusal_is_told_as_such() -> None:
    """Nothing listens: nothing was sent, and a place is free again."""
    async with pool_of(free_port(), most=1) as pool:
        for _ in range(3):
            with pytest.raises(EndpointConnectionError):
                await ask(pool)


async def test_a_name_that_is_nobodys_is_told_as_such() -> None:
    """`.invalid` never is."""
    async with pool_of(1, host="nobody.invalid") as pool:
        with pytest.raises(EndpointConnectionError):
            await ask(pool)


async def test_connecting_ends(tmp_path: Path) -> None:
    """A server that says nothing while keys should be agreed on."""
    tls = ssl.create_default_context(cafile=certificate(tmp_path, "127.0.0.1").path)
    async with (
        raw_server() as server,
        pool_of(server.port, most=1, connect_seconds=SHORT, tls=tls) as pool,
    ):
        for _ in range(2):
            with pytest.raises(ConnectTimeoutError):
                await ask(pool)
        assert 2 == len(server.peers)
        assert set() == pool._open


@pytest.mark.parametrize("reset", [False, True], ids=["end", "reset"])
async def test_a_server_that_ends_each_connection_at_once_keeps_no_place(reset: bool) -> None:
    """Before or after the request: that is chance, and both errors say it right."""

    async def leave(peer: Peer) -> None:
        peer.end(reset=reset)

    async with raw_server(leave) as server, pool_of(server.port, most=1) as pool:
        for _ in range(10):
            with pytest.raises((ConnectionClosedError, EndpointConnectionError)):
                await ask(pool)
        await until(lambda: not pool._open)
        server.script = echo

        assert b"a" == await ask(pool, b"a")


async def test_a_connection_that_is_lost_before_it_is_used_keeps_no_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing was sent over it."""

    async def leave(peer: Peer) -> None:
        peer.end()

    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def late(make: Any, *where: Any, **how: Any) -> Any:
        made = await connect(make, *where, **how)
        await until(lambda: made[0].is_closing() and not made[1].is_usable)
        await asyncio.sleep(0)
        return made

    async with raw_server(leave) as server, pool_of(server.port, most=1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr(loop, "create_connection", late)
            for _ in range(2):
                with pytest.raises(EndpointConnectionError):
                    await ask(pool)
        assert set() == pool._open
        server.script = echo

        assert b"a" == await ask(pool, b"a")


# --- callers that leave ----------------------------------------------------------------------


async def test_a_caller_that_leaves_while_it_waits_takes_no_place() -> None:
    """Nor does it lose one."""
    async with raw_server(echo) as server, pool_of(server.port, most=2) as pool:
        server.script = None
        held = [start(ask(pool, b"%d" % n)) for n in range(2)]
        peers = [await server.peer(0), await server.peer(1)]
        waiting = [start(ask(pool, b"w%d" % n)) for n in range(3)]
        await asyncio.sleep(0)
        for call in waiting:
            await gone(call)
        for peer in peers:
            server.take_over(peer, echo)

        assert [b"0", b"1"] == await asyncio.gather(*held)
        await all_places_are_free(pool, server, 2)


async def test_a_caller_that_leaves_while_it_connects_keeps_no_place(tmp_path: Path) -> None:
    """Half a connection is ended."""
    made = certificate(tmp_path, "127.0.0.1")
    tls = ssl.create_default_context(cafile=made.path)
    async with raw_server() as server, pool_of(server.port, most=1, tls=tls) as pool:
        for number in range(3):
            call = start(ask(pool))
            peer = await server.peer(number)
            await gone(call)
            await peer.over()

    assert set() == pool._open


async def test_a_caller_that_leaves_at_the_start_keeps_no_place() -> None:
    """Whatever turn of the loop it is."""
    async with raw_server(echo) as server, pool_of(server.port, most=1) as pool:
        for turns in range(12):
            call = start(ask(pool, b"a"))
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
            for connection in list(pool._idle):
                connection.abort()  # a new one each time

        await all_places_are_free(pool, server, 1)


# --- the end ---------------------------------------------------------------------------------


async def test_closing_ends_what_is_under_way() -> None:
    """A call that was sent broke; one that waited was not sent; there is none afterwards."""
    async with raw_server() as server, pool_of(server.port, most=1) as pool:
        sent, waiting = start(ask(pool, b"a")), start(ask(pool, b"b"))
        peer = await server.peer(0)
        await peer.request()
        await pool.close()

        with pytest.raises(ConnectionClosedError):
            await sent
        with pytest.raises(EndpointConnectionError):
            await waiting
        with pytest.raises(EndpointConnectionError):
            await ask(pool)
        await peer.over()
        assert 1 == len(server.peers)
        assert set() == pool._open


async def test_closing_ends_idle_connections() -> None:
    """All of them."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        await asyncio.gather(ask(pool), ask(pool))
        await pool.close()

        await until(lambda: 0 == server.open())
        assert 2 == len(server.peers)


async def test_closing_ends_what_was_connecting() -> None:
    """It used to become a connection that nobody ended."""
    async with raw_server(echo) as server, pool_of(server.port) as pool:
        call = start(ask(pool))
        await asyncio.sleep(0)
        await pool.close()

        with pytest.raises(EndpointConnectionError):
            await call
        await until(lambda: 0 == server.open())
        assert set() == pool._open
