"""One trace from the request to the write, also across the queue; unsampled ones cost nothing."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from support.collector import Collector, Span, collector_up
from support.counted import TENANT, counted_laptop
from support.failures import (
    FAILURES,
    FAILURES_OF_REQUESTS,
    POOL,
    Failure,
    Seen,
    drive_all,
    envelope,
    refused,
    rig_up,
)
from support.failures import TENANT as ACME
from support.load import wait_stored
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, PRODUCER

pytestmark = pytest.mark.slow

INTERNAL = "urn:tenantry:problem:internal"
STORED = "01a20413-0c90-772e-9dbe-d5f07c6813b0"
SECRET = "hunter2-of-a-payload"
#: Traces of clients: sampled, sampled, and not.
ONE, MANY, UNSAMPLED, REFUSED = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)
CLIENT = "1" * 16
IN_MANY = 5


async def post(laptop: Laptop, path: str, body: object, traceparent: str | None = None) -> int:
    """The status."""
    headers = {
        "Authorization": f"Bearer {laptop.token(TENANT)}",
        "Content-Type": "application/json",
    }
    data = body if isinstance(body, str) else json.dumps(body)
    if traceparent is not None:
        headers["traceparent"] = traceparent
    producer = laptop.address(laptop.tenants[TENANT].producer, PRODUCER)
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{producer}{path}", data=data) as answer,
    ):
        return answer.status


def only(spans: list[Span], name: str) -> Span:
    """The one span whose name starts like this."""
    [found] = [span for span in spans if span.name.startswith(name)]
    return found


async def traffic(laptop: Laptop, collector: Collector) -> None:
    """Each request on its own, so that none shares a call with another; then SIGTERM."""
    message = {"type": "trace.test", "payload": {"secret": SECRET}}
    assert await post(laptop, "/messages", message) == 202
    await wait_stored(laptop, TENANT, 1, seconds=20)
    assert await post(laptop, "/messages", message, f"00-{ONE}-{CLIENT}-01") == 202
    await wait_stored(laptop, TENANT, 2, seconds=20)
    batch = {"messages": [message] * IN_MANY}
    assert await post(laptop, "/messages/batch", batch, f"00-{MANY}-{CLIENT}-01") == 202
    await wait_stored(laptop, TENANT, 2 + IN_MANY, seconds=20)
    assert await post(laptop, "/messages", message, f"00-{UNSAMPLED}-{CLIENT}-00") == 202
    await wait_stored(laptop, TENANT, 3 + IN_MANY, seconds=20)
    # The text of this refusal quotes the name that comes twice.
    twice = '{"type":"trace.test","payload":{"%s":1,"%s":2}}' % (SECRET, SECRET)
    assert await post(laptop, "/messages", twice, f"00-{REFUSED}-{CLIENT}-01") == 422

    assert not collector.spans, "a span came before its time: the flush would prove nothing"
    for service in (PRODUCER, CONSUMER):
        await laptop.kill(TENANT, service, signal.SIGTERM)


async def test_one_trace_leads_from_the_request_to_the_write() -> None:
    """Through producer, SQS and consumer, with a client's trace and without.

    Spans are kept for ten minutes here, so all that arrive were flushed by SIGTERM.
    """
    async with collector_up() as collector:
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "600000",
        }
        extra_env = {PRODUCER: env, CONSUMER: env}
        async with counted_laptop(wait_seconds=1, extra_env=extra_env) as (laptop, _):
            queue = laptop.tenants[TENANT].queue_url.rsplit("/", 1)[-1]
            table = laptop.tenants[TENANT].table_name
            await traffic(laptop, collector)
            logs = {log.name: log.read_text("utf-8") for log in laptop.run_dir.glob("*.log")}

    assert_no_secret(logs, {SECRET})
    assert {PRODUCER, CONSUMER} == {span.service for span in collector.spans}
    assert not any(SECRET.encode() in body for body in collector.raw)
    [own] = {span.trace_id for span in collector.spans} - {ONE, MANY, REFUSED}
    for trace_id in (own, ONE):
        spans = collector.of(trace_id)
        server = only(spans, "POST /messages")
        send, process = only(spans, "send"), only(spans, "process")
        write = only(spans, "BatchExecuteStatement")

        assert len(spans) == 4
        assert not any(span.is_error for span in spans)
        assert (PRODUCER, "SERVER") == (server.service, server.kind)
        assert server.parent_id == (CLIENT if trace_id == ONE else "")
        assert (PRODUCER, "CLIENT", f"send {queue}") == (send.service, send.kind, send.name)
        assert send.parent_id == server.span_id
        assert send.links == ((trace_id, server.span_id),)
        assert (CONSUMER, "CONSUMER") == (process.service, process.kind)
        assert process.name == f"process {queue}"
        assert process.parent_id == server.span_id
        assert (CONSUMER, "CLIENT") == (write.service, write.kind)
        assert write.parent_id == process.span_id
        assert write.links == ((trace_id, process.span_id),)
        for span, operation in ((send, "send"), (process, "process")):
            assert span.attributes["messaging.system"] == "aws_sqs"
            assert span.attributes["messaging.operation.type"] == operation
            assert span.attributes["messaging.destination.name"] == queue
        assert process.attributes["tenantry.tenant_id"] == TENANT
        assert write.attributes == {
            "db.system.name": "aws.dynamodb",
            "db.operation.name": "BatchExecuteStatement",
            "db.operation.batch.size": 1,
            "db.collection.name": table,
        }

    many = collector.of(MANY)
    processes = {(MANY, span.span_id) for span in many if span.name.startswith("process")}
    writes = [span for span in many if span.name.startswith("BatchExecuteStatement")]
    assert len(processes) == IN_MANY
    assert processes == {link for span in writes for link in span.links}
    assert len(writes) < IN_MANY, "one span a call, not one a message"

    assert collector.of(UNSAMPLED) == []
    [refused] = collector.of(REFUSED)
    assert refused.attributes["http.response.status_code"] == 422
    # A client's mistake is no error of the server's.
    assert not refused.is_error
    assert json.dumps(refused.attributes).find(SECRET) == -1


OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


# Every failure shows in the metrics, and nothing of a client's in the logs


@dataclass(frozen=True, slots=True)
class Report:
    """What was seen of all failures, and what was logged meanwhile."""

    seen: dict[str, Seen]
    logs: dict[str, str]
    secrets: set[str]


@pytest.fixture(scope="module")
def report() -> Report:
    """Every failure after the other, on one laptop that logs at debug."""

    async def run() -> Report:
        async with rig_up() as rig:
            seen = await drive_all(rig)
        return Report(seen, rig.logs, rig.secrets)

    return asyncio.run(run())


ALL = (*FAILURES, *FAILURES_OF_REQUESTS)


@pytest.mark.parametrize("failure", ALL, ids=lambda failure: failure.name.replace(" ", "-"))
def test_a_failure_is_told_apart_by_metrics_alone(failure: Failure, report: Report) -> None:
    """Its signs show when it is felt, all of them in no other failure, and never in health."""
    seen = report.seen[failure.name]

    assert seen.error is None
    assert seen.felt > 0 or failure.fault is None
    assert seen.raised.issuperset(failure.signs)
    including = {one.name for one in ALL if failure.name in one.includes}
    others = {
        name: other.raised & set(failure.signs)
        for name, other in report.seen.items()
        if name != failure.name and name not in including
    }
    assert [] == [name for name, found in others.items() if found == set(failure.signs)]
    # In health not even one of them.
    assert not others["none"]


@pytest.mark.parametrize("failure", ALL, ids=lambda failure: failure.name.replace(" ", "-"))
def test_operators_find_its_signs(failure: Failure) -> None:
    """A row of the page for operators names the metrics of a failure, with their labels."""
    rows = [line for line in OPERATIONS.read_text("utf-8").splitlines() if line.startswith("| ")]
    words = [
        word
        for sign in failure.signs
        for word in re.findall(r"tenantry_\w+|(?<=\")[\w-]+(?=\")", sign)
    ]

    assert any(all(f"`{word}`" in row for word in words) for row in rows), words


def test_what_clients_send_is_in_no_log(report: Report) -> None:
    """No payload and no token, whatever failed, at the level that logs most."""
    assert report.logs["pool-1-producer.log"]
    assert report.logs["pool-1-consumer.log"]
    assert len(report.secrets) > 10
    assert_no_secret(report.logs, report.secrets)


def assert_no_secret(logs: dict[str, str], secrets: set[str]) -> None:
    """Nor the head of any token: all of them begin alike."""
    secrets = secrets | {"eyJ"}
    for name, log in logs.items():
        lines = [line for line in log.splitlines() if any(secret in line for secret in secrets)]
        assert [] == lines, name


async def test_a_bug_is_counted_and_quotes_nothing_of_a_client() -> None:
    """Errors whose text quotes payload and token: in the log by kind and place, not by text."""
    program = str(Path(__file__).with_name("buggy.py"))
    async with rig_up(
        producer_command=(sys.executable, program, PRODUCER),
        consumer_command=(sys.executable, program, CONSUMER),
    ) as rig:
        rig.issuer.keys = rig.laptop.jwks.read_bytes()
        status, answer = await rig.post()
        assert (500, INTERNAL) == (status, answer["type"])
        await rig.enqueue(envelope(message_id=STORED))
        stored = f'consumer tenantry_messages_stored_total{{tenant="{ACME}"}}'
        await rig.until(lambda now: now.get(stored) == 1)
        assert await rig.get(f"/messages/{STORED}") == 500
        now = await rig.look()
        assert now[refused("internal")] == 1
        assert now['consumer tenantry_reads_total{outcome="internal"}'] == 1
        # This one ends the process: it is not alive, and whoever runs it starts it anew.
        await rig.enqueue(envelope(type="buggy"))
        async with asyncio.timeout(20):
            while rig.laptop.instance(POOL, CONSUMER).pid is not None:  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.05)

    lines = {
        name: [json.loads(line) for line in log.splitlines()] for name, log in rig.logs.items()
    }
    failed = [
        (
            line["event"],
            line["exception"][0]["exc_type"],
            line["exception"][0]["frames"][-1]["name"],
        )
        for name in ("pool-1-producer.log", "pool-1-consumer.log")
        for line in lines[name]
        if line["event"] in {"request.failed", "process.failed"}
    ]
    assert [
        ("request.failed", "ValueError", "quote"),
        ("request.failed", "ValueError", "quote"),
        ("process.failed", "ValueError", "quote"),
    ] == failed
    assert_no_secret(rig.logs, rig.secrets)
