"""Stand-in for the rule by which SQS makes a standard queue fair: who is served next.

A model of what "How Amazon SQS fair queues work" in the developer guide says, and of nothing
else: groups, places in the line, and times go in, the next place comes out. It does no I/O and
holds no message, so that a simulation can use it as well as the stand-in of SQS.

It honours:

- A message belongs to the tenant that its group names; one without a group is a tenant of its
  own.
- A tenant is noisy if it has more than 10 % of all messages in flight and at least 30 of its
  own in flight, or if more than 10 % of recent processing time was its own. This lasts until
  both shares are as low as those of quiet tenants, and ends at once when nothing of it waits,
  or when it sent nothing for five minutes.
- While a message of a quiet tenant waits, that one is served. Noisy tenants are put behind,
  never withheld: when only they wait they are served, the one with the fewest in flight first.

What the guide leaves open is decided here: how recent "recent" is (`RECENT_SECONDS`), that a
share is as low as a quiet tenant's when it would not make anybody noisy, and that among equals
the line is kept: whoever came first, as a standard queue mostly does. SQS calls its thresholds
approximate, as its servers each see a part of the queue; here they are exact.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heapify, heappop, heappush, heapreplace
from typing import Final

#: A share, of messages in flight or of processing time, above which a tenant is noisy.
NOISY_SHARE: Final = 0.1
#: A tenant with fewer in flight is not noisy for its share of those.
NOISY_IN_FLIGHT: Final = 30
#: Without a send for so long (5 min), a tenant is quiet.
QUIET_AFTER_SECONDS: Final = 300.0
#: Not documented: what was processed so long ago counts about a third (1/e) of what is now.
RECENT_SECONDS: Final = 60.0

#: So that exactly a tenth, added up of many parts, is no more than a tenth.
_EXCEEDED: Final = NOISY_SHARE * (1 + 1e-9)
#: Of what is processed now: so little is left of what was processed a quarter of an hour ago.
_NEGLIGIBLE: Final = 1e-9
#: Weights grow with time; they are scaled down again after so many times `recent_seconds`.
_RESCALE_AFTER: Final = 16.0


class _Group:
    """A tenant. `weight` and what is in flight make up its recent processing time.

    Attributes:
        head: Its first place; -1 if nothing of it waits.
    """

    __slots__ = ("back", "fresh", "head", "in_flight", "is_noisy", "last_sent", "name", "weight")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.fresh: deque[int] = deque()  # ascending
        self.back: list[int] = []  # a heap of those that came back
        self.head = -1
        self.in_flight = 0
        self.weight = 0.0
        self.last_sent = 0.0
        self.is_noisy = False

    def pop(self) -> int:
        """Take the first place."""
        fresh, back = self.fresh, self.back
        if not back:
            place = fresh.popleft()
            self.head = fresh[0] if fresh else -1
            return place
        place = heappop(back) if back[0] == self.head else fresh.popleft()
        self.head = min((*back[:1], *((fresh[0],) if fresh else ())), default=-1)
        return place


class FairQueue:
    """The line of a queue. Places are numbers, each one's own; lower ones came earlier.

    Times are seconds of any clock that does not go back. Everything is O(log groups), or
    O(log messages of the group) for what came back.
    """

    def __init__(self, *, recent_seconds: float = RECENT_SECONDS) -> None:
        self._recent_seconds = recent_seconds
        self._groups: dict[str | None, _Group] = {}
        # First places of quiet groups. An entry that is not, or no longer, is passed over.
        self._quiet: list[tuple[int, _Group]] = []
        # Each has more than a tenth of one of two things: never more than eighteen.
        self._noisy: list[_Group] = []
        self._in_flight = 0
        # Processing time is weighted by exp(time / recent_seconds): so the past need not be
        # decayed, for only shares matter. What is in flight counts from -weight(taken) on.
        self._weight = 0.0
        self._base = self._weighed_at = -math.inf
        self._weighed = 0.0

    def sent(self, group: str | None, place: int, now: float) -> None:
        """A message of this group came, behind all that were sent before."""
        state = self._groups.get(group)
        if state is None:
            state = self._groups[group] = _Group(group)
        state.last_sent = now
        state.fresh.append(place)
        if state.head < 0:
            state.head = place
            self._line_up(state)

    def take(self, now: float) -> int | None:
        """The place that is served next, which is in flight from now on; None: nobody waits."""
        weight = self._weigh(now)
        if self._noisy:
            for one in [one for one in self._noisy if not self._exceeds(one, now, weight)]:
                self._calm(one)
        group = self._first_quiet(now, weight)
        if group is not None:
            place = group.pop()
            if group.head < 0:
                heappop(self._quiet)
            else:
                heapreplace(self._quiet, (group.head, group))
        elif self._noisy:
            group = min(self._noisy, key=lambda one: (one.in_flight, one.head))
            place = group.pop()
        else:
            return None
        group.in_flight += 1
        group.weight -= weight
        self._in_flight += 1
        self._weight -= weight
        return place

    def done(self, group: str | None, now: float) -> None:
        """One of this group is no longer in flight, and does not come back."""
        self._landed(self._groups[group], now)

    def returned(self, group: str | None, place: int, now: float) -> None:
        """One of this group is no longer in flight, and waits again, at this place."""
        state = self._groups[group]
        self._landed(state, now)
        heappush(state.back, place)
        if state.head < 0 or place < state.head:
            state.head = place
            self._line_up(state)

    def is_noisy(self, group: str | None, now: float) -> bool:
        """Whether this group would be put behind now."""
        state = self._groups.get(group)
        return state is not None and self._exceeds(state, now, self._weigh(now))

    def noisy(self, now: float) -> list[str]:
        """Every group that would be put behind now."""
        return [name for name in self._groups if name is not None and self.is_noisy(name, now)]

    def in_flight(self, group: str | None) -> int:
        """How many of this group are in flight."""
        state = self._groups.get(group)
        return 0 if state is None else state.in_flight

    def waiting(self, group: str | None) -> int:
        """How many of this group wait."""
        state = self._groups.get(group)
        return 0 if state is None else len(state.fresh) + len(state.back)

    def oldest(self, groups: frozenset[str] = frozenset()) -> int | None:
        """The first place of all that waits, but for these groups; None if nothing does."""
        heads = (state.head for name, state in self._groups.items() if name not in groups)
        return min((head for head in heads if head >= 0), default=None)

    def _first_quiet(self, now: float, weight: float) -> _Group | None:
        """The quiet group that is first in line, which is the heap's first then."""
        quiet = self._quiet
        while quiet:
            place, group = quiet[0]
            if group.is_noisy or group.head != place:
                heappop(quiet)
            elif self._exceeds(group, now, weight):
                heappop(quiet)
                group.is_noisy = True
                self._noisy.append(group)
            else:
                return group
        return None

    def _exceeds(self, group: _Group, now: float, weight: float) -> bool:
        own = group.in_flight
        total = self._weight + self._in_flight * weight
        return (
            (own >= NOISY_IN_FLIGHT and own > _EXCEEDED * self._in_flight)
            or group.weight + own * weight > max(_EXCEEDED * total, _NEGLIGIBLE * weight)
        ) and (
            # A tenant of one message has no backlog once that is in flight.
            group.name is not None
            and group.head >= 0
            and now - group.last_sent < QUIET_AFTER_SECONDS
        )

    def _calm(self, group: _Group) -> None:
        self._noisy.remove(group)
        group.is_noisy = False
        if group.head >= 0:
            self._line_up(group)

    def _line_up(self, group: _Group) -> None:
        heappush(self._quiet, (group.head, group))
        if len(self._quiet) > 2 * len(self._groups) + 64:  # mostly passed over
            waiting = {group.head: group for group in self._groups.values() if not group.is_noisy}
            waiting.pop(-1, None)
            self._quiet = list(waiting.items())
            heapify(self._quiet)

    def _landed(self, group: _Group, now: float) -> None:
        weight = self._weigh(now)
        group.in_flight -= 1
        group.weight += weight
        self._in_flight -= 1
        self._weight += weight

    def _weigh(self, now: float) -> float:
        """What a moment of processing weighs now."""
        if now != self._weighed_at:
            age = (now - self._base) / self._recent_seconds
            if age > _RESCALE_AFTER:
                self._rescale(math.exp(-age))
                self._base, age = now, 0.0
            self._weighed_at, self._weighed = now, math.exp(age)
        return self._weighed

    def _rescale(self, scale: float) -> None:
        """Make now the moment that weighs 1; groups that are idle for long are forgotten."""
        self._weight *= scale
        for name, group in list(self._groups.items()):
            group.weight *= scale
            if group.head < 0 and not group.in_flight and group.weight < _NEGLIGIBLE:
                self._weight -= self._groups.pop(name).weight
