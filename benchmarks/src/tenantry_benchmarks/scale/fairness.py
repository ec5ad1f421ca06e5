"""A model of a pool under a flood: SQS's fair queue, and the hands and lanes of consumers.

Time is simulated; the rule of the fair queue is `tenantry_local.fair_queue_standin`, a model of
what AWS documents, and the hand is the consumer's own. What a consumer does when is written
down again here, as `consumer.poller` does it: polls by demand, batches of 25 that linger while
another is written, deletions in tens. Nothing fails, nothing is received twice, and a queue
without groups is served in the order of arrival.

It tells who waits for whom. It does not tell how long a real SQS takes.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from consumer.hand import Hand, Held
from consumer.poller import SPARSE_MESSAGES
from consumer.queue import Delivery
from consumer.settings import Settings
from tenantry.contract import Message
from tenantry.limits import PARTIQL_BATCH_STATEMENTS, SQS_BATCH_ENTRIES
from tenantry_benchmarks.figures import percentile
from tenantry_local.fair_queue_standin import FairQueue

#: Of a lane whose partition is throttled, in seconds: the middle of what the poller takes.
LANE_REST_SECONDS: Final = 0.375
#: A run ends here, whatever still waits.
MOST_SECONDS: Final = 600.0

_DEFAULTS: Final = Settings.model_fields


@dataclass(frozen=True, slots=True)
class Variant:
    """What is done about a flood: a group on each message, lanes in the hand."""

    has_groups: bool
    has_lanes: bool


NEITHER: Final = Variant(has_groups=False, has_lanes=False)
GROUPS: Final = Variant(has_groups=True, has_lanes=False)
LANES: Final = Variant(has_groups=False, has_lanes=True)
BOTH: Final = Variant(has_groups=True, has_lanes=True)


@dataclass(frozen=True, slots=True)
class Scene:
    """A pool, its quiet tenants, and a flood.

    Attributes:
        round_trip: Seconds of one call to SQS.
        write_seconds: Of one call to the table.
        cpu_us: A message; each consumer has one core.
        quiet_rate: Messages a second of each quiet tenant, at random times.
        quiet_seconds: For how long quiet tenants send.
        flood: Messages that come at once when the run begins; of so many tenants in turn.
        flood_writes: Write units a second that a flooding tenant's partition takes; None if
            it takes all.
        is_timed: Whether SQS sees processing time; else only the share in flight is measured.
    """

    consumers: int = 2
    hand: int = int(_DEFAULTS["hand_messages"].default)
    polls: int = int(_DEFAULTS["polls"].default)
    writes: int = int(_DEFAULTS["writes"].default)
    write_linger: float = float(_DEFAULTS["write_linger_seconds"].default)
    delete_linger: float = float(_DEFAULTS["delete_linger_seconds"].default)
    wait_seconds: float = float(_DEFAULTS["wait_seconds"].default)
    round_trip: float = 0.05
    write_seconds: float = 0.02
    cpu_us: float = 350.0
    quiet_tenants: int = 20
    quiet_rate: float = 2.0
    quiet_seconds: float = 3.0
    flood: int = 5_000
    flood_tenants: int = 1
    flood_writes: float | None = None
    is_timed: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        if self.consumers < 1 or self.hand < SQS_BATCH_ENTRIES:
            msg = "a pool has a consumer at least, and a hand holds what a poll may bring"
            raise ValueError(msg)
        if self.flood_tenants < 1 or self.flood < 0:
            msg = "a flood is of one tenant at least, and of no message at least"
            raise ValueError(msg)

    def alone(self) -> Scene:
        """The same without the flood."""
        return replace(self, flood=0)


@dataclass(slots=True)
class Outcome:
    """What became of a run.

    Attributes:
        quiet: Seconds from sent to stored, of quiet tenants' messages.
        flood: The same of the flood's.
        received: Tenants in the order in which SQS served them.
        calls: Of all consumers, by kind; receives that brought messages.
        most_in_flight: Of one tenant.
        seconds: Until all was stored.
        unstored: Messages that were not when the run was ended.
    """

    quiet: list[float] = field(default_factory=list)
    flood: list[float] = field(default_factory=list)
    received: list[str] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    most_in_flight: int = 0
    seconds: float = 0.0
    unstored: int = 0

    @property
    def quiet_p99(self) -> float:
        """Of quiet tenants' messages, in seconds."""
        return percentile(self.quiet, 99)


def run(scene: Scene, variant: Variant) -> Outcome:
    """Simulate until everything is stored."""
    world = _World(scene, variant)
    world.run()
    return world.outcome


@dataclass(frozen=True, slots=True)
class _Sent:
    """A message; it is named by its place in the queue."""

    tenant: str
    at: float


class _World:
    """Clock, queue, table and consumers."""

    def __init__(self, scene: Scene, variant: Variant) -> None:
        self.scene = scene
        self.variant = variant
        self.outcome = Outcome()
        self.now = 0.0
        self.sent: dict[int, _Sent] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._rule = FairQueue()
        self._in_flight: Counter[str] = Counter()
        self._polls: deque[tuple[float, _Consumer]] = deque()
        self._tokens: dict[str, tuple[float, float]] = {}
        self._total = 0
        self._consumers = [_Consumer(self) for _ in range(scene.consumers)]

    def run(self) -> None:
        for place, sent in enumerate(_arrivals(self.scene)):
            self.at(sent.at, lambda place=place, sent=sent: self._arrive(place, sent))  # type: ignore[misc]
            self._total += 1
        for consumer in self._consumers:
            consumer.go_round()
        stored = (self.outcome.quiet, self.outcome.flood)
        while self._events and sum(map(len, stored)) < self._total:
            self.now, _, event = heapq.heappop(self._events)
            if self.now > MOST_SECONDS:
                break
            event()
        self.outcome.seconds = self.now
        self.outcome.unstored = self._total - sum(map(len, stored))

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Let something happen then."""
        heapq.heappush(self._events, (when, next(self._count), event))

    # The queue

    def poll(self, consumer: _Consumer) -> None:
        """A long poll reached SQS."""
        if not self._answer(consumer):
            until = self.now + self.scene.wait_seconds
            self._polls.append((until, consumer))
            self.at(until, self._end_polls)

    def delete(self, place: int) -> None:
        """A deletion reached SQS."""
        tenant = self.sent[place].tenant
        self._in_flight[tenant] -= 1
        self._rule.done(self._group(tenant), self._rule_time())

    def _arrive(self, place: int, sent: _Sent) -> None:
        self.sent[place] = sent
        self._rule.sent(self._group(sent.tenant), place, self._rule_time())
        if self._polls:
            _, consumer = self._polls.popleft()
            self._answer(consumer)

    def _answer(self, consumer: _Consumer) -> bool:
        places: list[int] = []
        now = self._rule_time()
        while len(places) < SQS_BATCH_ENTRIES and (place := self._rule.take(now)) is not None:
            places.append(place)
            tenant = self.sent[place].tenant
            self._in_flight[tenant] += 1
            self.outcome.received.append(tenant)
            self.outcome.most_in_flight = max(self.outcome.most_in_flight, self._in_flight[tenant])
        if places:
            self.outcome.calls["receive"] += 1
            self.at(self.now + self.scene.round_trip / 2, lambda: consumer.receive(places))
        return bool(places)

    def _end_polls(self) -> None:
        while self._polls and self._polls[0][0] <= self.now:
            _, consumer = self._polls.popleft()
            self.at(self.now + self.scene.round_trip / 2, lambda one=consumer: one.receive([]))  # type: ignore[misc]

    def _rule_time(self) -> float:
        # Where no time passes, nothing takes any to process.
        return self.now if self.scene.is_timed else 0.0

    def _group(self, tenant: str) -> str | None:
        return tenant if self.variant.has_groups else None

    # The table

    def is_taken(self, place: int) -> bool:
        """Whether the partition takes the item now: up to a second's worth at once."""
        tenant, rate = self.sent[place].tenant, self.scene.flood_writes
        if rate is None or _is_quiet(tenant):
            return True
        tokens, since = self._tokens.get(tenant, (rate, self.now))
        tokens = min(rate, tokens + rate * (self.now - since))
        self._tokens[tenant] = (tokens - 1 if tokens >= 1 else tokens, self.now)
        return tokens >= 1

    def store(self, place: int) -> None:
        """The item is in the table."""
        sent = self.sent[place]
        kind = self.outcome.quiet if _is_quiet(sent.tenant) else self.outcome.flood
        kind.append(self.now - sent.at)


class _Consumer:
    """One consumer: `consumer.poller` in simulated time."""

    def __init__(self, world: _World) -> None:
        self._world = world
        self._scene = world.scene
        self._hand = Hand(most_messages=world.scene.hand, most_bytes=2**40)
        self._polls = 0
        self._wanted_polls = 1
        self._writes = 0
        self._cpu_free_at = 0.0
        self._deletable: deque[Held] = deque()
        self._deletable_since = 0.0
        self._wake_at: float | None = None

    def go_round(self) -> None:
        """Start what is due."""
        self._start_polls()
        self._start_writes()
        self._start_deletes()

    def _wake(self, when: float) -> None:
        """Look again then; one of these waits at a time, for each look asks for the next."""
        if self._wake_at is None or when < self._wake_at:
            self._wake_at = when
            self._world.at(when, self._woken)

    def _woken(self) -> None:
        if self._wake_at is not None and self._world.now >= self._wake_at:
            self._wake_at = None
            self.go_round()

    def _later(self, seconds: float, event: Callable[[], None]) -> None:
        self._world.at(self._world.now + seconds, event)

    def _start_polls(self) -> None:
        while self._polls < self._wanted_polls and self._hand.reserve(SQS_BATCH_ENTRIES, 0):
            self._polls += 1
            self._later(self._scene.round_trip / 2, lambda: self._world.poll(self))

    def receive(self, places: list[int]) -> None:
        """A poll was answered."""
        self._polls -= 1
        self._hand.unreserve(SQS_BATCH_ENTRIES, 0)
        if len(places) >= SQS_BATCH_ENTRIES / 2:
            self._wanted_polls = min(self._scene.polls, self._wanted_polls + 1)
        elif len(places) <= SPARSE_MESSAGES:
            self._wanted_polls = max(1, self._wanted_polls - 1)
        self._hand.add(self._held(place) for place in places)
        self.go_round()

    def _held(self, place: int) -> Held:
        tenant = self._world.sent[place].tenant
        # Without lanes: all of them in one.
        lane = tenant if self._world.variant.has_lanes else "all"
        return Held(
            Delivery(str(place), b"", {}, 1, 0, 0),
            Message(str(place), lane, "", "", ""),
            visible_at=0,
            ready_at=self._world.now,
        )

    def _start_writes(self) -> None:
        now = self._world.now
        while self._writes < self._scene.writes:
            ready_at = self._hand.oldest_ready_at(now)
            if ready_at is None:
                break
            due_at = ready_at + self._scene.write_linger
            full = self._hand.waiting >= PARTIQL_BATCH_STATEMENTS
            if self._writes and not full and now < due_at:
                self._wake(due_at)
                break
            batch = self._hand.take(now)
            self._writes += 1
            self._world.outcome.calls["write"] += 1
            self._cpu_free_at = max(self._cpu_free_at, now) + len(batch) * self._scene.cpu_us / 1e6
            done_at = self._cpu_free_at + self._scene.write_seconds
            self._world.at(done_at, lambda batch=batch: self._written(batch))  # type: ignore[misc]
        rested_at = self._hand.next_lane_at(now)
        if rested_at is not None:
            self._wake(rested_at)

    def _written(self, batch: list[Held]) -> None:
        self._writes -= 1
        self._hand.written(batch)
        stored: list[Held] = []
        delayed: list[Held] = []
        for held in batch:
            is_stored = self._world.is_taken(_place(held))
            (stored if is_stored else delayed).append(held)
        for held in stored:
            self._world.store(_place(held))
        self._hand.put_back(delayed, not_before=self._world.now + LANE_REST_SECONDS)
        if stored and not self._deletable:
            self._deletable_since = self._world.now
        self._deletable.extend(stored)
        self.go_round()

    def _start_deletes(self) -> None:
        while self._deletable:
            due_at = self._deletable_since + self._scene.delete_linger
            count = len(self._deletable)
            is_alone = len(self._hand) == count
            if count < SQS_BATCH_ENTRIES and self._world.now < due_at and not is_alone:
                self._wake(due_at)
                return
            taken = min(SQS_BATCH_ENTRIES, count)
            batch = [self._deletable.popleft() for _ in range(taken)]
            self._world.outcome.calls["delete"] += 1
            self._later(self._scene.round_trip / 2, lambda batch=batch: self._reached(batch))  # type: ignore[misc]

    def _reached(self, batch: list[Held]) -> None:
        for held in batch:
            self._world.delete(_place(held))
        self._later(self._scene.round_trip / 2, lambda: self._deleted(batch))

    def _deleted(self, batch: list[Held]) -> None:
        self._hand.remove(batch)
        self.go_round()


def _arrivals(scene: Scene) -> Iterator[_Sent]:
    """In the order of arrival: the flood at once, then quiet tenants at random times."""
    for at in range(scene.flood):
        yield _Sent(f"flood-{at % scene.flood_tenants}", 0.0)
    times = random.Random(scene.seed)  # noqa: S311 - the same run every time, nothing to guess
    quiet = [
        _Sent(f"quiet-{tenant}", at)
        for tenant in range(scene.quiet_tenants)
        for at in _times(times, scene.quiet_rate, scene.quiet_seconds)
    ]
    yield from sorted(quiet, key=lambda sent: sent.at)


def _times(times: random.Random, rate: float, seconds: float) -> Iterator[float]:
    at = times.expovariate(rate)
    while at < seconds:
        yield at
        at += times.expovariate(rate)


def _is_quiet(tenant: str) -> bool:
    return tenant.startswith("quiet-")


def _place(held: Held) -> int:
    return int(held.message.message_id)
