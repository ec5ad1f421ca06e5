from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from tenantry_loadtests.histogram import GROWTH, Histogram, merged

SECONDS = st.floats(min_value=1e-4, max_value=3_600)


def histogram_of(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


@given(st.lists(SECONDS, min_size=1, max_size=200), st.floats(min_value=0.1, max_value=100))
def test_a_percentile_is_never_too_low_and_at_most_one_bucket_too_high(
    values: list[float], percent: float
) -> None:
    """Against the exact nearest rank."""
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    found = histogram_of(values).percentile(percent)
    assert found is not None
    assert exact * (1 - 1e-9) <= found <= exact * GROWTH * (1 + 1e-9)


@given(st.lists(SECONDS, max_size=50), st.lists(SECONDS, max_size=50))
def test_merging_is_counting_both(one: list[float], other: list[float]) -> None:
    """Two processes' durations come to the same as one's."""
    both, whole = merged([histogram_of(one), histogram_of(other)]), histogram_of([*one, *other])
    assert both.counts == whole.counts
    assert both.maximum == whole.maximum
    assert math.isclose(both.total, whole.total, abs_tol=1e-9)


@given(st.lists(SECONDS, max_size=50))
def test_the_wire_loses_nothing(values: list[float]) -> None:
    """A worker's histogram is the same at the master's."""
    histogram = histogram_of(values)
    again = Histogram.from_wire(histogram.to_wire())
    assert (again.counts, again.maximum, again.total) == (
        histogram.counts,
        histogram.maximum,
        histogram.total,
    )


def test_nothing_has_no_percentile() -> None:
    """None, and not 0: a percentile of nothing is no good one."""
    assert Histogram().percentile(99) is None
    assert Histogram().mean() is None
