"""What tenantctl writes into the registry: it alone, and only what Git says already."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tenantctl.control import Control
from tenantctl.errors import NotFoundError, RefusedError
from tenantctl.model import Instance
from tenantry.registry import TIER_RATES, Placement, Status


async def register(control: Control, instance: Instance) -> tuple[Placement, bool]:
    """Write the placement of a tenant that has none, from what is there.

    Returns:
        The placement, and whether it is new.

    Raises:
        RefusedError: Somebody else wrote it meanwhile, its id is not free again, or it was let go
            meanwhile: then it is shut out at once.
        UnfinishedError: Queue and table are not there.
    """
    old = await control.placement(instance.id)
    if old is not None and old.status != "offboarded":
        return old, False
    home = instance.lives_in
    outputs = await control.outputs(home, instance.id)
    placement = await control.registry.change(
        control.id_of(instance.id),
        old,
        # All of it, also what a customer of this id had that left.
        max_message_bytes=await control.queues.max_message_bytes(outputs.queue_url),
        shards=1,
        tier=home.tier,
        pool=home.pool,
        status="suspended" if instance.is_suspended else "active",
        queue_url=outputs.queue_url,
        table_name=outputs.table_name,
        rate=TIER_RATES[home.tier],
        previous=None,
        until=None,
        registered_at=int(control.clock()),
        left=(),
    )
    census = await control.tenants.census()
    there = census.tenants.get(instance.id)
    if instance.id not in census.unreadable and (there is None or there.phase == "offboarding"):
        await control.registry.change(placement.tenant_id, placement, status="draining")
        raise RefusedError(
            f"{instance.id} was let go while it was registered: `tenantctl offboard "
            f"{instance.id}` ends that"
        )
    return placement, True


async def set_status(control: Control, tenant_id: str, status: Status) -> Placement:
    """Give a tenant's placement another status; nothing is written where it has it.

    Raises:
        NotFoundError: The tenant is not registered.
        RefusedError: Somebody else wrote the placement meanwhile, or the tenant is leaving.
    """
    placement = await control.placement(tenant_id)
    if placement is None or placement.status == "offboarded":
        raise NotFoundError(
            f"{tenant_id} is not registered yet: `tenantctl onboard` with --wait ends that first"
        )
    if placement.status == status:
        return placement
    if status != "draining" and placement.status not in {"active", "suspended"}:
        # Whoever leaves or moves is let in again by the verb that shut it out, and by no other.
        raise RefusedError(
            f"{tenant_id} is {placement.status}, and cannot be made {status} meanwhile: "
            f"`tenantctl status {tenant_id}`"
        )
    return await control.registry.change(placement.tenant_id, placement, status=status)


async def claim(control: Control, placement: Placement) -> Placement:
    """Go on alone: whoever works on this placement too finds another generation, and stops.

    What services know of it, and since when, stays.

    Raises:
        RefusedError: Somebody else wrote the placement meanwhile.
    """
    return await control.registry.change(
        placement.tenant_id, placement, changed_at=placement.changed_at
    )


def guard(control: Control, placement: Placement) -> Callable[[], Awaitable[None]]:
    """Sees, before what cannot be undone, that nobody else has gone on with a tenant meanwhile.

    It raises RefusedError where somebody has.
    """

    async def require_ours() -> None:
        current = await control.placement(placement.tenant_id)
        if current is None or current.generation != placement.generation:
            raise RefusedError(
                f"{placement.tenant_id}: another tenantctl works on it, or somebody changed its "
                f"placement: this one stops. `tenantctl status {placement.tenant_id}` shows how "
                "things stand"
            )

    return require_ours
