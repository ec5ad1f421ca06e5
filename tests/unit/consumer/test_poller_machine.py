"""The poller as a state machine: whatever fails, and when, nothing accepted is lost."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from consumer.poller import Poller
from fakes.consuming import DEAD_LETTERS, OTHER_URL, TABLE, URL, Consuming, consume, ids, world
from fakes.deliveries import a_message
from fakes.loop import SimulatedLoop
from tenantry.contract import Message

#: Few enough for the bad ones to get there in the end, and more than faults can use up.
RECEIVES: Final = 40
#: Of one message: faults and copies together stay far below.
HOUR: Final = 3_600.0


class PollerMachine(RuleBasedStateMachine):
    """Messages and faults come in any order; time passes; processes end and start."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=SimulatedLoop)
        self.good: dict[str, Message] = {}
        self.followed: dict[str, Message] = {}
        self.bad: list[bytes] = []

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize(hand=st.sampled_from([10, 25, 200]), polls=st.integers(1, 4))
    def start(self, hand: int, polls: int) -> None:
        """With other bounds each time."""
        self.bounds: dict[str, Any] = {"hand_messages": hand, "polls": polls, "wait_seconds": 2}

        async def start() -> Consuming:
            self.parts = world()
            self.parts[0].create(URL, dead_letter_url=DEAD_LETTERS, max_receive_count=RECEIVES)
            return consume(self.parts, **self.bounds)

        self.consuming = self.run(start())
        self.sqs, self.repository, self.registry = self.parts

    @rule(
        tenant_id=st.sampled_from(["acme", "globex", "umbrella", "initech"]),
        messages=st.integers(1, 40),
        copies=st.integers(1, 3),
    )
    def send(self, tenant_id: str, messages: int, copies: int) -> None:
        """Messages are accepted, and SQS delivers some of them more than once."""
        for _ in range(messages):
            message = a_message(tenant_id)
            known = self.followed if tenant_id == "initech" else self.good
            known[message.message_id] = message
            for _ in range(copies):
                self.run(self.sqs.send(URL, message.body()))

    @rule(text=st.sampled_from([b"no JSON", b"{}", b'{"version":7}']))
    def send_bad(self, text: bytes) -> None:
        """Somebody sends what is no message."""
        self.bad.append(text)
        self.run(self.sqs.send(URL, text))

    @rule(seconds=st.sampled_from([0.01, 0.5, 10.0, 100.0]))
    def pass_time(self, seconds: float) -> None:
        """And work goes on."""
        self.run(asyncio.sleep(seconds))

    @rule(down=st.booleans())
    def store(self, down: bool) -> None:
        """The table goes, or comes back."""
        self.repository.down = down

    @rule(failing=st.booleans())
    def lookups(self, failing: bool) -> None:
        """The registry goes, or comes back."""
        self.registry.failing = failing

    @rule(tenant_ids=st.sets(st.sampled_from(["acme", "globex"])))
    def throttle(self, tenant_ids: set[str]) -> None:
        """Partitions are too hot."""
        self.repository.throttled = tenant_ids

    @rule(
        operation=st.sampled_from(["receive", "delete", "set_visibility", "forward"]),
        times=st.integers(1, 3),
        answers=st.booleans(),
    )
    def lose_calls(self, operation: Any, times: int, answers: bool) -> None:
        """Calls fail, or take effect and lose their answers."""
        (self.sqs.lose_answers if answers else self.sqs.fail)(operation, times)

    @rule(times=st.integers(1, 3))
    def lose_writes(self, times: int) -> None:
        """Writes take effect and are called unavailable."""
        self.repository.lose_answers(times)

    @rule(gently=st.booleans())
    def restart(self, gently: bool) -> None:
        """A process drains, or is killed; another one starts."""
        self.run(self.consuming.stop() if gently else self.consuming.close())

        async def start() -> Consuming:
            return consume(self.parts, **self.bounds)

        self.consuming = self.run(start())

    @invariant()
    def it_runs(self) -> None:
        """No fault of a dependency ends it, or makes it look dead."""
        if self.consuming.running.done():
            self.consuming.running.result()
        assert not self.consuming.running.done()
        assert self.consuming.health.stalled() == []

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each message is stored as it was sent, or on its way, and no good one is dead."""
        queued = set(ids([body for body in self.sqs.state(URL).bodies if body not in self.bad]))
        stored = {one.message_id: one for one in self.consuming.stored}
        assert set(self.good) <= queued | set(stored)
        assert stored.items() <= self.good.items()
        forwarded = set(ids(self.sqs.state(OTHER_URL).bodies))
        assert set(self.followed) <= queued | forwarded
        assert forwarded <= set(self.followed)
        assert set(self.sqs.state(DEAD_LETTERS).bodies) <= set(self.bad)

    @invariant()
    def its_hand_is_bounded(self) -> None:
        """In number, in bytes, and in polls."""
        poller: Poller = self.consuming.poller
        assert len(poller.hand) <= self.bounds["hand_messages"]
        assert poller.hand.bytes <= self.consuming.settings.hand_bytes
        assert self.consuming.queue.most_polls <= self.bounds["polls"]
        assert poller.hand.waiting == sum(held.is_waiting for held in poller.hand)

    def teardown(self) -> None:
        """When all works again all is stored, bad ones are dead letters, and it can stop."""
        if not hasattr(self, "consuming"):
            return
        self.repository.down = self.registry.failing = False
        self.repository.throttled = set()
        self.repository._losing = 0
        self.sqs._failures.clear()

        async def settle() -> None:
            async with asyncio.timeout(HOUR):
                while self.sqs.state(URL).messages:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(10)

        try:
            self.run(settle())
            self.nothing_is_lost()
            assert sorted(self.bad) == sorted(self.sqs.state(DEAD_LETTERS).bodies)
            assert len(self.repository.tables[TABLE]) == len(self.good)
            self.run(self.consuming.stop())
            assert len(self.consuming.poller.hand) == 0
            assert self.consuming.queue.cancelled == 0
        finally:
            self.run(self.consuming.close())
            self.runner.close()


PollerMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=20, deadline=None)
TestPoller = PollerMachine.TestCase
