"""What a run found, as tables: in a terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any, Final

from rich.console import Console
from rich.table import Table as RichTable

from tenantry_benchmarks.figures import ENOUGH, Figure
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.subjects import OURS
from tenantry_benchmarks.table import Table, Verdict

_ABSENT: Final = "-"
#: What subtracting floats leaves.
_NOTHING: Final = 1e-9


def number(value: float) -> str:
    """Three digits that say something."""
    size = abs(value)
    if size < _NOTHING:
        return "0"
    if size >= 100 or value == int(value):  # noqa: PLR2004 - three digits
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def value_cell(figure: Figure | None) -> str:
    """Median ± spread, or that there is none."""
    if figure is None or figure.median is None or figure.spread is None:
        return _ABSENT
    if len(figure.samples) == 1:
        return f"{number(figure.median)} (1)"
    few = "" if len(figure.samples) >= ENOUGH else f" ({len(figure.samples)})"
    return f"{number(figure.median)} ± {number(figure.spread)}{few}"


def ratio_cell(table: Table, what: str, subject: str) -> str:
    """How many times ours; nothing unless both were measured."""
    found = table.ratio(what, subject, OURS)
    return "" if found is None else f"{number(found)} ×"


def lines(table: Table) -> Iterator[list[str]]:
    """The header, and a line for each thing that was measured."""
    baselines = [name for name in table.subjects() if name != OURS]
    baselines += [name for name in table.missing if name not in baselines]
    is_calibrated = any(one.calibrated for one in table.figures)
    header = ["", "unit", "ours", *(["÷ calibration"] if is_calibrated else [])]
    for name in baselines:
        header += [name, "ratio"]
    yield header
    for what in table.whats():
        own = table.find(OURS, what)
        unit = next(one.unit for one in table.figures if one.what == what)
        line = [what, unit, value_cell(own)]
        if is_calibrated:
            line.append(number(own.calibrated) if own and own.calibrated else _ABSENT)
        for name in baselines:
            line += [value_cell(table.find(name, what)), ratio_cell(table, what, name)]
        yield line


def verdict_line(verdict: Verdict) -> str:
    """A bound and what became of it."""
    word = {True: "holds", False: "missed", None: "not judged"}[verdict.holds]
    if not verdict.is_hard:
        word = {"holds": "reached", "missed": "not reached"}.get(word, word)
    return f"{word}: {verdict.text}"


def calibration(run: Run) -> float | None:
    """The calibration loop of the whole run, CPU µs."""
    found = [
        sample.calibration
        for table in run.tables
        for figure in table.figures
        for sample in figure.samples
        if sample.calibration
    ]
    return median(found) if found else None


def show(run: Run, console: Console) -> None:
    """The tables, for a reader at a terminal."""
    for table in run.tables:
        header, *rows = lines(table)
        shown = RichTable(title=table.title, title_justify="left", title_style="bold")
        for place, name in enumerate(header):
            shown.add_column(name, justify="left" if place == 0 else "right", no_wrap=place == 0)
        for row in rows:
            shown.add_row(*row)
        console.print(shown)
        console.print(table.how, style="dim", highlight=False)
        for name, reason in table.missing.items():
            console.print(f"{name} is missing: {reason}", highlight=False)
        styles = {True: "green", False: "red", None: "yellow"}
        for verdict in table.verdicts:
            console.print(
                f"  {verdict_line(verdict)}", style=styles[verdict.holds], highlight=False
            )
        console.print()
    if (found := calibration(run)) is not None:
        console.print(f"calibration: {found:.0f} µs CPU for SHA-256 of 1 MiB", highlight=False)


def markdown(run: Run, machine: dict[str, Any]) -> str:
    """The whole report."""
    parts = ["# Benchmarks", ""]
    if run.was_interrupted:
        parts += ["**This run was interrupted: what follows is what it had measured.**", ""]
    parts += [_machine(machine, calibration(run)), ""]
    for table in run.tables:
        parts += [f"## {table.title}", "", table.how, ""]
        header, *rows = lines(table)
        parts += [_row(header), _row(["---", *["---:"] * (len(header) - 1)])]
        parts += [_row(row) for row in rows]
        parts.append("")
        parts += [f"- {name} is missing: {reason}" for name, reason in table.missing.items()]
        parts += [f"- {verdict_line(verdict)}" for verdict in table.verdicts]
        parts += ["", f"![{table.title}]({table.key}.svg)", ""]
    return "\n".join(parts)


def _machine(machine: dict[str, Any], found: float | None) -> str:
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    loop = f" Calibration (SHA-256 of 1 MiB): {found:.0f} µs CPU." if found else ""
    return (
        f"{machine['date']}, commit {machine['commit']}. {machine['cpu']}, {machine['cores']} "
        f"cores, {machine['memory_mib']:,} MiB, Linux {machine['kernel']}, Python "
        f"{machine['python']}. Engine: {machine['engine']} {machine['engine_version']}.{loop} "
        f"{packages}."
    )


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
