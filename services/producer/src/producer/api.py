"""The producer's routes.

The two that take messages are plain Starlette routes: what FastAPI does for a request costs
more than all of the work here. `openapi.py` describes them, and a test holds it to them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

import orjson
import structlog
from opentelemetry import context as otel_context
from opentelemetry import trace
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from producer.intake import Intake
from producer.limiter import RateLimiter
from producer.publisher import Outgoing, Publisher
from producer.schemas import (
    IDEMPOTENCY_KEY_PATTERN,
    About,
    BatchEntry,
    BatchSubmission,
    Submission,
    parse,
)
from producer.settings import Settings
from tenantry import problems
from tenantry.contract import (
    Message,
    dump_json,
    idempotent_message_id,
    item_bytes,
    new_message_id,
    now,
    write_units,
)
from tenantry.errors import (
    InvalidRequestError,
    MessageTooLargeError,
    MisplacedError,
    RequestTimeoutError,
    TenantryError,
    TenantSuspendedError,
    UnknownTenantError,
    UnsupportedMediaTypeError,
)
from tenantry.limits import BODY_BYTES, DYNAMODB_ITEM_BYTES
from tenantry.metrics import ProducerMetrics
from tenantry.registry import Placement, PlacementCache
from tenantry.telemetry import TRACE_ATTRIBUTES, extract, failed, inject
from tenantry.tenancy import Identity
from tenantry.tenant_id import TenantId

log = structlog.get_logger()

_KEY: Final = re.compile(IDEMPOTENCY_KEY_PATTERN)
_ACCEPTING: Final = frozenset({"active", "moving"})
_GONE: Final = frozenset({"offboarded"})
_CONTENT_TYPE: Final = re.compile(rb"application/(json|[a-z0-9.-]+\+json) *(;.*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Api:
    """The routes and what they use."""

    settings: Settings
    identity: Identity
    placements: PlacementCache
    publisher: Publisher
    limiter: RateLimiter
    metrics: ProducerMetrics
    tracer: trace.Tracer | None = None
    intake: Intake = field(default_factory=Intake)

    def routes(self) -> list[Route]:
        """The routes that take messages."""
        return [
            Route("/messages", self.post_message, methods=["POST"]),
            Route("/messages/batch", self.post_batch, methods=["POST"]),
        ]

    async def about(self, request: Request) -> About:
        """Who serves; the tenant is the token's, if there is one."""
        tenant = await self.identity.tenant_if_any(request.scope["headers"])
        return About(
            tenant_id=tenant,
            environment=self.settings.environment,
            version=self.settings.version,
            pool=self.settings.pool,
        )

    async def post_message(self, request: Request) -> Response:
        """Accept one message."""
        with self.metrics.request_seconds.labels("/messages").time(), self._span(request):
            deadline = time.monotonic() + self.settings.request_seconds
            try:
                placement = await self._placement(request)
                key = _idempotency_key(request.scope["headers"])
                submission = parse(await self._body(request, placement, deadline), Submission)
                message = _message(placement.tenant_id, submission, key)
                [outcome] = await self._accept(placement, [message], request, deadline)
                if outcome is not None:
                    raise outcome  # noqa: TRY301 - counted with the others
            except Exception as error:
                self._count_refusal(error)
                raise
        return Response(
            f'{{"message_id":"{message.message_id}","status":"accepted"}}'.encode(),
            202,
            {"Location": f"/messages/{message.message_id}"},
            media_type="application/json",
        )

    async def post_batch(self, request: Request) -> Response:
        """Accept up to 100 messages, each with an outcome of its own."""
        with self.metrics.request_seconds.labels("/messages/batch").time(), self._span(request):
            deadline = time.monotonic() + self.settings.request_seconds
            try:
                placement = await self._placement(request)
                if _header(request.scope["headers"], b"idempotency-key") is not None:
                    msg = "in a batch the idempotency key is a field of each message"
                    raise InvalidRequestError(msg)  # noqa: TRY301 - as above
                batch = parse(await self._body(request, placement, deadline), BatchSubmission)
            except Exception as error:
                self._count_refusal(error)
                raise
            messages = [
                _message(placement.tenant_id, entry, entry.idempotency_key)
                for entry in batch.messages
            ]
            outcomes = await self._accept(placement, messages, request, deadline)
        results: list[dict[str, object]] = []
        for message, outcome in zip(messages, outcomes, strict=True):
            if outcome is None:
                results.append({"status": 202, "message_id": message.message_id})
            else:
                self._count_refusal(outcome)
                results.append(problems.document(outcome))
        return Response(
            orjson.dumps({"results": results}),
            202 if not any(outcomes) else 207,
            media_type="application/json",
        )

    def _count_refusal(self, error: Exception) -> None:
        self.metrics.refused.labels(problems.kind_of(error).slug).inc()

    async def _placement(self, request: Request) -> Placement:
        tenant = await self.identity.tenant(request.scope["headers"])
        placement = self.placements.peek(tenant) or await self.placements.get(tenant)
        return self._may_send(tenant, placement)

    def _may_send(self, tenant: TenantId, placement: Placement | None) -> Placement:
        if placement is None or placement.status in _GONE:
            msg = "the tenant is not known here"
            raise UnknownTenantError(msg)
        if placement.status not in _ACCEPTING:
            msg = f"the tenant is {placement.status}"
            raise TenantSuspendedError(msg)
        if not self.settings.is_pool and tenant != self.settings.instance:
            msg = "this instance serves another tenant"
            raise MisplacedError(msg)
        return placement

    async def _body(self, request: Request, placement: Placement, deadline: float) -> bytes:
        headers = request.scope["headers"]
        content_type = _header(headers, b"content-type")
        if content_type is None or not _CONTENT_TYPE.fullmatch(content_type):
            msg = "the Content-Type must be application/json"
            raise UnsupportedMediaTypeError(msg)
        declared = _header(headers, b"content-length")
        # As a float: Python refuses to read an integer of thousands of digits.
        if declared is not None and declared.isdigit() and float(declared) > BODY_BYTES:
            raise _too_large_a_body()
        chunks: list[bytes] = []
        size = 0
        try:
            # What is left: look-ups came before it.
            async with asyncio.timeout(deadline - time.monotonic()):
                async for chunk in request.stream():
                    if size + len(chunk) > BODY_BYTES:
                        raise _too_large_a_body()
                    self.intake.take(placement.tenant_id, len(chunk))
                    size += len(chunk)
                    chunks.append(chunk)
        except TimeoutError:
            msg = f"the body took longer than {self.settings.request_seconds:g} s"
            raise RequestTimeoutError(msg) from None
        except ClientDisconnect:
            msg = "the connection closed before the body was complete"
            raise InvalidRequestError(msg) from None
        finally:
            self.intake.give_back(placement.tenant_id, size)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _accept(
        self,
        placement: Placement,
        messages: Sequence[Message],
        request: Request,
        deadline: float,
    ) -> list[TenantryError | None]:
        """Send what may be sent; one outcome for each message, in order."""
        attributes = self._trace_attributes(request)
        outcomes: list[TenantryError | None] = [None] * len(messages)
        going: list[tuple[int, Outgoing]] = []
        for number, message in enumerate(messages):
            outgoing = Outgoing(message.body(), attributes, placement.message_group_id)
            try:
                _refuse_too_large_for_queue(outgoing, placement)
                _refuse_too_large_for_item(message)
                self.limiter.take(placement, write_units(message))
            except TenantryError as error:
                outcomes[number] = error
            else:
                going.append((number, outgoing))
        sent = await self._publish(placement, [outgoing for _, outgoing in going], deadline)
        accepted = 0
        for (number, _), outcome in zip(going, sent, strict=True):
            outcomes[number] = outcome
            accepted += outcome is None
        if accepted:
            tenant = self.metrics.tenants.of(placement.tenant_id)
            self.metrics.accepted.labels(tenant).inc(accepted)
        return outcomes

    async def _publish(
        self, placement: Placement, going: Sequence[Outgoing], deadline: float
    ) -> list[TenantryError | None]:
        if not going:
            return []
        outcomes = await self.publisher.publish(placement.queue_url, going, deadline=deadline)
        misplaced = {
            n: going[n]
            for n, outcome in enumerate(outcomes)
            if isinstance(outcome, MisplacedError)
        }
        if misplaced:
            # The cached placement may be what is wrong: ask once more before the request fails.
            for n, outcome in (await self._follow(placement, misplaced, deadline)).items():
                outcomes[n] = outcome
        return outcomes

    async def _follow(
        self, placement: Placement, misplaced: Mapping[int, Outgoing], deadline: float
    ) -> Mapping[int, TenantryError | None]:
        """Send to where the registry says now; no outcomes where it says the same."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                found = await self.placements.refresh(placement.tenant_id)
            fresh = self._may_send(placement.tenant_id, found)
        except TimeoutError:
            return {}
        except TenantryError as error:
            return dict.fromkeys(misplaced, error)
        if fresh.queue_url == placement.queue_url:
            return {}
        outcomes: dict[int, TenantryError | None] = {}
        going: dict[int, Outgoing] = {}
        for n, message in misplaced.items():
            going[n] = Outgoing(message.body, message.attributes, fresh.message_group_id)
            try:
                _refuse_too_large_for_queue(going[n], fresh)
            except MessageTooLargeError as error:
                outcomes[n] = error
                del going[n]
        if going:
            sent = await self.publisher.publish(
                fresh.queue_url, [*going.values()], deadline=deadline
            )
            outcomes |= zip(going, sent, strict=True)
        return outcomes

    def _span(self, request: Request) -> _Span:
        return _Span(self.tracer, request)

    def _trace_attributes(self, request: Request) -> dict[str, str]:
        """The trace context that travels with the message: ours if sampled, or the client's."""
        if self.tracer is not None:
            span = trace.get_current_span()
            if span.get_span_context().trace_flags.sampled:
                return inject(otel_context.get_current())
        # Two of them name no trace; that is no reason to refuse a message.
        if [name for name, _ in request.scope["headers"]].count(b"traceparent") != 1:
            return {}
        return inject(extract(_carrier(request)))


class _Span:
    """The server's span of one request; nothing where tracing is off."""

    __slots__ = ("_manager", "_request", "_tracer")

    def __init__(self, tracer: trace.Tracer | None, request: Request) -> None:
        self._tracer = tracer
        self._request = request

    def __enter__(self) -> None:
        if self._tracer is not None:
            self._manager = self._tracer.start_as_current_span(
                f"POST {self._request.url.path}",
                context=extract(_carrier(self._request)),
                kind=trace.SpanKind.SERVER,
                attributes={
                    "http.request.method": "POST",
                    "http.route": self._request.url.path,
                    "url.path": self._request.url.path,
                    "url.scheme": self._request.url.scheme,
                },
                # The text of an error may quote what the client sent.
                record_exception=False,
                set_status_on_exception=False,
            )
            self._manager.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._tracer is not None:
            if isinstance(error[1], Exception):
                kind = problems.kind_of(error[1])
                span = trace.get_current_span()
                span.set_attribute("http.response.status_code", kind.status)
                if kind.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    failed(span, kind.slug)
            self._manager.__exit__(*error)  # type: ignore[arg-type]


def _carrier(request: Request) -> dict[str, str]:
    return {
        name: value
        for name in TRACE_ATTRIBUTES
        if (value := request.headers.get(name)) is not None
    }


def _header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """A header that may be sent once."""
    found: bytes | None = None
    for key, value in headers:
        if key == name:
            if found is not None:
                msg = f"the {name.decode()} header was sent twice"
                raise InvalidRequestError(msg)
            found = value
    return found


def _idempotency_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    value = _header(headers, b"idempotency-key")
    if value is None:
        return None
    key = value.decode("latin-1")
    if not _KEY.fullmatch(key):
        msg = "an Idempotency-Key is 1 to 255 visible ASCII characters"
        raise InvalidRequestError(msg)
    return key


def _message(tenant: TenantId, submission: Submission | BatchEntry, key: str | None) -> Message:
    return Message(
        message_id=new_message_id() if key is None else idempotent_message_id(tenant, key),
        tenant_id=tenant,
        type=submission.type,
        payload=dump_json(submission.payload),
        accepted_at=now(),
    )


def _refuse_too_large_for_queue(outgoing: Outgoing, placement: Placement) -> None:
    size = outgoing.size_bytes()
    if size > placement.max_message_bytes:
        msg = (
            f"the message takes {size} bytes on its queue, "
            f"which takes {placement.max_message_bytes}"
        )
        raise MessageTooLargeError(msg)


def _refuse_too_large_for_item(message: Message) -> None:
    size = item_bytes(message)
    if size > DYNAMODB_ITEM_BYTES:
        msg = f"the message makes an item of {size} bytes, and one holds {DYNAMODB_ITEM_BYTES}"
        raise MessageTooLargeError(msg)


def _too_large_a_body() -> MessageTooLargeError:
    return MessageTooLargeError(f"a body has at most {BODY_BYTES} bytes")
