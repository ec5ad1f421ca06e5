"""The shapes of a load as plain values: how many users when, and what the time is called.

`shapes.py` hands these to Locust; here nothing knows it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from tenantry_loadtests.knee import Knee, Step, find_knee

#: The phase that no figure counts: connections open, caches fill.
WARM_UP: Final = "warm-up"


@dataclass(frozen=True, slots=True)
class Tick:
    """What is wanted now.

    Attributes:
        users: In all; those of a fixed group are the first of them.
        phase: What this time is called in the report.
        consumers: How many consumers there are to be; None: as many as there are.
    """

    users: int
    phase: str
    consumers: int | None = None


class Stages(Protocol):
    """A shape."""

    def tick(self, elapsed: float) -> Tick | None:
        """What is wanted so many seconds after the start; None: the load is over."""
        ...


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time with one number of users."""

    name: str
    seconds: float
    users: int
    consumers: int | None = None


@dataclass(frozen=True, slots=True)
class Phases:
    """One phase after the other: steady, spike, soak, tiers, noisy, scale-out."""

    phases: Sequence[Phase]

    def tick(self, elapsed: float) -> Tick | None:
        """The phase of this instant."""
        for phase in self.phases:
            if elapsed < phase.seconds:
                return Tick(phase.users, phase.name, phase.consumers)
            elapsed -= phase.seconds
        return None


@dataclass(slots=True)
class Ramp:
    """Steps upwards until the knee is found, or the most is reached.

    Attributes:
        first: Users of the first step.
        growth: How many times the users of a step are those of the one before.
        step_seconds: How long a step lasts; its first third is not measured.
        measure: What a stretch of time, in seconds after the start, came to, of an offer of so
            many messages a second.
        rate: Messages a second of one user.
        most: Users that are never exceeded.
        steps: What was measured so far.
        knee: Where it was found.
    """

    first: int
    growth: float
    step_seconds: float
    measure: Callable[[float, float, float], Step]
    most: int
    rate: float
    warm_up_seconds: float = 5.0
    steps: list[Step] = field(default_factory=list)
    knee: Knee | None = None

    def tick(self, elapsed: float) -> Tick | None:
        """The step of this instant; those that ended are measured on the way."""
        elapsed -= self.warm_up_seconds
        if elapsed < 0:
            return Tick(self.first, WARM_UP)
        number = int(elapsed // self.step_seconds)
        while len(self.steps) < number and self.knee is None:
            self._finish_step(len(self.steps))
        users = self._users(number)
        if self.knee is not None or (number and users == self._users(number - 1)):
            return None
        return Tick(users, f"step {number + 1}")

    def _finish_step(self, number: int) -> None:
        start = self.warm_up_seconds + number * self.step_seconds
        settled = start + self.step_seconds / 3
        offered = self._users(number) * self.rate
        self.steps.append(self.measure(settled, start + self.step_seconds, offered))
        self.knee = find_knee(self.steps)

    def _users(self, number: int) -> int:
        return min(self.most, math.ceil(self.first * self.growth**number))
