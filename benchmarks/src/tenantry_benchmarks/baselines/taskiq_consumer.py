"""taskiq on SQS as its users would run it: one task a message, put one by one.

Runs in an environment of its own: taskiq worker taskiq_consumer:broker
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from typing import Any

from aiobotocore.session import get_session
from taskiq import TaskiqEvents  # type: ignore[import-not-found]
from taskiq_aio_sqs import SQSBroker  # type: ignore[import-not-found]

broker = SQSBroker(
    os.environ["QUEUE_URL"].rsplit("/", 1)[1],
    endpoint_url=os.environ["AWS_ENDPOINT_URL"],
    region_name=os.environ["AWS_REGION"],
    aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"],
    aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    wait_time_seconds=int(os.environ["WAIT_SECONDS"]),
    max_number_of_messages=10,
)
opened: dict[str, Any] = {}


@broker.on_event(TaskiqEvents.WORKER_STARTUP)  # type: ignore[untyped-decorator]
async def start(_: Any) -> None:
    """Open the table's client, once."""
    opened["dynamodb"] = await get_session().create_client("dynamodb").__aenter__()


@broker.task(task_name="store")  # type: ignore[untyped-decorator]
async def store(envelope: dict[str, Any]) -> None:
    """Put one message."""
    await opened["dynamodb"].put_item(
        TableName=os.environ["TABLE_NAME"],
        Item={
            "tenant_id": {"S": envelope["tenant_id"]},
            "message_id": {"S": envelope["message_id"]},
            "type": {"S": envelope["type"]},
            "payload": {"S": json.dumps(envelope["payload"])},
            "accepted_at": {"S": envelope["accepted_at"]},
            "stored_at": {"S": datetime.now(UTC).isoformat()},
        },
    )
