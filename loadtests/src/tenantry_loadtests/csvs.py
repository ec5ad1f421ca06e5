"""The figures as CSV: for whoever wants to draw them otherwise, or compare two runs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tenantry_loadtests.figures import Row, phase_rows, row, tenant_rows, tier_rows, time_line
from tenantry_loadtests.recording import ACCEPTED, ATTEMPT, DUE, ERROR, KINDS, Span
from tenantry_loadtests.results import Result

_PERCENTS: Final = (50.0, 90.0, 95.0, 99.0, 99.9)


def write_csvs(folder: Path, result: Result) -> None:
    """Write stats.csv, requests.csv, series.csv and errors.csv."""
    _write(folder / "stats.csv", _stats(result))
    _write(folder / "requests.csv", _requests(result))
    _write(folder / "series.csv", _series(result))
    _write(folder / "errors.csv", _errors(result))


def _stats(result: Result) -> Iterable[Sequence[object]]:
    yield (
        "of", "name", "due", "accepted", "accepted_per_second", "failed", "tried_again",
        "accepted_p50_s", "accepted_p95_s", "accepted_p99_s", "accepted_max_s", "followed",
        "stored_p50_s", "stored_p95_s", "stored_p99_s", "stored_max_s",
        "stamped_p50_s", "stamped_p95_s", "stamped_p99_s",
    )  # fmt: skip
    yield _stat("all", row("all", result))
    for kind, rows in (
        ("phase", phase_rows(result)),
        ("tier", tier_rows(result)),
        ("tenant", tenant_rows(result)),
    ):
        yield from (_stat(kind, one) for one in rows)


def _stat(kind: str, one: Row) -> Sequence[object]:
    return (
        kind, one.name, one.due, one.accepted, _round(one.rate), one.failed, one.retried,
        *map(_round, (*one.accepted_p, one.accepted_max)), one.followed,
        *map(_round, (*one.stored_p, one.stored_max, *one.stamped_p)),
    )  # fmt: skip


def _requests(result: Result) -> Iterable[Sequence[object]]:
    yield "kind", "count", *(f"p{percent:g}_s" for percent in _PERCENTS), "max_s", "mean_s"
    for kind in KINDS:
        histogram = result.span().histogram(kind)
        percentiles = [_round(histogram.percentile(percent)) for percent in _PERCENTS]
        yield (
            kind,
            len(histogram),
            *percentiles,
            _round(histogram.maximum),
            _round(histogram.mean()),
        )


def _series(result: Result) -> Iterable[Sequence[object]]:
    yield (
        "second", "due_per_second", "accepted_per_second", "accepted_p50_s", "accepted_p99_s",
        "stored_p50_s", "stored_p99_s", "depth", "oldest_s", "stored_per_second",
    )  # fmt: skip
    line = time_line(result, bins=3_600)
    columns = [
        line.rate(DUE),
        line.rate(ACCEPTED),
        line.percentile("accepted", 50),
        line.percentile("accepted", 99),
        line.percentile("stored", 50),
        line.percentile("stored", 99),
    ]
    observed = {
        name: {round(at): value for at, value in points}
        for name, points in (
            ("depth", line.observed("depth")),
            ("age", line.observed("age")),
            ("stored", line.observed_rate("stored")),
        )
    }
    for values in zip(*columns, strict=True):
        at = values[0][0]
        seen = [observed[name].get(round(at)) for name in ("depth", "age", "stored")]
        yield _round(at), *(_round(value) for _, value in values), *map(_round, seen)


def _errors(result: Result) -> Iterable[Sequence[object]]:
    yield "tenant", "outcome", "what", "messages"
    for tenant in result.tenants:
        span = Span(result.recorder, tenants=[tenant])
        for outcome, prefix in (("failed", ERROR), ("tried again", ATTEMPT)):
            for what, times in span.counts_of(prefix).most_common():
                yield tenant, outcome, what, times


def _round(value: float | None) -> float | str:
    return "" if value is None else round(value, 6)


def _write(path: Path, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
