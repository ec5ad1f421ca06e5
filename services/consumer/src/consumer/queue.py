"""The queue, as the consumer uses it: the port, and its adapter on SQS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from tenantry.contract import utf8_bytes
from tenantry.errors import TransientError
from tenantry.limits import SQS_BATCH_BYTES, SQS_BATCH_ENTRIES
from tenantry.metrics import ConsumerMetrics
from tenantry.outcomes import outcome_of

#: How long a call may take that is no poll. The client's own time-out is a poll's: an extension
#: that took that long would come after the end of the visibility timeout.
SETTLE_SECONDS: Final = 5.0
#: SQS calls it the sender's fault, and it passes all the same.
_PASSING: Final = frozenset(
    {"ThrottlingException", "Throttling", "RequestThrottled", "TooManyRequestsException"}
)
#: The handle is not, or no longer, the message's: somebody else may have it.
_LOST: Final = frozenset(
    {"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"}
    | {"AWS.SimpleQueueService.MessageNotInflight"}
)


# Not frozen: what makes that hold takes a third of the CPU of making one.
@dataclass(slots=True, eq=False)
class Delivery:
    """One receive of one message.

    Attributes:
        attributes: String message attributes, trace context among them.
        receive_count: How often it was received, this time included.
        sent_at: When SQS took it, in seconds since the epoch.
        received_at: Of `time.monotonic`, when it was asked for: no later than its visibility
            timeout began.
    """

    receipt_handle: str
    body: bytes
    attributes: Mapping[str, str]
    receive_count: int
    sent_at: float
    received_at: float


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of deliveries that were deleted or whose visibility was changed.

    Attributes:
        done: As asked.
        lost: The visibility timeout ended before: they are somebody else's.
        failed: Not done, and may be tried again.
    """

    done: tuple[Delivery, ...] = ()
    lost: tuple[Delivery, ...] = ()
    failed: tuple[Delivery, ...] = ()


class QueueUnavailableError(TransientError):
    """The queue does not answer, refuses, or is not there yet."""


class Queue(Protocol):
    """A queue with visibility timeouts. Delivers at least once, in no order."""

    async def receive(self, most: int, *, wait_seconds: int) -> list[Delivery]:
        """Up to `most` (10) messages; waits for the first, if there is none.

        Must not be cancelled: what a cancelled poll was about to bring stays invisible until
        its visibility timeout ends.

        Raises:
            QueueUnavailableError: Nothing was received.
        """
        ...

    async def delete(self, deliveries: Sequence[Delivery]) -> Settled:
        """Delete for good. Any number; never raises."""
        ...

    async def set_visibility(self, deliveries: Sequence[Delivery], seconds: int) -> Settled:
        """Invisible for so many seconds from now; 0 gives back. Any number; never raises."""
        ...


class Forwarder(Protocol):
    """Sends what was received on to another queue."""

    async def forward(
        self, queue_url: str, group_id: str | None, deliveries: Sequence[Delivery]
    ) -> Settled:
        """Same body and attributes; `done` is confirmed, `lost` will never be taken there."""
        ...


class QueueCalls(Protocol):
    """What the queue needs of SQS: botocore's client, or the leaner calls; each call once."""

    async def receive_message(
        self,
        *,
        QueueUrl: str,
        MaxNumberOfMessages: int,
        WaitTimeSeconds: int,
        VisibilityTimeout: int,
        MessageSystemAttributeNames: Any,
        MessageAttributeNames: Any,
    ) -> Any:
        """`ReceiveMessage`."""
        ...

    async def delete_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:
        """`DeleteMessageBatch`."""
        ...

    async def change_message_visibility_batch(self, *, QueueUrl: str, Entries: Any) -> Any:
        """`ChangeMessageVisibilityBatch`."""
        ...


class ForwardCalls(Protocol):
    """What the forwarder needs of SQS."""

    async def send_message_batch(self, *, QueueUrl: str, Entries: Any) -> Any:
        """`SendMessageBatch`, once."""
        ...


class SqsQueue:
    """One queue on SQS."""

    def __init__(
        self,
        client: QueueCalls,
        queue_url: str,
        *,
        visibility_seconds: int,
        metrics: ConsumerMetrics,
    ) -> None:
        self._client = client
        self._queue_url = queue_url
        self._visibility_seconds = visibility_seconds
        self._metrics = metrics

    async def receive(self, most: int, *, wait_seconds: int) -> list[Delivery]:
        asked_at = time.monotonic()
        try:
            answer = await self._client.receive_message(
                QueueUrl=self._queue_url,
                MaxNumberOfMessages=most,
                WaitTimeSeconds=wait_seconds,
                VisibilityTimeout=self._visibility_seconds,
                MessageSystemAttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
                MessageAttributeNames=["All"],
            )
        except (BotoCoreError, ClientError) as error:
            self._metrics.count_call("receive", outcome_of(error))
            raise QueueUnavailableError(_reason(error)) from error
        self._metrics.calls.labels("receive", "ok").inc()
        # A poll that waited answered when the first message came: its visibility began then.
        answered_at = time.monotonic()
        waited = answered_at - asked_at
        received_at = asked_at if waited < 1 else answered_at - 1
        return [_delivery(wire, received_at) for wire in answer.get("Messages", [])]

    async def delete(self, deliveries: Sequence[Delivery]) -> Settled:
        async def call(batch: Sequence[Delivery]) -> Any:
            return await self._client.delete_message_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {"Id": str(n), "ReceiptHandle": delivery.receipt_handle}
                    for n, delivery in enumerate(batch)
                ],
            )

        return await self._settle("delete", deliveries, call)

    async def set_visibility(self, deliveries: Sequence[Delivery], seconds: int) -> Settled:
        async def call(batch: Sequence[Delivery]) -> Any:
            return await self._client.change_message_visibility_batch(
                QueueUrl=self._queue_url,
                Entries=[
                    {
                        "Id": str(n),
                        "ReceiptHandle": delivery.receipt_handle,
                        "VisibilityTimeout": seconds,
                    }
                    for n, delivery in enumerate(batch)
                ],
            )

        return await self._settle("change_visibility", deliveries, call)

    async def _settle(
        self,
        operation: str,
        deliveries: Sequence[Delivery],
        call: Callable[[Sequence[Delivery]], Awaitable[Any]],
    ) -> Settled:
        if 0 < len(deliveries) <= SQS_BATCH_ENTRIES:
            return await settle(self._metrics, operation, deliveries, call)
        batches = [
            deliveries[start : start + SQS_BATCH_ENTRIES]
            for start in range(0, len(deliveries), SQS_BATCH_ENTRIES)
        ]
        return _together(
            await asyncio.gather(
                *(settle(self._metrics, operation, batch, call) for batch in batches)
            )
        )


class SqsForwarder:
    """Sends to any queue that this process may send to."""

    def __init__(self, client: ForwardCalls, metrics: ConsumerMetrics) -> None:
        self._client = client
        self._metrics = metrics

    async def forward(
        self, queue_url: str, group_id: str | None, deliveries: Sequence[Delivery]
    ) -> Settled:
        async def call(batch: Sequence[Delivery]) -> Any:
            return await self._client.send_message_batch(
                QueueUrl=queue_url,
                Entries=[_outgoing(n, delivery, group_id) for n, delivery in enumerate(batch)],
            )

        return _together(
            [await settle(self._metrics, "forward", batch, call) for batch in _packed(deliveries)]
        )


async def settle(
    metrics: ConsumerMetrics,
    operation: str,
    batch: Sequence[Delivery],
    call: Callable[[Sequence[Delivery]], Awaitable[Any]],
) -> Settled:
    """One batch call; HTTP 200 says nothing about its entries, so `Failed` is looked at."""
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            answer = await call(batch)
    except (BotoCoreError, ClientError, TimeoutError) as error:
        metrics.count_call(operation, outcome_of(error))
        return Settled(failed=tuple(batch))
    failures = answer.get("Failed", [])
    metrics.calls.labels(operation, "partial" if failures else "ok").inc()
    lost: list[Delivery] = []
    failed: list[Delivery] = []
    for failure in failures:
        code = failure.get("Code", "")
        is_passing = code in _PASSING or code.upper().startswith("KMS")
        is_lost = code in _LOST or (failure.get("SenderFault") and not is_passing)
        (lost if is_lost else failed).append(batch[int(failure["Id"])])
    done = [batch[int(entry["Id"])] for entry in answer.get("Successful", [])]
    return Settled(tuple(done), tuple(lost), tuple(failed))


def _together(parts: Iterable[Settled]) -> Settled:
    parts = list(parts)
    return Settled(
        tuple(delivery for part in parts for delivery in part.done),
        tuple(delivery for part in parts for delivery in part.lost),
        tuple(delivery for part in parts for delivery in part.failed),
    )


def _delivery(wire: Any, received_at: float) -> Delivery:
    system = wire.get("Attributes", {})
    attributes: Mapping[str, str] = {}
    if "MessageAttributes" in wire:
        attributes = {
            name: value["StringValue"]
            for name, value in wire["MessageAttributes"].items()
            if "StringValue" in value
        }
    return Delivery(
        receipt_handle=wire["ReceiptHandle"],
        # Bytes: a text with one emoji in it takes four bytes for each of its characters.
        body=wire["Body"].encode("utf-8", "surrogatepass"),
        attributes=attributes,
        receive_count=int(system.get("ApproximateReceiveCount", 1)),
        sent_at=int(system.get("SentTimestamp", 0)) / 1_000,
        received_at=received_at,
    )


def _outgoing(number: int, delivery: Delivery, group_id: str | None) -> Any:
    wire: dict[str, Any] = {"Id": str(number), "MessageBody": delivery.body.decode()}
    if group_id is not None:
        wire["MessageGroupId"] = group_id
    if delivery.attributes:
        wire["MessageAttributes"] = {
            name: {"DataType": "String", "StringValue": value}
            for name, value in delivery.attributes.items()
        }
    return wire


def _packed(deliveries: Sequence[Delivery]) -> list[list[Delivery]]:
    """By ten, and by 1 MiB as SQS counts."""
    batches: list[list[Delivery]] = []
    size = SQS_BATCH_BYTES
    for delivery in deliveries:
        own = len(delivery.body) + sum(
            len(name) + len("String") + utf8_bytes(value)
            for name, value in delivery.attributes.items()
        )
        size += own
        if size > SQS_BATCH_BYTES or len(batches[-1]) == SQS_BATCH_ENTRIES:
            batches.append([])
            size = own
        batches[-1].append(delivery)
    return batches


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "refused"))
    return type(error).__name__
