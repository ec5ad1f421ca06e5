from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_loadtests.knee import Step, find_knee


def a_ramp(
    capacity: float,
    *,
    base: float = 0.02,
    growth: float = 1.3,
    steps: int = 20,
    noise: float = 0.0,
    seed: int = 0,
    observes: bool = True,
) -> list[Step]:
    """A system of a fixed capacity: latency as in a queue, and a backlog above."""
    chance = random.Random(seed)

    def shaken(value: float) -> float:
        return value * (1 + chance.uniform(-noise, noise))

    found = []
    backlog = 0.0
    for number in range(steps):
        offered = 20 * growth**number
        use = offered / capacity
        over = max(0.0, offered - capacity)
        backlog += over * 8
        latency = base / (1 - use) if use < 0.98 else base * 50 + backlog / capacity
        found.append(
            Step(
                offered=offered,
                throughput=shaken(min(offered, capacity)),
                latency=shaken(min(latency, base * 50) if not over else latency),
                age=shaken(base + backlog / capacity) if observes else None,
                backlog=over if observes else None,
            )
        )
    return found


@given(
    st.floats(min_value=60, max_value=400),
    st.floats(min_value=0.002, max_value=0.1),
    st.floats(min_value=0, max_value=0.08),
    st.integers(min_value=0, max_value=10_000),
    st.booleans(),
)
def test_the_knee_is_found_where_it_is(
    capacity: float, base: float, noise: float, seed: int, observes: bool
) -> None:
    """Whatever the capacity and the noise, with the queue observed or latency alone."""
    steps = a_ramp(capacity, base=base, noise=noise, seed=seed, observes=observes)
    knee = find_knee(steps)
    assert knee is not None
    assert knee.capacity == pytest.approx(capacity, rel=0.2)
    assert steps[knee.step].offered > capacity * 0.7


@given(st.floats(min_value=0, max_value=0.08), st.integers(min_value=0, max_value=10_000))
def test_a_system_that_keeps_up_has_no_knee(noise: float, seed: int) -> None:
    """Throughput that follows the offer is no knee, however it trembles."""
    assert find_knee(a_ramp(1e9, noise=noise, seed=seed)) is None


def test_one_bad_step_is_chance() -> None:
    """A step that stalled, and a good one after it, are no knee."""
    good = [Step(offered=rate, throughput=rate, latency=0.02) for rate in (100.0, 130.0)]
    bad = Step(offered=169.0, throughput=110.0, latency=2.0)
    after = Step(offered=220.0, throughput=219.0, latency=0.03)
    assert find_knee([*good, bad, after]) is None
    assert find_knee([*good, bad, Step(offered=220.0, throughput=120.0, latency=3.0)]) is not None


def test_less_throughput_without_waiting_is_no_knee() -> None:
    """A generator that does not send what is due finds no limit of the system's."""
    steps = [
        Step(offered=rate, throughput=min(rate, 100.0), latency=0.02) for rate in (90, 200, 300)
    ]
    assert find_knee(steps) is None


def test_what_was_kept_up_with_is_at_most_what_came_out() -> None:
    """The last good rate is no wish."""
    knee = find_knee(a_ramp(120, noise=0.05, seed=3))
    assert knee is not None
    assert knee.last_good is not None
    assert knee.last_good <= knee.capacity
    assert knee.sign == "backlog"


def test_a_system_that_never_kept_up_has_no_good_rate() -> None:
    """The first step was too much already."""
    knee = find_knee([Step(100.0, 20.0, 5.0, 9.0, 80.0), Step(130.0, 20.0, 9.0, 20.0, 110.0)])
    assert knee is not None
    assert knee.last_good is None
