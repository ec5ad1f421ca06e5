"""Under the policies tenants move, leave, and are looked after by the cluster's controllers."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import pytest

from chart.render import Object, named, render, values, who
from cluster.admission import (
    account,
    changed,
    done,
    is_record,
    merge,
    packaged,
    refused_by,
    release,
    stand,
)
from cluster.admission_cases import guard, world
from support.cluster import Answer, Cluster

PHASES = ("provisioning", "copying", "switched", "draining", "removing")
POOL = {"tier": "basic", "pool": "pool-1"}
ADVANCED = {"tier": "advanced", "pool": "pool-1"}
PREMIUM = {"tier": "premium"}
Place = Mapping[str, str]


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


# Moving


def controlled(instance: Mapping[str, Any]) -> dict[str, Object]:
    """What says of an instance whose it is and where, by kind and name."""
    objects = render(packaged(values(instance)))
    return {
        who(found): found
        for found in objects
        if found["kind"] in {"Namespace", "Terraform"} or is_record(found)
    }


def upgrade(cluster: Cluster, before: Mapping[str, Object], after: Mapping[str, Object]) -> None:
    """As Helm does: apply what renders, then delete what does not, but for what is kept."""
    for found in sorted(after.values(), key=lambda each: each["kind"] != "Namespace"):
        done(cluster.apply(found, dry_run=False))
    for what in before.keys() - after.keys():
        if "helm.sh/resource-policy" not in before[what]["metadata"].get("annotations", {}):
            # A namespace would stay for ever: there is nobody here who ends it.
            is_space = before[what]["kind"] == "Namespace"
            done(cluster.delete(before[what], dry_run=is_space))


@pytest.mark.parametrize(
    ("tenant", "left", "to"),
    [
        ("to-premium", POOL, PREMIUM),
        ("to-advanced", PREMIUM, ADVANCED),
        ("to-basic", PREMIUM, POOL),
        ("to-pool", ADVANCED, {**ADVANCED, "pool": "pool-2"}),
        ("between-pools", POOL, {**POOL, "pool": "pool-2"}),
    ],
)
def test_a_move_passes_from_its_first_phase_to_its_last(
    guarded: Cluster, tenant: str, left: Place, to: Place
) -> None:
    """Release, namespace, Terraform object and record, and the deletion of what was left."""
    start, end = {"id": tenant, **left}, {"id": tenant, **to}
    steps: list[dict[str, Any]] = [
        start,
        *({**end, "transition": {"from": dict(left), "phase": phase}} for phase in PHASES),
        end,
    ]
    before: dict[str, Object] = {}
    for step in steps:
        done(guarded.apply(release(step), dry_run=False))
        after = controlled(step)
        upgrade(guarded, before, after)
        before = after


@pytest.mark.parametrize(
    ("tenant", "forth", "back"),
    [
        ("before-it-switched", PHASES[:2], PHASES[3:]),
        ("after-it-switched", PHASES[:3], PHASES[1:]),
    ],
)
def test_a_move_is_turned_round(
    guarded: Cluster, tenant: str, forth: Sequence[str], back: Sequence[str]
) -> None:
    """By a transition from where the tenant was going, also when it is there already."""
    start = {"id": tenant, **PREMIUM}
    there = {"id": tenant, **ADVANCED}
    steps: list[dict[str, Any]] = [
        start,
        *({**there, "transition": {"from": PREMIUM, "phase": phase}} for phase in forth),
        *({**start, "transition": {"from": ADVANCED, "phase": phase}} for phase in back),
        start,
    ]
    before: dict[str, Object] = {}
    for step in steps:
        done(guarded.apply(release(step), dry_run=False))
        after = controlled(step)
        upgrade(guarded, before, after)
        before = after


def test_an_upgrade_that_failed_in_a_move_is_rolled_back(guarded: Cluster) -> None:
    """Helm applies what it applied before, and nobody renders anew."""
    tenant = {"id": "backwards", **ADVANCED}
    manifests = [controlled({"id": "backwards", **PREMIUM})] + [
        controlled({**tenant, "transition": {"from": PREMIUM, "phase": phase}})
        for phase in PHASES[:4]
    ]
    for one, other in itertools.pairwise(manifests):
        for objects in (one, other, one, other):
            done(guarded.apply(list(objects.values()), dry_run=False))


def test_a_tenant_leaves_by_its_phase_and_then_its_file(guarded: Cluster) -> None:
    """Its release says so, its objects carry it, and then each of them can be deleted."""
    tenant = {"id": "goner", **PREMIUM}
    objects = [*controlled(tenant).values(), release(tenant)]
    stand(guarded, objects)
    refused = [guarded.delete(found, dry_run=True) for found in objects]
    leaving = {**tenant, "phase": "offboarding"}
    objects = [*controlled(leaving).values(), release(leaving)]
    stand(guarded, objects)

    assert all(refused_by(answer, "deletions.tenantry.dev") for answer in refused)
    for found in objects:
        done(guarded.delete(found))


@pytest.mark.parametrize("name", ["tenants", "tenant-infra"])
def test_the_namespaces_of_all_tenants_are_kept(guarded: Cluster, name: str) -> None:
    """Who deletes one would delete all that it holds."""
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}

    assert refused_by(guarded.delete(space, dry_run=True), "deletions.tenantry.dev")


# Ways round


def renamed(name: str) -> Object:
    """A pod of a standing tenant."""
    return changed(named(world()["premium"], "Pod", "test-message"), ("metadata|name", name))


@pytest.mark.parametrize("label", ["tenant", "tier", "environment", "node-pool", "phase", "*"])
def test_labels_are_not_taken_from_a_namespace(guarded: Cluster, label: str) -> None:
    """The policies go by them: without, its pods would be anybody's."""
    space = named(world()["premium"], "Namespace", "acme")
    gone = None if label == "*" else {f"tenantry.dev/{label}": None}
    answer = merge(guarded, space, {"metadata": {"labels": gone}}, dry_run=True)

    assert not answer.ok
    assert "tenantry.dev' with binding" in answer.message


def test_a_debugging_container_is_held_to_the_same(guarded: Cluster) -> None:
    """It comes by another door: a subresource of a pod that is there."""
    pod = renamed("debugged")
    done(guarded.apply(pod, dry_run=False))
    [container] = pod["spec"]["containers"]
    good = {
        "name": "look",
        "image": container["image"],
        "securityContext": container["securityContext"],
    }
    writable = {**good["securityContext"], "readOnlyRootFilesystem": False}

    def debug(container: Mapping[str, Any]) -> Answer:
        return guarded.request(
            "PATCH",
            f"{guarded.path(pod)}/ephemeralcontainers",
            {"spec": {"ephemeralContainers": [container]}},
            query={"dryRun": "All"},
            content="application/strategic-merge-patch+json",
        )

    done(debug(good))
    tagged = debug({**good, "image": container["image"].partition("@")[0] + ":1"})
    assert refused_by(tagged, "images.tenantry.dev")
    assert refused_by(debug({**good, "securityContext": writable}), "pods.tenantry.dev")


# What looks after it


def test_pods_of_a_deployment_are_made_and_placed(guarded: Cluster) -> None:
    """By the controller that makes them, under a name of its own, and by the scheduler."""
    controller = account("kube-system", "replicaset-controller")
    template = named(world()["premium"], "Deployment", "consumer")["spec"]["template"]
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": "acme", "generateName": "consumer-", **template["metadata"]},
        "spec": template["spec"],
    }
    tagged = changed(pod, ("spec|containers|0|image", "docker.io/library/python:3"))
    made = guarded.create(pod, as_user=controller)
    done(made)
    name = made.body["metadata"]["name"]
    binding = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": name, "namespace": "acme"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "node-1"},
    }
    where = f"/api/v1/namespaces/acme/pods/{name}"

    done(guarded.request("POST", f"{where}/binding", binding, as_user="system:kube-scheduler"))
    assert refused_by(guarded.create(tagged, as_user=controller), "images.tenantry.dev")
    done(guarded.request("DELETE", where, query={"gracePeriodSeconds": "0"}))


def test_an_offboarded_namespace_is_emptied_and_ends(guarded: Cluster) -> None:
    """By the namespace controller, which asks no tenant's phase of what is inside."""
    tenant = {"id": "emptied", "tier": "premium", "phase": "offboarding"}
    objects = render(packaged(values(tenant)))
    stand(guarded, objects)
    inside = [found for found in objects if found["kind"] in {"Pod", "Deployment", "Ingress"}]
    done(guarded.apply(inside, dry_run=False))
    space = named(objects, "Namespace", "emptied")
    controller = account("kube-system", "namespace-controller")
    done(guarded.delete(space))
    for found in [*inside, *(each for each in objects if each["kind"] == "ServiceAccount")]:
        collection = guarded.path(found).rpartition("/")[0]
        done(
            guarded.request(
                "DELETE", collection, query={"gracePeriodSeconds": "0"}, as_user=controller
            )
        )
    ending = dict(guarded.get("v1", "Namespace", "emptied").body)
    done(
        guarded.request(
            "PUT",
            f"{guarded.path(space)}/finalize",
            {**ending, "spec": {"finalizers": []}},
            as_user=controller,
        )
    )

    assert guarded.get("v1", "Namespace", "emptied").code == 404


def test_not_even_the_namespace_controller_deletes_a_tenants_release(guarded: Cluster) -> None:
    """Whose namespace was deleted past this policy: its data would go with it."""
    found = named(world()["premium"], "HelmRelease", "acme")
    controller = account("kube-system", "namespace-controller")
    collection = guarded.path(found).rpartition("/")[0]
    answer = guarded.request("DELETE", collection, query={"dryRun": "All"}, as_user=controller)

    assert refused_by(answer, "deletions.tenantry.dev"), answer.message
