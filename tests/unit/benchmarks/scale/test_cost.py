"""Dollars a million messages, and of a tenant that does nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tenantry.contract import Message, item_bytes
from tenantry_benchmarks.scale.cost import (
    GOOD_PAIR,
    IDLE,
    IDLE_POOL,
    MEASURED,
    PLAIN_PAIR,
    TIERS,
    Bill,
    Calls,
    NodeSize,
    PodSize,
    Size,
    Tier,
    idle_month,
    idle_requests,
    million_messages,
    provisioned_writes,
    request_units,
    sqs_units,
)
from tenantry_benchmarks.scale.prices import PRICES, SECONDS_A_MONTH

some = st.floats(0.05, 1)
calls = st.builds(Calls, send=some, receive=some, write=st.floats(0.04, 1), delete=some)


def test_a_million_of_the_plain_pair() -> None:
    """Three requests, a write unit and a look-up each, priced by hand."""
    bill = million_messages(PLAIN_PAIR, "premium")

    assert pytest.approx(1.20) == bill.of("SQS requests")
    assert pytest.approx(0.625) == bill.of("DynamoDB writes")
    assert pytest.approx(5.00) == bill.of("Parameter Store")
    assert bill.of("SQS fair queues") == 0
    assert bill.of("CPU") == 0


def test_a_million_of_a_busy_queue() -> None:
    """0.311 requests a message, and a tenth of a dollar a million of them for being fair."""
    bill = million_messages(MEASURED, "basic", cpu_us=360, utilisation=0.5)

    assert pytest.approx(0.311 * 0.40) == bill.of("SQS requests")
    assert pytest.approx(0.311 * 0.10) == bill.of("SQS fair queues")
    assert bill.of("Parameter Store") == 0
    # 360 s of CPU at half use are 0.2 hours of a vCPU, which is half an m7g.large.
    assert pytest.approx(0.2 * 0.0816 / 2) == bill.of("CPU")


def test_only_pools_have_fair_queues() -> None:
    """A dedicated queue carries no group, and pays for none."""
    fair = {tier: million_messages(MEASURED, tier).of("SQS fair queues") for tier in TIERS}

    assert fair["basic"] > 0
    assert fair["advanced"] == fair["premium"] == 0


def test_a_request_is_64_kilobytes() -> None:
    """A call of ten messages of 6,553 bytes is one request, of 6,554 it is two."""
    assert pytest.approx(0.1) == request_units(0.1, 6_553)
    assert pytest.approx(0.2) == request_units(0.1, 6_554)
    assert pytest.approx(4) == request_units(1, 262_144)
    assert request_units(0, 600) == 0


def test_the_item_is_the_contract_s() -> None:
    """Write units are counted from what the contract says an item holds."""
    message = Message("0" * 36, "t" * 12, "order.created.v1", "x" * 600, "")

    assert Size().item == item_bytes(message)
    assert Size().write_units == 1
    assert Size(payload=1_024).write_units == 2


def test_an_idle_consumer_holds_one_poll() -> None:
    """Three polls a minute, and one question of the autoscaler."""
    requests = idle_requests(IDLE["advanced"])

    assert pytest.approx(SECONDS_A_MONTH / 60 * 4) == requests
    assert idle_requests(IDLE["basic"]) == 0


def test_a_shorter_poll_costs_more() -> None:
    """Two seconds in place of twenty: ten times the polls."""
    short = idle_month(IDLE["advanced"], wait_seconds=2).of("polls")

    assert short > 7 * idle_month(IDLE["advanced"]).of("polls")


def test_an_idle_basic_tenant_costs_nothing() -> None:
    """Nothing runs for it alone; each tier above costs more than the one below."""
    dollars = [idle_month(IDLE[tier]).dollars for tier in TIERS]

    assert dollars[0] == 0
    assert dollars == sorted(dollars)
    assert idle_month(IDLE_POOL).dollars >= dollars[-1]


def test_what_stands_ready_is_what_the_chart_keeps() -> None:
    """The least replicas of each tier, in the file that the chart reads."""
    path = Path(__file__).parents[4] / "charts" / "tenant-template" / "tiers.yaml"
    tiers = yaml.safe_load(path.read_text("utf-8"))["tiers"]
    least = {
        tier: [found.get(name, {}).get("minReplicas", 0) for name in ("producer", "consumer")]
        for tier, found in tiers.items()
    }

    idle = {"basic": IDLE_POOL, "advanced": IDLE["advanced"], "premium": IDLE["premium"]}
    assert least == {tier: [one.producers, one.consumers] for tier, one in idle.items()}


def test_idle_pods_pay_their_part_of_a_node() -> None:
    """As many as fit by CPU, memory and number; the scarcest counts."""
    node = NodeSize()

    assert node.holds(PodSize(vcpu=0.8, mebibytes=384)) == 2
    assert node.holds(PodSize(vcpu=0.01, mebibytes=3_172)) == 2
    assert node.holds(PodSize(vcpu=0.01, mebibytes=8)) == node.pods - node.own_pods


def test_provisioned_writes_are_cheaper_when_they_are_used() -> None:
    """A steady 10,000 a second at 70 %, by hand; at 20 % on demand wins."""
    on_demand = 10_000 * SECONDS_A_MONTH * PRICES.dynamodb_write.dollars

    assert pytest.approx(10_000 / 0.7 * 0.00065 * 730) == provisioned_writes(10_000)
    assert provisioned_writes(10_000) < on_demand < provisioned_writes(10_000, utilisation=0.2)


def test_bills_add_up() -> None:
    """By name; what only one of them has is kept."""
    both = Bill([("a", 1), ("b", 2)]) + Bill([("b", 3), ("c", 4)])

    assert both.parts == [("a", 1), ("b", 5), ("c", 4)]
    assert both.dollars == 10


@pytest.mark.parametrize("name", ["send", "receive", "write", "delete"])
def test_calls_that_cannot_be(name: str) -> None:
    """A message that nobody sends, receives, writes or deletes has no price."""
    with pytest.raises(ValueError, match="part of a send"):
        replace(MEASURED, **{name: 0})


def test_more_than_all_cannot_be_used() -> None:
    """Utilisation is a share."""
    with pytest.raises(ValueError, match="utilisation"):
        million_messages(MEASURED, "basic", cpu_us=1, utilisation=1.1)


@given(calls, st.sampled_from(TIERS), st.integers(2, 200_000), st.integers(1, 50_000))
def test_larger_messages_never_cost_less(
    calls: Calls, tier: Tier, payload: int, more: int
) -> None:
    """Of two sizes, in every tier, with any batching."""
    small = million_messages(calls, tier, size=Size(payload))
    large = million_messages(calls, tier, size=Size(payload + more))

    assert small.dollars <= large.dollars


@given(calls, calls)
def test_more_calls_never_cost_less(some: Calls, others: Calls) -> None:
    """The call-by-call maximum of two ways costs at least what each of them does."""
    names = ("send", "receive", "write", "delete")
    most = Calls(*(max(getattr(some, name), getattr(others, name)) for name in names))
    dollars = million_messages(most, "basic").dollars

    assert dollars >= million_messages(some, "basic").dollars * (1 - 1e-9)
    assert dollars >= million_messages(others, "basic").dollars * (1 - 1e-9)


@given(calls, st.integers(2, 250_000))
def test_what_is_billed_carries_every_byte(calls: Calls, payload: int) -> None:
    """Requests of sends and receives hold the message twice, and each call is one at least."""
    size = Size(payload)
    units = sqs_units(calls, size)

    assert units * 65_536 >= 2 * size.queued
    assert units >= calls.sqs * (1 - 1e-9)


def test_baselines_are_what_they_are() -> None:
    """One by one three requests, a write and a look-up; in batches of ten a tenth, and none."""
    assert (PLAIN_PAIR.sqs, PLAIN_PAIR.write, PLAIN_PAIR.lookup) == (3, 1, 1)
    assert pytest.approx(PLAIN_PAIR.sqs / 10) == GOOD_PAIR.sqs
    assert GOOD_PAIR.lookup == 0
