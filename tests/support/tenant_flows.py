"""Lives of instances on the embedded engine: what the tenant module makes of them, for real.

Each flow is a root of its own with a state of its own, as for the controller that runs the module
in a cluster: import blocks, by which a lost state is found again, are for roots only. The flows
run side by side, as an apply mostly waits.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Final

import boto3
from botocore.config import Config

from chart.render import environment, of_kind, render
from support import terraform
from support.chart_services import http, service
from support.terraform import TENANT_MODULE, Root, TerraformError
from support.waiting import wait_for
from tenantry import names
from tenantry.registry import Placement, to_item
from tenantry.tenant_id import TenantId
from tenantry_local.issuer import AUDIENCE, ISSUER, Issuer

ENVIRONMENT: Final = "dev"
REGION: Final = "eu-central-1"
#: What the module asks of AWS, in the engine's words.
ENGINE_SERVICES: Final = "sqs,dynamodb,sts,iam,eks,cloudwatch"

_STORED_SECONDS: Final = 60.0
_HALF_WAY_SECONDS: Final = 120.0

#: The kind of resource, and what of it a plan would change: a set of attributes.
Changes = dict[str, set[str]]


@dataclass(frozen=True, slots=True)
class Aws:
    """Clients of the engine, to look at what was made with other eyes than Terraform's."""

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

    def traces(self, instance: str) -> set[str]:
        """All that there is of an instance, by kind and name."""
        start = f"{ENVIRONMENT}-{instance}-"
        queues = self.sqs.list_queues(QueueNamePrefix=start).get("QueueUrls", [])
        alarms = self.cloudwatch.describe_alarms(AlarmNamePrefix=start)["MetricAlarms"]
        tables = self.dynamodb.list_tables()["TableNames"]
        associations = self.eks.list_pod_identity_associations(
            clusterName=ENVIRONMENT, namespace=instance
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


@dataclass(slots=True)
class World:
    """What all flows share: the engine, the tools, and a place for their roots.

    Attributes:
        tofu: OpenTofu, as the controller in the cluster runs it; Terraform where it is not built.
    """

    terraform: Path
    tofu: Path
    aws: Aws
    tagging_url: str
    folder: Path
    issuer: Issuer
    jwks_url: str
    _opening: Lock = field(default_factory=Lock)

    def values(self, instance: Mapping[str, Any]) -> dict[str, Any]:
        """Values of the chart for an instance, with this engine in AWS's place."""
        return {
            "instance": dict(instance),
            "facts": {
                "environment": ENVIRONMENT,
                "region": REGION,
                "queueUrlPrefix": f"{self.aws.url}/000000000000",
                "identity": {"issuer": ISSUER, "audience": AUDIENCE, "jwks": self.jwks_url},
                "local": {"awsEndpointUrl": self.aws.url},
            },
        }

    def open(self, instance: Mapping[str, Any], tool: Path | None = None) -> Root:
        """A root of the module with the variables that the chart passes it."""
        folder = terraform.copy_module(TENANT_MODULE, self.folder / str(instance["id"]))
        with self._opening:  # a cache of plug-ins takes one writer
            root = terraform.open_root(
                tool or self.terraform,
                folder,
                AWS_ENDPOINT_URL=self.aws.url,
                AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API=self.tagging_url,
            )
        self.say(root, instance)
        return root

    def say(self, root: Root, instance: Mapping[str, Any]) -> None:
        """Change the instance; what follows is planned for it."""
        [found] = of_kind(render(self.values(instance)), "Terraform")
        root.write({given["name"]: given["value"] for given in found["spec"]["vars"]})


def apply(root: Root) -> dict[str, str]:
    """Apply, and what is put out."""
    root.run("apply", "-input=false", "-auto-approve", "-lock-timeout=20s")
    said = json.loads(root.run("output", "-json"))
    return {name: output["value"] for name, output in said.items()}


@dataclass(frozen=True, slots=True)
class Plan:
    """What an apply would do, by address."""

    actions: dict[str, str]
    differences: Changes

    def of(self, action: str) -> set[str]:
        """Addresses of what is imported, or created, updated, deleted."""
        return {address for address, planned in self.actions.items() if planned == action}


def plan(root: Root) -> Plan:
    """Plan, without data that is only read."""
    root.run("plan", "-input=false", "-out=planned", "-lock-timeout=20s")
    shown = json.loads(root.run("show", "-json", "planned"))
    actions: dict[str, str] = {}
    differences: Changes = {}
    for change in shown.get("resource_changes", []):
        if change["mode"] == "data":
            continue
        what = change["change"]
        action = "+".join(what["actions"])
        if what.get("importing") and action == "no-op":
            action = "import"
        if action != "no-op":
            actions[change["address"]] = action
        if action == "update":
            differences.setdefault(change["type"], set()).update(
                name
                for name in what["before"].keys() | what["after"].keys()
                if what["before"].get(name) != what["after"].get(name)
                and not what["after_unknown"].get(name)
            )
    return Plan(actions, differences)


def failure(command: Callable[[], object]) -> str:
    """What a command that must fail says, on one line; empty when it did not fail."""
    try:
        command()
    except TerraformError as error:
        return " ".join(str(error).replace("│", " ").split())
    return ""


def destroy(root: Root) -> None:
    """Destroy all that the state knows."""
    root.run("destroy", "-input=false", "-auto-approve", "-lock-timeout=20s")


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of every flow."""

    second: Plan
    left_in_state: str
    left_in_aws: set[str]


def end(world: World, root: Root, instance: Mapping[str, Any], second: Plan) -> Ended:
    """Offboard: first what takes the protection off, then what destroys."""
    world.say(root, {**instance, "phase": "offboarding"})
    apply(root)
    destroy(root)
    return Ended(second, root.run("state", "list"), world.aws.traces(instance["id"]))


@dataclass(frozen=True, slots=True)
class PremiumLife:
    """A premium tenant: used, then attacked by plans that must not be."""

    made: set[str]
    outputs: dict[str, str]
    settings: dict[str, dict[str, str]]
    stored: dict[str, Any]
    read: dict[str, Any]
    refused: dict[str, str]
    after_refusals: set[str]
    ended: Ended


def premium(world: World) -> PremiumLife:
    """Apply, plan again, store a message, refuse, offboard."""
    instance = {"id": "acme", "tier": "premium"}
    root = world.open(instance)
    outputs = apply(root)
    made = world.aws.traces("acme")
    second = plan(root)
    objects = render(world.values(instance))
    settings = {name: environment(objects, name) for name in ("producer", "consumer")}
    stored, read = _send_and_read(world, outputs, settings)

    refused = {"destroyed while active": failure(lambda: destroy(root))}
    world.say(root, {"id": "acme", "tier": "advanced", "pool": "pool-1"})
    refused["tier without a transition"] = failure(lambda: plan(root))
    world.say(root, {**instance, "id": "acme-2"})
    refused["another id"] = failure(lambda: apply(root))
    after = world.aws.traces("acme") | world.aws.traces("acme-2")
    return PremiumLife(
        made, outputs, settings, stored, read, refused, after, end(world, root, instance, second)
    )


@dataclass(frozen=True, slots=True)
class PoolLife:
    """A pool whose first apply was killed half-way."""

    when_killed: set[str]
    known_when_killed: str
    made: set[str]
    ended: Ended


def pool(world: World) -> PoolLife:
    """Apply, kill it and its provider half-way, apply again, plan again, offboard."""
    instance = {"id": "pool-1", "kind": "pool"}
    root = world.open(instance)
    half = {
        f"queue {names.dead_letter_queue_name(ENVIRONMENT, 'pool-1')}",
        *("association producer", "association consumer"),
    }
    _kill_when(root, lambda: half <= world.aws.traces("pool-1"))
    when_killed = world.aws.traces("pool-1")
    # A state that was never written is no error of `state list`'s, but says so.
    known = root.run("state", "list", also=(1,))
    apply(root)
    made = world.aws.traces("pool-1")
    return PoolLife(when_killed, known, made, end(world, root, instance, plan(root)))


@dataclass(frozen=True, slots=True)
class AdvancedLife:
    """An advanced tenant whose state was lost."""

    made: set[str]
    without_state: Plan
    kept: dict[str, Any] | None
    after: set[str]
    ended: Ended


def advanced(world: World) -> AdvancedLife:
    """Apply, write an item, lose the state, apply, plan again, offboard."""
    instance = {"id": "globex", "tier": "advanced", "pool": "pool-1"}
    root = world.open(instance, world.tofu)
    outputs = apply(root)
    made = world.aws.traces("globex")
    key = {"tenant_id": {"S": "globex"}, "message_id": {"S": "1"}}
    world.aws.dynamodb.put_item(TableName=outputs["table_name"], Item=key)
    for state in root.folder.glob("terraform.tfstate*"):
        state.unlink()
    without_state = plan(root)
    apply(root)
    kept = world.aws.dynamodb.get_item(TableName=outputs["table_name"], Key=key).get("Item")
    after = world.aws.traces("globex")
    ended = end(world, root, instance, plan(root))
    return AdvancedLife(made, without_state, kept, after, ended)


@dataclass(frozen=True, slots=True)
class MovingLife:
    """A basic tenant that becomes premium, and goes back to its pool."""

    made: set[str]
    tags: dict[str, dict[str, str]]
    arriving: Plan
    arrived: Plan
    refused: str
    after_refusal: set[str]
    kept: list[str]
    ended: Ended


def moving(world: World) -> MovingLife:
    """From a pool to premium and back, with the table protected as long as it holds something."""
    basic = {"tier": "basic", "pool": "pool-1"}
    there = {"id": "nova", "tier": "premium", "transition": {"from": basic, "phase": "copying"}}
    root = world.open(there)
    tags: dict[str, dict[str, str]] = {}
    move: dict[str, Any]
    apply(root)
    made = world.aws.traces("nova")
    second = plan(root)
    tags["copying"] = world.aws.tags("nova")

    move = {"from": basic, "phase": "removing"}
    world.say(root, {"id": "nova", "tier": "premium", "transition": move})
    arriving = plan(root)
    apply(root)
    tags["arrived"] = world.aws.tags("nova")
    world.say(root, {"id": "nova", "tier": "premium"})
    arrived = plan(root)

    move = {"from": {"tier": "premium"}, "phase": "draining"}
    world.say(root, {"id": "nova", **basic, "transition": move})
    apply(root)
    tags["draining back"] = world.aws.tags("nova")

    world.say(root, {"id": "nova", **basic, "transition": move | {"phase": "removing"}})
    table = names.table_name(ENVIRONMENT, "nova")
    key = {"tenant_id": {"S": "nova"}, "message_id": {"S": "1"}}
    queue_url = f"{world.aws.url}/000000000000/{names.queue_name(ENVIRONMENT, 'nova')}"
    world.aws.dynamodb.put_item(TableName=table, Item=key)
    world.aws.sqs.send_message(QueueUrl=queue_url, MessageBody="left")
    refused = failure(lambda: plan(root))
    after_refusal = world.aws.traces("nova")
    kept = [
        message["Body"]
        for message in world.aws.sqs.receive_message(QueueUrl=queue_url).get("Messages", [])
    ]
    kept += world.aws.dynamodb.get_item(TableName=table, Key=key).get("Item", {})
    # As tenantctl does: it empties, and says so when it has seen all three empty.
    world.aws.sqs.purge_queue(QueueUrl=queue_url)
    world.aws.dynamodb.delete_item(TableName=table, Key=key)
    world.aws.dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    apply(root)
    ended = Ended(second, _resources(root), world.aws.traces("nova"))
    return MovingLife(made, tags, arriving, arrived, refused, after_refusal, kept, ended)


def _resources(root: Root) -> str:
    """What the state knows, without data that is only read."""
    lines = root.run("state", "list").splitlines()
    return "\n".join(line for line in lines if not line.startswith("data."))


def _kill_when(root: Root, half_way: Callable[[], bool]) -> None:
    """Start an apply, and kill it and its provider as soon as it is half-way."""
    process = subprocess.Popen(
        [root.tool, "apply", "-input=false", "-auto-approve"],
        cwd=root.folder,
        env=dict(root.env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(half_way, seconds=_HALF_WAY_SECONDS, what="an apply that is half-way")
        assert process.poll() is None, "the apply ended before it could be killed"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _send_and_read(
    world: World, outputs: Mapping[str, str], settings: Mapping[str, Mapping[str, str]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Start both services as the chart says, send a message; its item, and what is read."""
    registry = names.registry_table_name(ENVIRONMENT)
    world.aws.dynamodb.create_table(
        TableName=registry,
        AttributeDefinitions=[{"AttributeName": "tenant_id", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "tenant_id", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    placement = Placement(
        TenantId("acme"), "premium", outputs["queue_url"], outputs["table_name"], rate=1_000
    )
    world.aws.dynamodb.put_item(TableName=registry, Item=to_item(placement))
    token = world.issuer.token("acme")
    with (
        service("producer", settings["producer"], world.folder) as producer,
        service("consumer", settings["consumer"], world.folder) as consumer,
    ):
        sent = http(f"{producer}/messages", token, {"type": "order.placed", "payload": {"n": 1}})
        key = {"tenant_id": {"S": "acme"}, "message_id": {"S": sent["message_id"]}}
        found: dict[str, Any] = {}

        def is_stored() -> bool:
            answer = world.aws.dynamodb.get_item(TableName=outputs["table_name"], Key=key)
            found.update(answer.get("Item", {}))
            return bool(found)

        wait_for(is_stored, seconds=_STORED_SECONDS, what="the message's storing")
        return found, http(f"{consumer}/messages/{sent['message_id']}", token)
