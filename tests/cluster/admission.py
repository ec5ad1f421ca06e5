"""The fleet's admission policies, and what stands in a cluster beside them."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from chart.render import CHART, ROOT, Object
from support.cluster import Answer, Cluster
from support.waiting import wait_for

ADMISSION: Final = ROOT / "platform" / "fleet" / "infrastructure" / "admission"
DEFAULTS: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
POLICY: Final = "ValidatingAdmissionPolicy"
BINDING: Final = "ValidatingAdmissionPolicyBinding"
#: Seconds until policies, bindings and facts that were changed are in force.
IN_FORCE_SECONDS: Final = 20.0
#: Seconds until facts that were changed are: an object that never passes takes as long.
FACTS_SECONDS: Final = 5.0
#: What an instance is controlled by, and its pods need.
CONTROL: Final = frozenset({"ServiceAccount", "Terraform", "HelmRelease"})
#: Digests as they are written when the chart is packaged.
DIGESTS: Final = {
    "images": {
        name: {"digest": f"sha256:{letter * 64}"}
        for name, letter in (("producer", "a"), ("consumer", "b"), ("runner", "c"))
    }
}


def documents(folder: Path = ADMISSION) -> list[Object]:
    """The objects of every file that the folder's kustomization names."""
    resources = yaml.safe_load((folder / "kustomization.yaml").read_text("utf-8"))["resources"]
    return [
        found
        for name in resources
        for found in yaml.safe_load_all((folder / name).read_text("utf-8"))
    ]


def packaged(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with the digests of a packaged chart."""
    return _merged(DIGESTS, values)


def facts(values: Mapping[str, Any]) -> dict[str, str]:
    """What the environment's ConfigMap tells the policies, from the values of the chart."""
    said = _merged(DEFAULTS["facts"], values["facts"])
    roles = said.get("roles", {})
    account, environment = said["account"], said["environment"]
    ecr = f"{account}.dkr.ecr.{said['region']}.amazonaws.com"
    found = {
        "environment": environment,
        "cluster": said.get("cluster", environment),
        "region": said["region"],
        "domain": said["domain"],
        "registry": said.get("registry", ecr).rstrip("/"),
        "module-source": said["module"]["source"],
        "ingress-class": said["routes"]["className"],
        "gateway-namespace": said["routes"]["gatewayNamespace"],
        "by-header": "true" if said["routes"]["byHeader"] else "false",
        "namespaces": " ".join(
            sorted(
                {
                    said["routes"]["gatewayNamespace"],
                    said["monitoring"]["namespace"],
                    said["telemetry"]["namespace"],
                }
            )
        ),
        "aws-endpoint-url": said["local"]["awsEndpointUrl"],
        "kubeconfig": said["local"]["kubeconfig"],
        **{f"node-pool.{tier}": pool for tier, pool in said["nodePools"].items()},
    }
    for key, name in {
        "producer": "producer",
        "consumer": "consumer",
        "poolProducer": "pool-producer",
        "poolConsumer": "pool-consumer",
    }.items():
        arn = f"arn:aws:iam::{account}:role/{environment}-tenantry-{name}"
        found[f"role.{name}"] = roles.get(key, arn)
    return {key: value for key, value in found.items() if value}


def facts_map(data: Mapping[str, str]) -> Object:
    """The ConfigMap of facts."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "facts", "namespace": "tenants"},
        "data": dict(data),
    }


def release(instance: Mapping[str, Any]) -> Object:
    """A tenant's HelmRelease: its own file, and what the Kustomization of its shard adds."""
    chart = "pools" if instance.get("kind") == "pool" else instance["tier"]
    return {
        "apiVersion": "helm.toolkit.fluxcd.io/v2",
        "kind": "HelmRelease",
        "metadata": {"name": instance["id"], "namespace": "tenants"},
        "spec": {
            "chartRef": {"kind": "OCIRepository", "name": f"{chart}-{instance.get('ring', 'r2')}"},
            "values": {"instance": dict(instance)},
            "interval": "1h",
            "timeout": "15m",
            "serviceAccountName": "tenant-installer",
            "install": {"disableTakeOwnership": True, "strategy": {"name": "RetryOnFailure"}},
            "upgrade": {
                "disableTakeOwnership": True,
                "remediation": {"strategy": "rollback", "retries": 3},
            },
            "driftDetection": {"mode": "enabled"},
            "valuesFrom": [{"kind": "ConfigMap", "name": "facts", "valuesKey": "values.yaml"}],
        },
    }


def stand(cluster: Cluster, objects: Iterable[Object]) -> None:
    """Make for real what others need to be there: namespace, accounts, the control objects."""
    for found in sorted(objects, key=lambda each: each["kind"] != "Namespace"):
        if found["kind"] == "Namespace":
            done(cluster.apply(found, dry_run=False))
            done(cluster.apply(_default_account(found["metadata"]["name"]), dry_run=False))
        elif found["kind"] in CONTROL or is_record(found):
            done(cluster.apply(found, dry_run=False))


def is_record(found: Object) -> bool:
    """Whether it is a basic tenant's."""
    return (found["kind"], found["metadata"].get("namespace")) == ("ConfigMap", "tenants")


def _default_account(namespace: str) -> Object:
    metadata = {"name": "default", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def done(answer: Answer) -> None:
    """Fail with what the API server said unless it did what it was asked for."""
    assert answer.ok, answer.message


def refused_by(answer: Answer, policy: str) -> bool:
    """Whether it was this policy that refused."""
    return not answer.ok and f"ValidatingAdmissionPolicy '{policy}'" in answer.message


class Refusal(Protocol):
    """An object that a policy refuses."""

    @property
    def policy(self) -> str:
        """The policy's name."""
        ...

    @property
    def deletes(self) -> bool:
        """Whether it is deleted, and not applied."""
        ...

    @property
    def bad(self) -> Object:
        """What is refused."""
        ...


def tried(cluster: Cluster, case: Refusal, found: Object) -> Answer:
    """What the API server says of an object, on a dry run of what the case does with it."""
    return cluster.delete(found, dry_run=True) if case.deletes else cluster.apply(found)


@contextlib.contextmanager
def standing(
    cluster: Cluster,
    values: Mapping[str, Any],
    instances: Mapping[str, Sequence[Object]],
    cases: Sequence[Refusal],
) -> Generator[None]:
    """What the fleet brings before tenants, some tenants, and the policies, while this lasts.

    Each policy is in force when it begins, as far as the cases can tell, and out of force when it
    ends: other tests use the same server.
    """
    for name in ("tenants", "tenant-infra"):
        cluster.namespace(name)
    for tier in ("basic", "advanced", "premium"):
        done(cluster.apply(_priority(f"tenantry-{tier}"), dry_run=False))
    done(cluster.apply([facts_map(facts(values)), *_keeper()], dry_run=False))
    for objects in instances.values():
        stand(cluster, objects)
    policies = documents()
    done(cluster.apply(policies, dry_run=False))
    try:
        until(cluster, cases, in_force=True)
        yield
    finally:
        for each in policies:
            cluster.delete(each)
        until(cluster, cases, in_force=False)
        for objects in instances.values():
            for found in objects:
                if found["kind"] in CONTROL:
                    cluster.delete(found)


def until(cluster: Cluster, cases: Iterable[Refusal], *, in_force: bool) -> None:
    """Wait until each case is refused by its policy, or by none."""
    for case in cases:
        bad = case.bad

        def holds(case: Refusal = case, bad: Object = bad) -> bool:
            answer = tried(cluster, case, bad)
            return refused_by(answer, case.policy) if in_force else POLICY not in answer.message

        wait_for(holds, seconds=IN_FORCE_SECONDS, what=f"{case.policy} in force: {in_force}")


def tell(cluster: Cluster, values: Mapping[str, Any], passes: Sequence[Object]) -> Answer:
    """Give the policies an environment's facts, which they know when these objects pass.

    The last answer to the objects, where they do not pass in time.
    """
    done(cluster.apply(facts_map(facts(values)), dry_run=False))
    answer = cluster.apply(passes)

    def known() -> bool:
        nonlocal answer
        answer = cluster.apply(passes)
        return answer.ok

    with contextlib.suppress(AssertionError):
        wait_for(known, seconds=FACTS_SECONDS)
    return answer


def _keeper() -> list[Object]:
    """A policy that stays: an API server watches no ConfigMap again once no policy asks for one.

    Seen in Kubernetes 1.35 (`policy_source.go`: the informer of a built-in kind is stopped with
    its last policy, and its factory starts none twice): facts then stay what they were.
    """
    name = "keeper.tests.tenantry.dev"
    nothing = {"apiGroups": ["tests.tenantry.dev"], "apiVersions": ["*"], "resources": ["none"]}
    return [
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": POLICY,
            "metadata": {"name": name},
            "spec": {
                "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "matchConstraints": {"resourceRules": [{**nothing, "operations": ["CREATE"]}]},
                "validations": [{"expression": "true"}],
            },
        },
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": BINDING,
            "metadata": {"name": name},
            "spec": {
                "policyName": name,
                "validationActions": ["Deny"],
                "paramRef": {
                    "name": "facts",
                    "namespace": "tenants",
                    "parameterNotFoundAction": "Allow",
                },
            },
        },
    ]


def _priority(name: str) -> Object:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": 1000,
    }


def merge(
    cluster: Cluster,
    found: Object,
    patch: Mapping[str, Any],
    *,
    part: str = "",
    as_user: str | None = None,
    groups: Sequence[str] = (),
    dry_run: bool = False,
) -> Answer:
    """Change a part of an object, or of its subresource `part` (`/status`), as this user."""
    return cluster.request(
        "PATCH",
        f"{cluster.path(found)}{part}",
        patch,
        query={"dryRun": "All"} if dry_run else None,
        content="application/merge-patch+json",
        as_user=as_user,
        groups=groups,
    )


def account(namespace: str, name: str) -> str:
    """The user that a service account is."""
    return f"system:serviceaccount:{namespace}:{name}"


#: As whom Flux installs releases.
INSTALLER: Final = account("tenants", "tenant-installer")


def changed(found: Object, *edits: tuple[str, Any]) -> Object:
    """The same object with other values at `a|b|0|c`; None takes one away."""
    whole = copy.deepcopy(found)
    for path, value in edits:
        *parents, last = (int(key) if key.isdigit() else key for key in path.split("|"))
        inside: Any = whole
        for key in parents:
            inside = inside[key] if isinstance(key, int) else inside.setdefault(key, {})
        if value is None:
            del inside[last]
        elif isinstance(inside, list) and last == len(inside):
            inside.append(value)
        else:
            inside[last] = value
    return whole


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(under)
    for key, value in over.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = _merged(found[key], value) if both else value
    return found
