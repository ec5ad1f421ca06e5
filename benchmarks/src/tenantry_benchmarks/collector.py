"""A collector of spans: OTLP over HTTP, on loopback, as services export to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tenantry_local.model import HOST


@dataclass(slots=True)
class Collector:
    """What arrived.

    Attributes:
        url: What services are given as `OTEL_EXPORTER_OTLP_ENDPOINT`.
        spans: How many, by service.
    """

    url: str = ""
    spans: Counter[str] = field(default_factory=Counter)

    def take(self, body: bytes) -> None:
        """One export."""
        self.spans.update(service for service, _ in spans_of(body))


@asynccontextmanager
async def collector_up() -> AsyncGenerator[Collector, None]:
    """A collector that counts, until the block ends."""
    collector = Collector()
    async with exports_up(collector.take) as collector.url:
        yield collector


@asynccontextmanager
async def exports_up(take: Callable[[bytes], None]) -> AsyncGenerator[str, None]:
    """An endpoint on a free port that passes the body of each export on; its address."""

    async def answer(request: web.Request) -> web.Response:
        take(await request.read())
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )

    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    try:
        yield f"http://{HOST}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def spans_of(body: bytes) -> Iterator[tuple[str, Span]]:
    """The spans of an export, each with its service."""
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        names = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                yield names["service.name"], span
