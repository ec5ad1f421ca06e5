"""Who lives on a laptop: tenants and pools, their resources, placements and processes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tenantry.registry import Placement
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
        self._pools: dict[str, Resources] = {}

    @property
    def all(self) -> Mapping[str, Tenant]:
        """Every tenant that lives here, by id."""
        return MappingProxyType(self._tenants)

    @property
    def pools(self) -> Mapping[str, Pool]:
        """Every pool, by name."""
        members = {
            name: tuple(t.tenant_id for t in self._tenants.values() if t.pool == name)
            for name in self._pools
        }
        return {name: Pool(name, own, members[name]) for name, own in self._pools.items()}

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
        shared = None if pool is None else await self._open_pool(pool)
        own = shared if spec.tier == "basic" else None
        resources = own or await self._maker.make(tenant_id)
        placement = await self._register(tenant_id, spec, pool, resources, overrides)
        if spec.tier != "basic":
            self._services.launch(tenant_id, CONSUMER, spec.tier, resources)
        if spec.tier == "premium":
            self._services.launch(tenant_id, PRODUCER, spec.tier, resources)
        token_file = self._run_dir / f"token-{tenant_id}"
        self._issuer.write_header_file(token_file, tenant_id)
        self._tenants[tenant_id] = Tenant(
            tenant_id=tenant_id,
            tier=spec.tier,
            pool=pool,
            producer=pool or tenant_id,
            consumer=pool if spec.tier == "basic" and pool else tenant_id,
            queue_url=placement.queue_url,
            dead_letter_queue_url=resources.dead_letter_queue_url,
            table_name=placement.table_name,
            token_file=token_file,
        )

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
            await self._services.remove(tenant_id)
            await self._maker.remove(tenant_id)

    async def _open_pool(self, pool: str) -> Resources:
        if pool not in self._pools:
            self._pools[pool] = resources = await self._maker.make(pool)
            self._services.launch(pool, PRODUCER, "basic", resources)
            self._services.launch(pool, CONSUMER, "basic", resources)
        return self._pools[pool]

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
                **overrides,
            }
        )
        self._placements[tenant_id] = await self._maker.register(placement)
        return self._placements[tenant_id]
