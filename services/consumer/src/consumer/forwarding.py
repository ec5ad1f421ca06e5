"""Whose message it is, and where that tenant lives now.

A message of a tenant that is placed elsewhere follows it: so a move, a producer that was late
and an old redrive all end in the right table.
"""

from __future__ import annotations

from enum import Enum
from urllib.parse import urlsplit

from tenantry.registry import Placement, PlacementCache
from tenantry.tenant_id import TenantId


class Whereabouts(Enum):
    """Where a message's tenant lives, seen from one consumer."""

    HERE = "here"
    ELSEWHERE = "elsewhere"
    OFFBOARDED = "offboarded"
    UNKNOWN = "unknown"


class Places:
    """Answers for one consumer's queue."""

    def __init__(
        self, placements: PlacementCache, queue_url: str, *, only: TenantId | None = None
    ) -> None:
        self._placements = placements
        #: The tenant of an instance that has one: its role may ask for no other's placement, and
        #: what it is denied would look like a registry that is gone.
        self._only = only
        self._queue = _identity(queue_url)

    def here(self, tenant_id: TenantId) -> Placement | None:
        """The placement of a tenant that the cache knows to live here, without waiting."""
        placement = self._placements.peek(tenant_id)
        return placement if self._whereabouts(placement) is Whereabouts.HERE else None

    async def find(self, tenant_id: TenantId) -> tuple[Whereabouts, Placement | None]:
        """Where the tenant lives; anything but here is asked of the registry, not the cache.

        Raises:
            RegistryUnavailableError: It cannot be learnt now.
        """
        if self._only not in (None, tenant_id):
            return Whereabouts.UNKNOWN, None
        placement = self._placements.peek(tenant_id) or await self._placements.get(tenant_id)
        found = self._whereabouts(placement)
        if found in (Whereabouts.ELSEWHERE, Whereabouts.OFFBOARDED):
            placement = await self._placements.refresh(tenant_id)
            found = self._whereabouts(placement)
        return found, placement

    def _whereabouts(self, placement: Placement | None) -> Whereabouts:
        if placement is None:
            return Whereabouts.UNKNOWN
        if placement.status == "offboarded":
            return Whereabouts.OFFBOARDED
        if _identity(placement.queue_url) == self._queue:
            return Whereabouts.HERE
        return Whereabouts.ELSEWHERE


def _identity(queue_url: str) -> str:
    """Account and name: the host differs between an endpoint in the VPC and the region's."""
    return urlsplit(queue_url).path
