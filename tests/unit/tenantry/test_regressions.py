"""What went wrong once in the library, and must not again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fakes.clock import Clock
from fakes.registry import MemoryRegistry, a_placement
from tenantry.errors import RegistryUnavailableError
from tenantry.registry import DynamoRegistry, PlacementCache, to_item
from tenantry.tenant_id import TenantId

ACME = TenantId("acme")
GLOBEX = TenantId("globex")


class Client:
    """A DynamoDB client that has one item, of a status that is not known yet."""

    async def get_item(self, **_: object) -> dict[str, Any]:
        return {"Item": to_item(a_placement()) | {"status": {"S": "archived"}}}


async def test_an_item_that_is_not_understood_is_one_tenants_trouble() -> None:
    """The registry answers: it is not called failing for that."""
    client: Any = Client()
    cache = PlacementCache(DynamoRegistry(client, "dev-tenants"), max_age_seconds=300)
    with pytest.raises(RegistryUnavailableError) as caught:
        await cache.get(ACME)

    assert caught.value.of_one_tenant
    assert not cache.failing


async def test_nobody_waits_for_a_registry_that_hangs_while_a_good_answer_is_there() -> None:
    """Once it is known to fail: who has a placement that may serve is given that at once."""
    clock = Clock()
    registry = MemoryRegistry(a_placement("acme"), a_placement("globex"))
    cache = PlacementCache(registry, max_age_seconds=300, clock=clock)
    await cache.get(ACME)
    await cache.get(GLOBEX)
    clock.advance(40)
    registry.failing = True
    await cache.get(GLOBEX)
    registry.open.clear()

    async with asyncio.timeout(1):
        assert await cache.get(ACME) is not None
    assert registry.asked[-1] == ACME
    clock.advance(270)
    registry.open.set()
    with pytest.raises(RegistryUnavailableError):
        await cache.get(ACME)
