"""The control plane: how its workflows and events are made, and that an API server takes them."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.main import get_command

from chart.render import Object, who
from cluster.admission import account, done
from support.cluster import Cluster
from support.flux_standin import ENVIRONMENTS, FLEET, kubectl, kustomize
from tenantctl.cli import app
from tenantctl.events import REQUEST_ID, SOURCES, VERBS, Deploy, parse_event

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "argo-control"
DEV: Final = Path("control-plane") / "dev"
#: Whoever makes Workflows: a verb's, or what is of none.
STARTED: Final = frozenset({*VERBS, "reject"})
SINGULAR: Final = re.compile(r"\b(mutex|semaphore|schedule|podPriority):")
SHELLS: Final = frozenset({"sh", "bash", "/bin/sh", "/bin/bash", "-c"})


@pytest.fixture(autouse=True)
def _can_build() -> None:
    if kubectl() is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("there is no kubectl: `make test-cluster` builds it")


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    """What the control plane of a fresh fleet is; nobody changes these."""
    return kustomize(FLEET / DEV)


def of(objects: list[Object], kind: str) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects if each["kind"] == kind}


def pods(objects: list[Object]) -> Iterator[tuple[str, Object]]:
    """Each template that is a pod, by workflow and name."""
    for name, each in of(objects, "WorkflowTemplate").items():
        for template in each["spec"]["templates"]:
            if "steps" not in template:
                yield f"{name}/{template['name']}", template


# --- structure --------------------------------------------------------------------------------


def faults(objects: list[Object]) -> list[str]:
    """What is wrong with the workflows and events."""
    text = yaml.safe_dump_all(
        each for each in objects if each["kind"] in {"WorkflowTemplate", "CronWorkflow"}
    )
    found = [f"singular {word}, which Argo Workflows 4 has not" for word in SINGULAR.findall(text)]
    accounts = of(objects, "ServiceAccount")
    for name, each in of(objects, "WorkflowTemplate").items():
        if "tenantry.dev/verb" in each["metadata"].get("labels", {}):
            found += [f"{name}: {fault}" for fault in _of_verb(name, each["spec"], accounts)]
    for name, template in pods(objects):
        found += [f"{name}: {fault}" for fault in _of_pod(template)]
    for kind in ("EventSource", "Sensor"):
        for name, each in of(objects, kind).items():
            if each["spec"]["template"]["serviceAccountName"] not in accounts:
                found.append(f"{name}: no such account")
    for name, each in of(objects, "Sensor").items():
        found += [f"{name}: {fault}" for fault in _of_sensor(each["spec"])]
    for name, source in of(objects, "EventSource")["requests"]["spec"]["sqs"].items():
        if not source.get("dlq"):
            found.append(f"{name}: what is no JSON is lost")
    return found


def _of_verb(name: str, spec: Object, accounts: dict[str, Object]) -> Iterator[str]:
    templates = {each["name"]: each for each in spec["templates"]}
    if spec.get("serviceAccountName") != name or name not in accounts:
        yield "no account of its own"
    if not spec.get("activeDeadlineSeconds"):
        yield "no deadline"
    if not spec.get("synchronization", {}).get("mutexes"):
        yield "no mutex"
    if not {"secondsAfterSuccess", "secondsAfterFailure"} <= spec.get("ttlStrategy", {}).keys():
        yield "it stays for ever"
    if "strategy" not in spec.get("podGC", {}):
        yield "its pods stay"
    if spec.get("onExit") not in templates or spec.get("entrypoint") not in templates:
        yield "no exit handler, or no beginning"
    if spec.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield "may run as root"


def _of_pod(template: Object) -> Iterator[str]:
    container = template.get("container", {})
    words = [*container.get("command", []), *container.get("args", [])]
    if "script" in template or not container.get("command") or SHELLS & set(words):
        yield "no command of its own, or a shell"
    for word in container.get("args", []):
        if "{{" in word and not re.fullmatch(r"--[a-z-]+=\{\{[a-z.-]+\}\}", word):
            yield f"a parameter is part of {word!r}"
    if "{{" in json.dumps(container.get("env", [])):
        yield "a parameter is in the environment, where $( ) is filled in"
    if template.get("securityContext", {}).get("runAsNonRoot") is not True:
        yield "may run as root"
    security = container.get("securityContext", {})
    if (
        security.get("allowPrivilegeEscalation") is not False
        or security.get("readOnlyRootFilesystem") is not True
        or security.get("capabilities") != {"drop": ["ALL"]}
    ):
        yield "not restricted"
    if not template.get("activeDeadlineSeconds"):
        yield "no deadline"
    if "expression" not in template.get("retryStrategy", {}):
        yield "not tried again, or always"
    if "limits" not in container.get("resources", {}):
        yield "no limit"


def _of_sensor(spec: Object) -> Iterator[str]:
    for trigger in spec["triggers"]:
        for each in (trigger, trigger.get("dlqTrigger", {})):
            if not each.get("atLeastOnce") or "steps" not in each.get("retryStrategy", {}):
                yield "a request may be lost"
            k8s = each.get("template", {}).get("k8s", {})
            if k8s.get("operation") != "patch":
                yield "a redelivery is an error"
            if not any(one["dest"] == "metadata.name" for one in k8s.get("parameters", [])):
                yield "Workflows have one name"


def test_workflows_and_events_are_complete(objects: list[Object]) -> None:
    """Accounts, deadlines, mutexes, retries, ends, security; no shell, no singular form."""
    assert [] == faults(objects)


BASE: Final = Path("control-plane") / "base" / "named"
MUTATIONS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "singular mutex": ("workflows/move.yaml", lambda text: text.replace("mutexes: [", "mutex: [")),
    "singular schedule": (
        "workflows/schedule.yaml",
        lambda text: text.replace('schedules: ["*/5 * * * *"]', 'schedule: "*/5 * * * *"'),
    ),
    "move: no mutex": (
        "workflows/move.yaml",
        lambda text: text.replace("mutexes:", "semaphores:"),
    ),
    "move: no account": (
        "workflows/move.yaml",
        lambda text: text.replace("AccountName: move", "AccountName: default"),
    ),
    "move: no deadline": (
        "workflows/move.yaml",
        lambda text: re.sub(r"  activeDeadlineSeconds: .*\n", "", text),
    ),
    "stays for ever": ("workflows/verb.yaml", lambda text: re.sub(r"  ttlStr.*\n", "", text)),
    "pods stay": ("workflows/verb.yaml", lambda text: re.sub(r"  podGC.*\n", "", text)),
    "no exit handler": ("workflows/verb.yaml", lambda text: re.sub(r"  onExit.*\n", "", text)),
    "may run as root": (
        "workflows/all.yaml",
        lambda text: text.replace("runAsNonRoot: true", "runAsNonRoot: false"),
    ),
    "work: may run as root": (
        "workflows/tenantctl.yaml",
        lambda text: text.replace("{runAsNonRoot: true,", "{runAsNonRoot: false,"),
    ),
    "not restricted": (
        "workflows/tenantctl.yaml",
        lambda text: text.replace("drop: [ALL]", "drop: [NET_RAW]"),
    ),
    "or a shell": (
        "workflows/tenantctl.yaml",
        lambda text: text.replace("command: [tenantctl]", "command: [sh, -c]"),
    ),
    "a parameter is part of": (
        "workflows/tenantctl.yaml",
        lambda text: text.replace('"--verb={{', '"x --verb={{'),
    ),
    "in the environment": (
        "workflows/tenantctl.yaml",
        lambda text: text.replace("value: /tmp", 'value: "{{workflow.parameters.event}}"'),
    ),
    "not tried again": (
        "workflows/tenantctl.yaml",
        lambda text: re.sub(r"        expression: .*\n", "", text),
    ),
    "no limit": (
        "workflows/tenantctl.yaml",
        lambda text: re.sub(r"          limits: .*\n", "", text),
    ),
    "what is no JSON is lost": (
        "events/source.yaml",
        lambda text: text.replace("dlq: true", "dlq: false", 1),
    ),
    "a request may be lost": (
        "events/request/sensor.yaml",
        lambda text: text.replace("atLeastOnce: true", "atLeastOnce: false", 1),
    ),
    "a redelivery is an error": (
        "events/request/sensor.yaml",
        lambda text: text.replace("operation: patch", "operation: create", 1),
    ),
    "no such account": (
        "events/source.yaml",
        lambda text: text.replace("AccountName: source", "AccountName: other"),
    ),
}


@pytest.mark.parametrize("told", MUTATIONS)
def test_what_is_missing_is_found(tmp_path: Path, told: str) -> None:
    """Else the test above would say nothing."""
    name, mutate = MUTATIONS[told]
    fleet = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    path = fleet / BASE / name
    text = path.read_text("utf-8")
    assert text != mutate(text)
    path.write_text(mutate(text), encoding="utf-8")

    assert any(told in fault for fault in faults(kustomize(fleet / DEV)))


def test_every_verb_has_a_workflow(objects: list[Object]) -> None:
    """And the Sensors know each: what is of none is rejected, and that is told."""
    labelled = {
        name
        for name, each in of(objects, "WorkflowTemplate").items()
        if "tenantry.dev/verb" in each["metadata"].get("labels", {})
    }
    control = yaml.safe_dump(of(objects, "Sensor")["control"], width=10_000)
    listed = re.search(r"has \$b\.verb \(list ([^)]*)\)", control)
    assert listed is not None

    assert labelled == STARTED
    assert set(VERBS) == set(re.findall(r'"([a-z]+)"', listed[1]))
    assert control.count(REQUEST_ID) == 2
    assert set(SOURCES) == of(objects, "Sensor").keys()
    assert set(SOURCES) == of(objects, "EventSource")["requests"]["spec"]["sqs"].keys()


@pytest.mark.parametrize("source", SOURCES)
def test_a_sensor_hands_on_where_a_request_came_by(objects: list[Object], source: str) -> None:
    """Its payload is read by that; and a queue of the reference's is one verb."""
    spec = of(objects, "Sensor")[source]["spec"]
    [dependency] = spec["dependencies"]
    [trigger] = spec["triggers"]
    verbs = {"onboarding": "onboard", "offboarding": "offboard", "deployment": "deploy"}
    assert source == dependency["eventName"]
    for each in (trigger, trigger["dlqTrigger"]):
        workflow = each["template"]["k8s"]["source"]["resource"]["spec"]
        [said] = [p for p in workflow["arguments"]["parameters"] if p["name"] == "source"]
        assert source == said["value"]
    resource = trigger["template"]["k8s"]["source"]["resource"]["spec"]
    assert verbs.get(source, "reject") == resource["workflowTemplateRef"]["name"]
    chosen = [p["dest"] for p in trigger["template"]["k8s"]["parameters"]]
    assert ("spec.workflowTemplateRef.name" in chosen) is (source == "control")


def test_every_command_is_one_of_tenantctls(objects: list[Object]) -> None:
    """With options that it has: a slip would be seen when a tenant waits."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    tried = 0
    for _, template in pods(objects):
        name, *words = template["container"]["args"]
        assert ["tenantctl"] == template["container"]["command"]
        known = {option for each in commands[name].params for option in each.opts}
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert options <= known, name
        tried += 1
    assert tried == 3


def test_the_schedule_asks_for_what_the_module_reads(objects: list[Object]) -> None:
    """Every five minutes, and nobody waits for the last one."""
    spec = of(objects, "CronWorkflow")["reconcile"]["spec"]
    said = {p["name"]: p["value"] for p in spec["workflowSpec"]["arguments"]["parameters"]}

    event = parse_event(base64.b64decode(said["event"]))

    assert ("reconcile", True, said["request-id"]) == (event.verb, event.fix, event.request_id)  # type: ignore[union-attr]
    assert (["*/5 * * * *"], "Forbid") == (spec["schedules"], spec["concurrencyPolicy"])


def test_dev_alone_follows_what_was_published_last(objects: list[Object], tmp_path: Path) -> None:
    """As a request for the candidate, by the workflow and the account that deploy."""
    spec = of(objects, "CronWorkflow")["follow"]["spec"]
    said = {p["name"]: p["value"] for p in spec["workflowSpec"]["arguments"]["parameters"]}

    event = parse_event(base64.b64decode(said["event"]))

    assert isinstance(event, Deploy)
    assert event.candidate
    assert said["request-id"] == event.request_id
    assert ("deploy", "Forbid") == (
        spec["workflowSpec"]["workflowTemplateRef"]["name"],
        spec["concurrencyPolicy"],
    )
    fleet = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    for environment in set(ENVIRONMENTS) - {"dev"}:
        found = kustomize(fleet / "control-plane" / environment)
        assert {"reconcile"} == of(found, "CronWorkflow").keys()


def test_no_secret_is_anywhere_but_in_a_mounted_file(objects: list[Object]) -> None:
    """The fleet's credentials are brought by external-secrets, and named by no variable."""
    [external] = of(objects, "ExternalSecret").values()
    name = external["spec"]["target"]["name"]
    assert not of(objects, "Secret")
    for _, template in pods(objects):
        text = json.dumps(template["container"]["env"])
        assert "secretKeyRef" not in text
        mounted = [v for v in template["volumes"] if v.get("secret", {}).get("secretName") == name]
        assert len(mounted) == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_facts_fill_in_what_differs(tmp_path: Path, environment: str) -> None:
    """Image, region, context, and the names of queues and secret; and nothing is left open."""
    fleet = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    facts = fleet / "facts" / environment / "facts.yaml"
    image = f"registry.example.com/tenantry/tenantctl@sha256:{'a' * 64}"
    said = yaml.safe_load(facts.read_text("utf-8"))
    said["data"] |= {"region": "eu-west-1", "tenantctl-image": image, "context": "# ours\n"}
    facts.write_text(yaml.safe_dump(said), encoding="utf-8")

    found = kustomize(fleet / "control-plane" / environment)

    assert {image} == {template["container"]["image"] for _, template in pods(found)}
    sources = of(found, "EventSource")["requests"]["spec"]["sqs"]
    assert {"eu-west-1"} == {each["region"] for each in sources.values()}
    assert f"{environment}-control" == sources["control"]["queue"]
    assert f"{environment}-control-onboarding" == sources["onboarding"]["queue"]
    assert "# ours\n" == of(found, "ConfigMap")["tenantctl"]["data"]["context"]
    [external] = of(found, "ExternalSecret").values()
    assert f"{environment}/tenantctl/fleet" == external["spec"]["data"][0]["remoteRef"]["key"]
    text = yaml.safe_dump_all(found)
    assert "unset" not in text
    assert "environment-" not in text


# --- on the API server ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(argo: Cluster, objects: list[Object]) -> Cluster:
    """The server with the control plane's namespace, accounts and rights."""
    for name in ("flux-system", "tenants", "tenant-infra"):
        argo.namespace(name)
    labels = of(objects, "Namespace")[NAMESPACE]["metadata"]["labels"]
    argo.namespace(NAMESPACE, labels)
    rights = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}
    for each in objects:
        if each["kind"] in rights:
            done(argo.apply(each, dry_run=False))
    return argo


def test_every_object_is_taken_without_a_warning(server: Cluster, objects: list[Object]) -> None:
    """Strict fields, by Argo's own full definitions."""
    refused = {}
    for each in objects:
        answer = server.apply(each)
        if not answer.ok or answer.warnings:
            refused[who(each)] = answer.message or answer.warnings

    assert {} == refused


def test_what_a_sensor_makes_is_taken(server: Cluster, objects: list[Object]) -> None:
    """In its own name; and the same again, as `patch` sends it, changes nothing."""
    sensor = account(NAMESPACE, "sensor")
    for source, each in of(objects, "Sensor").items():
        [trigger] = each["spec"]["triggers"]
        workflow: dict[str, Any] = trigger["template"]["k8s"]["source"]["resource"]
        workflow = {**workflow, "metadata": {"name": f"r-{source}", "namespace": NAMESPACE}}
        done(server.create(workflow, as_user=sensor))
        first = server.get(workflow["apiVersion"], "Workflow", f"r-{source}", NAMESPACE)

        again = server.request(
            "PATCH",
            server.path(workflow),
            workflow,
            content="application/merge-patch+json",
            as_user=sensor,
        )

        done(again)
        version = first.body["metadata"]["resourceVersion"]
        assert version == again.body["metadata"]["resourceVersion"]
        server.delete(workflow)


def test_people_see_what_runs_and_operators_start_it(server: Cluster) -> None:
    """The groups are those of the cluster's access entries; neither sees a Secret."""
    text = (FLEET / "infrastructure/tenancy/people.yaml").read_text("utf-8")
    for each in yaml.safe_load_all(text):
        done(server.apply(each, dry_run=False))
    workflow = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "by-hand", "namespace": NAMESPACE},
        "spec": {"workflowTemplateRef": {"name": "reconcile"}},
    }
    for group, may_start in (("tenantry:viewers", False), ("tenantry:operators", True)):
        who_asks: dict[str, Any] = {"as_user": "somebody", "groups": (group,)}
        for version, kind in (
            ("argoproj.io/v1alpha1", "Workflow"),
            ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
            ("infra.contrib.fluxcd.io/v1alpha2", "Terraform"),
        ):
            assert server.list(version, kind, **who_asks).ok, kind
        assert 403 == server.list("v1", "Secret", **who_asks).code
        assert may_start is server.create(workflow, **who_asks).ok
        assert 403 == server.delete(workflow, **who_asks).code
    server.delete(workflow)


def test_who_makes_workflows_can_ask_the_server(objects: list[Object]) -> None:
    """A Sensor's pods take the account's word for it, and end where they are given no token."""
    accounts = {
        each["metadata"]["name"]: each.get("automountServiceAccountToken")
        for each in objects
        if each["kind"] == "ServiceAccount"
    }
    [names] = {
        (each["spec"]["template"]["serviceAccountName"],)
        for each in of(objects, "Sensor").values()
    }

    assert dict.fromkeys(names, True) == {
        name: mounted for name, mounted in accounts.items() if mounted is not False
    }


def test_a_field_that_argo_does_not_know_is_refused(
    server: Cluster, objects: list[Object]
) -> None:
    """So that the test above says something."""
    found = of(objects, "WorkflowTemplate")["move"]
    typo = {**found, "spec": {**found["spec"], "mutex": {"name": "x"}}}

    assert "spec.mutex" in server.apply(typo).message


@pytest.mark.parametrize("verb", sorted(STARTED))
def test_an_account_has_no_more_than_its_verb(server: Cluster, verb: str) -> None:
    """None reads Secrets of its own namespace, lists any, or writes what tenants are made of."""
    name = account(NAMESPACE, verb)
    for version, kind, namespace in (
        ("v1", "Secret", NAMESPACE),
        ("v1", "Secret", "tenants"),
        ("v1", "Secret", "tenant-infra"),
        ("v1", "Secret", "flux-system"),
        ("argoproj.io/v1alpha1", "Workflow", NAMESPACE),
    ):
        assert 403 == server.list(version, kind, namespace, as_user=name).code, kind
    release = {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": "acme", "namespace": "tenants"},
    }
    assert 403 == server.delete(release, as_user=name).code
    assert 403 == server.apply({**release, "spec": {"interval": "1h"}}, as_user=name).code
    waits = verb not in {"reject", "redrive", "suspend", "resume"}
    for version, kind, namespace in (
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "tenants"),
        ("infra.contrib.fluxcd.io/v1alpha2", "Terraform", "tenant-infra"),
    ):
        assert waits is server.list(version, kind, namespace, as_user=name).ok
    outputs = server.get("v1", "Secret", "acme-outputs", "tenant-infra", as_user=name)
    assert outputs.code == (404 if waits and verb != "deploy" else 403)
    state = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "tfstate-default-acme-state", "namespace": "tenant-infra"},
    }
    sweeps = verb in {"offboard", "move"}
    assert server.delete(state, as_user=name).code == (404 if sweeps else 403)
