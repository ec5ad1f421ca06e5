"""Bounds and counts of single rows."""

from __future__ import annotations

import itertools

import pytest

from tenantry_benchmarks.rows import ROWS, calls, cpu
from tenantry_benchmarks.schedule import arrivals
from tenantry_benchmarks.table import Table

PRODUCER = "producer, 64 in flight, 1,000 tokens"
CONSUMER = "consumer, draining"


def table(producer: float, consumer: float, *, calibration: float = 730.0) -> Table:
    table = Table("cpu", "CPU", "")
    for _ in range(5):
        table.figure("ours", PRODUCER, "µs").add(producer, calibration)
        table.figure("ours", CONSUMER, "µs").add(consumer, calibration)
    return table


def plain(table: Table, value: float) -> Table:
    for what in (PRODUCER, CONSUMER):
        for _ in range(5):
            table.figure("plain", what, "µs").add(value, 730)
    return table


def judged(table: Table) -> dict[str, bool | None]:
    cpu.judge(table)
    return {one.text.partition(":")[0]: one.holds for one in table.verdicts}


def test_bounds_hold_and_the_harder_ones_are_no_bounds() -> None:
    """Within 400 and 350 µs the run passes, whether 150 and 80 are reached or not."""
    found = plain(table(300, 100), 3_000)

    assert {
        "producer ≤ 400 µs on the reference machine": True,
        "producer ≤ 150 µs on the reference machine": False,
        "producer ≥ 8 × below the plain pair": True,
        "consumer ≤ 350 µs on the reference machine": True,
        "consumer ≤ 80 µs on the reference machine": False,
        "consumer ≥ 7 × below the plain pair": True,
    } == judged(found)
    assert not any(verdict.fails for verdict in found.verdicts)


def test_a_missed_bound_is_named() -> None:
    """By what it is of."""
    found = plain(table(401, 100), 4_000)
    judged(found)

    [missed] = [verdict.text for verdict in found.verdicts if verdict.fails]
    assert missed.startswith("producer ≤ 400 µs")
    assert "401" in missed


def test_a_slower_machine_has_wider_bounds() -> None:
    """Twice the calibration loop's time, twice the microseconds."""
    assert judged(table(780, 690, calibration=1_460))["producer ≤ 400 µs on the reference machine"]
    assert not judged(table(420, 340))["producer ≤ 400 µs on the reference machine"]


def test_a_ratio_below_its_bound_fails() -> None:
    """Also where the microseconds are few."""
    found = plain(table(100, 50), 500)

    assert judged(found)["producer ≥ 8 × below the plain pair"] is False


def test_without_the_plain_pair_its_bounds_are_not_judged() -> None:
    """No baseline, no ratio, and no failure for it."""
    found = table(100, 50)

    assert judged(found)["producer ≥ 8 × below the plain pair"] is None
    assert not any(verdict.fails for verdict in found.verdicts)


def test_calls_are_told_by_kind_and_none_is_lost() -> None:
    """What has no kind is `other`."""
    counted = {
        "SendMessageBatch": 10,
        "ReceiveMessage": 12,
        "BatchExecuteStatement": 4,
        "DeleteMessageBatch": 10,
        "GetItem": 2,
    }

    found = calls.kinds(counted, 100)

    assert 0.1 == found["send"]
    assert 0.04 == found["write"]
    assert 0.02 == found[calls.OTHER]
    assert sum(counted.values()) / 100 == pytest.approx(sum(found.values()))


def test_arrivals_come_at_their_rate_and_alike_for_everybody() -> None:
    """The same seed gives the same bursts, another one others; none before the start."""
    due = arrivals(100, 5_000, seed=1)

    assert due == arrivals(100, 5_000, seed=1)
    assert due != arrivals(100, 5_000, seed=2)
    assert 0 < due[0]
    assert list(due) == sorted(due)
    assert 100 == pytest.approx(5_000 / due[-1], rel=0.05)
    # Of a Poisson process: gaps deviate as much as they last.
    gaps = [after - before for before, after in itertools.pairwise(due)]
    mean = sum(gaps) / len(gaps)
    variance = sum((gap - mean) ** 2 for gap in gaps) / len(gaps)
    assert 1 == pytest.approx(variance / mean**2, rel=0.1)


def test_a_rate_is_above_nothing() -> None:
    """Or there would be no end of waiting."""
    with pytest.raises(ValueError, match="above 0"):
        arrivals(0, 1, seed=1)


def test_the_first_three_rows_are_those_of_make_bench() -> None:
    """The rest is measured by `make bench-full`."""
    assert ["cpu", "calls", "latency"] == [row.key for row in ROWS.values() if not row.is_full]
    assert {"throughput", "footprint", "neighbour", "fleet"} == {
        row.key for row in ROWS.values() if row.is_full
    }
