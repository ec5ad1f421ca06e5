"""The plain producer: Flask and boto3, one look-up and one send for each request.

gunicorn tenantry_benchmarks.baselines.plain_producer:app
"""

from __future__ import annotations

import json
import os
import uuid
from datetime import UTC, datetime

import boto3
from flask import Flask, Response, jsonify, request

PARAMETER = os.environ["QUEUE_PARAMETER"]

app = Flask(__name__)
ssm = boto3.client("ssm")
sqs = boto3.client("sqs")


@app.get("/readyz")
def readyz() -> str:
    """Ready as soon as it answers."""
    return "ok"


@app.post("/messages")
def post_message() -> tuple[Response, int]:
    """Look the queue up, send, and answer."""
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
    queue_url = ssm.get_parameter(Name=PARAMETER)["Parameter"]["Value"]
    sqs.send_message(QueueUrl=queue_url, MessageBody=json.dumps(envelope))
    return jsonify(message_id=message_id, status="accepted"), 202
