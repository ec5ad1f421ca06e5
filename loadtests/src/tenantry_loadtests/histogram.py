"""Durations counted in buckets of one per cent: what percentiles are read from.

Small, mergeable over processes, and of one size whether a run takes a minute or a day.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, Self

#: Each bucket's upper edge is this much above the one before it.
GROWTH: Final = 1.01
#: The first bucket ends here, in seconds; nothing that crosses a network is below it.
FIRST_SECONDS: Final = 1e-5

_LOG_GROWTH: Final = math.log(GROWTH)


class Histogram:
    """How many durations fell into which bucket; `maximum` and `total` are exact."""

    __slots__ = ("counts", "maximum", "total")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.maximum = 0.0
        self.total = 0.0

    def __len__(self) -> int:
        return sum(self.counts.values())

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration, so many times."""
        bucket = _bucket(seconds)
        self.counts[bucket] = self.counts.get(bucket, 0) + times
        self.total += seconds * times
        self.maximum = max(self.maximum, seconds)

    def merge(self, other: Histogram) -> None:
        """Count everything that the other one counted, too."""
        for bucket, times in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + times
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    def percentile(self, percent: float) -> float | None:
        """The duration that so many per cent did not exceed, by nearest rank.

        At most one per cent too high, never too low. None: nothing was counted.
        """
        size = len(self)
        if not size:
            return None
        rank = max(1, math.ceil(size * percent / 100))
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return min(self.maximum, _upper_edge(bucket))
        return self.maximum

    def mean(self) -> float | None:
        """The mean duration; None: nothing was counted."""
        size = len(self)
        return self.total / size if size else None

    def to_wire(self) -> list[object]:
        """As plain values."""
        return [self.maximum, self.total, [n for pair in self.counts.items() for n in pair]]

    @classmethod
    def from_wire(cls, wire: Sequence[object]) -> Self:
        """What `to_wire` made."""
        maximum, total, flat = wire
        assert isinstance(maximum, float | int)  # noqa: S101 - as `to_wire` made it
        assert isinstance(total, float | int)  # noqa: S101
        assert isinstance(flat, Sequence)  # noqa: S101
        histogram = cls()
        histogram.maximum, histogram.total = maximum, total
        histogram.counts = dict(zip(flat[::2], flat[1::2], strict=True))
        return histogram


def merged(histograms: Iterable[Histogram]) -> Histogram:
    """All of them as one."""
    whole = Histogram()
    for histogram in histograms:
        whole.merge(histogram)
    return whole


def _bucket(seconds: float) -> int:
    if seconds <= FIRST_SECONDS:
        return 0
    return math.ceil(math.log(seconds / FIRST_SECONDS) / _LOG_GROWTH)


def _upper_edge(bucket: int) -> float:
    return float(FIRST_SECONDS * GROWTH**bucket)
