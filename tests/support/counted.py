"""A laptop with one premium tenant, whose AWS calls all go through a proxy."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from tenantry_local.laptop import Laptop
from tenantry_local.model import HOST, TenantSpec
from tenantry_local.processes import free_port
from tenantry_local.proxy import Proxy, proxy_up

TENANT = "umbrella"


@asynccontextmanager
async def counted_laptop(**options: Any) -> AsyncGenerator[tuple[Laptop, Proxy], None]:
    """Laptop and proxy; `tenants` and the laptop's options as for `Laptop.up`."""
    port = free_port()
    tenants = options.pop("tenants", [TenantSpec(TENANT, "premium", None)])
    async with (
        proxy_up(f"http://{HOST}:{port}") as proxy,
        Laptop.up(tenants, engine_port=port, endpoint_url=proxy.url, **options) as laptop,
    ):
        yield laptop, proxy
