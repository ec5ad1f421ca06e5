"""Where pods land, by the real kube-scheduler: nodes are objects, and nobody runs anything.

An add-on's pods are what its release's values say of them: where they may be, and where they are
to be. A tenant's are the chart's.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

import tool
from chart.render import KINDS, pods, render, values
from cloud.environments import ROOT
from cluster.admission import packaged
from support.cluster import Cluster, open_cluster
from support.flux_standin import FLEET, config_maps, flux_build, kustomize
from support.waiting import wait_for
from tenantctl.addons import NAME, OPTIONAL
from tenantctl.gate.building import entry_points
from tenantry_cloud import flux
from tenantry_cloud.reading import read_environment

pytestmark = pytest.mark.cluster

#: Of the managed nodes, on which a cluster begins: modules/cluster/nodes.tf.
TAINT: Final = {"key": "CriticalAddonsOnly", "value": "true", "effect": "NO_SCHEDULE"}
MANAGED: Final = "managed"
PLACE: Final = ("nodeSelector", "tolerations", "affinity")
#: What Flux and Karpenter need before there are other nodes.
FIRST: Final = frozenset(
    {"aws-load-balancer-controller", "external-secrets", "flux", "karpenter", "karpenter-crds"}
)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What each entry point of dev applies."""
    fleet = Path(shutil.copytree(FLEET, tmp_path_factory.mktemp("fleet") / "fleet"))
    found = kustomize(fleet / "clusters" / "dev")
    maps = config_maps(found)
    maps[NAME] |= {f"{name.replace('-', '_')}_version": "1.0.0" for name in OPTIONAL}
    return {
        name: flux_build(fleet, entry, maps)
        for name, entry in entry_points(found).items()
        if entry["spec"]["path"].startswith("./addons/")
    }


@pytest.fixture(scope="module")
def scheduling(tmp_path_factory: pytest.TempPathFactory) -> Generator[Cluster]:
    """A cluster with a scheduler and one managed node."""
    if tool.built("kubernetes", "kube-scheduler") is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("kube-scheduler is not built: `make test-cluster` does that")
    with open_cluster(tmp_path_factory.mktemp("cluster")) as cluster, cluster.scheduler():
        cluster.namespace("pods")
        node(cluster, MANAGED, {}, [{**TAINT, "effect": "NoSchedule"}])
        yield cluster


def node(
    cluster: Cluster, name: str, labels: Mapping[str, str], taints: list[dict[str, str]]
) -> None:
    """A node that is ready, and large."""
    found: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {"taints": taints},
    }
    answer = cluster.apply(found, dry_run=False)
    assert answer.ok, answer.message
    room = {"cpu": "64", "memory": "256Gi", "pods": "200", "ephemeral-storage": "100Gi"}
    status = {
        "capacity": room,
        "allocatable": room,
        "conditions": [{"type": "Ready", "status": "True", "reason": "There", "message": ""}],
    }
    content = "application/merge-patch+json"
    path = f"/api/v1/nodes/{name}/status"
    assert cluster.request("PATCH", path, {"status": status}, content=content).ok
    # As the node's controller does where the node is Ready: admission begins with the taint.
    assert cluster.request("PATCH", f"/api/v1/nodes/{name}", found, content=content).ok


def pod(name: str, place: Mapping[str, Any]) -> dict[str, Any]:
    """A pod that may be, and is to be, somewhere."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "pods"},
        "spec": {
            **{key: value for key, value in place.items() if key in PLACE and value},
            "containers": [{"name": "main", "image": "example.com/main"}],
        },
    }


def of_add_ons(objects: Mapping[str, list[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """A pod of each release, and of Flux itself."""
    instance = flux.instance(read_environment(ROOT / "platform/environments/dev.tfvars"))
    everywhere = instance["spec"]["kustomize"]["patches"][0]
    assert {"kind": "Deployment"} == everywhere["target"]
    yield pod("flux", {"tolerations": [flux.TOLERATION]})
    for name, found in objects.items():
        for each in found:
            if each["kind"] == "HelmRelease":
                yield pod(name, each["spec"].get("values", {}))


def of_tenants() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of each kind of instance, the pods of its services, with the pool that they are of."""
    for kind, instance in KINDS.items():
        if kind == "basic":
            continue  # it has none of its own
        for number, template in enumerate(pods(render(packaged(values(instance)))).values()):
            yield ("basic" if kind == "pool" else kind), pod(f"{kind}-{number}", template)


def where(cluster: Cluster) -> dict[str, str]:
    """Each pod's node; empty where the scheduler found none."""
    items = cluster.list("v1", "Pod", "pods").body["items"]
    return {each["metadata"]["name"]: each["spec"].get("nodeName", "") for each in items}


def is_decided(cluster: Cluster) -> bool:
    """Whether the scheduler has said of every pod where it goes, or that it goes nowhere."""
    return all(
        any(one["type"] == "PodScheduled" for one in each.get("status", {}).get("conditions", []))
        for each in cluster.list("v1", "Pod", "pods").body["items"]
    )


# In this order: the second goes on where the first one ended.


def test_all_up_to_karpenter_starts_on_the_managed_node_and_nothing_else(
    scheduling: Cluster, objects: dict[str, list[dict[str, Any]]]
) -> None:
    """What waits for Karpenter's nodes says why; tenants, too."""
    made = [*of_add_ons(objects), *(found for _, found in of_tenants())]
    for each in made:
        answer = scheduling.apply(each, dry_run=False)
        assert answer.ok, answer.message

    wait_for(lambda: is_decided(scheduling), what="a verdict of each pod")

    found = where(scheduling)
    assert len(made) == len(found)
    # Definitions are no pods: their release has nothing to tolerate.
    first = FIRST - {"karpenter-crds"}
    assert first == {name for name, at in found.items() if at == MANAGED}
    assert {""} == {at for name, at in found.items() if name not in first}


def test_then_each_lands_on_the_nodes_of_its_pool(
    scheduling: Cluster, objects: dict[str, list[dict[str, Any]]]
) -> None:
    """As Karpenter labels and taints those that it makes; the managed node gets nothing more."""
    for each in objects["nodes"]:
        if each["kind"] == "NodePool":
            template = each["spec"]["template"]
            labels = template["metadata"]["labels"]
            node(scheduling, each["metadata"]["name"], labels, template["spec"].get("taints", []))

    wait_for(lambda: all(where(scheduling).values()), what="a node for each pod")

    found = where(scheduling)
    tenants = {each["metadata"]["name"]: pool for pool, each in of_tenants()}
    assert tenants == {name: found[name] for name in tenants}
    others = {name: at for name, at in found.items() if name not in tenants}
    assert {MANAGED, "system"} == set(others.values())
    assert FIRST - {"karpenter-crds"} == {name for name, at in others.items() if at == MANAGED}
