"""What a producer sends by, in memory: its port, and the client below the port."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from fakes.queue import (
    LOST_ANSWER,
    SENDER_FAULTS,
    CallFailedError,
    FakeSqs,
    entry_bytes,
    wire_entry,
)
from producer.publisher import Outgoing, Publisher
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)

#: What a scripted call does: raise it, answer it, compute the answer, or (None) as usual.
Step = BaseException | dict[str, Any] | Callable[[Sequence[Any]], dict[str, Any]] | None


def client_error(code: str, status: int = 400) -> ClientError:
    """What botocore raises for a refusal."""
    response: Any = {
        "Error": {"Code": code, "Message": code},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "SendMessageBatch")


def failed(number: int | str, code: str, *, sender_fault: bool) -> dict[str, Any]:
    """One entry of `Failed` in an answer."""
    return {"Id": str(number), "Code": code, "SenderFault": sender_fault, "Message": code}


class FakePublisher(Publisher):
    """Takes messages for any queue; or, on a `FakeSqs`, sends to the queues that are there.

    - `outcome`: what becomes of a message; None is confirmed. Asked for each one.
    - `open`: an event; cleared, calls wait for it, at most until their deadline: then their
      messages were not sent (`NotAcceptedError`), or, with `leave_unknown`, may have been.

    Attributes:
        sent: Queue URL and message of what was confirmed, in order.
        calls: Queue URL and messages of each call.
    """

    def __init__(self, sqs: FakeSqs | None = None) -> None:
        self.sent: list[tuple[str, Outgoing]] = []
        self.calls: list[tuple[str, list[Outgoing]]] = []
        self.outcome: Callable[[Outgoing], TenantryError | None] = lambda _: None
        self.leave_unknown = False
        self.open = asyncio.Event()
        self.open.set()
        self._sqs = sqs

    def messages(self, queue_url: str) -> list[Outgoing]:
        """What one queue took."""
        return [message for url, message in self.sent if url == queue_url]

    async def publish(
        self, queue_url: str, messages: Sequence[Outgoing], *, deadline: float
    ) -> list[TenantryError | None]:
        self.calls.append((queue_url, list(messages)))
        if not self.open.is_set():
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self.open.wait()
            except TimeoutError:
                if self.leave_unknown:
                    return [OutcomeUnknownError("SQS did not confirm in time") for _ in messages]
                return [NotAcceptedError("could not be sent in time") for _ in messages]
        return [await self._one(queue_url, message) for message in messages]

    async def _one(self, queue_url: str, message: Outgoing) -> TenantryError | None:
        outcome = self.outcome(message)
        if outcome is None and self._sqs is not None:
            entry = wire_entry(message.body, message.attributes, message.group_id)
            try:
                (verdict,) = await self._sqs.send_batch("send", queue_url, [entry])
            except CallFailedError as error:
                if "NonExistentQueue" in str(error):
                    return MisplacedError("the tenant's queue cannot be used from here")
                if str(error) == LOST_ANSWER:
                    return OutcomeUnknownError("SQS did not confirm in time")
                return NotAcceptedError("the message could not be sent in time")
            if verdict is not None:
                outcome = InvalidMessageError(f"the queue will not take it: {verdict}")
        if outcome is None:
            self.sent.append((queue_url, message))
        return outcome


@dataclass(slots=True, eq=False)
class SendCall:
    """A SendMessageBatch that arrived. `at` is of `time.monotonic`."""

    queue_url: str
    entries: list[Any]
    at: float
    done: bool = False

    @property
    def bodies(self) -> list[str]:
        """The bodies of its entries, in order."""
        return [entry["MessageBody"] for entry in self.entries]

    @property
    def bytes(self) -> int:
        """What SQS counts of it."""
        return sum(entry_bytes(entry) for entry in self.entries)


@dataclass(slots=True)
class _Gate:
    event: asyncio.Event = field(default_factory=asyncio.Event)


class FakeSqsClient:
    """`send_message_batch` of an SQS client, and nothing else.

    - `then(*steps)`: what the next calls do, one step each; afterwards all goes well.
    - `hold(queue_url)`: calls (to one queue, or all) wait for the event that it returns, and
      take effect then.
    - `delay`: seconds that every call takes.

    Attributes:
        calls: Every call, in the order of arrival.
        in_flight: Calls that are not answered yet, by queue.
        most_in_flight: The most there ever were, by queue.
    """

    def __init__(self, sqs: FakeSqs | None = None) -> None:
        self.calls: list[SendCall] = []
        self.in_flight: Counter[str] = Counter()
        self.most_in_flight: Counter[str] = Counter()
        self.delay = 0.0
        self._sqs = sqs
        self._steps: deque[Step] = deque()
        self._gates: dict[str | None, _Gate] = {}
        self._numbers = count(1)

    @property
    def bodies(self) -> list[str]:
        """Every body that was sent, again or not."""
        return [body for call in self.calls for body in call.bodies]

    def then(self, *steps: Step) -> None:
        """Script the next calls."""
        self._steps.extend(steps)

    def hold(self, queue_url: str | None = None) -> asyncio.Event:
        """Calls wait until the event is set; to set it lets all later ones through."""
        self._gates[queue_url] = _Gate()
        return self._gates[queue_url].event

    async def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> Any:  # noqa: N803 - botocore's names
        """As the client of botocore; the ids of entries must differ."""
        call = SendCall(QueueUrl, list(Entries), time.monotonic())
        self.calls.append(call)
        step = self._steps.popleft() if self._steps else None
        self.in_flight[QueueUrl] += 1
        self.most_in_flight[QueueUrl] = max(
            self.most_in_flight[QueueUrl], self.in_flight[QueueUrl]
        )
        try:
            for gate in (self._gates.get(QueueUrl), self._gates.get(None)):
                if gate is not None:
                    await gate.event.wait()
            if self.delay:
                await asyncio.sleep(self.delay)
            return await self._answer(call, step)
        finally:
            call.done = True
            self.in_flight[QueueUrl] -= 1

    async def _answer(self, call: SendCall, step: Step) -> Any:
        entries = call.entries
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, dict):
            return step
        if step is not None:
            return step(entries)
        if len({entry["Id"] for entry in entries}) < len(entries):
            raise client_error("AWS.SimpleQueueService.BatchEntryIdsNotDistinct")
        verdicts: Sequence[str | None] = [None] * len(entries)
        if self._sqs is not None:
            try:
                verdicts = await self._sqs.send_batch("send", call.queue_url, entries)
            except CallFailedError as error:
                raise _as_botocore_does(str(error), self._sqs, call.queue_url) from error
        return answer(
            entries,
            [
                failed(entry["Id"], verdict, sender_fault=verdict in SENDER_FAULTS)
                for entry, verdict in zip(entries, verdicts, strict=True)
                if verdict is not None
            ],
        )


def answer(entries: Sequence[Any], failures: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """What SQS answers: success for each entry that is not among the failures."""
    bad = {failure["Id"] for failure in failures}
    successful = [
        {"Id": entry["Id"], "MessageId": f"message-{entry['Id']}", "MD5OfMessageBody": ""}
        for entry in entries
        if entry["Id"] not in bad
    ]
    # botocore leaves the keys out where there is nothing to tell.
    parts = {"Successful": successful, "Failed": list(failures)}
    return {name: part for name, part in parts.items() if part}


def _as_botocore_does(code: str, sqs: FakeSqs, queue_url: str) -> Exception:
    if sqs.down:
        return EndpointConnectionError(endpoint_url=queue_url)
    if code == LOST_ANSWER:
        return ReadTimeoutError(endpoint_url=queue_url)
    return client_error(code, 503 if code == "ServiceUnavailable" else 400)
