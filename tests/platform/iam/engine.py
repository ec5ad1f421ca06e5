"""What an engine holds: the roles and policies of an environment, and its resources' tags.

Read through AWS's own API, after an apply: what is enforced is what arrived, not what was meant.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from iam.gate import RolePolicies
from iam.policies import Policy, parse

#: Where a session looks for what the user configured: nowhere.
NOTHING_OF_THE_USERS: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
#: What is asked of an engine.
SERVICES: Final = ("cloudwatch", "dynamodb", "eks", "iam", "sqs")


@dataclass(slots=True)
class Engine:
    """An engine, while its clients are open."""

    url: str
    _clients: Mapping[str, Any]
    _tags: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def client(self, service: str) -> Any:
        """A client that is open."""
        return self._clients[service]

    async def roles(self, environment: str) -> list[RolePolicies]:
        """The roles that the environment made, with every policy that is attached to them."""
        iam = self._clients["iam"]
        found: list[RolePolicies] = []
        async for page in iam.get_paginator("list_roles").paginate():
            for listed in page["Roles"]:
                if listed["RoleName"].startswith(f"{environment}-tenantry-"):
                    role = (await iam.get_role(RoleName=listed["RoleName"]))["Role"]
                    found.append(await self._policies(role))
        return found

    async def _policies(self, role: Mapping[str, Any]) -> RolePolicies:
        iam, name = self._clients["iam"], role["RoleName"]
        inline = (await iam.list_role_policies(RoleName=name))["PolicyNames"]
        attached = (await iam.list_attached_role_policies(RoleName=name))["AttachedPolicies"]
        documents = [
            (await iam.get_role_policy(RoleName=name, PolicyName=one))["PolicyDocument"]
            for one in inline
        ]
        documents += [await self._managed(one["PolicyArn"]) for one in attached]
        boundary = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return RolePolicies(
            arn=role["Arn"],
            trust=_parsed(role["AssumeRolePolicyDocument"]),
            identity=tuple(_parsed(one) for one in documents),
            boundary=_parsed(await self._managed(boundary)) if boundary else None,
        )

    async def _managed(self, arn: str) -> Any:
        iam = self._clients["iam"]
        version = (await iam.get_policy(PolicyArn=arn))["Policy"]["DefaultVersionId"]
        answer = await iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return answer["PolicyVersion"]["Document"]

    async def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a queue, table, alarm or association; none if it is not there.

        Asked once: `forget` before what was tagged meanwhile counts.
        """
        if arn not in self._tags:
            try:
                self._tags[arn] = await self._ask(arn)
            except ClientError:
                return {}  # not there, and perhaps a moment later
        return self._tags[arn]

    def forget(self) -> None:
        """Ask for tags anew."""
        self._tags.clear()

    async def _ask(self, arn: str) -> Mapping[str, str]:
        service, account, name = (arn.split(":", 5)[part] for part in (2, 4, 5))
        client = self._clients[service]
        if service == "sqs":
            answer = await client.list_queue_tags(QueueUrl=f"{self.url}/{account}/{name}")
            return dict(answer.get("Tags", {}))
        if service == "dynamodb":
            answer = await client.list_tags_of_resource(ResourceArn=arn)
        elif name.startswith("podidentityassociation/"):
            # Of these, engines list no tags.
            _, cluster, association = name.split("/")
            answer = await client.describe_pod_identity_association(
                clusterName=cluster, associationId=association
            )
            return dict(answer["association"].get("tags", {}))
        elif service == "eks":
            return dict((await client.list_tags_for_resource(resourceArn=arn)).get("tags", {}))
        else:
            answer = await client.list_tags_for_resource(ResourceARN=arn)
        return {tag["Key"]: tag["Value"] for tag in answer.get("Tags", [])}


@asynccontextmanager
async def open_engine(
    url: str, *, region: str, services: Collection[str] = SERVICES
) -> AsyncGenerator[Engine, None]:
    """Clients of an engine's address, and of nobody's account."""
    session: Any = AioSession(NOTHING_OF_THE_USERS)  # the stubs know single names of services
    config = AioConfig(connect_timeout=2, read_timeout=10, proxies={})
    async with AsyncExitStack() as stack:
        clients = {
            service: await stack.enter_async_context(
                session.create_client(
                    service,
                    region_name=region,
                    endpoint_url=url,
                    aws_access_key_id="engine",
                    aws_secret_access_key="engine",
                    config=config,
                )
            )
            for service in services
        }
        yield Engine(url, clients)


def _parsed(document: Any) -> Policy:
    """A policy as IAM answers it: text, percent-encoded or not, or parsed already."""
    if isinstance(document, str):
        document = json.loads(document if document.startswith("{") else unquote(document))
    return parse(document)
