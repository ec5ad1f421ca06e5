"""Tells how a run goes while it goes: one line that changes, or lines for a log."""

from __future__ import annotations

import time
from typing import Any, Final, Self

from rich.console import Console
from rich.status import Status

from tenantry_loadtests.text import seconds_text

#: Between lines when nobody watches.
_LINE_SECONDS: Final = 10.0


class Progress:
    """Writes to the console of a terminal, or lines to a pipe."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._line_at = 0.0
        self._said = ""

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._status = self._console.status("")
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None

    def phase(self, name: str) -> None:
        """Something else begins."""
        self._line_at = 0.0
        self._show(name)

    def say(self, text: str) -> None:
        """One thing that happened or is waited for."""
        self._show(text)

    def update(self, told: dict[str, Any]) -> None:
        """What a generator said."""
        self._show(line_of(told))

    def _show(self, text: str) -> None:
        if self._status is not None:
            self._status.update(text)
            return
        now = time.monotonic()
        if text != self._said and now - self._line_at >= _LINE_SECONDS:
            self._said, self._line_at = text, now
            self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)


def line_of(told: dict[str, Any]) -> str:
    """A generator's line, for people."""
    if "seconds" not in told:
        return str(told.get("phase") or f"waiting for {told.get('waiting')} workers")
    parts = [
        f"{told['seconds']:5.0f} s  {told['phase']:<12}",
        f"{told['accepted']:g} of {told['due']:g} msg/s",
    ]
    for name, what in (("accepted_p99", "accepted p99"), ("stored_p99", "stored p99")):
        if told[name] is not None:
            parts.append(f"{what} {seconds_text(told[name])}")
    if told["depth"] is not None:
        parts.append(f"{told['depth']} queued")
    if told["failed"]:
        parts.append(f"{told['failed']} failed")
    if told["tried_again"]:
        parts.append(f"{told['tried_again']} tried again")
    if told["workers_lost"]:
        parts.append(f"{told['workers_lost']} workers lost")
    return " · ".join(parts)
