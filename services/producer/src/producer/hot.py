"""The routes that take messages, as ASGI: without what a framework does for every request.

That costs more than all of the work here. A handler gets the request's headers and body and
gives the answer; what it raises becomes a problem. Spans, times and refusals are counted around
it.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from producer.intake import Intake
from tenantry import problems
from tenantry.errors import (
    InvalidRequestError,
    MessageTooLargeError,
    RequestTimeoutError,
    TenantryError,
    UnsupportedMediaTypeError,
)
from tenantry.limits import BODY_BYTES
from tenantry.metrics import ProducerMetrics
from tenantry.protocol import WHOLE
from tenantry.telemetry import TRACE_ATTRIBUTES, extract, failed, inject
from tenantry.tenant_id import TenantId

_CONTENT_TYPE: Final = re.compile(rb"application/(json|[a-z0-9.-]+\+json) *(;.*)?", re.IGNORECASE)
_NO_CONTEXT: Final = Context()
_TOO_LARGE: Final = f"a body has at most {BODY_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with: JSON, and headers beside the usual ones."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Incoming:
    """One request. `deadline` is of `time.monotonic`."""

    __slots__ = (
        "_by_name",
        "_has_more",
        "_is_whole",
        "_receive",
        "_seconds",
        "deadline",
        "headers",
        "span",
    )

    def __init__(self, scope: Scope, receive: Receive, *, started: float, seconds: float) -> None:
        headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self.headers = headers
        self.deadline = started + seconds
        self._seconds = seconds
        #: None where nothing is recorded.
        self.span: trace.Span | None = None
        self._by_name = dict(headers)
        self._receive = receive
        self._has_more = True
        self._is_whole = WHOLE in scope

    def header(self, name: bytes) -> bytes | None:
        """A header that may be sent once.

        Raises:
            InvalidRequestError: It was sent twice.
        """
        value = self._by_name.get(name)
        if value is not None and not self._is_single(name):
            msg = f"the {name.decode()} header was sent twice"
            raise InvalidRequestError(msg)
        return value

    def trace_context(self) -> Context:
        """The client's; none if it sent none, or two."""
        # Two of them name no trace; that is no reason to refuse a message.
        if b"traceparent" not in self._by_name or not self._is_single(b"traceparent"):
            return _NO_CONTEXT
        return extract(
            {
                name: value.decode("latin-1")
                for name in TRACE_ATTRIBUTES
                if (value := self._by_name.get(name.encode())) is not None
            }
        )

    def trace_attributes(self) -> dict[str, str]:
        """The trace context that travels with the messages: ours if sampled, or the client's."""
        if self.span is not None:
            return inject(trace.set_span_in_context(self.span, _NO_CONTEXT))
        if b"traceparent" not in self._by_name:
            return {}
        return inject(self.trace_context())

    async def body(self, tenant_id: TenantId, intake: Intake) -> bytes:
        """The whole body, which must be JSON by its type; `intake` counts it while it comes.

        Raises:
            UnsupportedMediaTypeError: It is not JSON, or not said to be.
            MessageTooLargeError: It is larger than any body may be.
            RequestTimeoutError: It was not complete by the deadline.
            InvalidRequestError: The client left.
            NotAcceptedError: Too much is being received already.
        """
        content_type = self.header(b"content-type")
        if content_type is None or not _CONTENT_TYPE.fullmatch(content_type):
            msg = "the Content-Type must be application/json"
            raise UnsupportedMediaTypeError(msg)
        declared = self.header(b"content-length")
        # As a float: Python refuses to read an integer of thousands of digits.
        if declared is not None and declared.isdigit() and float(declared) > BODY_BYTES:
            raise MessageTooLargeError(_TOO_LARGE)
        if self._is_whole:
            return await self._piece(0)
        chunks: list[bytes] = []
        size = 0
        try:
            # What is left: look-ups came before it.
            async with asyncio.timeout(self.deadline - time.monotonic()):
                while self._has_more:
                    chunk = await self._piece(size)
                    intake.take(tenant_id, len(chunk))
                    size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            msg = f"the body took longer than {self._seconds:g} s"
            raise RequestTimeoutError(msg) from None
        finally:
            intake.give_back(tenant_id, size)
        return b"".join(chunks)

    async def _piece(self, size: int) -> bytes:
        """What came next, after so many bytes."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            msg = "the connection closed before the body was complete"
            raise InvalidRequestError(msg)
        chunk: bytes = message.get("body", b"")
        if size + len(chunk) > BODY_BYTES:
            raise MessageTooLargeError(_TOO_LARGE)
        self._has_more = message.get("more_body", False)
        return chunk

    def _is_single(self, name: bytes) -> bool:
        if len(self._by_name) == len(self.headers):
            return True
        return [key for key, _ in self.headers].count(name) == 1


class HotRoute:
    """An ASGI application of one path and method."""

    def __init__(
        self,
        path: str,
        handle: Callable[[Incoming], Awaitable[Answer]],
        metrics: ProducerMetrics,
        *,
        request_seconds: float,
        tracer: trace.Tracer | None,
    ) -> None:
        self.path = path
        self._handle = handle
        self._metrics = metrics
        self._seconds = metrics.request_seconds.labels(path)
        self._request_seconds = request_seconds
        self._tracer = tracer
        self._name = f"POST {path}"
        self._attributes = {
            "http.request.method": "POST",
            "http.route": path,
            "url.path": path,
            "url.scheme": "http",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.monotonic()
        incoming = Incoming(scope, receive, started=started, seconds=self._request_seconds)
        if self._tracer is None:
            await self._answer(incoming, scope, receive, send)
        else:
            await self._traced(self._tracer, incoming, scope, receive, send)
        self._seconds.observe(time.monotonic() - started)

    async def _traced(
        self,
        tracer: trace.Tracer,
        incoming: Incoming,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        span = tracer.start_span(
            self._name,
            context=incoming.trace_context(),
            kind=trace.SpanKind.SERVER,
            attributes=self._attributes,
        )
        if not span.get_span_context().trace_flags.sampled:
            # Nobody records it: what follows need not know of it.
            await self._answer(incoming, scope, receive, send)
            return
        incoming.span = span
        # What is logged meanwhile names the trace.
        token = otel_context.attach(trace.set_span_in_context(span, _NO_CONTEXT))
        try:
            await self._answer(incoming, scope, receive, send)
        finally:
            otel_context.detach(token)
            span.end()

    async def _answer(
        self, incoming: Incoming, scope: Scope, receive: Receive, send: Send
    ) -> None:
        try:
            answer = await self._handle(incoming)
        except Exception as error:  # noqa: BLE001 - answered as the framework would, and logged
            kind = problems.kind_of(error)
            self._metrics.refused.labels(kind.slug).inc()
            if incoming.span is not None:
                incoming.span.set_attribute("http.response.status_code", kind.status)
                if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    failed(incoming.span, kind.slug)
            if isinstance(error, TenantryError):
                response = problems.response(error)
            else:
                response = await problems.on_bug(Request(scope), error)
            await response(scope, receive, send)
            return
        if incoming.span is not None:
            incoming.span.set_attribute("http.response.status_code", answer.status)
        start: dict[str, Any] = {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-length", b"%d" % len(answer.body)),
                (b"content-type", b"application/json"),
                *answer.headers,
            ],
        }
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})
