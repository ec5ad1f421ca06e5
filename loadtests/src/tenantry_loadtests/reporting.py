"""Leaves what a command came to: report.html, CSV, summary.txt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from tenantry_loadtests.csvs import write_csvs
from tenantry_loadtests.page import render_page
from tenantry_loadtests.running import Outcome
from tenantry_loadtests.summary import summary_text


def write_reports(
    folder: Path, shape: str, outcomes: Sequence[Outcome], started: datetime
) -> Path:
    """Write all of it into a folder; several runs' CSV each into one of its own.

    Returns:
        The page.
    """
    page = folder / "report.html"
    page.write_text(render_page(shape, outcomes, started), "utf-8")
    (folder / "summary.txt").write_text(summary_text(outcomes), "utf-8")
    for outcome in outcomes:
        write_csvs(folder if len(outcomes) == 1 else folder / outcome.recipe.name, outcome.result)
    return page
