"""What the private port says: /livez, /readyz and /metrics."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Health:
    """The state of one process.

    Liveness follows loops that stopped or stalled, never a dependency: restarting heals only
    what is broken here. Readiness is started and not draining; a dependency that is down makes
    every replica unready at once, which helps nobody, so it shows in `?verbose` and metrics.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beats: dict[str, tuple[float, float]] = {}
        self._dependencies: dict[str, Callable[[], str]] = {}
        self.started = False
        self.draining = False

    def beat(self, loop: str, *, at_least_every_seconds: float) -> None:
        """A loop says that it goes round, and how long the next round may take."""
        self._beats[loop] = (self._clock(), at_least_every_seconds)

    def retire(self, loop: str) -> None:
        """A loop ended because it was asked to."""
        self._beats.pop(loop, None)

    def watch(self, dependency: str, state: Callable[[], str]) -> None:
        """Show a dependency: `ok`, or what is wrong with it."""
        self._dependencies[dependency] = state

    def stalled(self) -> list[str]:
        """Loops that did not go round in time."""
        now = self._clock()
        return [loop for loop, (at, every) in self._beats.items() if now - at > every]

    def is_ready(self) -> bool:
        """Whether to send requests here."""
        return self.started and not self.draining

    def report(self) -> dict[str, object]:
        """Everything, for people."""
        return {
            "started": self.started,
            "draining": self.draining,
            "stalled": self.stalled(),
            "dependencies": {name: state() for name, state in self._dependencies.items()},
        }


def private_app(health: Health, metrics: CollectorRegistry) -> Starlette:
    """The application of the private port."""

    async def livez(request: Request) -> Response:
        return _answer(request, ok=not health.stalled())

    async def readyz(request: Request) -> Response:
        return _answer(request, ok=health.is_ready())

    def _answer(request: Request, *, ok: bool) -> Response:
        body: dict[str, object] = {"status": "ok" if ok else "failed"}
        if "verbose" in request.query_params:
            body |= health.report()
        return JSONResponse(body, 200 if ok else 503)

    async def metrics_page(_: Request) -> Response:
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", metrics_page),
        ]
    )
