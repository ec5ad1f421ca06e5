"""The figures of a report as rows and series: what page, CSV and summary show alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from tenantry_loadtests.histogram import Histogram, merged
from tenantry_loadtests.recording import (
    ACCEPTED,
    ATTEMPT,
    DUE,
    ERROR,
    RETRIED,
)
from tenantry_loadtests.results import Result
from tenantry_loadtests.stages import WARM_UP

PERCENTS: Final = (50.0, 95.0, 99.0)

Point = tuple[float, float | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One tenant, tier, group or phase. Durations are in seconds; None: none were counted.

    Attributes:
        rate: Accepted a second.
        failed: Not accepted, or followed and not stored in time.
        followed: Messages that were followed to the table.
    """

    name: str
    due: int
    accepted: int
    failed: int
    retried: int
    rate: float
    accepted_p: tuple[float | None, ...]
    accepted_max: float | None
    followed: int
    stored_p: tuple[float | None, ...]
    stored_max: float | None
    stamped_p: tuple[float | None, ...]


def row(
    name: str,
    result: Result,
    *,
    tenants: Sequence[str] | None = None,
    phases: Sequence[str] | None = None,
) -> Row:
    """The row of some tenants in some phases."""
    span = result.span(phases=phases, tenants=tenants)
    accepted, stored = span.histogram("accepted"), span.histogram("stored")
    stamped = span.histogram("stamped")
    return Row(
        name=name,
        due=span.count(DUE),
        accepted=span.count(ACCEPTED),
        failed=result.failed(span),
        retried=span.count(RETRIED),
        rate=span.count(ACCEPTED) / (result.seconds(phases) or 1.0),
        accepted_p=_percentiles(accepted),
        accepted_max=accepted.maximum if len(accepted) else None,
        followed=len(stored),
        stored_p=_percentiles(stored),
        stored_max=stored.maximum if len(stored) else None,
        stamped_p=_percentiles(stamped),
    )


def phase_rows(result: Result) -> list[Row]:
    """A row a phase, in their order; the warm-up is none."""
    return [
        row(phase.name, result, phases=[phase.name])
        for phase in result.phases
        if phase.name != WARM_UP
    ]


def tier_rows(result: Result) -> list[Row]:
    """A row a tier."""
    return [row(tier, result, tenants=tenants) for tier, tenants in result.tiers.items()]


def tenant_rows(result: Result) -> list[Row]:
    """A row a tenant, the slowest first."""
    rows = [row(tenant, result, tenants=[tenant]) for tenant in result.tenants]
    return sorted(rows, key=lambda one: (-(one.accepted_p[-1] or 0.0), one.name))


def quiet_rows(result: Result) -> list[Row]:
    """Of a noisy neighbour: quiet tenants alone, beside the flood, and the flood itself."""
    quiet = result.groups.get("quiet")
    flooding = result.groups.get("flooding")
    if quiet is None or flooding is None or result.phase("flood") is None:
        return []
    return [
        row("quiet, alone", result, tenants=quiet, phases=["alone"]),
        row("quiet, flooded", result, tenants=quiet, phases=["flood"]),
        row("flooding", result, tenants=flooding, phases=["flood"]),
    ]


@dataclass(frozen=True, slots=True)
class TimeLine:
    """What happened when: values by seconds after the start, at the middle of each bin."""

    result: Result
    bin_seconds: float

    def rate(self, name: str, tenants: Iterable[str] | None = None) -> list[Point]:
        """How often something was counted, a second."""
        names = None if tenants is None else frozenset(tenants)
        by_window: Counter[int] = Counter()
        for (window, found, tenant), times in self.result.recorder.counts.items():
            if found == name and (names is None or tenant in names):
                by_window[window] += times
        return self._points(by_window)

    def percentile(
        self, kind: str, percent: float, tenants: Iterable[str] | None = None, least: int = 1
    ) -> list[Point]:
        """A percentile of the durations in each bin; None where there are fewer than `least`."""
        names = None if tenants is None else frozenset(tenants)
        by_window: dict[int, list[Histogram]] = {}
        for (window, found, tenant), histogram in self.result.recorder.durations.items():
            if found == kind and (names is None or tenant in names):
                by_window.setdefault(window, []).append(histogram)
        points: list[Point] = []
        for middle, first, end in self._bins():
            whole = merged(h for window in range(first, end) for h in by_window.get(window, ()))
            points.append((middle, whole.percentile(percent) if len(whole) >= least else None))
        return points

    def observed(self, name: str) -> list[Point]:
        """A value that was observed."""
        start = self.result.started_at
        return [(o.at - start, getattr(o, name)) for o in self.result.observations]

    def observed_rate(self, name: str) -> list[Point]:
        """How fast something observed grew, a second."""
        start, seen = self.result.started_at, self.result.observations
        points: list[Point] = []
        step = max(1, round(self.bin_seconds))
        for one, other in zip(seen[::step], seen[step::step], strict=False):
            before, after = getattr(one, name), getattr(other, name)
            if before is None or after is None or other.at <= one.at or after < before:
                points.append((other.at - start, None))  # fewer: a consumer began anew
            else:
                middle = (one.at + other.at) / 2 - start
                points.append((middle, (after - before) / (other.at - one.at)))
        return points

    def errors(self) -> list[Point]:
        """Errors of all kinds, a second."""
        return self._rate_of_prefix(ERROR)

    def attempts(self) -> list[Point]:
        """Tries that were repeated, a second."""
        return self._rate_of_prefix(ATTEMPT)

    def _rate_of_prefix(self, prefix: str) -> list[Point]:
        by_window: Counter[int] = Counter()
        for (window, name, _), times in self.result.recorder.counts.items():
            if name.startswith(prefix):
                by_window[window] += times
        return self._points(by_window)

    def _points(self, by_window: Counter[int]) -> list[Point]:
        width = self.result.recorder.window_seconds
        return [
            (middle, sum(by_window[w] for w in range(first, end)) / ((end - first) * width))
            for middle, first, end in self._bins()
        ]

    def _bins(self) -> list[tuple[float, int, int]]:
        result, width = self.result, self.result.recorder.window_seconds
        size = max(1, round(self.bin_seconds / width))
        begin, end = int(result.started_at // width), int(result.ended_at // width)
        return [
            ((first + size / 2) * width - result.started_at, first, first + size)
            for first in range(begin, end - size + 1, size)
        ]


def time_line(result: Result, bins: int = 120) -> TimeLine:
    """A time line of so many bins at most."""
    width = result.recorder.window_seconds
    seconds = result.ended_at - result.started_at
    return TimeLine(result, max(width, width * round(seconds / bins / width)))


def _percentiles(histogram: Histogram) -> tuple[float | None, ...]:
    return tuple(histogram.percentile(percent) for percent in PERCENTS)
