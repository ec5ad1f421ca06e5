"""Which accepted messages are followed to the table, and when each is looked for.

Following must not be the load: looks are paid from a budget of so many a second, and a message
is followed only while the budget is not spent. The first look comes a little before half of the
tenant's messages are expected to be stored, as the last ones that were found tell; the next ones
at distances that grow with the time that has passed, so that a message costs few looks however
long it takes, and its time is known to within a constant share of it.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import defaultdict, deque
from dataclasses import dataclass, field
from statistics import median
from typing import Final

#: Each look comes this much later after acceptance than the one before it.
GROWTH: Final = 1.2
#: The first look comes at this share of the median: times that become shorter are seen, too.
FIRST_LOOK: Final = 0.9
#: What the first look finds has taken this share of the time that has passed, for all we know.
FOUND_AT_ONCE: Final = 0.7
#: Of so many messages that were found last.
_REMEMBERED: Final = 15
#: A tenant with fewer is taken to be like the others.
_ENOUGH: Final = 3
#: Before any was found, and the least, in seconds.
_GUESS_AT_FIRST: Final = 0.05
_GUESS_AT_LEAST: Final = 0.005
#: The least distance of two looks for one message, in seconds.
_CLOSEST_SECONDS: Final = 0.01
#: The share of those that the budget allows to follow that are followed.
_TAKEN: Final = 0.2
#: Looks that may be saved up, in seconds of the budget.
_SAVED_SECONDS: Final = 2.0


@dataclass(slots=True)
class Followed:
    """A message on its way to the table.

    Attributes:
        accepted_at: Of the monotonic clock: when the 202 came.
        missed_at: When it was last looked for and not found; `accepted_at` before the first look.
        is_sample: Whether its looks are paid from the budget; else it is followed in any case.
        looks: How often it was looked for.
    """

    tenant_id: str
    message_id: str
    accepted_at: float
    missed_at: float
    is_sample: bool
    looks: int = 0


@dataclass(order=True, slots=True)
class _Due:
    at: float
    number: int
    followed: Followed = field(compare=False)


class FollowScheduler:
    """Decides whom to follow and when to look; it looks for nothing itself.

    Args:
        rate: Looks a second, over everything that is followed; 0 follows nothing.
        deadline: Seconds after which a message that was not found counts as not stored.
        now: Of the monotonic clock.
        generator: Where chance comes from.
    """

    def __init__(
        self, rate: float, *, deadline: float, now: float, generator: random.Random
    ) -> None:
        self._rate = rate
        self._generator = generator
        self._deadline = deadline
        self._budget = 0.0
        self._budget_at = now
        self._due: list[_Due] = []
        self._numbers = itertools.count()
        self._looking = 0
        self._is_over = False
        self._found: defaultdict[str, deque[float]] = defaultdict(_memory)
        self._found_of_all = _memory()
        #: Seconds that those which were looked for in vain have waited, by tenant and id.
        self._missing: defaultdict[str, dict[str, float]] = defaultdict(dict)

    def __len__(self) -> int:
        """Messages that are followed now."""
        return len(self._due) + self._looking

    def wants(self, now: float) -> bool:
        """Whether the budget allows to follow one more message as a sample."""
        self._save(now)
        # Not the first that comes by: arrivals have a rhythm, and it would be that of one tenant.
        if self._rate <= 0 or self._budget < 1 or self._generator.random() > _TAKEN:
            return False
        # The first look is paid at once: of many that come in one instant not all are taken.
        self._budget -= 1
        return True

    def follow(self, tenant_id: str, message_id: str, now: float, *, is_sample: bool) -> None:
        """Follow a message that was accepted just now; a sample if `wants` said so."""
        first_at = now + min(self.guess(tenant_id), self._deadline)
        self._push(Followed(tenant_id, message_id, now, now, is_sample), first_at)

    def guess(self, tenant_id: str) -> float:
        """Seconds after acceptance at which a tenant's message is first looked for."""
        found = self._found[tenant_id]
        if len(found) < _ENOUGH:
            found = self._found_of_all
        expected = median(found) if found else _GUESS_AT_FIRST / FIRST_LOOK
        return max(_GUESS_AT_LEAST, FIRST_LOOK * max(expected, self._passed_by_some(tenant_id)))

    def _passed_by_some(self, tenant_id: str) -> float:
        """What some messages of a tenant have waited already: later ones will not be earlier.

        The ones that waited most do not count: they may be lost, and would hide the others.
        """
        waited = self._missing[tenant_id].values()
        return heapq.nlargest(_ENOUGH, waited)[-1] if len(waited) >= _ENOUGH else 0.0

    def next_at(self) -> float | None:
        """When somebody is to be looked for; None: nobody is followed."""
        return self._due[0].at if self._due else None

    def take(self, now: float) -> Followed | None:
        """One to look for now, or None. Report it as found or missed."""
        self._save(now)
        while self._due and self._due[0].at <= now:
            followed = heapq.heappop(self._due).followed
            if followed.is_sample and followed.looks and not self._is_over:
                if self._budget < 0:  # its time is then known less exactly, and that is noted
                    owed = -self._budget / self._rate
                    self._push(followed, now + max(owed, _CLOSEST_SECONDS))
                    continue
                self._budget -= 1
            self._looking += 1
            followed.looks += 1
            return followed
        return None

    def finish(self) -> None:
        """The load is over: nobody is in the way any more, and looks need not be saved."""
        self._is_over = True

    def found(self, followed: Followed, now: float) -> None:
        """It is stored."""
        self._looking -= 1
        self._missing[followed.tenant_id].pop(followed.message_id, None)
        seconds = now - followed.accepted_at
        if followed.looks == 1:  # at most: it may have been there long before
            seconds *= FOUND_AT_ONCE
        self._found[followed.tenant_id].append(seconds)
        self._found_of_all.append(seconds)

    def missed(self, followed: Followed, looked_at: float, now: float) -> bool:
        """It is not stored yet, as of a look that left at `looked_at`.

        Returns:
            Whether it is looked for again; no, when its deadline has passed.
        """
        self._looking -= 1
        followed.missed_at = looked_at
        passed = now - followed.accepted_at
        missing = self._missing[followed.tenant_id]
        if passed >= self._deadline:
            missing.pop(followed.message_id, None)
            return False
        missing[followed.message_id] = passed
        later = max(passed * GROWTH, passed + _CLOSEST_SECONDS)
        self._push(followed, followed.accepted_at + min(later, self._deadline))
        return True

    def give_up(self) -> list[Followed]:
        """End following; everyone that was not found."""
        left = [due.followed for due in self._due]
        self._due.clear()
        return left

    def _save(self, now: float) -> None:
        saved = self._rate * (now - self._budget_at)
        self._budget = min(max(1.0, self._rate * _SAVED_SECONDS), self._budget + saved)
        self._budget_at = now

    def _push(self, followed: Followed, at: float) -> None:
        heapq.heappush(self._due, _Due(at, next(self._numbers), followed))


def _memory() -> deque[float]:
    return deque(maxlen=_REMEMBERED)
