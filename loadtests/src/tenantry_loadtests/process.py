"""What every generator process has: a recorder, users, and somebody who follows."""

from __future__ import annotations

import time
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
import psutil
from locust.env import Environment

from tenantry_loadtests.follower import Follower
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.recording import Recorder
from tenantry_loadtests.users import Tokens, Workbench, follow_session, messages_of
from tenantry_loadtests.wire import Wire

_SECOND: Final = 1.0
_LAG_STEP: Final = 0.05


class GeneratorProcess:
    """The part of a run that one process does."""

    def __init__(self, plan: Plan, environment: Environment, worker: str) -> None:
        self.plan = plan
        self.environment = environment
        self.recorder = Recorder(plan.window_seconds)
        #: Unix time, per cent of a core, and by how much the loop was late.
        self.cpu: list[tuple[float, float, float]] = []
        self._tokens = tokens = Tokens(plan)
        self.follower = Follower(
            environment=environment,
            plan=plan,
            recorder=self.recorder,
            wire=Wire(follow_session(environment, plan)),
            tokens=tokens,
        )
        #: What its users share.
        self.bench = Workbench(
            plan=plan,
            recorder=self.recorder,
            follower=self.follower,
            messages=messages_of(plan),
            tokens=tokens,
            worker=worker,
            index=lambda: max(0, getattr(environment.runner, "worker_index", 0)),
            is_stopping=self._is_stopping,
        )

    def _is_stopping(self) -> bool:
        runner = self.environment.runner
        return runner is not None and runner.state in {"cleanup", "stopping", "stopped"}

    def start(self) -> None:
        """Start what goes on beside the users."""
        self._tokens.fetch()
        gevent.spawn(self.follower.run)
        gevent.spawn(self._watch_cpu)

    def _watch_cpu(self) -> None:
        process = psutil.Process()
        process.cpu_percent()
        while True:
            lag = 0.0
            until = time.monotonic() + _SECOND
            while (now := time.monotonic()) < until:
                gevent.sleep(_LAG_STEP)
                lag = max(lag, time.monotonic() - now - _LAG_STEP)
            self.cpu.append((time.time(), process.cpu_percent(), lag))

    def report(self) -> dict[str, Any]:
        """For the master: what is new."""
        if self._is_stopping():
            self.follower.finish()
        cpu, self.cpu = self.cpu, []
        return {"new": self.recorder.take(), "following": len(self.follower), "cpu": cpu}
