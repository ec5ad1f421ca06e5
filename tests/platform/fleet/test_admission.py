"""The admission policies as files: what must be true of each, without a cluster."""

from __future__ import annotations

import ast
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from chart.render import Object, values
from cluster.admission import ADMISSION, BINDING, DEFAULTS, POLICY, documents, facts

RULE: Final[dict[str, Any]] = json.loads(
    (files("tenantry") / "data" / "tenant_id.json").read_text()
)
BASE: Final = ADMISSION.parent.parent / "clusters" / "base"
TENANCY: Final = ADMISSION.parent / "tenancy"
#: `params.data.x`, `params.data['x']`, `params.data[?'x']`, `params.data['x.' + …]`.
PARAMETER: Final = re.compile(r"params\.data(?:\.(\w+)|\[\??'([a-z.-]+)'( \+)?)")


def faults(folder: Path) -> list[str]:
    """What is wrong with the policies of a folder."""
    named = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    there = sorted(path.name for path in folder.glob("*.yaml") if path.stem != "kustomization")
    found = [f"kustomization.yaml names {named}, and there are {there}"] if named != there else []
    objects = documents(folder)
    policies = {each["metadata"]["name"]: each for each in objects if each["kind"] == POLICY}
    bindings = [each for each in objects if each["kind"] == BINDING]
    found += [
        f"{each['kind']}: neither policy nor binding"
        for each in objects
        if each["kind"] not in {POLICY, BINDING}
    ]
    found += [
        f"{kind} {name} is there {count} times"
        for (kind, name), count in Counter(
            (each["kind"], each["metadata"]["name"]) for each in objects
        ).items()
        if count > 1
    ]
    messages = Counter(
        rule["message"] for each in policies.values() for rule in each["spec"]["validations"]
    )
    found += [f"two rules say {text!r}" for text, count in messages.items() if count > 1]
    for name, policy in policies.items():
        found += _of_policy(name, policy, [each for each in bindings if _is_of(each, name)])
    found += [
        f"binding {each['metadata']['name']} is of no policy"
        for each in bindings
        if each["spec"]["policyName"] not in policies
    ]
    return found


def _is_of(binding: Object, name: str) -> bool:
    return bool(binding["spec"]["policyName"] == name)


def _of_policy(name: str, policy: Object, bindings: list[Object]) -> list[str]:
    spec = policy["spec"]
    found = []
    if policy["apiVersion"] != "admissionregistration.k8s.io/v1":
        found.append(f"{name}: not of admissionregistration.k8s.io/v1")
    if spec.get("failurePolicy") != "Fail":
        found.append(f"{name}: failurePolicy is not said to be Fail")
    if not bindings:
        found.append(f"{name}: no binding, so it holds nothing")
    found += [
        f"{name}: a refusal does not begin with what it is about"
        for rule in spec["validations"]
        if not rule.get("messageExpression", "").startswith("variables.who + ")
    ]
    for binding in bindings:
        if binding["spec"]["validationActions"] != ["Deny"]:
            found.append(f"{name}: a binding does not deny")
        parameters = binding["spec"].get("paramRef")
        asks = "params." in yaml.safe_dump(spec)
        if asks != ("paramKind" in spec) or asks != (parameters is not None):
            found.append(f"{name}: parameters are asked for and not given, or the other way round")
        if parameters and parameters["parameterNotFoundAction"] != "Deny":
            found.append(f"{name}: without its parameters it lets everything in")
    return found


def test_policies_are_complete() -> None:
    """Named, bound, denying, failing closed, and each refusal a text of its own."""
    assert [] == faults(ADMISSION)


MUTATIONS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    "kustomization.yaml names": (
        "kustomization.yaml",
        lambda text: text.replace("  - pods.yaml\n", ""),
    ),
    "failurePolicy": (
        "nodes.yaml",
        lambda text: text.replace("failurePolicy: Fail", "failurePolicy: Ignore"),
    ),
    "does not deny": ("ids.yaml", lambda text: text.replace("[Deny]", "[Audit]", 1)),
    "no binding": ("pods.yaml", lambda text: text.partition("---\n")[0]),
    "lets everything in": (
        "images.yaml",
        lambda text: text.replace("Action: Deny", "Action: Allow"),
    ),
    "parameters are asked for": (
        "images.yaml",
        lambda text: re.sub(r"  paramRef: .*\n", "", text),
    ),
    "two rules say": (
        "nodes.yaml",
        lambda text: text.replace('"a pod names its node"', '"a pod asks for another scheduler"'),
    ),
    "what it is about": (
        "images.yaml",
        lambda text: text.replace("variables.who + ': '\n", "'an image: '\n"),
    ),
    "is of no policy": (
        "moves.yaml",
        lambda text: text.replace("policyName: moves.", "policyName: goes.", 1),
    ),
    "is there 2 times": (
        "moves.yaml",
        lambda text: text.replace(
            "moves-of-objects.tenantry.dev", "moves-of-namespaces.tenantry.dev"
        ),
    ),
    "not of admissionregistration.k8s.io/v1": (
        "nodes.yaml",
        lambda text: text.replace("k8s.io/v1\n", "k8s.io/v1beta1\n", 1),
    ),
    "neither policy nor binding": (
        "pods.yaml",
        lambda text: f"{text}---\n{{apiVersion: v1, kind: Secret, metadata: {{name: x}}}}\n",
    ),
}


@pytest.mark.parametrize("told", MUTATIONS)
def test_what_is_missing_is_found(tmp_path: Path, told: str) -> None:
    """Else the test above would say nothing."""
    name, mutate = MUTATIONS[told]
    folder = Path(shutil.copytree(ADMISSION, tmp_path / "admission"))
    text = (folder / name).read_text("utf-8")
    assert text != mutate(text)
    (folder / name).write_text(mutate(text), encoding="utf-8")

    assert any(told in fault for fault in faults(folder))


def said(policy: str, variable: str) -> Any:
    """What a variable of a policy is, where it is written out."""
    [found] = [
        each
        for each in documents()
        if each["metadata"]["name"] == policy and each["kind"] == POLICY
    ]
    [expression] = [
        each["expression"] for each in found["spec"]["variables"] if each["name"] == variable
    ]
    return ast.literal_eval(expression)


def test_ids_are_those_of_the_data_file() -> None:
    """Pattern, bounds and reserved names: one rule, written where CEL can read it."""
    assert RULE == {
        "pattern": said("ids.tenantry.dev", "pattern"),
        "min_length": said("ids.tenantry.dev", "bounds")[0],
        "max_length": said("ids.tenantry.dev", "bounds")[1],
        "reserved": said("ids.tenantry.dev", "reserved"),
        "reserved_prefixes": said("ids.tenantry.dev", "reservedPrefixes"),
    }


def test_the_runners_image_is_the_charts() -> None:
    """A chart that names another repository would be refused as a whole."""
    repository = DEFAULTS["images"]["runner"]["repository"]

    assert repository == said("terraforms.tenantry.dev", "repository")


def test_who_deletes_is_who_installs() -> None:
    """The account that Flux acts as, by the Kustomizations of the shards."""
    [_, _, namespace, name] = said("contents.tenantry.dev", "installer").split(":")
    [patch] = yaml.safe_load((BASE / "tenants.yaml").read_text("utf-8"))["spec"]["patches"]
    release = yaml.safe_load(patch["patch"])["spec"]

    assert (namespace, name) == ("tenants", release["serviceAccountName"])


def test_what_the_installer_may_make_nobody_else_deletes() -> None:
    """Each kind that its rights name; pods are made anew, and namespaces are held elsewhere."""
    [rules] = [
        found["rules"]
        for found in yaml.safe_load_all((TENANCY / "installer.yaml").read_text("utf-8"))
        if found["kind"] == "ClusterRole"
    ]
    made = {
        (group, resource)
        for rule in rules
        if "delete" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    [policy] = [
        found
        for found in documents()
        if (found["kind"], found["metadata"]["name"]) == (POLICY, "contents.tenantry.dev")
    ]
    held = {
        (group, resource)
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }

    assert made - held == {("", "pods"), ("", "namespaces")}
    assert held <= made


def asked() -> set[str]:
    """The facts that expressions ask for; one that is put together counts by its beginning."""
    text = "\n".join(yaml.safe_dump(each, width=10_000) for each in documents())
    text = text.replace("''", "'")
    return {field or key for field, key, _ in PARAMETER.findall(text)}


def documented() -> set[str]:
    """The facts of the table in README.md."""
    table = (ADMISSION / "README.md").read_text("utf-8").partition("## Facts")[2]
    return set(
        re.findall(r"`([a-z.-]+)`", "\n".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    )


def test_facts_are_documented() -> None:
    """Who writes the ConfigMap finds each key that some policy asks for, and no other."""
    keys, names = documented(), asked()
    begins = tuple(name for name in names if name.endswith("."))

    assert keys == (names - set(begins)) | {key for key in keys if key.startswith(begins)}
    assert all(any(key.startswith(name) for key in keys) for name in begins)


def test_every_fact_can_be_told_from_the_charts_values() -> None:
    """So that one file of the environment is enough for both."""
    local = {"awsEndpointUrl": "http://engine.example:4566", "kubeconfig": "/run/kubeconfig"}

    assert documented() == facts(values({"id": "acme"}, local=local)).keys()


def test_every_policy_is_in_the_table() -> None:
    """With what it holds and what it refuses."""
    table = (ADMISSION / "README.md").read_text("utf-8").partition("## Facts")[0]
    names = re.findall(r"^\| \[`(\w+)`\]\((\w+)\.yaml\) \|", table, re.MULTILINE)
    policies = [each["metadata"]["name"] for each in documents() if each["kind"] == POLICY]

    assert all(name == file for name, file in names)
    assert policies == [f"{name}.tenantry.dev" for name, _ in names]
