"""The coalescer under anything: requests come, leave and run out of time; calls end in any way."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from botocore.exceptions import EndpointConnectionError, ReadTimeoutError
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)
from prometheus_client import CollectorRegistry

from fakes.loop import SimulatedLoop
from fakes.publisher import answer, client_error, failed
from producer import publisher as module
from producer.publisher import Outgoing, SqsPublisher
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)
from tenantry.limits import SQS_BATCH_BYTES, SQS_BATCH_ENTRIES
from tenantry.metrics import ProducerMetrics

LINGER_SECONDS = 0.005
QUEUE_BYTES = 3 * SQS_BATCH_BYTES
ALL_BYTES = 4 * SQS_BATCH_BYTES
QUEUES = ("queue-a", "queue-b", "queue-c")

#: How a call can end, and whether SQS may have taken what was in it.
ENDS = {
    "ok": True,
    "unreachable": False,
    "throttled": False,
    "misplaced": False,
    "read-timeout": True,
    "unavailable": True,
}


@dataclass(eq=False)
class Call:
    """A SendMessageBatch in flight."""

    queue: str
    bodies: list[str]
    ends: asyncio.Future[Any]


@dataclass(eq=False)
class Request:
    """A publish, and what may become of its messages."""

    queue: str
    bodies: list[str]
    deadline: float
    task: asyncio.Task[list[TenantryError | None]]
    refused: set[str] = field(default_factory=set)


class Client:
    """SQS as far as the publisher knows it; every call ends when the machine says how."""

    def __init__(self, calls_per_queue: int) -> None:
        self.calls: list[Call] = []
        self.sent: Counter[str] = Counter()
        self._calls_per_queue = calls_per_queue

    async def send_message_batch(self, *, QueueUrl: str, Entries: Sequence[Any]) -> Any:  # noqa: N803 - botocore's names
        """Checks what holds for every call."""
        bodies = [entry["MessageBody"] for entry in Entries]
        assert {QueueUrl} == {body.partition(":")[0] for body in bodies}
        assert 1 <= len(bodies) <= SQS_BATCH_ENTRIES
        assert sum(map(len, bodies)) <= SQS_BATCH_BYTES
        assert len(bodies) == len({entry["Id"] for entry in Entries})
        call = Call(QueueUrl, bodies, asyncio.get_running_loop().create_future())
        self.calls.append(call)
        self.sent.update(bodies)
        assert sum(one.queue == QueueUrl for one in self.calls) <= self._calls_per_queue
        try:
            end = await call.ends
        finally:
            self.calls.remove(call)
        if isinstance(end, Exception):
            raise end
        return answer(Entries, end)


class Coalescer(RuleBasedStateMachine):
    """Requests, calls and time in any order; what is promised must hold after every step."""

    requests = Bundle("requests")

    @initialize(calls_per_queue=st.integers(1, 3))
    def start(self, calls_per_queue: int) -> None:
        """A publisher on a loop whose time is the machine's."""
        self.loop = SimulatedLoop()
        now = self.loop.time
        self.logged: list[str] = []
        log = SimpleNamespace(
            warning=lambda *_, **__: None, error=lambda event, **_: self.logged.append(event)
        )
        self.patches = [
            patch.object(module, "time", SimpleNamespace(monotonic=now, perf_counter=now)),
            patch.object(module, "log", log),
        ]
        for one in self.patches:
            one.start()
        self.calls_per_queue = calls_per_queue
        self.client = Client(calls_per_queue)
        self.registry = CollectorRegistry()
        client: Any = self.client
        self.publisher = SqsPublisher(
            client,
            ProducerMetrics(self.registry),
            linger_seconds=LINGER_SECONDS,
            calls_per_queue=calls_per_queue,
            queue_buffer_bytes=QUEUE_BYTES,
            buffer_bytes=ALL_BYTES,
        )
        self.live: list[Request] = []
        self.number = 0
        self.confirmed: set[str] = set()
        self.in_time: set[str] = set()
        self.doubtful: set[str] = set()
        self.faulty: set[str] = set()
        self.misplaced: set[str] = set()

    # --- what happens ------------------------------------------------------------------------

    @rule(
        target=requests,
        queue=st.sampled_from(QUEUES),
        sizes=st.lists(
            st.sampled_from([20, 20, 20, 200_000, SQS_BATCH_BYTES // 2, SQS_BATCH_BYTES]),
            min_size=1,
            max_size=12,
        ),
        seconds=st.sampled_from([0.0, 0.003, 0.1, 2.0, 60.0]),
    )
    def publish(self, queue: str, sizes: list[int], seconds: float) -> Request:
        """A request comes; others may come in the same turn."""
        bodies = []
        for size in sizes:
            self.number += 1
            bodies.append(f"{queue}:{self.number}:".ljust(size, "."))
        deadline = self.loop.now + seconds
        publish = self.publisher.publish(
            queue, [Outgoing(body, {}, None) for body in bodies], deadline=deadline
        )
        request = Request(queue, bodies, deadline, self.loop.create_task(publish))
        self.live.append(request)
        return request

    @rule()
    def turn(self) -> None:
        """What is ready goes on; no time passes."""
        self._turn()

    @rule(seconds=st.sampled_from([0.001, 0.0051, 0.2, 3.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self._turn()

    @rule(request=consumes(requests))
    def leave(self, request: Request) -> None:
        """A client goes away; what it was not told, nobody is."""
        request.task.cancel()
        self._turn()
        if request in self.live:
            self.live.remove(request)

    @precondition(lambda self: self.client.calls)
    @rule(which=st.randoms(use_true_random=False), end=st.sampled_from(sorted(ENDS)))
    def end_call(self, which: Any, end: str) -> None:
        """A call ends as a whole."""
        call = which.choice(self.client.calls)
        url = "http://sqs.example"
        self._end(
            call,
            {
                "ok": [],
                "unreachable": EndpointConnectionError(endpoint_url=url),
                "throttled": client_error("ThrottlingException"),
                "misplaced": client_error("AWS.SimpleQueueService.NonExistentQueue"),
                "read-timeout": ReadTimeoutError(endpoint_url=url),
                "unavailable": client_error("ServiceUnavailable", 503),
            }[end],
            confirmed=call.bodies if end == "ok" else [],
            doubtful=call.bodies if ENDS[end] else [],
            misplaced=call.bodies if end == "misplaced" else [],
        )

    @precondition(lambda self: self.client.calls)
    @rule(which=st.randoms(use_true_random=False))
    def end_call_in_part(self, which: Any) -> None:
        """A call ends, and some of its entries failed; some of those by the sender's fault."""
        call = which.choice(self.client.calls)
        fates = [which.choice(["ok", "failed", "faulty"]) for _ in call.bodies]

        def of(fate: str) -> list[str]:
            return [body for body, one in zip(call.bodies, fates, strict=True) if one == fate]

        self._end(
            call,
            [
                failed(number, "Code", sender_fault=fate == "faulty")
                for number, fate in enumerate(fates)
                if fate != "ok"
            ],
            confirmed=of("ok"),
            faulty=of("faulty"),
        )

    def _end(self, call: Call, end: Any, **what: list[str]) -> None:
        # Who is still waiting when the answer comes is told what it says.
        self._turn()
        waiting = {
            body
            for request in self.live
            if not request.task.done() and request.deadline > self.loop.now
            for body in request.bodies
        }
        call.ends.set_result(end)
        for name, bodies in what.items():
            found: set[str] = getattr(self, name)
            found.update(bodies)
        self.in_time |= waiting.intersection(what.get("confirmed", ()))
        self._turn()

    def _turn(self) -> None:
        for _ in range(12):
            self.loop.run_until_complete(asyncio.sleep(0))

    # --- what must hold ----------------------------------------------------------------------

    @invariant()
    def bytes_are_bounded(self) -> None:
        """Of one queue, and of all; and the metric tells them."""
        lanes = self.publisher._lanes.values()
        held = sum(lane.bytes for lane in lanes)
        assert all(0 <= lane.bytes <= QUEUE_BYTES for lane in lanes)
        assert 0 <= held == self.publisher._bytes <= ALL_BYTES
        assert held == self.registry.get_sample_value("tenantry_send_buffer_bytes")

    @invariant()
    def nothing_is_kept_of_an_idle_queue(self) -> None:
        """A queue is known while something of it is in hand."""
        for lane in self.publisher._lanes.values():
            assert lane.buffer or lane.tasks
            assert lane.bytes > 0

    @invariant()
    def nobody_waits_in_vain(self) -> None:
        """Who is not sent yet is behind others of its queue, for the linger, or for a call."""
        self._turn()
        waiting: dict[str, list[str]] = defaultdict(list)
        for lane in self.publisher._lanes.values():
            waiting[lane.queue_url] = [entry.message.body for entry in lane.buffer]
            if not lane.buffer:
                continue
            assert lane.tasks
            if len(lane.tasks) < (1 if lane._is_failing else self.calls_per_queue):
                assert len(lane.buffer) < SQS_BATCH_ENTRIES
                assert sum(entry.size for entry in lane.buffer) < SQS_BATCH_BYTES
                assert self.loop.now - lane.buffer[0].added_at < LINGER_SECONDS
        for bodies in waiting.values():
            assert not any(self.client.sent[body] for body in bodies)

    @invariant()
    def every_message_has_the_outcome_that_is_true(self) -> None:
        """One for each: None only if SQS confirmed it, not accepted only if SQS has it not."""
        in_flight = {body for call in self.client.calls for body in call.bodies}
        for request in [one for one in self.live if one.task.done()]:
            self.live.remove(request)
            found = request.task.result()
            assert len(request.bodies) == len(found)
            for body, outcome in zip(request.bodies, found, strict=True):
                maybe = body in self.confirmed | self.doubtful | in_flight
                if outcome is None:
                    assert body in self.confirmed
                    continue
                assert body not in self.in_time
                if isinstance(outcome, NotAcceptedError):
                    assert not maybe
                elif isinstance(outcome, OutcomeUnknownError):
                    assert maybe
                elif isinstance(outcome, MisplacedError):
                    assert body in self.misplaced
                else:
                    assert isinstance(outcome, InvalidMessageError)
                    assert body in self.faulty

    @invariant()
    def what_is_settled_is_not_sent_again(self) -> None:
        """Confirmed, refused for ever, and not taken by a queue: each of these ends it."""
        for call in self.client.calls:
            settled = self.confirmed | self.faulty | self.misplaced
            assert not settled.intersection(call.bodies)

    @invariant()
    def nothing_was_unexpected(self) -> None:
        """No call ended with an error of ours."""
        assert [] == self.logged

    def teardown(self) -> None:
        """All calls end well at last: then all requests are answered, and nothing is left."""
        if not hasattr(self, "loop"):
            return
        try:
            for _ in range(200):
                while self.client.calls:
                    call = self.client.calls[0]
                    self._end(call, [], confirmed=call.bodies, doubtful=call.bodies)
                if not self.publisher._lanes:
                    break
                self.wait(0.3)
            self.loop.run_until_complete(self.publisher.close())
            self._turn()
            assert all(request.task.done() for request in self.live)
            self.every_message_has_the_outcome_that_is_true()
            assert {} == self.publisher._lanes
            self.bytes_are_bounded()
        finally:
            for one in self.patches:
                one.stop()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self._turn()
            self.loop.close()


TestCoalescer = Coalescer.TestCase
TestCoalescer.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
