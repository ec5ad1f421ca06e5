"""How the load goes while it runs: for progress lines, and for the steps of a ramp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tenantry_loadtests.knee import Step
from tenantry_loadtests.observing import Observation
from tenantry_loadtests.recording import (
    ACCEPTED,
    ATTEMPT,
    DUE,
    GIVEN_UP,
    NOT_STORED,
    REFUSED,
    SKIPPED,
    Recorder,
    Span,
)

#: How far back a progress line looks, in seconds.
_RECENT = 5.0
_PERCENT = 99.0
_STEP_PERCENT = 95.0


class Meter:
    """Reads a recorder and the observations beside it."""

    def __init__(self, recorder: Recorder, observations: Sequence[Observation]) -> None:
        self._recorder = recorder
        self._observations = observations
        #: Unix time at which the load began.
        self.started_at = 0.0

    def measure(self, start: float, end: float, offered: float) -> Step:
        """What a stretch of time, in seconds after the start, came to.

        Args:
            start: Its beginning.
            end: Its end.
            offered: What was to be sent, messages a second. It is not counted: users that still
                wait for an answer will only count later what is due now.
        """
        first, last = self.started_at + start, self.started_at + end
        span, seconds = self._span(first, last)
        seen = [o for o in self._observations if first <= o.at <= last]
        accepted = span.count(ACCEPTED) / seconds
        stored = rate_between(seen, "stored")
        ages = [o.age for o in seen if o.age is not None]
        return Step(
            offered=offered,
            throughput=accepted if stored is None else min(stored, accepted),
            latency=span.histogram("accepted").percentile(_STEP_PERCENT),
            age=ages[-1] if ages else None,
            backlog=rate_between(seen, "depth"),
        )

    def progress(self, now: float) -> dict[str, Any]:
        """The last seconds, as plain values."""
        # The window of this instant is not over.
        width = self._recorder.window_seconds
        back = min(_RECENT, max(width, now - self.started_at))
        recent, seconds = self._span(now - width - back, now - width)
        last = self._observations[-1] if self._observations else None
        whole = Span(self._recorder)
        failed = sum(whole.count(name) for name in (REFUSED, GIVEN_UP, SKIPPED, NOT_STORED))
        return {
            "seconds": round(now - self.started_at, 1),
            "due": round(recent.count(DUE) / seconds, 1),
            "accepted": round(recent.count(ACCEPTED) / seconds, 1),
            "accepted_p99": recent.histogram("accepted").percentile(_PERCENT),
            "stored_p99": recent.histogram("stored").percentile(_PERCENT),
            "depth": last.depth if last else None,
            "age": last.age if last else None,
            "failed": failed,
            "tried_again": sum(whole.counts_of(ATTEMPT).values()),
        }

    def _span(self, first: float, last: float) -> tuple[Span, float]:
        """The windows between two instants, and how long those are together."""
        width = self._recorder.window_seconds
        begin, end = int(first // width), int(last // width)
        end = max(end, begin + 1)
        return Span(self._recorder, [(begin, end)]), (end - begin) * width


def rate_between(seen: Sequence[Observation], name: str) -> float | None:
    """How fast something observed grew, a second; None if it was not observed twice."""
    known = [(o.at, getattr(o, name)) for o in seen if getattr(o, name) is not None]
    if len(known) < 2 or known[-1][0] <= known[0][0]:  # noqa: PLR2004 - a start and an end
        return None
    (first_at, first), (last_at, last) = known[0], known[-1]
    return float(last - first) / (last_at - first_at)
