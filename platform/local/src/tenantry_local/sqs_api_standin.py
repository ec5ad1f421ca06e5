"""Stand-in for the API of SQS: the operations on messages, and all of them by name.

It honours batches with an outcome for each entry, long polls (answered when the first message
comes), the limits of a request, and the errors of SQS. It does not check signatures or
permissions, and never throttles.

As with SQS, a poll whose client is gone is answered all the same: what it takes is hidden until
its visibility timeout ends.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tenantry_local import sqs_messages_standin as messages
from tenantry_local.aws_error_standin import AwsError
from tenantry_local.sqs_queues_standin import Cancellable, Hosted, Poll, Queues, arn_of
from tenantry_local.sqs_requests_standin import (
    BATCH_ENTRIES,
    Answer,
    Entry,
    RefusedEntryError,
    batch_error,
    check,
    entries_of,
    failure,
    for_each,
    number,
    outcomes,
)
from tenantry_local.sqs_standin import IN_FLIGHT_MOST, VISIBILITY_MOST_SECONDS, Message

_BATCH_BYTES: Final = 1_048_576
_WAIT_MOST_SECONDS: Final = 20
_DELAY_MOST_SECONDS: Final = 900
_PLAIN_ENTRY: Final = frozenset({"Id", "MessageBody", "MessageGroupId", "MessageAttributes"})
_SYSTEM_ATTRIBUTES: Final = (
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
)
#: What can be asked for; some of it is never there on a standard queue.
_ASKED: Final = frozenset(
    {"All", *_SYSTEM_ATTRIBUTES, "AWSTraceHeader", "MessageDeduplicationId", "SequenceNumber"}
)

Operation = Callable[[Mapping[str, Any]], Answer | Poll]


class Sqs:
    """An account's queues, by the operations of the API.

    `clock` is monotonic, `wall_clock` of the epoch; `call_at` starts a timer on the first.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        call_at: Callable[[float, Callable[[], None]], Cancellable],
    ) -> None:
        self._clock = clock
        self._epoch = wall_clock() - clock()
        self._call_at = call_at
        self._sent = 0
        self._id_prefix = str(uuid.uuid4())[:24]
        self.queues = Queues(url, clock=clock, wall_clock=wall_clock)
        own: dict[str, Operation] = {
            "StartMessageMoveTask": self._start_move,
            "SendMessage": self._send,
            "SendMessageBatch": self._send_batch,
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibility": self._change_visibility,
            "ChangeMessageVisibilityBatch": self._change_visibility_batch,
        }
        self.operations: dict[str, Operation] = {
            **self.queues.operations,
            **{name: _as_call(operation) for name, operation in own.items()},
        }

    # Sending

    def _send(self, request: Mapping[str, Any]) -> Answer:
        queue = self.queues.find(request)
        message, size = self._parse(request)
        self._put(queue, request, message, size, self._clock())
        self._serve(queue)
        return _sent(message)

    def _send_batch(self, request: Mapping[str, Any]) -> Answer:
        queue = self.queues.find(request)
        parsed: list[tuple[Entry, Message, int]] = []
        failed: list[Answer] = []
        total = 0
        for entry in entries_of(request):
            try:
                message, size = self._parse(entry)
            except RefusedEntryError as error:
                failed.append(failure(entry, error))
                continue
            total += size
            parsed.append((entry, message, size))
        if total > _BATCH_BYTES:
            raise batch_error(
                "BatchRequestTooLong",
                f"Batch requests cannot be longer than {_BATCH_BYTES} bytes. "
                f"You have sent {total} bytes.",
            )
        successful: list[Answer] = []
        now = self._clock()
        for entry, message, size in parsed:
            try:
                self._put(queue, entry, message, size, now)
            except RefusedEntryError as error:
                failed.append(failure(entry, error))
                continue
            answer = _sent(message)
            answer["Id"] = entry["Id"]
            successful.append(answer)
        self._serve(queue)
        return outcomes(successful, failed)

    def _parse(self, entry: Entry) -> tuple[Message, int]:
        if not _PLAIN_ENTRY.issuperset(entry) and (
            entry.get("MessageDeduplicationId") or entry.get("MessageSystemAttributes")
        ):
            raise RefusedEntryError(
                "InvalidParameterValue",
                "This stand-in of SQS takes no MessageDeduplicationId, which is of FIFO queues, "
                "and no MessageSystemAttributes.",
            )
        self._sent += 1
        return messages.parse(entry, f"{self._id_prefix}{self._sent:012x}")

    @staticmethod
    def _put(queue: Hosted, entry: Entry, message: Message, size: int, now: float) -> None:
        if size > queue.max_message_bytes:
            raise RefusedEntryError(
                "InvalidParameterValue",
                "One or more parameters are invalid. Reason: Message must be shorter than "
                f"{queue.max_message_bytes} bytes.",
            )
        delay = None
        if "DelaySeconds" in entry:
            delay = number(entry, "DelaySeconds", 0, _DELAY_MOST_SECONDS)
        queue.state.send(message, now, delay=queue.delay_seconds if delay is None else delay)

    # Receiving

    def _receive(self, request: Mapping[str, Any]) -> Answer | Poll:
        queue = self.queues.find(request)
        number(request, "MaxNumberOfMessages", 1, BATCH_ENTRIES)
        number(request, "VisibilityTimeout", 0, VISIBILITY_MOST_SECONDS)
        names = _system_names(request)
        if not _ASKED.issuperset(names):
            unknown = ", ".join(sorted(set(names) - _ASKED))
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {unknown}.")
        wait = number(request, "WaitTimeSeconds", 0, _WAIT_MOST_SECONDS)
        wait = queue.wait_seconds if wait is None else wait
        now = self._clock()
        answer = self._take(queue, request, now)
        if answer or not wait:
            return answer
        poll = Poll(request, now + wait)
        queue.polls.append(poll)
        self._set_timer(queue)
        return poll

    def _take(self, queue: Hosted, request: Mapping[str, Any], now: float) -> Answer:
        state = queue.state
        if state.in_flight >= IN_FLIGHT_MOST:
            state.settle(now)
            if state.in_flight >= IN_FLIGHT_MOST:
                raise AwsError("OverLimit", "The maximum number of in flight messages is reached.")
        buried = state.buried
        taken = state.receive(
            request.get("MaxNumberOfMessages") or 1,
            now,
            visibility_seconds=request.get("VisibilityTimeout"),
        )
        if state.buried != buried and state.dead_letters is not None:
            target = self.queues.named(state.dead_letters.name)
            if target is not None:
                self._serve(target)
        if not taken:
            return {}
        names = _system_names(request)
        if "All" in names:
            names = _SYSTEM_ATTRIBUTES
        wanted = request.get("MessageAttributeNames") or ()
        return {"Messages": [self._wire(message, names, wanted) for message in taken]}

    def _wire(
        self, message: Message, names: Sequence[str], wanted: Sequence[str]
    ) -> dict[str, Any]:
        wire = {
            "MessageId": message.message_id,
            "ReceiptHandle": message.handle,
            "MD5OfBody": message.body_md5,
            "Body": message.body,
        }
        if names:
            wire["Attributes"] = self._system(message, names)
        if message.attributes is not None and wanted:
            found = messages.chosen(message.attributes, wanted)
            if found:
                wire["MessageAttributes"] = found
                wire["MD5OfMessageAttributes"] = (
                    message.attributes_md5
                    if len(found) == len(message.attributes)
                    else messages.digest_of(found)
                )
        return wire

    def _system(self, message: Message, names: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for name in names:
            value: str | None
            if name == "ApproximateReceiveCount":
                value = str(message.receive_count)
            elif name == "SentTimestamp":
                value = self._milliseconds(message.sent_at)
            elif name == "MessageGroupId":
                value = message.group_id
            elif name == "ApproximateFirstReceiveTimestamp":
                value = self._milliseconds(message.first_received_at or message.received_at)
            elif name == "SenderId":
                value = "AIDASTANDINSTANDINSTA"
            elif name == "DeadLetterQueueSourceArn":
                value = None if message.source is None else arn_of(message.source)
            else:
                continue  # what a standard queue never has
            if value is not None:
                found[name] = value
        return found

    def _milliseconds(self, at: float) -> str:
        return str(int((at + self._epoch) * 1_000))

    # Polls that wait

    def _serve(self, queue: Hosted) -> None:
        """Give what there is to the polls that wait, in their order."""
        if not queue.polls:
            return
        now = self._clock()
        while queue.polls:
            poll = queue.polls[0]
            try:
                answer: Answer | AwsError = self._take(queue, poll.request, now)
            except AwsError as error:
                answer = error
            if not answer:
                break
            queue.polls.popleft()
            poll.answer(answer)
        self._set_timer(queue)

    def _set_timer(self, queue: Hosted) -> None:
        if queue.timer is not None:
            queue.timer.cancel()
            queue.timer = None
        if not queue.polls:
            return
        at = min(poll.until for poll in queue.polls)
        change = queue.state.next_change()
        if change is not None:
            at = min(at, change)
        queue.timer = self._call_at(at, lambda: self._fire(queue))

    def _fire(self, queue: Hosted) -> None:
        self._serve(queue)
        now = self._clock()
        over = [poll for poll in queue.polls if poll.until <= now]
        for poll in over:
            queue.polls.remove(poll)
            poll.answer({})
        self._set_timer(queue)

    # Settling

    def _delete(self, request: Mapping[str, Any]) -> Answer:
        queue = self.queues.find(request)
        check(queue.state.delete(_handle(request), self._clock()))
        return {}

    def _delete_batch(self, request: Mapping[str, Any]) -> Answer:
        state = self.queues.find(request).state
        now = self._clock()
        return for_each(request, lambda entry: check(state.delete(_handle(entry), now)))

    def _change_visibility(self, request: Mapping[str, Any]) -> Answer:
        queue = self.queues.find(request)
        self._change(queue, request)
        self._serve(queue)
        return {}

    def _change_visibility_batch(self, request: Mapping[str, Any]) -> Answer:
        queue = self.queues.find(request)
        answer = for_each(request, lambda entry: self._change(queue, entry))
        self._serve(queue)
        return answer

    def _change(self, queue: Hosted, entry: Entry) -> None:
        seconds = number(entry, "VisibilityTimeout", 0, VISIBILITY_MOST_SECONDS)
        if seconds is None:
            raise RefusedEntryError(
                "MissingParameter", "The request must contain the parameter VisibilityTimeout."
            )
        check(queue.state.set_visibility(_handle(entry), seconds, self._clock()), seconds)

    def _start_move(self, request: Mapping[str, Any]) -> Answer:
        answer = self.queues.start_move(request)
        for queue in self.queues.all():
            self._serve(queue)
        return answer


def _as_call(operation: Operation) -> Operation:
    """What is wrong with a call for one is wrong with the call."""

    @functools.wraps(operation)
    def call(request: Mapping[str, Any]) -> Answer | Poll:
        try:
            return operation(request)
        except RefusedEntryError as error:
            raise error.as_call() from None

    return call


def _system_names(request: Mapping[str, Any]) -> Sequence[str]:
    return request.get("MessageSystemAttributeNames") or request.get("AttributeNames") or ()


def _sent(message: Message) -> Answer:
    answer = {"MessageId": message.message_id, "MD5OfMessageBody": message.body_md5}
    if message.attributes_md5 is not None:
        answer["MD5OfMessageAttributes"] = message.attributes_md5
    return answer


def _handle(entry: Entry) -> str:
    handle: str = entry.get("ReceiptHandle") or ""
    return handle
