"""The laptop as a target: started for a run, read to its last message after it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from tenantry_loadtests.aws import dynamodb_client, sqs_client
from tenantry_loadtests.engine_books import EngineBooks, Places
from tenantry_loadtests.observing import sqs_depth
from tenantry_loadtests.plan import Aws
from tenantry_loadtests.target import Facts, Say, ScalingError
from tenantry_loadtests.tenants import TenantEntry
from tenantry_local.laptop import Laptop
from tenantry_local.model import (
    ACCESS_KEY_ID,
    CONSUMER,
    HOST,
    PRODUCER,
    REGION,
    SECRET_ACCESS_KEY,
    LaptopError,
    TenantSpec,
)
from tenantry_local.processes import free_port
from tenantry_local.proxy import Proxy, proxy_up

if TYPE_CHECKING:
    from tenantry_loadtests.accounting import Books
    from tenantry_loadtests.catalogue import LaptopWish
    from tenantry_loadtests.results import Result
    from tenantry_loadtests.settings import Settings

_WRITE: Final = "BatchExecuteStatement"


class LaptopTarget:
    """A laptop that runs."""

    def __init__(self, laptop: Laptop, wish: LaptopWish, notes: Sequence[str]) -> None:
        self._laptop = laptop
        self._wish = wish
        self._notes = tuple(notes)

    @property
    def facts(self) -> Facts:
        """Its tenants, straight at their services: the router is not what is loaded."""
        laptop = self._laptop
        return Facts(
            name="this machine's laptop",
            notes=self._notes,
            tenants=tuple(self._entry(tenant_id) for tenant_id in laptop.tenants),
            metrics_urls=self._metrics_urls(),
            aws=self._aws,
            pids=tuple(one.pid for one in laptop.instances if one.pid is not None),
        )

    def ended(self) -> Sequence[str]:
        return [
            f"the {one.service} of {one.instance}"
            for one in self._laptop.instances
            if one.pid is None
        ]

    async def scale(self, consumers: int) -> Sequence[str]:
        """Start more consumers of every pool."""
        try:
            for pool in self._laptop.pools:
                await self._laptop.replicate(pool, CONSUMER, consumers)
        except LaptopError as error:
            raise ScalingError(str(error)) from error
        return self._metrics_urls()

    async def books(self, result: Result, patience: Callable[[], float], say: Say) -> Books:
        """Of tables and queues, when nothing moves any more."""
        del result  # the books hold all there is
        tenants = self._laptop.tenants.values()
        places = Places(
            tables=sorted({tenant.table_name for tenant in tenants}),
            queues=sorted({tenant.queue_url for tenant in tenants}),
            dead_letter_queues=sorted({tenant.dead_letter_queue_url for tenant in tenants}),
        )
        aws = self._aws
        books = EngineBooks(
            sqs=sqs_client(aws),
            dynamodb=dynamodb_client(aws),
            depth=sqs_depth(aws),
            places=places,
            say=say,
        )
        if not await asyncio.to_thread(books.wait_until_empty, patience):
            say("the queues do not become empty: stopping the consumers to read what is there")
            await self._stop_consumers()
        return await asyncio.to_thread(books.read)

    async def _stop_consumers(self) -> None:
        running: Counter[str] = Counter()
        for one in self._laptop.instances:
            if one.service == CONSUMER and one.pid is not None:
                running[one.instance] += 1
                number = running[one.instance]
                name = CONSUMER if number == 1 else f"{CONSUMER}-{number}"
                await self._laptop.kill(one.instance, name, signal.SIGTERM)

    @property
    def _aws(self) -> Aws:
        return Aws(REGION, self._laptop.engine_url, ACCESS_KEY_ID, SECRET_ACCESS_KEY)

    def _metrics_urls(self) -> tuple[str, ...]:
        return tuple(
            f"{one.private_url}/metrics"
            for one in self._laptop.instances
            if one.service == CONSUMER
        )

    def _entry(self, tenant_id: str) -> TenantEntry:
        laptop, tenant = self._laptop, self._laptop.tenants[tenant_id]
        return TenantEntry(
            tenant=tenant_id,
            tier=tenant.tier,
            token_file=str(tenant.token_file),
            # Tokens last an hour; a soak may last longer.
            token_command=(
                sys.executable,
                "-m",
                "tenantry_local",
                "token",
                tenant_id,
                "--run-dir",
                str(laptop.run_dir),
            ),
            post_url=laptop.address(tenant.producer, PRODUCER),
            get_url=laptop.address(tenant.consumer, CONSUMER),
            queue_url=tenant.queue_url,
            dead_letter_queue_url=tenant.dead_letter_queue_url,
        )


@asynccontextmanager
async def laptop_up(
    settings: Settings, wish: LaptopWish, tenants: Sequence[TenantEntry]
) -> AsyncGenerator[LaptopTarget, None]:
    """A laptop as a shape wants it, with these tenants; basic ones share a pool.

    Raises:
        LaptopError: It cannot be started, and why.
    """
    engine = wish.engine or settings.engine
    options: dict[str, Any] = {"engine": engine}
    if wish.rate is not None:
        options["rate"] = wish.rate
    if settings.consumer_command:
        options["consumer_command"] = settings.consumer_command
    extra = {} if not wish.writes else {"TENANTRY_WRITES": str(wish.writes)}
    # Coverage in a service's process would be measured with it.
    quiet = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
    if "COVERAGE_PROCESS_CONFIG" in os.environ:
        extra |= quiet
    options["extra_env"] = {CONSUMER: extra, PRODUCER: quiet if extra.keys() & quiet else {}}
    async with AsyncExitStack() as stack:
        if wish.write_delay:
            port = free_port()
            proxy = await stack.enter_async_context(proxy_up(f"http://{HOST}:{port}"))
            slow_down(proxy, wish.write_delay)
            options |= {"engine_port": port, "endpoint_url": proxy.url}
        specs = [
            TenantSpec(entry.tenant, entry.tier)  # type: ignore[arg-type] # of the catalogue
            for entry in tenants
        ]
        laptop = await stack.enter_async_context(Laptop.up(specs, **options))
        yield LaptopTarget(laptop, wish, notes_of(laptop.engine_name, wish))


def slow_down(proxy: Proxy, seconds: float) -> None:
    """Make every write to a table take so much longer."""
    from tenantry_local.faults import Fault  # noqa: PLC0415

    proxy.faults.set(Fault("delay", frozenset({_WRITE}), seconds=seconds))


def notes_of(engine_name: str, wish: LaptopWish) -> list[str]:
    """What a reader of the figures must know of the laptop."""
    notes = [
        (
            f"what stands for AWS is {engine_name}: rates and latencies are of the services and"
            " of it together, on one machine, and no forecast for AWS"
        ),
        "requests go straight to each service, without the laptop's router",
    ]
    if wish.write_delay:
        notes.append(
            f"every write to a table takes {wish.write_delay:g} s longer"
            + (f", {wish.writes} at a time in a consumer" if wish.writes else "")
            + ": so that the consumers are what is saturated, and not the engine"
        )
    if wish.rate is not None:
        notes.append(f"the tier's limit is on: {wish.rate} write units a second and tenant")
    return notes
