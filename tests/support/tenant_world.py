"""Where the lives of instances are played: an engine, the environment's roles in it, the gate.

Everything that is started here calls AWS through the gate, as a pod of its own service account:
Terraform as what runs the tenants' module, services by the association that the module made. So
whatever is not allowed to them by the policies that the engine holds does not happen.
The environment is that of the isolation matrix, which so can judge what was applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config

from chart.render import Object, environment, named, of_kind, render
from iam import applied
from iam.gate import Gate
from iam.rendered import Roles
from iam.world import ACCOUNT, CLUSTER, ENVIRONMENT, REGION
from support import terraform
from support.chart_services import http, service
from support.terraform import TENANT_MODULE, Root
from support.waiting import wait_for
from tenantry import names
from tenantry.registry import Placement, to_item
from tenantry_local.issuer import AUDIENCE, ISSUER, Issuer

#: What the modules ask of AWS, in the engine's words.
ENGINE_SERVICES: Final = "sqs,dynamodb,sts,iam,eks,cloudwatch"
REGISTRY: Final = names.registry_table_name(ENVIRONMENT)

_STORED_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients of the engine, past the gate: what was made is looked at with other eyes."""

    url: str
    sqs: Any
    dynamodb: Any
    eks: Any
    cloudwatch: Any

    @classmethod
    def connect(cls, url: str) -> Aws:
        """Clients that reach this engine and no account."""
        session = boto3.session.Session(
            aws_access_key_id="local", aws_secret_access_key="local", region_name=REGION
        )
        config = Config(proxies={}, retries={"total_max_attempts": 3})
        clients = (
            session.client(service, endpoint_url=url, config=config)
            for service in ("sqs", "dynamodb", "eks", "cloudwatch")
        )
        return cls(url, *clients)

    def make_environment(self) -> None:
        """What is there before any instance: the cluster and the registry."""
        self.eks.create_cluster(
            name=CLUSTER,
            roleArn=f"arn:aws:iam::{ACCOUNT}:role/cluster",
            resourcesVpcConfig={"subnetIds": ["subnet-1", "subnet-2"]},
        )
        self.dynamodb.create_table(
            TableName=REGISTRY,
            AttributeDefinitions=[{"AttributeName": "tenant_id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "tenant_id", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            Tags=[{"Key": "tenantry:environment", "Value": ENVIRONMENT}],
        )

    def traces(self, instance: str, environment: str = ENVIRONMENT) -> set[str]:
        """All that there is of an instance, by kind and name."""
        start = f"{environment}-{instance}-"
        queues = self.sqs.list_queues(QueueNamePrefix=start).get("QueueUrls", [])
        alarms = self.cloudwatch.describe_alarms(AlarmNamePrefix=start)["MetricAlarms"]
        tables = self.dynamodb.list_tables()["TableNames"]
        associations = self.eks.list_pod_identity_associations(
            clusterName=CLUSTER, namespace=instance
        )["associations"]
        return {
            *(f"queue {url.rpartition('/')[2]}" for url in queues),
            *(f"alarm {alarm['AlarmName']}" for alarm in alarms),
            *(f"table {name}" for name in tables if name.startswith(start)),
            *(f"association {one['serviceAccount']}" for one in associations),
        }

    def tags(self, instance: str) -> dict[str, str]:
        """Of an instance's table."""
        name = names.table_name(ENVIRONMENT, instance)
        arn = self.dynamodb.describe_table(TableName=name)["Table"]["TableArn"]
        tags = self.dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
        return {tag["Key"]: tag["Value"] for tag in tags}

    def role_of(self, namespace: str, account: str) -> str:
        """The name of the role that a service account of the cluster is associated with."""
        [listed] = self.eks.list_pod_identity_associations(
            clusterName=CLUSTER, namespace=namespace, serviceAccount=account
        )["associations"]
        described = self.eks.describe_pod_identity_association(
            clusterName=CLUSTER, associationId=listed["associationId"]
        )["association"]
        return str(described["roleArn"].rpartition("/")[2])


@dataclass(slots=True)
class World:
    """What all flows share: the engine, the gate, the tools, and a place for their roots.

    Attributes:
        tofu: OpenTofu, as the controller in the cluster runs it; Terraform where it is not built.
        roles: Of the environment, as the engine held them after their apply.
    """

    terraform: Path
    tofu: Path
    aws: Aws
    roles: Roles
    gate: Gate
    folder: Path
    issuer: Issuer
    jwks_url: str
    _opening: Lock = field(default_factory=Lock)

    def values(self, instance: Mapping[str, Any], **facts: Any) -> dict[str, Any]:
        """Values of the chart for an instance, with the gate in AWS's place."""
        return {
            "instance": dict(instance),
            "facts": {
                "environment": ENVIRONMENT,
                "cluster": CLUSTER,
                "region": REGION,
                "account": ACCOUNT,
                "queueUrlPrefix": f"{self.aws.url}/{ACCOUNT}",
                "identity": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": self.jwks_url},
                "local": {"awsEndpointUrl": self.gate.url},
                **facts,
            },
        }

    def open(self, instance: Mapping[str, Any], tool: Path | None = None, **facts: Any) -> Root:
        """A root of the module with the variables that the chart passes it, run by the runner."""
        name = "-".join((str(instance["id"]), *facts.values()))
        folder = terraform.copy_module(TENANT_MODULE, self.folder / name)
        runner = applied.runner(self.gate, ENVIRONMENT, cluster=CLUSTER, region=REGION)
        with self._opening:  # a cache of plug-ins takes one writer
            root = terraform.open_root(tool or self.terraform, folder, AWS_REGION=REGION, **runner)
        self.say(root, instance, **facts)
        return root

    def say(self, root: Root, instance: Mapping[str, Any], **facts: Any) -> None:
        """Change the instance; what follows is planned for it."""
        [found] = of_kind(render(self.values(instance, **facts)), "Terraform")
        root.write({given["name"]: given["value"] for given in found["spec"]["vars"]})

    def pod(self, objects: list[Object], name: str) -> dict[str, str]:
        """The credentials that EKS gives the pods of a Deployment, by their association."""
        deployment = named(objects, "Deployment", name)
        namespace = deployment["metadata"]["namespace"]
        account = deployment["spec"]["template"]["spec"]["serviceAccountName"]
        role = self.aws.role_of(namespace, account)
        return self.gate.pod(
            role,
            cluster_arn=f"arn:aws:eks:{REGION}:{ACCOUNT}:cluster/{CLUSTER}",
            namespace=namespace,
            account=account,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """A message that went in and out.

    Attributes:
        settings: Of each service, as the chart says them.
        stored: The item, in DynamoDB's words.
        read: What the consumer answered.
    """

    settings: dict[str, dict[str, str]]
    stored: dict[str, Any]
    read: dict[str, Any]


def serve(world: World, instance: Mapping[str, Any], placement: Placement) -> Served:
    """Start an instance's services as the chart and their associations say; send, and read."""
    objects = render(world.values(instance))
    settings = {name: environment(objects, name) for name in ("producer", "consumer")}
    pods = {name: world.pod(objects, name) for name in settings}
    world.aws.dynamodb.put_item(TableName=REGISTRY, Item=to_item(placement))
    token = world.issuer.token(placement.tenant_id)
    folder = world.folder / f"services-of-{instance['id']}"
    folder.mkdir()
    with (
        service("producer", settings["producer"], folder, pods["producer"]) as producer,
        service("consumer", settings["consumer"], folder, pods["consumer"]) as consumer,
    ):
        sent = http(f"{producer}/messages", token, {"type": "order.placed", "payload": {"n": 1}})
        message_id = {"S": sent["message_id"]}
        key = {"tenant_id": {"S": placement.tenant_id}, "message_id": message_id}
        found: dict[str, Any] = {}

        def is_stored() -> bool:
            answer = world.aws.dynamodb.get_item(TableName=placement.table_name, Key=key)
            found.update(answer.get("Item", {}))
            return bool(found)

        wait_for(is_stored, seconds=_STORED_SECONDS, what="the message's storing")
        read = http(f"{consumer}/messages/{sent['message_id']}", token)
        return Served(settings, found, read)
