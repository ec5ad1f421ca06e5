"""A tenant moves to another tier or pool, under traffic.

    provisioning → copying → switched → draining → removing

Each phase is a commit, what a phase has to do can be done again, and the next one is committed
when it is done: so the same command goes on after anything that ended it, and a move that is
taken back is the same move turned round. Where old and new place share queue and table (advanced
and premium, or an advanced tenant's pool) there is nothing to copy and nothing to drain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tenantctl.awsfailures import ResourceMissingError
from tenantctl.control import Control
from tenantctl.errors import RefusedError
from tenantctl.model import Home, Instance, Transition, TransitionPhase
from tenantctl.ports import Outputs
from tenantctl.tenants import Census, Decision
from tenantctl.verbs.beginning import Move, begun, subject_of, was_taken_back
from tenantctl.verbs.draining import forward_own, until_forwarded
from tenantctl.verbs.placements import claim, guard
from tenantry import names
from tenantry.registry import TIER_RATES, Left, Place, Placement, Tier

_NEXT: dict[TransitionPhase, TransitionPhase | None] = {
    "provisioning": "copying",
    "copying": "switched",
    "switched": "draining",
    "draining": "removing",
    "removing": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """Where the tenant is now; `changed` is False where it was there already."""

    instance: Instance
    placement: Placement | None
    changed: bool


async def move(control: Control, request: Move) -> Moved:
    """Bring a tenant to another place, and end a move that was begun.

    Raises:
        NotFoundError: There is no such tenant.
        RefusedError: It moves elsewhere already, is suspended or leaving, or what it leaves is
            not empty.
        UnfinishedError: Something takes longer than the time given; the same call goes on.
    """
    instance, changed = await _begin(control, request)
    while instance.transition is not None:
        changed = True
        phase = instance.transition.phase
        if phase == "removing":
            await _keep_unsealed(control, instance)
        # A place that never came up must not hold up the way back from it.
        await control.until_applied(
            *await _pools(control, instance), instance, ready=phase not in {"copying", "draining"}
        )
        await _DO[phase](control, instance)
        instance = await _advance(control, instance, phase, request.request_id)
        control.observer.step(phase)
    await control.until_applied(instance)
    if not instance.home.is_dedicated:
        await control.cluster.sweep(instance.id)
    return Moved(
        instance=instance, placement=await control.placement(instance.id), changed=changed
    )


async def _begin(control: Control, request: Move) -> tuple[Instance, bool]:
    """Commit the transition, if it is not there."""
    placement = await control.placement(request.tenant_id)
    await control.tenants.census()
    is_back = was_taken_back(request.tenant_id, await control.tenants.subjects(request.tenant_id))

    def decide(census: Census) -> Decision:
        return begun(census, control.bounds, request, placement, is_back=is_back)

    changed = await control.tenants.change(
        decide,
        verb="move",
        subject=subject_of(request),
        tenant_id=request.tenant_id,
        request_id=request.request_id,
    )
    if changed.change is not None:
        control.observer.step("committed", changed.change.commit)
        return changed.decision.write[-1], True
    return changed.census.tenant(request.tenant_id), False


async def _pools(control: Control, instance: Instance) -> tuple[Instance, ...]:
    """Pools that have to be there for it."""
    census = await control.tenants.census()
    pools = {home.pool for home in instance.homes if home.pool is not None}
    return tuple(census.pools[name] for name in sorted(pools) if name in census.pools)


async def _advance(
    control: Control, instance: Instance, phase: TransitionPhase, request_id: str | None
) -> Instance:
    """Commit the phase after this one; whoever was faster has done it."""
    following = _NEXT[phase]

    def decide(census: Census) -> Decision:
        there = census.tenant(instance.id)
        if there != instance:
            raise RefusedError(
                f"the file of {instance.id} was changed by somebody else during its move: look at "
                f"`tenantctl status {instance.id}`, then go on with the same command"
            )
        if following is None:
            group = there.group if there.home.tier == "premium" else None
            return Decision(write=(there.but(transition=None, group=group),))
        assert there.transition is not None  # noqa: S101 - equal to what is moving
        return Decision(
            write=(there.but(transition=Transition(there.transition.origin, following)),)
        )

    changed = await control.tenants.change(
        decide,
        verb="move",
        subject=f"Move {instance.id}: {following or 'done'}",
        tenant_id=instance.id,
        request_id=request_id,
    )
    return changed.decision.write[0]


# What each phase does, when the cluster has made what the file says. Every one can be done again.


async def _provision(control: Control, instance: Instance) -> None:
    """Both places are there: nothing else is to do."""
    await _places(control, instance)


async def _copy(control: Control, instance: Instance) -> None:
    """Bring over what is stored, while the tenant goes on in the old place."""
    old, new = await _places(control, instance)
    if old == new:
        return
    placement = await _registered(control, instance)
    await control.tables.copy(
        old.table_name,
        new.table_name,
        placement.tenant_id,
        placement.shards,
        rate=control.timing.write_rate,
    )


async def _switch(control: Control, instance: Instance) -> None:
    """Place the tenant anew, and wait until nobody uses what it left."""
    old, new = await _places(control, instance)
    await _place(control, instance, old, new)


async def _place(control: Control, instance: Instance, old: Outputs, new: Outputs) -> Placement:
    """Have the tenant placed anew, for as long as its old placement may be in use."""
    placement = await _registered(control, instance)
    if not _is_placed(placement, instance.home, new):
        placement = await control.registry.change(
            placement.tenant_id,
            placement,
            tier=instance.home.tier,
            pool=instance.home.pool,
            queue_url=new.queue_url,
            table_name=new.table_name,
            rate=_rate(placement, instance.home.tier),
            max_message_bytes=await control.queues.max_message_bytes(new.queue_url),
            status="active" if old == new else "moving",
            previous=None if old == new else Place(old.queue_url, old.table_name),
        )
        control.observer.step("placed", f"generation {placement.generation}")
    timing = control.timing
    changed_at = placement.changed_at or int(control.clock())
    await control.until_at(
        changed_at + timing.placement_max_age + timing.visibility,
        "services forget the old placement",
    )
    return placement


async def _drain(control: Control, instance: Instance) -> None:
    """Forward what is left, copy until nothing is new, delete what was verified."""
    assert instance.transition is not None  # noqa: S101 - it is moving
    if await _is_not_there(control, instance.transition.origin, instance.id):
        return
    old, new = await _places(control, instance)
    # A move that was taken back twice comes here without a switch, or soon after one.
    placement = await _place(control, instance, old, new)
    if old == new:
        return
    if placement.status != "moving":
        # Taken back before its switch: whoever is about to switch all the same finds another
        # generation. Where this only goes on after its end, that costs a write.
        placement = await claim(control, placement)
    if instance.transition.origin.is_dedicated:
        await until_forwarded(control, (old.queue_url, old.dead_letter_queue_url), placement)
    else:
        await forward_own(control, old.dead_letter_queue_url, placement)
    control.observer.step("forwarded")
    await _copy_the_rest(control, placement, old, new)
    if placement.status == "moving" or placement.previous is not None:
        placement = await control.registry.change(
            placement.tenant_id,
            placement,
            status="active",
            previous=None,
            left=_left(control, placement, instance.transition.origin),
        )
        control.observer.step("active", f"generation {placement.generation}")
    # Reads look into the old table as long as they use the placement that names it.
    await control.until_at(
        (placement.changed_at or 0) + control.timing.placement_max_age,
        "reads forget the old table",
    )
    left = await control.tables.delete_verified(
        old.table_name,
        new.table_name,
        placement.tenant_id,
        placement.shards,
        rate=control.timing.write_rate,
        guard=guard(control, placement),
    )
    if left.missing or left.conflicts:
        raise RefusedError(
            f"{left.missing + left.conflicts} messages of {instance.id} are in {old.table_name} "
            "alone, which it has left: none of these was deleted. The same command copies and "
            "tries again"
        )
    control.observer.step("emptied", f"{left.deleted} items")
    await guard(control, placement)()
    await _unseal(control, instance.transition.origin, old)


def _left(control: Control, placement: Placement, origin: Home) -> tuple[Left, ...]:
    """The pools that may hold messages of a tenant, with the one that it leaves now.

    What waits on a pool's queue is forwarded by whoever receives it, some time: an offboarding
    has to know where that may come from.
    """
    pools = control.left_pools(placement)
    if not origin.is_dedicated and origin.pool is not None:
        pools[origin.pool] = int(control.clock())
    return tuple(Left(pool, at) for pool, at in sorted(pools.items()))


async def _copy_the_rest(
    control: Control, placement: Placement, old: Outputs, new: Outputs
) -> None:
    """Copy until a pass finds nothing that is not there already, with the same content."""
    while True:
        copied = await control.tables.copy(
            old.table_name,
            new.table_name,
            placement.tenant_id,
            placement.shards,
            rate=control.timing.write_rate,
        )
        if copied.settled:
            control.observer.step("settled", f"{copied.settled} keys that were used twice")
        bad = copied.refused + copied.conflicts
        if bad:
            raise RefusedError(
                f"{bad} messages of {placement.tenant_id} in {old.table_name} are none that "
                f"{new.table_name} takes, or differ from what is there: nothing was deleted"
            )
        if not copied.added:
            control.observer.step("copied", f"{copied.read} items, the same in both")
            return


async def _remove(control: Control, instance: Instance) -> None:
    """The cluster has removed what only the old place had."""


_DO: dict[TransitionPhase, Callable[[Control, Instance], Awaitable[None]]] = {
    "provisioning": _provision,
    "copying": _copy,
    "switched": _switch,
    "draining": _drain,
    "removing": _remove,
}


async def _unseal(control: Control, origin: Home, old: Outputs) -> None:
    """Take the protection off a table that nothing needs any more.

    It is the seal on queue, dead-letter queue and table: the module deletes none of them while
    it is on, because only who takes it off can count.
    """
    if not origin.is_dedicated:
        return
    for queue_url in (old.queue_url, old.dead_letter_queue_url):
        depth = await control.queues.depth(queue_url)
        if depth.total:
            raise RefusedError(f"{queue_url} holds {depth.total} messages: it is not removed")
    if not await control.tables.is_empty(old.table_name):
        raise RefusedError(
            f"{old.table_name} holds items that are not this tenant's: it is not removed"
        )
    await control.tables.protect(old.table_name, on=False)
    control.observer.step("unsealed")


async def _keep_unsealed(control: Control, instance: Instance) -> None:
    """Take the protection off again: an apply between two commits may have put it back."""
    assert instance.transition is not None  # noqa: S101 - it is moving
    if instance.home.is_dedicated or not instance.transition.origin.is_dedicated:
        return
    environment = control.environment
    table = names.table_name(environment, instance.id)
    try:
        for name in (
            names.queue_name(environment, instance.id),
            names.dead_letter_queue_name(environment, instance.id),
        ):
            url = await control.queues.url(name)
            if url is not None and (await control.queues.depth(url)).total:
                return  # something came since: it stays sealed, and the plan is refused
        if await control.tables.is_empty(table):
            await control.tables.protect(table, on=False)
    except ResourceMissingError:
        return  # it is removed, or was never made


async def _is_not_there(control: Control, origin: Home, tenant_id: str) -> bool:
    """Whether a place that is left was never made: of a move that was taken back early.

    AWS is asked, not the cluster, which says nothing of a place while it works on it.
    """
    owner, environment = origin.owner(tenant_id), control.environment
    if await control.tables.exists(names.table_name(environment, owner)):
        return False
    return await control.queues.url(names.queue_name(environment, owner)) is None


async def _places(control: Control, instance: Instance) -> tuple[Outputs, Outputs]:
    """Queue and table of the old place, and of the new one, once both are there."""
    assert instance.transition is not None  # noqa: S101 - it is moving
    return (
        await control.until_outputs(instance.transition.origin, instance.id),
        await control.until_outputs(instance.home, instance.id),
    )


async def _registered(control: Control, instance: Instance) -> Placement:
    placement = await control.placement(instance.id)
    if placement is None or placement.status in {"offboarded", "draining"}:
        raise RefusedError(
            f"{instance.id} is not registered: `tenantctl reconcile` shows how things stand"
        )
    return placement


def _is_placed(placement: Placement, home: Home, outputs: Outputs) -> bool:
    return (placement.tier, placement.pool, placement.queue_url, placement.table_name) == (
        home.tier,
        home.pool,
        outputs.queue_url,
        outputs.table_name,
    )


def _rate(placement: Placement, tier: Tier) -> int:
    """The new tier's rate, unless somebody gave this tenant one of its own."""
    is_tiers_own = placement.rate == TIER_RATES[placement.tier]
    return TIER_RATES[tier] if is_tiers_own else placement.rate
