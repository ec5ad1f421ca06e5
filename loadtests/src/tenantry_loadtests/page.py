"""The report as one HTML file: no script, nothing loaded, light and dark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files
from typing import Final

from tenantry_loadtests.charts import charts_of
from tenantry_loadtests.figures import (
    Row,
    phase_rows,
    quiet_rows,
    row,
    tenant_rows,
    tier_rows,
)
from tenantry_loadtests.measuring import rate_between
from tenantry_loadtests.method import method_of
from tenantry_loadtests.recording import ATTEMPT, Span
from tenantry_loadtests.running import Outcome
from tenantry_loadtests.svg import Chart, render
from tenantry_loadtests.text import NOTHING, number_text, seconds_text, value_text

_TENANTS_AT_MOST: Final = 40

Cell = str | tuple[str, str]


def render_page(shape: str, outcomes: Sequence[Outcome], started: datetime) -> str:
    """The report of a command: one run, or the three of a noisy neighbour."""
    style = (files("tenantry_loadtests") / "data" / "report.css").read_text("utf-8")
    several = len(outcomes) > 1
    body = [_header(shape, outcomes, started)]
    if several:
        body.append(_comparison(outcomes))
    body += [_run(outcome, several=several) for outcome in outcomes]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Load test: {escape(shape)}</title><style>\n{style}</style></head>\n"
        f"<body><main>{''.join(body)}{_footer(outcomes)}</main></body></html>\n"
    )


def _header(shape: str, outcomes: Sequence[Outcome], started: datetime) -> str:
    interrupted = any(outcome.result.interrupted for outcome in outcomes)
    passed = all(outcome.passed for outcome in outcomes)
    verdict = "INTERRUPTED" if interrupted else "PASSED" if passed else "FAILED"
    badge = f'<span class="badge {"good" if passed else "bad"}">{verdict}</span>'
    where = outcomes[0].facts.name
    about = f"{where} · {started:%Y-%m-%d %H:%M:%S %z}"
    if len(outcomes) == 1:
        about = f"{outcomes[0].recipe.title} · {about}"
    return (
        f"<header><h1>Load test: {escape(shape)}</h1>{badge}</header>"
        f'<p class="soft">{escape(about)}</p>'
    )


def _run(outcome: Outcome, *, several: bool) -> str:
    result = outcome.result
    parts = []
    if several:
        name = f"({escape(outcome.recipe.name)}) {escape(outcome.recipe.title)}"
        parts.append(f"<h2>{name} {_mark(passed=outcome.passed)}</h2>")
    if outcome.problems:
        parts.append(_box("bad", "Why it failed", outcome.problems))
    if outcome.notes:
        parts.append(_box("warn", "Read these figures with this in mind", outcome.notes))
    parts.append(_tiles(outcome))
    if outcome.judged:
        parts.append(_thresholds(outcome))
    parts.append(_charts(charts_of(result)))
    if rows := quiet_rows(result):
        parts.append(_rows("Neighbours", "", rows))
    elif len(phases := phase_rows(result)) > 1:
        parts.append(_rows("By phase", "phase", phases))
    parts.append(_steps(outcome))
    parts.append(_consumers(outcome))
    parts.append(_rows("By tier", "tier", [*tier_rows(result), row("all", result)]))
    tenants = tenant_rows(result)
    title = "By tenant"
    if len(tenants) > _TENANTS_AT_MOST:
        title += f" (the {_TENANTS_AT_MOST} slowest of {len(tenants)}; all are in stats.csv)"
    parts.append(_rows(title, "tenant", tenants[:_TENANTS_AT_MOST]))
    parts.append(_errors(outcome))
    parts.append(_accounting(outcome))
    parts.append("<h3>How it was measured</h3>" + _list(method_of(result)))
    return "".join(parts)


def _tiles(outcome: Outcome) -> str:
    result = outcome.result
    whole = row("all", result)
    depths = [o.depth for o in result.observations if o.depth is not None]
    ages = [o.age for o in result.observations if o.age is not None]
    not_observed = "not observed"
    tiles = [
        (number_text(whole.rate), f"accepted a second, of {number_text(whole.due)} due in all"),
        (seconds_text(whole.accepted_p[2]), f"due → accepted, p99; p50 {_p(whole.accepted_p[0])}"),
        (
            seconds_text(whole.stored_p[2]),
            f"accepted → stored, p99 of {whole.followed}; p50 {_p(whole.stored_p[0])}",
        ),
        (number_text(whole.failed), f"messages failed; {number_text(whole.retried)} tried again"),
        (
            number_text(max(depths)) if depths else NOTHING,
            "in the queues at most" if depths else f"queue depth: {not_observed}",
        ),
        (
            seconds_text(max(ages)) if ages else NOTHING,
            "oldest in the queue at most" if ages else f"age of the oldest: {not_observed}",
        ),
    ]
    if result.knee is not None:
        tiles.insert(0, (f"{number_text(result.knee.capacity)}/s", "capacity: the knee"))
    if (busiest := result.busiest()) is not None:
        tiles.append((f"{busiest:.0f} %", "of a core: the generator, at its busiest"))
    cells = (
        f'<div class="tile"><b>{escape(b)}</b><span>{escape(s)}</span></div>' for b, s in tiles
    )
    return f'<div class="tiles">{"".join(cells)}</div>'


def _thresholds(outcome: Outcome) -> str:
    rows: list[list[Cell]] = [
        [
            ("text", f"<code>{escape(one.condition.text)}</code>"),
            value_text(one.value, one.measure),
            ("text", escape(one.note)),
            _mark(passed=one.holds),
        ]
        for one in outcome.judged
    ]
    return "<h3>Thresholds</h3>" + _table(["must hold", "was", ("text", ""), ""], rows)


def _comparison(outcomes: Sequence[Outcome]) -> str:
    rows: list[list[Cell]] = []
    for outcome in outcomes:
        found = quiet_rows(outcome.result)
        if not found:
            continue
        alone, beside, flood = found
        p99s = (alone.stored_p[2], beside.stored_p[2])
        ratio = p99s[1] / p99s[0] if p99s[0] and p99s[1] else None
        stamps = (alone.stamped_p[2], beside.stamped_p[2])
        stamped = stamps[1] / stamps[0] if stamps[0] and stamps[1] else None
        growth = rate_between(outcome.result.observed(["flood"]), "depth")
        is_bound = any(one.condition.under for one in outcome.judged)
        rows.append(
            [
                ("text", f"({escape(outcome.recipe.name)}) {escape(outcome.recipe.title)}"),
                seconds_text(p99s[0]),
                seconds_text(p99s[1]),
                value_text(ratio, "ratio"),
                "≤ 2×" if is_bound else "none",
                value_text(stamped, "ratio"),
                f"{number_text(flood.rate)}/s",
                f"{number_text(growth)}/s",
                _mark(passed=outcome.passed) if is_bound or not outcome.passed else "reported",
            ]
        )
    head: list[Cell] = [
        ("text", "run"),
        "quiet p99 alone",
        "beside the flood",
        "ratio",
        "bound",
        "ratio by the items' stamps",
        "flood",
        "backlog grew",
        "",
    ]
    return "<h3>Quiet tenants, accepted → stored</h3>" + _table(head, rows)


def _rows(title: str, first: str, rows: Sequence[Row]) -> str:
    cells: list[list[Cell]] = [
        [
            escape(one.name),
            number_text(one.due),
            number_text(one.accepted),
            number_text(one.rate),
            number_text(one.failed),
            number_text(one.retried),
            *map(seconds_text, (one.accepted_p[0], one.accepted_p[2], one.accepted_max)),
            number_text(one.followed),
            *map(seconds_text, (one.stored_p[0], one.stored_p[2], one.stored_max)),
        ]
        for one in rows
    ]
    head: list[Cell] = [
        first,
        "due",
        "accepted",
        "a second",
        "failed",
        "tried again",
        "accepted p50",
        "p99",
        "max",
        "followed",
        "stored p50",
        "p99",
        "max",
    ]
    return f"<h3>{escape(title)}</h3>" + _table(head, cells)


def _steps(outcome: Outcome) -> str:
    steps, knee = outcome.result.steps, outcome.result.knee
    if not steps:
        return ""
    text = "No knee: throughput followed the offer in every step."
    if knee is not None:
        good = number_text(knee.last_good)
        text = (
            f"The knee is at {number_text(knee.capacity)} messages a second: more did not come out"
            f" while the {knee.sign} rose. Up to {good} a second the system kept up."
        )
    rows: list[list[Cell]] = [
        [
            str(number),
            number_text(step.offered),
            number_text(step.throughput),
            seconds_text(step.latency),
            seconds_text(step.age),
            f"{number_text(step.backlog)}/s" if step.backlog is not None else NOTHING,
        ]
        for number, step in enumerate(steps, start=1)
    ]
    head: list[Cell] = [
        "step",
        "due a second",
        "came out",
        "accepted p95",
        "oldest in queue",
        "backlog grew",
    ]
    return f"<h3>Steps</h3><p>{escape(text)}</p>" + _table(head, rows)


def _consumers(outcome: Outcome) -> str:
    result = outcome.result
    phases = [phase for phase in result.phases if phase.name.startswith("consumers-")]
    if not phases:
        return ""
    rates = [rate_between(result.observed([phase.name]), "stored") for phase in phases]
    rows: list[list[Cell]] = [
        [
            phase.name.removeprefix("consumers-"),
            number_text(rate),
            value_text(rate / rates[0] if rate and rates[0] else None, "ratio"),
        ]
        for phase, rate in zip(phases, rates, strict=True)
    ]
    return "<h3>Scale-out</h3>" + _table(["consumers", "stored a second", "of one"], rows)


def _errors(outcome: Outcome) -> str:
    errors = outcome.result.errors()
    tried = Span(outcome.result.recorder).counts_of(ATTEMPT)
    if not errors and not tried:
        return "<h3>Errors</h3><p>None, and nothing had to be sent again.</p>"
    rows: list[list[Cell]] = [
        [escape(what), number_text(times), ("text", kind)]
        for found, kind in ((errors, "failed"), (tried, "tried again"))
        for what, times in found.most_common()
    ]
    return "<h3>Errors by kind</h3>" + _table(["what came", "messages", ("text", "")], rows)


def _accounting(outcome: Outcome) -> str:
    accounting = outcome.accounting
    rows: list[list[Cell]] = [
        [
            escape(one.tenant),
            *(
                number_text(value)
                for value in (one.accepted, one.stored, one.dead, one.queued, one.unlooked)
            ),
            ("bad", number_text(one.missing)) if one.missing else "0",
            ("bad", number_text(one.strays)) if one.strays else "0",
            f"{number_text(one.unknown)}"
            + (f" ({one.unknown_found} there)" if one.unknown else ""),
        ]
        for one in accounting.accounts
    ]
    head: list[Cell] = [
        "tenant",
        "accepted",
        "= stored",
        "+ dead letters",
        "+ queued",
        "+ not looked for",
        "missing",
        "stored, sent by nobody",
        "outcome unknown",
    ]
    text = "Every accepted message is accounted for." if accounting.holds else "It does not hold."
    if not accounting.accounts:
        return (
            "<h3>Accounting</h3><p>Nothing was accepted, so there is nothing to account for.</p>"
        )
    notes = _list(accounting.notes) if accounting.notes else ""
    return f"<h3>Accounting</h3><p>{text}</p>{_table(head, rows)}{notes}"


def _charts(charts: Iterable[Chart]) -> str:
    figures = []
    for chart in charts:
        drawn = render(chart)
        keys = "".join(
            f'<span class="key c{line.colour}{" dashed" if line.dashed else ""}">'
            f"{escape(line.name)}</span>"
            for line in chart.lines
        )
        drawn = drawn or '<p class="soft">not observed</p>'
        title = escape(chart.title)
        figures.append(f"<figure><figcaption>{title}{keys}</figcaption>{drawn}</figure>")
    return f'<div class="charts">{"".join(figures)}</div>'


def _table(head: Sequence[Cell], rows: Sequence[Sequence[Cell]]) -> str:
    heads = "".join(_cell("th", cell) for cell in head)
    body = "".join(f"<tr>{''.join(_cell('td', cell) for cell in cells)}</tr>" for cells in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _cell(tag: str, cell: Cell) -> str:
    if isinstance(cell, tuple):
        return f'<{tag} class="{cell[0]}">{cell[1]}</{tag}>'
    return f"<{tag}>{cell}</{tag}>"


def _box(kind: str, title: str, lines: Sequence[str]) -> str:
    return f'<div class="box {kind}"><strong>{escape(title)}</strong>{_list(lines)}</div>'


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _mark(*, passed: bool) -> str:
    kind, text = ("good", "holds") if passed else ("bad", "does not hold")
    return f'<span class="{kind}">{text}</span>'


def _p(value: float | None) -> str:
    return seconds_text(value)


def _footer(outcomes: Sequence[Outcome]) -> str:
    runs = ", ".join(outcome.result.plan.run for outcome in outcomes)
    version = outcomes[0].result.locust
    beside = "stats.csv, series.csv, requests.csv and errors.csv are beside this page"
    return f"<footer>Run {escape(runs)} · Locust {escape(version)} · {beside}</footer>"
