"""Every caller that might become a role of the cluster's own software, and whether it is to."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Final

from iam import world
from iam.evaluator import Principal
from iam.platform_table import ACCOUNTS
from iam.policies import parse
from iam.rendered import Role
from iam.trust import Entry
from iam.wire import PODS

#: As the module's tests name them.
ADMINS: Final = ("user/ada", "role/operations")
EVERYTHING: Final = parse(
    {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
    }
)


def entries(name: str) -> Iterator[Entry]:
    """Every caller with one role."""
    yield from _pods(name)
    tags = world.pod_tags(*_first_of(name))
    for service in ("ec2.amazonaws.com", "lambda.amazonaws.com"):
        is_node = name == "karpenter-node" and service.startswith("ec2")
        yield Entry(name, service, Principal(service), {}, expected=is_node)
        yield Entry(name, f"{service} as a pod", Principal(service), tags, expected=False)
    for who in (*ADMINS, "user/administrator", "role/local-tenantry-producer"):
        principal = Principal(f"arn:aws:iam::{world.ACCOUNT}:{who}")
        if who.startswith("role/"):
            principal = _session_of(who.removeprefix("role/"))
        is_admin = name == "cluster-admin" and who in ADMINS
        yield Entry(name, who, principal, {}, expected=is_admin, identity=(EVERYTHING,))
        yield Entry(
            name, f"{who} as a pod", principal, tags, expected=False, identity=(EVERYTHING,)
        )
    trusted = _first_trusted(name)
    for action in ("sts:SetSourceIdentity", "sts:AssumeRoleWithWebIdentity"):
        yield Entry(name, "who it is for", trusted, tags, expected=False, action=action)


def _pods(name: str) -> Iterator[Entry]:
    namespaces = sorted(
        {namespace for namespace, _ in ACCOUNTS.values()} | {"tenant-infra", "acme"}
    )
    accounts = sorted({one for _, of in ACCOUNTS.values() for one in of} | {"default", "sensor"})
    clusters = {
        "this cluster": world.CLUSTER_ARN,
        "a cluster of this name in another region": world.CLUSTER_ARN.replace(
            "eu-west-1", "us-east-1"
        ),
        "another cluster": world.CLUSTER_ARN.replace("/laptop", "/staging"),
        "no cluster": None,
    }
    own = ACCOUNTS.get(name, ("", ()))
    for namespace, account, cluster in product([*namespaces, None], [*accounts, None], clusters):
        told = {
            "eks-cluster-arn": clusters[cluster],
            "kubernetes-namespace": namespace,
            "kubernetes-service-account": account,
        }
        tags = {key: value for key, value in told.items() if value is not None}
        is_own = cluster == "this cluster" and namespace == own[0] and account in own[1]
        caller = f"{account or 'no account'} of {namespace or 'no namespace'}, {cluster}"
        yield Entry(name, caller, Principal(PODS), tags, expected=is_own)


def _first_of(name: str) -> tuple[str, str]:
    namespace, accounts = ACCOUNTS.get(name, ("karpenter", ("karpenter",)))
    return namespace, accounts[0]


def _first_trusted(name: str) -> Principal:
    if name in ACCOUNTS:
        return Principal(PODS)
    if name == "karpenter-node":
        return Principal("ec2.amazonaws.com")
    return Principal(f"arn:aws:iam::{world.ACCOUNT}:{ADMINS[0]}")


def _session_of(name: str) -> Principal:
    arn = f"arn:aws:sts::{world.ACCOUNT}:assumed-role/{name}/a-session"
    return Principal(arn, f"arn:aws:iam::{world.ACCOUNT}:role/{name}")


def wrong(asked: list[Entry], role: Role) -> list[str]:
    """About whom the role's trust policy decides otherwise than it is to."""
    policy = role.trust_policy()
    return [str(one) for one in asked if one.is_let_in(policy, role.arn) != one.expected]
