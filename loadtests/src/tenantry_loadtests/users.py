"""Locust's users: each sends for one tenant, on a clock of its own."""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final

import gevent  # type: ignore[import-untyped]
from gevent.event import Event  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]
from locust import FastHttpUser, task
from locust.contrib.fasthttp import FastHttpSession
from locust.env import Environment
from locust.user.task import LOCUST_STATE_STOPPING as _STOPPING

from tenantry_loadtests.clock import Clock
from tenantry_loadtests.follower import Follower
from tenantry_loadtests.pacing import Pace
from tenantry_loadtests.payloads import MadeUp, Messages, RealEvents, read_events
from tenantry_loadtests.plan import Group, Plan
from tenantry_loadtests.recording import DUE, SKIPPED, Recorder
from tenantry_loadtests.sending import Outgoing, Route, Sender
from tenantry_loadtests.tokens import TokenError, TokenSource
from tenantry_loadtests.wire import Wire

#: What is due in the very moment of the end was not kept from being sent.
_LATE_SECONDS: Final = 1.0
_FETCHED_AT_ONCE: Final = 4

CLOCK: Final = Clock(time.monotonic, time.time, gevent.sleep)


@dataclass(slots=True)
class Workbench:
    """What the users of one process share.

    Attributes:
        worker: Tells this process's keys from another one's.
        index: Of this process among the generators, from 0.
        is_stopping: Whether the load ends.
    """

    plan: Plan
    recorder: Recorder
    follower: Follower
    messages: Messages
    tokens: Tokens
    worker: str
    index: Callable[[], int]
    is_stopping: Callable[[], bool]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _spawned: Counter[str] = field(default_factory=Counter)

    def key(self) -> str:
        """An idempotency key that no other message of any run has."""
        return f"loadtest-{self.plan.run}-{self.worker}-{next(self._numbers)}"

    def next_tenant(self, group: Group) -> str:
        """For whom the next user of a group sends: all processes together go round."""
        number = self._spawned[group.name] * max(1, self.plan.workers) + self.index()
        self._spawned[group.name] += 1
        return group.tenants[number % len(group.tenants)]


class Tokens:
    """One token a tenant, for all its users and for those that follow its messages."""

    def __init__(self, plan: Plan) -> None:
        self._sources = {entry.tenant: TokenSource(entry) for entry in plan.tenants}

    def of(self, tenant: str) -> TokenSource:
        """Where a tenant's token comes from."""
        return self._sources[tenant]

    def fetch(self) -> None:
        """Have all tokens before the first is needed; those that cannot be had are tried later."""

        def fetch(source: TokenSource) -> None:
            with contextlib.suppress(TokenError):
                source.header()

        Pool(_FETCHED_AT_ONCE).map(fetch, self._sources.values())


class TenantUser(FastHttpUser):
    """Sends messages of one tenant, singly and in batches, when they are due."""

    abstract = True
    group: ClassVar[Group]
    bench: ClassVar[Workbench]
    max_redirects = 0
    host = "http://unused.invalid"  # every URL is whole: tenants may have hosts of their own

    def __init__(self, environment: Environment) -> None:
        bench, group = self.bench, self.group
        self.network_timeout = bench.plan.request_seconds
        self.connection_timeout = min(5.0, bench.plan.request_seconds)
        self.insecure = bench.plan.insecure
        super().__init__(environment)
        self._wire = Wire(self.client)
        self._tenant = bench.next_tenant(group)
        self._random = random.Random()  # noqa: S311 - which message, and when
        share, size = group.batch_share, bench.plan.batch_size
        self._batch_chance = share / (share + size * (1 - share)) if share else 0.0
        self._pace: Pace | None = None
        self._ending = Event()
        entry = bench.plan.entry(self._tenant)
        self._sender = Sender(
            tenant=self._tenant,
            url=entry.post_url or "",
            token=bench.tokens.of(self._tenant),
            post=self._wire.post,
            recorder=bench.recorder,
            clock=CLOCK,
            give_up_seconds=bench.plan.give_up_seconds,
            is_stopping=self._is_stopping,
            on_accepted=self._follow,
            generator=self._random,
        )

    def wait_time(self) -> float:
        """Nothing between two tasks: a task waits itself until it is due."""
        return 0.0

    def on_start(self) -> None:
        """Start the clock of this user's arrivals."""
        self._pace = Pace(
            self.group.rate,
            now=CLOCK.monotonic(),
            arrivals=self.bench.plan.arrivals,
            generator=self._random,
        )

    def stop(self, force: bool = False) -> bool:  # noqa: FBT001, FBT002 - Locust's own
        """End this user: at once while it waits, else when what it sends is settled.

        Locust kills a user that it believes to wait, which meanwhile may send: then nobody
        would know whether that was accepted.
        """
        if force:
            return bool(super().stop(force=True))
        self._state = _STOPPING
        self._ending.set()
        return False

    def on_stop(self) -> None:
        """Count what was due and is not sent any more."""
        if self._pace is not None:
            self._count_skipped(self._pace.abandon(CLOCK.monotonic() - _LATE_SECONDS))

    @task
    def send(self) -> None:
        """Send what is due next, when it is: one message, or a batch."""
        assert self._pace is not None  # noqa: S101 - since the start
        bench, chance = self.bench, self._random
        if self._ending.wait(self._pace.wait(CLOCK.monotonic())):
            return
        self._count_skipped(self._pace.skip(CLOCK.monotonic()))
        in_batch = chance.random() < self._batch_chance
        size = bench.plan.batch_size if in_batch else 1
        due_at = self._pace.take(size)
        route: Route = "batch" if in_batch else "post"
        bench.recorder.count(DUE, self._tenant, CLOCK.wall_of(due_at), size)
        messages = [
            Outgoing(bench.key(), bench.messages.next(self._tenant, chance), due_at)
            for _ in range(size)
        ]
        self._sender.send(route, messages)

    def _follow(self, message_id: str) -> None:
        self.bench.follower.accepted(self._tenant, message_id, always=self.group.follow_all)

    def _count_skipped(self, due: list[float]) -> None:
        for due_at in due:
            at = CLOCK.wall_of(due_at)
            self.bench.recorder.count(DUE, self._tenant, at)
            self.bench.recorder.count(SKIPPED, self._tenant, at)

    def _is_stopping(self) -> bool:
        return self.bench.is_stopping() or self._ending.is_set()


def user_classes(plan: Plan, bench: Workbench | None) -> list[type[TenantUser]]:
    """One class a group; Locust keeps the number of those that are fixed.

    Args:
        plan: What names the groups.
        bench: None where no user runs: in a master, and before there is an environment.
    """
    return [
        type(
            f"{group.name.title()}Users",
            (TenantUser,),
            {"group": group, "bench": bench, "fixed_count": group.users, "abstract": False},
        )
        for group in plan.groups
    ]


def messages_of(plan: Plan, start: int = 0) -> Messages:
    """Where a plan's messages come from; real events are begun at `start`."""
    if plan.events is None:
        return MadeUp(plan.sizes, plan.types, seed=plan.seed)
    tenants = {tenant for group in plan.groups for tenant in group.tenants}
    return RealEvents(read_events(Path(plan.events), tenants), start)


def follow_session(environment: Environment, plan: Plan) -> FastHttpSession:
    """A session for those that follow: its requests are in Locust's figures as well."""
    return FastHttpSession(
        base_url=None,
        request_event=environment.events.request,
        user=None,
        insecure=plan.insecure,
        network_timeout=plan.request_seconds,
        connection_timeout=min(5.0, plan.request_seconds),
        max_redirects=0,
        max_retries=0,
        concurrency=16,
    )
