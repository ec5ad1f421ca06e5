"""The Terraform object: what the controller is asked, and what the module is told."""

from __future__ import annotations

import re
from typing import Any, Final

import pytest

from chart.render import (
    ADVANCED,
    EXAMPLES,
    KINDS,
    POOL,
    PREMIUM,
    ROOT,
    Object,
    environment,
    example,
    moving,
    of_kind,
    render,
    rendered,
    values,
)

MODULE: Final = ROOT / "platform" / "terraform" / "modules" / "tenant"
WITH_INFRA: Final = [name for name in EXAMPLES if of_kind(rendered(name), "Terraform")]


def terraform(objects: list[Object]) -> dict[str, Any]:
    """The spec of the one object."""
    [found] = of_kind(objects, "Terraform")
    spec: dict[str, Any] = found["spec"]
    return spec


def told(spec: dict[str, Any]) -> dict[str, Any]:
    """The module's variables."""
    names = [each["name"] for each in spec["vars"]]
    assert len(names) == len(set(names))
    return {each["name"]: each["value"] for each in spec["vars"]}


def test_the_controller_is_asked_what_the_design_says() -> None:
    """One field after the other."""
    spec = terraform(render(values(PREMIUM)))

    assert {"kind": "OCIRepository", "name": "tenant-module-r2"} == spec["sourceRef"]
    assert "tf-runner" == spec["serviceAccountName"]
    assert ("1h", "30s", "ExponentialBackoff", "1h") == (
        spec["interval"],
        spec["retryInterval"],
        spec["retryStrategy"],
        spec["maxRetryInterval"],
    )
    assert "auto" == spec["approvePlan"]
    assert spec["disableDriftDetection"] is False
    assert spec["destroyResourcesOnDeletion"] is False
    assert {"lockTimeout": "2m", "forceUnlock": "auto"} == spec["tfstate"]
    outputs = spec["writeOutputsToSecret"]
    assert "acme-outputs" == outputs["name"]
    assert ["queue_url", "dead_letter_queue_url", "table_name"] == outputs["outputs"]


@pytest.mark.parametrize("name", WITH_INFRA)
def test_nothing_comes_from_elsewhere(name: str) -> None:
    """No other namespace, no file, no command-line settings, no variables that others write."""
    spec = terraform(rendered(name))

    assert "namespace" not in spec["sourceRef"]
    assert {
        "fileMappings",
        "cliConfigSecretRef",
        "varsFrom",
        "readInputsFromSecrets",
        "backendConfigsFrom",
        "webhooks",
        "cloud",
        "workspace",
        "values",
        "dependsOn",
    }.isdisjoint(spec)


def test_the_runner_is_restricted() -> None:
    """As every pod; the controller's own default is replaced whole where one is given."""
    pod = terraform(render(values(PREMIUM)))["runnerPodTemplate"]["spec"]

    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    } == pod["securityContext"]
    assert {"cpu", "memory"} == pod["resources"]["requests"].keys()
    assert {"volumes", "initContainers", "envFrom", "hostAliases"}.isdisjoint(pod)


def test_the_runners_own_labels_are_left_alone() -> None:
    """The controller finds its runners by app.kubernetes.io labels."""
    labels = terraform(render(values(POOL)))["runnerPodTemplate"]["metadata"]["labels"]

    assert {"tenantry.dev/tier": "basic", "tenantry.dev/pool": "pool-1"} == labels


@pytest.mark.parametrize("ring", ["r0", "r1", "r2"])
def test_each_ring_has_a_module_of_its_own(ring: str) -> None:
    """Else a new module would reach all tenants at once."""
    spec = terraform(render(values({**PREMIUM, "ring": ring})))

    assert f"tenant-module-{ring}" == spec["sourceRef"]["name"]


@pytest.mark.parametrize(
    ("fact", "own", "wanted"),
    [
        (None, None, "auto"),
        ("", None, ""),
        ("", "plan-latest-0a1b2c3d4e", "plan-latest-0a1b2c3d4e"),
        ("", "auto", "auto"),
        ("auto", "", ""),
    ],
)
def test_a_plan_is_approved_by_value(fact: str | None, own: str | None, wanted: str) -> None:
    """The instance's word before the environment's; a plan that waits can be read."""
    instance = PREMIUM if own is None else {**PREMIUM, "terraform": {"approvePlan": own}}
    facts = {} if fact is None else {"module": {"approvePlan": fact}}
    spec = terraform(render(values(instance, **facts)))

    assert wanted == spec["approvePlan"]
    assert ("none" if wanted == "auto" else "human") == spec["storeReadablePlan"]


def variables() -> dict[str, str]:
    """The module's variables and what stands in each."""
    text = (MODULE / "variables.tf").read_text("utf-8")
    parts = re.split(r'^variable "(\w+)" \{$', text, flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("name", WITH_INFRA)
def test_the_module_knows_what_it_is_told(name: str) -> None:
    """Variables, keys of the instance and roles; what has no default is among them."""
    known = variables()
    given = told(terraform(rendered(name)))
    needed = {
        each for each, body in known.items() if not re.search(r"^  default +=", body, re.MULTILINE)
    }

    assert needed <= given.keys() <= known.keys()
    keys = set(re.findall(r"^ {4,8}(\w+) += ", known["instance"], re.MULTILINE))
    assert given["instance"].keys() <= keys
    for role in given["roles"]:
        assert f"`{role}`" in known["roles"]


def test_the_module_has_few_variables() -> None:
    """Each is something that somebody must know."""
    assert 0 < len(variables()) <= 8


@pytest.mark.parametrize("name", WITH_INFRA)
def test_queue_and_consumer_are_told_the_same(name: str) -> None:
    """Visibility time-out and largest message: two that differ would lose messages' time."""
    objects = rendered(name)
    given = told(terraform(objects))
    assert example(name)["facts"].get("maxMessageBytes", 262144) == given["max_message_bytes"]
    if of_kind(objects, "Deployment"):
        consumer = environment(objects, "consumer")
        assert str(given["visibility_seconds"]) == consumer["TENANTRY_VISIBILITY_SECONDS"]
        assert str(given["max_message_bytes"]) == consumer["TENANTRY_MAX_MESSAGE_BYTES"]
        assert given["environment"] == consumer["TENANTRY_ENVIRONMENT"]


@pytest.mark.parametrize("kind", ["premium", "advanced", "pool"])
def test_roles_are_the_environments(kind: str) -> None:
    """Made once, by name; or those that facts name."""
    given = told(terraform(render(values(KINDS[kind]))))
    own = "arn:aws:iam::123456789012:role/mine"
    changed = told(terraform(render(values(KINDS[kind], roles={"poolConsumer": own}))))

    assert {
        role: f"arn:aws:iam::000000000000:role/dev-tenantry-{role}"
        for role in ("producer", "consumer", "pool-producer", "pool-consumer")
    } == given["roles"]
    assert {**given["roles"], "pool-consumer": own} == changed["roles"]
    assert "dev" == given["cluster_name"]


def test_a_runner_outside_the_cluster_is_told_where_things_are() -> None:
    """Only where facts say that all is on one machine."""
    spec = terraform(rendered("on-one-machine"))

    assert {
        "secretSuffix": "acme-state",
        "inClusterConfig": False,
        "configPath": "/var/run/tenantry/kubeconfig",
    } == spec["backendConfig"]
    names = {each["name"]: each["value"] for each in spec["runnerPodTemplate"]["spec"]["env"]}
    assert "http://10.1.2.3:4566" == names["AWS_ENDPOINT_URL"]


@pytest.mark.parametrize("name", ["acme", "acme-2", "pool-1"])
def test_no_state_is_named_by_a_number(name: str) -> None:
    """Regression: for `pool-1` nothing was made, since Terraform numbers parts of states so."""
    instance = {"id": name, "kind": "pool"} if name == "pool-1" else PREMIUM | {"id": name}

    assert {"secretSuffix": f"{name}-state", "inClusterConfig": True} == (
        terraform(render(values(instance)))["backendConfig"]
    )


def test_labels_of_the_outputs_never_change() -> None:
    """The controller writes them once: what says where a tenant is would soon be a lie."""
    steps = [
        values(PREMIUM),
        moving(ADVANCED | {"id": "acme"}, "copying", "premium"),
        moving(ADVANCED | {"id": "acme"}, "switched", "premium"),
        values({**PREMIUM, "phase": "offboarding"}),
    ]
    found = [terraform(render(step))["writeOutputsToSecret"]["labels"] for step in steps]

    assert "acme" == found[0]["tenantry.dev/tenant"]
    assert [found[0]] * len(steps) == found
    assert (
        "tenantry.dev/tenant"
        not in terraform(render(values(POOL)))["writeOutputsToSecret"]["labels"]
    )
