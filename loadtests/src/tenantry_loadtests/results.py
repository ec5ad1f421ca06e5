"""What a run came to, as the report and the thresholds ask for it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

from tenantry_loadtests.knee import Knee, Step
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.recording import (
    ACCEPTED,
    DUE,
    ERROR,
    GIVEN_UP,
    LOOKS,
    NOT_STORED,
    REFUSED,
    REQUESTS,
    SKIPPED,
    Recorder,
    Span,
)
from tenantry_loadtests.stages import WARM_UP

#: What a generator leaves in its folder.
RESULT: Final = "result.json"
IDS: Final = "ids"
#: A generator that is busier than this may be what limits the run.
BUSY_PERCENT: Final = 90.0
#: Likewise one whose loop is late by so many seconds, for five seconds: it waits for a core.
_LAG_SECONDS: Final = 0.15
_TOGETHER: Final = 5
_ID_BYTES: Final = 16


class Load(NamedTuple):
    """One second of a generator process.

    Attributes:
        at: Unix time.
        percent: Of a core.
        lag: By how much its loop was late at most, in seconds.
    """

    at: float
    percent: float
    lag: float


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase, with its beginning and end in Unix time."""

    name: str
    started_at: float
    ended_at: float
    users: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.ended_at - self.started_at


@dataclass(frozen=True)
class Result:
    """One run's figures. Times are Unix times.

    Attributes:
        accepted: Ids of accepted messages, by tenant.
        unknown: Ids of messages of which nobody was told whether they were accepted.
        observing_failed: What could not be observed, and why.
        cpu: Of each generator process.
        workers_lost: Generator processes that went away, and when.
        failure: Why the load ended before its time.
        exceptions: Bugs of the generator's users, by message.
    """

    plan: Plan
    recorder: Recorder
    started_at: float
    ended_at: float
    phases: Sequence[PhaseSpan]
    observations: Sequence[Observation]
    observing_failed: Mapping[str, str]
    cpu: Mapping[str, Sequence[Load]]
    workers: int
    workers_lost: Sequence[Mapping[str, Any]]
    steps: Sequence[Step]
    knee: Knee | None
    interrupted: bool
    failure: str | None
    exceptions: Sequence[Mapping[str, Any]]
    accepted: Mapping[str, frozenset[bytes]] = field(repr=False)
    unknown: Mapping[str, frozenset[bytes]] = field(repr=False)
    locust: str = ""

    @cached_property
    def tiers(self) -> Mapping[str, Sequence[str]]:
        """Tenants by tier, in the list's order."""
        tiers: dict[str, list[str]] = {}
        for entry in self.plan.tenants:
            tiers.setdefault(entry.tier, []).append(entry.tenant)
        return tiers

    @cached_property
    def groups(self) -> Mapping[str, Sequence[str]]:
        """Tenants by what their users do."""
        return {group.name: sorted(set(group.tenants)) for group in self.plan.groups}

    @property
    def tenants(self) -> Sequence[str]:
        """All that were sent for."""
        return sorted({tenant for tenants in self.groups.values() for tenant in tenants})

    def phase(self, name: str) -> PhaseSpan | None:
        """A phase by its name."""
        return next((phase for phase in self.phases if phase.name == name), None)

    def span(
        self, *, phases: Iterable[str] | None = None, tenants: Iterable[str] | None = None
    ) -> Span:
        """What was counted in some phases (all but the warm-up) for some tenants (all)."""
        return Span(self.recorder, self._ranges(phases), tenants)

    def seconds(self, phases: Iterable[str] | None = None) -> float:
        """How long some phases were, as their windows count; all but the warm-up."""
        windows = sum(end - first for first, end in self._ranges(phases))
        return windows * self.recorder.window_seconds

    def observed(self, phases: Iterable[str] | None = None) -> list[Observation]:
        """What was observed in some phases; in all."""
        if phases is None:
            return list(self.observations)
        wanted = set(phases)
        spans = [phase for phase in self.phases if phase.name in wanted]
        return [
            o for o in self.observations if any(p.started_at <= o.at < p.ended_at for p in spans)
        ]

    def failed(self, span: Span) -> int:
        """Messages that were due and not accepted, or followed and not stored in time."""
        return sum(span.count(name) for name in (REFUSED, GIVEN_UP, SKIPPED, NOT_STORED))

    def errors(self) -> Counter[str]:
        """What went wrong for good, by kind."""
        found = Span(self.recorder).counts_of(ERROR)
        if skipped := Span(self.recorder).count(SKIPPED):
            found["not sent: too late"] += skipped
        return found

    def following_share(self) -> float:
        """Looks for followed messages, of all requests while the load ran."""
        width = self.recorder.window_seconds
        whole = Span(self.recorder, [(0, int(self.ended_at // width) + 1)])
        return whole.count(LOOKS) / max(1, whole.count(REQUESTS))

    def achieved_share(self, span: Span) -> float:
        """Messages accepted, of those that were due."""
        return min(1.0, span.count(ACCEPTED) / max(1, span.count(DUE)))

    def busiest(self) -> float | None:
        """The busiest five seconds of any generator process, per cent of a core."""
        return max(
            (top for rows in self.cpu.values() if (top := _top([row.percent for row in rows]))),
            default=None,
        )

    def is_generator_busy(self) -> bool:
        """Whether a generator process had no CPU left, or did not get it."""
        lags = [_top([row.lag for row in rows]) or 0.0 for rows in self.cpu.values()]
        return (self.busiest() or 0.0) > BUSY_PERCENT or max(lags, default=0.0) > _LAG_SECONDS

    def _ranges(self, phases: Iterable[str] | None) -> list[tuple[int, int]]:
        wanted = None if phases is None else set(phases)
        # A window that two phases share is the later one's: what disturbs comes with it.
        width = self.recorder.window_seconds
        return [
            (int(phase.started_at // width), int(phase.ended_at // width))
            for phase in self.phases
            if (phase.name != WARM_UP if wanted is None else phase.name in wanted)
        ]


def read_result(path: Path, ids: Path) -> Result:
    """What a generator left: a file of figures and a folder of ids.

    Raises:
        OSError: It left nothing.
    """
    wire = json.loads(path.read_text("utf-8"))
    plan = Plan.from_wire(wire["plan"])
    marks = wire["phases"]
    ends = [mark["at"] for mark in marks[1:]] + [wire["ended_at"]]
    steps = wire["steps"] or []
    return Result(
        plan=plan,
        recorder=Recorder.from_wire(plan.window_seconds, wire["recorded"]),
        started_at=wire["started_at"],
        ended_at=wire["ended_at"],
        phases=[
            PhaseSpan(mark["name"], mark["at"], end, mark["users"])
            for mark, end in zip(marks, ends, strict=True)
        ],
        observations=[Observation.from_wire(row) for row in wire["observations"]],
        observing_failed=wire["observing_failed"],
        cpu={name: [Load(*row) for row in rows] for name, rows in wire["cpu"].items()},
        workers=wire["workers"],
        workers_lost=wire["workers_lost"],
        steps=[Step(**step) for step in steps],
        knee=Knee(**wire["knee"]) if wire["knee"] else None,
        interrupted=wire["interrupted"],
        failure=wire["failure"],
        exceptions=wire["exceptions"],
        accepted=_ids(ids, "accepted-"),
        unknown=_ids(ids, "unknown-"),
        locust=wire["locust"],
    )


def _ids(folder: Path, prefix: str) -> dict[str, frozenset[bytes]]:
    found = {}
    for path in folder.glob(f"{prefix}*"):
        content = path.read_bytes()
        found[path.name.removeprefix(prefix)] = frozenset(
            content[at : at + _ID_BYTES] for at in range(0, len(content), _ID_BYTES)
        )
    return found


def _top(values: Sequence[float]) -> float | None:
    """The highest mean of five values in a row: a single one is chance."""
    rows = [values[at : at + _TOGETHER] for at in range(max(1, len(values) - _TOGETHER + 1))]
    return max((sum(row) / len(row) for row in rows if row), default=None)
