"""What the chart put into an instance's namespace is not deleted by anybody who may."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from chart.render import EXAMPLES, Object, example, named, render, values, who
from cluster.admission import INSTALLER, account, changed, done, packaged, refused_by, stand
from cluster.admission_cases import INSTANCES, guard, world
from support.cluster import Answer, Cluster

#: All rights, so that it is admission that decides.
ANY = ("system:masters",)


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


def inside(objects: list[Object], space: str) -> list[Object]:
    """What is in this namespace and is no pod, of which each is somebody's to make anew."""
    return [
        found
        for found in objects
        if found["metadata"].get("namespace") == space and found["kind"] != "Pod"
    ]


def deleted(cluster: Cluster, found: Object, user: str, *, dry_run: bool = True) -> Answer:
    return cluster.delete(found, dry_run=dry_run, as_user=user, groups=ANY)


@pytest.fixture(scope="module")
def there(guarded: Cluster) -> Generator[list[Object]]:
    """All of a premium tenant's, for real: routes of both kinds, and both ways to scale."""
    without = packaged(values(INSTANCES["premium"], addons={"keda": False}))
    found = {who(each): each for each in inside([*world()["premium"], *render(without)], "acme")}
    done(guarded.apply(list(found.values()), dry_run=False))
    yield list(found.values())
    for each in found.values():
        done(deleted(guarded, each, INSTALLER, dry_run=False))


def test_it_is_every_kind_that_the_chart_renders(there: list[Object]) -> None:
    """A new one would be missing here first, and then in the policy."""
    kinds = {
        found["kind"]
        for name in EXAMPLES
        for found in inside(render(example(name)), example(name)["instance"]["id"])
    }

    assert kinds == {found["kind"] for found in there}


@pytest.mark.parametrize("user", ["admin", account("flux-system", "helm-controller")])
def test_nobody_deletes_it_but_who_installs_releases(
    guarded: Cluster, there: list[Object], user: str
) -> None:
    """Once an administrator could take away an active tenant's Deployment, or its walls."""
    refused = {who(found): deleted(guarded, found, user) for found in there}
    passed = {who(found): deleted(guarded, found, INSTALLER) for found in there}

    for what, answer in refused.items():
        assert refused_by(answer, "contents.tenantry.dev"), f"{what}: {answer.message}"
    for what, answer in passed.items():
        assert answer.ok, f"{what}: {answer.message}"


def test_what_has_an_owner_goes_with_it(guarded: Cluster, there: list[Object]) -> None:
    """As KEDA's autoscalers do, which carry the labels of what they were made for.

    Once any owner would do, also one that makes nothing anew.
    """
    [scaler] = [each for each in there if who(each) == "HorizontalPodAutoscaler acme/producer"]
    owner = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "name": "consumer",
        "uid": "00000000-0000-0000-0000-000000000000",
        "controller": True,
    }
    owned = changed(
        scaler, ("metadata|name", "keda-hpa-consumer"), ("metadata|ownerReferences", [owner])
    )
    done(guarded.apply(owned, dry_run=False))
    other = changed(
        owned, ("metadata|name", "kept"), ("metadata|ownerReferences|0|controller", False)
    )
    done(guarded.apply(other, dry_run=False))

    assert refused_by(deleted(guarded, other, "admin"), "contents.tenantry.dev")
    done(deleted(guarded, other, INSTALLER, dry_run=False))
    done(deleted(guarded, owned, account("keda", "keda-operator"), dry_run=False))


def test_what_a_move_leaves_can_go(guarded: Cluster) -> None:
    """By the label of the object, while the namespace stays."""
    transition = {"from": {"tier": "premium"}, "phase": "draining"}
    objects = render(packaged(values({**INSTANCES["moving"], "transition": transition})))
    left = named(objects, "ServiceAccount", "producer")
    kept = named(objects, "ServiceAccount", "consumer")
    stand(guarded, [left, kept])

    done(deleted(guarded, left, "admin"))
    assert refused_by(deleted(guarded, kept, "admin"), "contents.tenantry.dev")


def test_what_is_nobodys_can_be_cleared_away(guarded: Cluster) -> None:
    """What somebody left in a tenant's namespace and the chart knows nothing of."""
    metadata = {"name": "forgotten", "namespace": "acme"}
    found: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}
    done(guarded.apply(found, dry_run=False))

    done(deleted(guarded, found, "admin", dry_run=False))
