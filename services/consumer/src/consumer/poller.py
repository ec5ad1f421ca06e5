"""The loop: receive, write, delete; stop by draining.

Receives are spent on messages only. While nothing can be written for a reason that is no
message's, nothing is received either: what is in hand is kept invisible, and one batch probes.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final, Literal

import structlog
from opentelemetry import trace

from consumer.batch import BatchResult, process_batch
from consumer.forwarding import Places
from consumer.hand import Hand, Held
from consumer.heartbeat import Heartbeat
from consumer.queue import Delivery, Forwarder, Queue, QueueUnavailableError
from consumer.repository import MessageRepository
from consumer.settings import Settings
from consumer.settling import Settling, jittered
from tenantry.contract import ENVELOPE_FIELDS, decode, now
from tenantry.errors import InvalidMessageError, MalformedBodyError
from tenantry.health import Health
from tenantry.limits import PARTIQL_BATCH_STATEMENTS, SQS_BATCH_ENTRIES
from tenantry.metrics import ConsumerMetrics
from tenantry.telemetry import MESSAGING_SYSTEM, extract, working_on

log = structlog.get_logger()

Cause = Literal["store", "registry"]

#: Back-off of a poll, a probe or a lane, in seconds: doubled, with jitter.
FIRST_BACKOFF_SECONDS: Final = 0.2
MOST_BACKOFF_SECONDS: Final = 20.0
#: Of a lane whose partition is throttled.
LANE_REST_SECONDS: Final = 0.5
#: A poll that brings no more than this was one too many.
SPARSE_MESSAGES: Final = 2
#: How long the loop may take to go round before the process is called stalled.
STALLED_SECONDS: Final = 60.0
TICK_SECONDS: Final = 1.0
#: For the calls in flight when the drain is over, and as long for giving back what is left.
FINISH_SECONDS: Final = 2.0
#: How much later than its wait a poll may end while draining: `grace_seconds` counts the same.
POLL_MARGIN_SECONDS: Final = 2.0
#: How long a message is held for a queue that does not take it, before it stays away.
FORWARD_SECONDS: Final = 120.0


class Poller:
    """One queue's consumer."""

    def __init__(
        self,
        settings: Settings,
        *,
        queue: Queue,
        repository: MessageRepository,
        forwarder: Forwarder,
        places: Places,
        metrics: ConsumerMetrics,
        health: Health,
        tracer: trace.Tracer | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._queue = queue
        self._repository = repository
        self._forwarder = forwarder
        self._places = places
        self._metrics = metrics
        self._health = health
        self._tracer = tracer
        self._clock = clock
        self.hand = Hand(most_messages=settings.hand_messages, most_bytes=settings.hand_bytes)
        self.heartbeat = Heartbeat(
            self.hand,
            queue,
            metrics,
            visibility_seconds=settings.visibility_seconds,
            clock=clock,
        )
        self._settling = Settling(settings, self.hand, queue, metrics, clock)
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._polls = 0
        self._wanted_polls = 1
        self._poll_not_before = 0.0
        self._poll_backoff = FIRST_BACKOFF_SECONDS
        self._writes = 0
        self._blocked: Cause | None = None
        self._probe_not_before = 0.0
        self._probe_backoff = FIRST_BACKOFF_SECONDS

    @property
    def blocked(self) -> Cause | None:
        """Why nothing is received; None while all is well."""
        return self._blocked

    def stop(self) -> None:
        """Start no poll any more, and drain."""
        self._stop.set()
        self.hand.changed.set()

    async def run(self) -> None:
        """Consume until `stop`, then drain.

        Raises:
            Exception: What broke the loop, or one of its tasks; the process should end.
        """
        heartbeat = asyncio.create_task(self.heartbeat.run(), name="heartbeat")
        try:
            drain_until: float | None = None
            polls_until: float | None = None
            while drain_until is None or (self.hand and self._clock() < drain_until):
                self._health.beat("poller", at_least_every_seconds=STALLED_SECONDS)
                if self._stop.is_set() and drain_until is None:
                    clock = self._clock()
                    if polls_until is None:
                        polls_until = clock + self._settings.wait_seconds + POLL_MARGIN_SECONDS
                    if not self._polls or clock >= polls_until:
                        drain_until = clock + self._settings.drain_seconds
                        continue  # there may be nothing to drain
                wake_at = self._go_round()
                await self._wait(min(wake_at, drain_until or polls_until or wake_at))
                if heartbeat.done():
                    heartbeat.result()
            await self._finish()
            # Only here: a loop that died is to look dead.
            self._health.retire("poller")
        finally:
            for task in (heartbeat, *self._tasks):
                task.cancel()
            await asyncio.gather(heartbeat, *self._tasks, return_exceptions=True)

    # The loop

    def _go_round(self) -> float:
        """Start what is due; when to look again at the latest."""
        clock = self._clock()
        wake_at = clock + TICK_SECONDS
        self.hand.changed.clear()
        if not self._stop.is_set():
            wake_at = min(wake_at, self._start_polls(clock))
        wake_at = min(wake_at, self._start_writes(clock), self._start_deletes(clock))
        self._metrics.hand_messages.set(len(self.hand))
        self._metrics.hand_bytes.set(self.hand.bytes)
        self._metrics.polls.set(self._polls)
        return wake_at

    async def _wait(self, until: float) -> None:
        with suppress(TimeoutError):
            # Not wait_for: in Python 3.11 it may swallow a cancellation.
            async with asyncio.timeout(until - self._clock()):
                await self.hand.changed.wait()
        for task in [task for task in self._tasks if task.done()]:
            self._tasks.discard(task)
            task.result()  # a bug in one task ends the process, loudly

    def _spawn(self, coroutine: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        # What a task did it said before it ended: only a failure is news.
        if not task.cancelled() and task.exception() is not None:
            self.hand.changed.set()

    # Receiving

    def _start_polls(self, clock: float) -> float:
        if self._blocked:
            if self.hand or clock < self._probe_not_before:
                return clock + TICK_SECONDS
            # Nothing is left to probe with: receive, and see.
            self._set_blocked(None)
        if clock < self._poll_not_before:
            return self._poll_not_before
        room = SQS_BATCH_ENTRIES * self._settings.max_message_bytes
        while self._polls < self._wanted_polls and self.hand.reserve(SQS_BATCH_ENTRIES, room):
            self._polls += 1
            self._spawn(self._poll(room), "poll")
        return clock + TICK_SECONDS

    async def _poll(self, room: int) -> None:
        try:
            deliveries = await self._queue.receive(
                SQS_BATCH_ENTRIES, wait_seconds=self._settings.wait_seconds
            )
        except QueueUnavailableError as error:
            if self._poll_backoff == FIRST_BACKOFF_SECONDS:
                log.warning("receive.failed", reason=error.detail)
            self._wanted_polls = 1
            self._poll_not_before = self._clock() + jittered(self._poll_backoff)
            self._poll_backoff = min(MOST_BACKOFF_SECONDS, 2 * self._poll_backoff)
            deliveries = []
        else:
            self._poll_backoff = FIRST_BACKOFF_SECONDS
            # A poll that is half full or more says that there is more: SQS samples its servers
            # and brings fewer than are there. One that is almost empty says that one poll fewer
            # will do: several that share a trickle cost a call for every message or two.
            if len(deliveries) >= SQS_BATCH_ENTRIES / 2:
                self._wanted_polls = min(self._settings.polls, self._wanted_polls + 1)
            elif len(deliveries) <= SPARSE_MESSAGES:
                self._wanted_polls = max(1, self._wanted_polls - 1)
        finally:
            self._polls -= 1
            self.hand.unreserve(SQS_BATCH_ENTRIES, room)
        if deliveries:
            await self._take_in_hand(deliveries)

    async def _take_in_hand(self, deliveries: Sequence[Delivery]) -> None:
        self._metrics.received.inc(len(deliveries))
        oldest = min(delivery.sent_at for delivery in deliveries)
        self._metrics.oldest_seconds.set(max(0, time.time() - oldest))
        clock = self._clock()
        held: list[Held] = []
        bad: list[tuple[Delivery, str]] = []
        for delivery in deliveries:
            try:
                message = decode(delivery.body)
            except (MalformedBodyError, InvalidMessageError) as error:
                # The detail may quote the body: its kind and place are enough.
                pointer = getattr(error, "pointer", None)
                reason = "version" if pointer == "/version" else "malformed"
                log.warning(
                    "message.rejected",
                    reason=reason,
                    kind=type(error).__name__,
                    pointer=_place(pointer),
                    receive_count=delivery.receive_count,
                )
                bad.append((delivery, reason))
            else:
                visible_at = delivery.received_at + self._settings.visibility_seconds
                held.append(Held(delivery, message, visible_at, clock))
        self.hand.add(held)
        if bad:
            for _, reason in bad:
                self._metrics.rejected.labels(reason).inc()
            await self._settling.put_off([delivery for delivery, _ in bad])

    # Writing

    def _start_writes(self, clock: float) -> float:
        wake_at = clock + TICK_SECONDS
        if self._blocked:
            if self._writes:
                return wake_at
            if clock < self._probe_not_before:
                return self._probe_not_before
        while self._writes < (1 if self._blocked else self._settings.writes):
            ready_at = self.hand.oldest_ready_at(clock)
            if ready_at is None:
                break
            due_at = ready_at + self._settings.write_linger_seconds
            full = self.hand.waiting >= PARTIQL_BATCH_STATEMENTS
            if self._writes and not full and clock < due_at:
                return min(wake_at, due_at)
            batch = self.hand.take(clock)
            if not batch:
                break  # all that waits are copies of what is being written
            self._writes += 1
            self._spawn(self._write(batch), "write")
        lane_at = self.hand.next_lane_at(clock)
        return wake_at if lane_at is None else min(wake_at, lane_at)

    async def _write(self, batch: list[Held]) -> None:
        spans = self._spans(batch)
        stored_at = now()
        try:
            with working_on(spans):
                result = await process_batch(
                    batch,
                    places=self._places,
                    repository=self._repository,
                    forwarder=self._forwarder,
                    stored_at=stored_at,
                )
        finally:
            self._writes -= 1
            self.hand.written(batch)
            for span in spans:
                span.end()
        kept = [(held, "unknown-tenant") for held in result.kept]
        # In a pool one tenant's item must not stop everybody; elsewhere there is nobody else.
        if self._settings.is_pool:
            kept += [(held, "unreadable-placement") for held in result.unreadable]
        else:
            result.unplaced += result.unreadable
        self._note_outage(result)
        # One tenant's queue that is out of reach must not fill everybody's hand for ever.
        patience = self._clock() - FORWARD_SECONDS
        for held in result.unforwarded:
            if held.delivery.received_at < patience:
                kept.append((held, "not-forwarded"))
            else:
                result.delayed.append(held)
        rested_at = self._clock() + jittered(LANE_REST_SECONDS)
        self.hand.put_back([*result.blocked, *result.unplaced])
        self.hand.put_back(result.delayed, not_before=rested_at)
        self._count(result, stored_at)
        self._settling.delete_later(result.settled())
        await self._settling.reject(result.rejected)
        await self._settling.keep(kept)

    def _note_outage(self, result: BatchResult) -> None:
        """Stop receiving, or go on."""
        cause: Cause | None = None
        if result.unplaced:
            cause = "registry"
        elif result.blocked or (
            # In a pool the lane rests instead: it is one tenant's partition, not everybody's.
            result.delayed and not result.settled() and not self._settings.is_pool
        ):
            cause = "store"
        if cause is None:
            # One partition that is throttled says that the store answers.
            if result.settled() or result.delayed:
                self._probe_backoff = FIRST_BACKOFF_SECONDS
                if self._blocked:
                    log.info("consumer.unblocked", cause=self._blocked)
                    self._set_blocked(None)
            return
        if self._blocked is None:
            log.error("consumer.blocked", cause=cause)
        self._set_blocked(cause)
        self._probe_not_before = self._clock() + jittered(self._probe_backoff)
        self._probe_backoff = min(MOST_BACKOFF_SECONDS, 2 * self._probe_backoff)

    def _set_blocked(self, cause: Cause | None) -> None:
        self._blocked = cause
        for one in ("store", "registry"):
            self._metrics.blocked.labels(one).set(one == cause)

    def _count(self, result: BatchResult, stored_at: str) -> None:
        at = datetime.fromisoformat(stored_at)
        for held in result.stored:
            journey = at - datetime.fromisoformat(held.message.accepted_at)
            self._metrics.journey_seconds.observe(max(0, journey.total_seconds()))
        for tenant, messages in Counter(held.message.tenant_id for held in result.stored).items():
            self._metrics.count_stored(tenant, messages)
        self._metrics.duplicates.inc(len(result.duplicates))
        self._metrics.conflicts.inc(len(result.conflicts))
        self._metrics.forwarded.inc(len(result.forwarded))
        self._metrics.dropped.inc(len(result.dropped))

    # Settling

    def _start_deletes(self, clock: float) -> float:
        while batch := self._settling.take_due(clock):
            self._spawn(self._settling.delete(batch), "delete")
        return self._settling.due_at(clock + TICK_SECONDS)

    async def _finish(self) -> None:
        """The drain is over: end the calls in flight; what is left is somebody else's, at once."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FINISH_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(FINISH_SECONDS):
                await self._settling.give_back()

    # Tracing

    def _spans(self, batch: Sequence[Held]) -> list[trace.Span]:
        """One for each sampled message: it joins the trace of the request that sent it."""
        if self._tracer is None:
            return []
        spans: list[trace.Span] = []
        name = self._settings.queue_url.rsplit("/", 1)[-1]
        for held in batch:
            if "traceparent" not in held.delivery.attributes:
                continue
            context = extract(held.delivery.attributes)
            source = trace.get_current_span(context).get_span_context()
            if source.trace_flags.sampled:
                spans.append(
                    self._tracer.start_span(
                        f"process {name}",
                        context=context,
                        kind=trace.SpanKind.CONSUMER,
                        attributes={
                            **MESSAGING_SYSTEM,
                            "messaging.operation.name": "process",
                            "messaging.operation.type": "process",
                            "messaging.destination.name": name,
                            "messaging.message.id": held.message.message_id,
                            "tenantry.tenant_id": held.message.tenant_id,
                        },
                    )
                )
        return spans


def _place(pointer: str | None) -> str | None:
    """A pointer without the names that the client chose."""
    _, _, way = (pointer or "").partition("/")
    first, _, rest = way.partition("/")
    if not way:
        return pointer
    if first not in ENVELOPE_FIELDS:
        return "/…"
    return f"/{first}/…" if rest else f"/{first}"
