"""A tenant leaves: refused, drained, exported, removed, and its id kept for a while.

Each step asks what is there, so the same command goes on after anything that ended it.
"""

from __future__ import annotations

from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from tenantctl.control import TOMBSTONE_SECONDS, Control
from tenantctl.errors import NotFoundError, RefusedError, UnfinishedError
from tenantctl.export import Exported, Manifest, export, finished, verify
from tenantctl.model import Home, Instance
from tenantctl.places import ExportPlace
from tenantctl.tenants import Census, Decision
from tenantctl.verbs.draining import until_drained, until_visible
from tenantctl.verbs.placements import set_status
from tenantry import names
from tenantry.registry import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Offboarding:
    """What is asked for.

    Attributes:
        keep_data: End when everything is exported: the tenant stays shut out, its data and its
            file stay, and the same command without this ends it.
    """

    tenant_id: str
    keep_data: bool = False
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Offboarded:
    """What is left of it.

    Attributes:
        export: Where everything of the tenant's is; None where it had left before.
        placement: The tombstone, or what stands while its data is kept.
        was_gone: Whether nothing was left to do.
    """

    export: Manifest | None
    placement: Placement | None
    was_gone: bool


async def offboard(control: Control, request: Offboarding, place: ExportPlace) -> Offboarded:
    """Let a tenant go, once nothing that was accepted is on its way any more.

    Raises:
        NotFoundError: There never was such a tenant.
        RefusedError: It is moving, or something of it is suspended in the cluster.
        UnfinishedError: Something takes longer than the time given; the same call goes on.
    """
    tenant_id = request.tenant_id
    census = await control.tenants.census()
    census.require_readable(tenant_id)
    if tenant_id not in census.tenants:
        return await _go_on(control, tenant_id)
    instance = await _mark(control, request)
    placement = await control.placement(tenant_id)
    if not _is_registered(placement):
        await control.until_applied(instance)
        # An onboarding that was faster than the mark may have ended meanwhile.
        placement = await control.placement(tenant_id)
    manifest = None
    if _is_registered(placement):
        placement = await set_status(control, tenant_id, "draining")
        control.observer.step("draining")
        await control.until_applied(instance)
        control.observer.step("unsealed")
        await until_drained(control, placement)
        control.observer.step("drained")
        exported = await _export(control, placement, place)
        manifest = exported.manifest
        control.observer.step(
            "exported", f"{manifest.items} items, {manifest.dead_letters} dead letters"
        )
        if request.keep_data:
            return Offboarded(export=manifest, placement=placement, was_gone=False)
        await _delete(control, instance.home, placement, exported)
    await _remove_file(control, request)
    placement = await _end(control, tenant_id, placement)
    return Offboarded(export=manifest, placement=placement, was_gone=False)


def _is_registered(placement: Placement | None) -> bool:
    """Whether anything was ever accepted for it, in this life."""
    return placement is not None and placement.status != "offboarded"


async def _mark(control: Control, request: Offboarding) -> Instance:
    """Commit that it is leaving."""

    def decide(census: Census) -> Decision:
        there = census.tenant(request.tenant_id)
        if there.transition is not None:
            raise RefusedError(
                f"{there.id} is moving to {there.home}: end that, or take it back, with "
                f"`tenantctl move`"
            )
        if there.phase == "offboarding":
            return Decision()
        return Decision(write=(there.but(phase="offboarding", is_suspended=False),))

    changed = await control.tenants.change(
        decide,
        verb="offboard",
        subject=f"Let {request.tenant_id} go",
        tenant_id=request.tenant_id,
        request_id=request.request_id,
    )
    if changed.change is not None:
        control.observer.step("committed", changed.change.commit)
    return (changed.decision.write or (changed.census.tenant(request.tenant_id),))[0]


async def _export(control: Control, placement: Placement, place: ExportPlace) -> Exported:
    """Write items and dead letters down, and read that back."""
    tenant_id = placement.tenant_id
    dead_letters = await control.dead_letters(placement)
    drained_at = (placement.changed_at or 0) + control.timing.placement_max_age
    exported = await finished(
        place,
        tenant_id=tenant_id,
        environment=control.environment,
        since=datetime.fromtimestamp(drained_at, UTC).isoformat(),
    )
    if exported is None:
        exported = await _export_anew(control, placement, place, dead_letters)
    return exported


async def _export_anew(
    control: Control, placement: Placement, place: ExportPlace, dead_letters: str | None
) -> Exported:
    tenant_id = placement.tenant_id
    async with AsyncExitStack() as stack:
        letters = None
        if dead_letters is not None:
            await until_visible(control, dead_letters)
            letters = await stack.enter_async_context(
                aclosing(
                    control.queues.letters(
                        dead_letters,
                        tenant_id=tenant_id if placement.tier == "basic" else None,
                        payloads=True,
                    )
                )
            )
        await export(
            place,
            tenant_id=tenant_id,
            environment=control.environment,
            table=placement.table_name,
            items=control.tables.items(placement.table_name, tenant_id, placement.shards),
            queue=dead_letters or "",
            letters=letters,
            clock=lambda: datetime.fromtimestamp(control.clock(), UTC).isoformat(),
        )
    return await verify(place)


async def _delete(control: Control, home: Home, placement: Placement, exported: Exported) -> None:
    """Delete what a pool holds of the tenant; dedicated queues and table go as a whole."""
    if home.is_dedicated:
        return
    dead_letters = await control.dead_letters(placement)
    if dead_letters is not None and exported.letters:
        await until_visible(control, dead_letters)
        await control.queues.drain_delete(dead_letters, exported.letters)
    await control.tables.delete_partition(
        placement.table_name,
        placement.tenant_id,
        placement.shards,
        rate=control.timing.write_rate,
    )
    control.observer.step("deleted")


async def _remove_file(control: Control, request: Offboarding) -> None:
    state = await control.cluster.applied(request.tenant_id)
    if state.is_suspended:
        raise RefusedError(
            f"the release of {request.tenant_id} is suspended in the cluster and would be left "
            "there: resume it first (flux resume helmrelease)"
        )
    changed = await control.tenants.change(
        lambda census: Decision(
            remove=(request.tenant_id,) if request.tenant_id in census.tenants else ()
        ),
        verb="offboard",
        subject=f"Remove {request.tenant_id}",
        tenant_id=request.tenant_id,
        request_id=request.request_id,
    )
    if changed.change is not None:
        control.observer.step("removed", changed.change.commit)


async def _go_on(control: Control, tenant_id: str) -> Offboarded:
    """End what was begun: its file is gone already.

    Raises:
        NotFoundError: There never was such a tenant.
        RefusedError: Somebody removed the file by hand.
    """
    placement = await control.placement(tenant_id)
    remains = await control.cluster.remains(tenant_id)
    if placement is None and not remains:
        raise NotFoundError(f"there is no tenant {tenant_id}, and none left lately")
    if placement is not None and placement.status == "offboarded" and not remains:
        return Offboarded(export=None, placement=placement, was_gone=True)
    if placement is not None and placement.status not in {"draining", "offboarded"}:
        raise RefusedError(
            f"{tenant_id} is registered as {placement.status}, and has no file in the fleet: "
            "somebody removed it by hand. `tenantctl reconcile` shows what is there; put the file "
            "back (git revert), then offboard"
        )
    placement = await _end(control, tenant_id, placement)
    return Offboarded(export=None, placement=placement, was_gone=False)


async def _end(control: Control, tenant_id: str, placement: Placement | None) -> Placement | None:
    """See everything gone, then keep the id back: its tombstone, if it was ever registered."""
    await control.cluster.nudge()

    async def ask() -> str:
        await control.cluster.sweep(tenant_id)
        left = [*await control.cluster.remains(tenant_id), *await _remains(control, tenant_id)]
        return f"these to go: {', '.join(left)}" if left else ""

    await control.until(ask)
    control.observer.step("gone")
    if placement is not None and placement.status != "offboarded":
        current = await control.placement(tenant_id)
        if current is None:
            raise UnfinishedError(f"the placement of {tenant_id} went meanwhile")
        placement = current
        if current.status != "offboarded":
            placement = await control.registry.change(
                current.tenant_id,
                current,
                status="offboarded",
                until=int(control.clock()) + TOMBSTONE_SECONDS,
            )
        control.observer.step("tombstone")
    return placement


async def _remains(control: Control, tenant_id: str) -> list[str]:
    """What AWS still has of a dedicated tenant."""
    environment = control.environment
    left = [
        f"queue {name}"
        for name in (
            names.queue_name(environment, tenant_id),
            names.dead_letter_queue_name(environment, tenant_id),
        )
        if await control.queues.url(name) is not None
    ]
    table = names.table_name(environment, tenant_id)
    if await control.tables.exists(table):
        left.append(f"table {table}")
    return left
