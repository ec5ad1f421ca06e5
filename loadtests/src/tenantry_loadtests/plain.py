"""Users and shapes for plain Locust and its web interface; see `loadtests/locustfile.py`.

Settings come from the environment alone: the command line is Locust's. The report is written when
the load stops, without accounting: that is `python -m tenantry_loadtests`'s.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import LocalRunner

from tenantry_loadtests.accounting import Accounting
from tenantry_loadtests.catalogue import Recipe, Wanted, recipe_of
from tenantry_loadtests.control import ScaleError
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.knee import Step
from tenantry_loadtests.leaving import Leavings, exceptions_of, leave
from tenantry_loadtests.measuring import Meter
from tenantry_loadtests.observing import Observation, observer_of
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.planning import make_plan
from tenantry_loadtests.process import GeneratorProcess
from tenantry_loadtests.reporting import write_reports
from tenantry_loadtests.results import IDS, RESULT, read_result
from tenantry_loadtests.running import Outcome
from tenantry_loadtests.settings import Settings, read_settings
from tenantry_loadtests.shapes import SHAPES, PhaseMark, TenantryShape
from tenantry_loadtests.target import Facts, HostTarget
from tenantry_loadtests.thresholds import judge, read_conditions
from tenantry_loadtests.users import TenantUser, user_classes

_SECOND: Final = 1.0
_NO_ACCOUNTING: Final = (
    "no accounting was made: plain Locust does not wait for what is queued;"
    " `python -m tenantry_loadtests` does"
)


class Plain:
    """A run that Locust leads; `users` and `shape` are for the locustfile to export."""

    def __init__(self, settings: Settings, *, with_shape: bool) -> None:
        if settings.host is None:
            raise UsageError("HOST and TENANTS say what is loaded: set them in the environment")
        self._settings = settings
        self._facts: Facts = HostTarget(settings).facts
        self._recipe: Recipe = recipe_of(
            settings.shape,
            Wanted(
                tenants=self._facts.tenants,
                duration=settings.duration,
                rate=settings.rate,
                users=settings.users,
                batch=settings.batch,
                flood=settings.flood,
                follows=settings.follow != 0,
                warm_up=settings.warm_up,
            ),
        )
        self._plan: Plan = make_plan(settings, self._recipe, self._facts)
        self._observations: list[Observation] = []
        self._process: GeneratorProcess | None = None
        self._meter: Meter | None = None
        self._shape: TenantryShape | None = None
        self.users: Sequence[type[TenantUser]] = user_classes(self._plan, None)
        self.shape: type[TenantryShape] | None = self._shape_class() if with_shape else None

    def listen(self) -> None:
        """Do what belongs to a run when Locust begins, starts and stops one."""
        hooks: Any = events
        hooks.init.add_listener(self._on_init)
        hooks.test_start.add_listener(self._on_start)
        hooks.test_stop.add_listener(self._on_stop)

    def _shape_class(self) -> type[TenantryShape]:
        [base] = [shape for shape in SHAPES if shape.name == self._settings.shape]
        plain = self

        def make(shape: TenantryShape) -> None:
            base.__init__(shape, plain._plan, plain._measure, _cannot_scale)
            plain._shape = shape

        return type(base.__name__, (base,), {"__init__": make, "abstract": False})

    def _measure(self, start: float, end: float, offered: float) -> Step:
        assert self._meter is not None  # noqa: S101 - since the load began
        return self._meter.measure(start, end, offered)

    def _on_init(self, environment: Environment, runner: Any, **_: Any) -> None:
        if not isinstance(runner, LocalRunner):
            sys.stderr.write("for several processes: python -m tenantry_loadtests --workers N\n")
            sys.exit(2)
        environment.stop_timeout = self._plan.request_seconds
        self._process = GeneratorProcess(self._plan, environment, worker="0")
        for users in self.users:
            users.bench = self._process.bench
        self._process.start()

    def _on_start(self, **_: Any) -> None:
        assert self._process is not None  # noqa: S101 - since Locust began
        self._process.recorder.take()
        self._observations.clear()
        self._meter = Meter(self._process.recorder, self._observations)
        self._meter.started_at = time.time()
        self._observing = gevent.spawn(self._observe)

    def _observe(self) -> None:
        observer = observer_of(self._plan)
        while True:
            self._observations.append(observer.look())
            gevent.sleep(_SECOND)

    def _on_stop(self, environment: Environment, **_: Any) -> None:
        process, meter = self._process, self._meter
        assert process is not None  # noqa: S101 - since Locust began
        assert meter is not None  # noqa: S101 - since the load began
        ended_at = time.time()
        process.follower.drain(self._plan.follow_seconds)
        self._observing.kill()
        shape = self._shape
        marks = shape.marks if shape is not None else []
        with tempfile.TemporaryDirectory(prefix="tenantry-loadtest-") as private:
            folder = Path(private)
            runner = environment.runner
            leave(
                folder,
                Leavings(
                    plan=self._plan,
                    recorder=process.recorder,
                    started_at=meter.started_at,
                    ended_at=ended_at,
                    marks=marks or [PhaseMark("load", meter.started_at, 0)],
                    observations=self._observations,
                    observing_failed={},
                    cpu={"0": process.cpu},
                    workers=0,
                    workers_lost=[],
                    steps=getattr(shape and shape.stages, "steps", []),
                    knee=getattr(shape and shape.stages, "knee", None),
                    interrupted=False,
                    failure=shape.failure if shape is not None else None,
                    exceptions=exceptions_of(runner) if runner is not None else [],
                ),
            )
            result = read_result(folder / RESULT, folder / IDS)
        conditions = read_conditions(self._settings.fail_on or "")
        judged = judge(conditions, result)
        outcome = Outcome(
            recipe=self._recipe,
            facts=self._facts,
            result=result,
            accounting=Accounting(),
            judged=judged,
            problems=[
                f"threshold: {j.condition.text} does not hold" for j in judged if not j.holds
            ],
            notes=[_NO_ACCOUNTING],
        )
        started = datetime.fromtimestamp(meter.started_at).astimezone()
        out = self._settings.out / f"{started:%Y%m%d-%H%M%S}-locust"
        out.mkdir(parents=True)
        sys.stderr.write(f"report: {write_reports(out, 'locust', [outcome], started)}\n")
        if outcome.problems:
            environment.process_exit_code = 1


def plain(environ: dict[str, str]) -> Plain:
    """What a locustfile exports; a mistake ends Locust with one line and status 2."""
    try:
        made = Plain(read_settings([], environ), with_shape=bool(environ.get("SHAPE")))
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)
    made.listen()
    return made


def _cannot_scale(consumers: int) -> None:
    raise ScaleError(f"plain Locust cannot make it {consumers} consumers")
