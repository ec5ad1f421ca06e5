from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.loadtests import START, a_plan, a_result, recorded
from tenantry_loadtests.catalogue import SHAPES, Wanted, laptop_tenants, recipe_of
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.noisy import laptop_recipes
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.plan import Group
from tenantry_loadtests.recording import (
    DUE,
    GIVEN_UP,
    LOOKS,
    NOT_STORED,
    REFUSED,
    REQUESTS,
    SKIPPED,
)
from tenantry_loadtests.results import Result
from tenantry_loadtests.thresholds import Judged, judge, parse, read_conditions


def judged(text: str, result: Result) -> Judged:
    [one] = judge([parse(text)], result)
    return one


def seen(at: float, **values: float) -> Observation:
    return Observation(at=START + at, **values)  # type: ignore[arg-type]


RESULT = a_result(
    recorded(
        {
            (1, "accepted", "acme"): [0.1] * 99 + [2.0],
            (1, "accepted", "umbrella"): [0.01] * 200,
            (11, "accepted", "acme"): [0.5] * 100,
            (1, "stored", "acme"): [1.0] * 100,
            (11, "stored", "acme"): [1.5] * 100,
        }
    ),
    phases=[("alone", 10.0), ("flood", 10.0)],
    observations=[
        seen(1, depth=10, age=0.5, stored=100),
        seen(9, depth=26, age=4.0, stored=900),
        seen(11, depth=30, age=1.0, stored=1_000),
        seen(19, depth=430, age=9.0, stored=3_000),
    ],
)


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("p50(accepted alone acme)<100ms", 0.1, False),
        ("p50(accepted alone acme)<=101ms", 0.1, True),
        ("max(accepted)<2.1s", 2.0, True),
        ("mean(accepted umbrella)<20ms", 0.01, True),
        ("p99(accepted, premium)<50ms", 0.01, True),
        ("p50(accepted basic flood)>0.4s", 0.5, True),
        ("p99(stored flood)/p99(stored alone)<=1.6x", 1.5, True),
        ("p99(stored flood)/p99(stored alone)<=1.4", 1.5, False),
        ("rate(accepted)>=19/s", 20.0, True),
        ("rate(accepted flood)<11", 10.0, True),
        ("rate(stored flood)>249/s", 250.0, True),
        ("rate(stored flood)/rate(stored alone)>=2x", 2.5, True),
        ("growth(flood)>=50/s", 50.0, True),
        ("depth<400", 430.0, False),
        ("age(alone)<5s", 4.0, True),
        ("achieved>=100%", 1.0, True),
        ("errors<1%", 0.0, True),
        ("generator<50%", 0.1, True),
    ],
)
def test_a_figure_is_what_was_measured(text: str, value: float, holds: bool) -> None:
    """Of the tenants, tiers and phases that it names, and of all if it names none."""
    one = judged(text, RESULT)
    assert one.value == pytest.approx(value, rel=0.011)
    assert one.holds is holds


@pytest.mark.parametrize(
    "text",
    [
        "p99(batch)<1s",
        "p99(accepted nobody)<1s",
        "p99(accepted hooli)<1h".replace("1h", "1m"),
        "errors(spike)<1%",
        "recovery<60s",
        "p99(stored umbrella)/p99(stored acme)<2x",
    ],
)
def test_what_was_not_measured_does_not_hold(text: str) -> None:
    """A run in which nobody looked is no proof, and the note says so."""
    one = judged(text, RESULT)
    assert one.value is None
    assert not one.holds
    assert one.note


def test_what_was_not_observed_does_not_hold() -> None:
    """Queues that nobody could ask have no small depth."""
    for text in ("depth<1000", "age<60s", "growth<1/s", "rate(stored)>0/s"):
        one = judged(text, a_result())
        assert not one.holds
        assert one.note == "not observed"


def test_errors_are_all_that_was_due_and_did_not_arrive() -> None:
    """Refused, given up, not sent in time, and followed but not stored."""
    recorder = recorded({(1, "accepted", "acme"): [0.1] * 90})
    for name in (REFUSED, GIVEN_UP, SKIPPED):
        recorder.count(name, "acme", START + 1, 2)
        recorder.count(DUE, "acme", START + 1, 2)
    recorder.count(DUE, "acme", START + 1, 4)
    recorder.count(NOT_STORED, "acme", START + 1, 1)
    one = judged("errors<=7%", a_result(recorder))
    assert one.value == pytest.approx(0.07)
    assert one.holds


def test_following_is_counted_while_the_load_ran() -> None:
    """Looks after the end are in nobody's way."""
    recorder = recorded({})
    recorder.count(REQUESTS, "acme", START + 1, 100)
    recorder.count(LOOKS, "acme", START + 1, 4)
    recorder.count(REQUESTS, "acme", START + 60, 50)
    recorder.count(LOOKS, "acme", START + 60, 50)
    assert judged("following<5%", a_result(recorder)).value == pytest.approx(0.04)


def test_a_percentile_of_too_few_says_so() -> None:
    """The 99th of fifty durations is the longest."""
    result = a_result(recorded({(1, "stored", "acme"): [0.1] * 50}))
    assert "too few" in judged("p99(stored)<1s", result).note
    assert "too few" not in judged("p90(stored)<1s", result).note


def test_recovery_is_the_time_until_the_queue_is_as_before() -> None:
    """From the end of the spike to the first look with a usual depth."""
    result = a_result(
        phases=[("before", 10.0), ("spike", 10.0), ("after", 20.0)],
        observations=[
            seen(5, depth=20),
            seen(18, depth=900),
            seen(21, depth=400),
            seen(27, depth=45),
        ],
    )
    assert judged("recovery<10s", result).value == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("p99(accepted)", "not understood"),
        ("p99(accepted)<", "not understood"),
        ("p99<1s", "p99 is of one of"),
        ("p99(acepted)<1s", "p99 is of one of"),
        ("p100(accepted)<1s", "no such figure"),
        ("latency<1s", "no such figure"),
        ("p99(accepted)<5%", "the bound is a seconds"),
        ("p99(accepted)<500", "the bound is a seconds"),
        ("errors<5s", "the bound is a share"),
        ("p99(accepted)<5parsecs", "no such unit"),
        ("p99(accepted)/errors<2x", "divides unlike figures"),
        ("p99(accepted)/p99(stored)<2s", "the bound is a ratio"),
        ("p99(accepted)<-5s", "not understood"),
        ("p99(accepted))<5s", "not understood"),
    ],
)
def test_a_condition_that_is_wrong_is_told_with_its_text(text: str, what: str) -> None:
    """Before the run, not after it."""
    with pytest.raises(UsageError, match=what) as caught:
        read_conditions(text)
    assert text in str(caught.value)


@given(st.text(max_size=40))
def test_no_text_breaks_the_reader(text: str) -> None:
    """It is understood or refused."""
    with suppress(UsageError):
        read_conditions(text)


def test_conditions_are_split_outside_of_parentheses() -> None:
    """Commas, semicolons and line ends; a comma in parentheses parts words."""
    found = read_conditions("p99(accepted, acme)<1s, errors<1%;achieved>=99%\ndepth<5")
    assert [one.text for one in found] == [
        "p99(accepted, acme)<1s",
        "errors<1%",
        "achieved>=99%",
        "depth<5",
    ]
    assert found[0].figure.of == ("accepted", "acme")


def test_conditions_may_be_in_a_file(tmp_path: Path) -> None:
    """TOML with a list; a file that is none is told in one line."""
    path = tmp_path / "limits.toml"
    path.write_text('fail_on = ["p99(accepted)<1s", "errors<1%"]\n')
    assert len(read_conditions(str(path))) == 2
    path.write_text("fail_on = 7\n")
    with pytest.raises(UsageError, match="wanted fail_on"):
        read_conditions(str(path))
    with pytest.raises(UsageError, match="No such file"):
        read_conditions(str(tmp_path / "missing.toml"))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("follows", [True, False])
def test_every_shape_has_conditions_that_are_understood(shape: str, follows: bool) -> None:
    """Its own, without those on followed messages if none are."""
    wanted = Wanted(laptop_tenants(shape), None, None, None, 0.3, "megacorp", follows)
    recipes = laptop_recipes(wanted) if shape == "noisy" else [recipe_of(shape, wanted)]
    for recipe in recipes:
        conditions = read_conditions(recipe.conditions)
        assert conditions or not follows  # a ramp without them has nothing that must hold
        if not follows and shape != "noisy":
            assert not any(
                "stored" in one.figure.of[:1] and one.figure.name[0] == "p" for one in conditions
            )


def test_groups_can_be_named() -> None:
    """What users do sets tenants apart, as in a noisy neighbour."""
    plan = a_plan(
        groups=(
            Group("quiet", ("acme", "globex"), 2, 1.0, True, 0.0),
            Group("flooding", ("umbrella",), 0, 1.0, False, 0.0),
        )
    )
    result = a_result(
        recorded({(1, "stored", "acme"): [1.0], (1, "stored", "umbrella"): [9.0]}), plan=plan
    )
    assert judged("max(stored quiet)<2s", result).holds
    assert not judged("max(stored flooding)<2s", result).holds
