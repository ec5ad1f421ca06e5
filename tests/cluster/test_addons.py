"""Add-ons as Flux builds them: in order, filled in, and on the nodes that there are by then."""

from __future__ import annotations

import graphlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from chart.render import CHART, Object
from support.flux_standin import (
    ENVIRONMENTS,
    FLEET,
    BuildError,
    config_maps,
    flux_build,
    kustomize,
)
from tenantctl.addons import LABEL, NAME, OPTIONAL

pytestmark = pytest.mark.cluster

#: Which entry point brings the definitions of a group.
DEFINED_BY: Final = {
    "argoproj.io": "argo-events",
    "external-secrets.io": "external-secrets",
    "karpenter.k8s.aws": "karpenter-crds",
    "karpenter.sh": "karpenter-crds",
}
#: Flux's own are there before it follows anything; what has no group is Kubernetes'.
WITH_FLUX: Final = ("fluxcd.io", "k8s.io", "apps", "batch", "v1")


def entries(objects: list[Object]) -> dict[str, Object]:
    """Flux's entry points, by name."""
    return {
        each["metadata"]["name"]: each
        for each in objects
        if each["apiVersion"] == "kustomize.toolkit.fluxcd.io/v1"
    }


@cache
def followed(environment: str) -> dict[str, Object]:
    """An environment's entry points."""
    return entries(kustomize(FLEET / "clusters" / environment))


def needs(name: str, there: dict[str, Object]) -> set[str]:
    """All that is Ready before an entry point begins."""
    direct = {each["name"] for each in there[name]["spec"].get("dependsOn", [])}
    return direct.union(*(needs(other, there) for other in direct))


def all_switched_on(fleet: Path) -> tuple[dict[str, Object], dict[str, dict[str, str]]]:
    """Every add-on's entry point, and facts that fill in all of them."""
    folder = fleet / "clusters" / "dev" / "addons"
    switches = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    switches.pop("patches", None)
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(switches), encoding="utf-8")
    objects = kustomize(fleet / "clusters" / "dev")
    maps = config_maps(objects)
    maps[NAME] |= {"zone_id": "Z0123456789"} | {
        f"{name.replace('-', '_')}_version": "1.0.0" for name in OPTIONAL
    }
    return entries(objects), maps


def of_addons(fleet: Path) -> Iterator[tuple[str, Object]]:
    """What each add-on is made of, all switched on, beside its entry point's name."""
    there, maps = all_switched_on(fleet)
    for name, entry in there.items():
        if entry["spec"].get("path", "").startswith("./addons/"):
            for found in flux_build(fleet, entry, maps):
                yield name, found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_entry_points_are_in_an_order(environment: str) -> None:
    """What one needs is there, and none waits for itself."""
    there = followed(environment)
    graph = {
        name: {each["name"] for each in entry["spec"].get("dependsOn", [])}
        for name, entry in there.items()
    }

    assert set() == set().union(*graph.values()) - there.keys()
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert order.index("karpenter-crds") < order.index("karpenter") < order.index("nodes")
    assert order.index("external-secrets") < order.index("secrets")
    assert order.index("tofu-controller") < order.index("tenants-0")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_needed_is_waited_for(environment: str) -> None:
    """An add-on's entry point is Ready when what it applied is, or not at all."""
    specs = [
        entry["spec"]
        for entry in followed(environment).values()
        if entry["spec"]["path"].startswith("./addons/")
    ]

    assert specs
    assert [(True, True, "15m", [{"kind": "ConfigMap", "name": NAME}])] * len(specs) == [
        (s["wait"], s["prune"], s["timeout"], s["postBuild"]["substituteFrom"]) for s in specs
    ]


def test_no_object_comes_before_its_definition(fleet: Path) -> None:
    """Who brings objects of a group waits for who brings its definitions."""
    there, _ = all_switched_on(fleet)
    early = {}
    for name, found in of_addons(fleet):
        group = found["apiVersion"].partition("/")[0]
        if not group.endswith(WITH_FLUX) and DEFINED_BY[group] not in needs(name, there):
            early[name] = group

    assert {} == early


def test_all_up_to_karpenter_runs_on_the_managed_nodes(fleet: Path) -> None:
    """They are tainted, and the only ones until it has made others."""
    there, _ = all_switched_on(fleet)
    tolerations = {
        name: re.findall(r"CriticalAddonsOnly", yaml.safe_dump(found["spec"].get("values")))
        for name, found in of_addons(fleet)
        if found["kind"] == "HelmRelease"
    }

    without_nodes = {name for name in tolerations if "nodes" not in needs(name, there)}
    assert {
        "aws-load-balancer-controller",
        "external-secrets",
        "karpenter",
        "karpenter-crds",
    } == without_nodes
    # external-secrets are three Deployments; definitions run nowhere.
    assert {
        "aws-load-balancer-controller": 1,
        "external-secrets": 3,
        "karpenter": 1,
        "karpenter-crds": 0,
    } == {name: len(tolerations[name]) for name in without_nodes}
    assert not any(found for name, found in tolerations.items() if name not in without_nodes)


@pytest.mark.parametrize("addon", OPTIONAL)
def test_an_add_on_that_is_off_is_left_out(fleet: Path, addon: str) -> None:
    """With whatever cannot be without it, which its label says."""
    there, _ = all_switched_on(fleet)
    folder = fleet / "clusters" / "dev" / "addons"
    as_written = yaml.safe_load((FLEET / "clusters/dev/addons/kustomization.yaml").read_text())
    patch = {
        "target": {"kind": "Kustomization", "labelSelector": f"{LABEL}={addon}"},
        "patch": as_written["patches"][0]["patch"],
    }
    switches = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))
    text = yaml.safe_dump({**switches, "patches": [patch]})
    (folder / "kustomization.yaml").write_text(text, encoding="utf-8")

    gone = there.keys() - entries(kustomize(fleet / "clusters" / "dev")).keys()

    also = {"control-plane"} if addon == "argo-events" else set()
    assert {addon, *also} == gone


def test_a_fact_that_is_missing_is_named(fleet: Path) -> None:
    """Nothing is applied with a hole in it."""
    there, maps = all_switched_on(fleet)
    del maps[NAME]["cluster_name"]

    with pytest.raises(BuildError, match=r"'karpenter': variable not set .*cluster_name"):
        flux_build(fleet, there["karpenter"], maps)


def test_every_fact_is_used() -> None:
    """A misspelt one would be a fact of nothing."""
    used = {
        name
        for folder in ("addons", "automation", "notifications")
        for path in (FLEET / folder).rglob("*.yaml")
        for name in re.findall(r"\$\{(\w+)\}", path.read_text("utf-8"))
    }
    for environment in ENVIRONMENTS:
        [told] = config_maps(kustomize(FLEET / "clusters" / environment)).values()
        assert set() == told.keys() - used


def test_releases_are_repaired_and_never_uninstalled(fleet: Path) -> None:
    """With definitions replaced, since Helm alone never does, and rights that are Flux's own."""
    for _, found in of_addons(fleet):
        if found["kind"] == "HelmRelease":
            spec = found["spec"]
            assert "helm-controller" == spec["serviceAccountName"]
            assert spec["targetNamespace"] == spec["storageNamespace"]
            assert {"mode": "enabled"} == spec["driftDetection"]
            # What a release of their own has, no other one touches.
            definitions = "Skip" if found["metadata"]["name"] == "karpenter" else "CreateReplace"
            for action in ("install", "upgrade"):
                assert definitions == spec[action]["crds"]
                assert {"name": "RetryOnFailure"} == spec[action]["strategy"]


def test_what_is_installed_has_its_namespace(fleet: Path) -> None:
    """Of its own name, in which nothing of Flux is.

    Once `namespace: flux-system` of each add-on's kustomization was their name, too: none was
    made, Grafana's login lay where Grafana is not, and flux-system had pod security by turns.
    """
    there, maps = all_switched_on(fleet)
    made = {"flux-system", "kube-system"}
    for entry in there.values():
        for found in flux_build(fleet, entry, maps):
            if found["kind"] == "Namespace":
                assert found["metadata"]["name"] not in made
                made.add(found["metadata"]["name"])
    for _, found in of_addons(fleet):
        namespace = found["metadata"].get("namespace")
        if found["kind"] in {"HelmRelease", "HelmRepository", "OCIRepository"}:
            assert "flux-system" == namespace
        if found["kind"] == "HelmRelease":
            assert found["spec"]["targetNamespace"] in made
        elif namespace is not None:
            assert namespace in made


def test_charts_are_pinned(fleet: Path) -> None:
    """To one version, of the environment's file or their own."""
    found = dict[str, str]()
    for name, each in of_addons(fleet):
        if each["kind"] == "OCIRepository":
            found[name] = each["spec"]["ref"]["tag"]
        elif each["kind"] == "HelmRelease" and "chart" in each["spec"]:
            found[name] = each["spec"]["chart"]["spec"]["version"]

    assert {} == {
        name: version
        for name, version in found.items()
        if not re.fullmatch(r"\d+\.\d+\.\d+", version)
    }


def nodes(fleet: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Specs of the pools by name, and of their machines."""
    found = [each for name, each in of_addons(fleet) if name == "nodes"]
    [machines] = [each["spec"] for each in found if each["kind"] == "EC2NodeClass"]
    pools = {e["metadata"]["name"]: e["spec"] for e in found if e["kind"] == "NodePool"}
    return pools, machines


def test_each_tier_has_nodes_of_its_own(fleet: Path) -> None:
    """By the label that its pods select, and a taint for all others; add-ons' nodes have none."""
    pools, _ = nodes(fleet)
    names = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))["facts"]["nodePools"]

    assert {*names.values(), "system"} == pools.keys()
    for name, spec in pools.items():
        template = spec["template"]
        taint = {"key": "tenantry.dev/node-pool", "value": name, "effect": "NoSchedule"}
        assert {"tenantry.dev/node-pool": name} == template["metadata"]["labels"]
        assert ([] if name == "system" else [taint]) == template["spec"].get("taints", [])


def test_spot_is_first_and_on_demand_is_in_the_same_pool(fleet: Path) -> None:
    """Of two pools by weight the second would not be taken when AWS has no Spot of the first."""
    pools, _ = nodes(fleet)
    for spec in pools.values():
        [capacity] = [
            each["values"]
            for each in spec["template"]["spec"]["requirements"]
            if each["key"] == "karpenter.sh/capacity-type"
        ]
        assert ["spot", "on-demand"] == capacity
        assert "weight" not in spec
        assert {"cpu", "memory"} == spec["limits"].keys()
        assert spec["disruption"]["budgets"]


def test_machines_keep_their_credentials_to_themselves(fleet: Path) -> None:
    """Their metadata answer signed requests of the machine alone; disks are encrypted."""
    _, machines = nodes(fleet)

    assert "required" == machines["metadataOptions"]["httpTokens"]
    assert 1 == machines["metadataOptions"]["httpPutResponseHopLimit"]
    assert machines["blockDeviceMappings"]
    assert all(each["ebs"]["encrypted"] for each in machines["blockDeviceMappings"])
    assert "@latest" not in machines["amiSelectorTerms"][0]["alias"]
    assert machines["associatePublicIPAddress"] is False


def _named(fleet: Path, kind: str, name: str) -> Object:
    [found] = [
        each
        for _, each in of_addons(fleet)
        if (each["kind"], each["metadata"]["name"]) == (kind, name)
    ]
    return found


def test_the_runner_has_no_right_over_the_cluster(fleet: Path) -> None:
    """Its chart binds it to every Secret there is, whatever its values say."""
    spec = _named(fleet, "HelmRelease", "tofu-controller")["spec"]

    [patch] = spec["postRenderers"][0]["kustomize"]["patches"]
    assert {"kind": "ClusterRoleBinding", "name": "tf-runner-rolebinding"} == patch["target"]
    assert {"$patch": "delete"}.items() <= yaml.safe_load(patch["patch"]).items()


def test_tofu_controller_may_fetch_the_module(fleet: Path) -> None:
    """Flux's own policies let its pods alone reach source-controller."""
    policy = _named(fleet, "NetworkPolicy", "artifacts-for-tofu-controller")

    assert "flux-system" == policy["metadata"]["namespace"]
    assert {"app": "source-controller"} == policy["spec"]["podSelector"]["matchLabels"]
    [rule] = policy["spec"]["ingress"]
    assert [{"protocol": "TCP", "port": 9090}] == rule["ports"]
    [whom] = rule["from"]
    place = _named(fleet, "HelmRelease", "tofu-controller")["spec"]["targetNamespace"]
    assert place == whom["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]


def test_pods_of_argo_are_as_their_namespaces_ask(fleet: Path) -> None:
    """Its charts say no seccomp profile, and Argo Events' no user: nothing of them would start."""
    profile = {"type": "RuntimeDefault"}
    workflows = _named(fleet, "HelmRelease", "argo-workflows")["spec"]["values"]
    events = _named(fleet, "HelmRelease", "argo-events")["spec"]["values"]

    for part in ("controller", "server"):
        assert profile == workflows[part]["podSecurityContext"]["seccompProfile"]
        assert "--managed-namespace=argo-control" in workflows[part]["extraArgs"]
    pod = events["global"]["securityContext"]
    assert (True, profile) == (pod["runAsNonRoot"], pod["seccompProfile"])
    container = events["controller"]["containerSecurityContext"]
    assert (False, ["ALL"]) == (
        container["allowPrivilegeEscalation"],
        container["capabilities"]["drop"],
    )


def test_a_claim_without_a_class_gets_an_encrypted_volume(fleet: Path) -> None:
    """EKS has no default class: Prometheus and the event bus would wait for ever."""
    [found] = [each for _, each in of_addons(fleet) if each["kind"] == "StorageClass"]

    assert {"type": "gp3", "encrypted": "true"} == found["parameters"]
    assert (
        "true" == found["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"]
    )
