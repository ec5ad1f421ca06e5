"""In turn: who is measured when, and what becomes of one that fails."""

from __future__ import annotations

import io

import pytest

from tenantry_benchmarks.progress import Progress
from tenantry_benchmarks.run import Run
from tenantry_local.model import LaptopError


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    return Run(Progress(), repeats=3)


async def test_every_second_round_is_the_other_way_around(run: Run) -> None:
    """What drifts during a round hits nobody more than others."""
    seen: list[str] = []

    async def measure(_: int, subject: str) -> None:
        seen.append(subject)

    subjects = {name: name for name in ("ours", "plain", "good")}
    await run.in_turn("x", run.table("x", "X", ""), subjects, measure)

    assert ["ours", "plain", "good"] == seen[:3]
    assert ["good", "plain", "ours"] == seen[3:6]
    assert 9 == len(seen)


async def test_a_baseline_that_fails_is_left_out_with_its_reason(run: Run) -> None:
    """The others go on; its figures are gone, and its place says why."""
    table = run.table("x", "X", "")
    seen: list[tuple[int, str]] = []

    async def measure(number: int, subject: str) -> None:
        seen.append((number, subject))
        table.figure(subject, "producer", "µs").add(1)
        if (number, subject) == (1, "plain"):
            raise LaptopError("plain ended")

    await run.in_turn("x", table, {"ours": "ours", "plain": "plain"}, measure)

    assert (2, "plain") not in seen
    assert (2, "ours") in seen
    assert {"plain": "plain ended"} == table.missing
    assert table.ratio("producer", "plain", "ours") is None
    assert not run.failures


async def test_ours_that_fails_ends_the_run(run: Run) -> None:
    """A benchmark without ours says nothing."""

    async def measure(_: int, subject: str) -> None:
        raise LaptopError(f"{subject} ended")

    with pytest.raises(LaptopError, match="ours ended"):
        await run.in_turn("x", run.table("x", "X", ""), {"ours": "ours"}, measure)
