"""HTTP as a client may send it: uvicorn's protocol, with bounds on what nobody has looked at yet.

uvicorn takes heads of any size for as long as they take, parses as many requests as one read
brings, adds trailers to the headers, and loses the body of a request that offers an upgrade.
Behind a load balancer that is the load balancer's affair; from inside the cluster it is ours.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any, Final

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tenantry.limits import HEAD_BYTES, HEAD_FIELDS, HEAD_SECONDS

#: Offers of another protocol, which are declined by going on without them (RFC 9110, 7.8).
_OFFERS: Final = frozenset({b"upgrade", b"http2-settings"})


#: A key of the scope of a request whose body is there: nobody has to wait for it.
WHOLE: Final = "tenantry.whole"


class _RefusedError(Exception):
    """Ends the parser's work: nothing that follows is looked at."""


class HttpProtocol(HttpToolsProtocol):
    """One connection. Requests are answered one by one: what is pipelined is not answered."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_in_head = False
        self._is_partial = False
        self._is_declining = False
        self._is_refused = False
        self._problem = HTTPStatus.BAD_REQUEST, "this is not HTTP"
        self._unused_bytes = 0
        self._late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_a_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._stop_waiting()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if self._is_refused or self.transport.is_closing():
            return
        self._unused_bytes += len(data)
        self._parse(data)
        if self._unused_bytes > HEAD_BYTES:
            self._problem = _too_large(f"more than {HEAD_BYTES} bytes of headers")
            self._refuse()
        if self.transport.is_closing() or self._is_answering():
            self._stop_waiting()  # the application has deadlines of its own
        elif not self._is_partial:
            self._stop_waiting()
            self._expect_a_request()
        elif self._late is None:
            # Once for the whole of it: a byte now and then must not hold the connection.
            self._late = self.loop.call_later(HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _parse(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._is_declining = False
            self._parse(self._head_without_offers() + data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self._refuse()

    # The parser's callbacks

    def on_message_begin(self) -> None:
        if self._is_answering():
            raise _RefusedError
        super().on_message_begin()
        self._is_in_head = self._is_partial = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._is_in_head:
            return  # a trailer: it is no header, whatever it is called (RFC 9110, 6.5.1)
        if len(self.headers) == HEAD_FIELDS:
            self._problem = _too_large(f"more than {HEAD_FIELDS} headers")
            raise _RefusedError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        self._unused_bytes = 0
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _RefusedError
            self._is_declining = True
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unused_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._is_declining:
            return
        self._is_partial = False
        self._unused_bytes = 0
        if self.scope is not None:
            self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]
        super().on_message_complete()

    def _is_answering(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _head_without_offers(self) -> bytes:
        """The head once more, for a parser that does not stop at it."""
        lines = [
            b"%s %s HTTP/%s"
            % (self.parser.get_method(), self.url, self.parser.get_http_version().encode())
        ]
        for name, value in self.headers:
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = [option for option in options if option.lower() not in _OFFERS]
                lines += [b"connection: " + b", ".join(kept)] if kept else []
            elif name not in _OFFERS:
                lines.append(name + b": " + value)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return b"\r\n".join([*lines, b"", b""])

    def _expect_a_request(self) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self) -> None:
        """Take nothing more; a request that is complete is answered first."""
        if self._is_refused:
            return
        self._is_refused = True
        self.flow.pause_reading()
        if self._is_answering() and not self.cycle.more_body:
            # Its answer must not be taken for the answer to what follows it, nor the other way.
            self.cycle.keep_alive = False
            return
        status, detail = self._problem
        body = orjson.dumps(
            {
                "type": "about:blank",
                "title": status.phrase,
                "status": status.value,
                "detail": detail,
            }
        )
        self.transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/problem+json\r\n"
            b"content-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status.value, status.phrase.encode(), len(body), body)
        )
        self.transport.close()


def _too_large(detail: str) -> tuple[HTTPStatus, str]:
    return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, detail
