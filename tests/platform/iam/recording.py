"""The calls that the services really make, as permissions: recorded on a laptop behind the gate.

Two laptops are driven through all that the design's table has services do: one with a pool, one
with a tenant that owns everything. Both run behind the rendered policies, so that what is recorded
is also what is allowed. `calls.json` is written by `make goldens` and read by the matrix.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import aiohttp

from iam.gate import Gate, RolePolicies, Seen, gate_up
from iam.rendered import Roles
from tenantry import names
from tenantry.registry import Place
from tenantry.tenant_id import TenantId
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, ENVIRONMENT, HOST, PRODUCER, REGION
from tenantry_local.processes import free_port

ACCOUNT: Final = "000000000000"
CLUSTER: Final = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/laptop"
POOL: Final = "pool-1"
OTHER_POOL: Final = "pool-2"
SECONDS: Final = 20.0

#: What a call is on, by the end of its resource's name.
_KINDS: Final = {
    "dead-letters": "dead-letters",
    "messages": "messages",
    "tenants": "registry",
}


def tags_of_instances(arn: str) -> Mapping[str, str]:
    """The tags that Terraform gives, by a resource's name: the laptop makes resources without."""
    instance = arn.rsplit(":", 1)[-1].rsplit("/", 1)[-1].removeprefix(f"{ENVIRONMENT}-")
    instance = instance.removesuffix("-dead-letters").removesuffix("-messages")
    if instance == "tenants":
        return {"tenantry:environment": ENVIRONMENT}
    tags = {
        "tenantry:environment": ENVIRONMENT,
        "tenantry:tier": "basic" if instance.startswith("pool-") else "premium",
        "tenantry:producer-namespace": instance,
        "tenantry:consumer-namespace": instance,
    }
    if instance == _ARRIVING:
        tags["tenantry:moving-to"] = POOL
    return tags


def policies(roles: Roles) -> list[RolePolicies]:
    """Of what Terraform rendered."""
    return [
        RolePolicies(role.arn, role.trust_policy(), (role.access_policy(),))
        for role in roles.values()
    ]


def recorded(seen: Iterable[Seen]) -> dict[str, list[dict[str, Any]]]:
    """Permissions by role, each once: which action, on what, with what policies can ask for."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for one in seen:
        role = one.role.removeprefix(f"{ENVIRONMENT}-tenantry-")
        permission: dict[str, Any] = {
            "operation": one.operation,
            "action": one.action,
            "on": _kind(one.resource),
        }
        for key in ("dynamodb:Select", "dynamodb:Attributes"):
            if key in one.context and one.action == "dynamodb:BatchGetItem":
                permission[key] = one.context[key]
        found.setdefault(role, {})[json.dumps(permission)] = json.loads(json.dumps(permission))
    return {
        role: [permissions[text] for text in sorted(permissions)]
        for role, permissions in sorted(found.items())
    }


def _kind(arn: str) -> str:
    resource = arn.split(":", 5)[-1]
    if resource.startswith("role/"):
        return "role"
    service = arn.split(":")[2]
    for suffix, kind in _KINDS.items():
        if resource.endswith(f"-{suffix}"):
            return f"{service} {kind}" if kind != "registry" else kind
    return f"{service} of another name"


# The scenarios

#: Moves into the pool: what it stored is read in the table that it leaves.
_ARRIVING: Final = "globex"
_TENANT: Final = "acme"
_OWNER: Final = "umbrella"
#: Lives elsewhere, and a message of its is in the pool's queue all the same.
_GONE: Final = "initech"


async def play(roles: Roles) -> list[Seen]:
    """Everything that services do, behind these policies.

    Raises:
        AssertionError: A call was denied, or is not understood.
    """
    seen: list[Seen] = []
    for scenario in (_pool, _owner):
        async with gate_up(
            f"http://{HOST}:{(port := free_port())}",
            policies(roles),
            tags=_tags,
            account=ACCOUNT,
        ) as gate:
            await scenario(gate, roles, port)
            assert not gate.lost, gate.lost
            assert not gate.refused, [str(one) for one in gate.refused]
            seen += gate.seen
    return seen


async def _tags(arn: str) -> Mapping[str, str]:
    return tags_of_instances(arn)


@dataclass(slots=True)
class _Stage:
    """A laptop with one instance, behind the gate."""

    gate: Gate
    laptop: Laptop
    session: aiohttp.ClientSession
    instance: str

    async def post(self, tenant: str, payload: object, **headers: str) -> str:
        """The id of a message that was accepted."""
        url = f"{self.laptop.address(self.instance, PRODUCER)}/messages"
        body = {"type": "iam.test", "payload": {"value": payload}}
        sent = self._headers(tenant) | headers
        async with self.session.post(url, json=body, headers=sent) as answer:
            told = await answer.json(content_type=None)
            assert answer.status == 202, told
            return str(told["message_id"])

    async def get(self, tenant: str, path: str = "") -> int:
        """The status of a read."""
        url = f"{self.laptop.address(self.instance, CONSUMER)}/messages{path}"
        async with self.session.get(url, headers=self._headers(tenant)) as answer:
            return answer.status

    async def enqueue(self, body: str) -> None:
        """Put a text on the instance's queue, past the gate."""
        url = await self.queue(self.instance)
        await self.laptop.engine.sqs.send_message(QueueUrl=url, MessageBody=body)

    async def queue(self, instance: str) -> str:
        """An instance's queue, made if it is not there."""
        answer = await self.laptop.engine.sqs.create_queue(
            QueueName=names.queue_name(ENVIRONMENT, instance)
        )
        return answer["QueueUrl"]

    async def table(self, instance: str) -> str:
        """A further instance's table."""
        name = names.table_name(ENVIRONMENT, instance)
        keys = ("tenant_id", "message_id")
        await self.laptop.engine.dynamodb.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
            KeySchema=[
                {"AttributeName": "tenant_id", "KeyType": "HASH"},
                {"AttributeName": "message_id", "KeyType": "RANGE"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        return name

    async def place(self, instance: str) -> Place:
        """Queue and table of a further instance."""
        return Place(await self.queue(instance), await self.table(instance))

    async def saw(self, role: str, action: str, on: str) -> None:
        """Wait until a role did something on a resource of this name."""

        async def is_seen() -> bool:
            name = f"{ENVIRONMENT}-tenantry-{role}"
            return any(
                (one.role, one.action) == (name, action) and one.resource.endswith(on)
                for one in self.gate.seen
            )

        await _until(is_seen)

    async def works(self, tenant: str, role: str) -> None:
        """In and out, twice under one key, one that is no message, reads."""
        message_id = await self.post(tenant, 1)
        await _until(lambda: self._is(tenant, f"/{message_id}", 200))
        assert await self.get(tenant) == 200
        key = {"Idempotency-Key": "twice"}
        assert await self.post(tenant, 1, **key) == await self.post(tenant, 2, **key)
        own = names.queue_name(ENVIRONMENT, self.instance)
        await self.saw(role, "dynamodb:BatchGetItem", names.table_name(ENVIRONMENT, self.instance))
        await self.enqueue("not a message")
        await self.saw(role, "sqs:ChangeMessageVisibility", own)

    async def _is(self, tenant: str, path: str, status: int) -> bool:
        return await self.get(tenant, path) == status

    def _headers(self, tenant: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.laptop.token(tenant)}"}


async def _pool(gate: Gate, roles: Roles, port: int) -> None:
    reader = {"TENANTRY_READER_ROLE_ARN": roles["tenant-reader"].arn}
    async with _stage(gate, POOL, port, "pool-", reader) as stage:
        laptop = stage.laptop
        await laptop.add_tenant(_TENANT, "basic", POOL)
        left = await stage.place(_ARRIVING)
        await laptop.add_tenant(_ARRIVING, "basic", POOL, status="moving", previous=left)
        await stage.works(_TENANT, "pool-consumer")

        # Not here: so it is looked for where the tenant was.
        assert await stage.get(_ARRIVING, f"/{uuid.uuid4()}") == 404
        assert await stage.get(_ARRIVING) == 200

        await _put(stage, _GONE, queue_url=await stage.queue(_GONE), tier="premium", pool=None)
        await stage.enqueue(_envelope(_GONE))
        await stage.saw("pool-consumer", "sqs:SendMessage", names.queue_name(ENVIRONMENT, _GONE))


async def _owner(gate: Gate, roles: Roles, port: int) -> None:
    async with _stage(gate, _OWNER, port, "", {}) as stage:
        laptop = stage.laptop
        pool = await stage.place(OTHER_POOL)
        await laptop.add_tenant(_OWNER, "premium", None, status="moving", previous=pool)
        await stage.works(_OWNER, "consumer")
        assert await stage.get(_OWNER, f"/{uuid.uuid4()}") == 404

        # It moved into the pool, and what is left in its own queue follows.
        await _put(stage, _OWNER, queue_url=pool.queue_url, tier="basic", pool=OTHER_POOL)
        await laptop.restart(_OWNER, CONSUMER)
        await stage.enqueue(_envelope(_OWNER))
        await stage.saw("consumer", "sqs:SendMessage", names.queue_name(ENVIRONMENT, OTHER_POOL))


@asynccontextmanager
async def _stage(
    gate: Gate, instance: str, port: int, prefix: str, also: Mapping[str, str]
) -> AsyncGenerator[_Stage, None]:
    env = {
        service: gate.pod(
            f"{ENVIRONMENT}-tenantry-{prefix}{service}",
            cluster_arn=CLUSTER,
            namespace=instance,
            account=service,
        )
        for service in (PRODUCER, CONSUMER)
    }
    env[CONSUMER] |= also
    async with (
        aiohttp.ClientSession() as session,
        Laptop.up(
            (),
            engine_port=port,
            endpoint_url=gate.url,
            extra_env=env,
            wait_seconds=1,
        ) as laptop,
    ):
        yield _Stage(gate, laptop, session, instance)


async def _put(stage: _Stage, tenant: str, **changes: Any) -> None:
    """Write a placement, like that of a tenant who is there already."""
    registry = stage.laptop.registry
    [like] = [name for name in (_TENANT, _OWNER) if name in stage.laptop.tenants]
    known = await registry.get(TenantId(like))
    there = await registry.get(TenantId(tenant))
    assert known is not None
    generation = there.generation if there else None
    placement = replace(
        known,
        tenant_id=TenantId(tenant),
        status="active",
        previous=None,
        generation=(generation or 0) + 1,
        **changes,
    )
    assert await registry.put(placement, expected_generation=generation)


def _envelope(tenant: str) -> str:
    return json.dumps(
        {
            "version": 1,
            "message_id": str(uuid.uuid4()),
            "tenant_id": tenant,
            "type": "iam.test",
            "payload": {},
            "accepted_at": "2026-01-02T03:04:05.678901Z",
        }
    )


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    deadline = time.monotonic() + SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "it never came to that"
        await asyncio.sleep(0.05)  # between two looks: the deadline above ends the wait
