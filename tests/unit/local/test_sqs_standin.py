"""The stand-in's queue: what is hidden, for how long, and what becomes of it then."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tenantry_local.sqs_standin import (
    IN_FLIGHT_MOST,
    VISIBILITY_MOST_SECONDS,
    Message,
    QueueState,
)


def queue_of(*bodies: str, at: float = 0.0) -> QueueState:
    queue = QueueState("a")
    for body in bodies:
        queue.send(Message(body), at)
    return queue


def bodies(messages: list[Message]) -> list[str]:
    return [message.body for message in messages]


def handle_of(message: Message) -> str:
    assert message.handle is not None
    return message.handle


def test_a_message_is_hidden_until_its_visibility_timeout_ends() -> None:
    """To the moment; and every receive has a handle of its own."""
    queue = queue_of("a")
    (first,) = queue.receive(10, 0.0, visibility_seconds=5)
    handle = handle_of(first)
    assert [] == queue.receive(10, 4.999)
    (again,) = queue.receive(10, 5.0)

    assert ("a", 2) == (again.body, again.receive_count)
    assert handle != again.handle


def test_a_visibility_timeout_of_none_gives_each_message_once_a_receive() -> None:
    """It is visible at once, and yet the receive ends."""
    queue = queue_of("a", "b")

    assert ["a", "b"] == bodies(queue.receive(10, 0.0, visibility_seconds=0))
    assert (2, 0) == (queue.visible, queue.in_flight)


def test_a_delayed_message_comes_when_its_delay_ends() -> None:
    """And is not in flight before."""
    queue = QueueState("a")
    queue.send(Message("late"), 0.0, delay=10)
    queue.send(Message("early"), 1.0)

    assert (1, 0, 1) == (queue.visible, queue.in_flight, queue.delayed)
    assert ["early"] == bodies(queue.receive(10, 9.0))
    assert ["late"] == bodies(queue.receive(10, 10.0))
    assert queue.delayed == 0


def test_the_next_change_is_the_end_of_what_is_hidden() -> None:
    """Not of what was deleted, given back or hidden for longer."""
    queue = queue_of("a", "b", "c", "d")
    held = queue.receive(4, 0.0, visibility_seconds=30)
    assert queue.next_change() == 30

    queue.delete(handle_of(held[0]), 1.0)
    queue.set_visibility(handle_of(held[1]), 0, 1.0)
    queue.set_visibility(handle_of(held[2]), 60, 1.0)
    assert queue.next_change() == 30
    queue.delete(handle_of(held[3]), 1.0)
    assert queue.next_change() == 61
    queue.delete(handle_of(held[2]), 1.0)
    assert queue.next_change() is None


def test_the_last_handle_alone_counts() -> None:
    """An earlier one was given once, and deletes nothing; a strange one is none."""
    queue = queue_of("a")
    old = handle_of(queue.receive(1, 0.0, visibility_seconds=1)[0])
    new = handle_of(queue.receive(1, 1.0)[0])

    assert queue.delete(old, 1.0) is None
    assert queue.in_flight == 1
    assert queue.set_visibility(old, 10, 1.0) == "gone"
    for strange in ("", "nonsense", old.rpartition("-")[0], f"{old[:-3]}99-1", f"x{old}"):
        assert queue.delete(strange, 1.0) == "invalid"
        assert queue.set_visibility(strange, 10, 1.0) == "invalid"
    assert queue.delete(new, 1.0) is None
    assert queue.in_flight == 0


def test_a_handle_of_another_queue_is_none() -> None:
    """Although both gave their first."""
    queues = [queue_of("a"), queue_of("a")]
    handles = [handle_of(queue.receive(1, 0.0)[0]) for queue in queues]

    assert queues[0].delete(handles[1], 0.0) == "invalid"


def test_a_message_that_is_visible_again_can_still_be_deleted() -> None:
    """As with SQS, while nobody received it anew."""
    queue = queue_of("a", "b")
    held = queue.receive(1, 0.0, visibility_seconds=1)
    queue.settle(1.0)
    assert queue.set_visibility(handle_of(held[0]), 5, 1.0) == "visible"

    assert queue.delete(handle_of(held[0]), 1.0) is None
    assert queue.visible == 1
    assert ["b"] == bodies(queue.receive(10, 1.0))


def test_twelve_hours_after_its_receive_a_message_is_visible() -> None:
    """However often that is asked for."""
    queue = queue_of("a")
    handle = handle_of(queue.receive(1, 0.0)[0])
    left = VISIBILITY_MOST_SECONDS - 10

    assert queue.set_visibility(handle, left + 1, 10.0) == "too-long"
    assert queue.set_visibility(handle, left, 10.0) is None
    assert queue.next_change() == VISIBILITY_MOST_SECONDS


def test_what_was_received_too_often_is_a_dead_letter_as_old_as_it_was() -> None:
    """Its neighbours are not, and it says where it is from."""
    queue, target = queue_of("bad"), QueueState("dead")
    queue.max_receive_count, queue.dead_letters = 2, target
    for at in (1.0, 2.0):
        queue.set_visibility(handle_of(queue.receive(1, at)[0]), 0, at)
    queue.send(Message("good"), 2.0)

    assert ["good"] == bodies(queue.receive(10, 3.0))
    (dead,) = target.receive(10, 4.0)
    assert ("bad", 0.0, "a", 3) == (dead.body, dead.sent_at, dead.source, dead.receive_count)
    assert queue.buried == 1


def test_where_no_dead_letter_queue_is_left_nothing_is_a_dead_letter() -> None:
    """It is received on and on."""
    queue, target = queue_of("bad"), QueueState("dead")
    queue.max_receive_count, queue.dead_letters = 1, target
    queue.receive(1, 0.0, visibility_seconds=1)
    target.is_deleted = True

    assert ["bad"] == bodies(queue.receive(1, 1.0))


def test_what_is_older_than_the_retention_is_never_delivered() -> None:
    """Also where it is not looked for."""
    queue = queue_of("old")
    queue.retention_seconds = 60
    queue.send(Message("new"), 30.0)

    assert ["new"] == bodies(queue.receive(10, 60.0))
    assert queue.visible == 0


def test_who_was_received_more_than_three_times_goes_to_the_back() -> None:
    """Until then a message keeps its place."""
    queue = queue_of("a", "b")
    for _ in range(4):
        (message,) = queue.receive(1, 0.0)
        assert message.body == "a"
        queue.set_visibility(handle_of(message), 0, 0.0)

    assert ["b", "a"] == bodies(queue.receive(2, 0.0))


def test_no_more_than_120_000_are_in_flight() -> None:
    """What is deleted makes room."""
    queue = queue_of(*(["x"] * (IN_FLIGHT_MOST + 5)))
    held = [one for _ in range(IN_FLIGHT_MOST // 10) for one in queue.receive(10, 0.0)]
    assert len(held) == IN_FLIGHT_MOST
    assert [] == queue.receive(10, 0.0)

    queue.delete(handle_of(held[0]), 0.0)
    assert len(queue.receive(10, 0.0)) == 1


def test_a_purge_leaves_nothing() -> None:
    """Neither what is visible nor what is in flight or delayed; old handles do no harm."""
    queue = queue_of("a", "b")
    (deleted,) = queue.receive(1, 0.0, visibility_seconds=0)
    queue.delete(handle_of(deleted), 0.0)
    handle = handle_of(queue.receive(1, 0.0)[0])
    queue.send(Message("c"), 0.0, delay=5)
    queue.purge()

    assert (0, 0, 0) == (queue.visible, queue.in_flight, queue.delayed)
    assert not queue._gaps
    assert queue.next_change() is None
    assert queue.delete(handle, 1.0) is None
    queue.send(Message("d"), 1.0)
    assert ["d"] == bodies(queue.receive(10, 100.0))


def test_what_was_deleted_is_not_kept() -> None:
    """A busy queue with a long visibility timeout holds no more than what is in it."""
    queue = QueueState("a")
    for number in range(5_000):
        queue.send(Message("x"), float(number))
        (message,) = queue.receive(1, float(number), visibility_seconds=40_000)
        queue.delete(handle_of(message), float(number))
        assert message.body is None

    assert len(queue._hidden) < 2_000
    assert len(queue._by_handle) == 0


def test_a_queue_says_what_cloudwatch_would() -> None:
    """All of it, and the quiet groups alone."""
    queue = QueueState("a")
    for number in range(50):
        queue.send(Message("x", None, "noisy"), float(number))
    for _ in range(4):
        queue.receive(10, 50.0)
    queue.send(Message("y", None, "quiet"), 55.0)
    queue.send(Message("z"), 55.0, delay=100)

    assert queue.seen(60.0) == {
        "ApproximateNumberOfMessagesVisible": 11,
        "ApproximateNumberOfMessagesNotVisible": 40,
        "ApproximateNumberOfMessagesDelayed": 1,
        "ApproximateAgeOfOldestMessage": 20.0,
        "ApproximateNumberOfNoisyGroups": 1,
        "NoisyGroups": ["noisy"],
        "ApproximateNumberOfMessagesVisibleInQuietGroups": 1,
        "ApproximateNumberOfMessagesNotVisibleInQuietGroups": 0,
        "ApproximateAgeOfOldestMessageInQuietGroups": 5.0,
    }


class QueueMachine(RuleBasedStateMachine):
    """Whatever is done and when: each message is somewhere, once, until it is deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.queue, self.dead = QueueState("a"), QueueState("dead")
        self.queue.max_receive_count, self.queue.dead_letters = 5, self.dead
        self.left: Counter[str] = Counter()
        self.held: dict[str, Message] = {}
        self.stale: list[str] = []

    @rule(
        group=st.sampled_from([None, "a", "b", "c"]),
        delay=st.sampled_from([0, 0, 0, 5]),
        messages=st.integers(1, 8),
    )
    def send(self, group: str | None, delay: int, messages: int) -> None:
        for _ in range(messages):
            body = f"message-{self.left.total()}-{self.now}"
            self.left[body] += 1
            self.queue.send(Message(body, None, group), self.now, delay=delay)

    @rule(most=st.integers(1, 10), seconds=st.sampled_from([0, 1, 30]), from_dead=st.booleans())
    def receive(self, most: int, seconds: int, from_dead: bool) -> None:
        queue = self.dead if from_dead else self.queue
        for message in queue.receive(most, self.now, visibility_seconds=seconds):
            for handle in [known for known, one in self.held.items() if one is message]:
                del self.held[handle]
                self.stale.append(handle)
            self.held[handle_of(message)] = message

    @rule(data=st.data(), seconds=st.sampled_from([0, 1, 60]))
    def change_visibility(self, data: st.DataObject, seconds: int) -> None:
        for handle in self.held and [data.draw(st.sampled_from(sorted(self.held)))]:
            self.queue.set_visibility(handle, seconds, self.now)

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        for handle in self.held and [data.draw(st.sampled_from(sorted(self.held)))]:
            message = self.held[handle]
            body = message.body
            for queue in (self.queue, self.dead):
                queue.delete(handle, self.now)
            if message.body is None:
                self.left[body] -= 1
            del self.held[handle]
        for handle in self.stale:
            self.queue.delete(handle, self.now)

    @rule(seconds=st.sampled_from([0.5, 1.0, 10.0, 60.0]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def everything_is_there_once(self) -> None:
        found: Counter[str] = Counter()
        for queue in (self.queue, self.dead):
            queue.settle(self.now)
            visible, hidden = queue.all_visible(), queue.all_hidden()
            assert len(visible) == queue.visible
            assert len(hidden) == queue.in_flight + queue.delayed
            found.update(bodies([*visible, *hidden]))
            in_line = [queue._line.in_flight(group) for group in (None, "a", "b", "c")]
            assert sum(in_line) == queue.in_flight
        assert +self.left == found


TestQueueState = QueueMachine.TestCase
TestQueueState.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
