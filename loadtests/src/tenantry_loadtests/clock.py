"""Both clocks and the way to wait, so that a test can have its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds: since some instant, since the epoch, and to wait for."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], object]

    def wall_of(self, monotonic: float) -> float:
        """The Unix time of an instant of the monotonic clock."""
        return self.wall() - (self.monotonic() - monotonic)


SYSTEM: Final = Clock(time.monotonic, time.time, time.sleep)
