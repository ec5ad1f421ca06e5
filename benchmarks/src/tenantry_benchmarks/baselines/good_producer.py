"""The good producer: Flask and boto3; threads send what waits in batches of ten, no look-up.

gunicorn tenantry_benchmarks.baselines.good_producer:app
"""

from __future__ import annotations

import json
import os
import queue
import threading
import time
import uuid
from concurrent.futures import Future
from datetime import UTC, datetime

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from flask import Flask, Response, jsonify, request

QUEUE_URL = os.environ["QUEUE_URL"]
BATCH = 10
LINGER_SECONDS = 0.005

app = Flask(__name__)
sqs = boto3.client("sqs")
waiting: queue.Queue[tuple[str, Future[None]]] = queue.Queue()


@app.get("/readyz")
def readyz() -> str:
    """Ready as soon as it answers."""
    return "ok"


@app.post("/messages")
def post_message() -> tuple[Response, int]:
    """Hand the message to the batcher, and answer when SQS has it."""
    submission = request.get_json()
    message_id = str(uuid.uuid4())
    envelope = {
        "version": 1,
        "message_id": message_id,
        "tenant_id": request.headers["tenantID"],
        "type": submission["type"],
        "payload": submission["payload"],
        "accepted_at": datetime.now(UTC).isoformat(),
    }
    sent: Future[None] = Future()
    waiting.put((json.dumps(envelope), sent))
    sent.result(timeout=10)
    return jsonify(message_id=message_id, status="accepted"), 202


def batch_and_send() -> None:
    """Take what comes within five milliseconds, ten at most, and send it in one call."""
    while True:
        batch = [waiting.get()]
        deadline = time.monotonic() + LINGER_SECONDS
        while len(batch) < BATCH and (left := deadline - time.monotonic()) > 0:
            try:
                batch.append(waiting.get(timeout=left))
            except queue.Empty:
                break
        entries = [{"Id": str(n), "MessageBody": body} for n, (body, _) in enumerate(batch)]
        try:
            answer = sqs.send_message_batch(QueueUrl=QUEUE_URL, Entries=entries)
        except (BotoCoreError, ClientError) as error:
            for _, sent in batch:
                sent.set_exception(error)
            continue
        for failed in answer.get("Failed", []):
            batch[int(failed["Id"])][1].set_exception(RuntimeError(failed["Code"]))
        for success in answer.get("Successful", []):
            batch[int(success["Id"])][1].set_result(None)


for _ in range(1):
    threading.Thread(target=batch_and_send, daemon=True).start()
