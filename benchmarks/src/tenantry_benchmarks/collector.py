"""A collector of spans: it counts what arrives, by service."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tenantry_local.model import HOST


@dataclass(slots=True)
class Collector:
    """What arrived.

    Attributes:
        url: What services are given as `OTEL_EXPORTER_OTLP_ENDPOINT`.
        spans: By service.
    """

    url: str = ""
    spans: Counter[str] = field(default_factory=Counter)

    async def take(self, request: web.Request) -> web.Response:
        """One export."""
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource_spans in sent.resource_spans:
            names = {one.key: one.value.string_value for one in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                self.spans[names["service.name"]] += len(scope_spans.spans)
        return web.Response(
            body=ExportTraceServiceResponse().SerializeToString(),
            content_type="application/x-protobuf",
        )


@asynccontextmanager
async def collector_up() -> AsyncGenerator[Collector, None]:
    """A collector on a free port, until the block ends."""
    collector = Collector()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    collector.url = f"http://{HOST}:{runner.addresses[0][1]}"
    try:
        yield collector
    finally:
        await runner.cleanup()
