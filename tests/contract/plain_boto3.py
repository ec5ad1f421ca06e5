"""A program of somebody else: boto3 and the standard library, and what `docs/contract.md` says.

    send REGISTRY TENANT  < {"type": ..., "payload": ..., "key": ...}   prints the message's id
    take QUEUE_URL                                                      prints message and envelope
    read REGISTRY TENANT MESSAGE_ID                                     prints the item

Where AWS is, it learns from the environment, as every program does.
"""

import base64
import hashlib
import json
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import boto3

NAMESPACE = uuid.UUID("6f1c3a52-0d0e-5b7e-9a51-7d1f0c9e4b21")


def say(text: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{text}\n")


def placement(registry: str, tenant: str) -> dict[str, Any]:
    """Where the tenant lives."""
    key = {"tenant_id": {"S": tenant}}
    answer = boto3.client("dynamodb").get_item(TableName=registry, Key=key, ConsistentRead=True)
    item: dict[str, Any] = answer["Item"]
    return item


def send(registry: str, tenant: str) -> None:
    """Send what stands on standard input, with an idempotency key."""
    wanted = json.load(sys.stdin)
    where = placement(registry, tenant)
    message_id = str(uuid.uuid5(NAMESPACE, f"{tenant}\n{wanted['key']}"))
    envelope = {
        "tenant_id": tenant,
        "message_id": message_id,
        "payload": wanted["payload"],
        "type": wanted["type"],
        "accepted_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "version": 1,
        "sent_by": "plain-boto3",
    }
    group = {"MessageGroupId": tenant} if where["tier"]["S"] == "basic" else {}
    boto3.client("sqs").send_message(
        QueueUrl=where["queue_url"]["S"], MessageBody=json.dumps(envelope, indent=2), **group
    )
    say(message_id)


def take(queue_url: str) -> None:
    """Receive a message, delete it, and print it."""
    sqs = boto3.client("sqs")
    answer = sqs.receive_message(
        QueueUrl=queue_url,
        WaitTimeSeconds=10,
        MessageSystemAttributeNames=["MessageGroupId"],
        MessageAttributeNames=["All"],
    )
    (message,) = answer["Messages"]
    sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    attributes = message.get("MessageAttributes", {})
    seen = {
        "envelope": json.loads(message["Body"]),
        "group": message.get("Attributes", {}).get("MessageGroupId"),
        "attributes": {name: value["StringValue"] for name, value in attributes.items()},
    }
    say(json.dumps(seen))


def read(registry: str, tenant: str, message_id: str) -> None:
    """Print an item with its payload parsed, after a look at its digest."""
    where = placement(registry, tenant)
    shards = int(where.get("shards", {"N": "1"})["N"])
    partition = tenant
    if shards > 1:
        partition += f"#{hashlib.sha256(message_id.encode()).digest()[0] % shards}"
    answer = boto3.client("dynamodb").get_item(
        TableName=where["table_name"]["S"],
        Key={"tenant_id": {"S": partition}, "message_id": {"S": message_id}},
        ConsistentRead=True,
    )
    item = answer["Item"]
    text = item["payload"]["S"]
    digest = hashlib.sha256(f"{item['type']['S']}\n{text}".encode()).digest()
    if item["payload_sha256"]["B"] != digest:
        sys.exit("the digest is not that of type and payload")
    shown = {
        name: base64.b64encode(value["B"]).decode() if "B" in value else next(iter(value.values()))
        for name, value in item.items()
    }
    say(json.dumps({**shown, "payload": json.loads(text)}))


def main(verb: str, *arguments: str) -> None:
    """Do what the command line says."""
    verbs: dict[str, Callable[..., None]] = {"send": send, "take": take, "read": read}
    verbs[verb](*arguments)
    ours = {"tenantry", "producer", "consumer", "tenantry_local"} & set(sys.modules)
    if ours:
        sys.exit(f"imported {ours}")


if __name__ == "__main__":
    main(*sys.argv[1:])
