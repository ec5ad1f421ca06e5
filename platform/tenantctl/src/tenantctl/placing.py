"""Where a new tenant goes: the least full pool or group, or the next one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Protocol

from tenantctl.check import DEFAULT_GROUP, Bounds, in_groups, in_pools
from tenantctl.errors import InvalidError, RefusedError
from tenantctl.model import Instance
from tenantry.registry import Tier

_NUMBERED: Final = re.compile(r"(pool|premium)-([1-9][0-9]*)")


class Placed(Protocol):
    """An environment's tenants and pools, by id."""

    @property
    def tenants(self) -> Mapping[str, Instance]: ...
    @property
    def pools(self) -> Mapping[str, Instance]: ...


def choose_pool(placed: Placed, tier: Tier, bounds: Bounds) -> str:
    """The pool for one more tenant: the least full one with room, else the next one's name.

    Of pools as full the one with the lowest number is taken, so the same fleet gives the same
    answer. One that is being removed takes nobody.

    Raises:
        InvalidError: The tier has no pool.
        RefusedError: The environment is full.
    """
    if tier == "premium":
        raise InvalidError("a premium tenant is in no pool")
    counts = in_pools(tuple(placed.tenants.values()))
    room = [name for name in placed.pools if has_room(placed, name, tier, bounds)]
    if room:
        return min(room, key=lambda name: (counts[name, tier], *_order(name)))
    _refuse_full(placed, bounds)
    named = {home for home, _ in counts}
    return f"pool-{_next((*placed.pools, *named))}"


def has_room(placed: Placed, pool: str, tier: Tier, bounds: Bounds) -> bool:
    """Whether a pool is there to stay, and takes one more tenant of a tier."""
    if pool not in placed.pools or placed.pools[pool].phase != "active":
        return False
    counts = in_pools(tuple(placed.tenants.values()))
    return counts[pool, tier] < bounds.of_pool(tier)


def require_room(placed: Placed, pool: str, tier: Tier, bounds: Bounds) -> None:
    """Refuse a pool that was named and cannot take one more tenant.

    Raises:
        RefusedError: There is none of this name, it is full, or it is being removed.
    """
    if pool not in placed.pools:
        raise RefusedError(
            f"there is no pool {pool}, only {', '.join(sorted(placed.pools)) or 'none yet'}: "
            "leave it out, and a place is chosen"
        )
    if placed.pools[pool].phase != "active":
        raise RefusedError(f"{pool} is being removed: leave it out, and a place is chosen")
    if not has_room(placed, pool, tier, bounds):
        raise RefusedError(
            f"{pool} is full: it has {bounds.of_pool(tier)} {tier} tenants. Leave it out, and a "
            "place is chosen"
        )


def choose_group(placed: Placed, bounds: Bounds) -> str:
    """The group for one more premium tenant: the least full with room, else the next one's name.

    Raises:
        RefusedError: The environment is full.
    """
    counts = in_groups(tuple(placed.tenants.values()))
    del counts[DEFAULT_GROUP]  # it has a name among the others that only the facts know
    room = [name for name, count in counts.items() if count < bounds.premium_a_group]
    if room:
        return min(room, key=lambda name: (counts[name], *_order(name)))
    _refuse_full(placed, bounds)
    named = {one.group for one in placed.tenants.values() if one.group is not None}
    return f"premium-{_next(named)}"


def _refuse_full(placed: Placed, bounds: Bounds) -> None:
    balancers = len(placed.pools) + len(in_groups(tuple(placed.tenants.values())))
    if balancers >= bounds.load_balancers:
        raise RefusedError(
            f"the environment is full: its {balancers} pools and groups have no room, and "
            f"{bounds.load_balancers} is as many as it may have"
        )


def _order(name: str) -> tuple[int, int, str]:
    """pool-2 before pool-10, and both before pool-eu."""
    numbered = _NUMBERED.fullmatch(name)
    return (0, int(numbered[2]), name) if numbered else (1, 0, name)


def _next(names: Iterable[str]) -> int:
    numbered = (_NUMBERED.fullmatch(name) for name in names)
    return max((int(one[2]) for one in numbered if one), default=0) + 1
