"""An event loop with a time of its own: ten minutes pass in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from typing import Any


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Time stands while anything is ready to run, and then jumps to what is due next.

    `loop.time` is the clock for whatever takes one. Real time does not count: for programs
    that wait for a socket or a thread this loop is no use.
    """

    def __init__(self) -> None:
        self.now = 1_000.0
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
        if timeout > 0:
            self._loop.now += timeout
        return super().select(0)
