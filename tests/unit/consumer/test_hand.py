"""What is in hand: bounded, fair between tenants, and nothing is ever lost from it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from consumer.hand import BATCH_PAYLOAD_BYTES, Hand, Held
from fakes.deliveries import a_held, a_message
from tenantry.limits import PARTIQL_BATCH_STATEMENTS

TENANTS = ["acme", "globex", "initech", "umbrella"]
PAYLOADS = ["{}", '{"n":1}', '{"text":"%s"}' % ("x" * 400)]


def a_hand(*tenant_ids: str, messages: int = 100) -> Hand:
    """A hand that holds a message of each of these tenants, in this order."""
    hand = Hand(most_messages=messages, most_bytes=10**6)
    hand.add(a_held(a_message(tenant_id)) for tenant_id in tenant_ids)
    return hand


def tenants(batch: list[Held]) -> list[str]:
    return [held.message.tenant_id for held in batch]


class HandMachine(RuleBasedStateMachine):
    """Polls, writes, deletions and losses in any order, against a plain list of what is held."""

    most_messages = 0
    most_bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.polls: list[tuple[int, int]] = []
        self.held: list[Held] = []
        self.batches: list[list[Held]] = []
        self.settled: list[Held] = []
        self.rests: dict[str, float] = {}

    @initialize(messages=st.integers(10, 60), size=st.integers(2_000, 20_000))
    def start(self, messages: int, size: int) -> None:
        """With other bounds each time."""
        self.most_messages, self.most_bytes = messages, size
        self.hand = Hand(most_messages=messages, most_bytes=size)

    @rule(messages=st.integers(1, 10), size=st.integers(200, 6_000))
    def poll(self, messages: int, size: int) -> None:
        """A poll starts, if there is room for what it may bring."""
        held = len(self.held) + sum(poll[0] for poll in self.polls)
        bytes_held = self._bytes() + sum(poll[1] for poll in self.polls)
        has_room = held + messages <= self.most_messages and bytes_held + size <= self.most_bytes
        assert has_room is self.hand.reserve(messages, size)
        if has_room:
            self.polls.append((messages, size))

    @precondition(lambda self: self.polls)
    @rule(
        wanted=st.lists(
            st.tuples(st.sampled_from(TENANTS), st.integers(1, 12), st.sampled_from(PAYLOADS)),
            max_size=10,
        )
    )
    def bring(self, wanted: list[tuple[str, int, str]]) -> None:
        """A poll ends: it brings no more than it kept room for; copies are among it."""
        messages, size = self.polls.pop(0)
        brought: list[Held] = []
        for tenant_id, number, payload in wanted[:messages]:
            held = a_held(a_message(tenant_id, number, payload=payload))
            if sum(len(one.delivery.body) for one in [*brought, held]) <= size:
                brought.append(held)
        self.hand.unreserve(messages, size)
        self.hand.add(brought)
        self.held += brought

    @rule(most=st.integers(1, 25))
    def take(self, most: int) -> None:
        """A batch: fair, no key twice, none that is being written, none that rests."""
        writing = {one.key for batch in self.batches for one in batch}
        ready = [held for held in self.held if self._is_ready(held, writing)]
        batch = self.hand.take(self.now, most)

        assert set(batch) <= set(ready)
        keys = [held.key for held in batch]
        assert len(set(keys)) == len(keys)
        # As many as there are: a copy of what is in the batch has to wait.
        assert len(batch) == min(most, len({held.key for held in ready}))
        dealt = Counter(tenants(batch))
        left = {held.message.tenant_id for held in ready if held.key not in keys}
        for tenant_id in left:
            assert dealt[tenant_id] >= max(dealt.values()) - 1
        if batch:
            self.batches.append(batch)

    @precondition(lambda self: self.batches)
    @rule(data=st.data(), rest=st.sampled_from([0.0, 0.5, 3.0]))
    def end_batch(self, data: st.DataObject, rest: float) -> None:
        """A write ends: each message is settled, or put back, and its lane may rest."""
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        back = [held for held in batch if data.draw(st.booleans())]
        self.hand.written(batch)
        not_before = self.now + rest if rest else 0
        self.hand.put_back(back, not_before=not_before)
        for held in back:
            if held in self.held:
                tenant_id = held.message.tenant_id
                self.rests[tenant_id] = max(self.rests.get(tenant_id, 0), not_before)
        self.settled += [held for held in batch if held not in back]

    @precondition(lambda self: self.settled)
    @rule()
    def delete(self) -> None:
        """What was settled leaves."""
        self.hand.remove(self.settled)
        self.held = [held for held in self.held if held not in self.settled]
        self.settled = []

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        """Any message's visibility may end, wherever it is."""
        held = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        self.hand.remove([held])
        self.hand.remove([held])  # twice is no harm
        tenant_id = held.message.tenant_id
        if not any(one.is_waiting and one.message.tenant_id == tenant_id for one in self.held):
            self.rests.pop(tenant_id, None)  # a lane that is empty is forgotten with its rest

    @rule(seconds=st.sampled_from([0.1, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        """Rests end."""
        self.now += seconds

    @invariant()
    def holds_what_came_and_did_not_leave(self) -> None:
        """Nothing is lost, and nothing stays."""
        assert set(self.held) == set(self.hand)
        assert len(self.held) == len(self.hand)
        assert self._bytes() == self.hand.bytes
        assert all(held in self.hand for held in self.held)

    @invariant()
    def is_bounded(self) -> None:
        """Whatever the polls in flight may bring, there is room for it."""
        assert len(self.hand) + sum(poll[0] for poll in self.polls) <= self.most_messages
        assert self.hand.bytes + sum(poll[1] for poll in self.polls) <= self.most_bytes

    @invariant()
    def knows_what_waits(self) -> None:
        """Waiting is: in hand, in no batch, and not settled."""
        busy = {held for batch in self.batches for held in batch} | set(self.settled)
        waiting = [held for held in self.held if held not in busy]
        assert len(waiting) == self.hand.waiting
        assert all(held.is_waiting for held in waiting)
        assert not any(held.is_waiting for held in busy)

    @invariant()
    def says_when_to_look_again(self) -> None:
        """While something may be taken there is a time since when it waits; else it rests."""
        waiting = [held for held in self.held if held.is_waiting]
        resting = {self._rest(held) for held in waiting if self._rest(held) > self.now}
        is_ready = any(self._rest(held) <= self.now for held in waiting)
        assert (self.hand.oldest_ready_at(self.now) is not None) is is_ready
        assert min(resting, default=None) == self.hand.next_lane_at(self.now)

    def teardown(self) -> None:
        """In the end all that is in hand can be taken, put back or not, batch for batch."""
        if not self.most_messages:
            return
        for batch in self.batches:
            self.hand.put_back(batch)
        self.hand.remove(self.settled)
        held = {one for one in self.held if one not in self.settled}
        taken: set[Held] = set()
        while batch := self.hand.take(self.now + 1_000):
            taken |= set(batch)
            self.hand.written(batch)
            self.hand.remove(batch)
        assert held == taken
        assert (0, 0, 0) == (len(self.hand), self.hand.bytes, self.hand.waiting)

    def _bytes(self) -> int:
        return sum(len(held.delivery.body) for held in self.held)

    def _rest(self, held: Held) -> float:
        return self.rests.get(held.message.tenant_id, 0)

    def _is_ready(self, held: Held, writing: set[tuple[str, str]]) -> bool:
        return held.is_waiting and held.key not in writing and self._rest(held) <= self.now


HandMachine.TestCase.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
TestHand = HandMachine.TestCase


@pytest.mark.parametrize("most", [1, 2, 3, 4])
def test_a_batch_of_k_from_k_lanes_holds_one_of_each(most: int) -> None:
    """However much one tenant has in hand, the others' turn comes as soon as its own."""
    hand = a_hand(*["acme"] * 20, *TENANTS[1:most])

    assert sorted(TENANTS[:most]) == sorted(tenants(hand.take(0, most)))


def test_the_turn_goes_on_where_the_last_batch_ended() -> None:
    """Small batches do not start with the same tenant each time."""
    hand = a_hand(*TENANTS[:3] * 4)

    assert [TENANTS[:2], [TENANTS[2], TENANTS[0]], TENANTS[1:3]] == [
        tenants(hand.take(0, 2)) for _ in range(3)
    ]


def test_a_batch_takes_no_more_than_one_call_does() -> None:
    """Unless told otherwise."""
    hand = a_hand(*["acme"] * 40)

    assert PARTIQL_BATCH_STATEMENTS == len(hand.take(0))
    assert hand.waiting == 40 - PARTIQL_BATCH_STATEMENTS


def test_a_copy_waits_until_the_first_is_written() -> None:
    """Two receives of one message never share a call, nor are they written at once."""
    hand = Hand(most_messages=10, most_bytes=10**6)
    first, copy, other = (a_held(a_message("acme", number)) for number in (1, 1, 2))
    hand.add([first, copy, other])

    assert [first, other] == hand.take(0)
    assert hand.take(0) == []
    hand.written([first])
    assert [copy] == hand.take(0)


def test_one_id_of_two_tenants_is_two_messages() -> None:
    """The tenant is part of the key."""
    hand = Hand(most_messages=10, most_bytes=10**6)
    hand.add([a_held(a_message("acme", 1)), a_held(a_message("globex", 1))])

    assert ["acme", "globex"] == tenants(hand.take(0))


def test_what_is_put_back_goes_first_and_in_its_order() -> None:
    """A message that could not be written is not overtaken by those that came later."""
    hand = a_hand(*["acme"] * 5)
    batch = hand.take(0, 3)
    hand.put_back(batch)

    assert batch == hand.take(0, 3)


def test_a_lane_rests_and_the_others_go_on() -> None:
    """One tenant's throttled partition stops nobody else."""
    hand = a_hand("acme", "globex", "acme", "globex")
    hand.put_back(hand.take(0, 1), not_before=5)

    assert ["globex", "globex"] == tenants(hand.take(4.9))
    assert hand.oldest_ready_at(4.9) is None
    assert hand.next_lane_at(4.9) == 5
    assert ["acme", "acme"] == tenants(hand.take(5))


def test_a_shorter_rest_does_not_end_a_longer_one() -> None:
    """Two batches of a tenant may be throttled at once."""
    hand = a_hand("acme", "acme")
    first, second = hand.take(0, 1), hand.take(0, 1)
    hand.put_back(first, not_before=5)
    hand.put_back(second, not_before=3)

    assert hand.take(4) == []
    assert len(hand.take(5)) == 2


def test_what_was_lost_while_it_was_written_is_not_put_back() -> None:
    """Somebody else has it; and its copies are free to go."""
    hand = a_hand("acme")
    batch = hand.take(0)
    hand.remove(batch)
    hand.put_back(batch)

    assert (0, 0) == (len(hand), hand.waiting)
    hand.add([a_held(batch[0].message)])
    assert len(hand.take(0)) == 1


def test_large_messages_share_a_batch_up_to_its_bytes() -> None:
    """A batch stays below what a call takes, and a message that is larger alone goes alone."""
    hand = Hand(most_messages=100, most_bytes=10**8)
    third = '{"text":"%s"}' % ("x" * (BATCH_PAYLOAD_BYTES // 3))
    large, *small = (a_held(a_message(payload=payload)) for payload in (third, third, third, "{}"))
    huge = a_held(a_message("globex", payload='{"text":"%s"}' % ("x" * BATCH_PAYLOAD_BYTES)))
    hand.add([huge])
    hand.add([large, *small])

    assert [huge] == hand.take(0)
    batch = hand.take(0)
    assert [large, small[0]] == batch
    assert [small[1], small[2]] == hand.take(0)


def test_a_small_message_goes_where_a_large_one_has_no_room() -> None:
    """The lane with the large one is passed over, and keeps it as its first."""
    hand = Hand(most_messages=100, most_bytes=10**8)
    half = '{"text":"%s"}' % ("x" * (BATCH_PAYLOAD_BYTES * 2 // 3))
    first, second = (a_held(a_message("acme", payload=half)) for _ in range(2))
    others = [a_held(a_message("globex")) for _ in range(3)]
    hand.add([first, second, *others])

    assert [first, *others] == hand.take(0)
    assert [second] == hand.take(0)


def test_a_poll_that_ends_gives_its_room_to_the_next() -> None:
    """Room is kept for messages and bytes, and each of them may be what is short."""
    hand = Hand(most_messages=10, most_bytes=1_000)

    assert hand.reserve(6, 600) is True
    assert hand.reserve(6, 100) is False
    assert hand.reserve(1, 600) is False
    hand.changed.clear()
    hand.unreserve(6, 600)
    assert hand.changed.is_set()
    assert hand.reserve(10, 1_000) is True


@pytest.mark.parametrize("what", ["add", "put_back", "written", "remove", "unreserve"])
def test_whoever_waits_learns_of_a_change(what: str) -> None:
    """Nobody polls the hand: it says when to look again."""
    hand = a_hand("acme")
    batch = hand.take(0)
    hand.reserve(1, 1)
    hand.changed.clear()
    match what:
        case "unreserve":
            hand.unreserve(1, 1)
        case _:
            getattr(hand, what)(batch)

    assert hand.changed.is_set()
