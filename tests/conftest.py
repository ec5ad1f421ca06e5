"""Rules of every test run: skips are counted, and refused where nothing may be skipped."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final, Protocol

import coverage
import pytest
from hypothesis import is_hypothesis_test

ROOT: Final = Path(__file__).resolve().parent.parent

#: `all`, as CI sets it: a test that is skipped fails.
REQUIRE: Final = os.environ.get("TENANTRY_REQUIRE", "")

#: A file that gets the id of each skipped test, a line each, run after run.
SKIPS_FILE: Final = os.environ.get("TENANTRY_SKIPS_FILE", "")

#: What a report of a skip is marked with: it survives the way from a worker.
_MARK: Final = "tenantry_skip"


_USED: Final = pytest.StashKey[list[str]]()


class Golden(Protocol):
    """Compares with a committed file, or writes it in `make goldens`."""

    def __call__(self, name: str, actual: str) -> None:
        """Fail unless the file, named from the root of the repository, holds `actual`."""


@pytest.fixture
def golden() -> Golden:
    """The committed samples. A test that takes it is marked `golden`."""
    write = os.environ.get("TENANTRY_GOLDENS") == "write" and not os.environ.get("CI")

    def compare(name: str, actual: str) -> None:
        path = ROOT / name
        if write:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(actual, encoding="utf-8")
        committed = path.read_text(encoding="utf-8") if path.exists() else "(no such file)"
        assert committed == actual, f"{name} differs: `make goldens` writes it anew"

    return compare


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that `make goldens` runs."""
    for item in items:
        if "golden" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.golden)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure no coverage while a property is tried.

    Hundreds of examples run the same lines, and before Python 3.12 everything that runs while
    coverage is measured takes twice as long, Hypothesis too.
    """
    is_property = is_hypothesis_test(getattr(item, "obj", None))
    measured = coverage.Coverage.current() if is_property else None
    if measured is None:
        return (yield)
    measured.stop()
    try:
        return (yield)
    finally:
        measured.start()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """See the skips of tests."""
    report = yield
    _see(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """See the skips of whole files (`pytest.importorskip`)."""
    report = yield
    _see(report)
    return report


def _see(report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return  # an expected failure is a statement about an engine, checked in every run
    setattr(report, _MARK, True)
    if REQUIRE == "all":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"TENANTRY_REQUIRE=all allows no skip: {reason}"


@pytest.fixture(scope="session")
def used(pytestconfig: pytest.Config) -> list[str]:
    """What stands in for the original in this run, a line each: said at its end."""
    return pytestconfig.stash.setdefault(_USED, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what stood in for what, and how many tests were skipped, also when there were none."""
    for line in terminalreporter.config.stash.get(_USED, []):
        terminalreporter.write_line(line)
    if hasattr(terminalreporter.config, "workerinput"):
        return  # a worker's: whoever started it counts
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    skipped = [report.nodeid for report in reports if getattr(report, _MARK, False)]
    terminalreporter.write_line(f"skips: {len(skipped)}")
    if SKIPS_FILE and skipped:
        with Path(SKIPS_FILE).open("a", encoding="utf-8") as file:
            file.writelines(f"{name}\n" for name in skipped)
