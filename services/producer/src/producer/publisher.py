"""Sends messages to queues. Requests to one queue share SendMessageBatch calls.

A call goes when it holds min(10, messages in hand for that queue), or 1 MiB, or when its
oldest message waited for the linger: so a lone message goes at once, and many share. The
publisher owns the calls: a client that leaves takes back what has not left, and never ends a
call that others wait for.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import aiohttp
import structlog
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    SSLError,
)
from opentelemetry import trace

from tenantry.contract import utf8_bytes
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)
from tenantry.limits import SQS_BATCH_BYTES, SQS_BATCH_ENTRIES
from tenantry.metrics import ProducerMetrics
from tenantry.outcomes import outcome_of
from tenantry.telemetry import MESSAGING_SYSTEM, extract

log = structlog.get_logger()

#: Back-off between attempts of one call, in seconds: doubled from the first, with full jitter.
FIRST_BACKOFF_SECONDS: Final = 0.05
MOST_BACKOFF_SECONDS: Final = 1.0

_UNUSABLE: Final = frozenset(
    {
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDenied",
        "AccessDeniedException",
    }
)
_THROTTLED: Final = frozenset(
    {"ThrottlingException", "Throttling", "RequestThrottled", "TooManyRequestsException"}
)
# The call's content is at fault, though SQS answers for its entries one by one as a rule.
_DIVISIBLE: Final = frozenset(
    {
        "BatchRequestTooLong",
        "AWS.SimpleQueueService.BatchRequestTooLong",
        "InvalidAttributeValue",
        "InvalidMessageContents",
        "InvalidParameterValue",
    }
)
# Nothing left this process: a retry cannot make a second message.
_NOT_SENT: Final = (
    EndpointConnectionError,
    ConnectTimeoutError,
    NoCredentialsError,
    CredentialRetrievalError,
    SSLError,
)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it is sent.

    Attributes:
        body: The envelope.
        attributes: String message attributes.
        group_id: The tenant on a pool's queue: what makes it a fair queue.
    """

    body: str
    attributes: Mapping[str, str]
    group_id: str | None

    def size_bytes(self) -> int:
        """What SQS counts: the body, and name, type and value of each attribute, in UTF-8."""
        size = utf8_bytes(self.body)
        for name, value in self.attributes.items():
            size += len(name) + len("String") + utf8_bytes(value)
        return size


class SendCalls(Protocol):
    """What the adapter needs of SQS: botocore's client, or the leaner calls."""

    async def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:
        """`SendMessageBatch`, once."""
        ...


class Publisher(Protocol):
    """Sends messages; a faster transport can stand in for the one below."""

    async def publish(
        self, queue_url: str, messages: Sequence[Outgoing], *, deadline: float
    ) -> list[TenantryError | None]:
        """Send to one queue; one outcome for each, in order: None once SQS confirmed it.

        Never raises for what became of a message. A message may be sent more than once under
        its one id, which consumers store once. The deadline is of `time.monotonic`.

        Outcomes:
            NotAcceptedError: It was not sent.
            OutcomeUnknownError: It may have been sent.
            MisplacedError: The queue is not there, or not for this instance.
            InvalidMessageError: SQS will never take it.
        """
        ...


@dataclass(slots=True, eq=False)
class _Entry:
    message: Outgoing
    size: int
    added_at: float
    outcome: asyncio.Future[TenantryError | None]
    may_be_sent: bool = False

    def settle(self, outcome: TenantryError | None) -> None:
        if not self.outcome.done():
            self.outcome.set_result(outcome)


class SqsPublisher:
    """The publisher on SQS."""

    def __init__(
        self,
        client: SendCalls,
        metrics: ProducerMetrics,
        *,
        linger_seconds: float,
        calls_per_queue: int,
        queue_buffer_bytes: int,
        buffer_bytes: int,
        tracer: trace.Tracer | None = None,
    ) -> None:
        self.client = client
        self.metrics = metrics
        self.linger_seconds = linger_seconds
        self.calls_per_queue = calls_per_queue
        self.tracer = tracer
        self._queue_buffer_bytes = queue_buffer_bytes
        self._buffer_bytes = buffer_bytes
        self._lanes: dict[str, _Lane] = {}
        self._bytes = 0
        metrics.buffer_bytes.set_function(lambda: float(self._bytes))

    async def publish(
        self, queue_url: str, messages: Sequence[Outgoing], *, deadline: float
    ) -> list[TenantryError | None]:
        now = time.monotonic()
        if deadline <= now:
            return [NotAcceptedError("the message could not be sent in time") for _ in messages]
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(queue_url)
        if lane is None:
            lane = self._lanes[queue_url] = _Lane(self, queue_url)
        outcomes: list[asyncio.Future[TenantryError | None]] = []
        entries: list[_Entry] = []
        for message in messages:
            size = message.size_bytes()
            outcome: asyncio.Future[TenantryError | None] = loop.create_future()
            outcomes.append(outcome)
            if (
                lane.bytes + size > self._queue_buffer_bytes
                or self._bytes + size > self._buffer_bytes
            ):
                outcome.set_result(NotAcceptedError("too much waits to be sent already"))
                continue
            entry = _Entry(message, size, now, outcome)
            self.account(lane, size)
            entries.append(entry)
            lane.buffer.append(entry)
        if entries:
            lane.wake()
        self._forget_if_idle(lane)
        timer = loop.call_later(deadline - now, lane.give_up, entries)
        try:
            return [await outcome for outcome in outcomes]
        finally:
            timer.cancel()
            # The client left: what has not left is taken back.
            lane.give_up(entries)

    def account(self, lane: _Lane, size: int) -> None:
        """Bytes come in hand, or (negative) leave it."""
        lane.bytes += size
        self._bytes += size
        if size < 0:
            self._forget_if_idle(lane)

    def _forget_if_idle(self, lane: _Lane) -> None:
        if lane.is_idle():
            self._lanes.pop(lane.queue_url, None)

    async def close(self) -> None:
        """Wait for the calls in flight; the client's time-outs and entries' deadlines bound it."""
        while tasks := [task for lane in self._lanes.values() for task in lane.tasks]:
            await asyncio.wait(tasks)


@dataclass(eq=False)
class _Lane:
    """What goes to one queue."""

    publisher: SqsPublisher
    queue_url: str
    buffer: deque[_Entry] = field(default_factory=deque)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    bytes: int = 0
    _in_flight: int = 0
    _is_failing: bool = False
    _is_woken: bool = False
    _timer: asyncio.TimerHandle | None = None

    def is_idle(self) -> bool:
        return not self.buffer and not self.tasks and not self.bytes

    def wake(self) -> None:
        """Look at what is due once this turn of the loop is over: its requests may share."""
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._send_what_is_due)

    def give_up(self, entries: Sequence[_Entry]) -> None:
        """Nobody waits for these any longer: what has not left stays."""
        for entry in entries:
            # Cancelled: whoever waited for it left.
            if entry.outcome.done() and not entry.outcome.cancelled():
                continue
            if entry in self.buffer:
                self.buffer.remove(entry)
                self.publisher.account(self, -entry.size)
            entry.settle(
                OutcomeUnknownError("SQS did not confirm the message in time")
                if entry.may_be_sent
                else NotAcceptedError("the message could not be sent in time")
            )

    def _send_what_is_due(self) -> None:
        self._is_woken = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # A queue that fails gets one call at a time: connections are the others' too.
        calls = 1 if self._is_failing else self.publisher.calls_per_queue
        while self.buffer and len(self.tasks) < calls:
            waited = time.monotonic() - self.buffer[0].added_at
            batch = self._full_batch()
            if batch is None and waited < self.publisher.linger_seconds:
                self._timer = asyncio.get_running_loop().call_later(
                    self.publisher.linger_seconds - waited, self._send_what_is_due
                )
                return
            self._start(batch or self._take(len(self.buffer)))

    def _full_batch(self) -> list[_Entry] | None:
        """A batch that need not wait: full, or all that is in hand."""
        in_hand = len(self.buffer) + self._in_flight
        if len(self.buffer) >= min(SQS_BATCH_ENTRIES, in_hand):
            return self._take(SQS_BATCH_ENTRIES)
        if sum(entry.size for entry in self.buffer) >= SQS_BATCH_BYTES:
            return self._take(SQS_BATCH_ENTRIES)
        return None

    def _take(self, most: int) -> list[_Entry]:
        batch: list[_Entry] = []
        size = 0
        while self.buffer and len(batch) < min(most, SQS_BATCH_ENTRIES):
            size += self.buffer[0].size
            if batch and size > SQS_BATCH_BYTES:
                break
            batch.append(self.buffer.popleft())
        return batch

    def _start(self, batch: list[_Entry]) -> None:
        self._in_flight += len(batch)
        task = asyncio.create_task(self._deliver(batch), name="publisher.send")
        self.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, batch))

    def _ended(self, task: asyncio.Task[None], batch: list[_Entry]) -> None:
        self.tasks.discard(task)
        self._in_flight -= len(batch)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("send.failed", exc_info=error)
        for entry in batch:
            entry.settle(OutcomeUnknownError("the call to SQS was given up"))
        self.publisher.account(self, -sum(entry.size for entry in batch))
        if self.buffer:
            self._send_what_is_due()

    async def _deliver(self, batch: list[_Entry]) -> None:
        """Send until each entry has its outcome, or nobody waits for one."""
        backoff = FIRST_BACKOFF_SECONDS
        with self._span(batch):
            while waiting := [entry for entry in batch if not entry.outcome.done()]:
                if not await self._attempt(waiting):
                    await self._pause(waiting, random.uniform(0, backoff))  # noqa: S311 - jitter
                    backoff = min(MOST_BACKOFF_SECONDS, backoff * 2)

    @staticmethod
    async def _pause(waiting: Sequence[_Entry], seconds: float) -> None:
        """Back off, but no longer than somebody waits."""
        await asyncio.wait(
            [entry.outcome for entry in waiting],
            timeout=seconds,
            return_when=asyncio.ALL_COMPLETED,
        )

    async def _attempt(self, waiting: Sequence[_Entry]) -> bool:
        """One call. False if what is left should be tried again after a pause."""
        metrics = self.publisher.metrics
        started = time.perf_counter()
        # Until the answer says otherwise, SQS may have them.
        before = [entry.may_be_sent for entry in waiting]
        for entry in waiting:
            entry.may_be_sent = True
        try:
            answer = await self.publisher.client.send_message_batch(
                QueueUrl=self.queue_url, Entries=[_wire(n, e) for n, e in enumerate(waiting)]
            )
        except ClientError as error:
            return await self._refused(waiting, before, error)
        except BotoCoreError as error:
            self._is_failing = True
            if _left_nothing(error):
                _restore(waiting, before)
            metrics.send_calls.labels(outcome_of(error)).inc()
            return False
        # It answers, whatever it says of single entries: those are no reason to hold up others.
        if self._is_failing:
            self._is_failing = False
            self.wake()
        metrics.send_seconds.observe(time.perf_counter() - started)
        metrics.send_messages.observe(len(waiting))
        failed = answer.get("Failed", [])
        metrics.send_calls.labels("partial" if failed else "ok").inc()
        for sent in answer.get("Successful", []):
            waiting[int(sent["Id"])].settle(None)
        for failure in failed:
            entry = waiting[int(failure["Id"])]
            entry.may_be_sent = before[int(failure["Id"])]
            if failure.get("SenderFault") and not _is_passing(failure.get("Code", "")):
                entry.settle(
                    InvalidMessageError(f"the queue will not take it: {failure.get('Code')}")
                )
        return all(entry.outcome.done() for entry in waiting)

    async def _refused(
        self, waiting: Sequence[_Entry], before: Sequence[bool], error: ClientError
    ) -> bool:
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        # A refusal is an answer: nothing was taken. Only a server's error leaves a doubt.
        if status < 500:  # noqa: PLR2004 - HTTP's own border
            _restore(waiting, before)
        self._is_failing = code not in _UNUSABLE and code not in _DIVISIBLE
        self.publisher.metrics.send_calls.labels(outcome_of(error)).inc()
        if code in _UNUSABLE:
            log.warning("send.misplaced", queue=self.queue_url, code=code)
            for entry in waiting:
                entry.settle(MisplacedError("the tenant's queue cannot be used from here"))
            return True
        if code in _DIVISIBLE:
            return await self._divide(waiting, code)
        if code not in _THROTTLED:
            log.warning("send.refused", queue=self.queue_url, code=code, status=status)
        return False

    async def _divide(self, waiting: Sequence[_Entry], code: str) -> bool:
        """A call was refused for what is in it: halve it, until only the culprit is left."""
        if len(waiting) == 1:
            log.warning("send.entry_refused", queue=self.queue_url, code=code)
            waiting[0].settle(InvalidMessageError(f"the queue will not take it: {code}"))
            return True
        middle = len(waiting) // 2
        first = await self._attempt(waiting[:middle])
        # Who gave up meanwhile was told that nothing was sent, and that must stay true.
        rest = [entry for entry in waiting[middle:] if not entry.outcome.done()]
        return (not rest or await self._attempt(rest)) and first

    def _span(self, batch: Sequence[_Entry]) -> AbstractContextManager[Any]:
        tracer = self.publisher.tracer
        if tracer is None:
            return nullcontext()
        contexts = [
            extract(entry.message.attributes) for entry in batch if entry.message.attributes
        ]
        sources = [
            (context, source)
            for context in contexts
            if (source := trace.get_current_span(context).get_span_context()).trace_flags.sampled
        ]
        if not sources:
            return nullcontext()
        name = self.queue_url.rsplit("/", 1)[-1]
        return tracer.start_as_current_span(
            f"send {name}",
            # Not the span of whichever request woke the lane: that one may not be sampled.
            context=sources[0][0],
            kind=trace.SpanKind.CLIENT,
            links=[trace.Link(source) for _, source in sources],
            attributes={
                **MESSAGING_SYSTEM,
                "messaging.operation.name": "send",
                "messaging.operation.type": "send",
                "messaging.destination.name": name,
                "messaging.batch.message_count": len(batch),
            },
        )


def _left_nothing(error: BotoCoreError) -> bool:
    """Whether an error came before anything was sent."""
    if not isinstance(error, _NOT_SENT):
        return False
    # aiobotocore gives a connection that broke under way the name of one that was never made.
    cause = error.kwargs.get("error")
    return isinstance(cause, aiohttp.ClientConnectorError) or not isinstance(
        cause, aiohttp.ClientConnectionError
    )


def _is_passing(code: str) -> bool:
    """Too fast, or the queue's key: SQS calls it the sender's fault, but not the message's."""
    return code in _THROTTLED or code.upper().startswith("KMS")


def _restore(waiting: Sequence[_Entry], before: Sequence[bool]) -> None:
    for entry, was in zip(waiting, before, strict=True):
        entry.may_be_sent = was


def _wire(number: int, entry: _Entry) -> Any:
    message = entry.message
    wire: dict[str, Any] = {"Id": str(number), "MessageBody": message.body}
    if message.group_id is not None:
        wire["MessageGroupId"] = message.group_id
    if message.attributes:
        wire["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in message.attributes.items()
        }
    return wire
