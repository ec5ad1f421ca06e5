"""What a reader gets: tables, verdicts, plots."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tenantry_benchmarks import plots, report
from tenantry_benchmarks.progress import Progress
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.table import Table, Verdict, failures

MACHINE: dict[str, Any] = {
    "date": "2026-01-01T00:00:00Z",
    "commit": "0123456789ab",
    "cpu": "A CPU",
    "cores": 2,
    "memory_mib": 8_000,
    "kernel": "6.1",
    "python": "3.11.7",
    "packages": {"boto3": "1.40.61"},
    "engine": "standin",
    "engine_version": "0.1.0",
}


@pytest.fixture
def run() -> Run:
    run = Run(Progress())
    table = run.table("cpu", "CPU a message", "How it was measured.")
    for what, ours, plain in (("producer, 64", 100, 2_500), ("consumer", 50, 2_000)):
        for _ in range(5):
            table.figure("ours", what, "µs").add(ours, 500)
            table.figure("plain", what, "µs").add(plain, 500)
    table.missing["good"] = "gunicorn is not there"
    return run


def test_each_line_has_its_baselines_and_their_ratios_beside_it(run: Run) -> None:
    """Ours, ours by calibration, then each baseline and how many times ours it is."""
    header, producer, consumer = report.lines(run.tables[0])

    assert ["", "unit", "ours", "÷ calibration", "plain", "ratio", "good", "ratio"] == header
    assert ["producer, 64", "µs", "100 ± 0", "0.2", "2,500 ± 0", "25 ×", "-", ""] == producer
    assert ["consumer", "µs", "50 ± 0", "0.1", "2,000 ± 0", "40 ×", "-", ""] == consumer


def test_a_missing_baseline_says_why_and_has_no_ratio(run: Run) -> None:
    """In the report of a terminal and in the one that is kept."""
    console = Console(file=io.StringIO(), width=160)
    report.show(run, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]

    for text in (shown, report.markdown(run, MACHINE)):
        assert "good is missing: gunicorn is not there" in text


def test_few_rounds_are_said(run: Run) -> None:
    """A median of three is not a median of five."""
    table = run.tables[0]
    for value in (1.0, 2.0, 3.0):
        table.figure("ours", "few", "µs").add(value)
    table.figure("ours", "one", "µs").add(7)

    assert "2 ± 1 (3)" == report.value_cell(table.find("ours", "few"))
    assert "7 (1)" == report.value_cell(table.find("ours", "one"))
    assert "-" == report.value_cell(None)


def test_markdown_names_machine_engine_and_commit(run: Run) -> None:
    """A figure without its machine is no figure."""
    text = report.markdown(run, MACHINE)

    for part in ("A CPU", "2 cores", "3.11.7", "standin 0.1.0", "0123456789ab", "boto3 1.40.61"):
        assert part in text
    assert "Calibration (SHA-256 of 1 MiB): 500 µs CPU" in text
    assert "![CPU a message](cpu.svg)" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert 1 == len({line.count("|") for line in rows})


def test_an_interrupted_run_says_so(run: Run) -> None:
    """It is no whole report."""
    run.was_interrupted = True

    assert "interrupted" in report.markdown(run, MACHINE)


@pytest.mark.parametrize(
    ("holds", "is_hard", "word", "fails"),
    [
        (True, True, "holds", False),
        (False, True, "missed", True),
        (None, True, "not judged", False),
        (True, False, "reached", False),
        (False, False, "not reached", False),
    ],
)
def test_only_a_missed_hard_bound_fails_the_run(
    holds: bool | None, is_hard: bool, word: str, fails: bool
) -> None:
    """What could not be judged, and what is only hoped for, does not."""
    verdict = Verdict("≤ 1", holds, is_hard=is_hard)
    table = Table("x", "X", "", verdicts=[verdict])

    assert f"{word}: ≤ 1" == report.verdict_line(verdict)
    assert (["≤ 1"] if fails else []) == failures([table])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2e-13, "0"), (0.1234, "0.123"), (12.34, "12.3"), (140.4, "140"), (2500, "2,500")],
)
def test_numbers_have_the_digits_that_say_something(value: float, text: str) -> None:
    """Three of them."""
    assert text == report.number(value)


def test_plots_are_whole_files_and_the_same_for_the_same_figures(run: Run, tmp_path: Path) -> None:
    """Nothing is loaded from anywhere; a row without figures has none."""
    run.table("empty", "Empty", "")

    [path] = plots.draw(run.tables, tmp_path)
    first = path.read_text("utf-8")
    plots.draw(run.tables, tmp_path)

    assert "cpu.svg" == path.name
    assert first == path.read_text("utf-8")
    assert "25×" in first
    assert "2,500" in first
    loaded = re.findall(r'(?:href|src)="(?!#)[^"]*"|url\((?!#)[^)]*\)', first)
    assert [] == loaded
