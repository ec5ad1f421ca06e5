"""The shapes as Locust knows them: `LoadTestShape`s around the stages of a plan."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from locust import LoadTestShape

from tenantry_loadtests.control import ScaleError
from tenantry_loadtests.knee import Step
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.stages import Phases, Ramp, Stages, Tick

log = logging.getLogger(__name__)

Measure = Callable[[float, float, float], Step]
Scale = Callable[[int], object]


@dataclass(slots=True)
class PhaseMark:
    """When a phase began (Unix time), and the users that it wanted."""

    name: str
    at: float
    users: int


class TenantryShape(LoadTestShape):
    """A plan's stages, and when each phase began."""

    abstract = True
    name: ClassVar[str]

    def __init__(self, plan: Plan, measure: Measure, scale: Scale) -> None:
        self.start_time = time.perf_counter()
        self.stages = self.make(plan, measure)
        self.marks: list[PhaseMark] = []
        self.ended_at: float | None = None
        #: Why the shape ended before its time.
        self.failure: str | None = None
        self._scale = scale
        self._consumers: int | None = None
        self._paused = 0.0

    def make(self, plan: Plan, measure: Measure) -> Stages:  # noqa: ARG002 - a ramp measures
        """The stages."""
        return Phases(plan.phases)

    def reset_time(self) -> None:
        """Locust starts the clock."""
        self.start_time = time.perf_counter()
        self._paused = 0.0

    def tick(self) -> tuple[int, float] | None:
        """Locust asks each second; None ends the load."""
        wanted = self.stages.tick(time.perf_counter() - self.start_time - self._paused)
        if wanted is None or not self._has_consumers(wanted):
            self.ended_at = time.time()
            return None
        if not self.marks or self.marks[-1].name != wanted.phase:
            self.marks.append(PhaseMark(wanted.phase, time.time(), wanted.users))
        # All that is wanted at once: a spike that takes a minute to come is none.
        return wanted.users, float(max(1, wanted.users))

    def _has_consumers(self, wanted: Tick) -> bool:
        if wanted.consumers is None or wanted.consumers == self._consumers:
            return True
        started = time.perf_counter()
        try:
            self._scale(wanted.consumers)
        except ScaleError as error:
            self.failure = str(error)
            return False
        self._consumers = wanted.consumers
        self._paused += time.perf_counter() - started
        return True


class SteadyShape(TenantryShape):
    """One rate, for a while."""

    name = "steady"


class RampShape(TenantryShape):
    """Upwards until throughput stops rising while messages wait longer."""

    name = "ramp"

    def make(self, plan: Plan, measure: Measure) -> Stages:
        """Steps that are measured as they end."""
        ramp = plan.ramp
        assert ramp is not None  # noqa: S101 - as every plan of this shape has
        return Ramp(
            first=ramp.first,
            growth=ramp.growth,
            step_seconds=ramp.step_seconds,
            measure=measure,
            most=ramp.most,
            rate=plan.groups[0].rate,
            warm_up_seconds=ramp.warm_up_seconds,
        )


class SpikeShape(TenantryShape):
    """A steady rate, many times as much for a while, and the recovery."""

    name = "spike"


class SoakShape(TenantryShape):
    """One rate, for long: what drifts?"""

    name = "soak"


class NoisyShape(TenantryShape):
    """Quiet tenants alone, and then beside one that floods."""

    name = "noisy"


class TiersShape(TenantryShape):
    """The same rate for a tenant of each tier."""

    name = "tiers"


class ScaleOutShape(TenantryShape):
    """More than one consumer stores, with 1, 2 and 4 of them."""

    name = "scale-out"


SHAPES: Sequence[type[TenantryShape]] = (
    SteadyShape,
    RampShape,
    SpikeShape,
    SoakShape,
    NoisyShape,
    TiersShape,
    ScaleOutShape,
)


def shape_of(plan: Plan, measure: Measure, scale: Scale) -> TenantryShape:
    """The shape that a plan names."""
    [found] = [shape for shape in SHAPES if shape.name == plan.shape]
    return found(plan, measure, scale)
