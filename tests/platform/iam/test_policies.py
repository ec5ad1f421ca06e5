"""Policies ask only for what AWS can tell: else a condition denies for ever, or does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from iam.matrix import service_authorization
from iam.rendered import Document, Roles
from tenantry import names

#: Keys that AWS has for every request of a session.
OF_ANY_SESSION = ("aws:PrincipalTag/",)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(roles: Roles) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each statement that names actions, of each role's access policy, with where it stands."""
    for role in roles.values():
        for statement in role.access["Statement"]:
            if "Action" in statement:
                yield f"{role.name} {statement['Sid']}", statement


def kinds_of(action: str) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The service, what is documented of the action, and the service's resource types."""
    service, _, name = action.partition(":")
    facts = service_authorization()[service]
    return service, facts["actions"][name], facts["resources"]


def is_of(arn: str, pattern: str) -> bool:
    """Whether an ARN is of a documented form, `arn:…:table/${TableName}`."""
    parts, documented = arn.split(":", 5), pattern.split(":", 5)
    head = documented[5].partition("$")[0]
    in_kind = parts[5].startswith(head) if head else "/" not in parts[5]
    return parts[2] == documented[2] and in_kind


def test_each_action_exists_and_can_be_on_a_resource_of_its_statement(roles: Roles) -> None:
    """Service Authorization Reference: a statement for a resource that it cannot be on is dead."""
    for where, statement in statements(roles):
        if statement["Action"] == "*":
            continue
        for action in listed(statement["Action"]):
            _, facts, resources = kinds_of(action)
            arns = listed(statement["Resource"])
            fits = [
                arn
                for arn in arns
                if arn == "*" or any(is_of(arn, resources[kind]["arn"]) for kind in facts["on"])
            ]
            assert fits, f"{where}: {action} cannot be on any of {arns}"
            if statement["Effect"] == "Allow" and arns == ["*"]:
                assert not facts["on"], f"{where}: {action} could name its resource"


def test_each_condition_can_be_told(roles: Roles) -> None:
    """Of the action, or of a resource it is on."""
    for where, statement in statements(roles):
        if statement["Action"] == "*":
            continue
        keys = {key for keys in statement.get("Condition", {}).values() for key in keys}
        for action in listed(statement["Action"]):
            _, facts, resources = kinds_of(action)
            known = set(facts["keys"]) | {
                key for kind in facts["on"] for key in resources[kind]["keys"]
            }
            for key in keys:
                prefix, slash, _ = key.partition("/")
                assert f"{prefix}{slash}" in known, f"{where}: {action} has no {key}"


def test_what_is_denied_by_its_rest_is_all_that_nothing_allows(roles: Roles) -> None:
    """For everything, always: no policy of a resource opens more to the runner than its own."""
    own = roles["tf-runner"].access["Statement"]
    granted = {
        action
        for statement in own
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }
    [rest] = [dict(statement) for statement in own if "NotAction" in statement]

    assert granted == set(rest.pop("NotAction"))
    assert {"Sid": "NothingElseByAnyPolicy", "Effect": "Deny", "Resource": "*"} == rest


def test_what_has_several_values_is_never_asked_of_none(roles: Roles) -> None:
    """ForAllValues holds for nothing at all: where it allows, another condition asks for some."""
    twins = {"dynamodb:LeadingKeys": "Null", "dynamodb:Attributes": "StringEquals"}
    asked = 0
    for where, statement in statements(roles):
        for operator, keys in statement.get("Condition", {}).items():
            if operator.startswith("ForAllValues"):
                for key in keys:
                    asked += 1
                    twin = statement["Condition"][twins[key]]
                    assert key in twin or "dynamodb:Select" in twin, where
    assert asked >= 5


def test_nobody_may_scan_or_replace_or_delete_what_is_stored(roles: Roles) -> None:
    """A scan knows no partition; what is written once stays."""
    granted = {
        action
        for role, one in roles.items()
        if role != "tf-runner"
        for statement in one.access["Statement"]
        if statement["Effect"] == "Allow"
        for action in listed(statement["Action"])
    }

    assert not granted & {
        "dynamodb:Scan",
        "dynamodb:PartiQLSelect",
        "dynamodb:PutItem",
        "dynamodb:UpdateItem",
        "dynamodb:DeleteItem",
        "dynamodb:BatchWriteItem",
    }


def test_every_document_has_variables_and_named_statements(roles: Roles) -> None:
    """Version 2012-10-17; a Sid for each, once."""
    documents: list[Document] = [
        document for role in roles.values() for document in (role.trust, role.access)
    ]
    for document in documents:
        assert document["Version"] == "2012-10-17"
        sids = [statement["Sid"] for statement in document["Statement"]]
        assert len(set(sids)) == len(sids)
        assert all(sid.isalnum() for sid in sids)


@pytest.mark.parametrize(
    ("environment", "instance"),
    [("local", "pool-1"), ("local", "acme"), ("local", "t" * 32), ("e" * 20, "t" * 32)],
    ids=["a-pool", "a-tenant", "the-longest-id", "the-longest-of-all"],
)
def test_the_policies_fit_the_names_that_are_made(environment: str, instance: str) -> None:
    """No id that is allowed makes a name so long that it is cut, and would fit no pattern."""
    queue = names.queue_name(environment, instance)
    dead_letters = names.dead_letter_queue_name(environment, instance)

    assert queue == names.table_name(environment, instance)
    assert queue == f"{environment}-{instance}-messages"
    assert dead_letters == f"{queue}-dead-letters"
    # And what fits one pattern fits no other: a consumer never reads dead letters.
    assert not dead_letters.endswith("-messages")
    assert not names.registry_table_name(environment).endswith("-messages")
