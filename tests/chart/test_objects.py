"""What renders, for every example: the objects, whose they are, and what they refer to."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
import yaml

from chart.render import (
    BASIC,
    CHART,
    EXAMPLES,
    KINDS,
    PREMIUM,
    Object,
    example,
    mistakes,
    named,
    of_kind,
    pods,
    render,
    rendered,
    values,
    who,
)
from conftest import Golden

#: What an instance renders beside its workloads, where every add-on is on.
OF_A_NAMESPACE = Counter(
    {
        "Namespace": 1,
        "Terraform": 1,
        "ResourceQuota": 1,
        "LimitRange": 1,
        "NetworkPolicy": 8,
        "Ingress": 1,
        "PodMonitor": 1,
        "PrometheusRule": 1,
        "ConfigMap": 1,
        "Pod": 2,
    }
)
OF_A_PRODUCER = Counter(
    ["Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget"]
)
OF_A_CONSUMER = Counter(
    ["Deployment", "Service", "ServiceAccount", "ScaledObject", "TriggerAuthentication"]
)
COMPLETE = {
    "premium": OF_A_NAMESPACE + OF_A_PRODUCER + OF_A_CONSUMER + Counter(["PodDisruptionBudget"]),
    # One consumer at least, so no budget for disruptions.
    "advanced": OF_A_NAMESPACE + OF_A_CONSUMER,
    "basic": Counter(["ConfigMap"]),
    "pool": OF_A_NAMESPACE + OF_A_PRODUCER + OF_A_CONSUMER + Counter(["PodDisruptionBudget"]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_renders_as_its_summary(name: str, golden: Golden) -> None:
    """Kinds, namespaces, names and labels are those that are committed."""
    lines = []
    for found in rendered(name):
        labels = dict(found["metadata"]["labels"])
        for standard in ("name", "part-of", "managed-by", "version"):
            del labels[f"app.kubernetes.io/{standard}"]
        del labels["helm.sh/chart"]
        told = " ".join(f"{key}={value}" for key, value in sorted(labels.items()))
        lines.append(f"{who(found)}\n  {told}\n")

    golden(f"tests/chart/golden/{name}.txt", "".join(sorted(lines)))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_api_server_takes_what_an_example_renders(name: str) -> None:
    """Every object fits the schema of its kind, with no field that nobody knows."""
    found = rendered(name)

    assert found
    assert [] == [mistake for each in found for mistake in mistakes(each)]


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (("spec", "replica"), 3, "replica"),
        (("spec", "template", "spec", "containers", 0, "prots"), [], "prots"),
        (("spec", "template", "spec", "terminationGracePeriodSeconds"), "52", "52"),
        (("spec", "selector"), None, "None"),
    ],
)
def test_the_schemas_refuse_what_the_api_server_would(
    path: tuple[str | int, ...], value: object, told: str
) -> None:
    """A misspelt field, a wrong type, a missing one: else the test above would say nothing."""
    found: Any = named(render(values(PREMIUM)), "Deployment", "consumer")
    inside = found
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value

    [mistake] = mistakes(found)
    assert told in mistake or "null" in mistake


@pytest.mark.parametrize("kind", KINDS)
def test_the_least_values_render_a_complete_instance(kind: str) -> None:
    """Environment, id, tier and pool are enough for all that the kind has."""
    assert COMPLETE[kind] == Counter(each["kind"] for each in render(values(KINDS[kind])))


def test_a_basic_tenant_is_one_record() -> None:
    """No namespace, no Terraform, no role, no route: a ConfigMap that says what was declared."""
    [record] = render(values(BASIC))

    assert "ConfigMap tenants/tenant-initech" == who(record)
    declared = yaml.safe_load(record["data"]["instance.yaml"])
    assert BASIC == {key: declared[key] for key in BASIC}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_object_is_where_it_belongs(name: str) -> None:
    """Workloads in the namespace of the instance, Terraform and record each in one of its own."""
    given = example(name)
    for found in rendered(name):
        home = {"Terraform": "tenant-infra"}.get(found["kind"], given["instance"]["id"])
        if found["metadata"]["labels"]["app.kubernetes.io/component"] == "record":
            home = "tenants"
        if found["kind"] == "Namespace":
            assert home == found["metadata"]["name"]
        else:
            assert home == found["metadata"]["namespace"], who(found)


@pytest.mark.parametrize("name", EXAMPLES)
def test_no_two_objects_have_one_name(name: str) -> None:
    """Of a kind in a namespace, the second would replace the first."""
    found = Counter(who(each) for each in rendered(name))

    assert {1} == set(found.values())


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_object_says_whose_it_is(name: str) -> None:
    """Standard labels, tier, pool and tenant as far as there are any, ring and phase."""
    instance = example(name)["instance"]
    is_pool = instance.get("kind") == "pool"
    for found in rendered(name):
        labels = found["metadata"]["labels"]
        assert {
            "app.kubernetes.io/name": "tenantry",
            "app.kubernetes.io/instance": instance["id"],
            "app.kubernetes.io/part-of": "tenantry",
            "app.kubernetes.io/managed-by": "Helm",
            "app.kubernetes.io/version": "0.1.0",
            "helm.sh/chart": "tenant-template-0.1.0",
            "tenantry.dev/environment": example(name)["facts"]["environment"],
            "tenantry.dev/ring": instance.get("ring", "r2"),
        }.items() <= labels.items(), who(found)
        assert labels["tenantry.dev/phase"] in {"active", "offboarding"}
        assert labels["tenantry.dev/tier"] in {"basic", "advanced", "premium"}
        assert (None if is_pool else instance["id"]) == labels.get("tenantry.dev/tenant")
        in_pool = labels["tenantry.dev/tier"] != "premium"
        assert in_pool == ("tenantry.dev/pool" in labels)


@pytest.mark.parametrize("name", EXAMPLES)
def test_labels_and_annotations_are_text(name: str) -> None:
    """What YAML reads as a number or a truth value is refused, as late as in the cluster."""
    for found in rendered(name):
        metadata = found["metadata"]
        for told in (metadata["labels"], metadata.get("annotations", {})):
            for key, value in told.items():
                assert isinstance(value, str), f"{who(found)} {key}"
                if told is metadata["labels"]:
                    assert len(value) <= 63


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_selector_finds_exactly_its_pods(name: str) -> None:
    """Of Services, budgets and Deployments: the pods of that workload and no others."""
    objects = rendered(name)
    labels = {
        who(each): each["spec"]["template"]["metadata"]["labels"]
        for each in of_kind(objects, "Deployment")
    } | {who(each): each["metadata"]["labels"] for each in of_kind(objects, "Pod")}

    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        for found in of_kind(objects, kind):
            selector = found["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            chosen = [of for of, has in labels.items() if wanted.items() <= has.items()]
            space, its_name = found["metadata"]["namespace"], found["metadata"]["name"]
            assert [f"Deployment {space}/{its_name}"] == chosen


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_referred_to_is_there(name: str) -> None:
    """Service accounts, scaled workloads, authentications and backends, in the same namespace."""
    objects = rendered(name)
    there = {who(each) for each in objects}
    for found in objects:
        space = found["metadata"].get("namespace")
        assert {f"{kind} {space}/{to}" for kind, to in _references(found)} <= there, who(found)
    for of, spec in pods(objects).items():
        account = spec.get("serviceAccountName")
        space = of.partition(" ")[2].partition("/")[0]
        assert account is None or f"ServiceAccount {space}/{account}" in there


def _references(found: Object) -> set[tuple[str, str]]:
    spec = found.get("spec", {})
    if found["kind"] == "HorizontalPodAutoscaler":
        return {("Deployment", spec["scaleTargetRef"]["name"])}
    if found["kind"] == "ScaledObject":
        asked = {each["authenticationRef"]["name"] for each in spec["triggers"][:1]}
        return {("Deployment", spec["scaleTargetRef"]["name"])} | {
            ("TriggerAuthentication", each) for each in asked
        }
    if found["kind"] == "HTTPRoute":
        return {("Service", to["name"]) for rule in spec["rules"] for to in rule["backendRefs"]}
    if found["kind"] == "Ingress":
        annotations = found["metadata"]["annotations"]
        backends = set()
        for rule in spec["rules"]:
            for path in rule["http"]["paths"]:
                service = path["backend"]["service"]
                if service["port"]["name"] == "use-annotation":
                    action = annotations[f"alb.ingress.kubernetes.io/actions.{service['name']}"]
                    for group in json.loads(action)["forwardConfig"]["targetGroups"]:
                        backends.add(("Service", group["serviceName"]))
                else:
                    backends.add(("Service", service["name"]))
        return backends
    return set()


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_hooks_in_but_tests(name: str) -> None:
    """A hook is outside of what Helm keeps, waits for and rolls back."""
    for found in rendered(name):
        hook = found["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert ("test" if found["kind"] == "Pod" else None) == hook


@pytest.mark.parametrize("name", EXAMPLES)
def test_helm_lints_without_a_word(name: str) -> None:
    """No error and no warning; an icon is not wanted."""
    helm_python = pytest.importorskip("helm_python")
    found = helm_python.lint(str(CHART), example(name), strict=True, kube_version="v1.35.0")
    said = [each for each in found["messages"] if "icon is recommended" not in each["error"]]

    assert [] == said
    assert [] == found["errors"]


def test_a_package_holds_what_is_installed(tmp_path: Any) -> None:
    """Templates, tiers, rules and probe are in it, the examples are not, and it renders alike."""
    helm_python = pytest.importorskip("helm_python")
    archive = helm_python.package(str(CHART), destination=str(tmp_path))
    packed = helm_python.Chart.load(archive)
    names = {each["name"] for each in packed.files}

    assert {"tiers.yaml", "files/alerts.yaml", "files/dashboard.yaml", "files/probe.py"} <= names
    assert not any(each.startswith("ci/") for each in names)
    given = values(PREMIUM)
    unpacked = helm_python.Chart.load(str(CHART))
    assert unpacked.render(given, name="acme") == packed.render(given, name="acme")
