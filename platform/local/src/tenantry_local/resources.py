"""Queues, tables and the registry's items, as Terraform and tenantctl make them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tenantry import names
from tenantry.registry import DynamoRegistry, Placement
from tenantry_local.model import ENVIRONMENT, LaptopError, Resources

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

    from tenantry_local.clients import Engine
    from tenantry_local.model import Options

#: Seconds that a queue keeps a message: 4 days, and 14 in the dead-letter queue.
RETENTION_SECONDS: Final = 345_600
DEAD_LETTER_RETENTION_SECONDS: Final = 1_209_600
LONG_POLL_SECONDS: Final = 20

REGISTRY_TABLE: Final = names.registry_table_name(ENVIRONMENT)


class ResourceMaker:
    """Makes and removes what instances need, on the engine."""

    def __init__(self, engine: Engine, options: Options) -> None:
        self._engine = engine
        self._options = options
        self.registry = DynamoRegistry(engine.dynamodb, REGISTRY_TABLE)

    async def make_registry(self) -> None:
        """Make the table of all placements."""
        await _make_table(self._engine.dynamodb, REGISTRY_TABLE, "tenant_id")

    async def make(self, instance: str) -> Resources:
        """Make queue, dead-letter queue and table of a pool or a dedicated tenant."""
        table_name = names.table_name(ENVIRONMENT, instance)
        (queue_url, dead_letter_queue_url), _ = await asyncio.gather(
            self._make_queues(instance),
            _make_table(self._engine.dynamodb, table_name, "tenant_id", "message_id"),
        )
        return Resources(queue_url, dead_letter_queue_url, table_name)

    async def remove(self, instance: str) -> None:
        """Remove them, with what they hold."""
        sqs = self._engine.sqs
        for make_name in (names.queue_name, names.dead_letter_queue_name):
            answer = await sqs.get_queue_url(QueueName=make_name(ENVIRONMENT, instance))
            await sqs.delete_queue(QueueUrl=answer["QueueUrl"])
        table_name = names.table_name(ENVIRONMENT, instance)
        await self._engine.dynamodb.delete_table(TableName=table_name)

    async def protect(self, instance: str, *, on: bool) -> None:
        """Turn the deletion protection of an instance's table on or off."""
        if await self.is_protected(instance) != on:
            await self._engine.dynamodb.update_table(
                TableName=names.table_name(ENVIRONMENT, instance), DeletionProtectionEnabled=on
            )

    async def is_protected(self, instance: str) -> bool:
        """Whether an instance's table cannot be deleted."""
        answer = await self._engine.dynamodb.describe_table(
            TableName=names.table_name(ENVIRONMENT, instance)
        )
        return answer["Table"].get("DeletionProtectionEnabled", False)

    async def register(self, placement: Placement) -> Placement:
        """Write a new tenant's placement, or place one anew that left; as it was written.

        Raises:
            LaptopError: Somebody else wrote it meanwhile.
        """
        old = await self.registry.get(placement.tenant_id)
        return await self._put(placement, old)

    async def offboard(self, placement: Placement) -> None:
        """Say that a tenant left: late messages of theirs are counted and deleted."""
        await self._put(replace(placement, status="offboarded"), placement)

    async def _put(self, placement: Placement, old: Placement | None) -> Placement:
        generation = old.generation if old else None
        placement = replace(placement, generation=(generation or 0) + 1)
        if not await self.registry.put(placement, expected_generation=generation):
            msg = f"the placement of {placement.tenant_id} was changed by somebody else"
            raise LaptopError(msg)
        return placement

    async def _make_queues(self, instance: str) -> tuple[str, str]:
        sqs = self._engine.sqs
        size = str(self._options.max_message_bytes)
        dead_letters = await sqs.create_queue(
            QueueName=names.dead_letter_queue_name(ENVIRONMENT, instance),
            Attributes={
                "MaximumMessageSize": size,
                "MessageRetentionPeriod": str(DEAD_LETTER_RETENTION_SECONDS),
                "SqsManagedSseEnabled": "true",
            },
        )
        dead_letters_arn = await self._arn(dead_letters["QueueUrl"])
        queue = await sqs.create_queue(
            QueueName=names.queue_name(ENVIRONMENT, instance),
            Attributes={
                "MaximumMessageSize": size,
                "MessageRetentionPeriod": str(RETENTION_SECONDS),
                "ReceiveMessageWaitTimeSeconds": str(LONG_POLL_SECONDS),
                "VisibilityTimeout": str(self._options.visibility_seconds),
                "SqsManagedSseEnabled": "true",
                "RedrivePolicy": json.dumps(
                    {
                        "deadLetterTargetArn": dead_letters_arn,
                        "maxReceiveCount": self._options.max_receive_count,
                    }
                ),
            },
        )
        allow = {
            "redrivePermission": "byQueue",
            "sourceQueueArns": [await self._arn(queue["QueueUrl"])],
        }
        await sqs.set_queue_attributes(
            QueueUrl=dead_letters["QueueUrl"],
            Attributes={"RedriveAllowPolicy": json.dumps(allow)},
        )
        return queue["QueueUrl"], dead_letters["QueueUrl"]

    async def _arn(self, queue_url: str) -> str:
        answer = await self._engine.sqs.get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=["QueueArn"]
        )
        return answer["Attributes"]["QueueArn"]


async def _make_table(client: DynamoDBClient, name: str, *keys: str) -> None:
    definitions: list[Any] = [{"AttributeName": key, "AttributeType": "S"} for key in keys]
    schema: list[Any] = [
        {"AttributeName": key, "KeyType": kind}
        for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
    ]
    await client.create_table(
        TableName=name,
        AttributeDefinitions=definitions,
        KeySchema=schema,
        BillingMode="PAY_PER_REQUEST",
    )
    await client.get_waiter("table_exists").wait(
        TableName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )


async def queue_depth(engine: Engine, queue_url: str) -> tuple[int, int]:
    """Messages of a queue that wait, and that a consumer holds."""
    answer = await engine.sqs.get_queue_attributes(
        QueueUrl=queue_url,
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    attributes = answer["Attributes"]
    return (
        int(attributes["ApproximateNumberOfMessages"]),
        int(attributes["ApproximateNumberOfMessagesNotVisible"]),
    )
