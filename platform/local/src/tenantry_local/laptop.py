"""A whole Tenantry on one machine: what the demo, tests and load tests start.

async with Laptop.up() as laptop:
    client.post(f"{laptop.router_url}/messages", headers={
        "tenantID": "acme", "Authorization": f"Bearer {laptop.token('acme')}"}, …)
"""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from tenantry.registry import DynamoRegistry, Tier
from tenantry_local.clients import Engine
from tenantry_local.context import written
from tenantry_local.engine import ENGINE_NAMES, check_engine, start_engine
from tenantry_local.fleet_standin import FleetStandin
from tenantry_local.issuer import Issuer
from tenantry_local.model import (
    DEFAULT_TENANTS,
    HOST,
    Instance,
    LaptopError,
    Options,
    Pool,
    Tenant,
    TenantSpec,
)
from tenantry_local.page import render_page
from tenantry_local.paths import run_directory
from tenantry_local.processes import Process, Processes, free_port, is_free
from tenantry_local.resources import ResourceMaker
from tenantry_local.router import Router
from tenantry_local.services import Services
from tenantry_local.tenants import Tenants

#: Bounds of stopping, in seconds: services in parallel, then the engine.
_SERVICES_STOP_SECONDS: Final = 3.6
_ENGINE_STOP_SECONDS: Final = 0.4


class Laptop:
    """Engine, registry, pools, tenants, services and router, until the block ends."""

    def __init__(
        self,
        *,
        engine: Engine,
        issuer: Issuer,
        services: Services,
        options: Options,
        run_dir: Path,
    ) -> None:
        self.run_dir = run_dir
        self.engine = engine
        #: What stands for AWS, in words: reports of runs say it.
        self.engine_name = ENGINE_NAMES[options.engine]
        self.router_port = 0
        #: The file by which tenantctl finds this laptop; None without a fleet.
        self.context: Path | None = None
        self._maker = ResourceMaker(engine, options)
        self._issuer = issuer
        self._services = services
        self._residents = Tenants(
            maker=self._maker,
            services=services,
            issuer=issuer,
            options=options,
            run_dir=run_dir,
        )

    @classmethod
    @asynccontextmanager
    async def up(
        cls, tenants: Iterable[TenantSpec] = DEFAULT_TENANTS, **options: Any
    ) -> AsyncGenerator[Laptop, None]:
        """A laptop with these tenants, when all of it is ready; `Options` says what can be set.

        Raises:
            LaptopError: It cannot be started, and why. Logs are in `last-run`.
        """
        settings = Options(**options)
        check_engine(settings.engine)  # before anything is made
        engine_port = _port(settings.engine_port, "the engine")
        if settings.router_port:
            _port(settings.router_port, "the router")
        async with AsyncExitStack() as stack:
            run_dir = stack.enter_context(run_directory(settings.run_dir))
            processes = Processes()
            stack.callback(processes.close)
            issuer = await asyncio.to_thread(Issuer.create, run_dir)
            engine_process = await start_engine(processes, engine_port, run_dir, settings.engine)
            stack.push_async_callback(
                processes.stop, [engine_process], seconds=_ENGINE_STOP_SECONDS
            )
            engine_url = f"http://{HOST}:{engine_port}"
            engine = await Engine.connect(engine_url, stack)
            services = Services(
                processes, settings, run_dir, settings.endpoint_url or engine_url, issuer.jwks
            )
            stack.push_async_callback(_stop_services, processes, engine_process)
            laptop = cls(
                engine=engine,
                issuer=issuer,
                services=services,
                options=settings,
                run_dir=run_dir,
            )
            router = Router(laptop, laptop._page)
            stack.push_async_callback(router.close)
            await laptop._populate(tuple(tenants))
            laptop.router_port = await router.start(settings.router_port)
            if settings.fleet:
                await laptop._follow_a_fleet(stack, settings)
            yield laptop

    @property
    def router_url(self) -> str:
        """Where clients send everything."""
        return f"http://{HOST}:{self.router_port}"

    @property
    def engine_url(self) -> str:
        """The AWS endpoint."""
        return self.engine.url

    @property
    def registry(self) -> DynamoRegistry:
        """All placements, as tenantctl writes them."""
        return self._maker.registry

    @property
    def jwks(self) -> Path:
        """The issuer's public keys, as a file."""
        return self._issuer.jwks

    @property
    def tenants(self) -> Mapping[str, Tenant]:
        """Every tenant that lives here, by id."""
        return self._residents.all

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Every pool, by name."""
        return self._residents.pools

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every service process, as it stands now."""
        return self._services.instances

    def instance(self, instance: str, service: str) -> Instance:
        """One of them.

        Raises:
            LaptopError: There is none of this name.
        """
        for found in self.instances:
            if (found.instance, found.service) == (instance, service):
                return found
        msg = f"{instance} has no {service} here"
        raise LaptopError(msg)

    def token(self, tenant_id: str) -> str:
        """A token of this tenant's, good for an hour."""
        return self._issuer.token(tenant_id)

    def find(self, tenant_id: str) -> Tenant | None:
        """The tenant, if it lives here."""
        return self.tenants.get(tenant_id)

    def address(self, instance: str, service: str) -> str:
        """Where an instance listens, whether it runs or not."""
        return self._services.address(instance, service)

    async def add_tenant(
        self, tenant_id: str, tier: Tier, pool: str | None = None, **placement: Any
    ) -> Tenant:
        """Place a tenant and start what its tier owns; a pool that is new is opened.

        Args:
            tenant_id: Of a tenant that does not live here.
            tier: Basic and advanced tenants take `pool`, or `pool-1`.
            pool: None for a premium tenant.
            placement: Fields of `tenantry.registry.Placement` to set otherwise.

        Raises:
            LaptopError: The id is not one or is taken, or something did not start.
        """
        await self._residents.place(TenantSpec(tenant_id, tier, pool), placement)
        await self._services.wait_ready()
        return self.tenants[tenant_id]

    async def remove_tenant(self, tenant_id: str) -> None:
        """Offboard a tenant: it is refused from now on, and what it owned is gone.

        What a basic tenant stored stays in its pool's table.

        Raises:
            LaptopError: It does not live here.
        """
        await self._residents.remove(tenant_id)

    async def kill(
        self, instance: str, service: str, signal: signals.Signals = signals.SIGKILL
    ) -> None:
        """Send a signal to a service; SIGKILL, SIGTERM and SIGINT wait for its end."""
        await self._services.kill(instance, service, signal)

    async def restart(self, instance: str, service: str) -> None:
        """Start a service again, on its old ports, and wait until it is ready."""
        await self._services.restart(instance, service)

    async def replicate(self, instance: str, service: str, count: int) -> None:
        """Start more of an instance's service until so many run, and wait until all are ready.

        Requests still go to the first; consumers share the queue. The others are `consumer-2`
        and so on to `kill` and `restart`.
        """
        self._services.replicate(instance, service, count)
        await self._services.wait_ready()

    async def _populate(self, tenants: tuple[TenantSpec, ...]) -> None:
        await self._maker.make_registry()
        for spec in tenants:
            await self._residents.place(spec, {})
        await self._services.wait_ready()

    async def _follow_a_fleet(self, stack: AsyncExitStack, options: Options) -> None:
        """From now on tenantctl says who lives here, by this laptop's own fleet."""
        fleet = FleetStandin(
            self.run_dir / "fleet.git",
            self.run_dir / "cluster",
            maker=self._maker,
            services=self._services,
            tenants=self._residents,
        )
        specs = [
            TenantSpec(tenant.tenant_id, tenant.tier, tenant.pool)
            for tenant in self.tenants.values()
        ]
        await stack.enter_async_context(fleet.follow(specs))
        self.context = stack.enter_context(
            written(
                options,
                run_dir=self.run_dir,
                repository=fleet.repository,
                state=fleet.state,
                engine=self.engine_url,
                router=self.router_url,
            )
        )

    async def _page(self) -> str:
        return await render_page(
            self.engine,
            self.tenants.values(),
            self.instances,
            router_port=self.router_port,
            engine_name=self.engine_name,
        )


def _port(wanted: int, whose: str) -> int:
    if not wanted:
        return free_port()
    if not is_free(wanted):
        msg = f"port {wanted} is taken: {whose} cannot listen on {HOST}:{wanted}"
        raise LaptopError(msg, status=2)
    return wanted


async def _stop_services(processes: Processes, engine: Process) -> None:
    await processes.stop(
        [process for process in processes.running if process is not engine],
        seconds=_SERVICES_STOP_SECONDS,
    )
