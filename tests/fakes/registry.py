"""A registry in memory."""

from __future__ import annotations

import asyncio

from tenantry.errors import RegistryUnavailableError
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId


class MemoryRegistry:
    """Reads placements from a dictionary; can fail, and can hold its answers back."""

    def __init__(self, *placements: Placement) -> None:
        self.placements = {placement.tenant_id: placement for placement in placements}
        self.asked: list[TenantId] = []
        self.failing = False
        self.open = asyncio.Event()
        self.open.set()

    async def get(self, tenant_id: TenantId) -> Placement | None:
        """As `DynamoRegistry.get`: the answer is from when the question arrived."""
        self.asked.append(tenant_id)
        found = self.placements.get(tenant_id)
        await self.open.wait()
        if self.failing:
            msg = "the placement of the tenant cannot be read"
            raise RegistryUnavailableError(msg)
        return found


def a_placement(tenant_id: str = "acme", **changes: object) -> Placement:
    """A basic tenant in pool-1, changed."""
    values: dict[str, object] = {
        "tenant_id": TenantId(tenant_id),
        "tier": "basic",
        "pool": "pool-1",
        "queue_url": "http://sqs.example/000000000000/dev-pool-1-messages",
        "table_name": "dev-pool-1-messages",
    }
    return Placement(**(values | changes))  # type: ignore[arg-type]
