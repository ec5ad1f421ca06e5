"""The process that leads a run: its shape, what is observed, and what is left in the end."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from gevent.event import Event  # type: ignore[import-untyped]
from locust.env import Environment
from locust.runners import MasterRunner, Runner

from tenantry_loadtests.control import Control
from tenantry_loadtests.crew import Crew, WorkersMissingError
from tenantry_loadtests.leaving import Leavings, exceptions_of, leave
from tenantry_loadtests.measuring import Meter
from tenantry_loadtests.observing import Observation, Observer, observer_of
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.process import GeneratorProcess
from tenantry_loadtests.shapes import TenantryShape, shape_of
from tenantry_loadtests.users import user_classes

log = logging.getLogger(__name__)

_SECOND: Final = 1.0


class Lead:
    """The process that leads a run: alone, or as the master of workers."""

    def __init__(self, plan: Plan, out: Path, environment: Environment, runner: Runner) -> None:
        self._plan = plan
        self._out = out
        self._environment = environment
        self._runner = runner
        self._control = Control(on_gone=self._gone)
        self._observer: Observer = observer_of(plan)
        self._observations: list[Observation] = []
        self._interrupted = False
        self._phase = ""
        self._ended_at = time.time()
        self._stopping = Event()
        self.process: GeneratorProcess | None = None
        self.crew: Crew | None = None
        if isinstance(runner, MasterRunner):
            self.crew = Crew(plan, environment, runner)
            environment.user_classes[:] = user_classes(plan, None)
            self._recorder = self.crew.recorder
        else:
            self.process = GeneratorProcess(plan, environment, worker="0")
            self._recorder = self.process.recorder
            environment.user_classes[:] = user_classes(plan, self.process.bench)
        self._meter = Meter(self._recorder, self._observations)
        self.shape: TenantryShape = shape_of(plan, self._meter.measure, self._scale)
        self.shape.runner = runner
        environment.shape_class = self.shape

    def lead(self) -> None:
        """Run the shape, let what is followed arrive, and leave what was counted."""
        for number in (signal.SIGTERM, signal.SIGINT):
            gevent.signal_handler(number, self._interrupt)
        gevent.spawn(self._control.listen)
        if self.process is not None:
            self.process.start()
        failure = None
        try:
            if self.crew is not None:
                self._control.say(waiting=self._plan.workers, bind=self._plan.bind[1])
                self.crew.wait_for_workers(self._stopping.is_set)
        except WorkersMissingError as error:
            failure = str(error)
        else:
            self._run_load()
        self._write(failure)
        self._runner.quit()

    def _run_load(self) -> None:
        gevent.spawn(self._observe)
        gevent.spawn(self._tell)
        self._meter.started_at = time.time()
        self._runner.start_shape()
        if self.crew is not None:
            gevent.spawn(self.crew.watch, self._is_over)
        shape_greenlet = self._runner.shape_greenlet
        if shape_greenlet is not None:
            shape_greenlet.join()
        self._ended_at = time.time()
        self._runner.stop()  # nothing, if the shape or a signal did
        self._phase = "following"
        seconds = 1.0 if self._interrupted else self._plan.follow_seconds
        if self.process is not None:
            self.process.follower.drain(seconds)
        elif self.crew is not None:
            self.crew.drain(seconds)

    def _is_over(self) -> bool:
        return self._interrupted or self.shape.ended_at is not None

    def _scale(self, consumers: int) -> None:
        urls = self._control.scale(consumers)
        if urls:
            self._observer.metrics_urls[:] = urls

    def _observe(self) -> None:
        while True:
            self._observations.append(self._observer.look())
            gevent.sleep(_SECOND)

    def _tell(self) -> None:
        while True:
            gevent.sleep(_SECOND)
            marks = self.shape.marks
            self._control.say(
                **self._meter.progress(time.time()),
                phase=self._phase or (marks[-1].name if marks else ""),
                users=self._runner.user_count,
                workers_lost=len(self.crew.lost) if self.crew is not None else 0,
            )

    def _interrupt(self) -> None:
        if not self._interrupted:
            self._interrupted = True
            self._stopping.set()
            gevent.spawn(self._runner.stop)

    def _gone(self) -> None:
        log.warning("the run that started this generator is gone")
        self._interrupt()

    def _write(self, failure: str | None) -> None:
        crew, stages = self.crew, self.shape.stages
        cpu: Mapping[str, Any] = crew.cpu if crew is not None else {}
        if self.process is not None:
            cpu = {"0": self.process.cpu}
        leave(
            self._out,
            Leavings(
                plan=self._plan,
                recorder=self._recorder,
                started_at=self._meter.started_at,
                ended_at=self.shape.ended_at or self._ended_at,
                marks=self.shape.marks,
                observations=self._observations,
                observing_failed=self._observer.failures,
                cpu=cpu,
                workers=crew.known if crew is not None else 0,
                workers_lost=crew.lost if crew is not None else [],
                steps=getattr(stages, "steps", []),
                knee=getattr(stages, "knee", None),
                interrupted=self._interrupted,
                failure=failure or self.shape.failure,
                exceptions=exceptions_of(self._runner),
            ),
        )
