"""Capacity: more load never needs less, and nothing is planned below what it needs."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_benchmarks.scale.cost import MEASURED, TIERS, Size, Tier
from tenantry_benchmarks.scale.design import Design
from tenantry_benchmarks.scale.fairness import BOTH, Scene, run
from tenantry_benchmarks.scale.load import Load, typical
from tenantry_benchmarks.scale.model import Needs, needs
from tenantry_benchmarks.scale.quotas import PARTITION_WRITES

rates = st.floats(0, 200_000)
counts = st.integers(1, 200_000)
designs = st.builds(
    Design,
    producer_us=st.floats(20, 5_000),
    consumer_us=st.floats(20, 5_000),
    round_trip=st.floats(0.005, 0.1),
)


@given(rates, counts)
def test_a_typical_load_is_all_there(rate: float, tenants: int) -> None:
    """Tiers add up to all tenants and all messages."""
    load = typical(rate, tenants)

    assert sum(load.tenants.values()) == tenants
    assert pytest.approx(rate) == sum(load.rate(tier) for tier in TIERS)


def test_few_tenants_are_large() -> None:
    """Up to twenty are premium and equal; of a thousand there are 900, 80 and 20."""
    assert typical(10, 20).tenants == {"basic": 0, "advanced": 0, "premium": 20}
    assert typical(10, 1_000).tenants == {"basic": 900, "advanced": 80, "premium": 20}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"messages_per_second": -1}, "negative"),
        ({"tenants": {"basic": -1, "advanced": 1, "premium": 1}}, "negative"),
        ({"traffic": {"basic": 0.5, "advanced": 0, "premium": 0}}, "add up"),
        ({"tenants": {"basic": 0, "advanced": 1, "premium": 1}}, "without tenants"),
    ],
)
def test_a_load_that_cannot_be(broken: dict[str, object], message: str) -> None:
    """Negative counts, shares that do not add up, and traffic of nobody are refused."""
    load = typical(100, 1_000)

    with pytest.raises(ValueError, match=message):
        replace(load, **broken)  # type: ignore[arg-type]


@given(rates, st.floats(0, 100_000), counts, designs)
def test_more_messages_never_need_less(
    rate: float, more: float, tenants: int, design: Design
) -> None:
    """Pods, nodes, partitions, write units and messages in flight grow with the load."""
    small = needs(typical(rate, tenants), design)
    large = needs(typical(rate + more, tenants), design)

    assert small.pods <= large.pods
    assert small.nodes <= large.nodes
    assert small.partitions <= large.partitions
    assert small.shards <= large.shards
    assert small.write_units <= large.write_units
    assert small.in_flight <= large.in_flight
    # Together: less of a pool's batching, or more polls, must not make the sum look smaller.
    assert small.month().of("DynamoDB writes") <= large.month().of("DynamoDB writes")


@given(counts, st.integers(0, 100_000), designs)
def test_more_tenants_never_need_less(tenants: int, more: int, design: Design) -> None:
    """Instances, partitions and load balancers grow with the tenants, once there are many."""
    small, large = (
        needs(typical(1_000, 100 + count), design) for count in (tenants, tenants + more)
    )

    assert small.instances <= large.instances
    assert small.partitions <= large.partitions
    assert small.load_balancers <= large.load_balancers


@given(rates, counts, designs)
def test_every_message_has_a_pod(rate: float, tenants: int, design: Design) -> None:
    """What the pods of each kind take is no less than what comes to them."""
    found = needs(typical(rate, tenants), design)
    load = found.load
    almost = 1 - 1e-9

    sent = sum(one.pods for one in found.producers.values()) * design.producer_rate()
    assert sent >= load.messages_per_second * almost
    for kind, pods in found.consumers.items():
        tier = "basic" if kind == "pool" else kind
        assert pods.pods * design.consumer_rate() >= load.rate(tier) * almost
        assert pods.pods >= pods.deployments


@given(rates, counts, st.integers(2, 300_000))
def test_no_partition_is_planned_beyond_its_quota(rate: float, tenants: int, payload: int) -> None:
    """All partition keys together, and the loudest tenant's shards, take what is written."""
    found = needs(typical(rate, tenants, size=Size(payload)))
    quota = PARTITION_WRITES.value

    assert found.partitions * quota >= found.write_units * (1 - 1e-9)
    assert found.shards * quota >= found.loudest_tenant * (1 - 1e-9)
    assert found.partitions >= tenants


@given(rates, counts, designs)
def test_calls_in_flight_are_little_s_law(rate: float, tenants: int, design: Design) -> None:
    """Calls a second times a round trip; every one and every idle poll has a connection."""
    found = needs(typical(rate, tenants), design)

    assert pytest.approx(sum(found.calls.values()) * design.round_trip) == found.calls_in_flight
    assert found.connections >= found.calls_in_flight
    assert found.connections >= found.consumers["pool"].pods


@given(st.floats(0, 50_000), st.floats(0, 50_000), designs)
def test_calls_stay_between_one_each_and_full_batches(
    sent: float, received: float, design: Design
) -> None:
    """Nobody batches better than was measured, and a call carries one message at least."""
    calls = design.calls_at(sent, received)

    for name in ("send", "receive", "write", "delete"):
        assert getattr(MEASURED, name) <= getattr(calls, name) <= 1


@given(st.floats(0, 50_000), st.floats(0, 10_000))
def test_a_busier_producer_needs_fewer_calls_each(sent: float, more: float) -> None:
    """What comes together is sent together."""
    design = Design()

    assert design.calls_at(sent, 1).send >= design.calls_at(sent + more, 1).send


@pytest.mark.parametrize(
    ("rate", "round_trip"),
    [
        (rate, round_trip)
        for rate in (2, 10, 50, 100, 200, 500, 1_000)
        for round_trip in (0.01, 0.02, 0.05)
        if rate * round_trip < 40  # four polls of ten: more, a consumer does not take
    ],
)
def test_a_consumer_s_calls_are_those_of_the_simulation(rate: int, round_trip: float) -> None:
    """The formula is never far below what the simulated consumer calls, nor twice as much."""
    scene = Scene(
        consumers=1,
        flood=0,
        quiet_tenants=1,
        quiet_rate=rate,
        quiet_seconds=max(3, 100 / rate),
        round_trip=round_trip,
        write_seconds=round_trip,
    )
    outcome = run(scene, BOTH)
    calls = Design(round_trip=round_trip).calls_at(1, rate)

    for kind in ("receive", "write", "delete"):
        seen = outcome.calls[kind] / len(outcome.quiet)
        assert 0.8 * seen <= getattr(calls, kind) <= 2 * seen, kind


@pytest.mark.parametrize(
    ("scene", "bound"),
    [
        (Scene(round_trip=0.05), "polls in flight"),
        (Scene(round_trip=0.02, cpu_us=1_000), "CPU"),
    ],
    ids=["polls", "CPU"],
)
def test_a_consumer_s_rate_is_that_of_the_simulation(scene: Scene, bound: str) -> None:
    """A simulated consumer with a backlog takes what the model's nearest bound says."""
    scene = replace(scene, consumers=1, flood=4_000, quiet_tenants=0, write_seconds=0.02)
    design = Design(consumer_us=scene.cpu_us, round_trip=scene.round_trip)
    design = replace(design, busy_pod=replace(design.busy_pod, vcpu=1))
    bounds = design.consumer_bounds()
    seen = scene.flood / run(scene, BOTH).seconds

    assert min(bounds, key=lambda name: bounds[name]) == bound
    assert pytest.approx(bounds[bound], rel=0.1) == seen


def test_what_bounds_a_process() -> None:
    """CPU at a short way; at 50 ms eight calls and four polls of ten messages."""
    near, far = Design(round_trip=0.005), Design(round_trip=0.05)

    assert pytest.approx(2_000) == min(near.producer_bounds().values())
    assert pytest.approx(8 * 10 / 0.05) == min(far.producer_bounds().values())
    assert pytest.approx(4 * 10 / 0.05) == min(far.consumer_bounds().values())


def test_the_loudest_tenant_has_pods_of_its_own() -> None:
    """One premium tenant of ten thousand messages a second gets pods for them."""
    found = needs(typical(100_000, 1_000))
    design = found.design

    assert found.load.most("premium") == 10_000
    assert found.producers["premium"].most == ceil(10_000 / design.producer_rate())
    assert found.in_flight == design.hand * max(one.most for one in found.consumers.values())


def test_premium_tenants_share_load_balancers() -> None:
    """One for each pool, and one for each twenty premium tenants or less."""
    assert needs(typical(10, 20)).load_balancers == 1
    assert needs(typical(10, 1_000)).load_balancers == 2 + 1
    assert needs(typical(10, 2_000)).load_balancers == 4 + 2


def test_placements_are_asked_for_once_in_thirty_seconds() -> None:
    """However much comes, a process asks for a tenant once in its answer's life."""
    found = needs(typical(1e6, 1_000))
    processes = (
        900 * (found.producers["pool"].mean + found.consumers["pool"].mean)
        + 80 * (found.producers["pool"].mean + found.consumers["advanced"].mean)
        + 20 * (found.producers["premium"].mean + found.consumers["premium"].mean)
    )

    assert found.registry_reads < processes / 30
    assert pytest.approx(processes / 30, rel=0.1) == found.registry_reads


def test_a_month_by_hand() -> None:
    """10,000 messages a second: 26,280 million write units, and 30 days of items."""
    bill = _large().month()

    assert pytest.approx(26_280 * 0.625) == bill.of("DynamoDB writes")
    kept = 26_280e6 * (Size().item + 100) / 2**30 * 0.25
    assert pytest.approx(kept) == bill.of("DynamoDB storage")
    assert pytest.approx(73) == bill.of("cluster")
    assert bill.dollars == sum(dollars for _, dollars in bill.parts)


def test_nobody_needs_nothing() -> None:
    """Without messages, what stands ready still polls, has pods, and costs."""
    found = needs(typical(0, 1_000))

    assert found.sqs_calls == found.standing_calls > 0
    assert found.pods >= 2 * 2 + 80 + 3 * 20
    assert found.month().of("DynamoDB writes") == 0
    assert found.month().of("nodes") > 0


def test_a_load_without_a_pool() -> None:
    """Premium tenants alone have no pool, no fair queue and no session."""
    found = needs(typical(1_000, 10))

    assert found.pools == 0
    assert found.assumed_roles == 0
    assert found.month().of("SQS fair queues") == 0


def _large() -> Needs:
    return needs(typical(10_000, 1_000))


def test_advanced_tenants_are_sent_to_by_pools() -> None:
    """A pool's producers take basic and advanced tenants' messages, its consumers basic's."""
    basic = Load(9_000, {"basic": 9, "advanced": 0, "premium": 0}, _all("basic"))
    advanced = Load(9_000, {"basic": 0, "advanced": 9, "premium": 0}, _all("advanced"))

    assert needs(basic).producers["pool"] == needs(advanced).producers["pool"]
    assert needs(basic).consumers["advanced"].pods == 0
    assert needs(advanced).consumers["advanced"].pods >= 9


def _all(tier: Tier) -> dict[Tier, float]:
    return {one: float(one == tier) for one in TIERS}
