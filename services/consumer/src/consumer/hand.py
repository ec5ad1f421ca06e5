"""What was received and is not settled: bounded in count and bytes, fair between tenants."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from consumer.queue import Delivery
from tenantry.contract import Message
from tenantry.limits import PARTIQL_BATCH_STATEMENTS

#: Bytes of payloads in one batch, before they are escaped: half of what a call takes, so that
#: a batch that would still be too large is rare, and is then split by its rows' real bytes.
BATCH_PAYLOAD_BYTES: Final = 2_097_152


@dataclass(slots=True, eq=False)
class Held:
    """A delivery in hand.

    Attributes:
        visible_at: Of the monotonic clock: when somebody else may receive it.
        ready_at: Since when it waits to be written.
        is_waiting: In its lane, and in no batch.
    """

    delivery: Delivery
    message: Message
    visible_at: float
    ready_at: float
    is_waiting: bool = True

    @property
    def key(self) -> tuple[str, str]:
        """Two copies of one message have one key."""
        return self.message.tenant_id, self.message.message_id


@dataclass(slots=True)
class _Lane:
    waiting: deque[Held] = field(default_factory=deque)
    not_before: float = 0


class Hand:
    """One lane a tenant; batches are dealt from all lanes in turn."""

    def __init__(self, *, most_messages: int, most_bytes: int) -> None:
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._reserved_messages = 0
        self._reserved_bytes = 0
        self._held: dict[Held, None] = {}
        self._bytes = 0
        self._lanes: OrderedDict[str, _Lane] = OrderedDict()
        self._writing: set[tuple[str, str]] = set()
        self._waiting = 0
        #: Set whenever something came in, left, or may be taken again.
        self.changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(list(self._held))

    def __contains__(self, held: object) -> bool:
        return held in self._held

    @property
    def bytes(self) -> int:
        """Of the bodies in hand."""
        return self._bytes

    @property
    def waiting(self) -> int:
        """Messages that no batch holds."""
        return self._waiting

    def reserve(self, messages: int, most_bytes: int) -> bool:
        """Keep room for what a poll may bring; False if there is none."""
        if (
            len(self._held) + self._reserved_messages + messages > self._most_messages
            or self._bytes + self._reserved_bytes + most_bytes > self._most_bytes
        ):
            return False
        self._reserved_messages += messages
        self._reserved_bytes += most_bytes
        return True

    def unreserve(self, messages: int, most_bytes: int) -> None:
        """The poll ended."""
        self._reserved_messages -= messages
        self._reserved_bytes -= most_bytes
        self.changed.set()

    def add(self, held: Iterable[Held]) -> None:
        """Take in hand."""
        for one in held:
            self._held[one] = None
            self._bytes += len(one.delivery.body)
            self._lane(one).waiting.append(one)
            self._waiting += 1
        self.changed.set()

    def take(self, now: float, most: int = PARTIQL_BATCH_STATEMENTS) -> list[Held]:
        """A batch: one from each lane in turn, no key twice, nor one that is being written."""
        batch: list[Held] = []
        size = 0
        # Lanes that have nothing for this batch are passed over once.
        idle = 0
        while idle < len(self._lanes) and len(batch) < most:
            name, lane = next(iter(self._lanes.items()))
            one = self._next(lane, now)
            if one is None or (batch and size + len(one.delivery.body) > BATCH_PAYLOAD_BYTES):
                if one is not None:
                    lane.waiting.appendleft(one)
                self._lanes.move_to_end(name)
                idle += 1
                continue
            idle = 0
            size += len(one.delivery.body)
            batch.append(one)
            self._writing.add(one.key)
            one.is_waiting = False
            self._waiting -= 1
            if lane.waiting:
                self._lanes.move_to_end(name)
            else:
                del self._lanes[name]
        return batch

    def oldest_ready_at(self, now: float) -> float | None:
        """Since when the longest waiting message of the lanes that may be taken waits."""
        ready = [
            lane.waiting[0].ready_at
            for lane in self._lanes.values()
            if lane.waiting and lane.not_before <= now
        ]
        return min(ready, default=None)

    def next_lane_at(self, now: float) -> float | None:
        """When the next lane that is backing off may be taken from."""
        later = [lane.not_before for lane in self._lanes.values() if lane.not_before > now]
        return min(later, default=None)

    def put_back(self, held: Iterable[Held], *, not_before: float = 0) -> None:
        """Not settled: to the front of their lanes, in this order; these rest until then."""
        for one in reversed(list(held)):
            self._writing.discard(one.key)
            if one in self._held:
                lane = self._lane(one)
                lane.waiting.appendleft(one)
                lane.not_before = max(lane.not_before, not_before)
                one.is_waiting = True
                self._waiting += 1
        self.changed.set()

    def written(self, held: Iterable[Held]) -> None:
        """No longer in a batch: copies of them may go now."""
        for one in held:
            self._writing.discard(one.key)
        self.changed.set()

    def remove(self, held: Iterable[Held]) -> None:
        """Settled, or lost."""
        for one in held:
            if one not in self._held:
                continue
            del self._held[one]
            self._bytes -= len(one.delivery.body)
            if one.is_waiting:
                self._leave_lane(one)
        self.changed.set()

    def _leave_lane(self, one: Held) -> None:
        lane = self._lane(one)
        lane.waiting.remove(one)
        one.is_waiting = False
        self._waiting -= 1
        if not lane.waiting:
            del self._lanes[one.message.tenant_id]

    def _lane(self, held: Held) -> _Lane:
        return self._lanes.setdefault(held.message.tenant_id, _Lane())

    def _next(self, lane: _Lane, now: float) -> Held | None:
        """The lane's first message whose key nobody is writing."""
        if lane.not_before > now:
            return None
        for position, one in enumerate(lane.waiting):
            if one.key not in self._writing:
                del lane.waiting[position]
                return one
        return None
