"""Sending: who shares a call, what becomes of each message, and what a sick queue costs others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.exceptions import (
    ConnectionClosedError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
    ReadTimeoutError,
    SSLError,
)
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import DEFAULT_ON
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from fakes.publisher import FakeSqsClient, Step, answer, client_error, failed
from fakes.waiting import until
from producer import publisher as module
from producer.publisher import Outgoing, SqsPublisher
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)
from tenantry.limits import SQS_BATCH_BYTES
from tenantry.metrics import ProducerMetrics

A = "http://sqs.example/000000000000/dev-a-messages"
B = "http://sqs.example/000000000000/dev-b-messages"
MEBIBYTE = 1_048_576
URL = "http://sqs.example"

#: Long enough that no test waits for it, on any machine.
NEVER = 3_600.0

Outcomes = asyncio.Task[list[TenantryError | None]]


def outgoing(body: str, size: int | None = None) -> Outgoing:
    """A message of this text, made this many bytes long."""
    return Outgoing(body if size is None else body.ljust(size, "."), {}, None)


class Sender:
    """A publisher on a fake client."""

    def __init__(self, **changes: Any) -> None:
        self.client = FakeSqsClient()
        self.registry = CollectorRegistry()
        values: dict[str, Any] = {
            "linger_seconds": NEVER,
            "calls_per_queue": 8,
            "queue_buffer_bytes": 8 * MEBIBYTE,
            "buffer_bytes": 32 * MEBIBYTE,
        }
        client: Any = self.client
        self.publisher = SqsPublisher(client, ProducerMetrics(self.registry), **(values | changes))

    def send(self, *messages: str | Outgoing, to: str = A, seconds: float = NEVER) -> Outcomes:
        """Publish, as one request does."""
        made = [outgoing(one) if isinstance(one, str) else one for one in messages]
        publish = self.publisher.publish(to, made, deadline=time.monotonic() + seconds)
        return asyncio.create_task(publish)

    @property
    def sizes(self) -> list[int]:
        """How many entries each call had."""
        return [len(call.entries) for call in self.client.calls]

    @property
    def buffered(self) -> float:
        """Bytes in hand, as the metric says."""
        return self.registry.get_sample_value("tenantry_send_buffer_bytes") or 0.0

    def calls(self, outcome: str) -> float:
        """Calls with this outcome, as the metric says."""
        labels = {"outcome": outcome}
        return self.registry.get_sample_value("tenantry_send_calls_total", labels) or 0.0

    def is_forgotten(self) -> bool:
        """Nothing is kept of any queue."""
        return not self.publisher._lanes and self.buffered == 0 == self.publisher._bytes


@pytest.fixture
def sender() -> Sender:
    """A publisher that never stops lingering by itself."""
    return Sender()


@pytest.fixture(autouse=True)
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for a millisecond, not for fifty."""
    monkeypatch.setattr(module, "FIRST_BACKOFF_SECONDS", 0.001)
    monkeypatch.setattr(module, "MOST_BACKOFF_SECONDS", 0.002)


async def turns(count: int = 20) -> None:
    """Let everything that is ready go on; no time need pass."""
    for _ in range(count):
        await asyncio.sleep(0)


async def outcomes(*sent: Outcomes) -> list[TenantryError | None]:
    """What became of every message, in order."""
    async with asyncio.timeout(10):
        return [outcome for one in sent for outcome in await one]


def kinds(found: Sequence[TenantryError | None]) -> list[type[TenantryError] | None]:
    return [None if outcome is None else type(outcome) for outcome in found]


# --- who shares a call -----------------------------------------------------------------------


async def test_a_lone_message_goes_at_once(sender: Sender) -> None:
    """Nobody else is in hand, so nobody is waited for."""
    assert [None] == await outcomes(sender.send("one"))
    assert [["one"]] == [call.bodies for call in sender.client.calls]


async def test_ten_in_hand_share_a_call(sender: Sender) -> None:
    """Ten requests at once are one call, in their order."""
    sent = [sender.send(str(n)) for n in range(10)]

    assert [None] * 10 == await outcomes(*sent)
    assert [[str(n) for n in range(10)]] == [call.bodies for call in sender.client.calls]


async def test_some_at_once_share_a_call(sender: Sender) -> None:
    """All that is in hand goes together, though it is less than ten."""
    await outcomes(*[sender.send(str(n)) for n in range(3)])

    assert [3] == sender.sizes


async def test_who_comes_during_a_call_waits_for_others_until_it_ends(sender: Sender) -> None:
    """What is in flight counts as in hand: the answer brings more, and the rest goes with it."""
    gate = sender.client.hold(A)
    sent = [sender.send("first")]
    await turns()
    sent += [sender.send("second"), sender.send("third")]
    await turns()
    assert [1] == sender.sizes
    gate.set()

    assert [None] * 3 == await outcomes(*sent)
    assert [["first"], ["second", "third"]] == [call.bodies for call in sender.client.calls]


async def test_the_tenth_ends_the_wait(sender: Sender) -> None:
    """A full call goes though another is in flight."""
    gate = sender.client.hold(A)
    sent = [sender.send("first")]
    await turns()
    sent += [sender.send(str(n)) for n in range(9)]
    await turns()
    assert [1] == sender.sizes
    sent.append(sender.send("tenth"))
    await turns()
    assert [1, 10] == sender.sizes
    gate.set()

    assert [None] * 11 == await outcomes(*sent)


async def test_a_mebibyte_ends_the_wait(sender: Sender) -> None:
    """So does a call that is full by its bytes."""
    gate = sender.client.hold(A)
    sent = [sender.send("first")]
    await turns()
    sent.append(sender.send(outgoing("half", MEBIBYTE // 2)))
    await turns()
    assert [1] == sender.sizes
    sent.append(sender.send(outgoing("other half", MEBIBYTE // 2)))
    await turns()
    assert [1, 2] == sender.sizes
    assert MEBIBYTE == sender.client.calls[1].bytes
    gate.set()

    assert [None] * 3 == await outcomes(*sent)


async def test_the_linger_ends_the_wait() -> None:
    """The oldest message that waited 5 ms goes, with what is there."""
    sender = Sender(linger_seconds=0.005)
    gate = sender.client.hold(A)
    sent = [sender.send("first")]
    await turns()
    sent += [sender.send("second"), sender.send("third")]
    await until(lambda: len(sender.client.calls) == 2)
    assert [1, 2] == sender.sizes
    assert sender.client.calls[1].at - sender.client.calls[0].at >= 0.004
    gate.set()

    assert [None] * 3 == await outcomes(*sent)


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        ([MEBIBYTE], [1]),
        ([MEBIBYTE // 2] * 2, [2]),
        ([MEBIBYTE // 2, MEBIBYTE // 2 + 1], [1, 1]),
        ([MEBIBYTE // 2 + 1, MEBIBYTE // 2, MEBIBYTE // 2], [1, 2]),
        ([1, MEBIBYTE, 1], [1, 1, 1]),
        ([10] * 25, [10, 10, 5]),
    ],
)
async def test_no_call_is_larger_than_sqs_takes(
    sender: Sender, sizes: list[int], calls: list[int]
) -> None:
    """Ten entries and 1 MiB at most, and the order of a queue's messages stays."""
    bodies = [outgoing(f"{n}", size) for n, size in enumerate(sizes)]

    assert [None] * len(sizes) == await outcomes(sender.send(*bodies))
    assert calls == sender.sizes
    assert all(call.bytes <= SQS_BATCH_BYTES for call in sender.client.calls)
    assert [one.body for one in bodies] == sender.client.bodies


async def test_attributes_count(sender: Sender) -> None:
    """Name, type and value of each attribute are bytes of the message, as SQS counts them."""
    message = Outgoing("é" * 10, {"traceparent": "ü" * 5}, "acme")
    await outcomes(sender.send(message))

    assert 20 + len("traceparent") + len("String") + 10 == message.size_bytes()
    assert message.size_bytes() == sender.client.calls[0].bytes


async def test_queues_are_never_mixed(sender: Sender) -> None:
    """Each queue has calls of its own, though requests come in turns."""
    await outcomes(*[sender.send(f"{n}", to=(A, B)[n % 2]) for n in range(10)])

    assert {A: ["0", "2", "4", "6", "8"], B: ["1", "3", "5", "7", "9"]} == {
        call.queue_url: call.bodies for call in sender.client.calls
    }


async def test_what_goes_over_the_wire(sender: Sender) -> None:
    """Body, group and attributes, each only where there is one."""
    await outcomes(sender.send(Outgoing("b", {"traceparent": "t"}, "acme"), outgoing("c")))

    assert [
        {
            "Id": "0",
            "MessageBody": "b",
            "MessageGroupId": "acme",
            "MessageAttributes": {"traceparent": {"DataType": "String", "StringValue": "t"}},
        },
        {"Id": "1", "MessageBody": "c"},
    ] == sender.client.calls[0].entries


# --- leaving and running out of time ---------------------------------------------------------


async def leave(request: Outcomes) -> None:
    """The client goes away."""
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_a_client_that_leaves_takes_back_what_has_not_left(sender: Sender) -> None:
    """Its unsent messages are never sent; its neighbours are."""
    gate = sender.client.hold(A)
    first = sender.send("first")
    await turns()
    leaver, stayer = sender.send("leaves", "leaves too"), sender.send("stays")
    await turns()
    await leave(leaver)
    assert len("first" + "stays") == sender.buffered
    gate.set()

    assert [None, None] == await outcomes(first, stayer)
    assert ["first", "stays"] == sender.client.bodies
    await until(sender.is_forgotten)


async def test_a_client_that_leaves_cancels_no_call(sender: Sender) -> None:
    """The call that it shares goes on for the others, and the bytes are held until it ends."""
    gate = sender.client.hold(A)
    leaver, stayer = sender.send("leaves"), sender.send("stays")
    await turns()
    await leave(leaver)
    assert len("leaves" + "stays") == sender.buffered
    gate.set()

    assert [None] == await outcomes(stayer)
    assert [2] == sender.sizes
    await until(sender.is_forgotten)


async def test_all_clients_that_leave_end_no_call(sender: Sender) -> None:
    """A call that nobody waits for ends by itself and is not tried again."""
    gate = sender.client.hold(A)
    sender.client.then(client_error("ServiceUnavailable", 503))
    leaver = sender.send("leaves")
    await turns()
    await leave(leaver)
    assert 1 == sender.client.in_flight[A]
    gate.set()
    await until(sender.is_forgotten)

    assert [1] == sender.sizes


async def test_out_of_time_before_it_was_sent(sender: Sender) -> None:
    """Not accepted: it is taken back, and a retry cannot make a second one."""
    sender = Sender(calls_per_queue=1)
    gate = sender.client.hold(A)
    first = sender.send("first")
    await turns()

    assert [NotAcceptedError] == kinds(await outcomes(sender.send("late", seconds=0.005)))
    gate.set()
    assert [None] == await outcomes(first)
    assert ["first"] == sender.client.bodies


async def test_out_of_time_while_it_was_sent(sender: Sender) -> None:
    """Outcome unknown: SQS may have it. A neighbour with more time gets its answer."""
    gate = sender.client.hold(A)
    hasty, patient = sender.send("hasty", seconds=0.005), sender.send("patient")

    assert [OutcomeUnknownError] == kinds(await outcomes(hasty))
    gate.set()
    assert [None] == await outcomes(patient)
    assert [2] == sender.sizes


async def test_out_of_time_in_part(sender: Sender) -> None:
    """The messages of one request are told apart: answered, sent, and not sent."""
    sender = Sender(calls_per_queue=2)
    first, second = asyncio.Event(), asyncio.Event()
    client = sender.client
    whole = client.send_message_batch

    async def gated(**call: Any) -> Any:
        await (first if call["Entries"][0]["MessageBody"] == "0" else second).wait()
        return await whole(**call)

    sender.publisher.client = type("Client", (), {"send_message_batch": staticmethod(gated)})()
    first.set()
    big = [outgoing(f"{n}", MEBIBYTE) for n in range(1, 4)]
    request = sender.send("0", *big, seconds=0.05)

    assert [None, OutcomeUnknownError, OutcomeUnknownError, NotAcceptedError] == kinds(
        await outcomes(request)
    )
    second.set()
    await until(sender.is_forgotten)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
async def test_out_of_time_on_arrival(sender: Sender, seconds: float) -> None:
    """Nothing is sent for who is too late already."""
    assert [NotAcceptedError] * 2 == kinds(await outcomes(sender.send("a", "b", seconds=seconds)))
    await turns()
    assert [] == sender.client.calls
    assert sender.is_forgotten()


# --- errors ----------------------------------------------------------------------------------

THROTTLED = client_error("ThrottlingException")

NOTHING_WAS_SENT = {
    "unreachable": EndpointConnectionError(endpoint_url=URL),
    "connect-timeout": ConnectTimeoutError(endpoint_url=URL),
    "not-who-it-should-be": SSLError(endpoint_url=URL, error=OSError("certificate")),
    "no-credentials": NoCredentialsError(),
    "no-credentials-now": CredentialRetrievalError(provider="p", error_msg="e"),
    "throttled": THROTTLED,
    "throttled-too": client_error("RequestThrottled", 403),
    "refused": client_error("KmsDisabled"),
    "no-token": client_error("ExpiredToken", 403),
}
IT_MAY_BE_SENT = {
    "read-timeout": ReadTimeoutError(endpoint_url=URL),
    "closed": ConnectionClosedError(endpoint_url=URL),
    "broken": HTTPClientError(error="reset"),
    "internal": client_error("InternalError", 500),
    "unavailable": client_error("ServiceUnavailable", 503),
}


@pytest.mark.parametrize("name", NOTHING_WAS_SENT)
async def test_errors_before_sqs_took_anything(sender: Sender, name: str) -> None:
    """Tried again until the deadline; then not accepted."""
    sender.client.then(*[NOTHING_WAS_SENT[name]] * 1_000)

    found = await outcomes(sender.send("a", seconds=0.05))
    assert [NotAcceptedError] == kinds(found)
    assert len(sender.client.calls) > 1
    await until(sender.is_forgotten)


@pytest.mark.parametrize("name", IT_MAY_BE_SENT)
async def test_errors_that_leave_a_doubt(sender: Sender, name: str) -> None:
    """Tried again until the deadline; then the outcome is unknown."""
    sender.client.then(*[IT_MAY_BE_SENT[name]] * 1_000)

    found = await outcomes(sender.send("a", seconds=0.05))
    assert [OutcomeUnknownError] == kinds(found)
    assert len(sender.client.calls) > 1
    await until(sender.is_forgotten)


@pytest.mark.parametrize("name", [*NOTHING_WAS_SENT, *IT_MAY_BE_SENT])
async def test_errors_that_pass(sender: Sender, name: str) -> None:
    """One error costs one more call."""
    sender.client.then((NOTHING_WAS_SENT | IT_MAY_BE_SENT)[name])

    assert [None, None] == await outcomes(sender.send("a"), sender.send("b"))
    assert [["a", "b"]] * 2 == [call.bodies for call in sender.client.calls]


async def test_a_doubt_stays(sender: Sender) -> None:
    """What may have been sent once is not called unsent because a later try failed early."""
    later = [NOTHING_WAS_SENT["unreachable"], THROTTLED] * 500
    sender.client.then(IT_MAY_BE_SENT["read-timeout"], *later)

    assert [OutcomeUnknownError] == kinds(await outcomes(sender.send("a", seconds=0.05)))


async def test_a_confirmation_ends_a_doubt(sender: Sender) -> None:
    """The same message under the same id, sent again and confirmed, is accepted."""
    sender.client.then(IT_MAY_BE_SENT["read-timeout"], THROTTLED)

    assert [None] == await outcomes(sender.send("a"))


@pytest.mark.parametrize(
    "code",
    [
        "QueueDoesNotExist",
        "AWS.SimpleQueueService.NonExistentQueue",
        "AccessDenied",
        "AccessDeniedException",
    ],
)
async def test_a_queue_that_cannot_be_used(sender: Sender, code: str) -> None:
    """Misplaced at once: the placement may be old, and waiting does not help."""
    sender.client.then(client_error(code, 400))
    with capture_logs() as lines:
        found = await outcomes(sender.send("a"), sender.send("b"))

    assert [MisplacedError] * 2 == kinds(found)
    assert [2] == sender.sizes
    assert [("send.misplaced", A, code)] == [
        (line["event"], line["queue"], line["code"]) for line in lines
    ]


async def test_calls_are_counted_by_outcome(sender: Sender) -> None:
    """What dashboards show of SQS."""
    for step in (
        None,
        lambda entries: answer(entries, [failed(0, "InternalError", sender_fault=False)]),
        THROTTLED,
        client_error("KmsDisabled"),
        EndpointConnectionError(endpoint_url=URL),
        ReadTimeoutError(endpoint_url=URL),
    ):
        sender.client.then(step)
        assert [None] == await outcomes(sender.send("secret"))

    assert {
        "ok": 6,
        "partial": 1,
        "throttled": 1,
        "refused": 1,
        "unreachable": 1,
        "timeout": 1,
    } == {
        outcome: sender.calls(outcome)
        for outcome in ("ok", "partial", "throttled", "refused", "unreachable", "timeout")
    }


async def test_logs_name_the_queue_and_no_message(sender: Sender) -> None:
    """A refusal is one line with queue, code and status; throttling is a metric only."""
    sender.client.then(client_error("KmsDisabled"), THROTTLED)
    with capture_logs() as lines:
        await outcomes(sender.send("secret"))

    assert [
        {
            "event": "send.refused",
            "log_level": "warning",
            "queue": A,
            "code": "KmsDisabled",
            "status": 400,
        }
    ] == lines


# --- entries that fail alone -----------------------------------------------------------------


def refusing(*bodies: str, code: str, sender_fault: bool) -> Step:
    """Of one call, fail the entries with these bodies."""

    def step(entries: Sequence[Any]) -> dict[str, Any]:
        return answer(
            entries,
            [
                failed(entry["Id"], code, sender_fault=sender_fault)
                for entry in entries
                if entry["MessageBody"] in bodies
            ],
        )

    return step


async def test_the_senders_fault_is_answered(sender: Sender) -> None:
    """Never tried again: it would fail for ever. Its neighbours are accepted."""
    sender.client.then(refusing("bad", code="InvalidMessageContents", sender_fault=True))
    found = await outcomes(*[sender.send(body) for body in ("a", "bad", "b")])

    assert [None, InvalidMessageError, None] == kinds(found)
    assert found[1] is not None
    assert "the queue will not take it: InvalidMessageContents" == found[1].detail
    assert [3] == sender.sizes


async def test_the_senders_fault_is_not_the_queues(sender: Sender) -> None:
    """Calls go side by side after it: nothing is wrong with the queue."""
    sender.client.then(refusing("bad", code="InvalidMessageContents", sender_fault=True))
    await outcomes(sender.send("bad"), sender.send("good"))
    gate = sender.client.hold(A)
    sent = [sender.send(str(n)) for n in range(30)]
    await turns()
    assert 3 == sender.client.in_flight[A]
    gate.set()

    await outcomes(*sent)


async def test_what_failed_is_tried_again_alone(sender: Sender) -> None:
    """The others have their answers before that."""
    waiting: list[bool] = []
    sent: list[Outcomes] = []

    def second(entries: Sequence[Any]) -> dict[str, Any]:
        waiting.extend(not request.done() for request in sent)
        return answer(entries)

    sender.client.then(refusing("b", "d", code="InternalError", sender_fault=False), second)
    sent += [sender.send(body) for body in "abcd"]

    assert [None] * 4 == await outcomes(*sent)
    assert [["a", "b", "c", "d"], ["b", "d"]] == [call.bodies for call in sender.client.calls]
    assert [False, True, False, True] == waiting


async def test_what_goes_on_failing_is_not_accepted(sender: Sender) -> None:
    """An entry in `Failed` was not taken: no doubt is left."""
    again = refusing("a", code="InternalError", sender_fault=False)
    sender.client.then(*[again] * 1_000)

    assert [NotAcceptedError] == kinds(await outcomes(sender.send("a", seconds=0.05)))


async def test_an_answer_that_leaves_an_entry_out(sender: Sender) -> None:
    """Neither successful nor failed: tried again after a pause, and in doubt until then."""
    sender.client.then(lambda entries: answer(entries[:1]))
    assert [None, None] == await outcomes(sender.send("a"), sender.send("b"))
    assert [["a", "b"], ["b"]] == [call.bodies for call in sender.client.calls]

    sender.client.then(*[{}] * 1_000)
    before = len(sender.client.calls)
    assert [OutcomeUnknownError] == kinds(await outcomes(sender.send("c", seconds=0.05)))
    # Without a pause there would be thousands.
    assert len(sender.client.calls) - before < 500


async def test_a_bug_costs_one_call(sender: Sender) -> None:
    """What nobody expected ends one call, is logged with its trace, and the lane goes on."""
    sender.client.then(RuntimeError("a bug"))
    with capture_logs() as lines:
        found = await outcomes(sender.send("a"), sender.send("b"))

    assert [OutcomeUnknownError] * 2 == kinds(found)
    assert ["send.failed"] == [line["event"] for line in lines]
    assert isinstance(lines[0]["exc_info"], RuntimeError)
    assert [None] == await outcomes(sender.send("c"))
    await until(sender.is_forgotten)


# --- bounds ----------------------------------------------------------------------------------


async def test_a_queues_buffer_is_bounded() -> None:
    """What would pass the bound is refused at once, to the byte; what is smaller still fits."""
    sender = Sender(queue_buffer_bytes=MEBIBYTE)
    gate = sender.client.hold(A)
    sent = sender.send(outgoing("a", MEBIBYTE - 100))
    await turns()

    found = await outcomes(sender.send(outgoing("b", 101)))
    assert [NotAcceptedError] == kinds(found)
    assert "too much waits to be sent already" == str(found[0])
    fits = sender.send(outgoing("c", 100))
    await turns()
    assert MEBIBYTE == sender.buffered
    assert [NotAcceptedError] == kinds(await outcomes(sender.send("d")))
    gate.set()
    assert [None, None] == await outcomes(sent, fits)
    assert [None] == await outcomes(sender.send("e"))


async def test_all_buffers_together_are_bounded() -> None:
    """Many queues cannot take more than the process has."""
    sender = Sender(queue_buffer_bytes=MEBIBYTE, buffer_bytes=MEBIBYTE + 100)
    gate = sender.client.hold()
    sent = [sender.send(outgoing("a", MEBIBYTE)), sender.send(outgoing("b", 100), to=B)]
    await turns()

    assert [NotAcceptedError] == kinds(await outcomes(sender.send("c", to=B)))
    gate.set()
    assert [None, None] == await outcomes(*sent)
    assert [None] == await outcomes(sender.send("c", to=B))


async def test_one_queues_flood_leaves_room_for_others() -> None:
    """A queue that is full refuses its own messages only."""
    sender = Sender(queue_buffer_bytes=MEBIBYTE, buffer_bytes=2 * MEBIBYTE)
    gate = sender.client.hold(A)
    flood = [sender.send(outgoing(f"{n}", MEBIBYTE // 2)) for n in range(4)]
    await turns()

    assert [None] == await outcomes(sender.send(outgoing("b", MEBIBYTE), to=B))
    gate.set()
    assert [None, None, NotAcceptedError, NotAcceptedError] == kinds(await outcomes(*flood))


async def test_a_batch_that_fits_in_part(sender: Sender) -> None:
    """Each message of a request has an outcome of its own."""
    sender = Sender(queue_buffer_bytes=MEBIBYTE)
    messages = [outgoing("0", MEBIBYTE - 10), outgoing("1", 11), outgoing("2", 10)]

    assert [None, NotAcceptedError, None] == kinds(await outcomes(sender.send(*messages)))


async def test_calls_in_flight_are_bounded_per_queue() -> None:
    """Connections are everybody's: one queue takes no more than its share of them."""
    sender = Sender(calls_per_queue=2)
    gate = sender.client.hold()
    sent = [sender.send(str(n), to=to) for n in range(50) for to in (A, B)]
    await turns()
    assert {A: 2, B: 2} == sender.client.in_flight
    gate.set()

    assert [None] * 100 == await outcomes(*sent)
    assert {A: 2, B: 2} == sender.client.most_in_flight


async def test_a_queue_that_hangs_delays_no_other(sender: Sender) -> None:
    """Another queue's messages go and are answered while it hangs."""
    gate = sender.client.hold(A)
    hanging = [sender.send(str(n)) for n in range(200)]
    await turns()

    assert [None] * 20 == await outcomes(*[sender.send(str(n), to=B) for n in range(20)])
    assert not any(request.done() for request in hanging)
    gate.set()
    await outcomes(*hanging)


async def test_a_queue_that_fails_gets_one_call_at_a_time(sender: Sender) -> None:
    """Until one goes well: then as many as before."""
    sent: list[Outcomes] = []
    in_flight: list[int] = []

    def throttled(_: Sequence[Any]) -> dict[str, Any]:
        in_flight.append(sender.client.in_flight[A])
        if not sent:
            sent.extend(sender.send(str(n)) for n in range(40))
        raise THROTTLED

    sender.client.delay = 0.001
    sender.client.then(*[throttled] * 5)
    assert [None] == await outcomes(sender.send("first"))
    assert [1] * 5 == in_flight
    assert [None] * 40 == await outcomes(*sent)
    assert 4 == sender.client.most_in_flight[A]


# --- what is left ----------------------------------------------------------------------------


async def test_queues_that_are_idle_are_forgotten(sender: Sender) -> None:
    """Ten thousand tenants' queues, each used once, leave nothing behind."""
    await outcomes(*[sender.send("a", to=f"{A}-{n}") for n in range(100)])
    await turns()

    assert sender.is_forgotten()


async def test_requests_without_a_message_leave_nothing(sender: Sender) -> None:
    """Nothing to send, or nothing that fits: no queue is remembered for that."""
    full = Sender(buffer_bytes=10)
    gate = full.client.hold(A)
    held = full.send("0123456789")
    await turns()
    assert [] == await outcomes(full.send(to=B))
    assert [NotAcceptedError] == kinds(await outcomes(full.send("b", to=B)))
    assert [A] == list(full.publisher._lanes)
    gate.set()

    assert [None] == await outcomes(held)
    await until(full.is_forgotten)


async def test_who_left_before_anything_went_leaves_nothing(sender: Sender) -> None:
    """Messages that were taken back in the turn in which they came."""
    request = sender.send("a", "b")
    await asyncio.sleep(0)
    await leave(request)
    await turns()

    assert [] == sender.client.calls
    assert sender.is_forgotten()


async def test_close_waits_for_what_is_in_flight() -> None:
    """And for what had to wait behind it."""
    sender = Sender(calls_per_queue=1)
    gate = sender.client.hold()
    sent = [sender.send(str(n)) for n in range(15)]
    await turns()
    closing = asyncio.create_task(sender.publisher.close())
    await turns()
    assert not closing.done()
    gate.set()
    async with asyncio.timeout(10):
        await closing

    assert [None] * 15 == await outcomes(*sent)
    assert sender.is_forgotten()
    await sender.publisher.close()


# --- traces ----------------------------------------------------------------------------------


def traced(trace_id: str, *, sampled: bool) -> Outgoing:
    """A message with the trace context of its request."""
    traceparent = f"00-{trace_id * 32}-{trace_id * 16}-0{int(sampled)}"
    return Outgoing(trace_id, {"traceparent": traceparent}, None)


async def test_a_call_is_a_span_of_its_sampled_messages(sender: Sender) -> None:
    """Linked to each of them and in the first one's trace, whichever request woke the lane."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=DEFAULT_ON, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    sender.publisher.tracer = provider.get_tracer("test")
    ambient = trace.NonRecordingSpan(
        trace.SpanContext(1, 1, is_remote=True, trace_flags=trace.TraceFlags(0))
    )
    attached = otel_context.attach(trace.set_span_in_context(ambient))
    messages = [traced("a", sampled=False), traced("b", sampled=True), traced("c", sampled=True)]
    await outcomes(sender.send(*messages, "untraced"))
    otel_context.detach(attached)

    [span] = exporter.get_finished_spans()
    assert span.parent is not None
    assert ("send dev-a-messages", trace.SpanKind.CLIENT) == (span.name, span.kind)
    assert "b" * 32 == f"{span.parent.trace_id:032x}"
    assert ["b" * 32, "c" * 32] == [f"{link.context.trace_id:032x}" for link in span.links]
    assert span.attributes is not None
    assert (4, "dev-a-messages", "aws_sqs") == (
        span.attributes["messaging.batch.message_count"],
        span.attributes["messaging.destination.name"],
        span.attributes["messaging.system"],
    )


async def test_a_call_without_sampled_messages_is_no_span(sender: Sender) -> None:
    """Nobody follows them, so nothing is recorded."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    sender.publisher.tracer = provider.get_tracer("test")
    await outcomes(sender.send(traced("a", sampled=False), "untraced"))

    assert () == exporter.get_finished_spans()


@pytest.mark.parametrize("culprit", [0, 3, 6])
async def test_a_call_refused_for_one_entry_is_halved_until_only_that_one_is_refused(
    sender: Sender, culprit: int
) -> None:
    """Neighbours of a message that makes SQS refuse the whole call are sent at once."""
    real = sender.client.send_message_batch

    async def refuse_the_culprit(**call: Any) -> Any:
        if any(entry["MessageBody"] == f"m{culprit}" for entry in call["Entries"]):
            raise client_error("InvalidAttributeValue")
        return await real(**call)

    sender.client.send_message_batch = refuse_the_culprit  # type: ignore[method-assign]

    found = await outcomes(sender.send(*(f"m{n}" for n in range(7))))

    expected: list[type[TenantryError] | None] = [None] * 7
    expected[culprit] = InvalidMessageError
    assert expected == kinds(found)
    assert sorted(sender.client.bodies) == [f"m{n}" for n in range(7) if n != culprit]
