from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fakes.loadtests import START, a_plan, a_result, recorded, some_ids
from tenantry_loadtests.accounting import Accounting, Books, account
from tenantry_loadtests.catalogue import Recipe
from tenantry_loadtests.knee import Knee, Step
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.page import render_page
from tenantry_loadtests.plan import Group
from tenantry_loadtests.recording import ATTEMPT, ERROR, RETRIED
from tenantry_loadtests.reporting import write_reports
from tenantry_loadtests.results import Result
from tenantry_loadtests.running import Outcome, notes_of, problems_of
from tenantry_loadtests.summary import WIDTH, summary_text
from tenantry_loadtests.svg import Chart, Line, render
from tenantry_loadtests.target import Facts
from tenantry_loadtests.text import number_text, seconds_text, share_text
from tenantry_loadtests.thresholds import judge, read_conditions

STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)


def an_outcome(
    result: Result,
    *,
    conditions: str = "errors<1%",
    accounting: Accounting | None = None,
    **more: Any,
) -> Outcome:
    accounting = accounting or Accounting()
    judged = judge(read_conditions(conditions), result)
    values: dict[str, Any] = {
        "recipe": Recipe(name="steady", title="a test", groups=result.plan.groups),
        "facts": Facts(name="https://host", notes=(), tenants=result.plan.tenants),
        "result": result,
        "accounting": accounting,
        "judged": judged,
        "problems": problems_of(result, accounting, judged),
        "notes": notes_of(result),
    }
    return Outcome(**(values | more))


def a_full_result(**changes: Any) -> Result:
    durations = {
        (at + 0.5, kind, tenant): [0.01 * (at + 1)] * 5
        for at in range(20)
        for kind in ("accepted", "stored", "between", "stamped", "post")
        for tenant in ("acme", "globex", "umbrella")
    }
    seen = [
        Observation(START + at, depth=at, dead=0, age=0.1 * at, stored=10.0 * at, memory=1e8 + at)
        for at in range(20)
    ]
    return a_result(
        recorded(durations),
        phases=[("before", 10.0), ("after", 10.0)],
        observations=seen,
        **changes,
    )


def texts(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_a_page_is_whole_and_loads_nothing() -> None:
    """No script, no address of anybody, every element closed."""
    page = render_page("steady", [an_outcome(a_full_result())], STARTED)
    assert "<script" not in page
    assert not re.search(r"""(?:src|href)=|url\(|@import|https?://(?!host)""", page)
    body = page[page.index("<main>") : page.index("</main>") + len("</main>")]
    ET.fromstring(body.replace("&nbsp;", " "))
    for title in ("Messages a second", "Due → accepted", "In the queues", "Age of the oldest"):
        assert title in page
    assert "PASSED" in page
    assert "prefers-color-scheme: dark" in page


def test_what_was_not_observed_says_so() -> None:
    """Instead of an empty chart or a zero."""
    result = a_result(recorded({(1, "accepted", "acme"): [0.1] * 10}))
    told = texts(render_page("steady", [an_outcome(result)], STARTED))
    assert "queue depth: not observed" in told
    assert "age of the oldest: not observed" in told
    assert "In the queues messages not observed" in told
    assert "No message was followed" in told
    assert "queues: not observed; oldest not observed" in summary_text([an_outcome(result)])


def test_names_of_others_are_escaped() -> None:
    """A host, an error's name: text, never markup."""
    recorder = recorded({(1, "accepted", "acme"): [0.1]})
    recorder.count(f"{ERROR}<script>alert(1)</script>", "acme", START + 1, 3)
    outcome = an_outcome(a_result(recorder))
    outcome = replace(outcome, facts=replace(outcome.facts, name="<img onerror=x>"))
    page = render_page("steady", [outcome], STARTED)
    assert "<script" not in page
    assert "<img" not in page


def test_a_failed_run_says_why_first() -> None:
    """Thresholds, accounting, lost workers, tokens, bugs: each a line of its own."""
    recorder = recorded({(1, "accepted", "acme"): [9.0] * 10})
    recorder.count(f"{ERROR}401 unauthenticated", "globex", START + 2, 4)
    recorder.count(f"{ATTEMPT}429 rate-limited", "acme", START + 2, 7)
    recorder.count(RETRIED, "acme", START + 2, 7)
    lost = [{"worker": "worker 2", "at": START + 7}]
    sent = {"acme": some_ids(5)}
    books = Books(stored={"acme": some_ids(4)}, dead={}, queued={}, strays=True)
    accounting = account(sent, {}, books)
    result = a_result(
        recorder,
        workers=2,
        workers_lost=lost,
        exceptions=[{"message": "boom", "count": 2}],
        failure="no 4 consumers",
        accepted=sent,
    )
    outcome = an_outcome(result, conditions="p99(accepted)<1s", accounting=accounting)
    assert not outcome.passed
    for told in (
        texts(render_page("steady", [outcome], STARTED)),
        re.sub(r"\s+", " ", summary_text([outcome])),
    ):
        for part in (
            "FAILED",
            "threshold: p99(accepted)",
            "accounting: acme: 5 accepted, 4 stored",
            "globex: 4 messages had no token that was taken",
            "worker 2 was lost 7 s after the start",
            "incomplete: no 4 consumers",
            "generator: 2 × boom",
        ):
            assert part in told.replace("&lt;", "<")


def test_a_run_that_accepted_nothing_fails() -> None:
    """Whatever its thresholds say."""
    outcome = an_outcome(a_result(), conditions="following<5%")
    assert outcome.problems == ["nothing was accepted"]


def test_an_interrupted_run_is_no_success() -> None:
    """It is reported as what it is."""
    outcome = an_outcome(a_full_result(interrupted=True))
    assert outcome.problems == ["incomplete: interrupted"]
    assert "INTERRUPTED" in render_page("steady", [outcome], STARTED)
    assert "INTERRUPTED" in summary_text([outcome])


def test_a_ramp_says_its_knee() -> None:
    """In the tiles, the chart, the steps and the summary."""
    steps = [Step(100, 99, 0.01, 0.1, 0.0), Step(200, 120, 2.0, 5.0, 80.0)]
    result = a_full_result(steps=steps, knee=Knee(120.0, 99.0, 1, "backlog"))
    outcome = an_outcome(result)
    told = texts(render_page("ramp", [outcome], STARTED))
    assert "120/s capacity: the knee" in told
    assert "knee: 120/s" in told
    assert "more did not come out while the backlog rose" in told
    assert "knee: 120 messages a second" in summary_text([outcome])
    without = an_outcome(replace(result, knee=None))
    assert "no knee up to 200" in summary_text([without])


def test_neighbours_are_compared() -> None:
    """Alone, beside the flood, and the flood; of three runs a table on top."""
    plan = a_plan(
        groups=(
            Group("quiet", ("acme", "globex"), 2, 1.0, True, 0.0),
            Group("flooding", ("umbrella",), 0, 1.0, False, 0.0),
        )
    )
    result = a_full_result(plan=plan)
    phases = [replace(p, name=n) for p, n in zip(result.phases, ("alone", "flood"), strict=True)]
    result = replace(result, phases=phases)
    bound = "p99(stored quiet flood)/p99(stored quiet alone)<=3x"
    outcome = an_outcome(result, conditions=bound)
    page = texts(render_page("noisy", [outcome, outcome], STARTED))
    assert "Quiet tenants, accepted → stored" in page
    assert "2.00×" in page
    assert "quiet, flooded" in summary_text([outcome])


def test_csv_and_summary_are_left_beside_the_page(tmp_path: Path) -> None:
    """Every CSV has a header, and as many columns in every row."""
    page = write_reports(tmp_path, "steady", [an_outcome(a_full_result())], STARTED)
    assert page == tmp_path / "report.html"
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "report.html", "summary.txt", "stats.csv", "series.csv", "requests.csv", "errors.csv",
    }  # fmt: skip
    for path in tmp_path.glob("*.csv"):
        rows = list(csv.reader(path.read_text().splitlines()))
        assert len({len(row) for row in rows}) == 1, path.name
    stats = {
        row["name"]: row
        for row in csv.DictReader((tmp_path / "stats.csv").read_text().splitlines())
    }
    assert stats["acme"]["accepted"] == "100"
    assert stats["basic"]["accepted"] == "200"
    assert stats["all"]["accepted"] == "300"
    series = list(csv.DictReader((tmp_path / "series.csv").read_text().splitlines()))
    assert len(series) == 20
    assert float(series[3]["accepted_per_second"]) == 15.0


def test_a_summary_fits_a_screen() -> None:
    """Its lines are no wider than it was made for, and they are few."""
    lines = summary_text([an_outcome(a_full_result())]).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) < 40


VALUES = st.one_of(st.none(), st.floats(min_value=0, max_value=1e6))


@example([(0.0, 1.0), (1.0, 0.0), (2.0, 5.0)], True)
@given(
    st.lists(st.tuples(st.floats(min_value=0, max_value=1e5), VALUES), max_size=40), st.booleans()
)
def test_every_line_can_be_drawn(points: list[tuple[float, float | None]], log: bool) -> None:
    """Whatever was measured: the chart is well-formed and nothing is drawn outside of it."""
    points = sorted({x: (x, y) for x, y in points}.values())
    drawn = render(
        Chart("a <title>", [Line("p99", points, 1)], seconds_text, number_text, logarithmic=log)
    )
    if not drawn:
        assert not any(y is not None and (y > 0 or not log) for _, y in points)
        return
    root = ET.fromstring(drawn)
    for number in re.findall(r"[ML]([-\d.]+) ([-\d.]+)", ET.tostring(root, "unicode")):
        assert -1 <= float(number[0]) <= 721
        assert 0 <= float(number[1]) <= 237


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0, "0"), (0.0042, "4.2 ms"), (0.31, "310 ms"), (2.414, "2.41 s"), (75.2, "75 s")],
)
def test_durations_are_written_as_people_read_them(seconds: float, text: str) -> None:
    """Two or three digits, and the unit that fits."""
    assert seconds_text(seconds) == text


def test_counts_and_shares_are_written_as_people_read_them() -> None:
    """Nothing is rounded to 0 or 100 that is not."""
    assert [number_text(value) for value in (0, 37.46, 1_204, None)] == ["0", "37.5", "1,204", "—"]
    shares = [share_text(value) for value in (0.0, 0.0003, 0.042, 0.996, 1.0)]
    assert shares == ["0 %", "0.03 %", "4.2 %", "99.6 %", "100 %"]
