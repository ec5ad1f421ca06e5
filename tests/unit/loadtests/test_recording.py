from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes.loadtests import START, a_plan, a_result, some_ids
from tenantry_loadtests.measuring import Meter
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.plan import Aws, Plan, RampPlan
from tenantry_loadtests.planning import requests_per_second
from tenantry_loadtests.recording import ACCEPTED, DUE, Recorder, Span
from tenantry_loadtests.results import Load
from tenantry_loadtests.tenants import TenantEntry

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["accepted", "stored", "post"]),
        st.sampled_from(["acme", "globex"]),
        st.floats(min_value=0, max_value=30),
        st.floats(min_value=0.001, max_value=60),
    ),
    max_size=30,
)


@given(EVENTS, EVENTS)
def test_workers_reports_add_up(
    first: list[tuple[str, str, float, float]], second: list[tuple[str, str, float, float]]
) -> None:
    """Whatever is taken when, the master has what one process would have counted."""
    alone, worker, master = Recorder(1.0), Recorder(1.0), Recorder(1.0)
    for events in (first, second):
        for kind, tenant, at, seconds in events:
            for recorder in (alone, worker):
                recorder.duration(kind, tenant, START + at, seconds)  # type: ignore[arg-type]
                recorder.count(kind, tenant, START + at, 2)
                recorder.accepted[tenant] += b"0123456789abcdef"
        wire = worker.take()
        # As JSON would carry it, but for the ids.
        carried = json.loads(json.dumps({k: wire[k] for k in ("durations", "counts")}))
        master.merge(wire | carried)
    assert worker.to_wire()["counts"] == []
    assert master.counts == alone.counts
    assert master.accepted == alone.accepted
    for cell, histogram in alone.durations.items():
        assert master.durations[cell].counts == histogram.counts


def test_a_window_that_two_phases_share_is_the_later_ones() -> None:
    """What disturbs comes with the later one: the earlier stays undisturbed."""
    recorder = Recorder(1.0)
    for at in (9.2, 9.9, 10.4, 10.6):
        recorder.count(DUE, "acme", START + at)
    result = a_result(recorder, phases=[("alone", 10.5), ("flood", 9.5)])
    assert result.span(phases=["alone"]).count(DUE) == 2
    assert result.span(phases=["flood"]).count(DUE) == 2
    assert result.seconds(["alone"]) == 10
    assert result.seconds(["flood"]) == 10


def test_the_warm_up_is_in_no_figure() -> None:
    """Unless it is asked for by its name."""
    recorder = Recorder(1.0)
    recorder.count(DUE, "acme", START + 1, 100)
    recorder.count(DUE, "acme", START + 7, 10)
    result = a_result(recorder, phases=[("warm-up", 5.0), ("steady", 5.0)])
    assert result.span().count(DUE) == 10
    assert result.span(phases=["warm-up"]).count(DUE) == 100
    assert Span(recorder).count(DUE) == 110


def test_a_step_is_measured_over_whole_windows() -> None:
    """Rates are of as many seconds as were counted; stored is what was observed."""
    recorder = Recorder(1.0)
    for second in range(20):
        recorder.count(DUE, "acme", START + second + 0.5, 100)
        recorder.count(ACCEPTED, "acme", START + second + 0.5, 90)
    seen = [Observation(START + s, depth=10 * s, age=s / 10, stored=80.0 * s) for s in range(20)]
    meter = Meter(recorder, seen)
    meter.started_at = START
    step = meter.measure(7.67, 13.0, 100.0)
    assert step.offered == 100.0
    assert step.throughput == pytest.approx(80)
    assert step.backlog == pytest.approx(10)
    assert step.age == pytest.approx(1.3)


def test_without_observations_throughput_is_what_was_accepted() -> None:
    """Nothing is guessed."""
    recorder = Recorder(1.0)
    for second in range(20):
        recorder.count(ACCEPTED, "acme", START + second + 0.5, 10)
    meter = Meter(recorder, [])
    meter.started_at = START
    step = meter.measure(7.67, 13.0, 10.0)
    assert step.throughput == pytest.approx(10)
    assert (step.age, step.backlog) == (None, None)


def test_a_generator_is_busy_for_five_seconds_or_not_at_all() -> None:
    """One second is chance; a loop that waits for a core counts like one that has none left."""
    quiet = [Load(START + n, 20.0, 0.01) for n in range(20)]
    assert not a_result(cpu={"0": quiet}).is_generator_busy()
    assert not a_result(cpu={"0": [*quiet, Load(START, 100.0, 0.01)]}).is_generator_busy()
    busy = [Load(START + n, 95.0, 0.01) for n in range(5)]
    assert a_result(cpu={"0": [*quiet, *busy]}).is_generator_busy()
    late = [Load(START + n, 30.0, 0.4) for n in range(5)]
    assert a_result(cpu={"0": quiet, "1": [*quiet, *late]}).is_generator_busy()


def test_a_plan_goes_to_workers_without_secrets(tmp_path: Path) -> None:
    """Over the wire no token's place and no credentials; in the private file both."""
    entry = TenantEntry(tenant="acme", token_file="/secret/acme", token_command=("vault", "read"))
    plan = a_plan(
        tenants=(entry,),
        aws=Aws("eu-west-1", "http://engine", "key", "very-secret"),
        ramp=RampPlan(10, 1.35, 8.0, 800),
    )
    wire = json.dumps(plan.to_wire())
    for secret in ("/secret/acme", "vault", "very-secret"):
        assert secret not in wire
    theirs = Plan.from_wire(json.loads(wire))
    assert theirs.with_tokens_of((entry,)).tenants == (entry,)
    path = tmp_path / "plan.json"
    plan.write(path)
    assert path.stat().st_mode & 0o077 == 0
    assert Plan.read(path) == plan


def test_requests_are_fewer_than_messages_by_batches() -> None:
    """What following's budget is reckoned from."""
    [group] = a_plan().groups
    assert requests_per_second(group, 10, users=30) == pytest.approx(30)
    half = replace(group, batch_share=0.5)
    assert requests_per_second(half, 10, users=30) == pytest.approx(16.5)


def test_ids_of_tenants_are_apart() -> None:
    """Each tenant's are sixteen bytes each, in a row."""
    recorder = Recorder(1.0)
    for one in sorted(some_ids(3)):
        recorder.accepted["acme"] += one
    assert len(recorder.to_wire()["accepted"]["acme"]) == 48
