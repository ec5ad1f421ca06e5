"""The boundary of workstation-role.yaml, against the roles that Terraform makes within it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cloud import templates
from cloud.environments import ROOT
from iam.evaluator import Principal, Request, decide
from iam.policies import parse
from support import terraform
from support.once import once_a_run
from tenantry_cloud import bootstrap
from tenantry_cloud.offline import Offline, make_offline
from tenantry_cloud.reading import read_environment

pytestmark = pytest.mark.terraform

FILE: Final = ROOT / "platform/environments/dev.tfvars"
DEV: Final = read_environment(FILE)
BOUNDARY: Final = parse(
    templates.workstation(bootstrap.parameters(DEV))["Boundary"]["Properties"]["PolicyDocument"]
)
EVERYTHING: Final = parse({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Offline:
    """What dev is made of."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    env = terraform.environment(tool, tmp_path_factory.mktemp("boundary") / "root")
    return once_a_run(tmp_path_factory, "offline-dev", lambda: make_offline(DEV, FILE, ROOT, env))


def test_every_role_has_it(offline: Offline) -> None:
    """The workstation may make no other."""
    roles = [one for one in offline.resources if one.kind == "aws_iam_role"]
    bare = [
        one.address
        for one in roles
        if not re.fullmatch(
            r"arn:aws:iam::[0-9]{12}:policy/dev-tenantry-boundary",
            one.values.get("permissions_boundary") or "",
        )
    ]

    assert bare == []
    assert len(roles) > 10
    assert all(one.values["name"].startswith("dev-tenantry-") for one in roles)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _granted(offline: Offline) -> Iterator[tuple[str, str, str]]:
    """Address, action and resource of all that inline policies allow."""
    for one in offline.resources:
        if one.kind != "aws_iam_role_policy":
            continue
        for statement in json.loads(one.values["policy"])["Statement"]:
            if statement["Effect"] == "Allow":
                for action in _listed(statement["Action"]):
                    for resource in _listed(statement["Resource"]):
                        yield one.address, action, resource


def _is_of(action: str, resource: str) -> bool:
    """Whether the action can be on it: a statement may name actions of several services.

    What the mocked provider made up is no ARN, and says nothing.
    """
    if not resource.startswith("arn:"):
        return resource == "*"
    service = action.partition(":")[0]
    return resource.split(":")[2] == {"sts": "iam"}.get(service, service)


def _named(resource: str) -> str:
    """A resource that is meant: wildcards and variables stand for some text, as does the mock."""
    text = re.sub(r"\$\{[^}]*\}", "x", resource)
    text = re.sub(r"(?<=:)[0-9]{12}(?=:)", templates.ACCOUNT, text)
    text = re.sub(r"(?<=[:/])a-(queue|table|bus)\b", "dev-x", text)
    text = text.replace(":role/a-role", ":role/dev-tenantry-x")
    text = text.replace("arn:aws:s3:::a-bucket", "arn:aws:s3:::dev-tenantry-exports")
    return text if text == "*" else text.replace("*", "x")


def test_it_takes_nothing_from_them_that_they_need(offline: Offline) -> None:
    """What a role's own policy allows, the boundary allows, on the resources that are named."""
    who = Principal(arn=f"arn:aws:sts::{templates.ACCOUNT}:assumed-role/dev-tenantry-x/x")
    asked = [one for one in _granted(offline) if _is_of(*one[1:])]
    lost = [
        one
        for one in asked
        if not decide(
            Request(who, one[1].replace("*", "X"), _named(one[2])),
            identity=[EVERYTHING],
            boundary=BOUNDARY,
        ).allowed
    ]

    assert lost == [], "\n".join(map(str, lost))
    assert len(asked) > 100
