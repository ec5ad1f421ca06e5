"""What a generator leaves for those who account and report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from locust import __version__ as locust_version

from tenantry_loadtests.knee import Knee, Step
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.recording import Recorder
from tenantry_loadtests.results import IDS, RESULT

if TYPE_CHECKING:
    from locust.runners import Runner

    from tenantry_loadtests.shapes import PhaseMark


@dataclass(frozen=True, slots=True, kw_only=True)
class Leavings:
    """All that `tenantry_loadtests.results.Result` is made of; times are Unix times."""

    plan: Plan
    recorder: Recorder
    started_at: float
    ended_at: float
    marks: Sequence[PhaseMark]
    observations: Sequence[Observation]
    observing_failed: Mapping[str, str]
    cpu: Mapping[str, Any]
    workers: int
    workers_lost: Sequence[Mapping[str, Any]]
    steps: Sequence[Step]
    knee: Knee | None
    interrupted: bool
    failure: str | None
    exceptions: Sequence[Mapping[str, Any]]


def leave(folder: Path, leavings: Leavings) -> None:
    """Write them: figures as JSON, ids as 16 bytes each."""
    recorded = leavings.recorder.to_wire()
    ids = folder / IDS
    ids.mkdir()
    for name in ("accepted", "unknown"):
        for tenant, content in recorded.pop(name).items():
            (ids / f"{name}-{tenant}").write_bytes(content)
    result = {
        "plan": leavings.plan.to_wire(),
        "recorded": recorded,
        "started_at": leavings.started_at,
        "ended_at": leavings.ended_at,
        "phases": [asdict(mark) for mark in leavings.marks],
        "observations": [observation.to_wire() for observation in leavings.observations],
        "observing_failed": leavings.observing_failed,
        "cpu": leavings.cpu,
        "workers": leavings.workers,
        "workers_lost": leavings.workers_lost,
        "steps": [asdict(step) for step in leavings.steps],
        "knee": asdict(leavings.knee) if leavings.knee is not None else None,
        "interrupted": leavings.interrupted,
        "failure": leavings.failure,
        "exceptions": leavings.exceptions,
        "locust": locust_version,
    }
    (folder / RESULT).write_text(json.dumps(result), "utf-8")


def exceptions_of(runner: Runner) -> list[dict[str, Any]]:
    """What users raised: bugs of theirs, by message."""
    return [{"message": row["msg"], "count": row["count"]} for row in runner.exceptions.values()]
