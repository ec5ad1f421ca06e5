"""The composition root: the only place that knows which adapter stands behind a port."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import structlog
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from producer.api import Api
from producer.hot import HotRoute
from producer.limiter import RateLimiter
from producer.openapi import describe, tenant_header
from producer.publisher import SqsPublisher
from producer.schemas import About
from producer.settings import Settings
from tenantry.aws import Aws
from tenantry.health import Health, private_app
from tenantry.metrics import ProducerMetrics
from tenantry.problems import EXCEPTION_HANDLERS, problem_responses
from tenantry.registry import DynamoRegistry, PlacementCache
from tenantry.serving import bind, serving, settle_memory, stop_signals, wait_for_load_balancer
from tenantry.telemetry import Tracing
from tenantry.tenancy import open_identity

log = structlog.get_logger()


class App(FastAPI):
    """FastAPI, but for the requests that bring messages: those go straight to their route."""

    hot: Mapping[str, HotRoute] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            route = self.hot.get(scope["path"])
            if route is not None:
                await route(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


def create_app(api: Api) -> App:
    """The public application."""
    app = App(
        title="Tenantry producer",
        version=api.settings.version,
        description="Accepts tenants' messages and sends them to their queues.",
        # Its pages load scripts from elsewhere; docs/openapi holds the document instead.
        openapi_url=None,
        # An answer never sends a client elsewhere: its address would be made of the Host header.
        redirect_slashes=False,
        exception_handlers=EXCEPTION_HANDLERS,  # type: ignore[arg-type]
    )

    async def about(request: Request) -> About:
        return await api.about(request)

    app.add_api_route(
        "/producer",
        about,
        methods=["GET"],
        operation_id="get_producer",
        summary="Who serves",
        responses=problem_responses(400, 401, 403, 503),
        openapi_extra={"security": [{}, {"token": []}], "parameters": [tenant_header()]},
    )
    app.hot = {route.path: route for route in api.routes()}
    # For what is said of them beside their requests: which methods they take.
    app.router.routes[:0] = [
        Route(path, route, methods=["POST"]) for path, route in app.hot.items()
    ]
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


async def run(settings: Settings) -> None:
    """Serve until a signal, then finish what is in hand."""
    sockets = bind(settings.host, settings.port), bind(settings.host, settings.private_port)
    async with AsyncExitStack() as stack:
        stop = stack.enter_context(stop_signals())
        tracing = Tracing("producer", _resource(settings))
        stack.callback(tracing.close)
        registry = CollectorRegistry()
        metrics = ProducerMetrics(registry)
        health = Health()
        await stack.enter_async_context(
            serving(private_app(health, registry), sockets[1], name="private", drain_seconds=1)
        )
        aws = Aws(stack, transport=settings.transport)
        if not await aws.await_credentials(stop):
            return
        placements = PlacementCache(
            DynamoRegistry(
                await aws.dynamodb(), settings.registry_table, count=metrics.count_lookup
            ),
            max_age_seconds=settings.placement_max_age_seconds,
        )
        metrics.registry_failing.set_function(lambda: float(placements.failing))
        health.watch("registry", lambda: "failing" if placements.failing else "ok")
        identity = await stack.enter_async_context(
            open_identity(settings, count_fetch=metrics.count_fetch)
        )
        publisher = SqsPublisher(
            await aws.sqs_calls(await aws.sqs()),
            metrics,
            linger_seconds=settings.linger_seconds,
            calls_per_queue=settings.calls_per_queue,
            queue_buffer_bytes=settings.queue_buffer_bytes,
            buffer_bytes=settings.buffer_bytes,
            tracer=tracing.tracer,
        )
        stack.push_async_callback(publisher.close)
        api = Api(
            settings,
            identity,
            placements,
            publisher,
            RateLimiter(),
            metrics,
            tracing.tracer,
        )
        app = create_app(api)
        async with serving(app, sockets[0], name="public", drain_seconds=settings.request_seconds):
            settle_memory()
            health.started = True
            log.info("producer.started", instance=settings.instance, version=settings.version)
            await stop.wait()
            health.draining = True
            await wait_for_load_balancer(settings.shutdown_delay_seconds)
        log.info("producer.stopped")


def _resource(settings: Settings) -> dict[str, Any]:
    return {
        "service.version": settings.version,
        "service.instance.id": settings.instance,
        "deployment.environment.name": settings.environment,
    }
