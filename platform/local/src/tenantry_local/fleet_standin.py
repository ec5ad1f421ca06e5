"""A stand-in for Flux, Helm and the tofu-controller on a laptop.

It honours: the fleet's own files, read at main of a Git repository; what each phase of a move and
of leaving keeps up, as chart and Terraform module say; the seal (a protected table is not removed)
and admission's rule that a tenant's file may go only after it was `offboarding`; a state for each
instance that tells what it waits for. Names and the registry's items come from the project's
library, and the registry is left to tenantctl.

It does not: Kubernetes objects, charts, releases and rings, network, roles, autoscaling, drift.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import structlog
from botocore.exceptions import BotoCoreError, ClientError

from tenantctl.laptop import announce, forget_state, write_state
from tenantctl.model import Home, Instance
from tenantctl.ports import Applied, Outputs
from tenantry.tenant_id import TenantId
from tenantry_local.fleet_repository import FleetRepository
from tenantry_local.model import CONSUMER, DEFAULT_POOL, LaptopError, TenantSpec
from tenantry_local.resources import ResourceMaker
from tenantry_local.services import Services
from tenantry_local.tenants import SERVICES, Tenants

log = structlog.get_logger()

_POLL_SECONDS: Final = 0.5

#: Of reports and pages that name what stood in for what.
NAME: Final = "a stand-in for Flux, Helm and tofu-controller (tenantry_local.fleet_standin)"


class FleetStandin:
    """Makes the laptop what the fleet's main says, over and over."""

    def __init__(
        self,
        repository: Path,
        state: Path,
        maker: ResourceMaker,
        services: Services,
        tenants: Tenants,
    ) -> None:
        self.repository = repository
        self.state = state
        self._maker = maker
        self._services = services
        self._tenants = tenants
        self._git = FleetRepository(repository)
        self._applied: dict[str, Instance] = {}
        self._failed: set[str] = set()
        #: What was begun and never ended: it has a state, and perhaps a queue.
        self._begun: set[str] = set()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @asynccontextmanager
    async def follow(self, specs: Iterable[TenantSpec]) -> AsyncGenerator[None, None]:
        """Begin a fleet with the tenants that are there already, and follow it.

        Raises:
            LaptopError: Git is not there, or fails.
        """
        instances = _instances(specs)
        await asyncio.to_thread(self._git.begin, instances)
        announce(self.state)
        for instance in instances:
            self._applied[instance.id] = instance
            await self._say(instance)
        task = asyncio.create_task(self._run(), name="fleet")
        try:
            yield
        finally:
            for one in (task, *self._tasks.values()):
                one.cancel()
            await asyncio.gather(task, *self._tasks.values(), return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self._look()
            except (LaptopError, OSError) as error:
                log.warning("fleet.unreadable", error=str(error))
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self) -> None:
        wanted = await asyncio.to_thread(self._git.read, self._applied)
        for name in sorted(wanted.keys() | self._applied.keys() | self._begun):
            running = self._tasks.get(name)
            if running is not None and not running.done():
                continue  # one change at a time, as a release has
            # What failed is tried again, as the controllers do.
            is_done = wanted.get(name) == self._applied.get(name) and name not in self._begun
            if not is_done or name in self._failed:
                self._tasks[name] = asyncio.create_task(
                    self._apply(name, wanted.get(name)), name=f"fleet.{name}"
                )

    async def _apply(self, name: str, wanted: Instance | None) -> None:
        """Make one instance what its file says; what goes wrong is said, and tried again."""
        try:
            if wanted is None:
                await self._remove(name)
            else:
                self._begun.add(name)
                write_state(
                    self.state,
                    name,
                    Applied(
                        exists=True,
                        instance=wanted,
                        detail="services to start",
                        outputs=self._outputs(name),
                    ),
                )
                await self._make(wanted)
                self._applied[name] = wanted
                await self._say(wanted)
            self._begun.discard(name)
            self._failed.discard(name)
        except (LaptopError, ClientError, BotoCoreError, TimeoutError, KeyError) as error:
            self._failed.add(name)
            write_state(
                self.state,
                name,
                Applied(
                    exists=True,
                    instance=wanted or self._applied.get(name),
                    has_failed=True,
                    detail=str(error),
                ),
            )

    async def _make(self, wanted: Instance) -> None:
        if wanted.kind == "pool":
            await self._tenants.open_pool(wanted.id)
        else:
            await self._make_tenant(wanted)
        await self._services.wait_ready()

    async def _make_tenant(self, wanted: Instance) -> None:
        services = _services_of(wanted.homes)
        if services:
            here = wanted.lives_in.tier
            tier = (
                here if here != "basic" else next(h.tier for h in wanted.homes if h.is_dedicated)
            )
            await self._tenants.keep(wanted.id, tier, services)
            await self._maker.protect(wanted.id, on=wanted.phase != "offboarding")
        elif wanted.transition is not None or self._tenants.owns(wanted.id):
            await self._remove_own(wanted.id)
        home = wanted.lives_in
        owner = home.owner(wanted.id)
        if not self._tenants.owns(owner):
            raise LaptopError(f"{owner} is not there yet")
        await self._tenants.settle(TenantId(wanted.id), home.tier, home.pool)

    async def _remove(self, name: str) -> None:
        """What a file leaves behind when it goes: nothing, if it said before that it would."""
        last = self._applied.get(name)
        if last is not None and last.phase != "offboarding":
            raise LaptopError(
                f"the file of {name} went, and it was not offboarding: admission refuses that"
            )
        await self._tenants.forget(name)
        if self._tenants.owns(name):
            await self._maker.protect(name, on=False)
            await self._tenants.drop(name)
        self._applied.pop(name, None)
        forget_state(self.state, name)

    async def _remove_own(self, name: str) -> None:
        """Remove a queue and a table that a tenant left, unless they are sealed."""
        if not self._tenants.owns(name):
            return
        if await self._maker.is_protected(name):
            raise LaptopError(
                f"the table of {name} is protected: the plan would delete it, and nobody said "
                "that it is empty"
            )
        await self._tenants.drop(name)

    async def _say(self, instance: Instance) -> None:
        write_state(
            self.state,
            instance.id,
            Applied(
                exists=True,
                instance=instance,
                is_ready=True,
                outputs=self._outputs(instance.id),
            ),
        )

    def _outputs(self, name: str) -> Outputs | None:
        resources = self._tenants.resources(name)
        return None if resources is None else Outputs(**asdict(resources))


def _services_of(homes: Iterable[Home]) -> tuple[str, ...]:
    """The services of a tenant's own while it has these places."""
    wanted = {service for home in homes for service in SERVICES[home.tier]}
    return tuple(sorted(wanted, key=lambda service: service != CONSUMER))


def _instances(specs: Iterable[TenantSpec]) -> tuple[Instance, ...]:
    """The files that the laptop's first tenants and their pools would have."""
    homes = {
        spec.tenant_id: Home(
            spec.tier, None if spec.tier == "premium" else spec.pool or DEFAULT_POOL
        )
        for spec in specs
    }
    pools = sorted({home.pool for home in homes.values() if home.pool is not None})
    return (
        *(Instance(id=pool, kind="pool", home=Home("basic", pool)) for pool in pools),
        *(
            Instance(id=name, home=home, group="premium-1" if home.tier == "premium" else None)
            for name, home in homes.items()
        ),
    )
