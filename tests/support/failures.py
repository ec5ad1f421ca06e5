"""Every class of failure, how it is brought about, and the metrics that tell it apart."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import aiohttp
from aiohttp import web

from support.counted import counted_laptop
from tenantry.limits import SQS_MAX_MESSAGE_BYTES
from tenantry.registry import Placement, to_item
from tenantry.tenant_id import TenantId
from tenantry_local.faults import Fault, Kind
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, HOST, PRODUCER, TenantSpec
from tenantry_local.proxy import Proxy
from tenantry_local.resources import REGISTRY_TABLE

POOL = "pool-1"
TENANT = "acme"
#: In every payload, as name and as value, and in tokens that are none.
SECRET = "hunter2-of-a-client"
#: How long a failure may take to show: the longest time-out is a poll's, 1 + 5 s.
SHOWN_SECONDS = 20.0

_SAMPLE = re.compile(r"^(tenantry_\w+?(?:_total|_blocked|_failing))(\{.*\})? (\S+)$", re.MULTILINE)
_GAUGES = ("tenantry_consumer_blocked", "tenantry_registry_failing")

#: Samples by service, name and labels, as `producer tenantry_send_calls_total{outcome="ok"}`.
Samples = Mapping[str, float]


@dataclass(slots=True)
class Rig:
    """A laptop with one pool, a proxy in front of its engine, and an issuer that can fail."""

    laptop: Laptop
    proxy: Proxy
    session: aiohttp.ClientSession
    issuer: _Issuer
    secrets: set[str] = field(default_factory=lambda: {SECRET})
    logs: dict[str, str] = field(default_factory=dict)

    async def look(self) -> Samples:
        """What both services' /metrics say now: all that conditions are told from."""
        samples: dict[str, float] = {}
        for service in (PRODUCER, CONSUMER):
            url = self.laptop.instance(POOL, service).private_url
            async with self.session.get(f"{url}/metrics") as answer:
                for name, labels, value in _SAMPLE.findall(await answer.text()):
                    samples[f"{service} {name}{labels}"] = float(value)
        return samples

    async def post(
        self,
        tenant: str = TENANT,
        *,
        path: str = "/messages",
        body: bytes | None = None,
        token: str | None = None,
        **headers: str,
    ) -> tuple[int, Any]:
        """Status and answer."""
        sent = {"Authorization": f"Bearer {token or self.token(tenant)}", **headers}
        sent.setdefault("Content-Type", "application/json")
        url = self.laptop.address(POOL, PRODUCER) + path
        data = body if body is not None else submission()
        async with self.session.post(url, data=data, headers=sent) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, *, token: str | None = None) -> int:
        """The status of a read."""
        headers = {"Authorization": f"Bearer {token or self.token(TENANT)}"}
        url = self.laptop.address(POOL, CONSUMER) + path
        async with self.session.get(url, headers=headers) as answer:
            return answer.status

    def token(self, tenant: str) -> str:
        """A token, whose parts are secrets from now on."""
        token = self.laptop.token(tenant)
        self.secrets.update(token.split(".")[1:])
        return token

    async def enqueue(self, body: str | None = None, *, tenant: str = TENANT) -> None:
        """Put a message on the pool's queue, as a program beside ours would."""
        url = self.laptop.tenants[TENANT].queue_url
        await self.laptop.engine.sqs.send_message(
            QueueUrl=url, MessageBody=body or envelope(tenant)
        )

    async def place(self, tenant: str, **changes: Any) -> None:
        """Write a placement like the pool's own tenant's, but for these."""
        own = await self.laptop.registry.get(TenantId(TENANT))
        assert own is not None
        await self._write(replace(own, tenant_id=TenantId(tenant), **changes))

    async def misplace(self, tenant: str) -> None:
        """Write a placement that nobody understands."""
        own = await self.laptop.registry.get(TenantId(TENANT))
        assert own is not None
        item = to_item(replace(own, tenant_id=TenantId(tenant))) | {"tier": {"S": "gold"}}
        await self.laptop.engine.dynamodb.put_item(TableName=REGISTRY_TABLE, Item=item)

    async def _write(self, placement: Placement) -> None:
        item = to_item(placement)
        await self.laptop.engine.dynamodb.put_item(TableName=REGISTRY_TABLE, Item=item)

    async def settled(self) -> None:
        """Wait until the consumer holds nothing and receives again."""
        await self.until(
            lambda now: (
                now['consumer tenantry_consumer_blocked{cause="store"}'] == 0
                and now['consumer tenantry_consumer_blocked{cause="registry"}'] == 0
            )
        )
        url = self.laptop.instance(POOL, CONSUMER).private_url
        deadline = time.monotonic() + SHOWN_SECONDS
        while True:
            async with self.session.get(f"{url}/metrics") as answer:
                if "\ntenantry_hand_messages 0.0\n" in await answer.text():
                    return
            assert time.monotonic() < deadline, "messages are still in hand"
            await asyncio.sleep(0.05)

    async def until(self, condition: Callable[[Samples], bool]) -> None:
        """Wait until the metrics say something."""
        deadline = time.monotonic() + SHOWN_SECONDS
        while not condition(await self.look()):
            assert time.monotonic() < deadline, "the metrics never said so"
            await asyncio.sleep(0.05)


def submission() -> bytes:
    return json.dumps({"type": "fault.test", "payload": {SECRET: SECRET}}).encode()


def batch(messages: int) -> bytes:
    return b'{"messages":[%s]}' % b",".join([submission()] * messages)


def envelope(tenant: str = TENANT, **changes: Any) -> str:
    """What a producer would send."""
    fields = {
        "version": 1,
        "message_id": str(uuid.uuid4()),
        "tenant_id": tenant,
        "type": "fault.test",
        "payload": {SECRET: SECRET},
        "accepted_at": "2026-01-02T03:04:05.678901Z",
    }
    return json.dumps(fields | changes)


@dataclass(slots=True)
class _Issuer:
    """Serves the laptop's keys, or something else."""

    url: str = ""
    keys: bytes | None = None

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=503) if self.keys is None else web.Response(body=self.keys)


@asynccontextmanager
async def rig_up(**options: Any) -> AsyncGenerator[Rig, None]:
    """A rig, whose services log everything. Its issuer does not answer yet."""
    issuer = _Issuer()
    app = web.Application()
    app.router.add_get("/jwks.json", issuer.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    issuer.url = f"http://{HOST}:{runner.addresses[0][1]}/jwks.json"
    env = {"TENANTRY_JWKS": issuer.url, "TENANTRY_LOG_LEVEL": "debug"}
    try:
        async with (
            aiohttp.ClientSession() as session,
            counted_laptop(
                tenants=[TenantSpec(TENANT, "basic", POOL)],
                wait_seconds=1,
                # A bad message is a dead letter at once, and no part of the next failure.
                max_receive_count=1,
                # So that a queue takes what no item holds.
                max_message_bytes=SQS_MAX_MESSAGE_BYTES,
                extra_env={PRODUCER: env, CONSUMER: env},
                **options,
            ) as (laptop, proxy),
        ):
            rig = Rig(laptop, proxy, session, issuer)
            yield rig
            for service in (PRODUCER, CONSUMER):
                if laptop.instance(POOL, service).pid is not None:
                    await laptop.kill(POOL, service, signal.SIGTERM)
            rig.logs = {log.name: log.read_text("utf-8") for log in laptop.run_dir.glob("*.log")}
    finally:
        await runner.cleanup()


@dataclass(frozen=True, slots=True)
class Failure:
    """A class of failure.

    Attributes:
        signs: Samples that rise, or gauges that are up, when it is this one and no other.
        act: Brings it about, or meets it.
        fault: What the proxy does meanwhile.
        after: Mends what the act broke.
        includes: Failures whose signs come with it, truly: once it is mended, say.
    """

    name: str
    signs: tuple[str, ...]
    act: Callable[[Rig], Awaitable[object]]
    fault: Fault | None = None
    after: Callable[[Rig], Awaitable[object]] | None = None
    includes: tuple[str, ...] = ()


@dataclass(slots=True)
class Seen:
    """What the metrics said of a failure: of the whole time until all was well again."""

    raised: frozenset[str] = frozenset()
    felt: int = 0
    error: BaseException | None = None


async def drive(rig: Rig, failure: Failure) -> Seen:
    """Bring a failure about, wait for its signs, mend it, and say all that rose meanwhile."""
    before = await rig.look()
    rig.proxy.faults.felt.clear()
    up: set[str] = set()
    error: BaseException | None = None
    if failure.fault is not None:
        rig.proxy.faults.set(failure.fault)
    acting = asyncio.ensure_future(failure.act(rig))
    try:
        deadline = time.monotonic() + SHOWN_SECONDS
        while not up.issuperset(failure.signs):
            await asyncio.sleep(0.05)
            up |= _risen(before, await rig.look())
            missing = sorted(set(failure.signs) - up)
            assert time.monotonic() < deadline, f"these never showed: {missing}"
        # The engine is to be well for what follows, and the act may need that to end.
        rig.proxy.faults.set()
        await acting
    except Exception as caught:  # noqa: BLE001 - told by the test of this failure
        error = caught
    rig.proxy.faults.set()
    felt = rig.proxy.faults.felt.total()
    await asyncio.gather(acting, return_exceptions=True)
    if failure.after is not None:
        await failure.after(rig)
    await rig.settled()
    return Seen(frozenset(up | _risen(before, await rig.look())), felt, error)


def _risen(before: Samples, now: Samples) -> set[str]:
    return {
        name
        for name, value in now.items()
        if value > (0 if any(gauge in name for gauge in _GAUGES) else before.get(name, 0))
    }


# How each comes about


def _post(status: int, *args: Any, **kwargs: Any) -> Callable[[Rig], Awaitable[object]]:
    async def act(rig: Rig) -> None:
        got, answer = await rig.post(*args, **kwargs)
        assert got == status, answer

    return act


def _enqueue(body: Callable[[], str]) -> Callable[[Rig], Awaitable[object]]:
    async def act(rig: Rig) -> None:
        await rig.enqueue(body())

    return act


async def _wait(_: Rig) -> None:
    """The consumer polls of itself."""


async def _one(rig: Rig) -> None:
    await rig.enqueue()


async def _many(rig: Rig) -> None:
    """In one call, so that they are in one batch all the way."""
    status, _ = await rig.post(path="/messages/batch", body=batch(9))
    assert status == 202


async def _read(rig: Rig) -> None:
    assert await rig.get(f"/messages/{uuid.uuid4()}") == 503


def _placed(
    tenant: str, then: Callable[[Rig], Awaitable[object]], **changes: Any
) -> Callable[[Rig], Awaitable[object]]:
    async def act(rig: Rig) -> None:
        await rig.place(tenant, **changes)
        await then(rig)

    return act


async def _moved(rig: Rig) -> None:
    engine = rig.laptop.engine.sqs
    url = (await engine.create_queue(QueueName="moved-to"))["QueueUrl"]
    await rig.place("moved", queue_url=url)
    await rig.enqueue(tenant="moved")


async def _moved_to_nowhere(rig: Rig) -> None:
    own = rig.laptop.tenants[TENANT].queue_url
    await rig.place("moved-away", queue_url=own.rsplit("/", 1)[0] + "/not-there-yet")
    await rig.enqueue(tenant="moved-away")


async def _make_queue(rig: Rig) -> None:
    await rig.laptop.engine.sqs.create_queue(QueueName="not-there-yet")


async def _no_table(rig: Rig) -> None:
    await rig.place("early", table_name="not-there-yet")
    await rig.enqueue(tenant="early")


async def _make_table(rig: Rig) -> None:
    names = ("tenant_id", "message_id")
    await rig.laptop.engine.dynamodb.create_table(
        TableName="not-there-yet",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
        KeySchema=[
            {"AttributeName": "tenant_id", "KeyType": "HASH"},
            {"AttributeName": "message_id", "KeyType": "RANGE"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def _twice(second: bytes | None) -> Callable[[Rig], Awaitable[object]]:
    async def act(rig: Rig) -> None:
        key: dict[str, Any] = {"Idempotency-Key": uuid.uuid4().hex}
        assert (await rig.post(**key))[0] == 202
        assert (await rig.post(body=second, **key))[0] == 202

    return act


async def _unreadable_item(rig: Rig) -> None:
    await rig.misplace("golden")
    assert (await rig.post("golden"))[0] == 503


async def _too_fast(rig: Rig) -> None:
    await rig.place("hasty", rate=1)
    statuses = {(await rig.post("hasty"))[0] for _ in range(4)}
    assert statuses == {202, 429}


async def _no_keys(rig: Rig) -> None:
    assert (await rig.post())[0] == 503


async def _keys_again(rig: Rig) -> None:
    """Asked for anew 10 s after the last time."""
    rig.issuer.keys = rig.laptop.jwks.read_bytes()
    deadline = time.monotonic() + 2 * SHOWN_SECONDS
    while (await rig.post())[0] == 503:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)


async def _no_json_of_keys(rig: Rig) -> None:
    rig.issuer.keys = b"<html>"
    assert await rig.get("/messages") == 503


async def _restore_keys(rig: Rig) -> None:
    """Asked for by the next to come, long after."""
    rig.issuer.keys = rig.laptop.jwks.read_bytes()


def send_calls(outcome: str) -> str:
    return f'producer tenantry_send_calls_total{{outcome="{outcome}"}}'


def refused(problem: str) -> str:
    return f'producer tenantry_messages_refused_total{{problem="{problem}"}}'


def calls(operation: str, outcome: str) -> str:
    return f'consumer tenantry_consumer_calls_total{{operation="{operation}",outcome="{outcome}"}}'


def blocked(cause: str) -> str:
    return f'consumer tenantry_consumer_blocked{{cause="{cause}"}}'


def lookups(service: str, outcome: str) -> str:
    return f'{service} tenantry_registry_lookups_total{{outcome="{outcome}"}}'


def _on(operation: str, kind: Kind, *, times: int | None = 1, text: str = "") -> Fault:
    return Fault(kind, frozenset({operation}), text=text, times=times)


_TO_QUEUE: Sequence[tuple[str, str, str]] = (
    ("throttles", "throttle", "throttled"),
    ("answers 500", "error", "error"),
    ("breaks connections", "reset", "unreachable"),
    ("hangs", "hang", "timeout"),
)


def _kinds(
    what: str,
    operation: str,
    signs: Callable[[str], tuple[str, ...]],
    act: Callable[[str], Callable[[Rig], Awaitable[object]]],
    *,
    times: int | None = 1,
    text: str = "",
) -> list[Failure]:
    return [
        Failure(
            f"{what} {verb}",
            signs(outcome),
            act(kind),
            _on(operation, kind, times=times, text=text),  # type: ignore[arg-type]
        )
        for verb, kind, outcome in _TO_QUEUE
    ]


def _newcomer(kind: str) -> Callable[[Rig], Awaitable[object]]:
    return _placed(f"new-{kind}", _post(503, f"new-{kind}"))


def _stranger(kind: str) -> Callable[[Rig], Awaitable[object]]:
    async def enqueue(rig: Rig) -> None:
        await rig.enqueue(tenant=f"late-{kind}")

    return _placed(f"late-{kind}", enqueue)


#: No keys are there yet: those that need no token come first, while the issuer rests.
FAILURES: tuple[Failure, ...] = (
    Failure(
        "the issuer's keys cannot be fetched",
        (
            'producer tenantry_jwks_fetches_total{outcome="failed"}',
            refused("identity-unavailable"),
        ),
        _no_keys,
    ),
    Failure(
        "the issuer's keys are no JWKS",
        ('consumer tenantry_jwks_fetches_total{outcome="refused"}',),
        _no_json_of_keys,
        after=_restore_keys,
    ),
    *_kinds(
        "SQS, asked for messages,",
        "ReceiveMessage",
        lambda outcome: (calls("receive", outcome),),
        lambda _: _wait,
    ),
    *_kinds(
        "DynamoDB, asked to write,",
        "BatchExecuteStatement",
        lambda outcome: (calls("write", outcome), blocked("store")),
        lambda _: _one,
    ),
    *(
        one
        for one in _kinds(
            "the registry, asked by a consumer,",
            "GetItem",
            lambda outcome: (lookups("consumer", outcome), blocked("registry")),
            _stranger,
            times=3,
            text=REGISTRY_TABLE,
        )
        if not one.name.endswith("hangs")
    ),
    Failure(
        "the table is missing",
        (calls("write", "missing"), blocked("store")),
        _no_table,
        after=_make_table,
    ),
    Failure(
        "SQS fails to delete some",
        (calls("delete", "partial"),),
        _one,
        _on("DeleteMessageBatch", "partial"),
    ),
    Failure(
        "a body on the queue is malformed",
        ('consumer tenantry_messages_rejected_total{reason="malformed"}',),
        _enqueue(lambda: '{"version":1,"payload":{"%s":1e400}}' % SECRET),
    ),
    Failure(
        "an envelope's version is unknown",
        ('consumer tenantry_messages_rejected_total{reason="version"}',),
        _enqueue(lambda: envelope(version=99)),
    ),
    Failure(
        "a message makes no item",
        ('consumer tenantry_messages_rejected_total{reason="too-large"}',),
        _enqueue(lambda: envelope(payload={"x": "x" * 500_000, "y": SECRET})),
    ),
    Failure(
        "a message's tenant is unknown",
        ("consumer tenantry_messages_kept_total",),
        _enqueue(lambda: envelope("nobody")),
    ),
    Failure(
        "a message's tenant left",
        ("consumer tenantry_messages_dropped_total",),
        _placed("gone", _enqueue(lambda: envelope("gone")), status="offboarded"),
    ),
    Failure(
        "a message's tenant moved",
        ("consumer tenantry_messages_forwarded_total",),
        _moved,
    ),
    Failure(
        "the queue that a tenant moved to is missing",
        (calls("forward", "missing"),),
        _moved_to_nowhere,
        after=_make_queue,
        includes=("a message's tenant moved",),
    ),
)

#: With keys.
FAILURES_OF_REQUESTS: tuple[Failure, ...] = (
    *_kinds(
        "SQS, asked to send,",
        "SendMessageBatch",
        lambda outcome: (send_calls(outcome),),
        lambda _: _post(202),
    ),
    *_kinds(
        "the registry, asked by a producer,",
        "GetItem",
        lambda outcome: (lookups("producer", outcome), refused("registry-unavailable")),
        _newcomer,
        times=3,
        text=REGISTRY_TABLE,
    ),
    Failure(
        "SQS takes some of a batch",
        (send_calls("partial"),),
        _many,
        _on("SendMessageBatch", "partial"),
    ),
    Failure(
        "DynamoDB takes some of a batch",
        (calls("write", "partial"),),
        _many,
        _on("BatchExecuteStatement", "partial"),
    ),
    Failure(
        "the queue is missing",
        (send_calls("missing"), refused("misplaced")),
        _placed("lost", _post(503, "lost"), queue_url="http://sqs.example/000000000000/not-there"),
    ),
    Failure(
        "a placement is not understood",
        (lookups("producer", "misunderstood"), refused("registry-unavailable")),
        _unreadable_item,
    ),
    Failure(
        "the table cannot be read",
        (
            calls("read", "unreachable"),
            'consumer tenantry_reads_total{outcome="store-unavailable"}',
        ),
        _read,
        _on("GetItem", "reset", times=None),
    ),
    Failure(
        "a message comes twice", ("consumer tenantry_messages_duplicate_total",), _twice(None)
    ),
    Failure(
        "a key names two messages",
        ("consumer tenantry_idempotency_conflicts_total",),
        _twice(b'{"type":"fault.test","payload":{"other":"%s"}}' % SECRET.encode()),
    ),
    Failure(
        "payloads cannot be compared",
        (calls("compare", "throttled"),),
        _twice(None),
        _on("BatchGetItem", "throttle", times=None),
        includes=("a message comes twice",),
    ),
    Failure(
        "a body is no JSON", (refused("malformed-body"),), _post(400, body=b'{"' + SECRET.encode())
    ),
    Failure(
        "a body is no message",
        (refused("invalid-message"),),
        _post(422, body=b'{"type":"t","payload":{"%s":1e400}}' % SECRET.encode()),
    ),
    Failure(
        "a message is too large",
        (refused("message-too-large"),),
        _post(413, body=b'{"type":"t","payload":{"%s":"%s"}}' % (SECRET.encode(), b"x" * 500_000)),
    ),
    Failure(
        "a body is said to be no JSON",
        (refused("unsupported-media-type"),),
        _post(415, **{"Content-Type": f"text/{SECRET}"}),
    ),
    Failure(
        "a request is wrong",
        (refused("invalid-request"),),
        _post(400, **{"Idempotency-Key": f"{SECRET} with spaces"}),
    ),
    Failure("a token is none", (refused("unauthenticated"),), _post(401, token=f"{SECRET}.a.b")),
    Failure(
        "header and token differ",
        (refused("tenant-mismatch"),),
        _post(403, tenantID="globex"),
    ),
    Failure("a client's tenant is unknown", (refused("unknown-tenant"),), _post(403, "stranger")),
    Failure(
        "a client's tenant is suspended",
        (refused("tenant-suspended"),),
        _placed("late-payer", _post(403, "late-payer"), status="suspended"),
    ),
    Failure("a tenant is too fast", (refused("rate-limited"),), _too_fast),
)


async def drive_all(rig: Rig) -> dict[str, Seen]:
    """Every failure, and a time without any, by name."""
    seen: dict[str, Seen] = {}
    for failure in FAILURES:
        seen[failure.name] = await drive(rig, failure)
    await _keys_again(rig)
    seen["none"] = await drive(rig, Failure("none", (), _healthy))
    for failure in FAILURES_OF_REQUESTS:
        seen[failure.name] = await drive(rig, failure)
    return seen


async def _healthy(rig: Rig) -> None:
    await _many(rig)
    status, answer = await rig.post()
    assert status == 202
    deadline = time.monotonic() + SHOWN_SECONDS
    while await rig.get(f"/messages/{answer['message_id']}") == 404:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert await rig.get("/messages?limit=5") == 200
