"""How a tenant stands: Git, cluster, registry and AWS side by side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from tenantctl.check import in_pools
from tenantctl.control import Control
from tenantctl.errors import NotFoundError
from tenantctl.model import Home, Instance
from tenantctl.ports import Applied
from tenantctl.queues import Depth
from tenantctl.tenants import Census
from tenantry import names
from tenantry.registry import Placement, Status
from tenantry.tenant_id import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One tenant, as each of the four knows it.

    Attributes:
        wanted: What its file says; None where it has none.
        applied: What the cluster made of that.
        placement: What the registry says; None where it does not know it.
        queue: How much waits; None where there is no queue of its place.
        dead_letters: How much was given up on.
        waiting_for: What has to happen until all agree, in words; empty where they do.
    """

    tenant_id: str
    wanted: Instance | None
    applied: Applied
    placement: Placement | None
    queue: Depth | None = None
    dead_letters: Depth | None = None
    waiting_for: str = ""


async def standing(control: Control, tenant_id: str, *, census: Census | None = None) -> Standing:
    """How one tenant stands, all of it asked now.

    Raises:
        NotFoundError: Nobody knows it.
    """
    census = census or await control.tenants.census()
    wanted = census.tenants.get(tenant_id)
    applied, placement = await asyncio.gather(
        control.cluster.applied(tenant_id), control.placement(tenant_id)
    )
    if wanted is None and placement is None and not applied.exists:
        raise NotFoundError(f"there is no tenant {tenant_id}: `tenantctl list` shows who is here")
    queue, dead_letters = None, None
    if placement is not None and placement.status != "offboarded":
        owner = Home(placement.tier, placement.pool).owner(tenant_id)
        queue = await _depth(control, names.queue_name(control.environment, owner))
        dead_letters = await _depth(
            control, names.dead_letter_queue_name(control.environment, owner)
        )
    return Standing(
        tenant_id=tenant_id,
        wanted=wanted,
        applied=applied,
        placement=placement,
        queue=queue,
        dead_letters=dead_letters,
        waiting_for=waiting_for(wanted, applied, placement),
    )


async def everybody(control: Control) -> tuple[Standing, ...]:
    """How every tenant stands, by id; those that left are not among them.

    Queues are not asked: `standing` does that for one.
    """
    census, applied, scanned = await asyncio.gather(
        control.tenants.census(), control.cluster.instances(), control.registry.scan()
    )
    placements = scanned.placements
    here = {name for name, placement in placements.items() if placement.status != "offboarded"}
    # A release that has not taken up its values yet does not say whether it is a pool's.
    in_cluster = {
        name
        for name, state in applied.items()
        if (state.instance is None and name not in census.pools)
        or (state.instance is not None and state.instance.kind == "tenant")
    }
    return tuple(
        Standing(
            tenant_id=name,
            wanted=census.tenants.get(name),
            applied=applied.get(name, Applied()),
            placement=placements.get(TenantId(name)),
            waiting_for=waiting_for(
                census.tenants.get(name),
                applied.get(name, Applied()),
                placements.get(TenantId(name)),
            ),
        )
        for name in sorted(census.tenants.keys() | here | in_cluster)
    )


def waiting_for(  # noqa: PLR0911 - a table of cases, the first that holds is told
    wanted: Instance | None, applied: Applied, placement: Placement | None
) -> str:
    """What has to happen until Git, cluster and registry agree; empty where they do."""
    if wanted is None:
        if placement is None or placement.status == "offboarded":
            return "" if not applied.exists else "the cluster to remove what has no file"
        return "`tenantctl offboard` to end: its file is gone"
    if applied.is_suspended:
        return "its release to be resumed in the cluster"
    if not applied.follows(wanted):
        return applied.detail or "the cluster to take up the commit"
    if wanted.phase == "offboarding":
        return "`tenantctl offboard` to end"
    if placement is None or placement.status == "offboarded":
        return "to be registered: `tenantctl onboard` with --wait, or reconcile --fix"
    if wanted.transition is not None:
        return f"`tenantctl move` to end: it is {wanted.transition.phase}"
    if placement.status != expected_status(wanted):
        return f"its placement to say {expected_status(wanted)}: reconcile --fix"
    if Home(placement.tier, placement.pool) != wanted.home:
        return f"its placement to say {wanted.home}: it says {placement.tier}"
    return ""


def expected_status(wanted: Instance) -> Status:
    """What the registry has to say of a tenant, by what its file says."""
    if wanted.phase == "offboarding":
        return "draining"
    if wanted.is_suspended:
        return "suspended"
    return "active"


async def _depth(control: Control, name: str) -> Depth | None:
    url = await control.queues.url(name)
    return None if url is None else await control.queues.depth(url)


@dataclass(frozen=True, slots=True)
class Room:
    """A pool and what is in it."""

    pool: str
    basic: int
    advanced: int


def rooms(census: Census) -> tuple[Room, ...]:
    """Every pool, and how many tenants of each tier it serves; a mover counts in both places."""
    counts = in_pools(tuple(census.tenants.values()))
    return tuple(
        Room(pool, counts[pool, "basic"], counts[pool, "advanced"])
        for pool in sorted(census.pools)
    )
