"""The evaluator decides what AWS's documentation says that IAM decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from iam.evaluator import Principal, Request, assume, decide
from iam.policies import Policy, parse

ACCOUNT = "123456789012"
GROUPS: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("documented.yaml").read_text("utf-8")
)


def cases() -> Iterator[Any]:
    """Each request of each page."""
    for group in GROUPS:
        for number, request in enumerate(group["requests"]):
            name = f"{group['page']}: {group['says']} [{number}: {request['does']}]"
            yield pytest.param(group, request, id=name)


def policy(group: dict[str, Any], kind: str) -> Policy | None:
    """The policy of this kind, if the page has one."""
    if kind not in group:
        return None
    version = group.get("version", "2012-10-17")
    return parse({"Version": version, "Statement": group[kind]})


def principal(request: dict[str, Any]) -> tuple[Principal, dict[str, str]]:
    """A user by name, or a role's session as role/session; what a request says of a user."""
    who = request.get("who", "somebody")
    role, slash, session = who.partition("/")
    if slash:
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/{role}/{session}"
        role_arn = f"arn:aws:iam::{ACCOUNT}:role/{role}"
        return Principal(arn, role_arn, request.get("tags", {})), {}
    arn = f"arn:aws:iam::{ACCOUNT}:user/{who}"
    return Principal(arn, tags=request.get("tags", {})), {"aws:username": who}


@pytest.mark.parametrize(("group", "request_"), list(cases()))
def test_a_request_is_decided_as_documented(
    group: dict[str, Any], request_: dict[str, Any]
) -> None:
    """Allowed, denied, or not mentioned."""
    who, told = principal(request_)
    given = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in request_.get("with", {}).items()
    }
    request = Request(who, request_["does"], request_.get("to", "*"), told | given)

    identity = policy(group, "policy")
    assert identity is not None
    decision = decide(
        request,
        identity=[identity],
        resource=policy(group, "resource"),
        boundary=policy(group, "boundary"),
        session=policy(group, "session"),
    )

    assert request_["is"] == decision.outcome


def test_there_are_at_least_sixty_of_them() -> None:
    """From pages that are named, of every operator that the evaluator knows but for variations."""
    assert len(list(cases())) >= 60
    assert all(": " in group["page"] and group["says"] for group in GROUPS)


# Sessions: "Passing session tags in AWS STS" and the STS API Reference, AssumeRole.

ROLE = f"arn:aws:iam::{ACCOUNT}:role/target"
USER = Principal(f"arn:aws:iam::{ACCOUNT}:user/david", tags={"Team": "red"})
BOTH = ["sts:AssumeRole", "sts:TagSession"]


def trust(*statements: dict[str, Any]) -> Policy:
    """A trust policy; each statement is about David unless it says otherwise."""
    named = {"AWS": USER.arn}
    return parse(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Principal": named, "Action": BOTH} | statement
                for statement in statements
            ],
        }
    )


def allowing(*actions: str) -> Policy:
    """An identity policy."""
    return parse(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": list(actions), "Resource": ROLE},
        }
    )


def test_who_is_named_by_a_trust_policy_needs_no_policy_of_its_own() -> None:
    """AssumeRole: "no additional identity-based policy is required"."""
    assert assume(USER, ROLE, trust({}), session_name="s") is not None


def test_an_account_that_is_trusted_leaves_it_to_its_own_policies() -> None:
    """AssumeRole: "as long as the role's trust policy trusts the account"."""
    of_the_account = trust({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}})
    may = [allowing("sts:AssumeRole")]

    assert assume(USER, ROLE, of_the_account, session_name="s") is None
    assert assume(USER, ROLE, of_the_account, session_name="s", identity=may) is not None


def test_a_policy_of_ones_own_is_not_enough() -> None:
    """Evaluation logic: trust policies "must explicitly allow access for principals"."""
    of_another = trust({"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/maria"}})
    may = [allowing("sts:AssumeRole")]

    assert assume(USER, ROLE, of_another, session_name="s", identity=may) is None


def test_tags_need_tag_session() -> None:
    """Session tags: "for roles without this permission … the AssumeRole operation fails"."""
    without = trust({"Action": "sts:AssumeRole"})

    assert assume(USER, ROLE, without, session_name="s") is not None
    assert assume(USER, ROLE, without, session_name="s", tags={"Project": "a"}) is None
    assert assume(USER, ROLE, trust({}), session_name="s", tags={"Project": "a"}) is not None


@pytest.mark.parametrize(
    ("tags", "transitive", "external_id", "is_let_in"),
    [
        ({"Project": "a", "CostCenter": "1", "Department": "Engineering"}, (), "E1", True),
        ({"Project": "a", "CostCenter": "1", "Department": "Sales"}, (), "E1", False),
        ({"Project": "a", "CostCenter": "1"}, (), "E1", False),
        ({"Project": "a", "CostCenter": "1", "Department": "Marketing"}, (), "E2", False),
        (
            {"Project": "a", "CostCenter": "1", "Department": "Marketing"},
            ("Project",),
            "E1",
            True,
        ),
        (
            {"Project": "a", "CostCenter": "1", "Department": "Marketing"},
            ("CostCenter",),
            "E1",
            False,
        ),
    ],
    ids=["all", "another-value", "one-missing", "external-id", "transitive", "not-transitive"],
)
def test_a_trust_policy_chooses_the_tags(
    tags: dict[str, str], transitive: tuple[str, ...], external_id: str, is_let_in: bool
) -> None:
    """Session tags, "Example role trust policy for session tags"."""
    any_of_three = {
        f"aws:RequestTag/{key}": "*" for key in ("Project", "CostCenter", "Department")
    }
    example = trust(
        {
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringLike": any_of_three,
                "StringEquals": {"sts:ExternalId": "E1"},
            },
        },
        {
            "Action": "sts:TagSession",
            "Condition": {
                "StringLike": {"aws:RequestTag/Project": "*", "aws:RequestTag/CostCenter": "*"},
                "StringEquals": {"aws:RequestTag/Department": ["Engineering", "Marketing"]},
                "ForAllValues:StringEquals": {"sts:TransitiveTagKeys": ["Project", "Department"]},
            },
        },
    )

    session = assume(
        USER,
        ROLE,
        example,
        session_name="s",
        tags=tags,
        transitive=transitive,
        context={"sts:ExternalId": external_id},
    )

    assert is_let_in == (session is not None)


def test_transitive_tags_are_inherited_and_cannot_be_replaced() -> None:
    """Session tags, "Chaining roles with session tags"."""
    first = assume(
        USER,
        ROLE,
        trust({}),
        session_name="1",
        tags={"Star": "1", "Sun": "2"},
        transitive=["Star"],
    )
    assert first is not None
    next_role = f"arn:aws:iam::{ACCOUNT}:role/next"
    trusting = trust({"Principal": {"AWS": ROLE}})

    second = assume(first, next_role, trusting, session_name="2", tags={"Moon": "3"})

    assert second is not None
    assert {"Star": "1", "Moon": "3"} == second.tags
    assert assume(first, next_role, trusting, session_name="2", tags={"star": "9"}) is None
    # "The new session inherits": so there is something to tag it with.
    untagged = trust({"Principal": {"AWS": ROLE}, "Action": "sts:AssumeRole"})
    assert assume(first, next_role, untagged, session_name="2") is None


def test_a_service_is_named_as_one() -> None:
    """EKS, "Create IAM role with trust policy required by EKS Pod Identity"."""
    pods = Principal("pods.eks.amazonaws.com")
    example = trust(
        {
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Condition": {"StringEquals": {"aws:RequestTag/kubernetes-namespace": ["ns"]}},
        }
    )

    def session(who: Principal, **tags: str) -> Principal | None:
        return assume(who, ROLE, example, session_name="pod", tags=tags)

    tags = {"kubernetes-namespace": "ns"}
    assert assume(pods, ROLE, example, session_name="pod", tags=tags) is not None
    assert assume(pods, ROLE, example, session_name="pod", tags={"a": "b"}) is None
    assert session(pods) is None
    assert assume(USER, ROLE, example, session_name="pod", tags=tags) is None
    other = Principal("ec2.amazonaws.com")
    assert assume(other, ROLE, example, session_name="pod", tags=tags) is None
