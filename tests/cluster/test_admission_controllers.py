"""What an object asks for is held to the policies, and not what the cluster's controllers note."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from chart.render import named, values
from cluster.admission import INSTALLER, POLICY, account, done, facts, facts_map, merge, tell
from cluster.admission_cases import INSTANCES, guard, world
from support.cluster import Answer, Cluster
from support.waiting import wait_for

#: Those whose rights come with an add-on, or let them put and not patch.
ANY = ("system:masters",)
ALB = account("kube-system", "aws-load-balancer-controller")
BALANCED = {"loadBalancer": {"ingress": [{"hostname": "alb.example.com"}]}}


@dataclass(frozen=True)
class Touch:
    """What somebody changes of an object that the policies would not let in any more."""

    what: str
    user: str
    patch: Mapping[str, Any]
    part: str = ""
    groups: tuple[str, ...] = ANY

    def __str__(self) -> str:
        """The test's id."""
        return f"{self.what}{self.part}-by-{self.user.rpartition(':')[2]}".replace(" ", "-")


def finalizers(what: str, user: str, finalizer: str, groups: tuple[str, ...] = ANY) -> Touch:
    """A finalizer is set, and taken away."""
    return Touch(what, user, {"metadata": {"finalizers": [finalizer]}}, groups=groups)


def status(what: str, user: str, said: Mapping[str, Any]) -> Touch:
    """What is seen of an object."""
    return Touch(what, user, {"status": said}, "/status")


def annotation(what: str, user: str, key: str) -> Touch:
    """A note beside an object."""
    return Touch(what, user, {"metadata": {"annotations": {key: "2"}}})


LOOKED_AFTER = [
    annotation(
        "Deployment consumer",
        account("kube-system", "deployment-controller"),
        "deployment.kubernetes.io/revision",
    ),
    status(
        "Deployment consumer",
        account("kube-system", "deployment-controller"),
        {"observedGeneration": 1},
    ),
    Touch(
        "Deployment consumer",
        account("kube-system", "horizontal-pod-autoscaler"),
        {"spec": {"replicas": 3}},
        "/scale",
    ),
    finalizers(
        "Pod test-message",
        account("kube-system", "generic-garbage-collector"),
        "foregroundDeletion",
        (),
    ),
    status("Pod test-message", ALB, {"message": "registered"}),
    finalizers("Ingress premium-1", ALB, "group.ingress.k8s.aws/premium-1"),
    status("Ingress premium-1", ALB, BALANCED),
    finalizers(
        "Terraform acme",
        account("tenant-infra", "tofu-controller"),
        "finalizers.tf.contrib.fluxcd.io",
    ),
    status(
        "Terraform acme", account("tenant-infra", "tofu-controller"), {"observedGeneration": 1}
    ),
    finalizers(
        "HelmRelease acme", account("flux-system", "helm-controller"), "finalizers.fluxcd.io"
    ),
    annotation(
        "Namespace acme", account("kube-system", "namespace-controller"), "example.com/seen"
    ),
]


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


@pytest.fixture(scope="module")
def outdated(guarded: Cluster) -> Generator[Cluster]:
    """A tenant whose objects the policies would not let in any more: the facts are others."""
    mine = world()["premium"]
    touched = [
        found for found in mine if found["kind"] in {"Deployment", "Pod", "Ingress", "HTTPRoute"}
    ]
    done(guarded.apply(touched, dry_run=False))
    others = values(INSTANCES["premium"], registry="registry.example.com", domain="example.net")
    others["facts"]["module"] = {"source": "another"}
    done(guarded.apply(facts_map(facts(others)), dry_run=False))
    new = named(world()["new"], "Terraform", "newco")
    wait_for(lambda: not guarded.apply(new).ok, what="other facts")
    yield guarded
    for found in touched:
        merge(guarded, found, {"metadata": {"finalizers": None}})
        done(guarded.delete(found, as_user=INSTALLER, groups=ANY))
    done(tell(guarded, values(INSTANCES["premium"]), [new]))


@pytest.mark.parametrize("touch", LOOKED_AFTER, ids=str)
def test_what_looks_after_an_object_is_not_held_up(outdated: Cluster, touch: Touch) -> None:
    """Finalizers, owners, scale and status are no part of what an object asks for."""
    kind, _, name = touch.what.partition(" ")
    found = named(world()["premium"], kind, name)

    def patch(said: Mapping[str, Any]) -> Answer:
        return merge(
            outdated, found, said, part=touch.part, as_user=touch.user, groups=touch.groups
        )

    done(patch(touch.patch))
    if "finalizers" in touch.patch.get("metadata", {}):
        done(patch({"metadata": {"finalizers": None}}))


@pytest.mark.parametrize("kind", ["Deployment", "Ingress", "HTTPRoute", "Terraform"])
def test_what_an_object_asks_for_is_held_to_the_facts_of_the_day(
    outdated: Cluster, kind: str
) -> None:
    """So the twins above pass for what they leave alone, and not for who they are."""
    name = {"Deployment": "consumer", "Terraform": "acme"}.get(kind, "premium-1")
    found = named(world()["premium"], kind, name)
    change: dict[str, dict[str, Any]] = {
        "Deployment": {"spec": {"minReadySeconds": 6}},
        "Ingress": {"spec": {"ingressClassName": "other"}},
        "HTTPRoute": {"spec": {"hostnames": ["x.example.com"]}},
        "Terraform": {"spec": {"suspend": True}},
    }

    assert POLICY in merge(outdated, found, change[kind], dry_run=True).message
