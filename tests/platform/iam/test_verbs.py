"""tenantctl behind the rendered policies: what a verb calls it may, and nothing else is open."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from botocore import xform_name
from botocore.session import get_session

from iam import verbs, world
from iam.evaluator import Principal, Request, decide
from iam.matrix import service_authorization
from iam.platform_table import EVENTS
from iam.platform_things import things
from iam.rendered import Roles
from iam.verbs_tape import Made, kept, lines

Golden = Callable[[str, str], None]

ROOT: Final = Path(__file__).parents[3]
#: Asked of AWS by `deploy`, where charts are in ECR, and of nobody in the played environment: the
#: password, and with it the registry for manifests, what refers to one, and blobs, which ECR
#: authorises by these actions.
OF_ECR: Final = {
    ("deploy", "GetAuthorizationToken", "ecr:GetAuthorizationToken"),
    ("deploy", "GetManifest", "ecr:BatchGetImage"),
    ("deploy", "GetBlob", "ecr:GetDownloadUrlForLayer"),
}


async def test_verbs_make_the_recorded_calls(
    tmp_path: Path, golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every direction, with all that makes them call more; a new call is seen here."""
    tape = await verbs.play(tmp_path, monkeypatch)

    golden(str(Path("tests/platform/iam/verbs.json")), lines(tape))


async def test_each_call_of_a_verb_is_allowed_to_its_role(
    platform_roles: Roles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On what is there, by its tags, and on what is not, which has none."""
    tape = await verbs.play(tmp_path, monkeypatch)
    refused = [
        f"{verb}: {one.action} on {one.on}{'' if one.is_there else ', which is not there'}"
        for verb, made in tape.made.items()
        for one in made
        if not _is_allowed(platform_roles, verb, one)
    ]

    assert [] == refused


def _is_allowed(roles: Roles, verb: str, one: Made) -> bool:
    role = roles[f"argo-workflows-{verb}"]
    arn = f"arn:aws:sts::{world.ACCOUNT}:assumed-role/{role.name}/a-session"
    principal = Principal(arn, role.arn, world.pod_tags("argo-control", verb))
    thing = things()[one.on]
    tags = thing.context() if one.is_there else {}
    told = {"aws:RequestedRegion": world.REGION, **one.context, **tags}
    request = Request(principal, one.action, thing.arn, told)
    return decide(request, identity=[role.access_policy()]).allowed


@pytest.mark.parametrize("verb", EVENTS)
def test_a_verb_may_nothing_that_it_was_not_seen_to_do(verb: str, platform_roles: Roles) -> None:
    """Each action that its role allows is one of its calls."""
    made = {call["action"] for call in kept()[verb]}
    made |= {action for of, _, action in OF_ECR if of == verb}
    allowed = {
        action
        for statement in platform_roles[f"argo-workflows-{verb}"].access["Statement"]
        if statement["Effect"] == "Allow"
        for action in _listed(statement["Action"])
    }

    assert made == allowed


def _listed(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_every_verb_of_the_control_plane_is_recorded(platform_roles: Roles) -> None:
    """None is left out, on either side."""
    named = {
        name.removeprefix("argo-workflows-")
        for name in platform_roles
        if name.startswith("argo-workflows-")
    }

    assert named == set(kept())


def test_tenantctls_source_makes_no_other_call() -> None:
    """Every method of an AWS client that is called there is a call that was recorded."""
    operations = {
        xform_name(operation): operation
        for service in ("sqs", "dynamodb", "s3", "cloudwatch", "events", "ecr")
        for operation in get_session().get_service_model(service).operation_names
    }
    called = {
        operations[node.attr]
        for path in (ROOT / "platform/tenantctl/src").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in operations
    }
    made = {call["operation"] for calls in kept().values() for call in calls}

    # By people, who have rights of their own: `states list`, `cost`.
    by_people = {"GetMetricData", "ListObjectVersions"}
    # By the library: the registry's own read.
    assert called | {"GetItem"} == made | {"GetAuthorizationToken"} | by_people


def test_what_is_recorded_is_an_action() -> None:
    """As AWS documents actions: no name of a call is taken for one."""
    for calls in kept().values():
        for call in calls:
            service, _, name = call["action"].partition(":")
            assert name in service_authorization()[service]["actions"]
