"""The real tofu-controller on the chart's Terraform objects, an engine in AWS's place.

Only where TENANTRY_TOFU_CONTROLLER names the controller, which nobody can download or build from
a module: elsewhere there is no test here, and so none that is skipped. Ten minutes.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import gzip
import json
from collections.abc import Generator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psutil
import pytest
import yaml

import tool
from chart.render import ROOT, Object, named, render
from cluster.admission import changed, done, merge, packaged, refused_by, standing
from iam.applied import apply_roles, gate_of_applied, runner
from iam.gate import Gate, in_thread
from iam.world import ACCOUNT, CLUSTER, ENVIRONMENT, REGION
from support import tagging_standin, terraform, tofu_controller
from support.cluster import HOST, Cluster
from support.tenant_world import ENGINE_SERVICES, Aws
from support.tofu_controller import NAMESPACE, Watcher
from tenantry import names
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

#: One queue takes 25 s to be made; three instances are made one after the other.
pytestmark = pytest.mark.slow
__test__ = tofu_controller.binary() is not None

#: Of one instance, on a machine that is busy.
APPLY_SECONDS: Final = 150.0

ACME: Final = {"id": "acme", "tier": "premium"}
GLOBEX: Final = {"id": "globex", "tier": "advanced", "pool": "pool-1"}
POOL: Final = {"id": "pool-1", "kind": "pool"}
NOVA: Final = {"id": "nova", "tier": "advanced", "pool": "pool-1"}
#: Where acme goes.
BASIC: Final = {"id": "acme", "tier": "basic", "pool": "pool-1"}

RUNNER: Final = f"system:serviceaccount:{NAMESPACE}:tf-runner"
#: The account and its rights.
TENANCY: Final = ROOT / "platform" / "fleet" / "infrastructure" / "tenancy" / "runner.yaml"


@dataclass(frozen=True)
class Stage:
    """A cluster with policies and controller, and the engine behind the gate."""

    cluster: Cluster
    aws: Aws
    gate: Gate
    watcher: Watcher
    manager: Path
    facts: Mapping[str, Any]

    def terraform(self, instance: Mapping[str, Any]) -> Object:
        """The object that the chart renders."""
        values = packaged({"instance": dict(instance), "facts": self.facts})
        return named(render(values), "Terraform", instance["id"])

    def apply(self, instance: Mapping[str, Any]) -> None:
        """As Helm does."""
        done(self.cluster.apply(self.terraform(instance), dry_run=False))

    def until_ready(self, instance: Mapping[str, Any], *, before: int = 0) -> None:
        """Apply, and wait until the controller has done that, after so many others."""
        self.apply(instance)
        name = instance["id"]
        self.watcher.until(
            functools.partial(self.watcher.is_ready, name),
            seconds=APPLY_SECONDS * (before + 1),
            what=f"{name}'s apply",
        )

    def until_gone(self, instance: Mapping[str, Any]) -> None:
        """Wait for the end of an object that was deleted."""
        name = instance["id"]
        self.watcher.until(
            lambda: self.watcher.get(name) is None, seconds=APPLY_SECONDS, what=f"{name}'s end"
        )

    def until_said(self, instance: Mapping[str, Any], text: str) -> None:
        """Wait for a message of the controller's."""
        name = instance["id"]
        self.watcher.until(
            lambda: any(text in _line(said) for said in self.watcher.messages(name)),
            seconds=APPLY_SECONDS,
            what=f"{name}: {text}",
        )

    def secrets(self, instance: Mapping[str, Any]) -> dict[str, dict[str, bytes]]:
        """An instance's, with what they hold."""
        return {
            found["metadata"]["name"]: {
                key: base64.b64decode(value) for key, value in found.get("data", {}).items()
            }
            for found in self.cluster.list("v1", "Secret", NAMESPACE).body["items"]
            if instance["id"] in found["metadata"]["name"]
        }

    def visibility(self, instance: Mapping[str, Any], change: str | None = None) -> str:
        """The queue's visibility timeout, or another one behind everybody's back."""
        url = f"{self.aws.url}/{ACCOUNT}/{names.queue_name(ENVIRONMENT, instance['id'])}"
        if change is not None:
            self.aws.sqs.set_queue_attributes(
                QueueUrl=url, Attributes={"VisibilityTimeout": change}
            )
        asked = self.aws.sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["VisibilityTimeout"]
        )
        return str(asked["Attributes"]["VisibilityTimeout"])

    def reconcile(self, instance: Mapping[str, Any]) -> None:
        """Ask the controller for it now, and not in an hour."""
        moment = datetime.now(UTC).isoformat()
        asked = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": moment}}}
        done(merge(self.cluster, self.terraform(instance), asked))

    def kill_runs(self) -> None:
        """As a node that fails does: Terraform and its provider, with no time to unlock."""
        [controller] = [
            each
            for each in psutil.process_iter(["exe"])
            if each.info["exe"] == str(self.manager.resolve())
        ]
        for child in controller.children(recursive=True):
            child.kill()

    def unseal(self, instance: Mapping[str, Any]) -> None:
        """As tenantctl does when it saw queue, dead-letter queue and table empty."""
        name = names.table_name(ENVIRONMENT, instance["id"])
        self.aws.dynamodb.update_table(TableName=name, DeletionProtectionEnabled=False)


def _line(text: str) -> str:
    """A message without the frame and the line breaks that Terraform puts into it."""
    return " ".join(text.replace("│", " ").split())


@dataclass(frozen=True)
class _Refused:
    """What is refused as soon as the policies are in force."""

    bad: Object
    policy: str = "terraforms.tenantry.dev"
    deletes: bool = False


@pytest.fixture(scope="module")
def stage(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Generator[Stage]:
    """All that stands before the first instance."""
    manager = tofu_controller.binary()
    assert manager is not None
    built = tool.built("opentofu")
    found = terraform.find("tofu") or (built / "tofu" if built else terraform.find("terraform"))
    assert found is not None, "neither OpenTofu nor Terraform is here"
    folder = tmp_path_factory.mktemp("tofu-controller")
    with ExitStack() as stack:
        processes = Processes()
        stack.callback(processes.close)
        port = free_port()
        asyncio.run(start_engine(processes, port, folder, services=ENGINE_SERVICES))
        aws = Aws.connect(f"http://{HOST}:{port}")
        aws.make_environment()
        apply_roles(
            found, folder, aws.url, environment=ENVIRONMENT, cluster=CLUSTER, region=REGION
        )
        tagging = stack.enter_context(tagging_standin.serve(aws.eks))
        gated = gate_of_applied(
            aws.url, environment=ENVIRONMENT, region=REGION, elsewhere={"tagging": tagging}
        )
        gate = stack.enter_context(in_thread(gated))
        facts = {
            "environment": ENVIRONMENT,
            "cluster": CLUSTER,
            "region": REGION,
            "account": ACCOUNT,
            "queueUrlPrefix": f"{aws.url}/{ACCOUNT}",
            "local": {"awsEndpointUrl": gate.url, "kubeconfig": str(cluster.kubeconfig(RUNNER))},
        }
        stand = Stage(cluster, aws, gate, Watcher(cluster), manager, facts)
        values = {"instance": ACME, "facts": facts}
        wrong = _Refused(changed(stand.terraform({**ACME, "id": "wrong"}), ("spec|destroy", True)))
        stack.enter_context(standing(cluster, values, {}, [wrong]))
        done(cluster.apply(list(yaml.safe_load_all(TENANCY.read_text("utf-8"))), dry_run=False))
        source, status = stack.enter_context(tofu_controller.module_source(folder))(
            "tenant-module-r2"
        )
        done(cluster.apply(source, dry_run=False))
        done(merge(cluster, source, status, part="/status"))
        # Installed once, so that a mirror is made: what the controller runs finds it by this.
        identity = runner(gate, ENVIRONMENT, cluster=CLUSTER, region=REGION)
        probe = terraform.copy_module(terraform.TENANT_MODULE, folder / "probe")
        env = terraform.open_root(found, probe, AWS_REGION=REGION, **identity).env
        stack.enter_context(tofu_controller.running(manager, cluster, folder, found, env))
        yield stand


@pytest.fixture(scope="module")
def made(stage: Stage) -> Stage:
    """A premium tenant, a pool and an advanced tenant beside each other."""
    for instance in (ACME, POOL, GLOBEX):
        stage.apply(instance)
    for instance in (ACME, POOL, GLOBEX):
        stage.until_ready(instance, before=2)
    return stage


def own(instance: Mapping[str, Any], *services: str) -> set[str]:
    """All that an instance has in AWS."""
    queue = names.queue_name(ENVIRONMENT, instance["id"])
    return {
        f"queue {queue}",
        f"queue {names.dead_letter_queue_name(ENVIRONMENT, instance['id'])}",
        f"table {names.table_name(ENVIRONMENT, instance['id'])}",
        f"alarm {queue}-oldest-message",
        f"alarm {names.dead_letter_queue_name(ENVIRONMENT, instance['id'])}-waiting",
        *(f"association {service}" for service in services),
    }


def test_each_kind_of_instance_is_brought_up(made: Stage) -> None:
    """Queues, table, alarms and the associations of the services that it has."""
    assert own(ACME, "producer", "consumer") == made.aws.traces("acme")
    assert own(POOL, "producer", "consumer") == made.aws.traces("pool-1")
    assert own(GLOBEX, "consumer") == made.aws.traces("globex")


@pytest.mark.parametrize("instance", [ACME, POOL, GLOBEX], ids=lambda each: each["id"])
def test_state_plan_and_outputs_are_secrets(made: Stage, instance: Mapping[str, Any]) -> None:
    """Beside the object, under the names that tenantctl looks for."""
    name = instance["id"]
    secrets = made.secrets(instance)

    assert {f"tfstate-default-{name}-state", f"tfplan-default-{name}", f"{name}-outputs"} == set(
        secrets
    )
    queue = f"{made.aws.url}/{ACCOUNT}/{names.queue_name(ENVIRONMENT, name)}"
    assert {
        "queue_url": queue.encode(),
        "dead_letter_queue_url": f"{queue}-dead-letters".encode(),
        "table_name": names.table_name(ENVIRONMENT, name).encode(),
    } == secrets[f"{name}-outputs"]


def test_the_runners_role_suffices(made: Stage) -> None:
    """Nothing that the controller's runs asked for was refused by the policies of that role."""
    assert [] == made.gate.refused


def test_a_changed_value_is_applied(made: Stage) -> None:
    """The consumer's visibility timeout is the queue's."""
    told = {"overrides": {"consumer": {"settings": {"visibilitySeconds": 60}}}}
    made.until_ready({**GLOBEX, **told})

    assert "60" == made.visibility(GLOBEX)


def test_drift_is_found_and_undone(made: Stage) -> None:
    """What was changed behind its back is named in the condition, and then as it was."""
    made.visibility(ACME, "7")
    made.reconcile(ACME)
    made.until_said(ACME, "visibility_timeout_seconds = 7 -> 30")
    made.watcher.until(
        lambda: made.watcher.is_ready("acme"), seconds=APPLY_SECONDS, what="what undoes it"
    )

    assert "30" == made.visibility(ACME)


def test_an_active_tenants_object_is_not_deleted(made: Stage) -> None:
    """Admission says why, and the controller never hears of it."""
    answer = made.cluster.delete(made.terraform(ACME))

    assert refused_by(answer, "deletions.tenantry.dev"), answer.message
    assert own(ACME, "producer", "consumer") == made.aws.traces("acme")


def test_an_offboarded_tenant_is_gone_from_aws(made: Stage) -> None:
    """First what takes the seal off, then what destroys; an empty state is all that is left."""
    made.until_ready({**GLOBEX, "phase": "offboarding"})
    done(made.cluster.delete(made.terraform(GLOBEX)))
    made.until_gone(GLOBEX)

    assert set() == made.aws.traces("globex")
    left = made.secrets(GLOBEX)
    assert ["tfstate-default-globex-state"] == list(left)
    state = json.loads(gzip.decompress(left["tfstate-default-globex-state"]["tfstate"]))
    assert ([], {}) == (state["resources"], state["outputs"])
    assert own(ACME, "producer", "consumer") == made.aws.traces("acme")


def test_an_apply_that_was_killed_goes_on(stage: Stage) -> None:
    """Its lock is broken by the next try, which adopts what the state never heard of."""
    stage.apply(NOVA)
    letters = f"queue {names.dead_letter_queue_name(ENVIRONMENT, 'nova')}"
    stage.watcher.until(
        lambda: letters in stage.aws.traces("nova"), seconds=APPLY_SECONDS, what="half an apply"
    )
    stage.kill_runs()
    stage.until_said(NOVA, "signal: killed")
    stage.until_said(NOVA, "error acquiring the state lock")
    stage.reconcile(NOVA)  # it would itself, two minutes later
    stage.until_ready(NOVA)

    assert own(NOVA, "consumer") == stage.aws.traces("nova")


def test_what_is_deleted_too_early_waits_for_the_seal(made: Stage) -> None:
    """An object that goes before its last phase was applied removes nothing, and says why."""
    made.until_ready(NOVA)
    said = len(made.watcher.messages("pool-1"))
    made.reconcile(POOL)  # so that it cannot apply the phase first
    made.watcher.until(
        lambda: len(made.watcher.messages("pool-1")) > said, seconds=30.0, what="other work"
    )
    made.apply({**NOVA, "phase": "offboarding"})
    done(made.cluster.delete(made.terraform(NOVA)))
    made.until_said(NOVA, "deletion protection")
    assert own(NOVA, "consumer") == made.aws.traces("nova")

    made.unseal(NOVA)
    made.until_gone(NOVA)
    assert set() == made.aws.traces("nova")


def test_a_move_to_a_pool_removes_what_was_the_tenants_own(made: Stage) -> None:
    """Every phase is applied; the last one is refused until the table is unsealed."""
    for phase in ("provisioning", "copying", "switched", "draining"):
        made.until_ready({**BASIC, "transition": {"from": {"tier": "premium"}, "phase": phase}})
        assert own(ACME, "producer", "consumer") == made.aws.traces("acme"), phase
    last = {**BASIC, "transition": {"from": {"tier": "premium"}, "phase": "removing"}}
    made.apply(last)
    made.until_said(ACME, "Only who has seen queue, dead-letter queue and table empty")
    assert own(ACME, "producer", "consumer") == made.aws.traces("acme")

    made.unseal(ACME)
    made.until_ready(last)
    assert set() == made.aws.traces("acme")
    done(made.cluster.delete(made.terraform(last)))
    made.until_gone(ACME)
    assert ["tfstate-default-acme-state"] == list(made.secrets(ACME))
