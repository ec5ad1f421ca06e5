"""A tenant is shut out, and let in again: what was accepted is stored all the same."""

from __future__ import annotations

from tenantctl.control import Control
from tenantctl.errors import RefusedError
from tenantctl.tenants import Census, Changed, Decision
from tenantctl.verbs.placements import set_status
from tenantry.registry import Placement, Status


async def suspend(control: Control, tenant_id: str, *, request_id: str | None = None) -> Placement:
    """Refuse a tenant's requests with 403, within the time that services keep placements.

    Raises:
        NotFoundError: There is no such tenant.
        RefusedError: It is moving or leaving.
    """
    return await _set(control, tenant_id, suspended=True, request_id=request_id)


async def resume(control: Control, tenant_id: str, *, request_id: str | None = None) -> Placement:
    """Serve a suspended tenant again.

    Raises:
        NotFoundError: There is no such tenant.
        RefusedError: It is moving or leaving.
    """
    return await _set(control, tenant_id, suspended=False, request_id=request_id)


async def _set(
    control: Control, tenant_id: str, *, suspended: bool, request_id: str | None
) -> Placement:
    verb = "suspend" if suspended else "resume"

    def decide(census: Census) -> Decision:
        there = census.tenant(tenant_id)
        if there.phase == "offboarding":
            raise RefusedError(f"{tenant_id} is leaving, and refused already")
        if there.transition is not None:
            raise RefusedError(
                f"{tenant_id} is moving: when that has ended it can be suspended, "
                f"`tenantctl status {tenant_id}` shows how far it is"
            )
        if there.is_suspended == suspended:
            return Decision()
        return Decision(write=(there.but(is_suspended=suspended),))

    changed: Changed = await control.tenants.change(
        decide,
        verb=verb,
        subject=f"{verb.title()} {tenant_id}",
        tenant_id=tenant_id,
        request_id=request_id,
    )
    if changed.change is not None:
        control.observer.step("committed", changed.change.commit)
    status: Status = "suspended" if suspended else "active"
    placement = await set_status(control, tenant_id, status)
    control.observer.step("registered", status)
    return placement
