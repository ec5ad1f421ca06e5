"""HTTP/1.1 to one host: connections that are kept, one request at a time on each.

Errors are botocore's, since adapters tell by them what may have been sent: without an answer
a request counts as sent from its first byte on.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Final

import httptools
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
    SSLError,
)

#: A connection that was idle for longer is not used: the other side may be closing it (12 s is
#: aiobotocore's, and below what AWS waits).
IDLE_SECONDS: Final = 12.0
_FIRST_OF_FINAL: Final = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, its headers as they were sent."""

    status: int
    raw_headers: list[tuple[bytes, bytes]]
    body: bytes

    def headers(self) -> dict[str, str]:
        """By names in lower case; of one that was sent twice the last."""
        # Made when asked for: an answer that is good is not asked.
        return {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in self.raw_headers
        }


class Connections:
    """Up to `most` connections to one host."""

    def __init__(
        self,
        url: str,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        most: int,
        connect_seconds: float,
    ) -> None:
        self.url = url
        self._host = host
        self._port = port
        self._tls = tls
        self._most = most
        self._connect_seconds = connect_seconds
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        self._connecting = 0
        self._waiters: deque[asyncio.Future[None]] = deque()

    async def exchange(self, request: bytes, *, seconds: float) -> Answer:
        """Send a request; its answer, if it is complete within so many seconds.

        Raises:
            EndpointConnectionError: No connection, so nothing was sent.
            ConnectTimeoutError: The same, after waiting for one.
            SSLError: The same: the other side is not who it should be.
            ConnectionClosedError: It broke before the answer was complete.
            ReadTimeoutError: There was no complete answer in time.
        """
        connection = self._idle_one() or await self._another()
        is_done = False
        try:
            answer = await connection.exchange(request, seconds)
            is_done = True
        finally:
            if is_done and connection.is_usable:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
                self._wake()
            else:
                # Also where the caller gave up: the answer would be taken for the next one's.
                connection.abort()
        return answer

    async def close(self) -> None:
        """End all connections, also those that wait for an answer."""
        for connection in list(self._open):
            connection.abort()

    def ended(self, connection: _Connection) -> None:
        """A connection is gone."""
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def _idle_one(self) -> _Connection | None:
        """The one that was used last, so that those that are not needed grow old."""
        until = time.monotonic() - IDLE_SECONDS
        while self._idle and self._idle[0].idle_since < until:
            self._idle.popleft().abort()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable:
                return connection
        return None

    async def _another(self) -> _Connection:
        """A new one, or one that becomes idle meanwhile."""
        try:
            async with asyncio.timeout(self._connect_seconds):
                while len(self._open) + self._connecting >= self._most:
                    await self._turn()
                    if (connection := self._idle_one()) is not None:
                        return connection
                return await self._connect()
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error

    async def _connect(self) -> _Connection:
        self._connecting += 1
        try:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
        except BaseException:
            self._connecting -= 1
            self._wake()
            raise
        self._connecting -= 1
        self._open.add(connection)
        return connection

    async def _turn(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            # What it was woken for is the next one's.
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled():
                self._wake()
            raise

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return


class _Connection(asyncio.Protocol):
    """One connection, and the answer that it waits for."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Answer] | None = None
        self.idle_since = 0.0
        self.is_usable = False

    async def exchange(self, request: bytes, seconds: float) -> Answer:
        assert self._transport is not None  # noqa: S101 - it is connected
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        self._parser = httptools.HttpResponseParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        timer = loop.call_later(seconds, self._time_out)
        try:
            self._transport.write(request)
            return await answer
        finally:
            timer.cancel()
            self._answer = None

    def abort(self) -> None:
        self.is_usable = False
        if self._transport is not None:
            self._transport.abort()

    # The loop's callbacks

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self.is_usable = True

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.abort()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionClosedError(endpoint_url=self._connections.url, error=error))

    def eof_received(self) -> None:
        self.is_usable = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        self._fail(ConnectionClosedError(endpoint_url=self._connections.url, error=exc))
        self._connections.ended(self)

    # The parser's callbacks

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _FIRST_OF_FINAL:
            self._headers = []
            return
        if not self._parser.should_keep_alive():
            self.is_usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, self._headers, b"".join(self._body)))

    def _time_out(self) -> None:
        self._fail(ReadTimeoutError(endpoint_url=self._connections.url))

    def _fail(self, error: Exception) -> None:
        self.is_usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
