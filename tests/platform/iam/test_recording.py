"""The services behind the rendered policies: what they do is allowed, and is what is recorded."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from botocore import xform_name
from botocore.session import get_session

from iam.matrix import recorded_calls
from iam.recording import play, recorded
from iam.rendered import Roles

Golden = Callable[[str, str], None]

ROOT = Path(__file__).parents[3]
#: What `tenantctl` alone calls, through the library.
NOT_OF_THE_SERVICES = {"put_item"}


@pytest.mark.slow
async def test_services_make_the_recorded_calls_and_are_allowed_them(
    roles: Roles, golden: Golden
) -> None:
    """A pool and a tenant of its own, in and out, moved, forwarded: no other call, none denied."""
    calls = recorded(await play(roles))

    lines = ",\n".join(
        f'  "{role}": [\n' + ",\n".join(f"    {json.dumps(one)}" for one in permissions) + "\n  ]"
        for role, permissions in calls.items()
    )
    golden(str(Path("tests/platform/iam/calls.json")), f"{{\n{lines}\n}}\n")


def test_the_services_source_makes_no_other_call() -> None:
    """Every method of an AWS client that is called there is a call that was recorded."""
    operations = {
        xform_name(operation): operation
        for service in ("sqs", "dynamodb", "sts")
        for operation in get_session().get_service_model(service).operation_names
    }
    called = {
        operations[node.func.attr]
        for folder in ("libs/tenantry/src", "services/producer/src", "services/consumer/src")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in operations.keys() - NOT_OF_THE_SERVICES
    }
    made = {call["operation"] for calls in recorded_calls().values() for call in calls}

    assert made == called
