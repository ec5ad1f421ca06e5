"""Stand-in for one standard queue of SQS: what waits, what is in flight, and who is served next.

State alone: no I/O, no clock of its own (each method is told the time), no words of the
protocol (`sqs_api_standin` speaks those). Every operation is O(log n) at the most, also with a
million messages waiting.

It honours visibility timeouts (12 h in all), delays, receive counts, redrive to the dead-letter
queue with the time of sending kept, retention, 120,000 in flight, receipt handles of which the
last one given counts, and the order of `fair_queue_standin`. A message that was received more
than three times goes to the back, as the documentation says.

It does not honour what makes SQS approximate: a receive brings all it can, each message comes
once until its visibility timeout ends, counts are exact. A message whose retention ended is
never delivered, but counted until its turn comes. There are no FIFO queues.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Any, Final, Literal

from tenantry_local.fair_queue_standin import FairQueue

#: Messages of a standard queue in flight at once.
IN_FLIGHT_MOST: Final = 120_000
#: From its receive on, a message cannot stay hidden for longer (12 h).
VISIBILITY_MOST_SECONDS: Final = 43_200
#: A message received more often than this goes to the back of the queue.
RECEIVES_IN_PLACE: Final = 3

#: Characters of a receipt handle that say nothing: as long as those of SQS, for what a client
#: pays to carry them about.
_HANDLE_PADDING_BYTES: Final = 108

_VISIBLE, _DELAYED, _IN_FLIGHT, _GONE = range(4)

#: Why nothing was done with a receipt handle; None if it was.
Refusal = Literal["invalid", "gone", "visible", "too-long"] | None


class Message:
    """A message of a queue. Times are the queue's clock's.

    Attributes:
        place: In the line; an earlier message has a lower one.
        visible_at: When its delay or visibility timeout ends, or ended.
        handle: Of its last receive.
        source: Name of the queue whose dead letter it is.
    """

    __slots__ = (
        "attributes",
        "attributes_md5",
        "body",
        "body_md5",
        "first_received_at",
        "group_id",
        "handle",
        "message_id",
        "number",
        "place",
        "receive_count",
        "received_at",
        "sent_at",
        "source",
        "state",
        "visible_at",
    )

    def __init__(
        self,
        body: Any,
        attributes: Mapping[str, Any] | None = None,
        group_id: str | None = None,
        *,
        message_id: str = "",
        body_md5: str = "",
        attributes_md5: str | None = None,
    ) -> None:
        self.body = body
        self.attributes = attributes
        self.group_id = group_id
        self.message_id = message_id
        self.body_md5 = body_md5
        self.attributes_md5 = attributes_md5
        self.number = self.place = 0
        self.sent_at = self.visible_at = self.received_at = 0.0
        self.first_received_at: float | None = None
        self.receive_count = 0
        self.handle: str | None = None
        self.source: str | None = None
        self.state = _GONE


class QueueState:
    """One queue: what of its attributes it acts by, and what it holds.

    Attributes:
        visibility_seconds: Of a receive that names none.
        max_receive_count: Receives before a message moves to `dead_letters`, if that is there.
        buried: How many moved there so far.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.visibility_seconds = 30.0
        self.retention_seconds = 345_600.0
        self.max_receive_count: int | None = None
        self.dead_letters: QueueState | None = None
        self.is_deleted = False
        self.buried = 0
        self.delayed = 0
        self.in_flight = 0
        self._line = FairQueue()
        self._visible: dict[int, Message] = {}
        self._by_handle: dict[str, Message] = {}
        # Deleted while they were visible: their places are still in the line.
        self._gaps: dict[int, str | None] = {}
        # What is hidden, by the end of that; what was hidden together is one entry. A message
        # that is not hidden, or not until then, is passed over.
        self._hidden: list[tuple[float, int, Sequence[Message]]] = []
        self._entered = 0
        self._numbers = count(1)
        self._last_number = 0
        self._tag = secrets.token_urlsafe(_HANDLE_PADDING_BYTES)

    @property
    def visible(self) -> int:
        """How many a receive could bring; `settle` before."""
        return len(self._visible)

    def send(self, message: Message, now: float, *, delay: float = 0) -> None:
        """Take a new message."""
        message.sent_at = now
        if delay > 0:
            message.number = self._last_number = next(self._numbers)
            message.state = _DELAYED
            self.delayed += 1
            self._hide((message,), now + delay)
        else:
            message.number = message.place = self._last_number = place = next(self._numbers)
            message.state = _VISIBLE
            self._visible[place] = message
            self._line.sent(message.group_id, place, now)

    def receive(
        self, most: int, now: float, *, visibility_seconds: float | None = None
    ) -> list[Message]:
        """Up to so many messages, which are in flight from now on."""
        self.settle(now)
        hidden = self.visibility_seconds if visibility_seconds is None else visibility_seconds
        most = min(most, IN_FLIGHT_MOST - self.in_flight)
        taken: list[Message] = []
        while len(taken) < most and (message := self._next(now)) is not None:
            message.receive_count += 1
            message.received_at = now
            if message.first_received_at is None:
                message.first_received_at = now
            if message.handle is not None:
                del self._by_handle[message.handle]
            message.handle = handle = f"{self._tag}-{message.number}-{message.receive_count}"
            self._by_handle[handle] = message
            message.state = _IN_FLIGHT
            taken.append(message)
        self.in_flight += len(taken)
        if taken and hidden > 0:
            self._hide(taken, now + hidden)
        elif taken:
            for message in taken:
                self._show_again(message, now)
        return taken

    def delete(self, handle: str, now: float) -> Refusal:
        """Delete the message; nothing, if it was received again or is gone already."""
        message = self._by_handle.pop(handle, None)
        if message is None:
            return None if self._was_given(handle) else "invalid"
        if message.state == _IN_FLIGHT:
            self.in_flight -= 1
            self._line.done(message.group_id, now)
        else:
            self._open_gap(message)
        self._drop(message)
        return None

    def set_visibility(self, handle: str, seconds: float, now: float) -> Refusal:
        """Hide a message in flight for so long from now; 0 shows it."""
        self.settle(now)
        message = self._by_handle.get(handle)
        if message is None:
            return "gone" if self._was_given(handle) else "invalid"
        if message.state != _IN_FLIGHT:
            return "visible"
        if now + seconds - message.received_at > VISIBILITY_MOST_SECONDS:
            return "too-long"
        if seconds > 0:
            self._hide((message,), now + seconds)
        else:
            self._show_again(message, now)
        return None

    def settle(self, now: float) -> None:
        """Show what is no longer hidden."""
        while self._hidden and self._hidden[0][0] <= now:
            until, _, messages = heappop(self._hidden)
            self._entered -= len(messages)
            for message in messages:
                if not _is_hidden(message, until):
                    continue
                if message.state == _IN_FLIGHT:
                    self._show_again(message, now)
                else:
                    self.delayed -= 1
                    self._show_new(message, next(self._numbers), now)

    def next_change(self) -> float | None:
        """When something next stops being hidden, if nobody does anything; None: never."""
        while self._hidden:
            until, _, messages = self._hidden[0]
            if any(_is_hidden(message, until) for message in messages):
                return until
            heappop(self._hidden)
            self._entered -= len(messages)
        return None

    def purge(self) -> None:
        """Forget every message."""
        for messages in (self._visible.values(), *(entry[2] for entry in self._hidden)):
            for message in messages:
                self._drop(message)
        self._line = FairQueue()
        self.delayed = self.in_flight = self._entered = 0
        self._visible.clear()
        self._by_handle.clear()
        self._gaps.clear()
        self._hidden.clear()

    def seen(self, now: float) -> dict[str, Any]:
        """What CloudWatch would say of the queue, by its names; the noisy groups too.

        The age of the oldest is of visible messages alone.
        """
        self.settle(now)
        line = self._line
        noisy = line.noisy(now)
        quiet = {
            "Visible": self.visible - sum(line.waiting(group) for group in noisy),
            "NotVisible": self.in_flight - sum(line.in_flight(group) for group in noisy),
        }
        return {
            "ApproximateNumberOfMessagesVisible": self.visible,
            "ApproximateNumberOfMessagesNotVisible": self.in_flight,
            "ApproximateNumberOfMessagesDelayed": self.delayed,
            "ApproximateAgeOfOldestMessage": self._age(line.oldest(), now),
            "ApproximateNumberOfNoisyGroups": len(noisy),
            "NoisyGroups": sorted(noisy),
            "ApproximateNumberOfMessagesVisibleInQuietGroups": quiet["Visible"],
            "ApproximateNumberOfMessagesNotVisibleInQuietGroups": quiet["NotVisible"],
            "ApproximateAgeOfOldestMessageInQuietGroups": self._age(
                line.oldest(frozenset(noisy)), now
            ),
        }

    def _age(self, place: int | None, now: float) -> float:
        message = None if place is None else self._visible.get(place)
        return 0.0 if message is None else now - message.sent_at

    def _next(self, now: float) -> Message | None:
        """Take the next that may be delivered; dead letters go on the way."""
        while (place := self._line.take(now)) is not None:
            message = self._visible.pop(place, None)
            if message is None:
                self._line.done(self._gaps.pop(place), now)
                continue
            target = self.dead_letters
            if message.sent_at + self.retention_seconds <= now:
                self._leave(message, now)
                self._drop(message)
            elif (
                target is not None
                and not target.is_deleted
                and self.max_receive_count is not None
                and message.receive_count >= self.max_receive_count
            ):
                self._leave(message, now)
                message.handle = None
                message.source = self.name
                self.buried += 1
                target.accept(message, now)
            else:
                return message
        return None

    def find(self, handle: str) -> Message | None:
        """The message whose last receive gave this handle."""
        return self._by_handle.get(handle)

    def all_hidden(self) -> list[Message]:
        """Every message that is in flight or delayed; `settle` before."""
        found = {
            message.number: message
            for until, _, messages in self._hidden
            for message in messages
            if _is_hidden(message, until)
        }
        return list(found.values())

    def all_visible(self) -> list[Message]:
        """Every visible message; `settle` before."""
        return list(self._visible.values())

    def withdraw(self, message: Message) -> None:
        """Give up a visible message, which goes elsewhere."""
        if message.handle is not None:
            del self._by_handle[message.handle]
        self._open_gap(message)
        message.state = _GONE

    def _open_gap(self, message: Message) -> None:
        del self._visible[message.place]
        self._gaps[message.place] = message.group_id

    def accept(self, message: Message, now: float) -> None:
        """Take a message of another queue, which is as old as it is."""
        message.number = self._last_number = place = next(self._numbers)
        self._show_new(message, place, now)

    def _show_new(self, message: Message, place: int, now: float) -> None:
        message.place = place
        message.state = _VISIBLE
        self._visible[place] = message
        self._line.sent(message.group_id, place, now)

    def _show_again(self, message: Message, now: float) -> None:
        if message.receive_count > RECEIVES_IN_PLACE:
            message.place = next(self._numbers)
        self.in_flight -= 1
        message.state = _VISIBLE
        self._visible[message.place] = message
        self._line.returned(message.group_id, message.place, now)

    def _hide(self, messages: Sequence[Message], until: float) -> None:
        for message in messages:
            message.visible_at = until
        heappush(self._hidden, (until, next(self._numbers), messages))
        self._entered += len(messages)
        if self._entered > 2 * (self.in_flight + self.delayed) + 1_024:  # mostly passed over
            live = [
                (at, number, [one for one in together if _is_hidden(one, at)])
                for at, number, together in self._hidden
            ]
            self._hidden = [entry for entry in live if entry[2]]
            self._entered = sum(len(entry[2]) for entry in self._hidden)
            heapify(self._hidden)

    def _leave(self, message: Message, now: float) -> None:
        """What was taken from the line is not delivered, and leaves the queue."""
        self._line.done(message.group_id, now)
        if message.handle is not None:
            del self._by_handle[message.handle]

    @staticmethod
    def _drop(message: Message) -> None:
        # What is hidden may hold it for a while; what it carries goes now.
        message.state = _GONE
        message.body = message.attributes = None

    def _was_given(self, handle: str) -> bool:
        """Whether this queue ever gave such a handle."""
        tag, _, rest = handle.rpartition("-")
        tag, _, number = tag.rpartition("-")
        return (
            tag == self._tag
            and number.isdecimal()
            and rest.isdecimal()
            and 0 < int(number) <= self._last_number
        )


def _is_hidden(message: Message, until: float) -> bool:
    return message.visible_at == until and message.state in (_IN_FLIGHT, _DELAYED)
