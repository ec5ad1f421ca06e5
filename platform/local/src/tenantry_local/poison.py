"""Bad messages, put straight on a queue: what happens to them, and how they come back.

A dead-letter queue is redriven here as an operator would do it by hand: receive, repair what
can be repaired, send to the queue, delete.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from tenantry_local.model import LaptopError
from tenantry_local.resources import queue_depth

if TYPE_CHECKING:
    from tenantry_local.clients import Engine
    from tenantry_local.model import Tenant
    from tenantry_local.report import Report

_FUTURE_VERSION: Final = 99
_REPAIRABLE: Final = "a version that nobody knows yet"
_POLL_SECONDS: Final = 0.3
#: How long a bad message may take to be dead-lettered, in seconds: ten receives and more.
_DEAD_SECONDS: Final = 90.0
_STORED_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Planted:
    """What was put on a tenant's queue: bodies by what is wrong with them."""

    tenant: Tenant
    bodies: dict[str, str]


async def plant(engine: Engine, tenant: Tenant) -> Planted:
    """Put three bad messages on the queue of a tenant."""
    bodies = {
        "no JSON at all": "{this is not JSON",
        _REPAIRABLE: json.dumps(_envelope(tenant) | {"version": _FUTURE_VERSION}),
        "a payload that is no object": json.dumps(_envelope(tenant) | {"payload": [1, 2, 3]}),
    }
    for body in bodies.values():
        await engine.sqs.send_message(QueueUrl=tenant.queue_url, MessageBody=body)
    return Planted(tenant, bodies)


async def show_and_redrive(engine: Engine, planted: Planted, report: Report) -> None:
    """Wait for the dead letters, show them, repair one, redrive all, and see what comes back.

    Raises:
        LaptopError: Something did not happen in time.
    """
    tenant = planted.tenant
    reasons = {body: reason for reason, body in planted.bodies.items()}
    dead = await _receive_dead(engine, tenant, set(reasons))
    report.say(f"Dead letters of {tenant.dead_letter_queue_url.rsplit('/', 1)[-1]}:")
    for body in dead:
        report.say(f"  {reasons[body]}: {_short(body)}")
    repaired = ""
    for body, handle in dead.items():
        sent = body
        if reasons[body] == _REPAIRABLE:
            envelope = json.loads(body)
            repaired = envelope["message_id"]
            sent = json.dumps(envelope | {"version": 1})
        await engine.sqs.send_message(QueueUrl=tenant.queue_url, MessageBody=sent)
        await engine.sqs.delete_message(
            QueueUrl=tenant.dead_letter_queue_url, ReceiptHandle=handle
        )
    report.say("Redriven: one with its version set right, the others as they were.")
    await _wait_stored(engine, tenant, repaired)
    report.say(f"  message {repaired}, repaired, is stored in {tenant.table_name}")
    hopeless = len(dead) - 1
    await _wait_dead(engine, tenant, hopeless)
    report.say(f"  the other {hopeless} are dead letters again: redriving repairs nothing")


def _envelope(tenant: Tenant) -> dict[str, Any]:
    return {
        "version": 1,
        "message_id": str(uuid.uuid4()),
        "tenant_id": tenant.tenant_id,
        "type": "demo.poison",
        "payload": {"bad": "until it is repaired"},
        "accepted_at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


async def _wait_dead(engine: Engine, tenant: Tenant, count: int) -> None:
    deadline = time.monotonic() + _DEAD_SECONDS
    while sum(await queue_depth(engine, tenant.dead_letter_queue_url)) < count:
        if time.monotonic() > deadline:
            msg = f"the bad messages are not dead letters after {_DEAD_SECONDS:g} s"
            raise LaptopError(msg)
        await asyncio.sleep(_POLL_SECONDS)


async def _receive_dead(engine: Engine, tenant: Tenant, bodies: set[str]) -> dict[str, str]:
    """Receipt handles of these bodies, once all are dead letters."""
    await _wait_dead(engine, tenant, len(bodies))
    found: dict[str, str] = {}
    deadline = time.monotonic() + _STORED_SECONDS
    while found.keys() != bodies:
        if time.monotonic() > deadline:
            msg = "the dead-letter queue holds other messages than the bad ones"
            raise LaptopError(msg)
        answer = await engine.sqs.receive_message(
            QueueUrl=tenant.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=60,
            WaitTimeSeconds=1,
        )
        for message in answer.get("Messages", []):
            if message["Body"] in bodies:
                found[message["Body"]] = message["ReceiptHandle"]
    return found


async def _wait_stored(engine: Engine, tenant: Tenant, message_id: str) -> None:
    deadline = time.monotonic() + _STORED_SECONDS
    while True:
        answer = await engine.dynamodb.get_item(
            TableName=tenant.table_name,
            Key={"tenant_id": {"S": tenant.tenant_id}, "message_id": {"S": message_id}},
            ConsistentRead=True,
        )
        if "Item" in answer:
            return
        if time.monotonic() > deadline:
            msg = f"message {message_id}, repaired and redriven, is not stored"
            raise LaptopError(msg)
        await asyncio.sleep(_POLL_SECONDS)


def _short(body: str) -> str:
    return body if len(body) <= 70 else f"{body[:67]}…"  # noqa: PLR2004 - fits a line
