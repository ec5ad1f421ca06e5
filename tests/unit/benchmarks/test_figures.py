"""Medians, spreads, percentiles, and when two figures may be compared."""

from __future__ import annotations

import pytest

from tenantry_benchmarks.figures import Figure, Sample, deviation, percentile, ratio


def figure(*values: float, subject: str = "ours", is_rate: bool = False) -> Figure:
    return Figure(
        subject, "producer", "µs", samples=[Sample(value) for value in values], is_rate=is_rate
    )


def test_a_figure_is_its_median_and_the_deviation_from_it() -> None:
    """One round that a neighbour spoiled moves neither."""
    assert 3 == figure(1, 2, 3, 4, 100).median
    assert 1 == figure(1, 2, 3, 4, 100).spread
    assert 0 == deviation([7.0])


def test_a_figure_without_samples_is_none() -> None:
    """Nothing measured is not nothing spent."""
    assert figure().median is None
    assert figure().spread is None
    assert figure().calibrated is None


def test_each_sample_is_divided_by_the_calibration_beside_it() -> None:
    """A round in which everything took twice as long says the same."""
    slowed = Figure("ours", "p", "µs", samples=[Sample(100, 50), Sample(200, 100), Sample(9, 0)])

    assert 2 == slowed.calibrated


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """What slowed both sides of one round is in neither's favour."""
    assert 10 == ratio(figure(1, 2, 3), figure(10, 20, 30))
    assert 8 == ratio(figure(1, 1, 10), figure(8, 9, 10))


def test_sides_of_other_lengths_are_compared_by_their_medians() -> None:
    """A baseline that takes minutes may have fewer rounds."""
    assert 5 == ratio(figure(1, 2, 3), figure(10))


def test_of_a_rate_more_is_better() -> None:
    """A ratio says how many times better ours is, whatever is measured."""
    assert 4 == ratio(figure(40, is_rate=True), figure(10, is_rate=True))


@pytest.mark.parametrize(
    ("ours", "baseline"),
    [
        (figure(), figure(1)),
        (figure(1), figure()),
        (figure(0), figure(1)),
        (figure(1), figure(0)),
    ],
    ids=["ours-not-measured", "baseline-not-measured", "ours-nothing", "baseline-nothing"],
)
def test_there_is_no_ratio_without_both_sides(ours: Figure, baseline: Figure) -> None:
    """No baseline, no ratio."""
    assert ratio(ours, baseline) is None


def test_a_baseline_that_gave_up_has_no_ratio_and_no_median() -> None:
    """What it had measured before it failed is no figure of it."""
    baseline = figure(10, 10)
    baseline.missing = "it ended"

    assert ratio(figure(1, 1), baseline) is None
    assert baseline.median is None
    assert "it ended" == baseline.as_json()["missing"]


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """By nearest rank: nothing is interpolated into a tail."""
    values = [float(n) for n in range(1, 101)]

    assert 50 == percentile(values, 50)
    assert 99 == percentile(values, 99)
    assert 100 == percentile(values, 100)
    assert 1 == percentile([1.0], 99)
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)
