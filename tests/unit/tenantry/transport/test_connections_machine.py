"""Connections after any sequence of calls, answers, failures and callers that leave."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, Final

import pytest
import uvloop
from botocore.exceptions import HTTPClientError
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.waiting import until
from support.raw_server import Peer, RawServer, answer, raw_server
from tenantry.transport.connections import Answer, Connections, _Connection

MOST: Final = 2
LOOPS: Final = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}

#: What may happen next, and to which call or connection.
STEPS: Final = st.lists(
    st.tuples(
        st.sampled_from(
            ["call"] * 4
            + ["hurry", "leave", "turn", "wait"]
            + ["answer"] * 3
            + ["half", "twice", "stray", "last", "garbage", "end", "reset"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


class Machine:
    """A pool, a server that does what the steps say, and all calls that were made."""

    def __init__(self, server: RawServer) -> None:
        self.server = server
        self.pool = Connections(
            "http://x", host="127.0.0.1", port=server.port, tls=None, most=MOST, connect_seconds=5
        )
        self.calls: list[asyncio.Task[Answer]] = []
        #: What each connection still has to answer.
        self.owed: dict[Peer, bytes] = {}
        self.answers_at_once = False
        server.script = self.serve

    async def serve(self, peer: Peer) -> None:
        while True:
            body = (await peer.request()).body
            assert peer not in self.owed, "two requests at a time"
            if self.answers_at_once:
                await peer.send(answer(body))
            else:
                self.owed[peer] = answer(body)

    def call(self, *, seconds: float = 5.0) -> None:
        body = b"%d" % len(self.calls)
        data = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body
        exchange = self.pool.exchange(data, seconds=seconds)
        self.calls.append(asyncio.ensure_future(exchange))

    async def step(self, kind: str, number: int) -> None:
        if kind == "call":
            self.call()
        elif kind == "hurry":
            self.call(seconds=0.001)
        elif kind == "leave" and self.calls:
            self.calls[-1 - number % len(self.calls)].cancel()
        elif kind == "turn":
            for _ in range(number):
                await asyncio.sleep(0)
        elif kind == "wait":
            await asyncio.sleep(0.002)  # a step of the machine: longer than a call's time-out
        elif kind == "stray":
            await self.stray(number)
        elif self.owed:
            await self.reply(kind, list(self.owed)[number % len(self.owed)])
        assert len(self.pool._open) <= MOST

    async def reply(self, kind: str, peer: Peer) -> None:
        data = self.owed[peer]
        if kind == "half":
            await peer.send(data[:10])
            self.owed[peer] = data[10:]
            return
        del self.owed[peer]
        if kind == "answer":
            await peer.send(data)
        elif kind == "twice":
            await peer.send(data + answer(b"stray"))
        elif kind == "last":
            await peer.send(data.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
        elif kind == "garbage":
            await peer.send(b"\x00" * 10)
        else:
            peer.end(reset=kind == "reset")

    async def stray(self, number: int) -> None:
        """Unasked, where nothing is under way: else it would be the answer for all to see."""
        idle = [one for one in self.server.peers if not one.is_over and one not in self.owed]
        if idle and all(call.done() for call in self.calls):
            peer = idle[number % len(idle)]
            await peer.send(answer(b"stray"))
            await until(lambda: peer.is_over)

    async def settle(self) -> None:
        """Answer all there is, and look at what became of each call."""
        self.answers_at_once = True
        while not all(call.done() for call in self.calls):
            for peer in list(self.owed):
                await peer.send(self.owed.pop(peer))
            await asyncio.sleep(0)
        self.owed.clear()
        for number, call in enumerate(self.calls):
            if call.cancelled():
                continue
            if (error := call.exception()) is not None:
                assert isinstance(error, HTTPClientError)
            else:
                assert b"%d" % number == call.result().body

    async def no_place_is_lost(self) -> None:
        """As many calls as may be reach the server, one more waits for the first of them."""
        self.answers_at_once = False
        before = len(self.calls)
        for _ in range(MOST + 1):
            self.call()
        await until(lambda: MOST == len(self.owed))
        for _ in range(20):
            await asyncio.sleep(0)
        assert MOST == len(self.owed) == len(self.pool._open)
        await self.settle()
        assert all(call.exception() is None for call in self.calls[before:])


async def run(steps: list[tuple[str, int]]) -> None:
    """One life of a pool."""
    async with raw_server() as server:
        machine = Machine(server)
        try:
            for kind, number in steps:
                await machine.step(kind, number)
            await machine.settle()
            await machine.no_place_is_lost()
        finally:
            await machine.pool.close()
        await until(lambda: not machine.pool._open)
        await until(lambda: 0 == server.open())


@pytest.mark.parametrize("loop", LOOPS)
@given(steps=STEPS)
@settings(max_examples=100, deadline=None)
def test_no_answer_is_anothers_and_no_place_is_lost(
    loop: str, steps: list[tuple[str, int]]
) -> None:
    """Each call has its own answer or an error; there are never more connections than agreed."""
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(run(steps))


CHUNKED: Final = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nX-A: b\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'2\r\n{"\r\n6\r\na": 1}\r\n0\r\nX-Trailer: c\r\n\r\n'
)


class Pieces:
    """A loop's connection, as far as one is needed: the answer comes in these pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces
        self.protocol: Any = None

    def write(self, _: bytes) -> None:
        for piece in self._pieces:
            asyncio.get_running_loop().call_soon(self.protocol.data_received, piece)

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        raise AssertionError("a good answer ended the connection")


@given(cuts=st.sets(st.integers(1, len(CHUNKED) - 1)))
@settings(max_examples=200, deadline=None)
def test_an_answer_is_the_same_however_it_is_cut(cuts: set[int]) -> None:
    """Interim answer, headers, chunks and trailer, in any pieces."""
    edges = [0, *sorted(cuts), len(CHUNKED)]
    pieces = [CHUNKED[a:b] for a, b in pairwise(edges)]

    async def exchange() -> tuple[Answer, bool]:
        transport: Any = Pieces(pieces)
        unused: Any = None
        connection = transport.protocol = _Connection(unused)
        connection.connection_made(transport)
        return await connection.exchange(b"", 5), connection.is_usable

    got, is_usable = asyncio.run(exchange())

    assert (200, b'{"a": 1}') == (got.status, got.body)
    assert {"x-a": "b", "transfer-encoding": "chunked"} == got.headers()
    assert is_usable
