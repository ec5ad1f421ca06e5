"""A program that knows only the documents sends what the consumer stores, and reads ours."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumer.repository import Inserted, Row
from contract.engines import CREDENTIALS, REGION, sqs_client
from contract.queues import EngineQueues, engine_queues, receive
from contract.tables import STORED_AT, EngineTables, engine_tables, make_table
from fakes.registry import a_placement
from producer.publisher import Outgoing, SqsPublisher
from tenantry.contract import Message, decode, dump_json, idempotent_message_id, partition
from tenantry.metrics import ProducerMetrics
from tenantry.registry import DynamoRegistry, Placement

PROGRAM = Path(__file__).with_name("plain_boto3.py")
TRACE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
PAYLOAD = {"ü": ["\ufffe\uffff \U0001f600\x00\x7f", 2**64 - 1, -(2**63), 0.1, 1e300, None, {}]}


@dataclass
class Place:
    """A tenant with its queue and its table, in a registry."""

    engine_url: str
    registry: str
    placement: Placement
    queues: EngineQueues
    tables: EngineTables

    async def program(self, *arguments: str, said: Any = None) -> str:
        """Run the program against the engine; what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            str(PROGRAM),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "AWS_ENDPOINT_URL": self.engine_url,
                "AWS_DEFAULT_REGION": REGION,
                "AWS_EC2_METADATA_DISABLED": "true",
                "NO_PROXY": "127.0.0.1",
                **{name.upper(): value for name, value in CREDENTIALS.items()},
            },
        )
        printed, _ = await process.communicate(json.dumps(said).encode())
        assert process.returncode == 0
        return printed.decode().strip()


@pytest.fixture(params=["standin", "ministack"])
def engine(request: pytest.FixtureRequest) -> str:
    """What has queues and tables both."""
    name: str = request.param
    return name


@pytest.fixture
async def place(engine_url: str) -> AsyncGenerator[Place]:
    """A basic tenant whose table has four shards."""
    async with engine_queues(engine_url) as queues, engine_tables(engine_url) as tables:
        registry = f"contract-{uuid.uuid4()}"
        await make_table(tables.client, registry, "tenant_id")
        placement = a_placement(
            queue_url=await queues.make(), table_name=await tables.make(), shards=4
        )
        dynamo = DynamoRegistry(tables.client, registry)
        await dynamo.put(placement, expected_generation=None)
        yield Place(engine_url, registry, placement, queues, tables)
        await tables.client.delete_table(TableName=registry)


async def test_the_consumer_takes_what_it_sends_and_it_reads_what_the_consumer_stored(
    place: Place,
) -> None:
    """Other order, spaces, escapes, a field that we do not know; the payload comes back equal."""
    said = {"type": "order.created", "payload": PAYLOAD, "key": "order-42"}
    message_id = await place.program("send", place.registry, "acme", said=said)
    (delivery,) = await receive(place.queues.queue(place.placement.queue_url), 1)
    message = decode(delivery.body)

    assert idempotent_message_id("acme", "order-42") == message_id == message.message_id
    row = Row(partition("acme", message_id, place.placement.shards), message)
    table = place.placement.table_name
    assert [Inserted.STORED] == await place.tables.repository.insert(table, [row], STORED_AT)
    item = json.loads(await place.program("read", place.registry, "acme", message_id))
    assert repr(PAYLOAD) == repr(item.pop("payload"))
    assert item.pop("tenant_id").startswith("acme#")
    assert len(item.pop("payload_sha256")) == 44
    assert item == {
        "message_id": message_id,
        "type": "order.created",
        "accepted_at": message.accepted_at,
        "stored_at": STORED_AT,
        "version": "1",
    }


async def test_it_reads_what_the_producer_sent(place: Place) -> None:
    """Envelope, group and trace."""
    message = Message(
        "019b7b2e-5c00-7abc-8def-0123456789ab",
        "acme",
        "order.created",
        dump_json(PAYLOAD),
        "2026-01-02T03:04:05.678901Z",
    )
    url = place.placement.queue_url
    async with sqs_client(place.engine_url) as client:
        publisher = SqsPublisher(
            client,
            ProducerMetrics(CollectorRegistry()),
            linger_seconds=0.005,
            calls_per_queue=8,
            queue_buffer_bytes=8_388_608,
            buffer_bytes=33_554_432,
        )
        outgoing = Outgoing(message.body(), TRACE, place.placement.message_group_id)
        deadline = time.monotonic() + 10
        assert [None] == await publisher.publish(url, [outgoing], deadline=deadline)
    seen = json.loads(await place.program("take", url))

    assert repr(PAYLOAD) == repr(seen["envelope"].pop("payload"))
    assert seen == {
        "envelope": {
            "version": 1,
            "message_id": message.message_id,
            "tenant_id": "acme",
            "type": "order.created",
            "accepted_at": "2026-01-02T03:04:05.678901Z",
        },
        "group": "acme",
        "attributes": TRACE,
    }
