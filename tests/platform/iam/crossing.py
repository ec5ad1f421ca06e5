"""What one tenant's pods may not do to another's things, tried through a gate; each with its twin.

The same call is made by a pod of the tenant and by a pod of another one: nothing but the session's
namespace differs, so what decides is the condition that compares it. `when_widened` takes these
conditions out of the policies in the engine, one at a time, and tries again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from iam.applied import gate_of_applied, pod
from iam.engine import NOTHING_OF_THE_USERS, open_engine
from iam.gate import Gate
from iam.rendered import Document
from iam.widening import without


@dataclass(frozen=True, slots=True)
class Target:
    """A tenant whose things are reached for."""

    environment: str
    cluster: str
    region: str
    tenant: str
    queue_url: str
    table: str
    registry: str


@dataclass(frozen=True, slots=True)
class Attempt:
    """A call.

    Attributes:
        account: The service account that makes it; its role has the same name.
        guard: Statement, operator and key of the condition that keeps another tenant out.
    """

    account: str
    service: str
    make: Callable[[Any, Target], Any]
    guard: tuple[str, str, str]


def _send(sqs: Any, target: Target) -> Any:
    return sqs.send_message(QueueUrl=target.queue_url, MessageBody="{}")


def _receive(sqs: Any, target: Target) -> Any:
    return sqs.receive_message(QueueUrl=target.queue_url, VisibilityTimeout=0, WaitTimeSeconds=0)


def _read(dynamodb: Any, target: Target) -> Any:
    key = {"tenant_id": {"S": target.tenant}, "message_id": {"S": "1"}}
    return dynamodb.get_item(TableName=target.table, Key=key)


def _look_up(dynamodb: Any, target: Target) -> Any:
    return dynamodb.get_item(TableName=target.registry, Key={"tenant_id": {"S": target.tenant}})


_TAG: Final = "aws:ResourceTag/tenantry:"
ATTEMPTS: Final[Mapping[str, Attempt]] = {
    "send to its queue": Attempt(
        "producer", "sqs", _send, ("SendToOwnQueue", "StringEquals", f"{_TAG}producer-namespace")
    ),
    "receive from its queue": Attempt(
        "consumer",
        "sqs",
        _receive,
        ("ReceiveFromOwnQueue", "StringEquals", f"{_TAG}consumer-namespace"),
    ),
    "read its table": Attempt(
        "consumer", "dynamodb", _read, ("OwnTable", "StringEquals", f"{_TAG}consumer-namespace")
    ),
    "look up its placement": Attempt(
        "consumer",
        "dynamodb",
        _look_up,
        ("OwnPlacement", "ForAllValues:StringLike", "dynamodb:LeadingKeys"),
    ),
}


async def try_all(gate: Gate, target: Target, namespace: str) -> dict[str, str]:
    """What each attempt by pods of a namespace comes to: an error's code, or an empty text."""
    return {
        name: await _try(gate, target, namespace, attempt) for name, attempt in ATTEMPTS.items()
    }


async def when_widened(engine_url: str, target: Target, namespace: str) -> dict[str, set[str]]:
    """By attempt, what pods of the namespace can do once the engine's policy lacks its guard."""
    found: dict[str, set[str]] = {}
    async with open_engine(engine_url, region=target.region, services={"iam"}) as engine:
        roles = await engine.documents(target.environment)
        for name, attempt in ATTEMPTS.items():
            role = roles[attempt.account]
            await _put(engine.client("iam"), role.name, _wider(role.access, attempt.guard))
            try:
                async with gate_of_applied(
                    engine_url, environment=target.environment, region=target.region
                ) as gate:
                    came = await try_all(gate, target, namespace)
            finally:
                await _put(engine.client("iam"), role.name, role.access)
            found[name] = _reached(came.items())
    return found


def _reached(came: Iterable[tuple[str, str]]) -> set[str]:
    return {name for name, code in came if not code}


async def _try(gate: Gate, target: Target, namespace: str, attempt: Attempt) -> str:
    given = pod(
        gate,
        target.environment,
        attempt.account,
        cluster=target.cluster,
        namespace=namespace,
        account=attempt.account,
        region=target.region,
    )
    session: Any = AioSession(NOTHING_OF_THE_USERS)  # the stubs know single names of services
    async with session.create_client(
        attempt.service,
        region_name=target.region,
        endpoint_url=gate.url,
        aws_access_key_id=given["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=given["AWS_SECRET_ACCESS_KEY"],
        config=AioConfig(proxies={}, retries={"total_max_attempts": 1}),
    ) as client:
        try:
            await attempt.make(client, target)
        except ClientError as error:
            return str(error.response["Error"]["Code"])
    return ""


async def _put(iam: Any, role: str, document: Document) -> None:
    [name] = (await iam.list_role_policies(RoleName=role))["PolicyNames"]
    await iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))


def _wider(document: Document, guard: tuple[str, str, str]) -> Document:
    """Without the guard; the same where it is not there, and then nobody gets in for its lack."""
    sid, operator, key = guard
    statements = [
        without(one, operator, key)
        if one["Sid"] == sid and key in one.get("Condition", {}).get(operator, {})
        else one
        for one in document["Statement"]
    ]
    return document | {"Statement": statements}
