"""What the chart renders, as a real API server sees it; how it looks is in tests/chart."""

from __future__ import annotations

import copy
from collections.abc import Generator, Iterator
from functools import cache
from typing import Any, Final

import pytest

from chart.render import EXAMPLES, Object, example, of_kind, render, who
from cluster.admission import done, packaged
from support.cluster import Answer, Cluster
from support.waiting import wait_for

TIERS: Final = ("basic", "advanced", "premium")
#: Examples that render pods of every workload, for what need not be tried with all.
WITH_PODS: Final = ("premium", "pool", "advanced")

#: Edits after which pod security `restricted` must refuse a pod: paths into its spec, where `*` is
#: each container, and what stands there then; None takes it away. Several are made together, as
#: what a pod says counts for containers that say nothing.
UNSAFE: Final[dict[str, tuple[tuple[str, Any], ...]]] = {
    "may run as root": (
        ("securityContext.runAsNonRoot", None),
        ("containers.*.securityContext.runAsNonRoot", None),
    ),
    "runs as root": (("securityContext.runAsUser", 0),),
    "no seccomp profile": (
        ("securityContext.seccompProfile", None),
        ("containers.*.securityContext.seccompProfile", None),
    ),
    "unconfined": (("containers.*.securityContext.seccompProfile", {"type": "Unconfined"}),),
    "escalates": (("containers.*.securityContext.allowPrivilegeEscalation", None),),
    "keeps capabilities": (("containers.*.securityContext.capabilities", None),),
    "adds a capability": (("containers.*.securityContext.capabilities.add", ["NET_ADMIN"]),),
    "privileged": (
        ("containers.*.securityContext.allowPrivilegeEscalation", True),
        ("containers.*.securityContext.privileged", True),
    ),
    "the node's network": (("hostNetwork", True),),
    "the node's processes": (("hostPID", True),),
    "the node's files": (
        (
            "volumes",
            [
                {"name": "tmp", "hostPath": {"path": "/"}},
                {"name": "eks-pod-identity-token", "emptyDir": {}},
            ],
        ),
    ),
    "a port of the node": (("containers.*.ports", [{"containerPort": 8080, "hostPort": 8080}]),),
}


@cache
def objects(name: str) -> list[Object]:
    """What an example renders with the digests of a packaged chart; nobody changes these."""
    return render(packaged(example(name)))


@pytest.fixture(scope="session")
def fleet(cluster: Cluster) -> Cluster:
    """The server, with what the fleet brings before any tenant."""
    for namespace in ("tenants", "tenant-infra"):
        cluster.namespace(namespace)
    for tier in TIERS:
        found = {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": f"tenantry-{tier}"},
            "value": 1000,
        }
        done(cluster.apply(found, dry_run=False))
    return cluster


def settle(cluster: Cluster, name: str) -> list[Object]:
    """Make an example's namespace and accounts, without which a dry run refuses the rest."""
    found = objects(name)
    for namespace in of_kind(found, "Namespace"):
        cluster.namespace(namespace["metadata"]["name"], namespace["metadata"]["labels"])
    done(cluster.apply(of_kind(found, "ServiceAccount"), dry_run=False))
    return found


def pods(found: list[Object]) -> Iterator[Object]:
    """Each pod that is rendered, and one for each Deployment as its controller would make it."""
    for each in found:
        if each["kind"] == "Pod":
            yield each
        elif each["kind"] == "Deployment":
            template = each["spec"]["template"]
            metadata = each["metadata"]
            named = {"name": f"{metadata['name']}-0", "namespace": metadata["namespace"]}
            yield {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**template["metadata"], **named},
                "spec": template["spec"],
            }


def edited(pod: Object, edits: tuple[tuple[str, Any], ...]) -> Object:
    """The same pod, with other values in its spec."""
    changed = copy.deepcopy(pod)
    for path, value in edits:
        _edit(changed["spec"], path.split("."), value)
    return changed


def _edit(inside: Any, path: list[str], value: Any) -> None:
    key, *rest = path
    if key == "*":
        for each in inside:
            _edit(each, rest, value)
    elif rest:
        _edit(inside[key], rest, value)
    elif value is None:
        del inside[key]
    else:
        inside[key] = value


def refusals(answers: dict[str, Answer]) -> dict[str, str]:
    """What was refused, and what was taken with a warning."""
    return {
        name: answer.message or "; ".join(answer.warnings)
        for name, answer in answers.items()
        if not answer.ok or answer.warnings
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_object_is_taken_without_a_warning(fleet: Cluster, name: str) -> None:
    """Strict fields, rules of custom resources and admission: a dry run finds nothing."""
    found = settle(fleet, name)

    assert {} == refusals({who(each): fleet.apply(each) for each in found})


@pytest.mark.parametrize("name", WITH_PODS)
def test_a_field_that_nobody_knows_is_refused_by_name(fleet: Cluster, name: str) -> None:
    """So that what the test above finds means something: of every kind, the typo is named."""
    kinds = {each["kind"]: each for each in settle(fleet, name)}
    taken = []
    for kind, found in kinds.items():
        place = "spec" if "spec" in found else "metadata"
        typo = {**found, place: {**found[place], "nobodyKnows": "this"}}
        answer = fleet.apply(typo)
        if answer.ok or f"{place}.nobodyKnows" not in answer.message:
            taken.append(f"{kind}: {answer}")

    assert [] == taken


@pytest.mark.parametrize("name", EXAMPLES)
def test_pod_security_takes_the_pods(fleet: Cluster, name: str) -> None:
    """In the namespace that the chart itself renders, where `restricted` is enforced."""
    made = {who(pod): fleet.create(pod, dry_run=True) for pod in pods(settle(fleet, name))}

    assert {} == refusals(made)


@pytest.mark.parametrize("why", UNSAFE)
def test_pod_security_refuses_a_pod_that_is_less_safe(fleet: Cluster, why: str) -> None:
    """Every pod of the chart is refused when what makes it safe is taken away."""
    taken = []
    tried = 0
    for name in WITH_PODS:
        for pod in pods(settle(fleet, name)):
            answer = fleet.create(edited(pod, UNSAFE[why]), dry_run=True)
            tried += 1
            if answer.ok or 'violates PodSecurity "restricted' not in answer.message:
                taken.append(f"{name}: {who(pod)}: {answer}")

    assert [] == taken
    assert tried >= 9


def test_a_priority_that_is_not_there_is_seen(fleet: Cluster) -> None:
    """The fleet's classes must be there before a tenant's pods."""
    for pod in pods(settle(fleet, "premium")):
        answer = fleet.create(edited(pod, (("priorityClassName", "tenantry-gold"),)), dry_run=True)

        assert "no PriorityClass with name tenantry-gold" in answer.message


def test_an_account_that_is_not_there_is_seen(fleet: Cluster) -> None:
    """Pods run as an account that the chart renders, or not at all."""
    for pod in pods(settle(fleet, "premium")):
        answer = fleet.create(edited(pod, (("serviceAccountName", "nobody"),)), dry_run=True)

        assert 'serviceaccount "nobody" not found' in answer.message


@pytest.fixture
def bounded(fleet: Cluster, request: pytest.FixtureRequest) -> Generator[list[Object]]:
    """An example whose quota and limits are in force."""
    found = settle(fleet, request.param)
    bounds = [*of_kind(found, "LimitRange"), *of_kind(found, "ResourceQuota")]
    assert len(bounds) == 2
    done(fleet.apply(bounds, dry_run=False))
    for quota in of_kind(found, "ResourceQuota"):
        metadata = quota["metadata"]
        there = fleet.get("v1", "ResourceQuota", metadata["name"], metadata["namespace"])
        hard = there.body["spec"]["hard"]
        # What the controller manager writes; the API server refuses by what stands here.
        counted = {**there.body, "status": {"hard": hard, "used": dict.fromkeys(hard, "0")}}
        done(fleet.request("PUT", f"{fleet.path(quota)}/status", counted))
    yield found
    for bound in bounds:
        fleet.delete(bound)


@pytest.mark.parametrize("bounded", WITH_PODS, indirect=True)
def test_quota_and_limits_take_the_pods_they_are_for(
    fleet: Cluster, bounded: list[Object]
) -> None:
    """Each pod says what the quota counts, and none is larger than its limits allow."""
    assert {} == refusals({who(pod): fleet.create(pod, dry_run=True) for pod in pods(bounded)})


@pytest.mark.parametrize("bounded", WITH_PODS, indirect=True)
def test_quota_refuses_a_pod_that_is_larger_than_the_instance(
    fleet: Cluster, bounded: list[Object]
) -> None:
    """The quota of the test above is in force."""
    for pod in pods(bounded):
        large = edited(pod, (("containers.*.resources.requests.cpu", "1000"),))

        def is_seen(large: Object = large) -> bool:
            # The server learns of a quota a moment after it took it.
            return "exceeded quota" in fleet.create(large, dry_run=True).message

        wait_for(is_seen)
