"""Who becomes a role of the cluster's own software: its own service accounts, in this cluster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Final

import pytest
import yaml

from iam import world
from iam.evaluator import Principal
from iam.platform_table import ACCOUNTS, EVENTS, TABLE
from iam.policies import parse
from iam.rendered import Role, Roles
from iam.trust import Entry
from iam.widening import widened
from iam.wire import PODS
from tenantctl.events import Verb
from tenantctl.outcomes import Outcome

FLEET: Final = Path(__file__).parents[3] / "platform" / "fleet"
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


@pytest.mark.parametrize("name", TABLE)
def test_only_its_own_account_becomes_a_role(name: str, platform_roles: Roles) -> None:
    """Of its namespace, in this cluster; nodes are EC2's, and admins those that are named."""
    asked = list(entries(name))

    assert [] == wrong(asked, platform_roles[name])
    assert any(one.expected for one in asked)


@pytest.mark.parametrize("name", TABLE)
def test_each_widened_trust_turns_a_cell_red(name: str, platform_roles: Roles) -> None:
    """Anybody, another cluster, another account, another namespace, another way in."""
    role = platform_roles[name]
    asked = list(entries(name))
    found = list(widened(role.trust))

    assert found
    left = [str(one) for one in found if not wrong(asked, replace(role, trust=one.document))]
    assert [] == left


def test_the_control_planes_accounts_are_those_of_the_fleet() -> None:
    """One for each verb and one for the events' source; the sensor asks AWS for nothing."""
    text = (FLEET / "control-plane/base/accounts/accounts.yaml").read_text("utf-8")
    found = {
        one["metadata"]["name"]
        for one in yaml.safe_load_all(text)
        if one["metadata"]["namespace"] == "argo-control"
    }
    known = {
        account
        for namespace, accounts in ACCOUNTS.values()
        if namespace == "argo-control"
        for account in accounts
    }

    assert found - {"sensor"} == known


def test_events_are_called_as_tenantctl_calls_them() -> None:
    """A role tells of its own verb only: under another name it would be denied."""
    for verb, event in EVENTS.items():
        known: Verb | None = None if verb == "reject" else verb  # type: ignore[assignment]
        outcome = Outcome(verb=known, succeeded=True, request_id="1", environment="local")
        assert outcome.detail_type == f"{event}Success"


def test_the_modules_page_names_each_role_with_its_account() -> None:
    """And each verb with what it opens."""
    page = (FLEET.parent / "terraform/modules/identity/README.md").read_text("utf-8")
    for name, (namespace, accounts) in ACCOUNTS.items():
        verb = name.removeprefix("argo-workflows-")
        if verb == name:
            line = next(one for one in page.splitlines() if one.startswith(f"| `{name}`"))
            assert f"`{namespace}/{accounts[0]}`" in line
        else:
            assert any(
                f"`{verb}`" in one.split("|")[1]
                for one in page.splitlines()
                if one.count("|") == 3
            ), verb
