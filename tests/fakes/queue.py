"""SQS in memory: the stand-in's queues, with faults, and with time for the caller to turn.

`FakeSqs` is the engine. Its `queue` and `forwarder` are the consumer's ports on it; it is also
what `fakes.publisher` sends to. Its queues are `tenantry_local.sqs_standin`'s. Time is the
caller's: with a `Clock`, nothing becomes visible and no long poll ends until `FakeSqs.advance`
says so.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from consumer.queue import Delivery, Forwarder, Queue, QueueUnavailableError, Settled
from fakes.clock import Clock
from tenantry.contract import utf8_bytes
from tenantry.limits import DEFAULT_MAX_MESSAGE_BYTES, SQS_BATCH_BYTES, SQS_BATCH_ENTRIES
from tenantry_local.sqs_messages_standin import parse
from tenantry_local.sqs_requests_standin import RefusedEntryError, check
from tenantry_local.sqs_standin import Message, QueueState, Refusal

#: The calls of the ports, and `send`, which is the producer's.
Operation = Literal["receive", "delete", "set_visibility", "forward", "send"]

#: What became of one entry of a batch: None if it was done, else SQS's code.
Verdict = str | None

#: Codes whose entries SQS marks as the sender's fault, so that they are never tried again.
SENDER_FAULTS: Final = frozenset(
    {"InvalidParameterValue", "InvalidMessageContents", "InvalidAttributeValue"}
)
#: The code of a call that took effect and whose answer never came.
LOST_ANSWER: Final = "RequestTimeout"
_LOST: Final = frozenset(
    {"ReceiptHandleIsInvalid", "InvalidParameterValue"}
    | {"AWS.SimpleQueueService.MessageNotInflight"}
)


def _monotonic() -> float:
    return time.monotonic()  # looked up with each call: tests may turn time themselves


class CallFailedError(Exception):
    """A whole call fails; the text is SQS's code."""


class FakeQueueState(QueueState):
    """One queue: its attributes, and what it holds."""

    max_message_bytes = DEFAULT_MAX_MESSAGE_BYTES

    @property
    def messages(self) -> list[Message]:
        """What it holds, visible or not, in the order in which it was sent."""
        return sorted((*self.all_visible(), *self.all_hidden()), key=lambda one: one.number)

    @property
    def bodies(self) -> list[bytes]:
        """The same, as it was sent."""
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
    visibility_seconds: float | None


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

    def __init__(self, clock: Callable[[], float] = _monotonic) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.down = False
        # Queues know one time, deliveries when they were sent by the calendar.
        self._epoch = time.time() - clock()
        self._queues: dict[str, FakeQueueState] = {}
        self._failures: dict[Operation, list[_Failure]] = {}
        self._refusals: dict[Operation, Callable[[bytes], Verdict]] = {}
        self._gates: dict[Operation, asyncio.Event] = {}
        self._ghosts: list[_Ghost] = []
        self._changed = asyncio.Condition()
        self._waiting: Counter[str] = Counter()

    # What a test sets up and looks at

    def create(
        self,
        url: str,
        *,
        dead_letter_url: str | None = None,
        max_receive_count: int | None = None,
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    ) -> FakeQueueState:
        """Make a queue, and its dead-letter queue if there is none."""
        if dead_letter_url is not None and dead_letter_url not in self._queues:
            self.create(dead_letter_url, max_message_bytes=max_message_bytes)
        state = self._queues[url] = FakeQueueState(url)
        state.max_message_bytes = max_message_bytes
        state.max_receive_count = max_receive_count
        state.dead_letters = None if dead_letter_url is None else self._queues[dead_letter_url]
        return state

    def remove(self, url: str) -> None:
        """Delete a queue with what it holds."""
        self._queues.pop(url).is_deleted = True

    def state(self, url: str) -> FakeQueueState:
        """A queue as it stands now."""
        return self._queues[url]

    def queue(self, url: str, *, visibility_seconds: float | None = None) -> FakeQueue:
        """The consumer's port on one queue."""
        return FakeQueue(self, url, visibility_seconds)

    def forwarder(self) -> FakeForwarder:
        """The consumer's port for sending on."""
        return FakeForwarder(self)

    def visible(self, url: str) -> list[Message]:
        """What a receive could bring now."""
        self._queues[url].settle(self.clock())
        return self._queues[url].all_visible()

    def in_flight(self, url: str) -> list[Message]:
        """What is received, and neither deleted nor visible again."""
        self._queues[url].settle(self.clock())
        return self._queues[url].all_hidden()

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
    ) -> Message:
        """Put a message there, without a call."""
        raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
        message = Message(raw, dict(attributes or {}), group_id)
        await self._put(url, [message])
        return message

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
    ) -> list[Delivery]:
        """ReceiveMessage.

        Raises:
            CallFailedError: Nothing was received.
        """
        if not 1 <= most <= SQS_BATCH_ENTRIES or not 0 <= wait_seconds <= 20:
            raise CallFailedError("InvalidParameterValue")
        lost = await self._begin(Call("receive", url, 0))
        until = self.clock() + wait_seconds
        self._waiting[url] += 1
        try:
            while not (taken := self._take(url, most, visibility_seconds)):
                if self.clock() >= until:
                    break
                await self._wait(url, until)
        except asyncio.CancelledError:
            self._ghosts.append(_Ghost(url, until, most, visibility_seconds))
            raise
        finally:
            self._waiting[url] -= 1
        if lost is not None:
            raise CallFailedError(lost.code)
        return [self._delivery(one) for one in taken]

    async def delete(self, url: str, handles: Sequence[str]) -> list[Verdict]:
        """DeleteMessageBatch, an outcome for each handle.

        Raises:
            CallFailedError: None was deleted, or that is not known.
        """
        return await self._settle("delete", url, handles, QueueState.delete)

    async def set_visibility(
        self, url: str, handles: Sequence[str], seconds: float
    ) -> list[Verdict]:
        """ChangeMessageVisibilityBatch, an outcome for each handle.

        Raises:
            CallFailedError: None was changed, or that is not known.
        """
        return await self._settle(
            "set_visibility",
            url,
            handles,
            lambda state, handle, now: state.set_visibility(handle, seconds, now),
        )

    async def send_batch(
        self, operation: Literal["send", "forward"], url: str, entries: Sequence[Any]
    ) -> list[Verdict]:
        """SendMessageBatch, an outcome for each entry, which is as botocore's.

        Raises:
            CallFailedError: None was sent, or that is not known.
        """
        sizes = [entry_bytes(entry) for entry in entries]
        lost = await self._begin(Call(operation, url, len(entries), sum(sizes)))
        state = self._state(url)
        _check_batch(len(entries))
        if sum(sizes) > SQS_BATCH_BYTES:
            raise CallFailedError("BatchRequestTooLong")
        verdicts: list[Verdict] = []
        taken: list[Message] = []
        for entry in entries:
            verdict = self._refused(
                operation, entry["MessageBody"].encode("utf-8", "surrogatepass")
            )
            try:
                message, size = parse(entry, "")
            except RefusedEntryError as error:
                verdict = error.code
            else:
                if size > state.max_message_bytes:
                    verdict = "InvalidParameterValue"
                message.body = message.body.encode()
                message.attributes = plain_attributes(entry)
                taken += [message] * (verdict is None)
            verdicts.append(verdict)
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

    def _state(self, url: str) -> FakeQueueState:
        if url not in self._queues:
            raise CallFailedError("AWS.SimpleQueueService.NonExistentQueue")
        return self._queues[url]

    async def _settle(
        self,
        operation: Literal["delete", "set_visibility"],
        url: str,
        handles: Sequence[str],
        do: Callable[[FakeQueueState, str, float], Refusal],
    ) -> list[Verdict]:
        lost = await self._begin(Call(operation, url, len(handles)))
        state = self._state(url)
        _check_batch(len(handles))
        verdicts: list[Verdict] = []
        for handle in handles:
            message = state.find(handle)
            verdict = None if message is None else self._refused(operation, message.body)
            if verdict is None:
                try:
                    check(do(state, handle, self.clock()))
                except RefusedEntryError as error:
                    verdict = error.code
            verdicts.append(verdict)
        await self._notify()
        if lost is not None:
            raise CallFailedError(lost.code)
        return verdicts

    async def _put(self, url: str, messages: Sequence[Message]) -> None:
        now = self.clock()
        for message in messages:
            self._queues[url].send(message, now)
        for ghost in [one for one in self._ghosts if one.url == url]:
            if ghost.until > now and self._take(url, ghost.most, ghost.visibility_seconds):
                self._ghosts.remove(ghost)
        await self._notify()

    def _take(self, url: str, most: int, hidden: float | None) -> list[Message]:
        return self._state(url).receive(most, self.clock(), visibility_seconds=hidden)

    def _delivery(self, message: Message) -> Delivery:
        assert message.handle is not None
        return Delivery(
            receipt_handle=message.handle,
            body=message.body,
            attributes=dict(message.attributes or {}),
            receive_count=message.receive_count,
            sent_at=int((message.sent_at + self._epoch) * 1_000) / 1_000,
            received_at=message.received_at,
        )

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, url: str, until: float) -> None:
        """Until something changed, or time alone may have."""
        timeout: float | None = None
        if not isinstance(self.clock, Clock):
            change = self._state(url).next_change()
            timeout = max(0.0, min(until, until if change is None else change) - self.clock())
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
            return await self.sqs.receive(
                self.url,
                most,
                wait_seconds=wait_seconds,
                visibility_seconds=self._visibility_seconds,
            )
        except CallFailedError as error:
            raise QueueUnavailableError(str(error)) from error

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
            entries = [wire_entry(one.body.decode(), one.attributes, group_id) for one in batch]
            try:
                verdicts = await self.sqs.send_batch("forward", queue_url, entries)
            except CallFailedError:
                verdicts = ["ServiceUnavailable"] * len(batch)
            parts.append(_settled(batch, verdicts, SENDER_FAULTS))
        return _together(parts)


def wire_entry(body: str, attributes: Mapping[str, str], group_id: str | None) -> dict[str, Any]:
    """An entry of SendMessageBatch, but for its id."""
    entry: dict[str, Any] = {"MessageBody": body}
    if group_id is not None:
        entry["MessageGroupId"] = group_id
    entry["MessageAttributes"] = {
        name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
    }
    return entry


def plain_attributes(entry: Mapping[str, Any]) -> dict[str, str]:
    """The attributes of an entry as a delivery has them."""
    attributes = entry.get("MessageAttributes", {})
    return {name: value["StringValue"] for name, value in attributes.items()}


def entry_bytes(entry: Mapping[str, Any]) -> int:
    """What SQS counts of an entry: body, and name, type and value of each attribute."""
    attributes = plain_attributes(entry)
    return utf8_bytes(entry["MessageBody"]) + sum(
        utf8_bytes(name) + len("String") + utf8_bytes(value) for name, value in attributes.items()
    )


def _packed(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    batches: list[list[Delivery]] = [[]]
    size = 0
    for one in deliveries:
        own = entry_bytes(wire_entry(one.body.decode(), one.attributes, None))
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
