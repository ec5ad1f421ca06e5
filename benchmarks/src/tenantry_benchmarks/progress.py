"""What a run says while it runs: on standard error, so that standard output is the report."""

from __future__ import annotations

import sys
import time


class Progress:
    """One line that changes on a terminal, and lines elsewhere."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._is_terminal = sys.stderr.isatty()

    def step(self, what: str) -> None:
        """Say what is done now."""
        seconds = int(time.monotonic() - self._started)
        line = f"{seconds // 60:2}:{seconds % 60:02}  {what}"
        end = "\r\x1b[K" if self._is_terminal else ""
        sys.stderr.write(f"{end}{line}" if self._is_terminal else f"{line}\n")
        sys.stderr.flush()

    def done(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
