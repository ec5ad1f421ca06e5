"""Sends events through the router, as a client of each tenant would."""

from __future__ import annotations

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp

if TYPE_CHECKING:
    from tenantry_local.events import Event
    from tenantry_local.laptop import Laptop

IN_FLIGHT: Final = 32
#: How long one message is tried, in seconds, and the longest wait between two tries.
_TRY_SECONDS: Final = 60.0
_WAIT_AT_MOST_SECONDS: Final = 5.0
_REQUEST_SECONDS: Final = 30.0

#: What a message can be refused for that is its own: it counts against nothing.
_REFUSALS: Final = frozenset({HTTPStatus.BAD_REQUEST, 413, HTTPStatus.UNPROCESSABLE_ENTITY})
#: No answer at all is 0.
_TRANSIENT: Final = frozenset({0, HTTPStatus.TOO_MANY_REQUESTS})


@dataclass(frozen=True, slots=True)
class Accepted:
    """An event that was answered 202, and the id it got."""

    event: Event
    message_id: str


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """An event that was not, and why."""

    event: Event
    reason: str


@dataclass(slots=True)
class Outcome:
    """What became of all events.

    Attributes:
        refused: Messages that no service could take.
        failed: Messages that should have been taken.
        seconds: That sending took.
    """

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[NotAccepted] = field(default_factory=list)
    failed: list[NotAccepted] = field(default_factory=list)
    seconds: float = 0.0


async def send(
    events: Sequence[Event], laptop: Laptop, on_sent: Callable[[int], object]
) -> Outcome:
    """Send all, some at a time; `on_sent` is told how many are done."""
    outcome = Outcome()
    started = time.monotonic()
    tokens = {tenant_id: laptop.token(tenant_id) for tenant_id in laptop.tenants}
    # Makes every try of a message the same message, and every run's messages new ones.
    run = uuid.uuid4().hex[:12]
    todo = iter(events)
    async with (
        aiohttp.ClientSession(
            base_url=laptop.router_url,
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
            connector=aiohttp.TCPConnector(limit=IN_FLIGHT),
        ) as session,
        asyncio.TaskGroup() as group,
    ):
        sender = _Sender(session, tokens, run, outcome, on_sent)
        for _ in range(min(IN_FLIGHT, len(events))):
            group.create_task(sender.work(todo))
    outcome.accepted.sort(key=lambda accepted: accepted.event.line)
    for others in (outcome.refused, outcome.failed):
        others.sort(key=lambda other: other.event.line)
    outcome.seconds = time.monotonic() - started
    return outcome


@dataclass(slots=True)
class _Sender:
    session: aiohttp.ClientSession
    tokens: dict[str, str]
    run: str
    outcome: Outcome
    on_sent: Callable[[int], object]
    sent: int = 0

    async def work(self, todo: Iterator[Event]) -> None:
        for event in todo:
            await self._send(event)
            self.sent += 1
            self.on_sent(self.sent)

    async def _send(self, event: Event) -> None:
        body = event.body()
        headers = {
            "Authorization": f"Bearer {self.tokens[event.tenant_id]}",
            "tenantID": event.tenant_id,
            "Content-Type": "application/json",
            "Idempotency-Key": f"demo-{self.run}-{event.line}",
        }
        deadline = time.monotonic() + _TRY_SECONDS
        tries = 0
        while True:
            tries += 1
            status, answer, wait = await self._post(body, headers)
            if status == HTTPStatus.ACCEPTED:
                self.outcome.accepted.append(Accepted(event, answer["message_id"]))
                return
            reason = f"{status} {answer.get('detail') or answer.get('title') or ''}".strip()
            if status in _REFUSALS:
                self.outcome.refused.append(NotAccepted(event, reason))
                return
            is_transient = status in _TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR
            if not is_transient or time.monotonic() > deadline:
                self.outcome.failed.append(NotAccepted(event, f"{reason} ({tries} tries)"))
                return
            backoff = random.uniform(0.5, 1.0) * min(0.1 * 2**tries, _WAIT_AT_MOST_SECONDS)  # noqa: S311
            await asyncio.sleep(min(wait, _WAIT_AT_MOST_SECONDS) if wait else backoff)

    async def _post(
        self, body: bytes, headers: dict[str, str]
    ) -> tuple[int, dict[str, Any], float | None]:
        """Status (0: no answer), the answer's object, and seconds to wait if it says so."""
        try:
            async with self.session.post("/messages", data=body, headers=headers) as response:
                try:
                    answer = await response.json(content_type=None)
                except ValueError:
                    answer = {}
                retry_after = response.headers.get("Retry-After", "")
                wait = float(retry_after) if retry_after.isdecimal() else None
                return response.status, answer if isinstance(answer, dict) else {}, wait
        except (aiohttp.ClientError, TimeoutError) as error:
            return 0, {"detail": f"no answer: {error!r}"}, None
