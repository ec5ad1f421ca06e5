"""`clusters/dev` from empty, by Flux's own kustomize-controller on a real API server.

Source- and helm-controller, and those that say Ready of what they make, are stand-ins
(`support/reconcilers_standin.py`): definitions come only with the release that brings them.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Final

import pytest

import tool
from support.cluster import COMMANDS, Cluster, open_cluster
from support.cluster_outputs import FACTS
from support.fleets import a_pool, a_tenant
from support.flux_controllers import (
    CONTROLLERS,
    KUSTOMIZE,
    NAMESPACE,
    as_the_operator_leaves_it,
    binary,
    options,
    running,
)
from support.flux_standin import FLEET, kustomize
from support.kube_api import Object
from support.reconcilers_standin import (
    HELM,
    Standins,
    condition,
    standins,
)
from tenantctl import facts
from tenantctl.files import path_of
from tenantctl.files import render as file_of
from tenantctl.gate.building import entry_points
from tenantctl.model import RINGS, shard_of
from tenantctl.releases import Held, Release, path_of_train, render_rings

# Entry points wait for each other a second at a time, and some of them are five deep.
pytestmark = pytest.mark.cluster

RELEASE: Final = Release("1.4.0", f"sha256:{'a' * 64}")
#: Suspended in a fresh fleet until facts name what its workflows run.
SUSPENDED: Final = {"control-plane", "states"}


class World:
    """A cluster that Flux follows a folder on."""

    def __init__(self, cluster: Cluster, fleet: Path, standins: Standins, log: Path) -> None:
        self.cluster = cluster
        self.fleet = fleet
        self.standins = standins
        self.log = log
        self._commits = 0

    def push(self) -> str:
        """Have main hold the folder; its revision, as Flux names it."""
        self._commits += 1
        commit = f"{self._commits:040x}"
        self.standins.push(self.fleet, commit)
        return f"main@sha1:{commit}"

    def entries(self) -> dict[str, Object]:
        """Flux's entry points in the cluster, by name."""
        items = self.cluster.list(KUSTOMIZE, "Kustomization", NAMESPACE).body["items"]
        return {each["metadata"]["name"]: each for each in items}

    def ready(self, revision: str) -> set[str]:
        """Who has applied a revision, and is Ready."""
        return {
            name
            for name, each in self.entries().items()
            if condition(each).get("status") == "True"
            and each["status"].get("lastAppliedRevision") == revision
        }

    def said(self, name: str) -> str:
        """What is said of an entry point."""
        return str(condition(self.entries()[name]).get("message", ""))


def followed() -> dict[str, set[str]]:
    """The entry points of dev, each with all that it waits for."""
    direct = {
        name: {need["name"] for need in entry["spec"].get("dependsOn", [])}
        for name, entry in entry_points(kustomize(FLEET / "clusters" / "dev")).items()
    }

    def all_of(name: str) -> set[str]:
        return direct[name].union(*(all_of(need) for need in direct[name]))

    return {name: all_of(name) for name in direct}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fleet as it starts, with the facts of an environment that was made."""
    folder = tmp_path_factory.mktemp("reconciled") / "fleet"
    found = Path(shutil.copytree(FLEET, folder))
    path = found / facts.facts_path("dev")
    path.write_bytes(facts.render(facts.parse("facts", FACTS), path.read_bytes()))
    return found


@pytest.fixture(scope="module")
def world(fleet: Path, tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """An empty cluster with Flux, as its operator leaves it, and `karpenter` that never starts."""
    program = binary("reconciling", "kustomize-controller")
    if program is None or tool.built("kubernetes", *COMMANDS) is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("kustomize-controller is not built: `make test-cluster` does that")
    folder = tmp_path_factory.mktemp("cluster")
    with (
        open_cluster(folder) as cluster,
        standins(cluster, folder / "artifacts") as played,
        cluster.controller_manager(),
    ):
        cluster.install_crds(*(f"{kind}.toolkit.fluxcd.io" for kind in CONTROLLERS))
        cluster.namespace(NAMESPACE)
        for each in as_the_operator_leaves_it():
            answer = cluster.apply(each, dry_run=False)
            assert answer.ok, answer.message
        with running(program, cluster, folder, *options()) as log:
            played.held.add("karpenter")
            yield World(cluster, fleet, played, log)


# In this order: each goes on where the last one ended.


def test_nothing_begins_before_what_it_waits_for(world: World) -> None:
    """While Karpenter does not get Ready all others do, but for those that need its nodes."""
    needs = followed()
    late = {name for name, all_of in needs.items() if "karpenter" in all_of}
    revision = world.push()

    late -= SUSPENDED
    others = {NAMESPACE, *needs} - late - {"karpenter"} - SUSPENDED
    world.standins.until(
        lambda: others <= world.ready(revision), what=f"all but Karpenter ({world.log})"
    )

    assert {"nodes", "keda", "tofu-controller", "tenants-0"} <= late
    for name in late:
        assert "inventory" not in world.entries()[name].get("status", {})
        assert "dependency" in world.said(name), name


def test_then_all_of_it_becomes_ready(world: World) -> None:
    """In the order that entry points say, by the server's own clock."""
    world.standins.held.clear()
    needs = followed()

    wanted = {NAMESPACE, *needs} - SUSPENDED
    world.standins.until(
        lambda: wanted <= {n for n, e in world.entries().items() if _is_ready(e)},
        what=f"all of clusters/dev ({world.log})",
        seconds=180.0,
    )

    entries = world.entries()
    since = {name: condition(entries[name])["lastTransitionTime"] for name in wanted}
    for name in wanted - {NAMESPACE}:
        assert all(since[need] <= since[name] for need in needs[name]), name


def _is_ready(entry: Object) -> bool:
    return condition(entry).get("status") == "True"


def test_a_tenant_that_comes_after_it_is_installed(world: World) -> None:
    """From a file as `tenantctl` writes it: its shard's account, the environment's facts."""
    pool, acme = a_pool(), a_tenant("acme")
    for one in (pool, acme):
        (world.fleet / path_of("dev", one)).write_bytes(file_of(one))
    for train in ("basic", "pools"):
        path = world.fleet / path_of_train("dev", train)
        path.write_bytes(render_rings(train, dict.fromkeys(RINGS, Held(RELEASE))))
    world.standins.published.add(RELEASE.digest)
    world.push()

    def is_there(name: str) -> bool:
        found = world.cluster.get(HELM, "HelmRelease", name, "tenants")
        return found.ok and _is_ready(found.body)

    world.standins.until(
        lambda: is_there("acme") and is_there("pool-1"), what=f"acme ({world.log})"
    )

    spec = world.cluster.get(HELM, "HelmRelease", "acme", "tenants").body["spec"]
    assert "tenant-installer" == spec["serviceAccountName"]
    assert {"strategy": {"name": "RetryOnFailure", "retryInterval": "5m"}} | spec["install"] == (
        spec["install"]
    )
    assert [{"kind": "ConfigMap", "name": "facts", "valuesKey": "values.yaml"}] == spec[
        "valuesFrom"
    ]
    for service in ("producer", "consumer"):
        found = world.cluster.get("apps/v1", "Deployment", service, "pool-1")
        assert found.ok, found.message
    assert world.cluster.get("v1", "ConfigMap", "tenant-acme", "tenants").ok


def test_a_broken_file_holds_up_its_own_shard_only(world: World) -> None:
    """All others take the same revision; who lives there stays, and mended it goes on."""
    broken = f"tenants-{shard_of('acme')}"
    path = world.fleet / path_of("dev", a_tenant("acme"))
    whole = path.read_bytes()
    path.write_text("apiVersion: [\n", encoding="utf-8")
    revision = world.push()

    wanted = {NAMESPACE, *followed()} - SUSPENDED - {broken}
    world.standins.until(
        lambda: wanted <= world.ready(revision) and not _is_ready(world.entries()[broken]),
        what=f"all but {broken} ({world.log})",
        seconds=180.0,
    )

    assert "acme.yaml" in world.said(broken)
    assert world.cluster.get(HELM, "HelmRelease", "acme", "tenants").ok
    path.write_bytes(whole)
    revision = world.push()
    world.standins.until(lambda: broken in world.ready(revision), what=f"{broken} mended")


def test_a_fact_that_is_missing_is_named_and_changes_nothing(world: World) -> None:
    """Strictly, as the FluxInstance has it: by itself Flux would fill in nothing."""
    path = world.fleet / "clusters/dev/addons/facts.yaml"
    text = path.read_text("utf-8")
    path.write_text(text.replace("  cluster_name: dev\n", ""), encoding="utf-8")
    before = world.cluster.get(HELM, "HelmRelease", "karpenter", NAMESPACE).body["spec"]
    world.push()

    world.standins.until(
        lambda: "cluster_name" in world.said("karpenter"),
        what=f"karpenter to say so ({world.log})",
    )

    assert not _is_ready(world.entries()["karpenter"])
    assert before == world.cluster.get(HELM, "HelmRelease", "karpenter", NAMESPACE).body["spec"]
    path.write_text(text, encoding="utf-8")
    revision = world.push()
    # Asked at once, it finds the facts as they were, and comes again within a minute.
    world.standins.until(
        lambda: "karpenter" in world.ready(revision), what="karpenter again", seconds=180.0
    )
