"""Sends requests that were built before, as cheaply as Python can: a process of its own.

Reads one job a line of JSON from standard input, and writes one result a line to standard
output. Closed loop: so many requests in flight, each connection sends again once answered.
Open loop: requests leave when the schedule says, however long the answers take, and each is
timed from its scheduled instant, so that a slow server cannot hide what waits (coordinated
omission).
"""

from __future__ import annotations

import asyncio
import json
import re
import resource
import sys
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Any, Final

import uvloop

_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_CLOSES: Final = re.compile(rb"connection: *close", re.IGNORECASE)
_MESSAGE_ID: Final = re.compile(rb'"message_id": *"([0-9a-f-]{36})"')
_GIVE_UP_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """What to send.

    Attributes:
        requests_file: Requests as they go on the wire, as `save_requests` wrote them.
        messages: How many; the requests are taken in turn, and again from the beginning.
        first: The request to begin with.
        in_flight: Connections: of a closed loop each has a request on it all the time.
        due_seconds: Of an open loop: when each message is due, counted from the start.
        keep_ids: Whether the result names each accepted message and when it was answered.
    """

    host: str
    port: int
    requests_file: str
    messages: int
    first: int = 0
    in_flight: int = 0
    due_seconds: tuple[float, ...] = ()
    keep_ids: bool = False


@dataclass(slots=True)
class Result:
    """What came back.

    Attributes:
        statuses: Answers by status; 0 is a connection that ended without one.
        seconds: From the first request to the last answer.
        cpu_seconds: Of this process: it must stay below what it measures.
        latencies: Seconds from each request's (scheduled) start to its answer.
        accepted: By message id: when it was due, and when its answer came (since 1970).
    """

    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    accepted: dict[str, tuple[float, float]] = field(default_factory=dict)


def save_requests(path: Path, requests: list[bytes]) -> None:
    """Write requests, readable to their owner only: tokens are in them."""
    path.touch(mode=0o600)
    with path.open("wb") as file:
        for request in requests:
            file.write(b"%d\n" % len(request))
            file.write(request)


def load_requests(path: Path) -> list[bytes]:
    """What `save_requests` wrote."""
    found: list[bytes] = []
    with path.open("rb") as file:
        while line := file.readline():
            found.append(file.read(int(line)))
    return found


class _Connection(asyncio.Protocol):
    """Sends one request at a time; tells its owner of each answer."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._started = 0.0
        self._is_busy = False
        #: Not asyncio's class: uvloop's own.
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._run.connected(self)

    def send(self, request: bytes, started: float) -> None:
        self._started = started
        self._is_busy = True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(_END)
        if end < 0:
            return
        head = self._buffer[:end]
        length = _LENGTH.search(head)
        total = end + 4 + (int(length[1]) if length else 0)
        if len(self._buffer) < total:
            return
        body = self._buffer[end + 4 : total]
        self._buffer = self._buffer[total:]
        self._is_busy = False
        closes = _CLOSES.search(head) is not None
        if closes:
            self.transport.close()
        self._run.answered(None if closes else self, int(head[9:12]), body, self._started)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - a protocol's
        self._run.disconnected()
        if self._is_busy:
            self._is_busy = False
            self._run.answered(None, 0, b"", self._started)
        else:
            self._run.lost(self)


class _Run:
    """One job."""

    def __init__(self, job: Job, requests: Iterator[bytes]) -> None:
        self._job = job
        self._requests = requests
        self._sent = 0
        self._answered = 0
        self._connections = 0
        self._idle: deque[_Connection] = deque()
        self._due: deque[float] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._wall = time.time() - time.perf_counter()
        self._done = asyncio.get_running_loop().create_future()
        self.result = Result()

    async def run(self) -> Result:
        if self._job.due_seconds:
            await self._open_pool()
        started = time.perf_counter()
        before = _cpu_seconds()
        if self._job.due_seconds:
            for due in self._job.due_seconds:
                await asyncio.sleep(max(0.0, started + due - time.perf_counter()))
                self._start(started + due)
        else:
            for _ in range(min(self._job.in_flight, self._job.messages)):
                self._connect()
        async with asyncio.timeout(_GIVE_UP_SECONDS):
            await self._done
        self.result.seconds = time.perf_counter() - started
        self.result.cpu_seconds = _cpu_seconds() - before
        for connection in self._idle:
            connection.transport.close()
        return self.result

    async def _open_pool(self) -> None:
        """Connections that are kept, as a load balancer keeps them: none is opened under load."""
        for _ in range(min(self._job.in_flight, self._job.messages)):
            self._connect()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _start(self, due: float) -> None:
        """An open loop's request: on an idle connection, or on the next one that is."""
        if self._idle:
            self._sent += 1
            self._idle.popleft().send(next(self._requests), due)
        else:
            self._due.append(due)
            if not self._connections and not self._tasks:
                self._connect()

    def _connect(self) -> None:
        task = asyncio.create_task(self._open())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: _Connection(self), self._job.host, self._job.port)
        except OSError:
            if self._due:
                self._sent += 1
                self.answered(None, 0, b"", self._due.popleft())
            elif not self._job.due_seconds:
                self._sent += 1
                self.answered(None, 0, b"", time.perf_counter())

    def connected(self, connection: _Connection) -> None:
        self._connections += 1
        self._next(connection)

    def disconnected(self) -> None:
        self._connections -= 1

    def lost(self, connection: _Connection) -> None:
        """An idle connection was closed by the server."""
        if connection in self._idle:
            self._idle.remove(connection)
            if not self._done.done():
                self._connect()

    def answered(
        self, connection: _Connection | None, status: int, body: bytes, started: float
    ) -> None:
        now = time.perf_counter()
        result = self.result
        result.statuses[status] = result.statuses.get(status, 0) + 1
        result.latencies.append(now - started)
        if self._job.keep_ids and (found := _MESSAGE_ID.search(body)) is not None:
            result.accepted[found[1].decode()] = (started + self._wall, now + self._wall)
        self._answered += 1
        if self._answered == self._job.messages:
            self._done.set_result(None)
        elif connection is not None:
            self._next(connection)
        elif self._sent < self._job.messages:
            self._connect()

    def _next(self, connection: _Connection) -> None:
        if self._job.due_seconds:
            if self._due:
                self._sent += 1
                connection.send(next(self._requests), self._due.popleft())
            else:
                self._idle.append(connection)
        elif self._sent < self._job.messages:
            self._sent += 1
            connection.send(next(self._requests), time.perf_counter())
        else:
            self._idle.append(connection)


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2**26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    sources: dict[str, list[bytes]] = {}  # ten thousand tokens are not read again
    while line := await reader.readline():
        fields: dict[str, Any] = json.loads(line)
        job = Job(**{**fields, "due_seconds": tuple(fields["due_seconds"])})
        if job.requests_file not in sources:
            sources[job.requests_file] = load_requests(Path(job.requests_file))
        requests = sources[job.requests_file]
        first = job.first % len(requests)
        turns = islice(cycle(requests), first, None)
        try:
            result: dict[str, Any] = asdict(await _Run(job, turns).run())
        except TimeoutError:
            result = {"error": f"not all were answered within {_GIVE_UP_SECONDS:g} s"}
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve())
