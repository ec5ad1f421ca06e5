"""Names of queue, table and registry are those of `tenantry.names`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chart.render import PHASES, ROOT, SCHEMA, environment, render, values
from tenantry.names import queue_name, registry_table_name, table_name
from tenantry.tenant_id import parse_tenant_id

EXAMPLES = json.loads((ROOT / "tests/contract/names.json").read_bytes())
LONGEST = SCHEMA["definitions"]["tenantId"]["maxLength"]


def is_tenant(name: str) -> bool:
    """Whether it may be a tenant's id."""
    try:
        parse_tenant_id(name)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize(
    "example",
    [each for each in EXAMPLES if len(each["instance"]) <= LONGEST],
    ids=lambda each: each["why"],
)
def test_names_are_those_of_the_examples(example: dict[str, str]) -> None:
    """Of the table that services and Terraform pass, as far as the schema takes the id."""
    assert (example["queue"], example["table"]) == names_of(
        example["environment"], example["instance"]
    )


@settings(max_examples=12, deadline=None, phases=PHASES)
@given(
    environment_name=st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True),
    instance=st.from_regex(r"[a-z][a-z0-9]{2,9}(-[a-z0-9]{1,7}){0,2}", fullmatch=True).filter(
        is_tenant
    ),
)
def test_names_are_the_services_own(environment_name: str, instance: str) -> None:
    """Whatever the environment and the id."""
    assert (
        queue_name(environment_name, instance),
        table_name(environment_name, instance),
    ) == names_of(environment_name, instance)


def names_of(environment_name: str, instance: str) -> tuple[str, str]:
    """Names of queue and table that a consumer is told."""
    kind: dict[str, Any] = (
        {"kind": "pool"} if instance.startswith("pool-") else {"tier": "premium"}
    )
    given_values = values({"id": instance, **kind})
    given_values["facts"]["environment"] = environment_name
    told = environment(render(given_values), "consumer")
    assert registry_table_name(environment_name) == told["TENANTRY_REGISTRY_TABLE"]
    prefix = "https://sqs.eu-central-1.amazonaws.com/000000000000/"
    assert told["TENANTRY_QUEUE_URL"].startswith(prefix)
    return told["TENANTRY_QUEUE_URL"].removeprefix(prefix), told["TENANTRY_TABLE_NAME"]
