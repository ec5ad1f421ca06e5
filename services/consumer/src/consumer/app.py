"""The composition root: the only place that knows which adapter stands behind a port."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from functools import partial

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from opentelemetry import trace
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import Response

from consumer.api import Api
from consumer.credentials import ReaderSessions, sign_each
from consumer.forwarding import Places
from consumer.openapi import describe
from consumer.poller import Poller
from consumer.queue import SqsForwarder, SqsQueue
from consumer.reads import Reads
from consumer.repository import (
    DynamoMessageReader,
    DynamoMessageRepository,
    MessageRepository,
)
from consumer.settings import Settings
from tenantry.aws import READ_SECONDS, Aws
from tenantry.errors import InvalidRequestError
from tenantry.health import Health, private_app
from tenantry.metrics import ConsumerMetrics
from tenantry.problems import EXCEPTION_HANDLERS, response
from tenantry.registry import DynamoRegistry, PlacementCache
from tenantry.serving import bind, serving, settle_memory, stop_signals, wait_for_load_balancer
from tenantry.telemetry import Tracing
from tenantry.tenancy import open_identity
from tenantry.tenant_id import TenantId

log = structlog.get_logger()


def create_app(api: Api) -> FastAPI:
    """The public application."""
    app = FastAPI(
        title="Tenantry consumer",
        version=api.settings.version,
        description="Serves the messages that are stored.",
        # Its pages load scripts from elsewhere; docs/openapi holds the document instead.
        openapi_url=None,
        # A redirect would be made from the Host header, which is the client's to choose.
        redirect_slashes=False,
        exception_handlers=EXCEPTION_HANDLERS,  # type: ignore[arg-type]
    )
    app.add_exception_handler(RequestValidationError, _on_invalid_parameter)
    app.include_router(api.router())
    app.openapi = partial(describe, app)  # type: ignore[method-assign]
    return app


async def _on_invalid_parameter(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for these only
    first = error.errors()[0]
    return response(InvalidRequestError(f"{first['loc'][-1]}: {first['msg']}"))


async def run(settings: Settings) -> None:
    """Consume and serve until a signal, then drain."""
    await Consumer(settings).run()


class Consumer:
    """One process. Tests replace a part by overriding the method that makes it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        self.metrics = ConsumerMetrics(self.registry)
        self.health = Health()
        #: None while tracing is off.
        self.tracer: trace.Tracer | None = None

    async def repository(self, aws: Aws) -> MessageRepository:
        """Where messages are stored."""
        client = await aws.dynamodb(attempts=1)
        return DynamoMessageRepository(
            client, self.metrics, self.tracer, writes=await aws.dynamodb_calls(client)
        )

    async def run(self) -> None:
        """Consume and serve until a signal, then drain.

        Raises:
            Exception: What broke the poller; the process ends with it.
        """
        settings = self.settings
        sockets = bind(settings.host, settings.port), bind(settings.host, settings.private_port)
        async with AsyncExitStack() as stack:
            stop = stack.enter_context(stop_signals())
            tracing = Tracing(
                "consumer",
                {
                    "service.version": settings.version,
                    "service.instance.id": settings.instance,
                    "deployment.environment.name": settings.environment,
                },
            )
            stack.callback(tracing.close)
            self.tracer = tracing.tracer
            await stack.enter_async_context(
                serving(
                    private_app(self.health, self.registry),
                    sockets[1],
                    name="private",
                    drain_seconds=1,
                )
            )
            aws = Aws(stack, transport=settings.transport)
            if not await aws.await_credentials(stop):
                return
            dynamodb = await aws.dynamodb()
            sqs = await aws.sqs_calls(
                await aws.sqs(read_seconds=settings.wait_seconds + READ_SECONDS)
            )
            placements = PlacementCache(
                DynamoRegistry(dynamodb, settings.registry_table, count=self.metrics.count_lookup),
                max_age_seconds=settings.placement_max_age_seconds,
            )
            self.metrics.registry_failing.set_function(lambda: float(placements.failing))
            self.health.watch("registry", lambda: "failing" if placements.failing else "ok")
            poller = Poller(
                settings,
                queue=SqsQueue(
                    sqs,
                    settings.queue_url,
                    visibility_seconds=settings.visibility_seconds,
                    metrics=self.metrics,
                ),
                repository=await self.repository(aws),
                forwarder=SqsForwarder(sqs, self.metrics),
                places=Places(
                    placements,
                    settings.queue_url,
                    only=None if settings.is_pool else TenantId(settings.instance),
                ),
                metrics=self.metrics,
                health=self.health,
                tracer=tracing.tracer,
            )
            self.health.watch("store", lambda: poller.blocked or "ok")
            sessions: ReaderSessions | None = None
            reader = dynamodb
            if settings.reader_role_arn is not None and settings.is_pool:
                sessions = ReaderSessions(
                    await aws.sts(), settings.reader_role_arn, count=self.metrics.count_call
                )
                reader = await aws.dynamodb()
                sign_each(reader)
            reads = Reads(
                DynamoMessageReader(reader, count=self.metrics.count_call),
                placements,
                instance=settings.instance,
                is_pool=settings.is_pool,
                sessions=sessions,
            )
            identity = await stack.enter_async_context(
                open_identity(settings, count_fetch=self.metrics.count_fetch)
            )
            app = create_app(Api(settings, identity, reads, self.metrics))
            async with serving(
                app, sockets[0], name="public", drain_seconds=settings.request_seconds
            ):
                await self._consume(poller, stop)
            log.info("consumer.stopped")

    async def _consume(self, poller: Poller, stop: asyncio.Event) -> None:
        work = asyncio.create_task(poller.run(), name="poller")
        settle_memory()
        self.health.started = True
        log.info("consumer.started", queue=self.settings.queue_url)
        stopping = asyncio.create_task(stop.wait(), name="stop")
        await asyncio.wait([work, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        self.health.draining = True
        poller.stop()
        # The poller drains while reads are still served for the load balancer's lag.
        await asyncio.gather(work, wait_for_load_balancer(self.settings.shutdown_delay_seconds))
