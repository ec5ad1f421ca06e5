from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry_loadtests.following import GROWTH, Followed, FollowScheduler


def a_scheduler(rate: float = 5.0, deadline: float = 60.0) -> FollowScheduler:
    return FollowScheduler(rate, deadline=deadline, now=0.0, generator=random.Random(1))


class World:
    """Messages that are stored some time after they were accepted, and somebody who looks."""

    def __init__(self, scheduler: FollowScheduler, look_seconds: float = 0.005) -> None:
        self.scheduler = scheduler
        self.look_seconds = look_seconds
        self.stored_after: dict[str, float] = {}
        self.found: dict[str, tuple[float, float]] = {}  # last miss, first sight
        self.missing: list[str] = []
        self.looks = 0

    def accept(self, name: str, now: float, stored_after: float, *, sample: bool = True) -> None:
        self.stored_after[name] = stored_after
        self.scheduler.follow("acme", name, now, is_sample=sample)

    def run(self, until: float) -> None:
        while (at := self.scheduler.next_at()) is not None and at <= until:
            while (followed := self.scheduler.take(at)) is not None:
                self.look(followed, at)

    def look(self, followed: Followed, at: float) -> None:
        self.looks += 1
        age = at - followed.accepted_at
        answered = at + self.look_seconds
        if self.stored_after[followed.message_id] <= age:
            self.scheduler.found(followed, answered)
            missed = followed.missed_at - followed.accepted_at
            self.found[followed.message_id] = (missed, answered - followed.accepted_at)
        elif not self.scheduler.missed(followed, at, answered):
            self.missing.append(followed.message_id)


@settings(deadline=None, max_examples=40)
@given(st.floats(min_value=0.01, max_value=20.0), st.integers(min_value=0, max_value=50))
def test_a_time_is_between_the_last_miss_and_the_sight(seconds: float, seed: int) -> None:
    """Never too short; and once it knows about how long it takes, known to within a fifth."""
    world, chance = World(a_scheduler()), random.Random(seed)
    for number in range(60):
        now = number * 0.5
        world.run(now)
        world.accept(str(number), now, seconds * chance.uniform(0.7, 1.3), sample=False)
    world.run(1_000)
    assert len(world.found) == 60
    for name, (missed, seen) in world.found.items():
        assert missed <= world.stored_after[name] <= seen
    tail = [
        (missed, seen) for name, (missed, seen) in world.found.items() if int(name) > 30 and missed
    ]
    for missed, seen in tail:
        assert seen <= missed * GROWTH + 2 * world.look_seconds + 0.011


@settings(deadline=None, max_examples=40)
@given(st.floats(min_value=0.01, max_value=10.0))
def test_a_message_costs_few_looks(seconds: float) -> None:
    """Whether it takes milliseconds or seconds: three looks, about, once that is known."""
    world = World(a_scheduler())
    for number in range(80):
        now = number * 0.5
        world.run(now)
        world.accept(str(number), now, seconds, sample=False)
        if number == 40:
            world.looks = 0
    world.run(1_000)
    assert world.looks / 40 < 5


def test_the_guess_follows_down_as_well() -> None:
    """After a backlog of seconds, messages of milliseconds are seen as such again."""
    world = World(a_scheduler())
    for number in range(200):
        now = number * 0.5
        world.run(now)
        world.accept(str(number), now, 5.0 if number < 40 else 0.02, sample=False)
    world.run(1_000)
    assert world.found["30"][1] >= 5.0
    assert world.found["199"][1] < 0.05


@settings(deadline=None, max_examples=30)
@given(
    st.floats(min_value=0.5, max_value=20.0),
    st.floats(min_value=0.01, max_value=50.0),
    st.integers(min_value=0, max_value=100),
)
def test_samples_are_never_looked_for_more_than_the_budget(
    rate: float, seconds: float, seed: int
) -> None:
    """However slow the queue is: looks a second stay below the rate."""
    scheduler = FollowScheduler(rate, deadline=60.0, now=0.0, generator=random.Random(seed))
    world = World(scheduler)
    for number in range(3_000):  # a hundred a second are accepted, for half a minute
        now = number / 100
        world.run(now)
        if scheduler.wants(now):
            world.accept(str(number), now, seconds)
    # Two seconds may have been saved up, and a first look each is paid when it is admitted.
    assert world.looks <= rate * (30 + 2) + 2


def test_a_rate_of_nothing_follows_nothing() -> None:
    """No message is a sample."""
    scheduler = a_scheduler(rate=0.0)
    assert not any(scheduler.wants(now) for now in range(100))


def test_what_must_be_followed_is_not_paid_for() -> None:
    """Quiet tenants are followed in full, and never postponed."""
    world = World(a_scheduler(rate=0.0))
    for number in range(50):
        world.accept(str(number), number * 0.01, 0.02, sample=False)
    world.run(10)
    assert len(world.found) == 50


def test_a_message_that_is_not_stored_ends_at_its_deadline() -> None:
    """It is looked for at the deadline once more, and then reported missing."""
    world = World(a_scheduler(deadline=10.0))
    world.accept("lost", 0.0, 1e9, sample=False)
    world.run(1_000)
    assert world.missing == ["lost"]
    assert len(world.scheduler) == 0


def test_one_lost_message_hides_no_other() -> None:
    """The first looks of others do not wait for one that never comes."""
    world = World(a_scheduler(deadline=1_000))
    world.accept("lost", 0.0, 1e9, sample=False)
    for number in range(100):
        now = 1 + number * 0.5
        world.run(now)
        world.accept(str(number), now, 0.05, sample=False)
    world.run(500)
    assert world.found["99"][1] < 0.2


def test_after_the_load_looks_are_not_saved() -> None:
    """What is left is found without waiting for a budget."""
    world = World(a_scheduler(rate=0.01))
    for number in range(5):
        world.accept(str(number), 0.0, 3.0)
    world.scheduler.finish()
    world.run(10)
    assert len(world.found) == 5


def test_those_that_are_left_can_be_named() -> None:
    """An interrupted run says whom it lost sight of."""
    scheduler = a_scheduler()
    scheduler.follow("acme", "one", 0.0, is_sample=False)
    assert [followed.message_id for followed in scheduler.give_up()] == ["one"]
    assert len(scheduler) == 0


def test_the_budget_does_not_prefer_who_comes_first() -> None:
    """Of four tenants that take turns each is followed about as often."""
    scheduler = a_scheduler(rate=2.0)
    taken = [0, 0, 0, 0]
    for number in range(20_000):
        if scheduler.wants(number / 100):
            taken[number % 4] += 1
    assert min(taken) == pytest.approx(max(taken), rel=0.35)
