"""What an engine holds: the roles and policies of an environment, and its resources' tags.

Read through AWS's own API, after an apply: what is enforced is what arrived, not what was meant.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import ClientError

from iam.gate import RolePolicies
from iam.policies import Policy, parse
from iam.rendered import Document, Role, Roles

#: Where a session looks for what the user configured: nowhere.
NOTHING_OF_THE_USERS: Final[dict[str, Any]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
#: What is asked of an engine.
SERVICES: Final = ("cloudwatch", "dynamodb", "eks", "iam", "sqs")


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine, while its clients are open."""

    url: str
    _clients: Mapping[str, Any]

    def client(self, service: str) -> Any:
        """A client that is open."""
        return self._clients[service]

    async def roles(self, environment: str) -> list[RolePolicies]:
        """The roles that the environment made, with every policy that is attached to them."""
        return [
            RolePolicies(
                arn=role["Arn"],
                trust=parse(_document(role["AssumeRolePolicyDocument"])),
                identity=tuple(parse(one) for one in await self._documents(role["RoleName"])),
                boundary=await self._boundary(role),
            )
            async for role in self._listed(environment)
        ]

    async def documents(self, environment: str) -> Roles:
        """The same roles as documents, by what they are for: for what judges rendered ones.

        Raises:
            ValueError: A role has a boundary, or more than one policy, or none.
        """
        found: dict[str, Role] = {}
        async for role in self._listed(environment):
            [access] = await self._documents(role["RoleName"])
            if await self._boundary(role):
                msg = f"{role['RoleName']} has a boundary"
                raise ValueError(msg)
            trust = _document(role["AssumeRolePolicyDocument"])
            purpose = role["RoleName"].removeprefix(f"{environment}-tenantry-")
            found[purpose] = Role(role["RoleName"], role["Arn"], trust, access)
        return found

    async def _listed(self, environment: str) -> AsyncGenerator[Any, None]:
        iam = self._clients["iam"]
        async for page in iam.get_paginator("list_roles").paginate():
            for listed in page["Roles"]:
                if listed["RoleName"].startswith(f"{environment}-tenantry-"):
                    yield (await iam.get_role(RoleName=listed["RoleName"]))["Role"]

    async def _documents(self, name: str) -> list[Document]:
        iam = self._clients["iam"]
        inline = (await iam.list_role_policies(RoleName=name))["PolicyNames"]
        attached = (await iam.list_attached_role_policies(RoleName=name))["AttachedPolicies"]
        return [
            *[
                _document(
                    (await iam.get_role_policy(RoleName=name, PolicyName=one))["PolicyDocument"]
                )
                for one in inline
            ],
            *[_document(await self._managed(one["PolicyArn"])) for one in attached],
        ]

    async def _boundary(self, role: Mapping[str, Any]) -> Policy | None:
        arn = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return parse(_document(await self._managed(arn))) if arn else None

    async def _managed(self, arn: str) -> Any:
        iam = self._clients["iam"]
        version = (await iam.get_policy(PolicyArn=arn))["Policy"]["DefaultVersionId"]
        answer = await iam.get_policy_version(PolicyArn=arn, VersionId=version)
        return answer["PolicyVersion"]["Document"]

    async def tags(self, arn: str) -> Mapping[str, str]:
        """The tags of a queue, table, alarm or association as they are now; none if it is gone."""
        try:
            return await self._ask(arn)
        except ClientError:
            return {}

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


def _document(document: Any) -> Document:
    """A policy as IAM answers it: text, percent-encoded or not, or parsed already."""
    if isinstance(document, str):
        document = json.loads(document if document.startswith("{") else unquote(document))
    assert isinstance(document, dict)
    return document
