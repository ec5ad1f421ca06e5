"""AWS as the cluster has it: an engine, and before it the gate that decides by the roles in it.

Pods call the door before the gate, which listens at an address of theirs: it takes what is signed
with a key of its own only. The engine listens on loopback, where the story looks past both with
clients of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
from botocore.config import Config

from e2e.cluster.inside import ADDRESS
from e2e.door.door_standin import Door, door_up
from iam.applied import apply_roles, gate_of_applied
from iam.gate import HOST, Gate, in_thread
from support import tagging_standin, terraform
from support.file_server import served
from tenantry import names
from tenantry_local.engine import start_engine
from tenantry_local.issuer import AUDIENCE, ISSUER, Issuer
from tenantry_local.processes import Processes, free_port

ACCOUNT: Final = "000000000000"
REGION: Final = "eu-central-1"
ENVIRONMENT: Final = "dev"
CLUSTER: Final = "dev"
#: Tenants are at names below it.
DOMAIN: Final = "t.example.com"
CLUSTER_ARN: Final = f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}"
#: Roles of verbs, too.
_CONTROL_PLANE: Final = {
    "addons": ["argo-workflows"],
    "exports_bucket_arn": "arn:aws:s3:::dev-exports",
}
#: What the environment and its tenants are made of.
_SERVICES: Final = "sqs,dynamodb,sts,iam,eks,cloudwatch"


@dataclass
class Aws:
    """The engine, past the gate, and the gate.

    Attributes:
        url: Of the engine.
        gate: Who decides.
        door: What pods call: it knows who they are.
        clients: By service.
        issuer: Of tenants' tokens.
        jwks: Where its keys are.
    """

    url: str
    gate: Gate
    door: Door
    clients: Mapping[str, Any]
    issuer: Issuer
    jwks: str

    def role_of(self, namespace: str, account: str) -> str | None:
        """The name of the role that pods of a service account are given, if there is one."""
        eks = self.clients["eks"]
        for one in eks.list_pod_identity_associations(
            clusterName=CLUSTER, namespace=namespace, serviceAccount=account
        )["associations"]:
            found = eks.describe_pod_identity_association(
                clusterName=CLUSTER, associationId=one["associationId"]
            )["association"]
            return str(found["roleArn"].rpartition("/")[2])
        return None

    def facts(self, registry: str) -> dict[str, Any]:
        """What the fleet is told of it all."""
        return {
            "environment": ENVIRONMENT,
            "account": ACCOUNT,
            "region": REGION,
            "registry": registry,
            "domain": DOMAIN,
            "queueUrlPrefix": f"{self.url}/{ACCOUNT}",
            "identity": {
                "issuer": ISSUER,
                "audience": AUDIENCE,
                "jwks": self.jwks,
                "cidrs": [f"{ADDRESS}/32"],
            },
            "local": {"awsEndpointUrl": self.door.url},
            "network": {"endpointCidrs": [f"{ADDRESS}/32"]},
        }


@contextmanager
def opened(folder: Path) -> Generator[Aws]:
    """An environment without instances, as its Terraform leaves it, until the block ends.

    Args:
        folder: For logs and keys; it is made.
    """
    tool = terraform.find("terraform") or terraform.find("tofu")
    assert tool is not None, "terraform or tofu: what tenants are made with"
    folder.mkdir()
    with ExitStack() as stack:
        processes = Processes()
        stack.callback(processes.close)
        port = free_port()
        asyncio.run(start_engine(processes, port, folder, services=_SERVICES))
        url = f"http://{HOST}:{port}"
        clients = _clients(url)
        _make_environment(clients)
        apply_roles(
            tool,
            folder,
            url,
            environment=ENVIRONMENT,
            cluster=CLUSTER,
            region=REGION,
            variables=_CONTROL_PLANE,
        )
        tagging = stack.enter_context(tagging_standin.serve(clients["eks"]))
        gated = gate_of_applied(
            url,
            environment=ENVIRONMENT,
            region=REGION,
            elsewhere={"tagging": tagging},
        )
        gate = stack.enter_context(in_thread(gated))
        door = stack.enter_context(in_thread(door_up(gate, host=ADDRESS)))
        issuer = Issuer.create(folder)
        public = folder / "public"
        public.mkdir()
        issuer.jwks = issuer.jwks.rename(public / issuer.jwks.name)
        jwks = f"{stack.enter_context(served(public, ADDRESS))}/{issuer.jwks.name}"
        yield Aws(url, gate, door, clients, issuer, jwks)


def _clients(url: str) -> dict[str, Any]:
    session = boto3.session.Session("local", "local", region_name=REGION)
    config = Config(proxies={}, retries={"total_max_attempts": 3})
    return {
        service: session.client(service, endpoint_url=url, config=config)
        for service in ("sqs", "dynamodb", "eks", "cloudwatch", "iam")
    }


def _make_environment(clients: Mapping[str, Any]) -> None:
    clients["eks"].create_cluster(
        name=CLUSTER,
        roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
        resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
    )
    clients["dynamodb"].create_table(
        TableName=names.registry_table_name(ENVIRONMENT),
        AttributeDefinitions=[{"AttributeName": "tenant_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "tenant_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=[{"Key": "tenantry:environment", "Value": ENVIRONMENT}],
    )
