"""How messages leave the hand: deleted, put off because nobody can store them, or given back."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from consumer.hand import Hand, Held
from consumer.queue import Delivery, Queue
from consumer.settings import Settings
from tenantry.limits import SQS_BATCH_ENTRIES
from tenantry.metrics import ConsumerMetrics

log = structlog.get_logger()

DELETE_ATTEMPTS: Final = 3
#: Between the attempts of one deletion, in seconds, with jitter.
DELETE_RETRY_SECONDS: Final = 0.2
#: For how long a message whose tenant is not known stays away, by its receives: some five
#: hours in all before it is a dead letter, which the registry's next writer can redrive.
KEPT_FIRST_SECONDS: Final = 60
KEPT_MOST_SECONDS: Final = 3_600


class Settling:
    """Settles what one poller holds."""

    def __init__(
        self,
        settings: Settings,
        hand: Hand,
        queue: Queue,
        metrics: ConsumerMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._hand = hand
        self._queue = queue
        self._metrics = metrics
        self._clock = clock
        self._deletable: deque[tuple[Held, int]] = deque()
        self._deletable_since = 0.0

    def delete_later(self, settled: Sequence[Held]) -> None:
        """They can be deleted: with others, so that they share a call."""
        self._add([(held, 1) for held in settled])

    def take_due(self, clock: float) -> list[tuple[Held, int]]:
        """Messages of one call that need not wait for others; none if they should."""
        # Others that are in hand will want to be deleted soon, too.
        alone = len(self._hand) == len(self._deletable)
        count = len(self._deletable)
        if count < SQS_BATCH_ENTRIES and clock < self.due_at(clock) and not alone:
            return []
        return [self._deletable.popleft() for _ in range(min(SQS_BATCH_ENTRIES, count))]

    def due_at(self, otherwise: float) -> float:
        """When the oldest has waited for long enough; `otherwise` if there is none."""
        if not self._deletable:
            return otherwise
        return self._deletable_since + self._settings.delete_linger_seconds

    async def delete(self, batch: Sequence[tuple[Held, int]]) -> None:
        """Delete a batch of `take_due`; what fails is tried again with the next ones."""
        settled = await self._queue.delete([held.delivery for held, _ in batch])
        failed = set(settled.failed)
        again = [
            (held, attempts + 1)
            for held, attempts in batch
            if held.delivery in failed and attempts < DELETE_ATTEMPTS
        ]
        # What could not be deleted comes back, and is then found stored: no harm, but work.
        kept = {held for held, _ in again}
        self._hand.remove([held for held, _ in batch if held not in kept])
        if again:
            await asyncio.sleep(jittered(DELETE_RETRY_SECONDS))
            self._add(again)

    async def reject(self, rejected: Sequence[tuple[Held, str]]) -> None:
        """What can never be stored leaves the hand; SQS counts its receives."""
        for held, reason in rejected:
            self._metrics.rejected.labels(reason).inc()
            _log_left("message.rejected", held, reason)
        messages = [held for held, _ in rejected]
        self._hand.remove(messages)
        await self.put_off([held.delivery for held in messages])

    async def put_off(self, rejected: Sequence[Delivery]) -> None:
        """Try what can never be stored again later, until it is a dead letter."""
        if rejected:
            await self._queue.set_visibility(rejected, self._settings.rejected_retry_seconds)

    async def keep(self, kept: Sequence[tuple[Held, str]]) -> None:
        """What nobody can place now leaves the hand, and stays away for longer each time."""
        by_seconds: dict[int, list[Delivery]] = defaultdict(list)
        for held, reason in kept:
            self._metrics.kept.inc()
            _log_left("message.kept", held, reason)
            doubled = KEPT_FIRST_SECONDS * 2 ** (held.delivery.receive_count - 1)
            by_seconds[min(KEPT_MOST_SECONDS, doubled)].append(held.delivery)
        self._hand.remove([held for held, _ in kept])
        for seconds, deliveries in by_seconds.items():
            await self._queue.set_visibility(deliveries, seconds)

    async def give_back(self) -> None:
        """Delete what can be deleted; everything else is somebody else's, at once."""
        while self._deletable:
            batch = [self._deletable.popleft() for _ in range(len(self._deletable))]
            await self._queue.delete([held.delivery for held, _ in batch])
            self._hand.remove([held for held, _ in batch])
        # What a write that hangs holds, too: if it arrives after all, whoever gets the message
        # next finds it stored.
        left = list(self._hand)
        if left:
            log.warning("drain.gave_back", messages=len(left))
            # Out of the hand first, so that the heartbeat does not have the last word.
            self._hand.remove(left)
            await self._queue.set_visibility([held.delivery for held in left], 0)

    def _add(self, deletable: Sequence[tuple[Held, int]]) -> None:
        if deletable:
            if not self._deletable:
                self._deletable_since = self._clock()
            self._deletable.extend(deletable)
            self._hand.changed.set()


def jittered(seconds: float) -> float:
    """Between half of it and all of it: spreads retries."""
    return random.uniform(seconds / 2, seconds)  # noqa: S311 - spreads, hides nothing


def _log_left(event: str, held: Held, reason: str) -> None:
    log.warning(
        event,
        reason=reason,
        tenant_id=held.message.tenant_id,
        message_id=held.message.message_id,
        receive_count=held.delivery.receive_count,
    )
