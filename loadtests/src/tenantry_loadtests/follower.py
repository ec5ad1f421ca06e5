"""Follows sampled messages from their 202 to the table: the request type `QUEUE` in Locust."""

from __future__ import annotations

import random
import time
from datetime import datetime
from typing import Any, Final, Protocol

import gevent  # type: ignore[import-untyped]
import orjson
from gevent.event import Event  # type: ignore[import-untyped]
from gevent.pool import Pool  # type: ignore[import-untyped]
from locust.env import Environment

from tenantry_loadtests.following import Followed, FollowScheduler
from tenantry_loadtests.plan import Plan
from tenantry_loadtests.recording import (
    ERROR,
    FOLLOWED,
    LOOKS,
    LOST_SIGHT,
    NOT_STORED,
    REQUESTS,
    Recorder,
)
from tenantry_loadtests.sending import TIMED_OUT, Answer, describe, outcomes
from tenantry_loadtests.tokens import TokenError, TokenSource
from tenantry_loadtests.wire import Wire

REQUEST_TYPE: Final = "QUEUE"
REQUEST_NAME: Final = "accepted→stored"

_LOOKS_IN_FLIGHT: Final = 16
_IDLE_SECONDS: Final = 0.25


class TokenBook(Protocol):
    """Knows where tokens come from."""

    def of(self, tenant: str) -> TokenSource:
        """Of a tenant."""
        ...


class NotStoredError(Exception):
    """A followed message was not stored by its deadline."""


class Follower:
    """Looks for the messages that the scheduler names."""

    def __init__(
        self,
        *,
        environment: Environment,
        plan: Plan,
        recorder: Recorder,
        wire: Wire,
        tokens: TokenBook,
    ) -> None:
        self._events: Any = environment.events
        self._recorder = recorder
        self._wire = wire
        self._tokens = tokens
        self._urls = {entry.tenant: entry.get_url or "" for entry in plan.tenants}
        self._scheduler = FollowScheduler(
            plan.follow_rate / max(1, plan.workers),
            deadline=plan.follow_seconds,
            now=time.monotonic(),
            generator=random.Random(),  # noqa: S311 - which messages
        )
        self._changed = Event()
        self._pool = Pool(_LOOKS_IN_FLIGHT)

    def __len__(self) -> int:
        """Messages that are followed now."""
        return len(self._scheduler)

    def accepted(self, tenant: str, message_id: str, *, always: bool) -> None:
        """A message was accepted: follow it if the budget allows, or always."""
        now = time.monotonic()
        if always or self._scheduler.wants(now):
            self._recorder.count(FOLLOWED, tenant, time.time())
            self._scheduler.follow(tenant, message_id, now, is_sample=not always)
            self._changed.set()

    def run(self) -> None:
        """Look, whenever a look is due, for ever."""
        while True:
            self._changed.clear()
            now = time.monotonic()
            while (followed := self._scheduler.take(now)) is not None:
                self._pool.spawn(self._look, followed)
            next_at = self._scheduler.next_at()
            wait = _IDLE_SECONDS if next_at is None else max(0.0, next_at - time.monotonic())
            self._changed.wait(min(wait, _IDLE_SECONDS))

    def finish(self) -> None:
        """The load is over."""
        self._scheduler.finish()
        self._changed.set()

    def drain(self, seconds: float) -> None:
        """Wait for those that are followed, and then lose sight of the rest."""
        self.finish()
        until = time.monotonic() + seconds
        while len(self) and time.monotonic() < until:
            gevent.sleep(0.05)
        for followed in self._scheduler.give_up():
            self._recorder.count(LOST_SIGHT, followed.tenant_id, time.time())

    def _look(self, followed: Followed) -> None:
        sent_at = time.monotonic()
        answer = self._ask(followed)
        now = time.monotonic()
        if answer.status == 200:  # noqa: PLR2004 - OK
            self._scheduler.found(followed, now)
            self._found(followed, answer, now)
            return
        [outcome] = outcomes("post", answer, 1)
        is_missing = outcome.problem == "message-not-found"
        if not is_missing:
            self._count(f"{ERROR}look {describe(outcome)}", followed.tenant_id)
        missed_at = sent_at if is_missing else followed.missed_at
        if self._scheduler.missed(followed, missed_at, now):
            self._changed.set()
        else:
            self._missing(followed, now)

    def _ask(self, followed: Followed) -> Answer:
        tenant = followed.tenant_id
        token = self._tokens.of(tenant)
        self._count(LOOKS, tenant)
        self._count(REQUESTS, tenant)
        try:
            authorization = token.header()
        except TokenError:
            return Answer(0, b"", None, "no token", 0.0)
        answer = self._wire.get(
            f"{self._urls[tenant]}/messages/{followed.message_id}",
            {"Authorization": authorization, "tenantID": tenant},
        )
        if answer.failure in {None, TIMED_OUT}:
            self._recorder.duration("read", tenant, time.time(), answer.seconds)
        if answer.status == 401:  # noqa: PLR2004 - Unauthorized
            token.renew(authorization)
        return answer

    def _found(self, followed: Followed, answer: Answer, now: float) -> None:
        tenant = followed.tenant_id
        at = time.time() - (now - followed.accepted_at)
        seconds = now - followed.accepted_at
        self._recorder.duration("stored", tenant, at, seconds)
        self._recorder.duration("between", tenant, at, now - followed.missed_at)
        stamped = _stamped(answer.body)
        if stamped is not None:
            self._recorder.duration("stamped", tenant, at, stamped)
        self._fire(seconds, len(answer.body), None)

    def _missing(self, followed: Followed, now: float) -> None:
        tenant = followed.tenant_id
        seconds = now - followed.accepted_at
        self._recorder.duration("stored", tenant, time.time() - seconds, seconds)
        self._count(NOT_STORED, tenant)
        self._count(f"{ERROR}not stored in time", tenant)
        self._fire(seconds, 0, NotStoredError("not stored in time"))

    def _fire(self, seconds: float, length: int, error: Exception | None) -> None:
        self._events.request.fire(
            request_type=REQUEST_TYPE,
            name=REQUEST_NAME,
            response_time=seconds * 1_000,
            response_length=length,
            response=None,
            context={},
            exception=error,
        )

    def _count(self, name: str, tenant: str) -> None:
        self._recorder.count(name, tenant, time.time())


def _stamped(body: bytes) -> float | None:
    """From `accepted_at` to `stored_at`, as the item says."""
    try:
        item = orjson.loads(body)
        accepted = datetime.fromisoformat(item["accepted_at"])
        stored = datetime.fromisoformat(item["stored_at"])
    except (ValueError, KeyError, TypeError):
        return None
    return max(0.0, (stored - accepted).total_seconds())
