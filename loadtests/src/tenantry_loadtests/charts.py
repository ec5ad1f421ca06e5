"""The charts of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tenantry_loadtests.figures import TimeLine, time_line
from tenantry_loadtests.recording import ACCEPTED, DUE
from tenantry_loadtests.results import Result
from tenantry_loadtests.svg import Band, Chart, Line, Point
from tenantry_loadtests.text import NOTHING, number_text, seconds_text

_LINES_AT_MOST: Final = 8
#: Followed messages are few: a bin has so many, or shows nothing.
_FOLLOWED_AT_LEAST: Final = 3
_BINS_OF_FOLLOWED: Final = 40
#: And fewer still of each tenant.
_BINS_OF_EACH: Final = 20


def charts_of(result: Result) -> list[Chart]:
    """Every chart that this run has something for."""
    line, coarse = time_line(result), time_line(result, _BINS_OF_FOLLOWED)
    each = time_line(result, _BINS_OF_EACH)
    charts = [
        _chart(
            result,
            "Messages a second",
            [
                Line("due", line.rate(DUE), 8, dashed=True),
                Line("accepted", line.rate(ACCEPTED), 1),
                Line("stored", line.observed_rate("stored"), 3),
            ],
            number_text,
        ),
        _chart(
            result,
            "Due → accepted",
            _percentiles(line, "accepted", least=1),
            seconds_text,
            logarithmic=True,
        ),
        _chart(
            result,
            "Accepted → stored (followed)",
            _percentiles(coarse, "stored", least=_FOLLOWED_AT_LEAST),
            seconds_text,
            logarithmic=True,
        ),
        _chart(
            result,
            "In the queues",
            [Line("messages", line.observed("depth"), 1)],
            number_text,
        ),
        _chart(
            result,
            "Age of the oldest message",
            [Line("age", line.observed("age"), 2)],
            seconds_text,
        ),
    ]
    if len(kinds := _kinds(result)) > 1:
        charts += [
            _chart(
                result,
                f"{what}, p99",
                [
                    Line(name, times.percentile(kind, 99, tenants, least), number)
                    for number, (name, tenants) in enumerate(kinds.items(), start=1)
                ],
                seconds_text,
                logarithmic=True,
            )
            for what, kind, times, least in (
                ("Due → accepted", "accepted", line, 1),
                ("Accepted → stored", "stored", each, 1),
            )
        ]
    charts += _when_there_were(result, line)
    charts.append(
        _chart(
            result,
            "The generator's own load",
            [
                Line(
                    "generator" if name == "0" else name,
                    [(c.at - result.started_at, c.percent) for c in rows],
                    number,
                )
                for number, (name, rows) in enumerate(
                    list(result.cpu.items())[:_LINES_AT_MOST], start=1
                )
            ],
            lambda value: NOTHING if value is None else f"{value:g} %",
        )
    )
    if result.steps:
        charts.insert(0, _ramp_chart(result))
    return charts


def _when_there_were(result: Result, line: TimeLine) -> list[Chart]:
    charts = []
    errors, attempts = line.errors(), line.attempts()
    if any(y for _, y in (*errors, *attempts)):
        charts.append(
            _chart(
                result,
                "Errors a second",
                [Line("failed", errors, 2), Line("tried again", attempts, 5)],
                number_text,
            )
        )
    if any(o.memory is not None for o in result.observations):
        memory: list[Point] = [
            (x, None if y is None else y / 2**20) for x, y in line.observed("memory")
        ]
        charts.append(
            _chart(
                result,
                "Memory of the services' processes",
                [Line("all of them", memory, 4)],
                lambda value: f"{number_text(value)} MiB",
            )
        )
    return charts


def _percentiles(times: TimeLine, kind: str, *, least: int) -> list[Line]:
    return [
        Line("p50", times.percentile(kind, 50, least=least), 1),
        Line("p99", times.percentile(kind, 99, least=least), 2),
    ]


def _kinds(result: Result) -> Mapping[str, Sequence[str]]:
    """Groups, tiers or tenants, whichever sets this run's lines apart."""
    if len(result.groups) > 1:
        return result.groups
    if len(result.tenants) <= _LINES_AT_MOST and len(result.tiers) > 1:
        tier_of = {tenant: tier for tier, some in result.tiers.items() for tenant in some}
        return {f"{tenant} ({tier_of[tenant]})": [tenant] for tenant in result.tenants}
    if len(result.tiers) > 1:
        return result.tiers
    return {tenant: [tenant] for tenant in result.tenants[:_LINES_AT_MOST]}


def _chart(
    result: Result,
    title: str,
    lines: Sequence[Line],
    text: Callable[[float | None], str],
    *,
    logarithmic: bool = False,
) -> Chart:
    bands = [
        Band(phase.name, phase.started_at - result.started_at, phase.ended_at - result.started_at)
        for phase in result.phases
    ]
    return Chart(title, lines, text, lambda at: f"{at:g} s", bands, logarithmic)


def _ramp_chart(result: Result) -> Chart:
    steps, knee = result.steps, result.knee
    mark = None
    if knee is not None:
        mark = (knee.capacity, f"knee: {number_text(knee.capacity)}/s")
    return Chart(
        "What came out, by what was due (messages a second)",
        [
            Line("due", [(step.offered, step.offered) for step in steps], 8, dashed=True),
            Line("came out", [(step.offered, step.throughput) for step in steps], 1),
        ],
        number_text,
        lambda rate: f"{rate:g}",
        mark=mark,
    )
