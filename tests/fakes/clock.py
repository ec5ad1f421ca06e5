"""A clock that moves when it is told to."""

from __future__ import annotations


class Clock:
    """Seconds since its start; called like `time.monotonic`."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        self.now += seconds
