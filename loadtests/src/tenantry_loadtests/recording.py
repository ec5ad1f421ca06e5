"""What a generator counts while it runs, in windows of time, by tenant.

Every process of a run has one `Recorder`; workers send what is new to the master, which adds it
to its own. Nothing in here grows with the number of requests but the ids, 16 bytes a message.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, Self, get_args

from tenantry_loadtests.histogram import Histogram, merged

#: accepted: from when a message was due to its 202, every retry included.
#: stored:   from its 202 to the first look that found it, of followed messages.
#: stamped:  from `accepted_at` to `stored_at` as the item says, of the same messages.
#: between: from the last look that did not find it to the one that did: how exact `stored` is.
#: post, batch, read: single requests, from sending to their answer.
Kind = Literal["accepted", "stored", "stamped", "between", "post", "batch", "read"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: Counted beside durations; errors are counted as `error <what>`.
DUE: Final = "due"
ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
GIVEN_UP: Final = "given up"
SKIPPED: Final = "skipped"
FOLLOWED: Final = "followed"
NOT_STORED: Final = "not stored"
#: Still followed when the run was interrupted.
LOST_SIGHT: Final = "lost sight of"
RETRIED: Final = "retried"
REQUESTS: Final = "requests"
LOOKS: Final = "looks"
ERROR: Final = "error "
#: Requests that came back with something, but were tried again: no error of a message yet.
ATTEMPT: Final = "attempt "

Cell = tuple[int, str, str]


class Recorder:
    """Durations and counts by window, name and tenant, and the ids that were accepted.

    Args:
        window_seconds: Length of a window. Windows are numbered from the epoch, so that those of
            several machines are the same.
    """

    def __init__(self, window_seconds: float) -> None:
        self.window_seconds = window_seconds
        self.durations: defaultdict[Cell, Histogram] = defaultdict(Histogram)
        self.counts: Counter[Cell] = Counter()
        #: Ids of accepted messages, 16 bytes each, by tenant.
        self.accepted: defaultdict[str, bytearray] = defaultdict(bytearray)
        #: Likewise of those that may have been accepted: nobody was told.
        self.unknown: defaultdict[str, bytearray] = defaultdict(bytearray)

    def duration(self, kind: Kind, tenant: str, at: float, seconds: float, times: int = 1) -> None:
        """Count a duration in the window of an instant (Unix time)."""
        self.durations[self._window(at), kind, tenant].add(seconds, times)

    def count(self, name: str, tenant: str, at: float, times: int = 1) -> None:
        """Count something in the window of an instant (Unix time)."""
        self.counts[self._window(at), name, tenant] += times

    def take(self) -> dict[str, Any]:
        """Everything since the last take, as plain values, and forget it."""
        wire = self.to_wire()
        self.durations.clear()
        self.counts.clear()
        self.accepted.clear()
        self.unknown.clear()
        return wire

    def to_wire(self) -> dict[str, Any]:
        """Everything, as plain values; ids as bytes."""
        return {
            "durations": [[*cell, *h.to_wire()] for cell, h in self.durations.items()],
            "counts": [[*cell, times] for cell, times in self.counts.items()],
            "accepted": {tenant: bytes(ids) for tenant, ids in self.accepted.items()},
            "unknown": {tenant: bytes(ids) for tenant, ids in self.unknown.items()},
        }

    def merge(self, wire: dict[str, Any]) -> None:
        """Add what another recorder took."""
        for window, kind, tenant, *histogram in wire["durations"]:
            self.durations[window, kind, tenant].merge(Histogram.from_wire(histogram))
        for window, name, tenant, times in wire["counts"]:
            self.counts[window, name, tenant] += times
        for mine, theirs in (
            (self.accepted, wire.get("accepted", {})),
            (self.unknown, wire.get("unknown", {})),
        ):
            for tenant, ids in theirs.items():
                mine[tenant] += ids

    @classmethod
    def from_wire(cls, window_seconds: float, wire: dict[str, Any]) -> Self:
        """A recorder that holds what another one's `to_wire` said."""
        recorder = cls(window_seconds)
        recorder.merge(wire)
        return recorder

    def _window(self, at: float) -> int:
        return int(at // self.window_seconds)


class Span:
    """A view of a recorder: some windows, some tenants."""

    def __init__(
        self,
        recorder: Recorder,
        windows: Sequence[tuple[int, int]] | None = None,
        tenants: Iterable[str] | None = None,
    ) -> None:
        """Look at what was counted.

        Args:
            recorder: What was counted.
            windows: Ranges of windows, the end not included; None for all.
            tenants: None for all.
        """
        self._recorder = recorder
        self._windows = windows
        self._tenants = None if tenants is None else frozenset(tenants)

    def histogram(self, kind: str) -> Histogram:
        """All durations of a kind."""
        return merged(
            histogram
            for (window, found, tenant), histogram in self._recorder.durations.items()
            if found == kind and self._has(window, tenant)
        )

    def count(self, name: str) -> int:
        """How often something was counted."""
        return sum(
            times
            for (window, found, tenant), times in self._recorder.counts.items()
            if found == name and self._has(window, tenant)
        )

    def counts_of(self, prefix: str) -> Counter[str]:
        """Everything whose name starts so, by the rest of the name."""
        found: Counter[str] = Counter()
        for (window, name, tenant), times in self._recorder.counts.items():
            if name.startswith(prefix) and self._has(window, tenant):
                found[name.removeprefix(prefix)] += times
        return found

    def _has(self, window: int, tenant: str) -> bool:
        if self._tenants is not None and tenant not in self._tenants:
            return False
        if self._windows is None:
            return True
        return any(first <= window < end for first, end in self._windows)
