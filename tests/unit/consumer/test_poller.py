"""The consumer's loop among fakes, in simulated time, with the settings of a pod."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from consumer.poller import FORWARD_SECONDS, MOST_BACKOFF_SECONDS, STALLED_SECONDS
from consumer.settling import KEPT_FIRST_SECONDS, KEPT_MOST_SECONDS
from fakes.consuming import OTHER_URL, URL, Consuming, consume, ids
from fakes.deliveries import a_message
from fakes.registry import a_placement
from tenantry.tenant_id import TenantId

TEN_MINUTES: Final = 600.0


@pytest.fixture
async def consuming() -> AsyncGenerator[Consuming, None]:
    """A pool's consumer that runs, with an empty queue."""
    running = consume()
    yield running
    await running.close()


async def pass_time(seconds: float) -> None:
    """Let simulated time pass."""
    await asyncio.sleep(seconds)


async def until(condition: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Let simulated time pass until the condition holds, but no longer."""
    async with asyncio.timeout(seconds):
        while not condition():
            await pass_time(seconds / 1_000)


def value(metric: Any) -> float:
    """Of a counter or gauge."""
    found: float = metric._value.get()
    return found


# What it is for


async def test_everything_that_is_sent_is_stored_once(consuming: Consuming) -> None:
    """Some hundred messages of several tenants, and copies of some: none twice, none left."""
    await consuming.send_many(400)
    for message in consuming.sent[::7]:
        await consuming.sqs.send(URL, message.body())
    await until(lambda: not consuming.left)

    consuming.assert_stored_once()
    assert value(consuming.metrics.duplicates) == len(consuming.sent[::7])
    assert value(consuming.metrics.stored.labels("acme")) == 134
    assert len(consuming.poller.hand) == 0
    assert consuming.repository.refused_calls == 0


async def test_a_backlog_costs_few_calls(consuming: Consuming) -> None:
    """Receives and deletions by ten, writes by twenty-five."""
    await consuming.send_many(2_000)
    await until(lambda: not consuming.left, seconds=60)

    calls = len(consuming.sqs.calls) + len(consuming.repository.calls)
    assert calls / 2_000 < 0.3


async def test_a_lone_message_does_not_wait_for_others(consuming: Consuming) -> None:
    """It is stored and deleted at once: to wait for company is for the busy."""
    await pass_time(5)
    await consuming.send_many(1)
    await until(lambda: not consuming.left, seconds=0.02)

    consuming.assert_stored_once()


async def test_what_is_stored_already_is_deleted(consuming: Consuming) -> None:
    """An answer of the table was lost: the next attempt finds the messages there."""
    consuming.repository.lose_answers()
    await consuming.send_many(10)
    await until(lambda: not consuming.left)

    consuming.assert_stored_once()
    assert value(consuming.metrics.duplicates) > 0


async def test_another_payload_under_a_key_is_counted_and_deleted(consuming: Consuming) -> None:
    """The first that was stored stands."""
    await consuming.send(a_message(key="order-1"))
    await until(lambda: not consuming.left)
    await consuming.sqs.send(URL, a_message(key="order-1", payload='{"n":2}').body())
    await until(lambda: not consuming.left)

    consuming.assert_stored_once()
    assert value(consuming.metrics.conflicts) == 1


# Idle and busy


async def test_an_idle_consumer_makes_one_receive_a_wait_and_nothing_else(
    consuming: Consuming,
) -> None:
    """Three calls a minute: no deletions, no extensions, no look-ups."""
    await pass_time(TEN_MINUTES)

    assert TEN_MINUTES / 20 - 1 <= consuming.receives <= TEN_MINUTES / 20 + 1
    assert {"receive"} == {call.operation for call in consuming.sqs.calls}
    assert consuming.repository.calls == []
    assert consuming.registry.asked == []
    assert consuming.queue.most_polls == 1


async def test_a_trickle_after_a_rush_is_received_by_one_poll(consuming: Consuming) -> None:
    """Polls used to stay open until one came back empty, and each brought a message or two."""
    await consuming.send_many(1_000)
    await until(lambda: not consuming.left, seconds=60)
    assert consuming.queue.most_polls == consuming.settings.polls

    for _ in range(10):
        await consuming.send_many(1)
        await until(lambda: not consuming.left)
        await pass_time(0.5)

    assert consuming.queue.polls == 1


async def test_polls_go_up_with_demand_and_back_to_one(consuming: Consuming) -> None:
    """As many as the settings allow while there is a backlog; soon one when there is none."""
    await consuming.send_many(1_000)
    await until(lambda: not consuming.left, seconds=60)
    assert consuming.queue.most_polls == consuming.settings.polls

    await pass_time(2 * consuming.settings.wait_seconds)
    before = consuming.receives
    await pass_time(TEN_MINUTES)

    assert consuming.queue.polls == 1
    assert consuming.receives - before <= TEN_MINUTES / 20 + 1


async def test_the_hand_stays_within_its_bounds(consuming: Consuming) -> None:
    """However much there is: also while nothing can be written."""
    consuming.repository.open.clear()
    await consuming.send_many(1_000)
    await pass_time(60)

    room = consuming.settings.hand_messages
    assert room - 10 < len(consuming.poller.hand) <= room
    assert len(consuming.poller.hand) == value(consuming.metrics.hand_messages)
    consuming.repository.open.set()
    await until(lambda: not consuming.left, seconds=60)
    consuming.assert_stored_once()


async def test_a_slow_table_is_called_by_as_many_writes_as_allowed(consuming: Consuming) -> None:
    """And no more."""
    consuming.repository.open.clear()
    await consuming.send_many(500)
    await pass_time(5)

    assert consuming.poller._writes == consuming.settings.writes
    # The batches that are under way hold twenty-five each, once there are that many.
    assert consuming.poller.hand.waiting < consuming.settings.hand_messages - 50


# Bad messages


async def test_bad_messages_become_dead_letters_and_their_neighbours_are_stored(
    consuming: Consuming,
) -> None:
    """Each is tried as often as the queue says, alone, and nothing else waits for it."""
    bad = [b"no JSON", b"{}", a_message().body().replace('"version":1', '"version":99').encode()]
    for body in bad:
        await consuming.sqs.send(URL, body)
    await consuming.send_many(20)
    for body in bad:
        await consuming.sqs.send(URL, body)
    await until(lambda: len(consuming.left) == 2 * len(bad), seconds=1)
    assert len(consuming.stored) == 20
    await pass_time(11 * consuming.settings.rejected_retry_seconds)

    assert sorted(bad * 2) == sorted(consuming.dead_letters)
    assert consuming.left == []
    assert value(consuming.metrics.rejected.labels("malformed")) == 10 * 2
    # `{}` has no version that is understood, either.
    assert value(consuming.metrics.rejected.labels("version")) == 10 * 2 * 2


async def test_what_the_table_refuses_becomes_a_dead_letter(consuming: Consuming) -> None:
    """Its batch is stored without it."""
    await consuming.send_many(30)
    poison = consuming.sent[13]
    consuming.repository.poison = {poison.message_id}
    await until(lambda: len(consuming.stored) == 29, seconds=1)
    await pass_time(11 * consuming.settings.rejected_retry_seconds)

    assert [poison.message_id] == ids(consuming.dead_letters)
    assert value(consuming.metrics.rejected.labels("refused")) == 10


async def test_a_refused_body_is_not_logged(consuming: Consuming) -> None:
    """Its kind and place are; what it says is the tenant's."""
    with structlog.testing.capture_logs() as logs:
        await consuming.sqs.send(URL, b'{"version":1,"payload":"secret"}')
        await consuming.sqs.send(URL, b"secret")
        await consuming.sqs.send(URL, b'{"version":1,"payload":{"secret":1e400}}')
        await consuming.sqs.send(URL, b'{"version":1,"payload":{},"secret":{"a":1e400}}')
        await until(lambda: len(logs) == 4)

    assert "secret" not in repr(logs)
    assert [
        ("message.rejected", "/payload"),
        ("message.rejected", None),
        ("message.rejected", "/payload/…"),
        ("message.rejected", "/…"),
    ] == [(entry["event"], entry["pointer"]) for entry in logs]


# Without the store, the registry or the queue


async def outage(consuming: Consuming) -> None:
    """Ten minutes in which nothing can be written: receives are spent on nothing."""
    await consuming.send_many(30)
    await until(lambda: consuming.poller.blocked is not None)
    await pass_time(21)  # polls that were in flight end
    receives, writes = consuming.receives, len(consuming.repository.calls)
    held = set(consuming.poller.hand)
    assert len(held) == 30  # there is room for more
    late = await consuming.send_many(300)
    for _ in range(int(TEN_MINUTES)):
        await pass_time(1)
        # What is in hand is invisible to everybody, and nothing else was touched.
        assert len(consuming.sqs.in_flight(URL)) == len(held)

    assert receives == consuming.receives
    assert held == set(consuming.poller.hand)
    assert consuming.dead_letters == []
    receive_counts = [one.receive_count for one in consuming.left]
    assert [1] * len(held) + [0] * len(late) == receive_counts
    # One batch probes, with a back-off.
    assert len(consuming.repository.calls) - writes <= TEN_MINUTES / MOST_BACKOFF_SECONDS * 2 + 2
    assert consuming.health.stalled() == []


async def test_ten_minutes_without_the_store(consuming: Consuming) -> None:
    """Nothing is received, what is in hand is kept, and all is stored afterwards."""
    consuming.repository.down = True
    await outage(consuming)

    assert consuming.poller.blocked == "store"
    assert value(consuming.metrics.blocked.labels("store")) == 1
    consuming.repository.down = False
    await until(lambda: not consuming.left, seconds=MOST_BACKOFF_SECONDS + 1)
    consuming.assert_stored_once()
    assert value(consuming.metrics.blocked.labels("store")) == 0


async def test_ten_minutes_without_the_registry(consuming: Consuming) -> None:
    """The same: where nobody knows where a tenant lives, nothing is guessed."""
    consuming.registry.failing = True
    await outage(consuming)

    assert consuming.poller.blocked == "registry"
    assert consuming.repository.calls == []
    consuming.registry.failing = False
    await until(lambda: not consuming.left, seconds=MOST_BACKOFF_SECONDS + 1)
    consuming.assert_stored_once()


async def test_the_registry_is_not_missed_before_placements_are_too_old(
    consuming: Consuming,
) -> None:
    """What is known serves for its time; then nothing is received any more."""
    await consuming.send_many(3)
    await until(lambda: not consuming.left)
    consuming.registry.failing = True
    for _ in range(28):
        await pass_time(10)
        await consuming.send_many(3)
        await until(lambda: not consuming.left, seconds=1)
    await pass_time(25)
    await consuming.send_many(3)
    await until(lambda: consuming.poller.blocked == "registry", seconds=21)

    assert len(consuming.left) == 3


async def test_a_dedicated_consumer_stops_receiving_while_its_table_is_throttled() -> None:
    """All it holds is one tenant's: nothing else could be written."""
    consuming = consume(instance="acme", tier="premium")
    consuming.repository.throttled = {"acme"}
    await consuming.send_many(300, "acme")
    await until(lambda: consuming.poller.blocked == "store")
    await pass_time(21)
    receives = consuming.receives
    await pass_time(60)

    assert receives == consuming.receives
    consuming.repository.throttled = set()
    await until(lambda: not consuming.left, seconds=MOST_BACKOFF_SECONDS + 1)
    consuming.assert_stored_once()
    await consuming.close()


async def test_one_tenants_throttled_partition_stops_nobody_else(consuming: Consuming) -> None:
    """In a pool its lane rests; it is tried again, and the others go on."""
    consuming.repository.throttled = {"acme"}
    await consuming.send_many(90)
    await until(lambda: len(consuming.stored) == 60, seconds=1)
    assert consuming.poller.blocked is None
    calls = len(consuming.repository.calls)
    await pass_time(60)
    assert len(consuming.repository.calls) - calls <= 60 / 0.25 * 4
    consuming.repository.throttled = set()

    await until(lambda: not consuming.left, seconds=1)
    consuming.assert_stored_once()


async def test_a_hand_that_ran_empty_in_an_outage_is_filled_again(consuming: Consuming) -> None:
    """Store and queue were both out of reach, so nothing is left to probe with: receive."""
    consuming.repository.down = True
    await consuming.send_many(10)
    await until(lambda: consuming.poller.blocked is not None)
    consuming.sqs.down = True
    await pass_time(60)
    assert len(consuming.poller.hand) == 0
    consuming.repository.down = consuming.sqs.down = False

    await until(lambda: not consuming.left, seconds=2 * MOST_BACKOFF_SECONDS + 1)
    consuming.assert_stored_once()
    assert consuming.poller.blocked is None


async def test_the_next_outage_is_probed_from_the_start(consuming: Consuming) -> None:
    """Also when the last one ended without a probe: its back-off is not carried over."""
    await test_a_hand_that_ran_empty_in_an_outage_is_filled_again(consuming)
    consuming.repository.fail(1)
    await consuming.send_many(1)

    await until(lambda: not consuming.left, seconds=1)


async def test_a_queue_out_of_reach_is_asked_with_a_back_off(consuming: Consuming) -> None:
    """It is said once; and work goes on when it is there again."""
    with structlog.testing.capture_logs() as logs:
        consuming.sqs.down = True
        await pass_time(TEN_MINUTES)
        receives = consuming.receives
        consuming.sqs.down = False
    await consuming.send_many(50)
    await until(lambda: not consuming.left, seconds=MOST_BACKOFF_SECONDS + 1)

    assert TEN_MINUTES / MOST_BACKOFF_SECONDS <= receives < 60
    assert [entry["reason"] for entry in logs if entry["event"] == "receive.failed"] == [
        "ServiceUnavailable"
    ]
    consuming.assert_stored_once()
    assert consuming.health.stalled() == []


async def test_one_failed_receive_costs_less_than_a_second(consuming: Consuming) -> None:
    """The back-off starts small, each time."""
    for _ in range(7):
        await until(lambda: consuming.queue.polls == 1)
        consuming.sqs.fail("receive")
        await until(lambda: not consuming.sqs._failures["receive"], seconds=21)
        await consuming.send_many(1)
        await until(lambda: not consuming.left, seconds=1)

    consuming.assert_stored_once()


# Deleting


async def test_what_could_not_be_deleted_is_tried_again(consuming: Consuming) -> None:
    """HTTP 200 says nothing of the entries: those that failed are asked for again."""
    await consuming.send_many(10)
    unlucky = consuming.sent[3].body().encode()
    refusals = iter(["InternalError", "InternalError"])
    consuming.sqs.refuse("delete", lambda body: next(refusals, None) if body == unlucky else None)
    await until(lambda: not consuming.left, seconds=2)

    consuming.assert_stored_once()
    assert value(consuming.metrics.duplicates) == 0


async def test_what_cannot_be_deleted_is_left_and_found_stored_later(
    consuming: Consuming,
) -> None:
    """After three attempts it may come back: no harm, but work."""
    await consuming.send_many(10)
    unlucky = consuming.sent[3].body().encode()
    consuming.sqs.refuse("delete", lambda body: "InternalError" if body == unlucky else None)
    await pass_time(5)

    assert [unlucky] == [one.body for one in consuming.left]
    assert len(consuming.poller.hand) == 0
    attempts = [call.entries for call in consuming.sqs.calls if call.operation == "delete"]
    assert attempts[-2:] == [1, 1]
    assert 10 + 2 == sum(attempts)
    consuming.sqs.refuse("delete", None)
    await until(lambda: not consuming.left, seconds=30)
    consuming.assert_stored_once()
    assert value(consuming.metrics.duplicates) == 1


async def test_a_whole_deletion_that_fails_is_tried_again(consuming: Consuming) -> None:
    """Or whose answer was lost: to delete again is no error."""
    consuming.sqs.fail("delete")
    consuming.sqs.lose_answers("delete")
    await consuming.send_many(10)
    await until(lambda: not consuming.left, seconds=2)
    await pass_time(2)

    consuming.assert_stored_once()
    assert len(consuming.poller.hand) == 0


async def test_what_was_lost_before_its_deletion_is_somebody_elses(consuming: Consuming) -> None:
    """It is not tried again with a handle that is no longer the message's."""
    await consuming.send_many(1)
    consuming.sqs.refuse("delete", lambda _: "ReceiptHandleIsInvalid")
    await until(lambda: consuming.sqs.count("delete") == 1)
    await pass_time(5)

    assert consuming.sqs.count("delete") == 1
    assert len(consuming.poller.hand) == 0


# Tenants elsewhere, unknown or gone


async def test_a_tenant_that_moved_is_followed(consuming: Consuming) -> None:
    """Its messages end in its own queue, as they came."""
    messages = await consuming.send_many(20, "initech")
    await until(lambda: not consuming.left)

    bodies = consuming.sqs.state(OTHER_URL).bodies
    assert sorted(one.body().encode() for one in messages) == sorted(bodies)
    assert value(consuming.metrics.forwarded) == 20
    assert consuming.stored == []


async def test_what_was_forwarded_is_deleted_only_when_that_is_confirmed(
    consuming: Consuming,
) -> None:
    """An answer that was lost makes a copy, never a gap."""
    consuming.sqs.lose_answers("forward")
    (message,) = await consuming.send_many(1, "initech")
    await until(lambda: not consuming.left)

    bodies = consuming.sqs.state(OTHER_URL).bodies
    assert [message.body().encode()] * 2 == bodies


async def test_a_queue_elsewhere_that_is_out_of_reach_stops_nobody(consuming: Consuming) -> None:
    """Others go on; its messages stay in hand for a while, then away from it, and arrive."""
    consuming.sqs.remove(OTHER_URL)
    theirs = await consuming.send_many(20, "initech")
    for _ in range(int(FORWARD_SECONDS) // 10 - 1):
        await consuming.send_many(5, "acme", "globex")
        await until(lambda: len(consuming.left) == len(theirs), seconds=1)
        assert len(consuming.poller.hand) == len(theirs)
        assert consuming.poller.blocked is None
        await pass_time(9)
    await pass_time(FORWARD_SECONDS / 5)

    assert len(consuming.poller.hand) == 0
    assert value(consuming.metrics.kept) == len(theirs)
    assert {1} == {one.receive_count for one in consuming.left}
    consuming.sqs.create(OTHER_URL)
    await until(lambda: not consuming.left, seconds=KEPT_FIRST_SECONDS + 1)
    assert sorted(one.message_id for one in theirs) == ids(consuming.sqs.state(OTHER_URL).bodies)


async def test_a_tenant_that_is_not_known_yet_is_kept(consuming: Consuming) -> None:
    """Onboarding may take hours: it is no reason to make dead letters, nor to hold the hand."""
    stranger = a_message("stranger")
    await consuming.send(stranger)
    neighbours = await consuming.send_many(10)
    await until(lambda: len(consuming.stored) == len(neighbours), seconds=1)
    assert len(consuming.poller.hand) == 0
    assert len(consuming.sqs.visible(URL)) == 0
    await pass_time(3 * 3_600)

    assert consuming.dead_letters == []
    assert value(consuming.metrics.kept) == 8
    consuming.registry.placements[TenantId("stranger")] = a_placement("stranger")
    await until(lambda: not consuming.left, seconds=KEPT_MOST_SECONDS)
    consuming.assert_stored_once()


async def test_the_log_says_why_a_message_is_kept(consuming: Consuming) -> None:
    """Nobody registered its tenant, or the queue of its tenant does not take it."""
    consuming.sqs.remove(OTHER_URL)
    with structlog.testing.capture_logs() as logs:
        await consuming.send(a_message("stranger"))
        await consuming.send(a_message("initech"))
        await pass_time(FORWARD_SECONDS * 1.5)

    kept = {(e["tenant_id"], e["reason"]) for e in logs if e["event"] == "message.kept"}
    assert {("stranger", "unknown-tenant"), ("initech", "not-forwarded")} == kept


async def test_a_tenant_that_never_comes_becomes_dead_letters(consuming: Consuming) -> None:
    """After some four hours, where an operator can redrive them."""
    await consuming.send(a_message("stranger"))
    await pass_time(4 * 3_600)
    assert consuming.dead_letters == []
    await pass_time(2 * 3_600)

    assert len(consuming.dead_letters) == 1


async def test_strangers_share_the_calls_that_keep_them(consuming: Consuming) -> None:
    """By ten, not one by one."""
    await consuming.send_many(10, "stranger")
    await until(lambda: value(consuming.metrics.kept) == 10)
    await pass_time(1)

    calls = [call.entries for call in consuming.sqs.calls if call.operation == "set_visibility"]
    assert sum(calls) == 10
    assert len(calls) <= 2


async def test_the_messages_of_a_tenant_that_left_are_deleted(consuming: Consuming) -> None:
    """And counted."""
    consuming.registry.placements[TenantId("acme")] = a_placement("acme", status="offboarded")
    await consuming.send_many(10, "acme")
    await until(lambda: not consuming.left)

    assert value(consuming.metrics.dropped) == 10
    assert consuming.stored == []


# Its life


async def test_while_it_goes_round_it_is_alive(consuming: Consuming) -> None:
    """Idle, busy or without the store: liveness follows no dependency."""
    for consuming.repository.down in (False, True):
        await consuming.send_many(30)
        for _ in range(150):
            await pass_time(1)
            assert consuming.health.stalled() == []


class BugError(Exception):
    """Nothing that the poller knows."""


async def die(consuming: Consuming) -> None:
    """It ends with what broke it, leaves no task behind, and looks dead from then on."""
    with pytest.raises(BugError):
        await asyncio.wait_for(consuming.running, 60)
    assert {asyncio.current_task()} == asyncio.all_tasks()
    await pass_time(STALLED_SECONDS + 1)
    assert ["poller"] == consuming.health.stalled()


async def test_a_write_that_dies_ends_it(
    consuming: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bug is loud: the process ends, and another one tries."""

    async def insert(*_: object) -> None:
        raise BugError

    monkeypatch.setattr(consuming.repository, "insert", insert)
    await consuming.send_many(1)
    await die(consuming)

    assert len(consuming.left) == 1


async def test_a_poll_that_dies_ends_it(consuming: Consuming) -> None:
    """What is no failure of the queue is a bug."""
    consuming.queue.broken = BugError()

    await die(consuming)


async def test_a_heartbeat_that_dies_ends_it(
    consuming: Consuming, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, what is in hand would be written by others, too."""

    async def beat() -> None:
        raise BugError

    monkeypatch.setattr(consuming.poller.heartbeat, "beat", beat)
    await die(consuming)


# Traces


async def test_a_sampled_message_joins_the_trace_of_its_request() -> None:
    """And one that is not sampled makes no span."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    consuming = consume(tracer=provider.get_tracer("test"))
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    sampled, unsampled = a_message(), a_message()
    await consuming.send(sampled, attributes={"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"})
    await consuming.send(
        unsampled, attributes={"traceparent": f"00-{trace_id}-b7ad6b7169203331-00"}
    )
    await consuming.send_many(1)
    await until(lambda: not consuming.left)
    await consuming.close()

    (span,) = exporter.get_finished_spans()
    assert int(trace_id, 16) == span.context.trace_id
    assert span.attributes is not None
    assert sampled.message_id == span.attributes["messaging.message.id"]
    assert span.name == "process dev-pool-1-messages"
