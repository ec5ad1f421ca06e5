"""The producer over ASGI: what is accepted, what is refused and how, and what clients see."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Sampler
from opentelemetry.trace import SpanKind
from structlog.testing import capture_logs

from fakes.asgi import Answer, call
from fakes.issuer import bearer, token
from fakes.producer import JSON, ProducerApp, a_submission
from fakes.registry import a_placement
from producer.publisher import Outgoing
from tenantry import problems, telemetry
from tenantry.contract import decode, item_bytes
from tenantry.errors import (
    InvalidMessageError,
    MisplacedError,
    NotAcceptedError,
    OutcomeUnknownError,
    TenantryError,
)
from tenantry.limits import BODY_BYTES, DYNAMODB_ITEM_BYTES, SQS_MAX_MESSAGE_BYTES

ONE = "/messages"
BATCH = "/messages/batch"
OLD = a_placement().queue_url
NEW = "http://sqs.example/000000000000/dev-acme-messages"
KEY = b"idempotency-key"
TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def problem(answer: Answer, status: int, slug: str) -> dict[str, Any]:
    """The problem of an answer, which is of this status and type in every place that says so."""
    assert (status, "application/problem+json") == (
        answer.status,
        answer.headers["content-type"],
    )
    found: dict[str, Any] = answer.json
    assert (status, f"urn:tenantry:problem:{slug}") == (found["status"], found["type"])
    assert found["title"]
    assert found["detail"]
    assert answer.headers.get("retry-after") == (
        str(found["retry_after"]) if "retry_after" in found else None
    )
    return found


# --- accepted ------------------------------------------------------------------------------


async def test_a_message_is_accepted(producer: ProducerApp) -> None:
    """202, where to read it, and nothing else in the body; SQS got the whole envelope."""
    answer = await producer.post(body=a_submission(payload={"n": 1.5, "ключ": [None]}))

    [(queue_url, outgoing)] = producer.publisher.sent
    message = decode(outgoing.body.encode())
    assert 202 == answer.status
    assert "application/json" == answer.headers["content-type"]
    assert f"/messages/{message.message_id}" == answer.headers["location"]
    assert f'{{"message_id":"{message.message_id}","status":"accepted"}}' == answer.body.decode()
    assert 7 == uuid.UUID(message.message_id).version
    assert OLD == queue_url
    assert ("acme", "order.created") == (message.tenant_id, message.type)
    assert {"n": 1.5, "ключ": [None]} == json.loads(message.payload)


async def test_only_a_pools_queue_gets_a_group(producer: ProducerApp) -> None:
    """The tenant is the message group there; on a queue of one's own there is none."""
    await producer.post()
    producer.place(tenant_id="globex", tier="advanced", pool=None, queue_url=NEW)
    await producer.post(tenant="globex")

    assert [(OLD, "acme"), (NEW, None)] == [
        (url, outgoing.group_id) for url, outgoing in producer.publisher.sent
    ]


async def test_the_placement_is_looked_up_once(producer: ProducerApp) -> None:
    """A second request costs no look-up."""
    await producer.post()
    await producer.post()

    assert ["acme"] == producer.registry.asked


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/json",
        b"Application/JSON",
        b"application/json; charset=utf-8",
        b"application/json ;charset=utf-8",
        b"application/cloudevents+json",
        b"application/vnd.acme.order-v2+json; a=b",
    ],
)
async def test_content_types_that_are_json(producer: ProducerApp, content_type: bytes) -> None:
    """JSON by any of its names, with parameters or not."""
    headers = bearer(token(), (b"content-type", content_type))

    assert 202 == (await producer.post(only=headers)).status


async def test_a_tenant_that_moves_is_still_served(producer: ProducerApp) -> None:
    """Moving is no reason to refuse."""
    producer.place(status="moving")

    assert 202 == (await producer.post()).status


async def test_a_header_that_agrees_with_the_token_is_fine(producer: ProducerApp) -> None:
    """The tenantID header may say what the token says."""
    assert 202 == (await producer.post(ONE, None, (b"tenantid", b"acme"))).status


async def test_the_body_may_come_in_pieces(producer: ProducerApp) -> None:
    """A body is put together from its chunks."""
    raw = json.dumps(a_submission()).encode()

    assert 202 == (await producer.post(receive=chunks(raw[:7], b"", raw[7:20], raw[20:]))).status


async def test_acceptance_is_counted(producer: ProducerApp) -> None:
    """Accepted by tenant, refused by type, time by route: what dashboards show."""
    await producer.post()
    await producer.post(BATCH, {"messages": [a_submission(), a_submission()]})
    await producer.post(body=b"{")
    producer.publisher.outcome = lambda _: NotAcceptedError("full")
    await producer.post(BATCH, {"messages": [a_submission(), a_submission()]})

    assert 3 == producer.metric("tenantry_messages_accepted_total", tenant="acme")
    assert 1 == producer.metric("tenantry_messages_refused_total", problem="malformed-body")
    assert 2 == producer.metric("tenantry_messages_refused_total", problem="not-accepted")
    assert 2 == producer.metric("tenantry_accept_seconds_count", route=ONE)
    assert 2 == producer.metric("tenantry_accept_seconds_count", route=BATCH)


# --- refused -------------------------------------------------------------------------------


def chunks(*parts: bytes) -> Callable[[], Awaitable[dict[str, Any]]]:
    """A body in these pieces."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        body = left.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(left)}

    return receive


async def never() -> dict[str, Any]:
    """A body that does not come."""
    await asyncio.Event().wait()
    raise AssertionError


async def unread() -> dict[str, Any]:
    """A body that nobody may read."""
    raise AssertionError


async def gone() -> dict[str, Any]:
    """A client that left."""
    return {"type": "http.disconnect"}


Ask = Callable[[ProducerApp, str], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way to be refused.

    Attributes:
        status: And with it the type's `slug`: what the whole request is answered.
        alone: Whether in a batch it is the outcome of one message instead.
    """

    name: str
    status: int
    slug: str
    ask: Ask
    alone: bool = False


def with_headers(*headers: tuple[bytes, bytes]) -> Ask:
    return lambda producer, path: producer.post(path, None, *headers)


def with_only(*headers: tuple[bytes, bytes]) -> Ask:
    return lambda producer, path: producer.post(path, only=headers)


def with_token(*headers: tuple[bytes, bytes], key: str = "key-1", **claims: Any) -> Ask:
    # Minted when it is asked: tokens of the collection are old by the time that a test runs.
    return lambda producer, path: producer.post(path, only=bearer(token(key, **claims), *headers))


def with_body(body: object) -> Ask:
    return lambda producer, path: producer.post(path, body)


def with_message(**changes: Any) -> Ask:
    def ask(producer: ProducerApp, path: str) -> Awaitable[Answer]:
        message = a_submission(**changes)
        return producer.post(path, message if path == ONE else {"messages": [message]})

    return ask


def with_placement(ask: Ask | None = None, **changes: Any) -> Ask:
    def asking(producer: ProducerApp, path: str) -> Awaitable[Answer]:
        producer.place(**changes)
        return (ask or with_body(None))(producer, path)

    return asking


def in_pieces(*parts: bytes) -> Ask:
    return lambda producer, path: producer.post(path, receive=chunks(*parts))


def with_receive(receive: Any, *headers: tuple[bytes, bytes]) -> Ask:
    return lambda producer, path: producer.post(path, None, *headers, receive=receive)


def with_outcome(error: TenantryError) -> Ask:
    def ask(producer: ProducerApp, path: str) -> Awaitable[Answer]:
        producer.publisher.outcome = lambda _: error
        return producer.post(path)

    return ask


async def with_a_second_token(producer: ProducerApp, path: str) -> Answer:
    return await producer.post(path, None, *bearer(token()))


async def of_nobody(producer: ProducerApp, path: str) -> Answer:
    return await producer.post(path, tenant="globex")


async def without_registry(producer: ProducerApp, path: str) -> Answer:
    producer.registry.failing = True
    return await producer.post(path)


async def without_keys(producer: ProducerApp, path: str) -> Answer:
    producer.keys.unlink()
    return await producer.post(path)


async def of_a_spent_tenant(producer: ProducerApp, path: str) -> Answer:
    producer.place(rate=1)
    await producer.post()
    await producer.post()
    producer.publisher.sent.clear()
    return await producer.post(path)


def too_long(by: int) -> bytes:
    raw = json.dumps(a_submission()).encode()
    return raw + b" " * (BODY_BYTES + by - len(raw))


LENGTH = b"content-length"
REFUSALS = [
    Refusal("not JSON", 400, "malformed-body", with_body(b'{"type":')),
    Refusal("no body", 400, "malformed-body", with_body(b"")),
    Refusal("client left", 400, "invalid-request", with_receive(gone)),
    Refusal("tenantID twice", 400, "invalid-request", with_headers(*[(b"tenantid", b"acme")] * 2)),
    Refusal("token twice", 400, "invalid-request", with_a_second_token),
    Refusal("content type twice", 400, "invalid-request", with_headers(JSON)),
    Refusal("length twice", 400, "invalid-request", with_headers(*[(LENGTH, b"1")] * 2)),
    Refusal("no token", 401, "unauthenticated", with_only(JSON)),
    Refusal("header alone", 401, "unauthenticated", with_only(JSON, (b"tenantid", b"acme"))),
    Refusal("basic", 401, "unauthenticated", with_only(JSON, (b"authorization", b"Basic YTpi"))),
    Refusal("old token", 401, "unauthenticated", with_token(JSON, exp=1)),
    Refusal("other issuer", 401, "unauthenticated", with_token(JSON, iss="https://evil.example")),
    Refusal("other key", 401, "unauthenticated", with_token(JSON, key="key-2")),
    Refusal("no tenant", 401, "unauthenticated", with_token(JSON, tenant_id=None)),
    Refusal("mismatch", 403, "tenant-mismatch", with_headers((b"tenantid", b"globex"))),
    Refusal("unknown", 403, "unknown-tenant", of_nobody),
    Refusal("offboarded", 403, "unknown-tenant", with_placement(status="offboarded")),
    Refusal("suspended", 403, "tenant-suspended", with_placement(status="suspended")),
    Refusal("draining", 403, "tenant-suspended", with_placement(status="draining")),
    Refusal("slow body", 408, "request-timeout", with_receive(never)),
    Refusal(
        "said to be too long",
        413,
        "message-too-large",
        with_receive(unread, (LENGTH, b"%d" % (BODY_BYTES + 1))),
    ),
    Refusal(
        "said to be absurdly long",
        413,
        "message-too-large",
        with_receive(unread, (LENGTH, b"9" * 5_000)),
    ),
    Refusal("too long", 413, "message-too-large", with_body(too_long(by=1))),
    Refusal(
        "too long in pieces",
        413,
        "message-too-large",
        in_pieces(too_long(by=0), b" ", b"never read"),
    ),
    Refusal(
        "above the queue's limit",
        413,
        "message-too-large",
        with_placement(max_message_bytes=1),
        alone=True,
    ),
    Refusal(
        "above an item's limit",
        413,
        "message-too-large",
        with_placement(
            with_message(payload={"a": "x" * DYNAMODB_ITEM_BYTES}),
            max_message_bytes=SQS_MAX_MESSAGE_BYTES,
            rate=1_000,
        ),
        alone=True,
    ),
    Refusal("no type", 415, "unsupported-media-type", with_token()),
    Refusal(
        "a form",
        415,
        "unsupported-media-type",
        with_token((b"content-type", b"application/x-www-form-urlencoded")),
    ),
    Refusal(
        "nearly JSON",
        415,
        "unsupported-media-type",
        with_token((b"content-type", b"application/jsonp")),
    ),
    Refusal("no message", 422, "invalid-message", with_body({"payload": {}})),
    Refusal("no object", 422, "invalid-message", with_body([])),
    Refusal("bad type", 422, "invalid-message", with_message(type="a b")),
    Refusal("own tenant", 422, "invalid-message", with_message(tenant_id="globex")),
    Refusal("number beyond", 422, "invalid-message", with_message(payload={"a": 2**64})),
    Refusal("over the rate", 429, "rate-limited", of_a_spent_tenant, alone=True),
    Refusal(
        "not accepted",
        503,
        "not-accepted",
        with_outcome(NotAcceptedError("too much waits")),
        alone=True,
    ),
    Refusal(
        "outcome unknown",
        503,
        "outcome-unknown",
        with_outcome(OutcomeUnknownError("no answer")),
        alone=True,
    ),
    Refusal(
        "misplaced",
        503,
        "misplaced",
        with_outcome(MisplacedError("no such queue")),
        alone=True,
    ),
    Refusal(
        "refused by the queue",
        422,
        "invalid-message",
        with_outcome(InvalidMessageError("the queue will not take it")),
        alone=True,
    ),
    Refusal("no registry", 503, "registry-unavailable", without_registry),
    Refusal("no keys", 503, "identity-unavailable", without_keys),
]


@pytest.fixture
def impatient(tmp_path: Path) -> ProducerApp:
    """A producer whose requests may take 50 ms."""
    return ProducerApp(tmp_path / "jwks.json", request_seconds=0.05)


@pytest.mark.parametrize("path", [ONE, BATCH])
@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
async def test_refusals(request: pytest.FixtureRequest, refusal: Refusal, path: str) -> None:
    """Each cause has its status and type; nothing is sent, and it is counted."""
    slow = refusal.slug == "request-timeout"
    producer: ProducerApp = request.getfixturevalue("impatient" if slow else "producer")
    answer = await refusal.ask(producer, path)

    if refusal.alone and path == BATCH:
        assert 207 == answer.status
        [outcome] = answer.json["results"]
        assert (refusal.status, f"urn:tenantry:problem:{refusal.slug}") == (
            outcome["status"],
            outcome["type"],
        )
    else:
        problem(answer, refusal.status, refusal.slug)
    assert [] == producer.publisher.sent
    assert 1 == producer.metric("tenantry_messages_refused_total", problem=refusal.slug)


async def test_an_unauthenticated_client_is_told_how(producer: ProducerApp) -> None:
    """401 names the scheme."""
    answer = await producer.post(only=[JSON])

    assert "Bearer" == answer.headers["www-authenticate"]


async def test_the_three_403_say_what_is_wrong(producer: ProducerApp) -> None:
    """Another header, an unknown tenant and a suspended one are told apart, also for people."""
    mismatch = await producer.post(ONE, None, (b"tenantid", b"globex"))
    unknown = await producer.post(tenant="globex")
    producer.place(tenant_id="initech", status="suspended")
    suspended = await producer.post(tenant="initech")

    assert [
        "the tenantID header names another tenant than the token",
        "the tenant is not known here",
        "the tenant is suspended",
    ] == [answer.json["detail"] for answer in (mismatch, unknown, suspended)]


async def test_a_dedicated_instance_serves_its_tenant_alone(tmp_path: Path) -> None:
    """Another tenant's message is misplaced at a dedicated producer, and never sent."""
    producer = ProducerApp(tmp_path / "jwks.json", instance="acme", tier="premium")
    producer.place(tenant_id="globex", tier="premium", pool=None, queue_url=NEW)

    assert 202 == (await producer.post()).status
    problem(await producer.post(tenant="globex"), 503, "misplaced")
    assert [OLD] == [url for url, _ in producer.publisher.calls]


async def test_the_body_of_who_may_not_send_is_not_read(producer: ProducerApp) -> None:
    """Who is refused by token or placement costs no memory."""
    unknown = await producer.post(tenant="globex", receive=unread)

    problem(unknown, 403, "unknown-tenant")


async def test_a_body_may_fill_the_limit(producer: ProducerApp) -> None:
    """Exactly 1 MiB passes, with a length and in pieces; white space counts."""
    raw = too_long(by=0)
    assert BODY_BYTES == len(raw)

    assert 202 == (await producer.post(ONE, raw, (LENGTH, b"%d" % BODY_BYTES))).status
    assert 202 == (await producer.post(receive=chunks(raw[:-1], raw[-1:]))).status


async def test_a_body_that_came_in_part_is_refused_in_time(impatient: ProducerApp) -> None:
    """The first piece does not stop the clock, and the answer says what took too long."""
    left = [b'{"type":']

    async def receive() -> dict[str, Any]:
        if not left:
            return await never()
        return {"type": "http.request", "body": left.pop(), "more_body": True}

    found = problem(await impatient.post(receive=receive), 408, "request-timeout")

    assert "the body took longer than 0.05 s" == found["detail"]
    assert 1 == found["retry_after"]


async def sent_with(producer: ProducerApp, letters: int, *headers: tuple[bytes, bytes]) -> Answer:
    producer.publisher.sent.clear()
    return await producer.post(ONE, a_submission(payload={"a": "x" * letters}), *headers)


@pytest.mark.parametrize("headers", [[], [(b"traceparent", TRACEPARENT.encode())]])
async def test_a_message_may_fill_its_queues_limit(
    producer: ProducerApp, headers: list[tuple[bytes, bytes]]
) -> None:
    """To the byte, attributes included as SQS counts them; one more is 413."""
    producer.place(max_message_bytes=2_000)
    await sent_with(producer, 0, *headers)
    [(_, empty)] = producer.publisher.sent
    counted = len(empty.body.encode()) + sum(
        len(name) + len("String") + len(value) for name, value in empty.attributes.items()
    )
    room = 2_000 - counted

    assert bool(headers) == bool(empty.attributes)
    assert 202 == (await sent_with(producer, room, *headers)).status
    [(_, full)] = producer.publisher.sent
    assert 2_000 == full.size_bytes()
    found = problem(await sent_with(producer, room + 1, *headers), 413, "message-too-large")
    assert "the message takes 2001 bytes on its queue, which takes 2000" == found["detail"]


async def test_bytes_are_counted_not_characters(producer: ProducerApp) -> None:
    """A letter of three bytes counts three."""
    producer.place(max_message_bytes=1_000)

    assert 202 == (await producer.post(body=a_submission(payload={"a": "x" * 400}))).status
    answer = await producer.post(body=a_submission(payload={"a": "€" * 400}))
    problem(answer, 413, "message-too-large")


async def test_a_message_may_fill_an_item(producer: ProducerApp) -> None:
    """409,600 bytes as DynamoDB counts them pass; one more is 413 before anything is sent."""
    producer.place(max_message_bytes=SQS_MAX_MESSAGE_BYTES, rate=10_000)
    await sent_with(producer, 0)
    [(_, empty)] = producer.publisher.sent
    room = DYNAMODB_ITEM_BYTES - item_bytes(decode(empty.body.encode()))

    assert 202 == (await sent_with(producer, room)).status
    found = problem(await sent_with(producer, room + 1), 413, "message-too-large")
    assert "an item of 409601 bytes, and one holds 409600" in found["detail"]


async def test_a_place_in_the_body_has_a_pointer(producer: ProducerApp) -> None:
    """422 leads to what is wrong, in a batch too; escaped where a name needs it."""
    one = await producer.post(body=a_submission(**{"a/b": 1}))
    batch = await producer.post(BATCH, {"messages": [a_submission(), a_submission(payload=7)]})
    deep = await producer.post(body=a_submission(payload={"a": [0, {"b": 2**64}]}))

    assert ["/a~1b", "/messages/1/payload", "/payload/a/1/b"] == [
        problem(answer, 422, "invalid-message")["pointer"] for answer in (one, batch, deep)
    ]


async def test_over_the_rate_says_when(producer: ProducerApp) -> None:
    """429 with the seconds to wait, after which the message passes."""
    producer.place(rate=1)
    await producer.post()
    big = a_submission(payload={"a": "x" * 1_024})
    found = problem(await producer.post(body=big), 429, "rate-limited")
    assert 1 == found["retry_after"]
    producer.clock.advance(1)

    assert 202 == (await producer.post(body=big)).status


async def test_what_is_too_large_costs_no_rate(producer: ProducerApp) -> None:
    """A 413 leaves the bucket as it was."""
    producer.place(rate=1, max_message_bytes=1_000)
    await sent_with(producer, 5_000)

    assert [202, 202, 429] == [(await producer.post()).status for _ in range(3)]


async def test_an_outage_of_the_registry_is_not_felt_at_first(producer: ProducerApp) -> None:
    """A known tenant is served for five minutes; then 503, with when to come back."""
    await producer.post()
    producer.registry.failing = True
    producer.clock.advance(299)
    assert 202 == (await producer.post()).status
    producer.clock.advance(2)

    problem(await producer.post(), 503, "registry-unavailable")


async def test_a_suspension_is_felt_when_the_cache_ends(producer: ProducerApp) -> None:
    """At most 36 s after the registry says so."""
    await producer.post()
    producer.place(status="suspended")
    producer.clock.advance(36.01)

    problem(await producer.post(), 403, "tenant-suspended")


# --- idempotency keys ----------------------------------------------------------------------


async def id_with(producer: ProducerApp, key: bytes, tenant: str = "acme") -> str:
    answer = await producer.post(ONE, None, (KEY, key), tenant=tenant)
    assert 202 == answer.status
    return str(answer.json["message_id"])


async def test_a_key_makes_the_id(producer: ProducerApp) -> None:
    """UUIDv5 of tenant and key, for ever: clients and other programs may compute it."""
    assert "2ff7171f-42b8-5ace-ab2f-a2a20463fb72" == await id_with(producer, b"order-1001")


async def test_the_same_key_is_the_same_message(producer: ProducerApp) -> None:
    """Whatever the payload; another key or another tenant is another message."""
    producer.place(tenant_id="globex")
    first = await id_with(producer, b"k")
    again = await producer.post(ONE, a_submission(payload={"other": 1}), (KEY, b"k"))

    assert first == again.json["message_id"]
    assert 3 == len(
        {first, await id_with(producer, b"K"), await id_with(producer, b"k", "globex")}
    )


async def test_a_key_in_a_batch_is_the_same_key(producer: ProducerApp) -> None:
    """The field of an entry makes the id that the header makes; null makes none."""
    entries = [a_submission(idempotency_key=key) for key in ("k", None, "k")]
    answer = await producer.post(BATCH, {"messages": entries})
    ids = [outcome["message_id"] for outcome in answer.json["results"]]

    assert ids[0] == ids[2] == await id_with(producer, b"k")
    assert 7 == uuid.UUID(ids[1]).version


@pytest.mark.parametrize("key", [b"k", b"!", b"~" * 255])
async def test_keys_that_are_taken(producer: ProducerApp, key: bytes) -> None:
    """1 to 255 visible ASCII characters."""
    assert 5 == uuid.UUID(await id_with(producer, key)).version


@pytest.mark.parametrize(
    "key", [b"", b"k" * 256, b"a b", b"a\t", b"a\n", b"\x7f", b"\xc3\xa9", b"\xe9"]
)
async def test_keys_that_are_refused(producer: ProducerApp, key: bytes) -> None:
    """Others are 400, and nothing is sent: a key that was bent would be another message."""
    answer = await producer.post(ONE, None, (KEY, key))

    problem(answer, 400, "invalid-request")
    assert [] == producer.publisher.sent


async def test_a_key_may_be_sent_once(producer: ProducerApp) -> None:
    """Two headers are 400, also where they agree."""
    answer = await producer.post(ONE, None, (KEY, b"k"), (KEY, b"k"))

    found = problem(answer, 400, "invalid-request")
    assert "the idempotency-key header was sent twice" == found["detail"]


async def test_a_batch_has_no_key_of_its_own(producer: ProducerApp) -> None:
    """The header on a batch is 400: it would make one id for many messages."""
    answer = await producer.post(BATCH, None, (KEY, b"k"))

    found = problem(answer, 400, "invalid-request")
    assert "in a batch the idempotency key is a field of each message" == found["detail"]
    assert [] == producer.publisher.sent


# --- batches -------------------------------------------------------------------------------


def numbered(count: int) -> dict[str, Any]:
    """A batch whose messages know their number."""
    return {"messages": [a_submission(payload={"n": n}) for n in range(count)]}


def number(outgoing: Outgoing) -> int:
    return int(json.loads(outgoing.body)["payload"]["n"])


@pytest.mark.parametrize("count", [1, 2, 100])
async def test_a_batch_is_accepted(producer: ProducerApp, count: int) -> None:
    """202 when all were accepted, an id for each, in order, and one call of the publisher."""
    producer.place(rate=100)
    answer = await producer.post(BATCH, numbered(count))

    assert 202 == answer.status
    assert list(range(count)) == [number(sent) for _, sent in producer.publisher.sent]
    assert {
        "results": [
            {"status": 202, "message_id": decode(sent.body.encode()).message_id}
            for _, sent in producer.publisher.sent
        ]
    } == answer.json
    assert 1 == len(producer.publisher.calls)


@pytest.mark.parametrize("count", [0, 101])
async def test_a_batch_holds_1_to_100(producer: ProducerApp, count: int) -> None:
    """No message, or the 101st: 422, and nothing is accepted."""
    answer = await producer.post(BATCH, numbered(count))

    assert "/messages" == problem(answer, 422, "invalid-message")["pointer"]
    assert [] == producer.publisher.calls


async def test_nothing_is_accepted_where_one_entry_is_invalid(producer: ProducerApp) -> None:
    """A batch that is not valid is refused as a whole, with the place."""
    batch = numbered(3)
    batch["messages"][1]["type"] = "not a type"
    answer = await producer.post(BATCH, batch)

    assert "/messages/1/type" == problem(answer, 422, "invalid-message")["pointer"]
    assert [] == producer.publisher.calls


async def test_outcomes_are_in_order(producer: ProducerApp) -> None:
    """207 when not all were accepted: each refused one is in its place."""
    producer.place(rate=3, max_message_bytes=1_000)
    batch = numbered(8)
    batch["messages"][2] = a_submission(payload={"a": "x" * 1_000})
    producer.publisher.outcome = lambda outgoing: (
        OutcomeUnknownError("no answer") if number(outgoing) == 4 else None
    )
    answer = await producer.post(BATCH, batch)

    results = answer.json["results"]
    assert 207 == answer.status
    assert [202, 202, 413, 202, 503, 202, 202, 429] == [outcome["status"] for outcome in results]
    assert [0, 1, 3, 5, 6] == [number(sent) for _, sent in producer.publisher.sent]
    assert [decode(sent.body.encode()).message_id for _, sent in producer.publisher.sent] == [
        outcome["message_id"] for outcome in results if "message_id" in outcome
    ]
    assert {
        "type": "urn:tenantry:problem:outcome-unknown",
        "title": "It may have been sent",
        "status": 503,
        "detail": "no answer",
        "retry_after": 1,
    } == results[4]


# --- a queue that is not there -------------------------------------------------------------


def misplaced_at(producer: ProducerApp, *queue_urls: str) -> None:
    """These queues are not there."""
    producer.publisher.outcome = lambda _: (
        MisplacedError("the tenant's queue cannot be used from here")
        if producer.publisher.calls[-1][0] in queue_urls
        else None
    )


async def test_a_tenant_that_moved_is_followed(producer: ProducerApp) -> None:
    """The placement is asked for once more, and the message goes to the new queue as it must."""
    await producer.post()
    misplaced_at(producer, OLD)
    producer.place(tier="premium", pool=None, queue_url=NEW)
    answer = await producer.post()

    (_, new) = producer.publisher.sent[-1]
    assert 202 == answer.status
    assert [OLD, OLD, NEW] == [url for url, _ in producer.publisher.calls]
    assert ["acme", "acme"] == producer.registry.asked
    assert new.body == producer.publisher.calls[1][1][0].body
    assert answer.json["message_id"] == decode(new.body.encode()).message_id
    assert new.group_id is None
    assert 0 == producer.metric("tenantry_messages_refused_total", problem="misplaced")


async def test_only_what_was_misplaced_is_sent_again(producer: ProducerApp) -> None:
    """Of a batch, in order; what the old queue took stays taken."""
    await producer.post()
    producer.place(queue_url=NEW)
    producer.publisher.outcome = lambda outgoing: (
        MisplacedError("gone")
        if producer.publisher.calls[-1][0] == OLD and number(outgoing) % 2
        else None
    )
    answer = await producer.post(BATCH, numbered(4))

    assert 202 == answer.status
    assert [(OLD, 0), (OLD, 2), (NEW, 1), (NEW, 3)] == [
        (url, number(sent)) for url, sent in producer.publisher.sent[1:]
    ]
    ids = {
        number(sent): decode(sent.body.encode()).message_id
        for _, sent in producer.publisher.sent[1:]
    }
    assert [ids[n] for n in range(4)] == [entry["message_id"] for entry in answer.json["results"]]


async def test_a_queue_that_is_missing_is_asked_for_once(producer: ProducerApp) -> None:
    """The same placement again: 503, without a second try and without a loop."""
    misplaced_at(producer, OLD)
    problem(await producer.post(), 503, "misplaced")

    assert [OLD] == [url for url, _ in producer.publisher.calls]
    assert ["acme", "acme"] == producer.registry.asked


async def test_a_new_queue_that_is_missing_too_ends_it(producer: ProducerApp) -> None:
    """One refresh a request."""
    await producer.post()
    misplaced_at(producer, OLD, NEW)
    producer.place(queue_url=NEW)
    problem(await producer.post(), 503, "misplaced")

    assert [OLD, OLD, NEW] == [url for url, _ in producer.publisher.calls]
    assert 2 == len(producer.registry.asked)


@pytest.mark.parametrize(
    ("changes", "status", "slug"),
    [
        ({"status": "suspended"}, 403, "tenant-suspended"),
        ({"status": "offboarded"}, 403, "unknown-tenant"),
        ({"max_message_bytes": 10, "queue_url": NEW}, 413, "message-too-large"),
    ],
)
async def test_what_changed_meanwhile_is_told(
    producer: ProducerApp, changes: dict[str, Any], status: int, slug: str
) -> None:
    """The fresh placement says why: suspended, left, or a queue that takes less."""
    await producer.post()
    misplaced_at(producer, OLD)
    producer.place(**changes)

    problem(await producer.post(), status, slug)
    assert [OLD, OLD] == [url for url, _ in producer.publisher.calls]


async def test_a_registry_that_fails_then_is_the_outcome(producer: ProducerApp) -> None:
    """Misplaced, and the registry cannot say where: 503 of the registry."""
    await producer.post()
    misplaced_at(producer, OLD)
    producer.registry.failing = True

    problem(await producer.post(), 503, "registry-unavailable")


# --- who serves, and what nobody serves ------------------------------------------------------


async def test_who_serves_a_token(producer: ProducerApp) -> None:
    """The tenant is the token's."""
    answer = await call(producer.app, "/producer", headers=bearer(token(tenant_id="globex")))

    assert 200 == answer.status
    assert {
        "tenant_id": "globex",
        "environment": "dev",
        "version": "1.2.3",
        "microservice": "producer",
        "pool": "pool-1",
    } == answer.json
    assert [] == producer.registry.asked


async def test_who_serves_nobody(tmp_path: Path) -> None:
    """Without a token the tenant is null, whatever a header says; a dedicated one has no pool."""
    producer = ProducerApp(tmp_path / "jwks.json", instance="acme", tier="premium")
    answer = await call(producer.app, "/producer", headers={"tenantID": "acme"})

    assert 200 == answer.status
    assert (None, None) == (answer.json["tenant_id"], answer.json["pool"])


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/", 404, None),
        ("POST", "/messages/", 404, None),
        ("POST", "/messages/batch/1", 404, None),
        ("GET", "/livez", 404, None),
        ("GET", "/metrics", 404, None),
        ("GET", "/docs", 404, None),
        ("GET", "/openapi.json", 404, None),
        ("GET", "/messages", 405, "POST"),
        ("DELETE", "/messages/batch", 405, "POST"),
        ("POST", "/producer", 405, "GET"),
    ],
)
async def test_what_nobody_serves(
    producer: ProducerApp, method: str, path: str, status: int, allow: str | None
) -> None:
    """404 and 405 are problems like all others; no page loads scripts from elsewhere."""
    answer = await call(producer.app, path, method=method, headers=bearer(token()))

    assert (status, "application/problem+json") == (answer.status, answer.headers["content-type"])
    assert (status, "about:blank") == (answer.json["status"], answer.json["type"])
    assert allow == answer.headers.get("allow")
    assert "location" not in answer.headers


# --- bugs --------------------------------------------------------------------------------------


async def test_a_bug_is_a_problem_too(
    producer: ProducerApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """500 without any detail; the log has path and trace, and neither payload nor token."""
    lines = BytesIO()
    logger = structlog.wrap_logger(
        structlog.BytesLogger(lines),
        processors=[telemetry._TRACEBACKS, structlog.processors.JSONRenderer(telemetry._dumps)],
    )
    monkeypatch.setattr(problems, "log", logger)

    def broken(_: Outgoing) -> TenantryError | None:
        raise RuntimeError("a bug")

    producer.publisher.outcome = broken
    answer = await producer.post(body=a_submission(payload={"secret": "hunter2"}))

    assert (
        "the service made an error, which it logged" == problem(answer, 500, "internal")["detail"]
    )
    [line] = lines.getvalue().splitlines()
    logged = json.loads(line)
    assert ("request.failed", "POST", ONE) == (logged["event"], logged["method"], logged["path"])
    assert "RuntimeError" == logged["exception"][0]["exc_type"]
    assert "post_message" in [frame["name"] for frame in logged["exception"][0]["frames"]]
    assert b"hunter2" not in line
    assert b"eyJ" not in line


async def test_a_request_leaves_no_line(producer: ProducerApp) -> None:
    """Neither one that is accepted nor one that is refused: at this rate lines cost more."""
    with capture_logs() as lines:
        await producer.post()
        await producer.post(body=b"{")

    assert [] == lines


# --- traces --------------------------------------------------------------------------------------


def attributes(producer: ProducerApp) -> dict[str, str]:
    """Those of the one message that was sent."""
    [(_, outgoing)] = producer.publisher.sent
    return dict(outgoing.attributes)


async def test_a_clients_trace_travels_on(producer: ProducerApp) -> None:
    """Where this service records nothing, consumers still see the client's trace."""
    headers = (b"traceparent", TRACEPARENT.encode()), (b"tracestate", b"vendor=1")
    await producer.post(ONE, None, *headers)

    assert {"traceparent": TRACEPARENT, "tracestate": "vendor=1"} == attributes(producer)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"traceparent", b"nonsense")],
        [(b"traceparent", TRACEPARENT.replace("0af7", "0000").encode()[:-10])],
        [(b"tracestate", b"vendor=1")],
        # It used to be 400: a message must not fail for two proxies that trace.
        [(b"traceparent", TRACEPARENT.encode())] * 2,
    ],
)
async def test_no_trace_is_no_attribute(
    producer: ProducerApp, headers: list[tuple[bytes, bytes]]
) -> None:
    """Nothing, or nothing that is understood, adds nothing to the message."""
    answer = await producer.post(ONE, None, *headers)

    assert 202 == answer.status
    assert {} == attributes(producer)


def tracing(keys: Path, sampler: Sampler) -> tuple[ProducerApp, InMemorySpanExporter]:
    """A producer that records, and what it recorded."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return ProducerApp(keys, tracer=provider.get_tracer("test")), exporter


async def test_a_recorded_request_is_the_messages_trace(tmp_path: Path) -> None:
    """The message carries our span, which is the client's child."""
    producer, exporter = tracing(tmp_path / "jwks.json", ALWAYS_ON)
    answer = await producer.post(ONE, None, (b"traceparent", TRACEPARENT.encode()))

    [span] = exporter.get_finished_spans()
    context, parent = span.get_span_context(), span.parent
    assert 202 == answer.status
    assert context is not None
    assert parent is not None
    assert ("POST /messages", SpanKind.SERVER) == (span.name, span.kind)
    assert (TRACEPARENT[3:35], TRACEPARENT[36:52]) == (
        f"{parent.trace_id:032x}",
        f"{parent.span_id:016x}",
    )
    assert (
        f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
        == attributes(producer)["traceparent"]
    )


async def test_a_request_that_is_not_sampled_keeps_the_clients_trace(tmp_path: Path) -> None:
    """An unsampled span of ours is in nobody's trace: the client's goes on."""
    producer, exporter = tracing(tmp_path / "jwks.json", ALWAYS_OFF)
    await producer.post(ONE, None, (b"traceparent", TRACEPARENT.encode()))

    assert TRACEPARENT == attributes(producer)["traceparent"]
    assert () == exporter.get_finished_spans()


# --- the document ----------------------------------------------------------------------------


def about(status: int) -> list[tuple[bytes, bytes]]:
    """Headers with which `/producer` answers so."""
    return {
        200: [],
        400: [*bearer(token()), *bearer(token())],
        401: bearer("not-a-token"),
        403: bearer(token(), (b"tenantid", b"globex")),
    }[status]


async def test_the_document_tells_every_status_and_no_other(tmp_path: Path) -> None:
    """What the routes answer is what OpenAPI says, each problem with its type."""
    seen: dict[str, set[tuple[int, str]]] = defaultdict(set)

    async def see(path: str, answer: Answer) -> None:
        slug = answer.json["type"].rpartition(":")[2] if answer.status >= 400 else ""
        seen[path].add((answer.status, slug))

    for number, refusal in enumerate(REFUSALS):
        for path in (ONE, BATCH):
            seconds = 0.05 if refusal.status == 408 else 10
            keys = tmp_path / f"{number}{path == ONE}.json"
            producer = ProducerApp(keys, request_seconds=seconds)
            await see(path, await refusal.ask(producer, path))
    producer = ProducerApp(tmp_path / "jwks.json")
    for path in (ONE, BATCH):
        await see(path, await producer.post(path))
    for status in (200, 400, 401, 403):
        answer = await call(producer.app, "/producer", headers=about(status))
        assert status == answer.status
        await see("/producer", answer)
    producer = ProducerApp(tmp_path / "gone.json")
    producer.keys.unlink()
    await see("/producer", await call(producer.app, "/producer", headers=bearer(token())))

    told = {
        path: operation["responses"]
        for path, item in producer.app.openapi()["paths"].items()
        for operation in item.values()
    }
    assert {path: {str(status) for status, _ in found} for path, found in seen.items()} == {
        path: set(responses) for path, responses in told.items()
    }
    for path, found in seen.items():
        for status, slug in found:
            assert slug in told[path][str(status)]["description"]
