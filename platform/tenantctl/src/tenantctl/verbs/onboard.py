"""A tenant comes: placed, committed, provisioned, registered.

The steps are told from what is there, so the same command again goes on where it was, and
changes nothing where everything is done.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from tenantctl.control import Control
from tenantctl.errors import RefusedError, UnfinishedError
from tenantctl.fleet import Change
from tenantctl.model import Home, Instance, Ring
from tenantctl.placing import choose_group, choose_pool, require_room
from tenantctl.tenants import Census, Decision
from tenantctl.verbs.placements import register
from tenantry.registry import Placement, Tier

#: The part of tenants that gets a release second.
_FIRST_WAVE: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarding:
    """What is asked for; None is decided here.

    Attributes:
        pool: Where there is room if None; a premium tenant has none.
        ring: A tenth of the tenants are in r1, by their id, the others in r2.
    """

    tenant_id: str
    tier: Tier
    pool: str | None = None
    ring: Ring | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Onboarded:
    """Where the tenant is now.

    Attributes:
        change: The commit; None where the file was there.
        placement: None where it was not waited for.
        is_new: Whether this call registered it.
        pull_request: Its address, where the file was only proposed.
    """

    instance: Instance
    change: Change | None
    placement: Placement | None
    is_new: bool
    pull_request: str | None = None


async def onboard(
    control: Control,
    request: Onboarding,
    *,
    wait: bool = True,
    dry_run: bool = False,
    propose: bool = False,
) -> Onboarded:
    """Bring a tenant in; with `wait` until it is registered and can be sent to.

    With `propose` its file is put up for review, and who calls this again after the merge goes on.

    Raises:
        RefusedError: It lives elsewhere, is leaving or moving, or its id is not free again.
        UnfinishedError: The cluster is not there yet; the same call goes on.
    """
    await _refuse_tombstone(control, request.tenant_id)
    changed = await control.tenants.change(
        lambda census: _decide(control, census, request),
        verb="onboard",
        subject=f"Onboard {request.tenant_id} as {request.tier}",
        tenant_id=request.tenant_id,
        request_id=request.request_id,
        dry_run=dry_run,
        propose=propose,
    )
    instance = (
        changed.decision.write[-1]
        if changed.decision.write
        else changed.census.tenant(request.tenant_id)
    )
    if changed.change is not None and not dry_run:
        control.observer.step("committed", changed.change.commit)
    if not wait or dry_run or propose:
        return Onboarded(
            instance=instance,
            change=changed.change,
            placement=None,
            is_new=False,
            pull_request=changed.pull_request,
        )
    census = await control.tenants.census()
    owners = _owners(census, instance)
    await control.until_applied(*owners)
    control.observer.step("provisioned")
    placement, is_new = await register(control, instance)
    if is_new:
        control.observer.step("registered", f"generation {placement.generation}")
    return Onboarded(instance=instance, change=changed.change, placement=placement, is_new=is_new)


async def _refuse_tombstone(control: Control, tenant_id: str) -> None:
    placement = await control.placement(tenant_id)
    if placement is None or placement.status != "offboarded":
        return
    until = placement.until or 0
    if control.clock() < until:
        moment = datetime.fromtimestamp(until, UTC)
        raise RefusedError(
            f"{tenant_id} left, and its id is free again on {moment:%Y-%m-%d %H:%M} UTC: messages "
            "of the old customer may still be in a dead-letter queue"
        )


def _decide(control: Control, census: Census, request: Onboarding) -> Decision:
    tenant_id = request.tenant_id
    census.require_readable(tenant_id)
    there = census.tenants.get(tenant_id)
    if there is not None:
        _refuse_other(there, request)
        return Decision()
    pools: tuple[Instance, ...] = ()
    pool = request.pool
    group = None
    if request.tier == "premium":
        if pool is not None:
            raise RefusedError(f"a premium tenant is in no pool: {pool} cannot be given")
        group = choose_group(census, control.bounds)
    elif pool is None:
        pool = choose_pool(census, request.tier, control.bounds)
    else:
        require_room(census, pool, request.tier, control.bounds)
    if pool is not None and pool not in census.pools:
        pools = (Instance(id=pool, kind="pool", home=Home("basic", pool)),)
    instance = Instance(
        id=tenant_id,
        home=Home(request.tier, pool),
        ring=request.ring or ring_of(tenant_id),
        group=group,
    )
    return Decision(write=(*pools, instance))


def _refuse_other(there: Instance, request: Onboarding) -> None:
    name = there.id
    if there.phase == "offboarding":
        raise RefusedError(f"{name} is leaving: `tenantctl offboard {name}` ends that first")
    if there.transition is not None:
        raise RefusedError(f"{name} is moving to {there.home}: `tenantctl status {name}`")
    if there.home.tier != request.tier or request.pool not in {None, there.home.pool}:
        where = request.tier if request.pool is None else f"{request.tier} in {request.pool}"
        flags = f"--tier {request.tier}" + (f" --pool {request.pool}" if request.pool else "")
        raise RefusedError(
            f"{name} is here already, {there.home}, and not {where}: `tenantctl move {name} "
            f"{flags}` takes it there"
        )


def ring_of(tenant_id: str) -> Ring:
    """The ring of a tenant for which nobody chose one: for ever the same."""
    first = hashlib.sha256(f"ring {tenant_id}".encode()).digest()[0]
    return "r1" if first < 256 * _FIRST_WAVE else "r2"


def _owners(census: Census, instance: Instance) -> tuple[Instance, ...]:
    """Who has to be there before the tenant can be sent to: its pool, and itself."""
    pool = instance.home.pool
    if pool is None:
        return (instance,)
    if pool not in census.pools:
        raise UnfinishedError(f"{pool} is not in the fleet any more")
    return (census.pools[pool], instance)
