"""Where throughput stops rising while messages wait longer: the knee of a ramp."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

#: A step keeps up when this share of what it adds to the offer comes out at the other end.
_GAIN: Final = 0.5
#: Messages wait longer when their time or age is so many times what it was while all was well…
_LONGER: Final = 2.0
#: … and is at least so much more, in seconds: twice a millisecond is nothing.
_LONGER_SECONDS: Final = 0.1
#: Or when the backlog grows by this share of the offer.
_BACKLOG: Final = 0.05
#: One bad step may be chance.
_CONFIRMED: Final = 2


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a ramp, as it was measured. Rates are messages a second.

    Attributes:
        offered: What was due.
        throughput: What came out: stored if that was observed, else accepted.
        latency: From due to accepted, 95th percentile, in seconds; None if nothing was accepted.
        age: Of the oldest message in the queue, in seconds; None if it was not observed.
        backlog: By how much the queue grew, messages a second; None likewise.
    """

    offered: float
    throughput: float
    latency: float | None = None
    age: float | None = None
    backlog: float | None = None


@dataclass(frozen=True, slots=True)
class Knee:
    """Where the system stopped keeping up.

    Attributes:
        capacity: The most that came out, messages a second.
        last_good: The most that came out while all was well; None: not even in the first step.
        step: The number of the first step, from 0, that was not kept up with.
        sign: What rose while throughput did not: `latency`, `age` or `backlog`.
    """

    capacity: float
    last_good: float | None
    step: int
    sign: str


def find_knee(steps: Sequence[Step]) -> Knee | None:
    """The knee, once two steps in a row confirm it; None while throughput follows the offer."""
    good: list[Step] = []
    bad: list[tuple[int, str]] = []
    for number, step in enumerate(steps):
        sign = _sign_of_saturation(step, good)
        if sign is None:
            good.append(step)
            bad.clear()
            continue
        bad.append((number, sign))
        if len(bad) == _CONFIRMED:
            first, sign = bad[0]
            return Knee(
                capacity=max(step.throughput for step in steps[: number + 1]),
                last_good=max((min(s.offered, s.throughput) for s in good), default=None),
                step=first,
                sign=sign,
            )
    return None


def _sign_of_saturation(step: Step, good: Sequence[Step]) -> str | None:
    if _keeps_up(step, good):
        return None
    if step.backlog is not None and step.backlog > _BACKLOG * step.offered:
        return "backlog"
    if _is_longer(step.age, [other.age for other in good]):
        return "age"
    if _is_longer(step.latency, [other.latency for other in good]):
        return "latency"
    return None


def _keeps_up(step: Step, good: Sequence[Step]) -> bool:
    best = max(good, key=lambda other: other.offered, default=Step(0, 0))
    added = step.offered - best.offered
    return added <= 0 or step.throughput - best.throughput >= _GAIN * added


def _is_longer(now: float | None, before: Sequence[float | None]) -> bool:
    known = [value for value in before if value is not None]
    if now is None:
        return False
    usual = median(known) if known else 0.0
    return now > max(_LONGER * usual, usual + _LONGER_SECONDS)
