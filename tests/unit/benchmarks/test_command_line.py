"""The command line: wrong input, what is written, and its status."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenantry_benchmarks import __main__ as command
from tenantry_benchmarks.rows import ROWS, Row
from tenantry_benchmarks.run import Run
from tenantry_local.model import LaptopError


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "speed"],
        ["--only", ""],
        ["--repeats", "0"],
        ["--repeats", "many"],
        ["--scale", "-1"],
        ["--scale", "fast"],
        ["--engine", "aws"],
        ["--baselines", "rust"],
        ["--faster"],
    ],
)
def test_wrong_input_is_answered_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with status 2."""
    with pytest.raises(SystemExit) as ended:
        command.main(arguments)

    assert 2 == ended.value.code
    out, err = capsys.readouterr()
    assert "" == out
    assert 1 == len(err.splitlines())
    assert arguments[-1] in err or arguments[0] in err


def test_a_list_says_what_rows_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is measured for it."""
    assert 0 == command.main(["--list"])

    lines = capsys.readouterr().out.splitlines()
    assert list(ROWS) == [line.split()[0] for line in lines]


def measured(monkeypatch: pytest.MonkeyPatch, *, holds: bool, fails: bool = False) -> None:
    """A row that measures without measuring."""

    async def measure(run: Run) -> None:
        table = run.table("fast", "Fast", "It was not.")
        table.figure("ours", "producer", "µs").add(1, 1)
        table.require("≤ 0 µs: 1 µs", holds)
        if fails:
            raise LaptopError("our producer ended")

    monkeypatch.setitem(ROWS, "fast", Row("fast", "Fast", is_full=False, measure=measure))


@pytest.mark.parametrize(
    ("holds", "arguments", "status"),
    [(True, [], 0), (False, [], 1), (False, ["--no-bounds"], 0)],
    ids=["held", "missed", "missed-but-only-measured"],
)
def test_a_missed_bound_is_named_and_fails_the_run(
    *,
    holds: bool,
    arguments: list[str],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Unless it was only to be measured; the report is written either way."""
    measured(monkeypatch, holds=holds)

    found = command.main(["--only", "fast", "--output", str(tmp_path), *arguments])

    assert status == found
    assert ("missed: ≤ 0 µs: 1 µs" in capsys.readouterr().err) == (status == 1)
    document = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert 1 == document["rows"][0]["figures"][0]["median"]
    assert {"cpu", "cores", "kernel", "commit", "calibration_us"} <= document["machine"].keys()
    assert (tmp_path / "results.md").exists()
    assert (tmp_path / "fast.svg").exists()


def test_ours_that_fails_ends_with_status_one_and_keeps_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """And says what failed."""
    measured(monkeypatch, holds=True, fails=True)

    assert 1 == command.main(["--only", "fast", "--output", str(tmp_path)])

    assert "our producer ended" in capsys.readouterr().err
    assert (tmp_path / "results.json").exists()
