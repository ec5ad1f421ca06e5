"""An event loop with a time of its own: ten minutes pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any, Final

#: What one turn of the loop takes: whoever never waits uses time up, and is found out.
TURN_SECONDS: Final = 1e-6


class SimulatedLoop(asyncio.SelectorEventLoop):
    """While anything is ready to run a turn takes a microsecond; else time jumps to what is due.

    `loop.time` is the clock for whatever takes one. Real time does not count: for programs
    that wait for a socket or a thread this loop is no use.

    Attributes:
        turns: How often it went round: many, in little time, are a loop that never waits.
    """

    def __init__(self) -> None:
        self.now = 1_000.0
        self.turns = 0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Seconds, of the simulation."""
        return self.now


class _Jumping(selectors.SelectSelector):
    def __init__(self, loop: SimulatedLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[Any, int]]:
        if timeout is None:
            msg = "everything waits, and nothing is due: this would wait for ever"
            raise RuntimeError(msg)
        self._loop.turns += 1
        self._loop.now += max(timeout, TURN_SECONDS)
        return super().select(0)
