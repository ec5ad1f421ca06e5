"""The fleet as Flux builds it, and what it builds as a real API server takes it."""

from __future__ import annotations

import copy
import re
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from chart.render import EXAMPLES, Object, example, render, who
from cluster.admission import POLICY, account, documents, done, facts, facts_map, packaged
from support.cluster import Cluster
from support.fleets import a_pool, a_tenant
from support.flux_standin import (
    ENVIRONMENTS,
    FLEET,
    BuildError,
    config_maps,
    flux_build,
    kustomize,
)
from support.waiting import wait_for
from tenantctl.files import path_of, tenants_folder
from tenantctl.files import render as file_of
from tenantctl.model import RINGS, TIERS, Home, Instance, shard_of

pytestmark = pytest.mark.cluster

SHARDS: Final = (*"0123456789abcdef", "pools")
#: What a release is named by.
DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
FLUX: Final = "kustomize.toolkit.fluxcd.io/v1"
INSTALLER: Final = account("tenants", "tenant-installer")
FILES: Final = account("flux-system", "tenant-files")
RUNNER: Final = account("tenant-infra", "tf-runner")
#: Tenants of whom at least one is in each shard, and one of each tier.
TENANTS: Final = tuple(a_tenant(f"tenant-{number}") for number in range(80))
OTHERS: Final = (
    Instance(id="harbour", home=Home("advanced", "pool-1"), ring="r0"),
    Instance(id="summit", home=Home("premium"), ring="r1", group="premium-1"),
    a_pool(),
)


@pytest.fixture
def inhabited(fleet: Path) -> Path:
    """The fleet with tenants, in files as `tenantctl` writes them."""
    for instance in (*TENANTS, *OTHERS):
        (fleet / path_of("dev", instance)).write_bytes(file_of(instance))
    return fleet


def followed(fleet: Path, environment: str) -> dict[str, Object]:
    """The Kustomizations of an environment, by name."""
    found = kustomize(fleet / "clusters" / environment)
    return {each["metadata"]["name"]: each for each in found if each["apiVersion"] == FLUX}


def built(fleet: Path, environment: str = "dev") -> dict[str, list[Object] | BuildError]:
    """What Flux builds for each shard, or why not."""
    found: dict[str, list[Object] | BuildError] = {}
    for name, each in followed(fleet, environment).items():
        if name.startswith("tenants-"):
            try:
                found[name.removeprefix("tenants-")] = flux_build(fleet, each)
            except BuildError as error:
                found[name.removeprefix("tenants-")] = error
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_entry_point_builds(fleet: Path, environment: str) -> None:
    """Each folder that Flux is told to follow is there and builds, in a fleet that is fresh."""
    maps = config_maps(kustomize(fleet / "clusters" / environment))
    for each in followed(fleet, environment).values():
        flux_build(fleet, each, maps)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_follows_all_of_its_shards_and_nobody_elses(
    fleet: Path, environment: str
) -> None:
    """Sixteen shards and the pools, each folder once, all with the same settings."""
    found = {
        name.removeprefix("tenants-"): each["spec"]
        for name, each in followed(fleet, environment).items()
        if name.startswith("tenants-")
    }

    assert sorted(SHARDS) == sorted(found)
    assert {shard: f"./{tenants_folder(environment)}/{shard}" for shard in SHARDS} == {
        shard: spec.pop("path") for shard, spec in found.items()
    }
    assert [found["pools"]] * len(SHARDS) == list(found.values())
    others = {e for e in ENVIRONMENTS if e != environment}
    paths = {each["spec"].get("path", "") for each in followed(fleet, environment).values()}
    assert not [path for path in paths if others & set(path.split("/"))]


def test_shards_that_nobody_is_in_build_to_nothing(fleet: Path) -> None:
    """Their folders are kept by an empty file: a folder that is gone would be an error."""
    assert {shard: [] for shard in SHARDS} == built(fleet)

    shutil.rmtree(fleet / "tenants" / "dev" / "a")

    assert "not found" in str(built(fleet)["a"])


def test_a_corrupt_file_holds_up_its_own_shard_only(inhabited: Path) -> None:
    """Fifteen of sixteen shards build as before, with all their tenants; the sixteenth fails."""
    before = built(inhabited)
    bad = inhabited / path_of("dev", TENANTS[0])
    shard = shard_of(TENANTS[0].id)

    bad.write_text("apiVersion: [\n", encoding="utf-8")
    after = built(inhabited)

    assert [shard] == [key for key, found in after.items() if isinstance(found, BuildError)]
    assert {**before, shard: None} == {**after, shard: None}
    assert all(before.values())


def test_a_file_that_is_no_object_holds_up_its_own_shard_only(inhabited: Path) -> None:
    """As does one that is YAML, and nothing that a cluster knows."""
    (inhabited / path_of("dev", TENANTS[0])).write_text("tier: basic\n", encoding="utf-8")

    failed = [key for key, found in built(inhabited).items() if isinstance(found, BuildError)]

    assert [shard_of(TENANTS[0].id)] == failed


def test_a_fresh_fleet_names_no_release(fleet: Path) -> None:
    """Each ring of each tier, the pools and the module is there, and fetches nothing."""
    sources = of_releases(fleet)
    trains = {"tenants": (*TIERS, "pools"), "tenant-infra": ("tenant-module",)}

    assert {
        (namespace, f"{train}-{ring}")
        for namespace, trains_there in trains.items()
        for train in trains_there
        for ring in RINGS
    } == {(each["metadata"]["namespace"], each["metadata"]["name"]) for each in sources}
    assert all(each["spec"]["suspend"] and "ref" not in each["spec"] for each in sources)
    assert not [path for path in fleet.rglob("*.yaml") if DIGEST.search(path.read_text("utf-8"))]


def of_releases(fleet: Path) -> list[Object]:
    """The sources of dev's charts and modules."""
    found = flux_build(fleet, followed(fleet, "dev")["releases"])
    return [each for each in found if each["kind"] == "OCIRepository"]


def test_every_instance_has_the_source_that_its_file_names(inhabited: Path) -> None:
    """In the namespace of its release: nothing refers across namespaces."""
    names = {
        each["metadata"]["name"]
        for each in of_releases(inhabited)
        if each["metadata"]["namespace"] == "tenants"
    }
    releases = [each for found in built(inhabited).values() for each in as_objects(found)]

    assert len(TENANTS) + len(OTHERS) == len(releases)
    assert {each["spec"]["chartRef"]["name"] for each in releases} <= names
    assert {"tenants"} == {each["metadata"]["namespace"] for each in releases}


def as_objects(found: list[Object] | BuildError) -> list[Object]:
    assert not isinstance(found, BuildError), found
    return found


# --- on the API server ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(cluster: Cluster) -> Cluster:
    """The server with the namespaces and rights that the fleet brings."""
    for name in ("flux-system", "monitoring", "tenants", "tenant-infra"):
        cluster.namespace(name)
    for found in kustomize(FLEET / "infrastructure" / "tenancy"):
        if found["kind"] not in {"Namespace", "PriorityClass"}:
            done(cluster.apply(found, dry_run=False))
    return cluster


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_all_that_a_fresh_fleet_brings_is_taken(
    server: Cluster, fleet: Path, environment: str
) -> None:
    """Strict fields and rules of custom resources, of what Flux follows and what that builds."""
    objects = kustomize(fleet / "clusters" / environment)
    maps = config_maps(objects)
    for name, each in followed(fleet, environment).items():
        if name not in {"admission", "control-plane"}:
            objects += flux_build(fleet, each, maps)
    refused = {}
    for found in objects:
        tried = found
        if found["kind"] == "PriorityClass":  # other tests have some of these names
            tried = copy.deepcopy(found)
            tried["metadata"]["name"] += "-of-the-fleet"
        answer = server.apply(tried)
        if not answer.ok or answer.warnings:
            refused[who(found)] = answer.message or answer.warnings

    assert {} == refused


def test_a_ring_with_a_release_is_taken(server: Cluster, fleet: Path) -> None:
    """The one line that a release is, in the place of the one that says there is none."""
    file = fleet / "releases" / "dev" / "basic.yaml"
    line = f'  ref: {{tag: "1.2.3", digest: "sha256:{"a" * 64}"}} # before: none'
    file.write_text(file.read_text("utf-8").replace("  suspend: true # no release yet", line, 1))
    [found] = [each for each in of_releases(fleet) if "ref" in each["spec"]]

    assert "basic-r0" == found["metadata"]["name"]
    assert {"tag": "1.2.3", "digest": f"sha256:{'a' * 64}"} == found["spec"]["ref"]
    assert "suspend" not in found["spec"]
    done(server.apply(found))


@pytest.fixture
def admitting(server: Cluster) -> Generator[Cluster]:
    """The server with the fleet's admission policies, and facts, in force."""
    values = packaged(example("premium"))
    done(server.apply(facts_map(facts(values)), dry_run=False))
    policies = documents()
    done(server.apply(policies, dry_run=False))
    foreign = release_of(OTHERS[1])
    foreign["spec"]["serviceAccountName"] = "somebody"

    def holds(*, in_force: bool) -> bool:
        return (POLICY in server.apply(foreign).message) is in_force

    try:
        wait_for(lambda: holds(in_force=True), seconds=20.0, what="admission in force")
        yield server
    finally:
        for each in policies:
            server.delete(each)
        wait_for(lambda: holds(in_force=False), seconds=20.0, what="admission out of force")


def release_of(instance: Instance) -> dict[str, Any]:
    """The smallest release that differs from the fleet's by what a test puts into it."""
    found: dict[str, Any] = yaml.safe_load(file_of(instance))
    found["metadata"]["namespace"] = "tenants"
    found["spec"] |= {
        "interval": "1h",
        "serviceAccountName": "tenant-installer",
        "install": {"strategy": {"name": "RetryOnFailure"}},
    }
    return found


def test_a_tenants_file_and_its_shards_patches_are_admitted(
    admitting: Cluster, inhabited: Path
) -> None:
    """As `tenantctl` writes it and Flux builds it, applied with the rights that its shard has."""
    found = [each for shard in built(inhabited).values() for each in as_objects(shard)]
    chosen = {one.id for one in (*TENANTS[:3], *OTHERS)}
    refused = {}
    for each in found:
        if each["metadata"]["name"] in chosen:
            answer = admitting.apply(each, as_user=FILES)
            if not answer.ok or answer.warnings:
                refused[who(each)] = answer.message or answer.warnings

    assert {} == refused
    assert chosen <= {each["metadata"]["name"] for each in found}


def test_without_the_shards_patches_a_tenants_file_is_refused(admitting: Cluster) -> None:
    """So that the test above says something: account and strategy come from the shard."""
    found = yaml.safe_load(file_of(OTHERS[1]))
    found["metadata"]["namespace"] = "tenants"
    found["spec"]["interval"] = "1h"

    assert POLICY in admitting.apply(found, as_user=FILES).message


def test_a_tenants_file_can_be_nothing_but_a_release(server: Cluster) -> None:
    """The account of the shards has no rights over anything else, nor elsewhere."""
    release = release_of(OTHERS[1])
    done(server.apply(release, as_user=FILES))
    elsewhere = copy.deepcopy(release)
    elsewhere["metadata"]["namespace"] = "default"
    for found in (
        elsewhere,
        facts_map({"environment": "dev"}),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "mine"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
        },
    ):
        answer = server.apply(found, as_user=FILES)

        assert 403 == answer.code, answer


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_installers_rights_are_enough_for_the_chart(server: Cluster, name: str) -> None:
    """Every object of every example is applied in its name; none is denied."""
    objects = render(packaged(example(name)))
    for namespace in (each for each in objects if each["kind"] == "Namespace"):
        server.namespace(namespace["metadata"]["name"], namespace["metadata"]["labels"])
    denied = {}
    for each in objects:
        answer = server.apply(each, as_user=INSTALLER)
        if answer.code == 403 and "cannot" in answer.message:
            denied[who(each)] = answer.message

    assert {} == denied


def test_the_installers_rights_end_at_what_tenants_have(server: Cluster) -> None:
    """No rights of its own to give away, no Secret but Helm's, no Flux, no nodes."""
    for version, kind, namespace in (
        ("v1", "Secret", "default"),
        ("v1", "Secret", "tenant-infra"),
        ("v1", "Node", None),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", None),
        ("rbac.authorization.k8s.io/v1", "RoleBinding", "tenants"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "tenants"),
        (FLUX, "Kustomization", "flux-system"),
    ):
        answer = server.list(version, kind, namespace, as_user=INSTALLER)

        assert 403 == answer.code, (kind, answer)
    assert server.list("v1", "Secret", "tenants", as_user=INSTALLER).ok


def test_the_runner_reads_secrets_beside_terraform_and_nowhere_else(server: Cluster) -> None:
    """Reproduced once: by the add-on's own binding it reads every Secret of the cluster."""
    assert server.list("v1", "Secret", "tenant-infra", as_user=RUNNER).ok
    for namespace in ("tenants", "flux-system", "default", "kube-system"):
        assert 403 == server.list("v1", "Secret", namespace, as_user=RUNNER).code
