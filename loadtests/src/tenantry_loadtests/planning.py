"""From what was asked for and what a shape is, to the plan of a run."""

from __future__ import annotations

import socket
import uuid
from typing import TYPE_CHECKING, Final

from tenantry_loadtests.payloads import MadeUp, read_events
from tenantry_loadtests.plan import Group, Plan, window_for
from tenantry_loadtests.stages import WARM_UP

if TYPE_CHECKING:
    from tenantry_loadtests.catalogue import Recipe
    from tenantry_loadtests.settings import Settings
    from tenantry_loadtests.target import Facts

#: What following may be of all requests, and what is aimed at below it.
FOLLOWING_AT_MOST: Final = 0.05
_FOLLOWING_AIM: Final = 0.035
#: For those whose messages are not all followed, where others' are.
_SAMPLE_RATE: Final = 2.0
LOOPBACK: Final = "127.0.0.1"


def make_plan(settings: Settings, recipe: Recipe, facts: Facts) -> Plan:
    """The plan of a run.

    Raises:
        UsageError: Its events or sizes are not as they must be.
    """
    tenants = {tenant for group in recipe.groups for tenant in group.tenants}
    if settings.events is None:
        MadeUp(recipe.sizes or settings.sizes, settings.types)
    else:
        read_events(settings.events, tenants)
    seconds = sum(phase.seconds for phase in recipe.phases)
    workers = settings.workers or settings.expect_workers
    return Plan(
        run=uuid.uuid4().hex[:12],
        shape=settings.shape,
        seed=settings.seed,
        tenants=tuple(entry for entry in facts.tenants if entry.tenant in tenants),
        groups=recipe.groups,
        phases=recipe.phases,
        ramp=recipe.ramp,
        window_seconds=window_for(seconds),
        arrivals=settings.arrivals,
        batch_size=settings.batch_size,
        sizes=recipe.sizes or settings.sizes,
        types=settings.types,
        events=str(settings.events.resolve()) if settings.events else None,
        follow_rate=_follow_rate(settings, recipe),
        follow_seconds=settings.follow_seconds,
        request_seconds=settings.request_seconds,
        give_up_seconds=settings.give_up,
        insecure=settings.insecure,
        metrics_urls=facts.metrics_urls,
        aws=facts.aws,
        pids=facts.pids,
        workers=workers,
        bind=(LOOPBACK, _free_port()) if settings.workers else settings.bind,
    )


def _follow_rate(settings: Settings, recipe: Recipe) -> float:
    if settings.follow is not None:
        return settings.follow
    if any(group.follow_all for group in recipe.groups):
        return _SAMPLE_RATE
    users = next((p.users for p in recipe.phases if p.name != WARM_UP), 0)
    if recipe.ramp is not None:
        users = 2 * recipe.ramp.first  # its steps are mostly above the first
    return _FOLLOWING_AIM * sum(
        requests_per_second(group, settings.batch_size, users) for group in recipe.groups
    )


def requests_per_second(group: Group, batch_size: int, users: int) -> float:
    """Requests of a group while the shape wants so many users."""
    share = group.batch_share
    return (group.users or users) * group.rate * (1 - share + share / batch_size)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
