"""A collector that keeps the spans which services export to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tenantry_benchmarks.collector import exports_up, spans_of


@dataclass(frozen=True, slots=True)
class Span:
    """One span, ids as hex.

    Attributes:
        links: Trace and span id of each.
    """

    service: str
    name: str
    kind: str
    trace_id: str
    span_id: str
    parent_id: str
    links: tuple[tuple[str, str], ...]
    attributes: dict[str, object]
    is_error: bool


@dataclass(slots=True)
class Collector:
    """What arrived.

    Attributes:
        url: What services are given as `OTEL_EXPORTER_OTLP_ENDPOINT`.
        raw: Bodies as they came.
    """

    url: str = ""
    spans: list[Span] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)

    def of(self, trace_id: str) -> list[Span]:
        """The spans of one trace."""
        return [span for span in self.spans if span.trace_id == trace_id]

    def take(self, body: bytes) -> None:
        """One export."""
        self.raw.append(body)
        self.spans += [_span(service, wire) for service, wire in spans_of(body)]


@asynccontextmanager
async def collector_up() -> AsyncGenerator[Collector, None]:
    """A collector that keeps what comes, until the block ends."""
    collector = Collector()
    async with exports_up(collector.take) as collector.url:
        yield collector


def _span(service: str, wire: WireSpan) -> Span:
    values = {one.key: one.value for one in wire.attributes}
    return Span(
        service=service,
        name=wire.name,
        kind=WireSpan.SpanKind.Name(wire.kind).removeprefix("SPAN_KIND_"),
        trace_id=wire.trace_id.hex(),
        span_id=wire.span_id.hex(),
        parent_id=wire.parent_span_id.hex(),
        links=tuple((link.trace_id.hex(), link.span_id.hex()) for link in wire.links),
        attributes={
            key: getattr(value, value.WhichOneof("value") or "string_value")
            for key, value in values.items()
        },
        is_error=wire.status.code == Status.STATUS_CODE_ERROR,
    )
