"""Who lives on a laptop: tenants and pools, their resources, placements and processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from tenantry.registry import Placement, Tier
from tenantry.tenant_id import TenantId, parse_tenant_id
from tenantry_local.issuer import Issuer
from tenantry_local.model import (
    CONSUMER,
    DEFAULT_POOL,
    PRODUCER,
    LaptopError,
    Options,
    Pool,
    Resources,
    Tenant,
    TenantSpec,
)
from tenantry_local.resources import ResourceMaker
from tenantry_local.services import Services

#: Services of a tenant's own, by tier; the others are its pool's.
SERVICES: Final[Mapping[Tier, tuple[str, ...]]] = MappingProxyType(
    {"basic": (), "advanced": (CONSUMER,), "premium": (PRODUCER, CONSUMER)}
)


class Tenants:
    """Places tenants as their tier says, and removes them."""

    def __init__(
        self,
        *,
        maker: ResourceMaker,
        services: Services,
        issuer: Issuer,
        options: Options,
        run_dir: Path,
    ) -> None:
        self._maker = maker
        self._services = services
        self._issuer = issuer
        self._options = options
        self._run_dir = run_dir
        self._tenants: dict[str, Tenant] = {}
        self._placements: dict[str, Placement] = {}
        self._pools: set[str] = set()
        self._resources: dict[str, Resources] = {}

    @property
    def all(self) -> Mapping[str, Tenant]:
        """Every tenant that lives here, by id."""
        return MappingProxyType(self._tenants)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Every pool, by name."""
        members = {
            name: tuple(t.tenant_id for t in self._tenants.values() if t.pool == name)
            for name in sorted(self._pools)
        }
        return {name: Pool(name, self._resources[name], members[name]) for name in members}

    async def place(self, spec: TenantSpec, overrides: Mapping[str, Any]) -> None:
        """Make what a tenant needs, register it, and start its processes without waiting.

        Raises:
            LaptopError: The id is not one, or is taken.
        """
        try:
            tenant_id = parse_tenant_id(spec.tenant_id)
        except ValueError as error:
            msg = f"{spec.tenant_id!r}: {error}"
            raise LaptopError(msg, status=2) from None
        if tenant_id in self._tenants:
            msg = f"a tenant {tenant_id} lives here already"
            raise LaptopError(msg, status=2)
        pool = None if spec.tier == "premium" else spec.pool or DEFAULT_POOL
        owner = pool if spec.tier == "basic" and pool else tenant_id
        if pool is not None:
            await self.open_pool(pool)
        if owner == tenant_id:
            await self.keep(tenant_id, spec.tier, SERVICES[spec.tier])
        await self._register(tenant_id, spec, pool, self._resources[owner], overrides)
        await self.settle(tenant_id, spec.tier, pool)

    async def keep(self, instance: str, tier: Tier, wanted: Collection[str]) -> Resources:
        """See that an instance has queue, table and exactly these services, without waiting."""
        if instance not in self._resources:
            self._resources[instance] = await self._maker.make(instance)
        resources = self._resources[instance]
        for service in (PRODUCER, CONSUMER):
            if service in wanted and not self._services.has(instance, service):
                self._services.launch(instance, service, tier, resources)
            elif service not in wanted and self._services.has(instance, service):
                await self._services.remove(instance, service)
        return resources

    def owns(self, instance: str) -> bool:
        """Whether an instance has a queue and a table."""
        return instance in self._resources

    def resources(self, instance: str) -> Resources | None:
        """Queue and table of an instance, if it has its own."""
        return self._resources.get(instance)

    async def drop(self, instance: str) -> None:
        """See that an instance has nothing: no service, no queue, no table."""
        await self._services.remove(instance)
        if self._resources.pop(instance, None) is not None:
            await self._maker.remove(instance)

    async def settle(self, tenant_id: TenantId, tier: Tier, pool: str | None) -> None:
        """See that requests of a tenant go where it lives, and that it has a token."""
        owner = pool if tier == "basic" and pool else tenant_id
        resources = self._resources[owner]
        token_file = self._run_dir / f"token-{tenant_id}"
        if not token_file.exists():
            self._issuer.write_header_file(token_file, tenant_id)
        self._tenants[tenant_id] = Tenant(
            tenant_id=tenant_id,
            tier=tier,
            pool=pool,
            producer=pool or tenant_id,
            consumer=owner,
            queue_url=resources.queue_url,
            dead_letter_queue_url=resources.dead_letter_queue_url,
            table_name=resources.table_name,
            token_file=token_file,
        )

    async def forget(self, tenant_id: str) -> None:
        """See that a tenant is nowhere, and its token gone."""
        tenant = self._tenants.pop(tenant_id, None)
        self._placements.pop(tenant_id, None)
        if tenant is not None:
            await asyncio.to_thread(tenant.token_file.unlink, missing_ok=True)

    async def remove(self, tenant_id: str) -> None:
        """Offboard a tenant, and remove what it owned.

        Raises:
            LaptopError: It does not live here.
        """
        tenant = self._tenants.pop(tenant_id, None)
        if tenant is None:
            msg = f"no tenant {tenant_id} lives here"
            raise LaptopError(msg)
        await self._maker.offboard(self._placements.pop(tenant_id))
        await asyncio.to_thread(tenant.token_file.unlink, missing_ok=True)
        if tenant.tier != "basic":
            await self.drop(tenant_id)

    async def open_pool(self, pool: str) -> None:
        """See that a pool is there, without waiting for its services."""
        await self.keep(pool, "basic", (PRODUCER, CONSUMER))
        self._pools.add(pool)

    async def _register(
        self,
        tenant_id: TenantId,
        spec: TenantSpec,
        pool: str | None,
        resources: Resources,
        overrides: Mapping[str, Any],
    ) -> Placement:
        placement = Placement(
            **{
                "tenant_id": tenant_id,
                "tier": spec.tier,
                "pool": pool,
                "queue_url": resources.queue_url,
                "table_name": resources.table_name,
                "max_message_bytes": self._options.max_message_bytes,
                "rate": self._options.rate,
                "changed_at": int(time.time()),
                "registered_at": int(time.time()),
                **overrides,
            }
        )
        self._placements[tenant_id] = await self._maker.register(placement)
        return self._placements[tenant_id]
