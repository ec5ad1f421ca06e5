"""What breaks first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.cost import Size
from tenantry_benchmarks.scale.limits import (
    Limit,
    cold_seconds,
    limits,
    most_tenants,
    nearest,
    over,
)
from tenantry_benchmarks.scale.load import typical
from tenantry_benchmarks.scale.model import needs
from tenantry_benchmarks.scale.quotas import Quota


def _by_name(messages: float, tenants: int, payload: int = 600) -> dict[str, Limit]:
    found = needs(typical(messages, tenants, size=Size(payload)))
    return {limit.name: limit for limit in limits(found)}


@given(st.floats(0, 200_000), st.integers(1, 200_000))
def test_the_nearest_limit_comes_first(messages: float, tenants: int) -> None:
    """What is over the default, then what comes next, then the rest."""
    found = needs(typical(messages, tenants))
    ratios = [limit.ratio for limit in limits(found)]

    assert ratios == sorted(ratios, reverse=True)
    assert all(limit.ratio > 1 for limit in over(found))
    assert nearest(found).ratio <= 1
    assert nearest(found).ratio == max(ratio for ratio in ratios if ratio <= 1)


@given(st.floats(0, 100_000), st.floats(0, 100_000), st.integers(21, 100_000))
def test_more_messages_bring_no_limit_further_away(
    messages: float, more: float, tenants: int
) -> None:
    """But for a rate, which more processes share."""
    few, many = _by_name(messages, tenants), _by_name(messages + more, tenants)
    shared = [name for name in few if not name.startswith("rate of") and name in many]

    assert [name for name in shared if few[name].needed > many[name].needed * (1 + 1e-9)] == []


def test_a_limit_that_cannot_be_raised() -> None:
    """It is impossible beyond the default; one that can be raised, beyond the most."""
    fixed = Limit("x", Quota(10, "", ""), 11, "split", "")
    raised = Limit("x", Quota(10, "", "", can_be_raised=True, most=20), 11, "ask", "")
    beyond = Limit("x", Quota(10, "", "", can_be_raised=True, most=20), 21, "ask", "")
    unknown = Limit("x", Quota(10, "", "", can_be_raised=True), 1e9, "ask", "")

    assert (fixed.is_over, fixed.is_impossible) == (True, True)
    assert (raised.is_over, raised.is_impossible) == (True, False)
    assert (beyond.is_over, beyond.is_impossible) == (True, True)
    assert (unknown.is_over, unknown.is_impossible) == (True, False)


def test_a_hundred_thousand_tenants_are_more_than_one_environment() -> None:
    """Tables, associations and etcd end it, whatever is asked for; a thousand are well within."""
    impossible = {limit.name for limit in _by_name(1_000, 100_000).values() if limit.is_impossible}

    assert impossible == {"tables", "Pod Identity associations", "etcd"}
    assert not any(limit.is_impossible for limit in _by_name(100_000, 1_000).values())


def test_a_loud_tenant_meets_its_partition_first() -> None:
    """Ten tenants at 100,000 messages a second need ten partition keys each."""
    partition = _by_name(100_000, 10)["one partition key"]

    assert partition.is_over
    assert not partition.is_impossible
    assert partition.needed == 10_000


def test_large_items_meet_the_partition_sooner() -> None:
    """300 KB are 300 write units: three messages a second fill a partition key."""
    small, large = (_by_name(40, 10, payload)["one partition key"] for payload in (600, 307_200))

    assert not small.is_over
    assert large.is_over


@pytest.mark.parametrize("name", ["tables", "Pod Identity associations", "etcd", "ALBs"])
def test_how_many_tenants_a_quota_is_enough_for(name: str) -> None:
    """So many are within it, and one more is not."""
    tenants = most_tenants(name)

    def is_over(count: int) -> bool:
        return _by_name(count * 0.1, count)[name].is_over

    assert not is_over(tenants)
    assert is_over(tenants + 1)


def test_a_quota_that_nobody_reaches() -> None:
    """The search ends where it was told to; a limit that is not there is an error."""
    assert most_tenants("IAM roles", most=5_000) == 5_000
    with pytest.raises(KeyError, match="unheard of"):
        most_tenants("unheard of")


def test_a_basic_tenant_takes_no_quota_of_its_own() -> None:
    """A hundred more basic tenants in a pool add no table, role, alarm or association."""
    load = typical(100, 300)
    more = typical(100, 300)
    more.tenants["basic"] += 100
    names = ("tables", "Pod Identity associations", "alarms", "ALBs", "Terraform objects")
    few = {limit.name: limit.needed for limit in limits(needs(load))}
    many = {limit.name: limit.needed for limit in limits(needs(more))}

    assert [few[name] for name in names] == [many[name] for name in names]


def test_how_long_sts_takes_after_a_restart() -> None:
    """Sessions of half of a pool's tenants in each of its consumers, at 600 a second."""
    found = needs(typical(1_000, 1_000))

    assert found.sessions == 900 * 0.5 * found.consumers["pool"].mean
    assert pytest.approx(found.sessions / quotas.ASSUMED_ROLES.value) == cold_seconds(found)
