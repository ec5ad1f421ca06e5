from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fleets import a_pool, a_snapshot, a_tenant
from tenantctl.check import Bounds, check
from tenantctl.errors import InvalidError, RefusedError
from tenantctl.model import Home, Instance, Transition
from tenantctl.placing import choose_group, choose_pool
from tenantry.registry import Tier

SMALL = Bounds(basic_a_pool=2, advanced_a_pool=1, premium_a_group=2, load_balancers=4)


@dataclass
class Placed:
    tenants: Mapping[str, Instance]
    pools: Mapping[str, Instance]


def placed(*instances: Instance) -> Placed:
    return Placed(
        {one.id: one for one in instances if one.kind == "tenant"},
        {one.id: one for one in instances if one.kind == "pool"},
    )


def premium(name: str, group: str | None = "premium-1") -> Instance:
    return Instance(id=name, home=Home("premium"), group=group)


def test_the_first_tenant_opens_the_first_pool_and_group() -> None:
    """An environment begins with nothing."""
    assert choose_pool(placed(), "basic", SMALL) == "pool-1"
    assert choose_group(placed(), SMALL) == "premium-1"


def test_the_least_full_pool_is_taken() -> None:
    """Of the tier that is asked for: the other's tenants do not count."""
    fleet = placed(
        a_pool(), a_pool("pool-2"), a_tenant(), Instance(id="mid", home=Home("advanced", "pool-2"))
    )
    assert choose_pool(fleet, "basic", SMALL) == "pool-2"
    assert choose_pool(fleet, "advanced", SMALL) == "pool-1"


def test_of_pools_as_full_the_lowest_number_is_taken() -> None:
    """pool-2 before pool-10, and names before neither."""
    names = ("pool-10", "pool-eu", "pool-2", "pool-a")
    assert choose_pool(placed(*map(a_pool, names)), "basic", SMALL) == "pool-2"
    assert choose_pool(placed(a_pool("pool-eu"), a_pool("pool-a")), "basic", SMALL) == "pool-a"


def test_when_all_are_full_the_next_opens() -> None:
    """Its number was never another's: not one that is named somewhere, nor a gap."""
    full = [a_pool("pool-3"), a_tenant("b-1", "pool-3"), a_tenant("b-2", "pool-3")]
    assert choose_pool(placed(*full), "basic", SMALL) == "pool-4"
    assert choose_pool(placed(*full, a_tenant("b-3", "pool-7")), "basic", SMALL) == "pool-8"
    assert choose_group(placed(premium("g-1"), premium("g-2")), SMALL) == "premium-2"


def test_a_pool_that_is_being_removed_takes_nobody() -> None:
    """And its name is not given again while it is there."""
    assert choose_pool(placed(a_pool().but(phase="offboarding")), "basic", SMALL) == "pool-2"


def test_a_mover_counts_in_both_places() -> None:
    """There is no room in a pool, or a group, that somebody is on the way into or out of."""
    moving = premium("mover").but(transition=Transition(Home("basic", "pool-1"), "copying"))
    assert choose_pool(placed(a_pool(), a_tenant(), moving), "basic", SMALL) == "pool-2"
    back = a_tenant().but(group="premium-1", transition=Transition(Home("premium"), "draining"))
    assert choose_group(placed(premium("g-1"), back), SMALL) == "premium-2"


def test_a_full_environment_is_named() -> None:
    """Pools and groups have a load balancer each, and there are so many."""
    fleet = placed(
        *(a_pool(), a_pool("pool-2"), premium("g-1"), premium("g-2"), premium("g-3", "premium-2")),
        *(a_tenant(f"b-{number}", f"pool-{number % 2 + 1}") for number in range(4)),
    )
    with pytest.raises(RefusedError, match="the environment is full"):
        choose_pool(fleet, "basic", SMALL)
    assert choose_group(fleet, SMALL) == "premium-2"


def test_a_premium_tenant_is_in_no_pool() -> None:
    """Asked for one, it says so."""
    with pytest.raises(InvalidError, match="in no pool"):
        choose_pool(placed(), "premium", SMALL)


@settings(deadline=None)  # a busy machine is no finding
@given(st.lists(st.sampled_from(["basic", "advanced", "premium"]), max_size=14))
def test_whoever_is_placed_leaves_a_fleet_without_findings(tiers: list[Tier]) -> None:
    """Any order of onboardings, until the environment is full; always the same."""
    instances: list[Instance] = []
    for number, tier in enumerate(tiers):
        try:
            if tier == "premium":
                new = premium(f"t-{number}", choose_group(placed(*instances), SMALL))
            else:
                pool = choose_pool(placed(*instances), tier, SMALL)
                assert pool == choose_pool(placed(*reversed(instances)), tier, SMALL)
                if pool not in placed(*instances).pools:
                    instances.append(a_pool(pool))
                new = Instance(id=f"t-{number}", home=Home(tier, pool))
        except RefusedError:
            break
        instances.append(new)
        assert check(a_snapshot(*instances), "dev", SMALL) == ()
