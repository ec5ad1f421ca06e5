"""The rule of fair queues: each sentence of SQS's developer guide, and the rule told slowly."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import count
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tenantry_local.fair_queue_standin import (
    NOISY_IN_FLIGHT,
    QUIET_AFTER_SECONDS,
    RECENT_SECONDS,
    FairQueue,
)


class Line:
    """A fair queue with places given out, and a clock that a test moves."""

    def __init__(self) -> None:
        self.queue = FairQueue()
        self.now = 1_000.0
        self.groups: dict[int, str | None] = {}
        self._places = count()

    def send(self, group: str | None, messages: int = 1) -> None:
        for _ in range(messages):
            place = next(self._places)
            self.groups[place] = group
            self.queue.sent(group, place, self.now)

    def take(self, messages: int = 1) -> list[str | None]:
        """The groups that are served; fewer if nobody waits."""
        places = [self.queue.take(self.now) for _ in range(messages)]
        return [self.groups[place] for place in places if place is not None]

    def finish(self, group: str | None, messages: int = 1) -> None:
        for _ in range(messages):
            self.queue.done(group, self.now)

    def is_noisy(self, group: str) -> bool:
        return self.queue.is_noisy(group, self.now)


def with_in_flight(**in_flight: int) -> Line:
    """So many of each in flight since this moment: no processing time yet. Nothing waits."""
    line = Line()
    for group, messages in in_flight.items():
        line.send(group, messages)
        line.take(messages)
    return line


# A tenant is marked as noisy when …


def test_more_than_a_tenth_of_what_is_in_flight_is_noisy() -> None:
    """And a tenth is not."""
    line = with_in_flight(a=30, b=270)
    line.send("a")
    assert not line.is_noisy("a")

    line.take()
    line.send("a")
    assert line.is_noisy("a")


def test_fewer_than_thirty_in_flight_are_never_too_many() -> None:
    """However large a share they are."""
    line = with_in_flight(a=NOISY_IN_FLIGHT - 1)
    line.send("a", 2)
    assert not line.is_noisy("a")

    line.take()
    assert line.is_noisy("a")


def test_more_than_a_tenth_of_recent_processing_time_is_noisy() -> None:
    """With one message in flight, if that takes long."""
    line = with_in_flight(slow=1)
    line.send("slow")
    line.now += 10
    assert line.is_noisy("slow")

    # Nine others that take as long leave it a tenth.
    line = with_in_flight(slow=1, **{f"other-{n}": 1 for n in range(9)})
    line.send("slow")
    line.now += 10
    assert not line.is_noisy("slow")
    line.finish("other-0")
    line.now += 1
    assert line.is_noisy("slow")


def test_what_was_processed_a_minute_ago_counts_a_third() -> None:
    """As much as that of three others now, and less than that of four."""
    assert RECENT_SECONDS == 60
    for others, is_noisy in ((3, True), (4, False)):
        line = with_in_flight(a=1)
        line.now += 1
        line.finish("a")
        line.send("a")
        line.now += 59
        line.send(None, others)
        # The one of `a` came before them, and is noisy: it goes behind.
        assert [None] * others == line.take(others)
        line.now += 1

        assert is_noisy == line.is_noisy("a")


def test_what_was_processed_long_ago_is_nothing() -> None:
    """Also where nobody did anything since."""
    line = with_in_flight(a=1)
    line.now += 1
    line.finish("a")
    line.now += 30 * RECENT_SECONDS
    line.send("a")
    line.send("b")

    assert ["a", "b"] == line.take(2)


def test_a_message_without_a_group_is_a_tenant_of_its_own() -> None:
    """A thousand of them are nobody's noise."""
    line = Line()
    line.send(None, 1_000)
    line.take(500)
    line.now += 10
    line.send("late")

    assert [None] * 500 + ["late"] == line.take(501)
    assert [] == line.queue.noisy(line.now)


# Quiet tenants' messages are prioritised …


def test_what_is_quiet_goes_before_what_is_noisy() -> None:
    """Although it came later."""
    line = with_in_flight(noisy=NOISY_IN_FLIGHT)
    line.send("noisy", 5)
    line.send("quiet", 2)

    assert ["quiet", "quiet", "noisy"] == line.take(3)


def test_noisy_messages_are_never_withheld() -> None:
    """Where no quiet one waits they are served at once, all of them."""
    line = with_in_flight(noisy=NOISY_IN_FLIGHT)
    line.send("noisy", 100)

    assert ["noisy"] * 100 == line.take(200)


def test_of_noisy_tenants_the_one_with_the_fewest_in_flight_is_served() -> None:
    """Which balances them."""
    line = with_in_flight(a=50, b=40, c=45)
    for group in ("a", "b", "c"):
        line.send(group, 20)

    assert ["b"] * 5 == line.take(5)
    assert ["b", "b", "b", "c", "c", "c"] == sorted(map(str, line.take(6)))


def test_among_quiet_tenants_the_line_is_kept() -> None:
    """Whoever came first is served first."""
    line = Line()
    for group in ("a", "b", None, "a", "c", "b"):
        line.send(group)

    assert ["a", "b", None, "a", "c", "b"] == line.take(6)


def test_prioritisation_lasts_until_the_share_is_as_low_as_of_quiet_tenants() -> None:
    """Then the line is kept again."""
    line = with_in_flight(a=NOISY_IN_FLIGHT)
    line.send("a", 2)
    line.send(None, 600)
    assert [None] * 270 == line.take(270)

    assert ["a", None] == line.take(2)


# A tenant is no longer noisy when …


def test_who_has_no_backlog_is_quiet() -> None:
    """Whatever is in flight."""
    line = with_in_flight(a=100)
    assert not line.is_noisy("a")
    line.send("a")
    assert line.is_noisy("a")

    line.take()
    assert not line.is_noisy("a")


def test_who_sent_nothing_for_five_minutes_is_quiet() -> None:
    """With all of its backlog, which is served in its turn then."""
    line = with_in_flight(a=100)
    line.send("a", 3)
    line.now += QUIET_AFTER_SECONDS - 1
    line.send("b")
    assert line.is_noisy("a")
    assert ["b"] == line.take()

    line.now += 1
    line.send("b")
    assert not line.is_noisy("a")
    assert ["a", "a", "a", "b"] == line.take(4)


# What comes back


def test_what_comes_back_keeps_its_place() -> None:
    """Before what was sent after it."""
    line = Line()
    line.send("a", 3)
    first = line.queue.take(line.now)
    assert first is not None
    line.queue.returned("a", first, line.now)

    assert [first, first + 1, first + 2, None] == [line.queue.take(line.now) for _ in range(4)]


def test_what_comes_back_often_leaves_nothing_behind() -> None:
    """Neither in memory nor in the order."""
    line = Line()
    line.send("a", 2)
    for _ in range(10_000):
        place = line.queue.take(line.now)
        assert place == 0
        line.queue.returned("a", place, line.now)

    assert len(line.queue._quiet) < 100
    assert ["a", "a"] == line.take(3)


def test_groups_that_are_gone_for_long_are_forgotten() -> None:
    """So that tenants come and go for ever."""
    line = Line()
    for number in range(1_000):
        line.send(f"tenant-{number}")
        line.take()
        line.now += 1
        line.finish(f"tenant-{number}")
    line.now += 3_600
    line.send("new")
    line.take()

    assert {"new"} == line.queue._groups.keys()


# The rule, told slowly


class Told:
    """A message, and from when to when it was in flight."""

    def __init__(self, group: str | None, place: int) -> None:
        self.group = group
        self.place = place
        self.spans: list[list[float]] = []
        self.is_gone = False

    @property
    def is_in_flight(self) -> bool:
        return bool(self.spans) and self.spans[-1][1] == math.inf

    @property
    def is_waiting(self) -> bool:
        return not self.is_gone and not self.is_in_flight


class ToldSlowly:
    """The rule as the guide tells it: everything is looked at, every time."""

    def __init__(self) -> None:
        self.messages: list[Told] = []
        self.last_sent: defaultdict[str | None, float] = defaultdict(float)

    def next(self, now: float) -> Told | None:
        waiting = [one for one in self.messages if one.is_waiting]
        noisy = {group for group in {one.group for one in waiting} if self.is_noisy(group, now)}
        quiet = [one for one in waiting if one.group not in noisy]
        if quiet:
            return min(quiet, key=lambda one: one.place)
        return min(waiting, key=lambda one: (self.in_flight(one.group), one.place), default=None)

    def is_noisy(self, group: str | None, now: float) -> bool:
        if group is None or now - self.last_sent[group] >= 300:
            return False
        if not any(one.is_waiting and one.group == group for one in self.messages):
            return False
        own = self.in_flight(group)
        everybody = sum(one.is_in_flight for one in self.messages)
        if own >= 30 and own * 10 > everybody:
            return True
        recent = self.processing(now, group)
        return recent > 1e-9 and recent > 0.1 * (1 + 1e-9) * self.processing(now)

    def in_flight(self, group: str | None) -> int:
        return sum(one.is_in_flight and one.group == group for one in self.messages)

    def processing(self, now: float, *groups: str) -> float:
        """Time spent, in which a moment that is 60 s ago counts 1/e of what one counts now."""
        return sum(
            math.exp((min(end, now) - now) / 60) - math.exp((start - now) / 60)
            for one in self.messages
            if not groups or one.group in groups
            for start, end in one.spans
        )


GROUPS: Final = st.sampled_from(["a", "b", "c", *(f"small-{n}" for n in range(12)), None])


class FairQueueMachine(RuleBasedStateMachine):
    """Messages come, are taken, end and come back in any order; both must serve the same."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.told = ToldSlowly()
        self.now = 0.0

    @rule(group=GROUPS, messages=st.sampled_from([1, 2, 5, 40]))
    def send(self, group: str | None, messages: int) -> None:
        for _ in range(messages):
            place = len(self.told.messages)
            self.told.messages.append(Told(group, place))
            self.told.last_sent[group] = self.now
            self.queue.sent(group, place, self.now)

    @rule(messages=st.sampled_from([1, 3, 10, 35]))
    def take(self, messages: int) -> None:
        for _ in range(messages):
            expected = self.told.next(self.now)
            assert (None if expected is None else expected.place) == self.queue.take(self.now)
            if expected is None:
                break
            expected.spans.append([self.now, math.inf])

    @precondition(lambda self: any(one.is_in_flight for one in self.told.messages))
    @rule(data=st.data(), is_back=st.booleans(), messages=st.sampled_from([1, 4, 20]))
    def land(self, data: st.DataObject, is_back: bool, messages: int) -> None:
        flying = [one for one in self.told.messages if one.is_in_flight]
        first = data.draw(st.integers(0, len(flying) - 1))
        for one in flying[first : first + messages]:
            one.spans[-1][1] = self.now
            if is_back:
                self.queue.returned(one.group, one.place, self.now)
            else:
                one.is_gone = True
                self.queue.done(one.group, self.now)

    @rule(seconds=st.sampled_from([0.125, 1.0, 7.0, 60.0, 290.0, 300.0, 2_000.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def counts_agree(self) -> None:
        for group in {one.group for one in self.told.messages}:
            assert self.told.in_flight(group) == self.queue.in_flight(group)
            assert self.told.is_noisy(group, self.now) == self.queue.is_noisy(group, self.now)


TestFairQueue = FairQueueMachine.TestCase
TestFairQueue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
