"""The plain consumer: Flask and boto3; threads receive, put and delete one by one.

gunicorn tenantry_benchmarks.baselines.plain_consumer:app
"""

from __future__ import annotations

import json
import os
import threading
from datetime import UTC, datetime

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


def poll() -> None:
    """Receive for ever."""
    while True:
        answer = sqs.receive_message(
            QueueUrl=QUEUE_URL, MaxNumberOfMessages=10, WaitTimeSeconds=WAIT_SECONDS
        )
        for message in answer.get("Messages", []):
            envelope = json.loads(message["Body"])
            dynamodb.put_item(
                TableName=TABLE_NAME,
                Item={
                    "tenant_id": {"S": envelope["tenant_id"]},
                    "message_id": {"S": envelope["message_id"]},
                    "type": {"S": envelope["type"]},
                    "payload": {"S": json.dumps(envelope["payload"])},
                    "accepted_at": {"S": envelope["accepted_at"]},
                    "stored_at": {"S": datetime.now(UTC).isoformat()},
                },
            )
            sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])


for _ in range(4):
    threading.Thread(target=poll, daemon=True).start()
