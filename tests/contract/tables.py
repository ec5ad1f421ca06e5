"""Tables for the suites: in memory, or on an engine, with the same few things to do and see."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

from prometheus_client import CollectorRegistry

from consumer.repository import (
    DynamoMessageReader,
    DynamoMessageRepository,
    MessageReader,
    MessageRepository,
    Row,
    WriteCalls,
)
from contract.engines import dynamodb_calls
from fakes.repository import FakeRepository
from tenantry.contract import Message
from tenantry.metrics import ConsumerMetrics

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

STORED_AT = "2026-01-02T03:04:06.000001Z"


class Tables(Protocol):
    """An account's tables of messages, and the consumer's ports on them."""

    repository: MessageRepository
    reader: MessageReader

    async def make(self) -> str:
        """Make a table; its name."""
        ...


class MemoryTables(Tables):
    """Tables of a `FakeRepository`."""

    def __init__(self) -> None:
        self.fake = FakeRepository()
        self.repository = self.fake
        self.reader = self.fake

    async def make(self) -> str:
        name = str(uuid.uuid4())
        self.fake.create(name)
        return name


class EngineTables(Tables):
    """Tables of an engine."""

    def __init__(self, client: DynamoDBClient, writes: WriteCalls) -> None:
        self.client = client
        self.repository = DynamoMessageRepository(
            client, ConsumerMetrics(CollectorRegistry()), writes=writes
        )
        self.reader = DynamoMessageReader(client)
        self._made: list[str] = []

    async def make(self) -> str:
        name = f"contract-{uuid.uuid4()}"
        await make_table(self.client, name, "tenant_id", "message_id")
        self._made.append(name)
        return name

    async def remove_all(self) -> None:
        """Leave an engine as it was found."""
        for name in self._made:
            await self.client.delete_table(TableName=name)


async def make_table(client: DynamoDBClient, name: str, *keys: str) -> None:
    """Make a table with these keys, which are strings; the engines do so at once."""
    definitions: Any = [{"AttributeName": key, "AttributeType": "S"} for key in keys]
    schema: Any = [
        {"AttributeName": key, "KeyType": kind}
        for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
    ]
    await client.create_table(
        TableName=name,
        AttributeDefinitions=definitions,
        KeySchema=schema,
        BillingMode="PAY_PER_REQUEST",
    )


@asynccontextmanager
async def engine_tables(url: str, engine: str = "") -> AsyncGenerator[EngineTables]:
    """Tables of the engine at this address, until the block ends."""
    async with dynamodb_calls(url, engine) as (client, writes):
        tables = EngineTables(client, writes)
        try:
            yield tables
        finally:
            await tables.remove_all()


def a_row(number: int = 1, payload: str = "{}", **changes: Any) -> Row:
    """A row of acme; ids ascend with the number."""
    values: dict[str, Any] = {
        "message_id": f"019b7b2e-5c00-7abc-8def-{number:012}",
        "tenant_id": "acme",
        "type": "order.created",
        "payload": payload,
        "accepted_at": "2026-01-02T03:04:05.678901Z",
    }
    partition = changes.pop("partition", values["tenant_id"])
    return Row(partition, Message(**(values | changes)))
