"""What a move's file says first: where it goes, or that it is taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tenantctl.check import Bounds
from tenantctl.errors import InvalidError, RefusedError
from tenantctl.model import Home, Instance, Transition, TransitionPhase
from tenantctl.placing import choose_group, choose_pool, has_room, require_room
from tenantctl.tenants import Census, Decision
from tenantry.registry import Placement, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is asked for.

    Attributes:
        tier: Where to; None keeps the tier.
        pool: Where there is room if None, unless the tenant's own pool will do.
        rollback: Take back the move that is on its way, or go on with that.
    """

    tenant_id: str
    tier: Tier | None = None
    pool: str | None = None
    rollback: bool = False
    request_id: str | None = None


def begun(
    census: Census,
    bounds: Bounds,
    request: Move,
    placement: Placement | None,
    *,
    is_back: bool = False,
) -> Decision:
    """The first commit of a move; nothing where it is on its way, or at its end.

    `is_back` says that the tenant's last move was taken back: to ask for that again goes on with
    it, and only a target turns it once more.

    Raises:
        NotFoundError: There is no such tenant.
        RefusedError: It cannot go there now, and why.
    """
    there = census.tenant(request.tenant_id)
    if there.phase == "offboarding":
        raise RefusedError(f"{there.id} is leaving, and goes nowhere else")
    if request.rollback:
        return Decision() if is_back else turned_round(there)
    target = _target(census, bounds, there, request)
    if there.transition is not None:
        return _gone_on(there, there.transition, target, is_back=is_back)
    elsewhere = astray(placement, there)
    if target == there.home and elsewhere is None:
        return Decision()
    if placement is None or placement.status == "offboarded":
        raise RefusedError(
            f"{there.id} is not registered yet: `tenantctl onboard` with --wait ends that first"
        )
    if there.is_suspended:
        raise RefusedError(f"{there.id} is suspended: `tenantctl resume {there.id}`, then move it")
    if elsewhere is not None:
        if target != there.home:
            raise RefusedError(
                f"{there.id} is placed {elsewhere}, and its file says {there.home}: bring it "
                f"there first, with `tenantctl move {there.id} --tier {there.home.tier}`"
            )
        return Decision(write=(there.but(transition=Transition(elsewhere, "provisioning")),))
    return _set_out(census, bounds, there, target)


def _gone_on(there: Instance, transition: Transition, target: Home, *, is_back: bool) -> Decision:
    """What is to do of a move that is on its way."""
    if is_back and target == transition.origin:
        return turned_round(there)
    if target != there.home:
        raise RefusedError(
            f"{there.id} is moving to {there.home}, from {transition.origin}: end that first, or "
            f"take it back with `tenantctl move {there.id} --rollback`"
        )
    return Decision()


def subject_of(request: Move) -> str:
    """What the first commit says, by which `was_taken_back` knows it."""
    if request.rollback:
        return f"Take back the move of {request.tenant_id}"
    return f"Move {request.tenant_id}"


def was_taken_back(tenant_id: str, subjects: Iterable[str]) -> bool:
    """Whether a tenant's last move was taken back, by its file's commits, the newest first."""
    back = subject_of(Move(tenant_id=tenant_id, rollback=True))
    forth = subject_of(Move(tenant_id=tenant_id))
    return next((one == back for one in subjects if one in {back, forth}), False)


def astray(placement: Placement | None, there: Instance) -> Home | None:
    """Where a tenant is placed, where that is not what its file says."""
    if placement is None or placement.status not in {"active", "suspended", "moving"}:
        return None
    home = Home(placement.tier, placement.pool)
    return None if home == there.home else home


def _set_out(census: Census, bounds: Bounds, there: Instance, target: Home) -> Decision:
    """The first commit of a move; a pool that is not there yet is opened."""
    _refuse_lost_overrides(there, target)
    pools = _opened(census, target)
    if target.pool is not None and not pools:
        require_room(census, target.pool, target.tier, bounds)
    group = there.group
    if target.tier == "premium":
        group = group or choose_group(census, bounds)
    moving = there.but(home=target, group=group, transition=Transition(there.home, "provisioning"))
    return Decision(write=(*pools, moving))


def _refuse_lost_overrides(there: Instance, target: Home) -> None:
    """Refuse what the chart would refuse at the end, when there is no way back."""
    own = {"premium": {"producer", "consumer"}, "advanced": {"consumer"}, "basic": set[str]()}
    if lost := set(there.more.get("overrides", ())) - own[target.tier]:
        raise RefusedError(
            f"{there.id} has overrides of its {' and its '.join(sorted(lost))}, which it has not "
            f"as {target}: take them out of its file first"
        )


def _target(census: Census, bounds: Bounds, there: Instance, request: Move) -> Home:
    if request.tier is None and request.pool is None:
        if there.transition is None:
            raise InvalidError("where to? Name --tier or --pool")
        return there.home
    tier = request.tier or there.home.tier
    pool = request.pool
    if tier == "premium":
        return Home(tier, pool)
    if pool is None:
        on_its_way = there.home if there.home.tier == tier else None
        if on_its_way is not None:
            return on_its_way
        pool = there.home.pool
        if pool is None or not has_room(census, pool, tier, bounds):
            pool = choose_pool(census, tier, bounds)
    elif pool not in census.pools:
        raise RefusedError(
            f"there is no pool {pool}, only {', '.join(sorted(census.pools)) or 'none yet'}"
        )
    return Home(tier, pool)


def _opened(census: Census, target: Home) -> tuple[Instance, ...]:
    """The file of a pool that is opened for this tenant."""
    if target.pool is None or target.pool in census.pools:
        return ()
    return (Instance(id=target.pool, kind="pool", home=Home("basic", target.pool)),)


def turned_round(there: Instance) -> Decision:
    """The move back: where traffic is decides at which phase it begins."""
    transition = there.transition
    if transition is None:
        raise RefusedError(f"{there.id} is not moving: there is nothing to take back")
    if transition.phase == "removing":
        raise RefusedError(
            f"the move of {there.id} is at its end, the old place is being removed: let it end, "
            "then move back"
        )
    is_there_still = there.lives_in == transition.origin
    phase: TransitionPhase = "draining" if is_there_still else "copying"
    return Decision(
        write=(there.but(home=transition.origin, transition=Transition(there.home, phase)),)
    )
