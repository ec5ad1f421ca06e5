"""The good consumer: Flask and boto3; threads receive, write and delete in batches of ten.

gunicorn tenantry_benchmarks.baselines.good_consumer:app
"""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime
from typing import Any

import boto3
from flask import Flask

QUEUE_URL = os.environ["QUEUE_URL"]
TABLE_NAME = os.environ["TABLE_NAME"]
WAIT_SECONDS = int(os.environ["WAIT_SECONDS"])

app = Flask(__name__)
sqs = boto3.client("sqs")
dynamodb = boto3.client("dynamodb")


@app.get("/readyz")
def readyz() -> str:
    """Ready as soon as it answers."""
    return "ok"


def put_request(envelope: dict[str, Any]) -> dict[str, Any]:
    """One message as BatchWriteItem takes it."""
    item = {
        "tenant_id": {"S": envelope["tenant_id"]},
        "message_id": {"S": envelope["message_id"]},
        "type": {"S": envelope["type"]},
        "payload": {"S": json.dumps(envelope["payload"])},
        "accepted_at": {"S": envelope["accepted_at"]},
        "stored_at": {"S": datetime.now(UTC).isoformat()},
    }
    return {"PutRequest": {"Item": item}}


def poll() -> None:
    """Receive for ever."""
    while True:
        answer = sqs.receive_message(
            QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT_SECONDS
        )
        messages = answer.get("Messages", [])
        if not messages:
            continue
        # A call takes no key twice, and a message may come twice.
        bodies = [json.loads(message["Body"]) for message in messages]
        puts = {body["message_id"]: put_request(body) for body in bodies}
        pending: Any = {TABLE_NAME: list(puts.values())}
        while pending:
            pending = dynamodb.batch_write_item(RequestItems=pending).get("UnprocessedItems")
        entries = [
            {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
            for n, message in enumerate(messages)
        ]
        sqs.delete_message_batch(QueueUrl=QUEUE_URL, Entries=entries)


for _ in range(4):
    threading.Thread(target=poll, daemon=True).start()
