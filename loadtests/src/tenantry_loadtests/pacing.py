"""When a user's messages are due: arrivals follow a clock, never the system's answers.

A user that waits for an answer is late for its next arrivals. It then sends them one after the
other, and each message's time counts from the instant at which it was due: a stall of the system
is felt by every message that should have been sent meanwhile, not by one alone.
"""

from __future__ import annotations

import random
from typing import Final, Literal

Arrivals = Literal["constant", "poisson"]

#: Arrivals that are later than this, in seconds, are skipped, and counted as skipped.
MOST_LATE_SECONDS: Final = 10.0


class Pace:
    """The arrivals of one user.

    Args:
        rate: Messages a second.
        now: Of the monotonic clock; the first arrival is due within one interval.
        arrivals: At equal distances, or at random ones (a Poisson process).
        generator: Where chance comes from.
        most_late: Seconds that an arrival may be late and still be sent.
    """

    def __init__(
        self,
        rate: float,
        *,
        now: float,
        arrivals: Arrivals,
        generator: random.Random,
        most_late: float = MOST_LATE_SECONDS,
    ) -> None:
        if rate <= 0:
            msg = f"a rate is above 0, not {rate:g}"
            raise ValueError(msg)
        self._interval = 1 / rate
        self._arrivals = arrivals
        self._generator = generator
        self._most_late = most_late
        #: When the next message is due.
        self.due_at = now + generator.random() * self._interval

    def wait(self, now: float) -> float:
        """Seconds until the next message is due; 0 when it is."""
        return max(0.0, self.due_at - now)

    def take(self, messages: int = 1) -> float:
        """Take the messages that are next, to send them together; when they were due."""
        due_at = self.due_at
        self.due_at += self._distance(messages)
        return due_at

    def skip(self, now: float) -> list[float]:
        """Give up the arrivals that are too late to be sent; when those were due."""
        return self.abandon(now - self._most_late)

    def abandon(self, until: float) -> list[float]:
        """Give up what was due by an instant and was not sent; when each message was due."""
        skipped = []
        while self.due_at < until:
            skipped.append(self.due_at)
            self.due_at += self._distance(1)
        return skipped

    def _distance(self, messages: int) -> float:
        if self._arrivals == "constant":
            return messages * self._interval
        return sum(self._generator.expovariate(1 / self._interval) for _ in range(messages))
