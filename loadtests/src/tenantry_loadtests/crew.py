"""The workers of a distributed run, as the master sees them: who came, who was lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from locust.env import Environment
from locust.rpc import Message
from locust.runners import MasterRunner

from tenantry_loadtests.plan import Plan
from tenantry_loadtests.recording import Recorder

#: Where a worker's report is in what Locust sends.
REPORT: Final = "tenantry"
#: A worker asks for the plan, gets it, and says that it is prepared.
WANTS_PLAN: Final = "tenantry-wants-plan"
PLAN: Final = "tenantry-plan"
HAS_PLAN: Final = "tenantry-has-plan"

_WAIT_SECONDS: Final = 120.0
_SECOND: Final = 1.0


class WorkersMissingError(Exception):
    """Fewer workers came than the run wants."""


class Crew:
    """Sends workers the plan, and adds up what they count."""

    def __init__(self, plan: Plan, environment: Environment, runner: MasterRunner) -> None:
        self.recorder = Recorder(plan.window_seconds)
        self.cpu: dict[str, list[tuple[float, float, float]]] = {}
        #: Workers that went away while the load ran: name, Unix time, and what was seen last.
        self.lost: list[dict[str, Any]] = []
        self.known = 0
        self._plan = plan
        self._runner = runner
        self._following: dict[str, int] = {}
        self._names: dict[str, str] = {}
        runner.register_message(WANTS_PLAN, self._on_wants_plan)
        runner.register_message(HAS_PLAN, self._on_has_plan)
        events: Any = environment.events
        events.worker_report.add_listener(self._on_report)

    def wait_for_workers(self, is_stopping: Callable[[], bool]) -> None:
        """Wait until all are there.

        Raises:
            WorkersMissingError: They are not, in time.
        """
        until = time.monotonic() + _WAIT_SECONDS
        while (here := self.known) < self._plan.workers:
            if time.monotonic() > until or is_stopping():
                msg = f"{here} of {self._plan.workers} workers came within {_WAIT_SECONDS:g} s"
                raise WorkersMissingError(msg)
            gevent.sleep(0.1)

    def watch(self, is_over: Callable[[], bool]) -> None:
        """Note who goes missing while the load runs: in the end all leave and come again."""
        seen: set[str] = {client.id for client in self._runner.clients.ready}
        lost: set[str] = set()
        while not is_over():
            clients = self._runner.clients
            here = {client.id for client in clients.all if client.state != "missing"}
            seen |= here
            for client_id in (seen - here) - lost:
                lost.add(client_id)
                self.lost.append({"worker": self._name(client_id), "at": time.time()})
            gevent.sleep(_SECOND)

    def drain(self, seconds: float) -> None:
        """Wait until no worker that is left follows anything."""
        until = time.monotonic() + seconds + 2 * _SECOND
        # A report that left before the users stopped says nothing of what they did last.
        gevent.sleep(2 * _SECOND)
        while time.monotonic() < until:
            lost = {row["worker"] for row in self.lost}
            here = (n for client, n in self._following.items() if self._name(client) not in lost)
            if not sum(here):
                return
            gevent.sleep(_SECOND / 4)

    def _on_wants_plan(self, msg: Message, **_: Any) -> None:
        self._runner.send_message(PLAN, self._plan.to_wire(), msg.node_id)

    def _on_has_plan(self, msg: Message, **_: Any) -> None:
        self._name(msg.node_id)
        self.known = len(self._names)

    def _on_report(self, client_id: str, data: dict[str, Any], **_: Any) -> None:
        report = data.get(REPORT)
        if report is None:
            return
        self.recorder.merge(report["new"])
        self._following[client_id] = report["following"]
        for at, percent, lag in report["cpu"]:
            self.cpu.setdefault(self._name(client_id), []).append((at, percent, lag))

    def _name(self, client_id: str) -> str:
        return self._names.setdefault(client_id, f"worker {len(self._names) + 1}")
