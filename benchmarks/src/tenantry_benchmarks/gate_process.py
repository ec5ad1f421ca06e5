"""Between the consumers and the engine: holds their polls back, and sees what they store.

A process of its own. Each consumer process calls the engine through a door, a port of its own.
While a door is closed the gate answers polls itself, empty, after a second: the consumer idles as
beside an empty queue, whatever is sent to it, and drains it once its door opens. Everything else
passes as it comes, with ids read in what is written to a table: a message is stored in the moment
in which the engine's answer to that write goes back, the same moment for whoever wrote it.

Arguments: the engine's port, and seconds by which each call is held up, for an engine that is
nearer than AWS. A line of standard input is answered with a line: `door` with the port of a new
one; `open` and `close` and a port; `take` with JSON, the moments (since 1970) by id since the
last time.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import Any, Final

import uvloop

_HOST: Final = "127.0.0.1"
_POLL_SECONDS: Final = 1.0
_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_POLL: Final = re.compile(rb"AmazonSQS\.ReceiveMessage\r")
_WRITE: Final = re.compile(rb"DynamoDB_20120810\.(BatchExecuteStatement|BatchWriteItem|PutItem)\r")
_ID: Final = re.compile(rb"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_HEAD_BYTES: Final = 4_096
_NOTHING: Final = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: 2\r\n\r\n{}"
)


class Moments:
    """When each message was stored."""

    def __init__(self) -> None:
        self._stored: dict[str, float] = {}

    def add(self, ids: set[bytes]) -> None:
        """The first moment stays: a message may be written again."""
        now = time.time()
        for one in ids:
            self._stored.setdefault(one.decode(), now)

    def take(self) -> dict[str, float]:
        """Those since the last time."""
        taken, self._stored = self._stored, {}
        return taken


class Door:
    """One consumer's way to the engine."""

    def __init__(self, engine_port: int, delay_seconds: float, moments: Moments) -> None:
        self.engine_port = engine_port
        self.delay_seconds = delay_seconds
        self.moments = moments
        self.is_open = True
        self.clients: set[Client] = set()
        self.server: asyncio.Server | None = None
        self._held: dict[Client, asyncio.TimerHandle] = {}

    def open(self) -> None:
        """Let polls pass; those that are held are answered at once."""
        self.is_open = True
        for client in list(self._held):
            self._answer(client)

    def hold(self, client: Client) -> None:
        """Answer a poll in a second, with nothing."""
        later = asyncio.get_running_loop().call_later(_POLL_SECONDS, self._answer, client)
        self._held[client] = later

    def _answer(self, client: Client) -> None:
        self._held.pop(client).cancel()
        client.write(_NOTHING)

    def close(self) -> None:
        """End every connection."""
        if self.server is not None:
            self.server.close()
        for client in list(self.clients):
            client.close()


class Client(asyncio.Protocol):
    """One connection of a consumer's. One call at a time is on it."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._upstream: Any = None
        self._waiting: list[bytes] = []
        self._connecting: asyncio.Task[Any] | None = None
        self._is_asking = False
        self._is_write = False
        self._request = bytearray()
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._door.clients.add(self)

    def data_received(self, data: bytes) -> None:
        if self._request and not self._is_asking:
            self._request += data  # the rest of a poll that is held
            self._hold_if_whole()
            return
        if not self._is_asking:
            if not self._door.is_open and _POLL.search(data, 0, _HEAD_BYTES):
                self._request += data
                self._hold_if_whole()
                return
            self._is_asking = True
            self._is_write = _WRITE.search(data, 0, _HEAD_BYTES) is not None
        if self._is_write:
            self._request += data
        if self._door.delay_seconds:
            loop = asyncio.get_running_loop()
            loop.call_later(self._door.delay_seconds, self._pass_on, data)
        else:
            self._pass_on(data)

    def _hold_if_whole(self) -> None:
        end = self._request.find(_END)
        length = _LENGTH.search(self._request)
        if end >= 0 and len(self._request) >= end + 4 + (int(length[1]) if length else 0):
            self._request.clear()
            self._door.hold(self)

    def _pass_on(self, data: bytes) -> None:
        if self._transport.is_closing():
            return  # nobody waits for an answer: a poll would take messages away
        if self._upstream is None:
            self._waiting.append(data)
            if self._connecting is None:
                loop = asyncio.get_running_loop()
                self._connecting = loop.create_task(self._connect())
        else:
            self._upstream.write(data)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: Upstream(self), _HOST, self._door.engine_port)
        except OSError:
            self._transport.close()
        self._connecting = None

    def connected(self, upstream: asyncio.BaseTransport) -> None:
        """The engine is there: send what came meanwhile."""
        self._upstream = upstream
        for data in self._waiting:
            self._upstream.write(data)
        self._waiting.clear()

    def answered(self, data: bytes) -> None:
        """The engine answers the call that is on."""
        if self._is_asking:
            self._is_asking = False
            if self._is_write and data.startswith(b"HTTP/1.1 200"):
                # Heads hold ids of calls.
                self._door.moments.add(set(_ID.findall(self._request, self._request.find(_END))))
            self._request.clear()
        self.write(data)

    def write(self, data: bytes) -> None:
        """To the consumer, if it is still there."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def disconnected(self) -> None:
        """The engine closed: no matter, unless a call is on."""
        self._upstream = None
        if self._is_asking:
            self._transport.close()

    def close(self) -> None:
        """End it."""
        self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's
        self._door.clients.discard(self)
        if self._upstream is not None:
            self._upstream.close()


class Upstream(asyncio.Protocol):
    """The engine's side: its answers go back to the consumer."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._client.connected(transport)

    def data_received(self, data: bytes) -> None:
        self._client.answered(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's
        self._client.disconnected()


class Gate:
    """All doors, and what is said to them."""

    def __init__(self, engine_port: int, delay_seconds: float) -> None:
        self._engine_port = engine_port
        self._delay_seconds = delay_seconds
        self._moments = Moments()
        self._doors: dict[str, Door] = {}

    async def told(self, line: str) -> str:
        """Do what a line says; its answer."""
        word, _, port = line.strip().partition(" ")
        if word == "door":
            return await self._new_door()
        if word == "open":
            self._doors[port].open()
        elif word == "close":
            self._doors[port].is_open = False
        elif word == "take":
            return json.dumps(self._moments.take())
        return "ok"

    def close(self) -> None:
        """Close all doors for good."""
        for door in self._doors.values():
            door.close()

    async def _new_door(self) -> str:
        door = Door(self._engine_port, self._delay_seconds, self._moments)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Client(door), _HOST, 0, backlog=1_024)
        door.server = server
        port = str(server.sockets[0].getsockname()[1])
        self._doors[port] = door
        return port


async def _serve(engine_port: int, delay_seconds: float) -> None:
    gate = Gate(engine_port, delay_seconds)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        print(await gate.told(line.decode()), flush=True)
    gate.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(int(sys.argv[1]), float(sys.argv[2])))
