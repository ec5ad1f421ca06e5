"""A tenant leaves: refused, drained, exported, removed, and its id kept for a while.

Each step asks what is there, so the same command goes on after anything that ended it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

from tenantctl.control import TOMBSTONE_SECONDS, Control, DeadLetters
from tenantctl.errors import NotFoundError, RefusedError, UnfinishedError
from tenantctl.export import Exported, Manifest, export, exported_items, finished, verify
from tenantctl.letters import Letter
from tenantctl.model import Home, Instance
from tenantctl.places import ExportPlace
from tenantctl.tenants import Census, Decision
from tenantctl.verbs.beginning import astray
from tenantctl.verbs.draining import until_drained, until_visible
from tenantctl.verbs.placements import claim, guard, set_status
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
        export: What was exported of the tenant; None where it had left before.
        exported_to: Where that is: a folder for each life of an id. Empty where there is none.
        placement: The tombstone, or what stands while its data is kept.
        was_gone: Whether nothing was left to do.
    """

    export: Manifest | None
    placement: Placement | None
    was_gone: bool
    exported_to: str = ""


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
    _refuse_astray(await control.placement(tenant_id), census.tenants[tenant_id])
    instance = await _mark(control, request)
    placement = await control.placement(tenant_id)
    if not _is_registered(placement):
        await control.until_applied(instance)
        # An onboarding that was faster than the mark may have ended meanwhile.
        placement = await control.placement(tenant_id)
    manifest = None
    if _is_registered(placement):
        placement = await set_status(control, tenant_id, "draining")
        place = _place_of(placement, place)
        control.observer.step("draining")
        await control.until_applied(instance)
        control.observer.step("unsealed")
        await until_drained(control, placement)
        control.observer.step("drained")
        # Before it looks for an export that is whole: of two, one sees the other's.
        placement = await claim(control, placement)
        exported = await _export(control, placement, place)
        manifest = exported.manifest
        control.observer.step(
            "exported", f"{manifest.items} items, {manifest.dead_letters} dead letters"
        )
        if request.keep_data:
            return Offboarded(
                export=manifest, exported_to=str(place), placement=placement, was_gone=False
            )
        await _delete(control, instance.home, placement, place, exported)
    await _remove_file(control, request)
    placement = await _end(control, tenant_id, placement)
    exported_to = "" if manifest is None else str(place)
    return Offboarded(
        export=manifest, exported_to=exported_to, placement=placement, was_gone=False
    )


def _is_registered(placement: Placement | None) -> bool:
    """Whether anything was ever accepted for it, in this life."""
    return placement is not None and placement.status != "offboarded"


def _refuse_astray(placement: Placement | None, there: Instance) -> None:
    """What it has would be looked for where its file says, and stay where it is."""
    elsewhere = None if there.transition else astray(placement, there)
    if elsewhere is not None:
        raise RefusedError(
            f"{there.id} is placed {elsewhere}, and its file says {there.home}: bring it there "
            f"first, with `tenantctl move {there.id} --tier {there.home.tier}`"
        )


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


def _place_of(placement: Placement, place: ExportPlace) -> ExportPlace:
    """Where the export of this life of a tenant goes: its id may have had others."""
    if placement.registered_at is None:
        return place
    came_at = datetime.fromtimestamp(placement.registered_at, UTC)
    return place.within(f"{came_at:%Y-%m-%dT%H%M%SZ}")


async def _export(control: Control, placement: Placement, place: ExportPlace) -> Exported:
    """Write items and dead letters down, and read that back."""
    exported = await _finished(control, placement, place)
    if exported is None:
        queues = await control.dead_letters(placement)
        for queue in queues:
            await until_visible(control, queue.url)
        # Whoever held them may have exported them.
        exported = await _finished(control, placement, place)
        if exported is None:
            exported = await _export_anew(control, placement, place, queues)
    return exported


async def _finished(control: Control, placement: Placement, place: ExportPlace) -> Exported | None:
    drained_at = (placement.changed_at or 0) + control.timing.placement_max_age
    return await finished(
        place,
        tenant_id=placement.tenant_id,
        environment=control.environment,
        since=datetime.fromtimestamp(drained_at, UTC).isoformat(),
    )


async def _export_anew(
    control: Control, placement: Placement, place: ExportPlace, queues: Sequence[DeadLetters]
) -> Exported:
    tenant_id = placement.tenant_id
    async with aclosing(_letters(control, queues)) as letters:
        # Letters are held until the manifest is written: who waits for them finds it.
        await export(
            place,
            tenant_id=tenant_id,
            environment=control.environment,
            table=placement.table_name,
            items=control.tables.items(placement.table_name, tenant_id, placement.shards),
            queue=" ".join(queue.url for queue in queues),
            letters=letters,
            clock=lambda: datetime.fromtimestamp(control.clock(), UTC).isoformat(),
            require_ours=guard(control, placement),
        )
    return await verify(place)


async def _letters(control: Control, queues: Sequence[DeadLetters]) -> AsyncGenerator[Letter]:
    """The letters of all queues, which are held until this is closed."""
    async with AsyncExitStack() as stack:
        for queue in queues:
            letters = await stack.enter_async_context(
                aclosing(
                    control.queues.letters(
                        queue.url, tenant_id=queue.only, payloads=True, whole=True
                    )
                )
            )
            async for letter in letters:
                yield letter


async def _delete(
    control: Control, home: Home, placement: Placement, place: ExportPlace, exported: Exported
) -> None:
    """Delete what was exported; dedicated queues and table go as a whole.

    Raises:
        RefusedError: There is something that the export does not hold.
    """
    require_ours = guard(control, placement)
    await require_ours()
    await _require_leaving(control, placement.tenant_id)
    queues = await control.dead_letters(placement)
    await _require_exported(control, home, placement, queues, exported)
    for queue in queues:
        if queue.only is not None and exported.letters:
            await control.queues.drain_delete(queue.url, exported.letters)
    where = placement.table_name, placement.tenant_id, placement.shards
    async with aclosing(exported_items(place)) as lines:
        if home.is_dedicated:
            left = await control.tables.count_unexported(*where, lines)
        else:
            rate = control.timing.write_rate
            done = await control.tables.delete_exported(
                *where, lines, rate=rate, guard=require_ours
            )
            left = done.missing + done.conflicts
    if left:
        raise RefusedError(
            f"{left} messages of {placement.tenant_id} in {placement.table_name} are not in "
            f"{place}, or differ from what is there: they stay. The same command with another "
            "--export-to exports them, too"
        )
    control.observer.step("deleted")


async def _require_exported(
    control: Control,
    home: Home,
    placement: Placement,
    queues: Sequence[DeadLetters],
    exported: Exported,
) -> None:
    """See that nothing is on queues that the export does not hold, before any of it goes.

    Raises:
        RefusedError: There is.
    """
    for queue in queues:
        await until_visible(control, queue.url)
    async with aclosing(_letters(control, queues)) as letters:
        late = [one async for one in letters if one.sqs_id not in exported.letters]
    waiting = 0
    if home.is_dedicated:
        waiting = (await control.queues.depth(placement.queue_url)).total
    if late or waiting:
        raise RefusedError(
            f"{len(late)} dead letters and {waiting} waiting messages of {placement.tenant_id} "
            "came after its export: they stay. The same command with another --export-to exports "
            "the letters, too; messages are stored first"
        )


async def _require_leaving(control: Control, tenant_id: str) -> None:
    """See that the fleet still says that it leaves: somebody may have taken that back."""
    there = (await control.tenants.census()).tenants.get(tenant_id)
    if there is not None:
        _refuse_staying(there)


def _refuse_staying(there: Instance) -> None:
    if there.phase != "offboarding":
        raise RefusedError(
            f"the file of {there.id} says no more that it leaves: somebody took that back. What "
            f"was exported stays; `tenantctl status {there.id}` shows how things stand"
        )


async def _remove_file(control: Control, request: Offboarding) -> None:
    state = await control.cluster.applied(request.tenant_id)
    if state.is_suspended:
        raise RefusedError(
            f"the release of {request.tenant_id} is suspended in the cluster and would be left "
            "there: resume it first (flux resume helmrelease)"
        )

    def decide(census: Census) -> Decision:
        there = census.tenants.get(request.tenant_id)
        if there is None:
            return Decision()
        _refuse_staying(there)
        return Decision(remove=(there.id,))

    changed = await control.tenants.change(
        decide,
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
    if placement is None:
        # An onboarding that was slower than all of this may have registered it.
        placement = await control.placement(tenant_id)
        if placement is not None and placement.status not in {"draining", "offboarded"}:
            raise UnfinishedError(
                f"{tenant_id} was registered meanwhile: put its file back (git revert), then "
                "offboard"
            )
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
