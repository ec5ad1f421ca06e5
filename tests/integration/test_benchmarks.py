"""The benchmark itself, as short as it can be: what it checks of its own figures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.waiting import wait_for

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(
        sys.platform != "linux", reason="CPU and memory of a process are read from /proc"
    ),
]

BENCHMARKS = (sys.executable, "-m", "tenantry_benchmarks")


def environment() -> dict[str, str]:
    """Without coverage in the benchmark's own processes."""
    return os.environ | {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}


def run(output: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BENCHMARKS, "--output", str(output), *arguments],
        env=environment() | more,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )


def verdicts(row: dict[str, Any]) -> dict[str, bool | None]:
    return {one["text"]: one["holds"] for one in row["verdicts"]}


def test_figures_come_with_spans_counters_and_their_baselines(tmp_path: Path) -> None:
    """Every message of ours was counted twice and some were traced, or the run fails."""
    quick = ("--only", "cpu", "--quick", "--repeats", "2", "--scale", "0.1", "--no-bounds")

    done = run(tmp_path, *quick)

    assert 0 == done.returncode, done.stderr
    [row] = json.loads((tmp_path / "results.json").read_text("utf-8"))["rows"]
    found = verdicts(row)
    for part in (
        "counted: tenantry_messages_accepted_total",
        "counted: tenantry_messages_stored_total",
        "limited at a rate that is not reached: 0 refused",
        "traced: at least one span of the producer",
        "traced: at least one span of the consumer",
    ):
        [(text, holds)] = [(text, holds) for text, holds in found.items() if part in text]
        assert holds is True, text
    figures = {(one["subject"], one["what"]): one for one in row["figures"]}
    for subject in ("ours", "plain", "good"):
        for what in ("producer, 64 in flight, 1,000 tokens", "consumer, draining"):
            figure = figures[subject, what]
            assert 2 == len(figure["samples"]) == len(figure["calibration"])
            assert figure["median"] > 0
    assert {} == row["missing"]
    report = (tmp_path / "results.md").read_text("utf-8")
    assert "×" in report
    assert (tmp_path / "cpu.svg").stat().st_size > 10_000


def test_an_interrupted_run_keeps_what_it_measured_and_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C: status 130, a report that says so, and nothing that still runs."""
    with subprocess.Popen(
        [*BENCHMARKS, "--output", str(tmp_path), "--only", "cpu", "--scale", "0.1"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if "round 2" in line:
                    break
            descendants = _below(process.pid)
            assert descendants
            process.send_signal(signal.SIGINT)
            process.stderr.read()
            assert 130 == process.wait(timeout=30)
        finally:
            process.kill()

    document = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert document["interrupted"] is True
    assert document["rows"][0]["figures"]
    assert "interrupted" in (tmp_path / "results.md").read_text("utf-8")
    wait_for(
        lambda: not any(Path(f"/proc/{pid}").exists() for pid in descendants),
        seconds=10,
        what="the end of every process",
    )


def test_an_engine_that_is_not_installed_is_said_in_one_line(tmp_path: Path) -> None:
    """Before anything is measured."""
    arguments = ("--only", "cpu", "--engine", "embedded")
    done = run(tmp_path, *arguments, TENANTRY_ENGINE_PYTHON="/nonexistent/python")

    assert 2 == done.returncode
    assert "the engine's environment is missing" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results.json").exists()


def _below(pid: int) -> list[int]:
    """Every process that a process started, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text("ascii").split():
            found += [int(child), *_below(int(child))]
    return found
