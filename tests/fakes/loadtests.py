"""Plans, results and clocks of load tests, as small as a test needs them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tenantry_loadtests.clock import Clock
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.plan import Group, Plan
from tenantry_loadtests.recording import ACCEPTED, DUE, Recorder
from tenantry_loadtests.results import Load, PhaseSpan, Result
from tenantry_loadtests.stages import Phase
from tenantry_loadtests.tenants import TenantEntry

START = 1_700_000_000.0


@dataclass(slots=True)
class FakeTime:
    """A monotonic and a wall clock that move together; sleeping moves them."""

    now: float = 500.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> Clock:
        """As the sender takes it."""
        return Clock(lambda: self.now, lambda: START + self.now, self.sleep)

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.slept.append(seconds)
        self.now += seconds


def some_ids(count: int, name: str = "id") -> frozenset[bytes]:
    """So many ids, the same for the same name."""
    return frozenset(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}-{n}").bytes for n in range(count))


def a_plan(**changes: Any) -> Plan:
    """A plan of two basic tenants and one premium one."""
    plan = Plan(
        run="run",
        shape="steady",
        seed=1,
        tenants=tuple(
            TenantEntry(tenant=tenant, tier=tier, token_file=f"token-{tenant}")
            for tenant, tier in (("acme", "basic"), ("globex", "basic"), ("umbrella", "premium"))
        ),
        groups=(Group("all", ("acme", "globex", "umbrella"), 0, 1.0, False, 0.0),),
        phases=(Phase("steady", 10.0, 3),),
        ramp=None,
        window_seconds=1.0,
        arrivals="constant",
        batch_size=10,
        sizes="256",
        types="a",
        events=None,
        follow_rate=1.0,
        follow_seconds=60.0,
        request_seconds=15.0,
        give_up_seconds=30.0,
        insecure=False,
        metrics_urls=(),
        aws=None,
        pids=(),
        workers=0,
        bind=("*", 5557),
    )
    return replace(plan, **changes)


def a_result(
    recorder: Recorder | None = None,
    *,
    phases: Sequence[tuple[str, float]] = (("steady", 10.0),),
    observations: Sequence[Observation] = (),
    plan: Plan | None = None,
    **changes: Any,
) -> Result:
    """A result: of what was recorded from `START` on, with phases of so many seconds."""
    plan = plan or a_plan()
    spans = []
    at = START
    for name, seconds in phases:
        spans.append(PhaseSpan(name, at, at + seconds, 3))
        at += seconds
    result = Result(
        plan=plan,
        recorder=recorder or Recorder(plan.window_seconds),
        started_at=START,
        ended_at=at,
        phases=spans,
        observations=observations,
        observing_failed={},
        cpu={"0": [Load(START + n, 10.0, 0.001) for n in range(10)]},
        workers=0,
        workers_lost=[],
        steps=[],
        knee=None,
        interrupted=False,
        failure=None,
        exceptions=[],
        accepted={},
        unknown={},
        locust="2",
    )
    return replace(result, **changes)


def recorded(durations: Mapping[tuple[float, str, str], Sequence[float]]) -> Recorder:
    """A recorder with durations by instant after `START`, kind and tenant; all were accepted."""
    recorder = Recorder(1.0)
    for (at, kind, tenant), values in durations.items():
        for seconds in values:
            recorder.duration(kind, tenant, START + at, seconds)  # type: ignore[arg-type]
            if kind == "accepted":
                recorder.count(DUE, tenant, START + at)
                recorder.count(ACCEPTED, tenant, START + at)
    return recorder
