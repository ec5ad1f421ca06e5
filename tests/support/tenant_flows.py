"""Lives of instances on the embedded engine: what the tenant module makes of them, for real.

Each flow is a root of its own with a state of its own, as for the controller that runs the module
in a cluster: import blocks, by which a lost state is found again, are for roots only. The flows
run side by side, as an apply mostly waits, and all through the gate (`support.tenant_world`).
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from iam import crossing
from iam.world import ACCOUNT, CLUSTER, ENVIRONMENT, REGION
from support.tenant_world import REGISTRY, Served, World, serve
from support.terraform import Root, TerraformError
from support.waiting import wait_for
from tenantry import names
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId

_HALF_WAY_SECONDS: Final = 120.0
#: Whose pods reach for a tenant's things.
_OTHER_TENANT: Final = "globex"

#: The kind of resource, and what of it a plan would change: a set of attributes.
Changes = dict[str, set[str]]


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
    served: Served
    crossed: Crossed
    refused: dict[str, str]
    after_refusals: set[str]
    ended: Ended


@dataclass(frozen=True, slots=True)
class Crossed:
    """What came of calls on the tenant's things, by attempt.

    Attributes:
        own: Codes of errors of its own pods; empty texts where there were none.
        other: Those of another tenant's.
        when_widened: What the other's pods could do with one condition of a policy gone.
    """

    own: dict[str, str]
    other: dict[str, str]
    when_widened: dict[str, set[str]]


def premium(world: World) -> PremiumLife:
    """Apply, plan again, store a message, cross, refuse, offboard."""
    instance = {"id": "acme", "tier": "premium"}
    root = world.open(instance)
    outputs = apply(root)
    made = world.aws.traces("acme")
    second = plan(root)
    queue_url, table = outputs["queue_url"], outputs["table_name"]
    placement = Placement(TenantId("acme"), "premium", queue_url, table, rate=1_000)
    served = serve(world, instance, placement)
    crossed = _cross(world, placement)

    refused = {"destroyed while active": failure(lambda: destroy(root))}
    world.say(root, {"id": "acme", "tier": "advanced", "pool": "pool-1"})
    refused["tier without a transition"] = failure(lambda: plan(root))
    world.say(root, {**instance, "id": "acme-2"})
    refused["another id"] = failure(lambda: apply(root))
    # The runner is this environment's: what it may make and tag is named so.
    elsewhere = world.open(instance, environment="staging")
    refused["another environment"] = failure(lambda: apply(elsewhere))
    after = world.aws.traces("acme") | world.aws.traces("acme-2")
    after |= world.aws.traces("acme", "staging")
    ended = end(world, root, instance, second)
    return PremiumLife(made, outputs, served, crossed, refused, after, ended)


def _cross(world: World, placement: Placement) -> Crossed:
    """As pods of the tenant, as pods of another one, and so again with less in the policies."""
    target = crossing.Target(
        environment=ENVIRONMENT,
        cluster=CLUSTER,
        region=REGION,
        tenant=placement.tenant_id,
        queue_url=placement.queue_url,
        table=placement.table_name,
        registry=REGISTRY,
    )

    async def cross() -> Crossed:
        return Crossed(
            await crossing.try_all(world.gate, target, placement.tenant_id),
            await crossing.try_all(world.gate, target, _OTHER_TENANT),
            await crossing.when_widened(world.aws.url, target, _OTHER_TENANT),
        )

    return asyncio.run(cross())


@dataclass(frozen=True, slots=True)
class PoolLife:
    """A pool whose first apply was killed half-way."""

    when_killed: set[str]
    known_when_killed: str
    made: set[str]
    served: Served
    ended: Ended


def pool(world: World) -> PoolLife:
    """Apply, kill it and its provider half-way, apply again, store a message, offboard."""
    instance = {"id": "pool-1", "kind": "pool"}
    root = world.open(instance)
    half = {
        f"queue {names.dead_letter_queue_name(ENVIRONMENT, 'pool-1')}",
        *("association producer", "association consumer"),
    }
    _kill_when(root, lambda: half <= world.aws.traces("pool-1"))
    when_killed = world.aws.traces("pool-1")
    _drop_what_is_half_written(root)
    # A state that was never written is no error of `state list`'s, but says so.
    known = root.run("state", "list", also=(1,))
    outputs = apply(root)
    made = world.aws.traces("pool-1")
    queue_url, table = outputs["queue_url"], outputs["table_name"]
    placement = Placement(TenantId("wayne"), "basic", queue_url, table, pool="pool-1", rate=50)
    served = serve(world, instance, placement)
    return PoolLife(when_killed, known, made, served, end(world, root, instance, plan(root)))


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
    queue_url = f"{world.aws.url}/{ACCOUNT}/{names.queue_name(ENVIRONMENT, 'nova')}"
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


def _drop_what_is_half_written(root: Root) -> None:
    """What the kill cut in two: in a cluster a state is a Secret, written whole or not at all."""
    for state in root.folder.glob("terraform.tfstate*"):
        try:
            json.loads(state.read_bytes())
        except ValueError:
            state.unlink()
