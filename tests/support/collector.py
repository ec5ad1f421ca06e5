"""A collector of spans: OTLP over HTTP, on loopback, as services export to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as WireSpan
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tenantry_local.model import HOST


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

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.raw.append(body)
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                self.spans += [_span(names["service.name"], wire) for wire in scope_spans.spans]
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def collector_up() -> AsyncGenerator[Collector, None]:
    """A collector on a free port, until the block ends."""
    collector = Collector()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", collector._take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    collector.url = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()


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
