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
#: Headers that say where an answer ends.
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})


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
    """Up to `most` connections to one host, in the order in which they were asked for."""

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
        self._connect_seconds = connect_seconds
        self._open: set[_Connection] = set()
        self._idle: deque[_Connection] = deque()
        #: Who has one of these may use a connection, an idle one if there is any: so there are
        #: never more connections than places.
        self._places = asyncio.Semaphore(most)
        self._is_closed = False

    async def exchange(self, request: bytes, *, seconds: float) -> Answer:
        """Send a request; its answer, if it is complete within so many seconds.

        Raises:
            EndpointConnectionError: No connection, so nothing was sent.
            ConnectTimeoutError: The same, after waiting for one.
            SSLError: The same: the other side is not who it should be.
            ConnectionClosedError: It broke before the answer was complete.
            ReadTimeoutError: There was no complete answer in time.
        """
        connection = await self._taken()
        is_done = False
        try:
            answer = await connection.exchange(request, seconds)
            is_done = True
        finally:
            if is_done and connection.is_usable:
                connection.idle_since = time.monotonic()
                self._idle.append(connection)
            else:
                # Also where the caller gave up: the answer would be taken for the next one's.
                connection.abort()
            self._places.release()
        return answer

    async def close(self) -> None:
        """End all connections, also those that wait for an answer; there will be no others."""
        self._is_closed = True
        for connection in list(self._open):
            connection.abort()

    def ended(self, connection: _Connection) -> None:
        """A connection is gone; among those that are idle it is found out when it is its turn."""
        self._open.discard(connection)

    async def _taken(self) -> _Connection:
        """A place, and a connection for it."""
        if not self._places.locked() and (connection := self._idle_one()) is not None:
            await self._places.acquire()  # waits for nothing
            return connection
        try:
            async with asyncio.timeout(self._connect_seconds):
                await self._places.acquire()
                try:
                    return self._idle_one() or await self._connected()
                except BaseException:
                    self._places.release()
                    raise
        except TimeoutError as error:
            raise ConnectTimeoutError(endpoint_url=self.url, error=error) from error
        except ssl.SSLError as error:
            raise SSLError(endpoint_url=self.url, error=error) from error
        except OSError as error:
            raise EndpointConnectionError(endpoint_url=self.url, error=error) from error

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

    async def _connected(self) -> _Connection:
        if not self._is_closed:
            _, connection = await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self),
                self._host,
                self._port,
                ssl=self._tls,
                server_hostname=self._host if self._tls else None,
            )
            if connection.is_usable and not self._is_closed:
                # Not sooner: what uvloop gives up on the way is never said to be lost.
                self._open.add(connection)
                return connection
            connection.abort()
        raise ConnectionAbortedError("closed")


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
        self._head: list[tuple[bytes, bytes]] | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        timer = loop.call_later(seconds, self._time_out)
        try:
            self._transport.write(request)
            return await answer
        finally:
            timer.cancel()

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
        if self._answer is not None and self._is_until_the_end():
            self.on_message_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_usable = False
        self._fail(ConnectionClosedError(endpoint_url=self._connections.url, error=exc))
        self._connections.ended(self)

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._answer is None or self._answer.done():
            self.is_usable = False  # nobody asked for another

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        # What comes later are trailers, or the next head.
        self._head, self._headers = self._headers, []

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < _FIRST_OF_FINAL:
            self._head = None
            return
        assert self._transport is not None  # noqa: S101 - it is connected
        # Answered before the request was read: what is left of it would be read as the next.
        if not self._parser.should_keep_alive() or self._transport.get_write_buffer_size():
            self.is_usable = False
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(status, self._head or [], b"".join(self._body)))

    def _is_until_the_end(self) -> bool:
        """Whether the answer has no length but the connection's end."""
        return self._head is not None and not any(
            name.lower() in _LENGTHS for name, _ in self._head
        )

    def _time_out(self) -> None:
        self._fail(ReadTimeoutError(endpoint_url=self._connections.url))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
