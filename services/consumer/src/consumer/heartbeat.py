"""Keeps what is in hand invisible to others for as long as it is worked on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import structlog

from consumer.hand import Hand, Held
from consumer.queue import Queue
from tenantry.limits import EXTEND_AT_MOST_SECONDS
from tenantry.metrics import ConsumerMetrics

log = structlog.get_logger()

#: What is left of a visibility timeout when it is extended, as a part of it.
EXTEND_AT: Final = 0.4
#: How often that is looked at, as a part of it.
LOOK_EVERY: Final = 0.1


class Heartbeat:
    """One timer for all messages in hand."""

    def __init__(
        self,
        hand: Hand,
        queue: Queue,
        metrics: ConsumerMetrics,
        *,
        visibility_seconds: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._hand = hand
        self._queue = queue
        self._metrics = metrics
        self._visibility_seconds = visibility_seconds
        self._clock = clock

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(self._visibility_seconds * LOOK_EVERY)
            await self.beat()

    async def beat(self) -> None:
        """Extend what is due; let go of what is lost, or was held for too long."""
        now = self._clock()
        self._let_go([held for held in self._hand if held.visible_at <= now])
        due = [
            held
            for held in self._hand
            if held.visible_at - now < EXTEND_AT * self._visibility_seconds
            and now - held.delivery.received_at < EXTEND_AT_MOST_SECONDS
        ]
        if not due:
            return
        settled = await self._queue.set_visibility(
            [held.delivery for held in due], self._visibility_seconds
        )
        done, lost = set(settled.done), set(settled.lost)
        for held in due:
            if held.delivery in done:
                held.visible_at = now + self._visibility_seconds
        # What was settled meanwhile is gone from the queue, and not lost.
        self._let_go([held for held in due if held.delivery in lost and held in self._hand])

    def _let_go(self, lost: list[Held]) -> None:
        """Before it is written: somebody else has it by now, or soon."""
        if lost:
            log.warning("messages.expired", count=len(lost))
            self._metrics.expired.inc(len(lost))
            self._hand.remove(lost)
