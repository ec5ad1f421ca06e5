"""A run on one screen."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tenantry_loadtests.figures import Row, phase_rows, quiet_rows, row, tier_rows
from tenantry_loadtests.recording import ATTEMPT, Span
from tenantry_loadtests.running import Outcome
from tenantry_loadtests.text import number_text, seconds_text, share_text, value_text

#: Columns when it goes to a file.
WIDTH: Final = 118
_LINES_AT_MOST: Final = 12


def print_summary(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print what came out; a verdict is the last line of each run."""
    for outcome in outcomes:
        _print(console, outcome)


def summary_text(outcomes: Sequence[Outcome]) -> str:
    """The same, as plain text."""
    console = Console(file=io.StringIO(), width=WIDTH, highlight=False, color_system=None)
    print_summary(console, outcomes)
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - as it was made
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


def _print(console: Console, outcome: Outcome) -> None:
    result = outcome.result
    title = f"{outcome.recipe.name}: {outcome.recipe.title}, on {outcome.facts.name}"
    console.print(Text(title, style="bold"))
    rows = quiet_rows(result) or (
        phase_rows(result) if len(result.phases) > 2 else []  # noqa: PLR2004 - beside the warm-up
    )
    if len(rows) > _LINES_AT_MOST:  # a ramp's steps: the last ones tell
        rows = rows[-_LINES_AT_MOST:]
    tiers = tier_rows(result) if len(result.tiers) > 1 else []
    console.print(_table([*rows, *tiers, row("all", result)]))
    for line in lines_of(outcome):
        console.print(Text(line))
    if outcome.judged:
        for one in outcome.judged:
            mark = Text("  ✓ " if one.holds else "  ✗ ", style="green" if one.holds else "red")
            value = value_text(one.value, one.measure)
            note = f" ({one.note})" if one.note else ""
            console.print(mark.append(f"{one.condition.text}: {value}{note}", style="default"))
    if outcome.passed:
        console.print(Text(f"{outcome.recipe.name}: PASSED", style="bold green"))
    else:
        for problem in outcome.problems:
            console.print(Text(f"  {problem}", style="red"))
        verdict = "INTERRUPTED" if result.interrupted else "FAILED"
        console.print(Text(f"{outcome.recipe.name}: {verdict}", style="bold red"))


def lines_of(outcome: Outcome) -> list[str]:
    """What stands below the table."""
    result, accounting = outcome.result, outcome.accounting
    lines = []
    if result.knee is not None:
        knee = result.knee
        lines.append(
            f"knee: {number_text(knee.capacity)} messages a second came out at most, while the"
            f" {knee.sign} rose; up to {number_text(knee.last_good)} were kept up with"
        )
    elif result.steps:
        lines.append(f"no knee up to {number_text(result.steps[-1].offered)} messages a second")
    depths = [o.depth for o in result.observations if o.depth is not None]
    ages = [o.age for o in result.observations if o.age is not None]
    queues = f"{number_text(max(depths))} at most" if depths else "not observed"
    oldest = seconds_text(max(ages)) if ages else "not observed"
    busiest = result.busiest()
    generator = "not observed" if busiest is None else f"{busiest:.0f} % of a core"
    lines.append(
        f"queues: {queues}; oldest {oldest}; generator {generator};"
        f" following {share_text(result.following_share())} of requests"
    )
    found = result.errors()
    tried = Span(result.recorder).counts_of(ATTEMPT)
    for what, some in (("errors", found), ("tried again", tried)):
        if some:
            lines.append(
                f"{what}: " + ", ".join(f"{times} × {name}" for name, times in some.most_common(5))
            )
    if accounting.accounts:
        unknown = accounting.total("unknown")
        lines.append(
            f"accounting: {number_text(accounting.total('accepted'))} accepted ="
            f" {number_text(accounting.total('stored'))} stored"
            f" + {accounting.total('dead')} dead letters + {accounting.total('queued')} queued"
            + (f" + {n} not looked for" if (n := accounting.total("unlooked")) else "")
            + (f"; {n} missing" if (n := accounting.total("missing")) else "")
            + (f"; {unknown} of unknown outcome" if unknown else "")
        )
    lines += [f"note: {note}" for note in (*outcome.notes, *accounting.notes)]
    return lines


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("due", "accepted", "/s", "failed", "p50", "p99", "followed", "p50", "p99", "max"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in rows:
        table.add_row(
            one.name,
            number_text(one.due),
            number_text(one.accepted),
            number_text(one.rate),
            number_text(one.failed),
            seconds_text(one.accepted_p[0]),
            seconds_text(one.accepted_p[2]),
            number_text(one.followed),
            seconds_text(one.stored_p[0]),
            seconds_text(one.stored_p[2]),
            seconds_text(one.stored_max),
        )
    return table
