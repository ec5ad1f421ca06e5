"""Lines of JSON between a run and its generator: progress one way, help the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from gevent.event import AsyncResult  # type: ignore[import-untyped]
from gevent.fileobject import FileObject  # type: ignore[import-untyped]

_SCALE_SECONDS: Final = 180.0


class ScaleError(Exception):
    """There are not as many consumers as the shape wants."""


class Control:
    """The generator's side: says on standard output, is told on standard input."""

    def __init__(self, on_gone: Callable[[], object]) -> None:
        self._on_gone = on_gone
        self._scaled: AsyncResult[dict[str, Any]] | None = None

    def listen(self) -> None:
        """Read until the run that started this generator is gone; then say so."""
        with FileObject(sys.stdin.fileno(), "rb", closefd=False) as lines:
            for line in lines:
                told = json.loads(line)
                if self._scaled is not None:
                    self._scaled.set(told)
        self._on_gone()

    def say(self, **what: Any) -> None:
        """One line for the run."""
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def scale(self, consumers: int) -> list[str]:
        """Ask for so many consumers, and wait until they are there.

        Returns:
            Where the metrics of all consumers are; empty for where they were.

        Raises:
            ScaleError: They are not there, and why.
        """
        self._scaled = AsyncResult()
        self.say(scale=consumers)
        try:
            told = self._scaled.get(timeout=_SCALE_SECONDS)
        except gevent.Timeout:
            raise ScaleError(f"no {consumers} consumers within {_SCALE_SECONDS:g} s") from None
        if told.get("error"):
            raise ScaleError(told["error"])
        urls: list[str] = told.get("metrics_urls", [])
        return urls
