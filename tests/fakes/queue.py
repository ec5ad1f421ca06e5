"""SQS in memory: standard queues that keep the promises of SQS, and break where it may.

`FakeSqs` is the engine. Its `queue` and `forwarder` are the consumer's ports on it; it is also
what `fakes.publisher` sends to. Time is the caller's: with a `Clock`, nothing becomes visible
and no long poll ends until `FakeSqs.advance` says so.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final, Literal

from consumer.queue import Delivery, Forwarder, Queue, QueueUnavailableError, Settled
from fakes.clock import Clock
from tenantry.contract import utf8_bytes
from tenantry.limits import (
    DEFAULT_MAX_MESSAGE_BYTES,
    SQS_BATCH_BYTES,
    SQS_BATCH_ENTRIES,
    SQS_MAX_VISIBILITY_SECONDS,
)

#: The calls of the ports, and `send`, which is the producer's.
Operation = Literal["receive", "delete", "set_visibility", "forward", "send"]

#: In which order a receive takes what is visible. `fair` as documented for fair queues: of the
#: groups the one with the least in flight. `shuffled`: a standard queue promises no order.
Order = Literal["sent", "fair", "shuffled"]

#: What became of one entry of a batch: None if it was done, else SQS's code.
Verdict = str | None

#: SQS takes what XML 1.0 takes.
_TAKEN: Final = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")

#: Codes whose entries SQS marks as the sender's fault, so that they are never tried again.
SENDER_FAULTS: Final = frozenset(
    {"InvalidParameterValue", "InvalidMessageContents", "InvalidAttributeValue"}
)
#: The code of a call that took effect and whose answer never came.
LOST_ANSWER: Final = "RequestTimeout"
_LOST: Final = frozenset({"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"})
_MOST_ATTRIBUTES: Final = 10
_ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,256}")


def _monotonic() -> float:
    return time.monotonic()  # looked up with each call: tests may turn time themselves


class CallFailedError(Exception):
    """A whole call fails; the text is SQS's code."""


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """A message of a queue, for tests to look at.

    Attributes:
        visible_at: Of the engine's clock.
        handle: Of its last receive; the earlier ones are stale.
    """

    body: bytes
    attributes: dict[str, str] = field(default_factory=dict)
    group_id: str | None = None
    sent_at: float = 0.0
    visible_at: float = 0.0
    received_at: float = 0.0
    receive_count: int = 0
    handle: str | None = None


@dataclass(slots=True, eq=False)
class QueueState:
    """One queue: its attributes, and what it holds."""

    url: str
    visibility_seconds: float = 30.0
    max_receive_count: int | None = None
    dead_letter_url: str | None = None
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES
    messages: list[QueuedMessage] = field(default_factory=list)
    #: Of messages that were deleted: deleting again is no error.
    deleted_handles: set[str] = field(default_factory=set)

    @property
    def bodies(self) -> list[bytes]:
        """What it holds, visible or not, as it was sent."""
        return [message.body for message in self.messages]


@dataclass(frozen=True, slots=True)
class Call:
    """A call that arrived, whatever became of it; `entries` is 0 for a receive."""

    operation: Operation
    queue_url: str
    entries: int
    bytes: int = 0


@dataclass(slots=True)
class _Failure:
    code: str
    times: int
    is_lost_answer: bool


@dataclass(frozen=True, slots=True)
class _Ghost:
    """A poll whose client left: what it is about to bring is hidden, and reaches nobody."""

    url: str
    until: float
    most: int
    visibility_seconds: float


class FakeSqs:
    """An account's queues.

    Faults are set before the call that shall feel them:

    - `fail(operation, times, code)`: whole calls fail, and change nothing.
    - `lose_answers(operation, times)`: calls take effect, and then fail.
    - `refuse(operation, verdict)`: single entries fail, with SQS's code for each body, or None.
    - `down = True`: every call fails until it is False again.
    - `gate(operation)`: an event; cleared, calls wait before they take effect.

    Attributes:
        calls: Every call that arrived.
        down: Nothing answers.
    """

    def __init__(
        self,
        clock: Callable[[], float] = _monotonic,
        *,
        order: Order = "sent",
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.down = False
        self._order: Order = order
        self._random = random.Random(seed)
        self._queues: dict[str, QueueState] = {}
        self._failures: dict[Operation, list[_Failure]] = {}
        self._refusals: dict[Operation, Callable[[bytes], Verdict]] = {}
        self._gates: dict[Operation, asyncio.Event] = {}
        self._ghosts: list[_Ghost] = []
        self._numbers = count(1)
        self._changed = asyncio.Condition()
        self._waiting: Counter[str] = Counter()

    # What a test sets up and looks at

    def create(
        self,
        url: str,
        *,
        visibility_seconds: float = 30.0,
        dead_letter_url: str | None = None,
        max_receive_count: int | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> QueueState:
        """Make a queue, and its dead-letter queue if there is none."""
        if dead_letter_url is not None and dead_letter_url not in self._queues:
            self.create(dead_letter_url, max_message_bytes=max_message_bytes)
        state = QueueState(
            url, visibility_seconds, max_receive_count, dead_letter_url, max_message_bytes
        )
        self._queues[url] = state
        return state

    def remove(self, url: str) -> None:
        """Delete a queue with what it holds."""
        del self._queues[url]

    def state(self, url: str) -> QueueState:
        """A queue as it stands now."""
        return self._queues[url]

    def queue(self, url: str, *, visibility_seconds: float | None = None) -> FakeQueue:
        """The consumer's port on one queue."""
        return FakeQueue(self, url, visibility_seconds)

    def forwarder(self) -> FakeForwarder:
        """The consumer's port for sending on."""
        return FakeForwarder(self)

    def visible(self, url: str) -> list[QueuedMessage]:
        """What a receive could bring now."""
        now = self.clock()
        return [one for one in self._queues[url].messages if one.visible_at <= now]

    def in_flight(self, url: str) -> list[QueuedMessage]:
        """What is received, and neither deleted nor visible again."""
        now = self.clock()
        return [one for one in self._queues[url].messages if one.visible_at > now]

    def polls(self, url: str) -> int:
        """Long polls that wait for a message now."""
        return self._waiting[url]

    def count(self, operation: Operation) -> int:
        """Calls of one operation that arrived so far."""
        return sum(call.operation == operation for call in self.calls)

    async def advance(self, seconds: float) -> None:
        """Let time pass for the queues; the engine's clock must be a `Clock`."""
        assert isinstance(self.clock, Clock), "only a Clock can be told to move"
        self.clock.advance(seconds)
        await self._notify()

    async def send(
        self,
        url: str,
        body: str | bytes,
        *,
        attributes: Mapping[str, str] | None = None,
        group_id: str | None = None,
        receive_count: int = 0,
    ) -> QueuedMessage:
        """Put a message there, without a call."""
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        return (await self._put(url, [(raw, attributes or {}, group_id, receive_count)]))[0]

    def fail(self, operation: Operation, times: int = 1, code: str = "ServiceUnavailable") -> None:
        """The next calls fail whole and change nothing."""
        self._failures.setdefault(operation, []).append(_Failure(code, times, False))

    def lose_answers(self, operation: Operation, times: int = 1) -> None:
        """The next calls take effect, and their callers see a failure."""
        self._failures.setdefault(operation, []).append(_Failure(LOST_ANSWER, times, True))

    def refuse(self, operation: Operation, verdict: Callable[[bytes], Verdict] | None) -> None:
        """Entries fail by their bodies from now on; None ends it."""
        self._refusals.pop(operation, None)
        if verdict is not None:
            self._refusals[operation] = verdict

    def gate(self, operation: Operation) -> asyncio.Event:
        """The event that calls of an operation wait for; open at first."""
        if operation not in self._gates:
            self._gates[operation] = asyncio.Event()
            self._gates[operation].set()
        return self._gates[operation]

    # What SQS does

    async def receive(
        self, url: str, most: int, *, wait_seconds: float, visibility_seconds: float | None = None
    ) -> list[tuple[str, QueuedMessage]]:
        """ReceiveMessage: the handle of each message, and the message as it stands then.

        Raises:
            CallFailedError: Nothing was received.
        """
        if not 1 <= most <= SQS_BATCH_ENTRIES or not 0 <= wait_seconds <= 20:
            raise CallFailedError("InvalidParameterValue")
        lost = await self._begin(Call("receive", url, 0))
        until = self.clock() + wait_seconds
        hidden = self._state(url).visibility_seconds
        hidden = hidden if visibility_seconds is None else visibility_seconds
        self._waiting[url] += 1
        try:
            while not (taken := self._take(url, most, hidden)):
                if self.clock() >= until:
                    break
                await self._wait(url, until)
        except asyncio.CancelledError:
            self._ghosts.append(_Ghost(url, until, most, hidden))
            raise
        finally:
            self._waiting[url] -= 1
        if lost is not None:
            raise CallFailedError(lost.code)
        return taken

    async def delete(self, url: str, handles: Sequence[str]) -> list[Verdict]:
        """DeleteMessageBatch, an outcome for each handle.

        A handle that is not of the message's last receive deletes nothing. SQS itself does not
        always say so.

        Raises:
            CallFailedError: None was deleted, or that is not known.
        """
        lost = await self._begin(Call("delete", url, len(handles)))
        state = self._state(url)
        _check_batch(len(handles))
        verdicts: list[Verdict] = []
        for handle in handles:
            message = _by_handle(state, handle)
            if message is None:
                known = handle in state.deleted_handles
                verdicts.append(None if known else "ReceiptHandleIsInvalid")
                continue
            verdict = self._refused("delete", message.body)
            if verdict is None:
                state.messages.remove(message)
                state.deleted_handles.add(handle)
            verdicts.append(verdict)
        if lost is not None:
            raise CallFailedError(lost.code)
        return verdicts

    async def set_visibility(
        self, url: str, handles: Sequence[str], seconds: float
    ) -> list[Verdict]:
        """ChangeMessageVisibilityBatch, an outcome for each handle.

        Raises:
            CallFailedError: None was changed, or that is not known.
        """
        lost = await self._begin(Call("set_visibility", url, len(handles)))
        state = self._state(url)
        _check_batch(len(handles))
        now = self.clock()
        verdicts: list[Verdict] = []
        for handle in handles:
            message = _by_handle(state, handle)
            if message is None:
                known = handle in state.deleted_handles
                verdicts.append("InvalidParameterValue" if known else "ReceiptHandleIsInvalid")
            elif message.visible_at <= now:
                verdicts.append("MessageNotInflight")
            elif now + seconds - message.received_at > SQS_MAX_VISIBILITY_SECONDS:
                verdicts.append("InvalidParameterValue")
            else:
                verdict = self._refused("set_visibility", message.body)
                if verdict is None:
                    message.visible_at = now + seconds
                verdicts.append(verdict)
        await self._notify()
        if lost is not None:
            raise CallFailedError(lost.code)
        return verdicts

    async def send_batch(
        self,
        operation: Literal["send", "forward"],
        url: str,
        entries: Sequence[tuple[bytes, Mapping[str, str], str | None]],
    ) -> list[Verdict]:
        """SendMessageBatch, an outcome for each body with its attributes and its group.

        Raises:
            CallFailedError: None was sent, or that is not known.
        """
        sizes = [message_bytes(body, attributes) for body, attributes, _ in entries]
        lost = await self._begin(Call(operation, url, len(entries), sum(sizes)))
        state = self._state(url)
        _check_batch(len(entries))
        if sum(sizes) > SQS_BATCH_BYTES:
            raise CallFailedError("BatchRequestTooLong")
        verdicts: list[Verdict] = []
        for (body, attributes, _), size in zip(entries, sizes, strict=True):
            verdict = self._refused(operation, body)
            if not body or size > state.max_message_bytes or not _are_attributes(attributes):
                verdict = "InvalidParameterValue"
            elif not _TAKEN.fullmatch(body.decode("utf-8", "surrogatepass")):
                verdict = "InvalidMessageContents"
            verdicts.append(verdict)
        taken = [
            (*entry, 0)
            for entry, verdict in zip(entries, verdicts, strict=True)
            if verdict is None
        ]
        await self._put(url, taken)
        if lost is not None:
            raise CallFailedError(lost.code)
        return verdicts

    # Inside

    async def _begin(self, call: Call) -> _Failure | None:
        """Note a call; the failure that its caller shall see although it takes effect."""
        self.calls.append(call)
        if call.operation in self._gates:
            await self._gates[call.operation].wait()
        if self.down:
            raise CallFailedError("ServiceUnavailable")
        pending = self._failures.get(call.operation)
        if not pending:
            return None
        failure = pending[0]
        failure.times -= 1
        if not failure.times:
            pending.pop(0)
        if failure.is_lost_answer:
            return failure
        raise CallFailedError(failure.code)

    def _refused(self, operation: Operation, body: bytes) -> Verdict:
        refusal = self._refusals.get(operation)
        return None if refusal is None else refusal(body)

    def _state(self, url: str) -> QueueState:
        if url not in self._queues:
            raise CallFailedError("AWS.SimpleQueueService.NonExistentQueue")
        return self._queues[url]

    async def _put(
        self, url: str, entries: Sequence[tuple[bytes, Mapping[str, str], str | None, int]]
    ) -> list[QueuedMessage]:
        now = self.clock()
        messages = [
            QueuedMessage(
                body,
                dict(attributes),
                group_id,
                sent_at=int(time.time() * 1_000) / 1_000,
                visible_at=now,
                receive_count=receive_count,
            )
            for body, attributes, group_id, receive_count in entries
        ]
        self._queues[url].messages.extend(messages)
        for ghost in [one for one in self._ghosts if one.url == url]:
            if ghost.until > now and self._take(url, ghost.most, ghost.visibility_seconds):
                self._ghosts.remove(ghost)
        await self._notify()
        return messages

    def _take(self, url: str, most: int, hidden: float) -> list[tuple[str, QueuedMessage]]:
        state, now = self._state(url), self.clock()
        taken: list[tuple[str, QueuedMessage]] = []
        while len(taken) < most and (message := self._next(state)) is not None:
            if (
                state.max_receive_count is not None
                and state.dead_letter_url is not None
                and message.receive_count >= state.max_receive_count
            ):
                # It keeps its age: on a standard queue a dead letter is as old as it was.
                state.messages.remove(message)
                self._state(state.dead_letter_url).messages.append(message)
                continue
            message.receive_count += 1
            message.received_at = now
            message.visible_at = now + hidden
            message.handle = f"handle-{next(self._numbers)}"
            taken.append((message.handle, message))
            if hidden <= 0:
                break  # it is visible at once, and would be taken for ever
        return taken

    def _next(self, state: QueueState) -> QueuedMessage | None:
        ready = self.visible(state.url)
        if not ready:
            return None
        match self._order:
            case "sent":
                return ready[0]
            case "shuffled":
                return self._random.choice(ready)
            case "fair":
                busy = Counter(one.group_id for one in self.in_flight(state.url))
                return min(ready, key=lambda one: busy[one.group_id])

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, url: str, until: float) -> None:
        """Until something changed, or time alone may have."""
        timeout: float | None = None
        if not isinstance(self.clock, Clock):
            now = self.clock()
            next_visible = [one.visible_at for one in self._state(url).messages]
            timeout = max(0.0, min([until, *next_visible]) - now)
        try:
            async with asyncio.timeout(timeout), self._changed:
                await self._changed.wait()
        except TimeoutError:
            return


class FakeQueue(Queue):
    """One queue of a `FakeSqs`, as the consumer uses it."""

    def __init__(self, sqs: FakeSqs, url: str, visibility_seconds: float | None) -> None:
        self.sqs = sqs
        self.url = url
        self._visibility_seconds = visibility_seconds

    async def receive(self, most: int, *, wait_seconds: int) -> list[Delivery]:
        try:
            taken = await self.sqs.receive(
                self.url,
                most,
                wait_seconds=wait_seconds,
                visibility_seconds=self._visibility_seconds,
            )
        except CallFailedError as error:
            raise QueueUnavailableError(str(error)) from error
        return [
            Delivery(
                receipt_handle=handle,
                body=message.body,
                attributes=dict(message.attributes),
                receive_count=message.receive_count,
                sent_at=message.sent_at,
                received_at=message.received_at,
            )
            for handle, message in taken
        ]

    async def delete(self, deliveries: Sequence[Delivery]) -> Settled:
        async def call(handles: Sequence[str]) -> list[Verdict]:
            return await self.sqs.delete(self.url, handles)

        return await self._settle(deliveries, call)

    async def set_visibility(self, deliveries: Sequence[Delivery], seconds: int) -> Settled:
        async def call(handles: Sequence[str]) -> list[Verdict]:
            return await self.sqs.set_visibility(self.url, handles, seconds)

        return await self._settle(deliveries, call)

    @staticmethod
    async def _settle(
        deliveries: Sequence[Delivery], call: Callable[[Sequence[str]], Awaitable[list[Verdict]]]
    ) -> Settled:
        parts = []
        for start in range(0, len(deliveries), SQS_BATCH_ENTRIES):
            batch = deliveries[start : start + SQS_BATCH_ENTRIES]
            try:
                verdicts = await call([one.receipt_handle for one in batch])
            except CallFailedError:
                verdicts = ["ServiceUnavailable"] * len(batch)
            parts.append(_settled(batch, verdicts, _LOST))
        return _together(parts)


class FakeForwarder(Forwarder):
    """Sends on to the queues of a `FakeSqs`."""

    def __init__(self, sqs: FakeSqs) -> None:
        self.sqs = sqs

    async def forward(
        self, queue_url: str, group_id: str | None, deliveries: Sequence[Delivery]
    ) -> Settled:
        parts = []
        for batch in _packed(deliveries):
            entries = [(one.body, one.attributes, group_id) for one in batch]
            try:
                verdicts = await self.sqs.send_batch("forward", queue_url, entries)
            except CallFailedError:
                verdicts = ["ServiceUnavailable"] * len(batch)
            parts.append(_settled(batch, verdicts, SENDER_FAULTS))
        return _together(parts)


def message_bytes(body: bytes, attributes: Mapping[str, str]) -> int:
    """What SQS counts of a message: body, and name, type and value of each attribute."""
    return len(body) + sum(
        utf8_bytes(name) + len("String") + utf8_bytes(value) for name, value in attributes.items()
    )


def _are_attributes(attributes: Mapping[str, str]) -> bool:
    return len(attributes) <= _MOST_ATTRIBUTES and all(
        _ATTRIBUTE_NAME.fullmatch(name) and value for name, value in attributes.items()
    )


def _packed(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    batches: list[list[Delivery]] = [[]]
    size = 0
    for one in deliveries:
        own = message_bytes(one.body, one.attributes)
        if batches[-1] and (len(batches[-1]) == SQS_BATCH_ENTRIES or size + own > SQS_BATCH_BYTES):
            batches.append([])
            size = 0
        batches[-1].append(one)
        size += own
    return [batch for batch in batches if batch]


def _check_batch(entries: int) -> None:
    if not entries:
        raise CallFailedError("AWS.SimpleQueueService.EmptyBatchRequest")
    if entries > SQS_BATCH_ENTRIES:
        raise CallFailedError("AWS.SimpleQueueService.TooManyEntriesInBatchRequest")


def _by_handle(state: QueueState, handle: str) -> QueuedMessage | None:
    return next((one for one in state.messages if one.handle == handle), None)


def _settled(
    batch: Sequence[Delivery], verdicts: Sequence[Verdict], lost: frozenset[str]
) -> Settled:
    pairs = list(zip(batch, verdicts, strict=True))
    return Settled(
        done=tuple(one for one, verdict in pairs if verdict is None),
        lost=tuple(one for one, verdict in pairs if verdict in lost),
        failed=tuple(one for one, verdict in pairs if verdict is not None and verdict not in lost),
    )


def _together(parts: Sequence[Settled]) -> Settled:
    return Settled(
        done=tuple(one for part in parts for one in part.done),
        lost=tuple(one for part in parts for one in part.lost),
        failed=tuple(one for part in parts for one in part.failed),
    )
