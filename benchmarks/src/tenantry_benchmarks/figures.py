"""Figures, their spread, and the only ways in which they may be compared."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

#: Fewer than these are not quoted as a median without saying so.
ENOUGH = 5


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement, and the calibration loop right beside it (CPU µs; 0: there is none)."""

    value: float
    calibration: float = 0.0


@dataclass(slots=True)
class Figure:
    """What was measured of one subject in one row.

    Attributes:
        subject: Who: `ours`, or a baseline.
        what: What it is of: `producer`, `consumer`, `p99 at 50 %`.
        unit: Of each sample.
        samples: In the order of their rounds.
        missing: Why there is none, where it could not be measured.
        is_rate: More of it is better; of everything else less is.
    """

    subject: str
    what: str
    unit: str
    samples: list[Sample] = field(default_factory=list)
    missing: str | None = None
    is_rate: bool = False

    def add(self, value: float, calibration: float = 0.0) -> None:
        """One more measurement."""
        self.samples.append(Sample(value, calibration))

    @property
    def values(self) -> list[float]:
        """Of the samples."""
        return [sample.value for sample in self.samples]

    @property
    def median(self) -> float | None:
        """None where nothing was measured, or not to its end."""
        return statistics.median(self.values) if self.samples and not self.missing else None

    @property
    def spread(self) -> float | None:
        """The median absolute deviation from the median."""
        return deviation(self.values) if self.samples and not self.missing else None

    @property
    def calibrated(self) -> float | None:
        """The median of each sample over its own calibration."""
        found = [one.value / one.calibration for one in self.samples if one.calibration > 0]
        return statistics.median(found) if found else None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "subject": self.subject,
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "mad": self.spread,
            "min": min(self.values, default=None),
            "max": max(self.values, default=None),
            "calibrated": self.calibrated,
            "samples": self.values,
            "calibration": [sample.calibration for sample in self.samples],
            "missing": self.missing,
            "is_rate": self.is_rate,
        }


def deviation(values: Sequence[float]) -> float:
    """The median absolute deviation from the median: half of the values are within it."""
    middle = statistics.median(values)
    return statistics.median(abs(value - middle) for value in values)


def ratio(ours: Figure, baseline: Figure) -> float | None:
    """How many times better ours is; None unless both were measured, and neither is nothing.

    The median of the ratios of rounds where both have as many samples: what slowed the machine
    in a round is in both sides of it.
    """
    if ours.missing or baseline.missing or not ours.samples or not baseline.samples:
        return None
    less, more = (baseline, ours) if ours.is_rate else (ours, baseline)
    if len(less.samples) == len(more.samples):
        pairs = list(zip(less.values, more.values, strict=True))
    else:
        pairs = [(statistics.median(less.values), statistics.median(more.values))]
    found = [high / low for low, high in pairs if low > 0 and high > 0]
    return statistics.median(found) if found else None


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: a value that was seen.

    Raises:
        ValueError: There are no values.
    """
    if not values:
        msg = "no values"
        raise ValueError(msg)
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]
