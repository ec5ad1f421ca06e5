"""The private port: alive, ready, and what is the matter."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette

from fakes.asgi import call
from fakes.clock import Clock
from tenantry.health import Health, private_app


@pytest.fixture
def clock() -> Clock:
    """What health takes for the time."""
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    """The state of a process that has not started yet."""
    return Health(clock)


@pytest.fixture
def registry() -> CollectorRegistry:
    """Metrics of this test alone."""
    return CollectorRegistry()


@pytest.fixture
def app(health: Health, registry: CollectorRegistry) -> Starlette:
    """The private application."""
    return private_app(health, registry)


async def test_it_is_ready_once_started_until_draining(health: Health, app: Starlette) -> None:
    """Not before the start, and not while it drains."""
    found = [(await call(app, "/readyz")).status]
    health.started = True
    found.append((await call(app, "/readyz")).status)
    health.draining = True
    found.append((await call(app, "/readyz")).status)

    assert [503, 200, 503] == found


async def test_draining_and_starting_are_alive(health: Health, app: Starlette) -> None:
    """Restarting a process that starts or drains would only lose work."""
    found = [(await call(app, "/livez")).status]
    health.draining = True
    found.append((await call(app, "/livez")).status)

    assert [200, 200] == found


async def test_a_loop_that_stalls_fails_liveness_until_it_goes_on(
    health: Health, app: Starlette, clock: Clock
) -> None:
    """Later than it said: failed. A beat heals it."""
    health.beat("poll", at_least_every_seconds=30)
    health.beat("heartbeat", at_least_every_seconds=100)
    clock.advance(30)
    found = [(await call(app, "/livez")).status]
    clock.advance(0.1)
    found.append((await call(app, "/livez")).status)
    stalled = health.stalled()
    health.beat("poll", at_least_every_seconds=30)
    found.append((await call(app, "/livez")).status)

    assert [200, 503, 200] == found
    assert ["poll"] == stalled


async def test_a_loop_that_was_asked_to_end_is_not_missed(
    health: Health, app: Starlette, clock: Clock
) -> None:
    """Retiring is no stall, and retiring twice is fine."""
    health.beat("poll", at_least_every_seconds=1)
    health.retire("poll")
    health.retire("poll")
    clock.advance(10)

    assert (await call(app, "/livez")).status == 200


async def test_a_dependency_that_is_down_shows_but_fails_nothing(
    health: Health, app: Starlette, clock: Clock
) -> None:
    """Probes stay green; `?verbose` says what is the matter."""
    health.started = True
    health.watch("sqs", lambda: "ok")
    health.watch("registry", lambda: "no answer for 12 s")
    health.beat("poll", at_least_every_seconds=1)
    clock.advance(2)
    answer = await call(app, "/readyz?verbose")

    assert answer.status == 200
    assert {
        "status": "ok",
        "started": True,
        "draining": False,
        "stalled": ["poll"],
        "dependencies": {"sqs": "ok", "registry": "no answer for 12 s"},
    } == answer.json
    assert {"status": "ok"} == (await call(app, "/readyz")).json
    assert {"status": "failed"} == (await call(app, "/livez")).json


async def test_metrics_are_in_the_text_format(app: Starlette, registry: CollectorRegistry) -> None:
    """What Prometheus scrapes, with the type that says so."""
    Counter("things", "Things.", registry=registry).inc(3)
    answer = await call(app, "/metrics")

    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert b"things_total 3.0" in answer.body


async def test_there_is_nothing_else(app: Starlette) -> None:
    """No other path, and no other method."""
    assert (await call(app, "/")).status == 404
    assert (await call(app, "/livez", method="POST")).status == 405
