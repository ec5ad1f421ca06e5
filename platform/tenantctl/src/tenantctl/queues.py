"""Queues and dead letters, as the verbs use them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from tenantctl.awsfailures import AWS_ERRORS, ResourceMissingError, failure, queue_of
from tenantctl.drains import DROP, QUIET_RECEIVES, Drain, Drop, Forwarded, Route
from tenantctl.errors import UnfinishedError
from tenantctl.hands import Clock, Destination, Hands, Hold, Sleep
from tenantctl.letters import Letter
from tenantry.limits import DEFAULT_MAX_MESSAGE_BYTES
from tenantry.registry import Placement, PlacementReader
from tenantry.tenant_id import TenantId

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

__all__ = [
    "DROP",
    "Depth",
    "Destination",
    "Drop",
    "Forwarded",
    "Letter",
    "Queues",
    "Route",
    "by_placement",
]

#: For how long a message in hand is hidden, in seconds: a batch is sent and deleted well within,
#: and a killed command's messages are soon there again.
VISIBILITY_SECONDS: Final = 30
#: The same where most messages stay: longer than going through a large dead-letter queue takes.
HOLD_SECONDS: Final = 300
#: How long SQS's counts may lag behind what was received, in seconds: a minute, by its
#: documentation, after nothing more is sent.
_COUNT_SECONDS: Final = 90.0
_COUNT_POLL_SECONDS: Final = 2.0
#: How long a placement is good for while messages are routed by it, in seconds.
_PLACEMENT_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, as SQS estimates."""

    visible: int
    in_flight: int
    delayed: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.visible + self.in_flight + self.delayed


class Queues:
    """Every queue that the credentials reach.

    Attributes of messages travel with them; at least once, as everywhere on queues.
    """

    def __init__(
        self,
        client: SQSClient,
        *,
        wait_seconds: int = 2,
        visibility_seconds: int = VISIBILITY_SECONDS,
        hold_seconds: int = HOLD_SECONDS,
        sleep: Sleep = asyncio.sleep,
        clock: Clock = time.monotonic,
    ) -> None:
        self._client = client
        self._sleep = sleep
        self._clock = clock
        self._hands = Hands(client, wait_seconds=wait_seconds, sleep=sleep)
        self._visibility_seconds = visibility_seconds
        self._hold_seconds = hold_seconds

    async def url(self, name: str) -> str | None:
        """The URL of a queue; None if there is none of this name.

        Raises:
            UnavailableError: SQS does not answer, or denies.
        """
        try:
            return (await self._client.get_queue_url(QueueName=name))["QueueUrl"]
        except AWS_ERRORS as error:
            reason = failure(error, "GetQueueUrl", f"queue {name}")
            if isinstance(reason, ResourceMissingError):
                return None
            raise reason from error

    async def depth(self, url: str) -> Depth:
        """How full a queue is.

        Raises:
            UnavailableError: SQS does not answer, or denies.
            ResourceMissingError: There is no such queue.
        """
        try:
            answer = await self._client.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=[
                    "ApproximateNumberOfMessages",
                    "ApproximateNumberOfMessagesNotVisible",
                    "ApproximateNumberOfMessagesDelayed",
                ],
            )
        except AWS_ERRORS as error:
            raise failure(error, "GetQueueAttributes", queue_of(url)) from error
        found = answer.get("Attributes", {})
        return Depth(
            visible=int(found.get("ApproximateNumberOfMessages", 0)),
            in_flight=int(found.get("ApproximateNumberOfMessagesNotVisible", 0)),
            delayed=int(found.get("ApproximateNumberOfMessagesDelayed", 0)),
        )

    async def max_message_bytes(self, url: str) -> int:
        """The largest message that a queue takes, with its attributes.

        Raises:
            UnavailableError: The queue is not there, does not answer, or denies.
        """
        try:
            answer = await self._client.get_queue_attributes(
                QueueUrl=url, AttributeNames=["MaximumMessageSize"]
            )
        except AWS_ERRORS as error:
            raise failure(error, "GetQueueAttributes", queue_of(url)) from error
        found = answer.get("Attributes", {})
        return int(found.get("MaximumMessageSize", DEFAULT_MAX_MESSAGE_BYTES))

    async def forward(self, source_url: str, route: Route) -> Forwarded:
        """Send everything on as `route` says, until nothing new is received.

        Body, attributes and trace context stay; what is confirmed is deleted. What somebody else
        has in flight is not waited for: look at `depth`.

        Raises:
            UnavailableError: A queue does not answer, or denies; done again, it goes on.
        """
        return await Drain(
            self._hands,
            source_url,
            route,
            visibility_seconds=self._visibility_seconds,
            clock=self._clock,
        ).run()

    async def redrive(
        self, dead_letter_url: str, to: str | Route, *, only: Collection[str] | None = None
    ) -> Forwarded:
        """Move dead letters back: to a queue, or where a route says (`by_placement`).

        What dies again meanwhile stays dead: nothing goes round twice in one run.

        Args:
            dead_letter_url: The dead-letter queue.
            to: The queue's URL, or a route.
            only: Ids of messages (of the envelope, or SQS's own); None: all.

        Raises:
            UnavailableError: A queue does not answer, or denies; done again, it goes on.
        """
        seen: set[str] = set()

        async def route(letter: Letter) -> Destination | Drop | None:
            key = letter.message_id or letter.sqs_id
            if only is not None and key not in only and letter.sqs_id not in only:
                return None
            # SQS's id does not outlive the way there and back; the same body stands for itself.
            if letter.sha256 in seen:
                return None
            if isinstance(to, str):
                # A pool's queue wants the group that the message had.
                found: Destination | Drop | None = Destination(to, letter.group_id)
            else:
                found = await to(letter)
            if found is not None:
                seen.add(letter.sha256)
            return found

        return await self._go_through(dead_letter_url, route)

    async def letters(
        self,
        url: str,
        *,
        tenant_id: str | None = None,
        payloads: bool = False,
        whole: bool = False,
    ) -> AsyncGenerator[Letter]:
        """Every visible message, each once, without keeping any.

        All stay hidden until the generator is closed, and are then given back.

        Args:
            url: A dead-letter queue: on others each look counts as a receive.
            tenant_id: Only this tenant's; None: all, those without a tenant too.
            payloads: With their bodies.
            whole: See by SQS's counts that there is no other, also in nobody's hands.

        Raises:
            UnavailableError: The queue does not answer, or denies.
            UnfinishedError: There are others (`whole`).
        """
        hold = Hold(self._hands, url, seconds=self._hold_seconds, clock=self._clock)
        quiet, new_at = 0, self._clock()
        try:
            while True:
                hand = await hold.receive()
                new = [one for sqs_id, one in hand.items() if sqs_id not in hold.handles]
                hold.handles.update({sqs_id: one.receipt_handle for sqs_id, one in hand.items()})
                for one in new:
                    if tenant_id in (None, one.letter.tenant_id):
                        yield replace(one.letter, body=one.body) if payloads else one.letter
                if new:
                    quiet, new_at = 0, self._clock()
                    continue
                quiet += 1
                if quiet < QUIET_RECEIVES:
                    continue
                if not whole or await self._is_all(url, len(hold.handles), new_at):
                    return
                await self._sleep(_COUNT_POLL_SECONDS)
        finally:
            await hold.give_back()

    async def _is_all(self, url: str, held: int, since: float) -> bool:
        """Whether a queue has no more than what is held; its counts may say so late."""
        depth = await self.depth(url)
        if not depth.visible and not depth.delayed and depth.in_flight <= held:
            return True
        if self._clock() - since < _COUNT_SECONDS:
            return False
        raise UnfinishedError(
            f"{queue_of(url)} holds {depth.total} messages, and {held} of them can be received: "
            "somebody else holds the others, or there are more than SQS lets one hold (120,000). "
            "End what else goes through them, or redrive a part; the same command goes on"
        )

    async def look(
        self, url: str, limit: int, *, tenant_id: str | None = None, payloads: bool = False
    ) -> list[Letter]:
        """Up to `limit` messages as `letters` brings them, the oldest first.

        Raises:
            UnavailableError: The queue does not answer, or denies.
        """
        found: list[Letter] = []
        async with aclosing(self.letters(url, tenant_id=tenant_id, payloads=payloads)) as letters:
            async for letter in letters:
                found.append(letter)
                if len(found) >= limit:
                    break
        return sorted(found, key=lambda letter: letter.sent_at)

    async def drain_delete(self, url: str, exported: Collection[str]) -> Forwarded:
        """Delete what was exported, by SQS's ids, and nothing else.

        Returns:
            `dropped`, and `kept`: what came after the export.

        Raises:
            UnavailableError: The queue does not answer, or denies; done again, it goes on.
        """
        ids = frozenset(exported)

        async def route(letter: Letter) -> Drop | None:
            return DROP if letter.sqs_id in ids else None

        return await self._go_through(url, route)

    async def _go_through(self, url: str, route: Route) -> Forwarded:
        """A run where most messages stay."""
        return await Drain(
            self._hands, url, route, visibility_seconds=self._hold_seconds, clock=self._clock
        ).run()


def by_placement(
    registry: PlacementReader,
    source_url: str,
    *,
    tenant_id: str | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Route:
    """The route to wherever a message's tenant lives now.

    Dropped: of an offboarded tenant. Kept: of a tenant that is not known, that lives where the
    message is, or, if one is named, of another tenant; and what is no envelope.
    """
    known: dict[str, tuple[float, Placement | None]] = {}

    async def route(letter: Letter) -> Destination | Drop | None:
        owner = letter.tenant_id
        if owner is None or tenant_id not in (None, owner):
            return None
        asked_at, placement = known.get(owner, (float("-inf"), None))
        if clock() - asked_at >= _PLACEMENT_SECONDS:
            asked_at = clock()
            placement = await registry.get(TenantId(owner))
            known[owner] = asked_at, placement
        if placement is None:
            return None
        if placement.status == "offboarded":
            return DROP
        if _identity(placement.queue_url) == _identity(source_url):
            return None
        return Destination(placement.queue_url, placement.message_group_id)

    return route


def _identity(queue_url: str) -> str:
    """Account and name: the host differs between an endpoint in the VPC and the region's."""
    return urlsplit(queue_url).path
