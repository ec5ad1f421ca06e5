"""The roles of the cluster's own software: own allowed, all else denied, each condition needed.

The policies are those that Terraform renders with every add-on on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from iam.matrix import service_authorization
from iam.platform_cells import Cell, cells, wrong
from iam.platform_table import TABLE
from iam.platform_things import things
from iam.policies import parse
from iam.quotas import ROLE_NAME_CHARACTERS, ROLE_POLICIES_CHARACTERS, TRUST_POLICY_CHARACTERS
from iam.rendered import Roles
from iam.report import is_platform_right, platform_report
from iam.widening import widened

_ONE_TYPE = "its actions are on nothing of another type"
_EC2 = "resource arn:aws:ec2:eu-west-1:000000000000:*"
#: Wider policies that allow nothing more, and why.
THE_SAME: Mapping[str, str] = {
    "karpenter StartFromImages: resource arn:aws:ec2:eu-west-1::*": (
        "what is of no account is a public image or snapshot"
    ),
    f"karpenter MakeTemplates: {_EC2}": _ONE_TYPE,
    f"karpenter EndOwn: {_EC2}": "each action has its own type, and both are there",
    "load-balancer-controller FindCertificates: resource arn:aws:acm:eu-west-1:000000000000:*": (
        _ONE_TYPE
    ),
    f"load-balancer-controller MakeSecurityGroups: {_EC2}": (
        "of a VPC, where one is made, no request tells tags"
    ),
    f"load-balancer-controller ChangeOwnSecurityGroups: {_EC2}": _ONE_TYPE,
    f"load-balancer-controller LetIntoTheCluster: {_EC2}": _ONE_TYPE,
}


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("name", TABLE)
def test_a_role_may_what_its_lines_say_and_nothing_else(name: str, platform_roles: Roles) -> None:
    """On its own; not on another environment's, cluster's, region's, account's."""
    role = platform_roles[name]
    asked = cells(name, role)

    assert [] == [str(cell) for cell in wrong(asked, role.access_policy())]
    assert any(cell.expected for cell in asked)
    assert any(not cell.expected for cell in asked)


def test_each_line_is_asked(platform_roles: Roles) -> None:
    """On something that is there, and its action can be on: no line says nothing."""
    known = things()
    for name, lines in TABLE.items():
        asked = {
            (cell.request.action, cell.thing)
            for cell in cells(name, platform_roles[name])
            if cell.expected
        }
        for line in lines:
            assert set(line.on) <= set(known), f"{name}: {line.on}"
            for action in line.actions.split():
                assert any((action, on) in asked for on in line.on), f"{name}: {action}"


@pytest.mark.parametrize("name", TABLE)
def test_each_widened_statement_turns_a_cell_red(name: str, platform_roles: Roles) -> None:
    """Another action, any resource, a condition less, one that lets pass what lacks the key."""
    role = platform_roles[name]
    asked = cells(name, role)
    found = list(widened(role.access))
    left = {
        f"{name} {wider}"
        for wider in found
        if next(wrong(asked, parse(wider.document)), None) is None
    }

    assert len(found) > 1
    assert left == {one for one in THE_SAME if one.startswith(f"{name} ")}


def test_every_role_has_lines(platform_roles: Roles) -> None:
    """No role is left out, but those of services and runner, which have a matrix of their own."""
    of_services = {"producer", "consumer", "pool-producer", "pool-consumer"}
    assert set(platform_roles) - of_services - {"tenant-reader", "tf-runner"} == set(TABLE)


def test_each_action_can_be_on_a_resource_of_its_statement(platform_roles: Roles) -> None:
    """As AWS documents it; `*` stands only where an action takes no resource."""
    for name in TABLE:
        for statement in platform_roles[name].access["Statement"]:
            if statement["Effect"] == "Deny":
                continue
            for action in listed(statement["Action"]):
                where = f"{name} {statement['Sid']}: {action}"
                service, _, operation = action.partition(":")
                facts = service_authorization()[service]["actions"][operation]
                kinds = set(facts["on"])
                if statement["Resource"] == "*":
                    assert not kinds, f"{where} could name its resource"
                    continue
                fits = [
                    thing
                    for thing in things().values()
                    if thing.kind in kinds and _is_of(thing.arn, listed(statement["Resource"]))
                ]
                assert fits, f"{where} cannot be on any of {statement['Resource']}"


def _is_of(arn: str, patterns: list[str]) -> bool:
    policy = parse(
        {
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": "a:B", "Resource": patterns}],
        }
    )
    request = Cell("", "", "", "", _request(arn), expected=True)
    return request.is_right(policy)


def _request(arn: str) -> Any:
    from iam.evaluator import Principal, Request  # noqa: PLC0415 - of this check alone

    return Request(Principal("ec2.amazonaws.com"), "a:B", arn)


def test_each_condition_can_be_told(platform_roles: Roles) -> None:
    """Of every request, of the action, or of what it is on: else it denies for ever."""
    always = {"aws:RequestedRegion", "aws:PrincipalTag/"}
    for name in TABLE:
        for statement in platform_roles[name].access["Statement"]:
            if statement["Effect"] == "Deny":
                continue
            asked = {
                f"{key.partition('/')[0]}{'/' if '/' in key else ''}"
                for keys in statement.get("Condition", {}).values()
                for key in keys
            }
            for action in listed(statement["Action"]):
                service, _, operation = action.partition(":")
                facts = service_authorization()[service]
                one = facts["actions"][operation]
                known = set(one["keys"]) | always
                known |= {key for kind in one["on"] for key in facts["resources"][kind]["keys"]}
                assert asked <= known, (
                    f"{name} {statement['Sid']}: {action} has no {asked - known}"
                )


def test_nobody_makes_roles_or_policies(platform_roles: Roles) -> None:
    """Karpenter makes instance profiles, the load balancers' controller one role of a service."""
    made = {
        (name, action)
        for name, role in platform_roles.items()
        for statement in role.access["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
        if action.startswith(("iam:Create", "iam:Put", "iam:Attach", "iam:Update"))
        or action in ("*", "iam:*")
    }

    assert made == {
        ("karpenter", "iam:CreateInstanceProfile"),
        ("load-balancer-controller", "iam:CreateServiceLinkedRole"),
    }


def test_the_longest_names_make_documents_that_iam_takes(
    platform_rendered: dict[str, Roles],
) -> None:
    """An environment of 20 characters with a cluster of 100."""
    for role in platform_rendered["platform_longest"].values():
        assert len(role.name) <= ROLE_NAME_CHARACTERS
        assert len(_compact(role.trust)) <= TRUST_POLICY_CHARACTERS
        assert len(_compact(role.access)) <= ROLE_POLICIES_CHARACTERS, role.name


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def test_the_table_shows_what_policies_allow(platform_roles: Roles) -> None:
    """Role by role as it is, with its accounts; and `make matrix` fails where a cell is wrong."""
    everything = {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "All", "Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    wider = {**platform_roles, "keda": replace(platform_roles["keda"], access=everything)}
    said = platform_report(platform_roles)

    assert list(TABLE) == re.findall(r"^([\w-]+)", said, re.MULTILINE)[1:]
    copies = "  s3:PutObject, s3:GetObject: a copy\n"
    assert f"tfstate-backup = tenant-infra/tfstate-backup\n{copies}" in said
    assert is_platform_right(platform_roles)
    assert not is_platform_right(wider)
    assert said != platform_report(wider)


def test_statements_have_names_of_their_own(platform_roles: Roles) -> None:
    """A Sid for each, once."""
    for role in platform_roles.values():
        sids = [statement["Sid"] for statement in role.access["Statement"]]
        assert len(set(sids)) == len(sids)
        assert all(sid.isalnum() for sid in sids)
