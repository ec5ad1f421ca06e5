from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_loadtests.pacing import Arrivals, Pace


def a_pace(rate: float = 2.0, arrivals: Arrivals = "constant", seed: int = 1) -> Pace:
    return Pace(rate, now=100.0, arrivals=arrivals, generator=random.Random(seed))


def test_arrivals_do_not_wait_for_answers() -> None:
    """A user that waited three intervals for an answer sends what was due meanwhile at once."""
    pace = a_pace(rate=2.0)
    first = pace.take()
    now = first + 1.6  # the answer came late
    due = []
    while pace.wait(now) == 0:
        due.append(pace.take())
    assert due == [first + 0.5, first + 1.0, first + 1.5]
    assert pace.wait(now) == pytest.approx(0.4)


def test_a_batch_takes_the_time_of_its_messages() -> None:
    """Ten messages at once are the arrivals of ten intervals."""
    pace = a_pace(rate=2.0)
    first = pace.take(10)
    assert pace.due_at == pytest.approx(first + 5.0)


def test_what_is_too_late_is_skipped_and_counted() -> None:
    """An arrival older than the bound is not sent, and it is told when each was due."""
    pace = a_pace(rate=2.0)
    start = pace.due_at
    assert pace.skip(start + 10.0) == []
    assert pace.skip(start + 11.2) == pytest.approx([start, start + 0.5, start + 1.0])
    assert pace.due_at == pytest.approx(start + 1.5)


@given(
    st.floats(min_value=0.1, max_value=50),
    st.sampled_from(["constant", "poisson"]),
    st.integers(min_value=0, max_value=1_000),
)
def test_every_arrival_is_taken_or_abandoned_once(
    rate: float, arrivals: Arrivals, seed: int
) -> None:
    """Sent and abandoned together are what the clock brought, whatever is late."""
    one, other = a_pace(rate, arrivals, seed), a_pace(rate, arrivals, seed)
    taken = 0
    while one.due_at < 110.0:
        one.take()
        taken += 1
    assert len(other.abandon(110.0)) == taken
    assert other.due_at == pytest.approx(one.due_at)


def test_the_mean_of_random_arrivals_is_the_rate() -> None:
    """A Poisson process of 5 a second brings about 5,000 in 1,000 s."""
    pace = a_pace(5.0, "poisson")
    assert len(pace.abandon(1_100.0)) == pytest.approx(5_000, rel=0.05)


def test_a_rate_of_nothing_is_refused() -> None:
    """It would never be due."""
    with pytest.raises(ValueError, match="above 0"):
        a_pace(rate=0)
