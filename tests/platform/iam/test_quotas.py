"""500 advanced and 500 premium tenants are no question to AWS."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from chart.render import of_kind, render
from iam.quotas import (
    ROLE_NAME_CHARACTERS,
    ROLE_POLICIES_CHARACTERS,
    TRUST_POLICY_CHARACTERS,
)
from iam.rendered import Roles
from support import terraform
from tenantry_benchmarks.scale import own
from tenantry_benchmarks.scale.own import MAKES, Kind, shares

INSTANCES: dict[Kind, dict[str, Any]] = {
    "pool": {"id": "pool-1", "kind": "pool"},
    "advanced": {"id": "globex", "tier": "advanced", "pool": "pool-1"},
    "premium": {"id": "acme", "tier": "premium"},
}


def test_a_thousand_tenants_of_their_own_fit_into_one_environment() -> None:
    """Roles, associations, load balancers and what is in them, tables, alarms: all by default."""
    found = shares(advanced=500, premium=500)

    assert len(found) == 8
    assert [] == [str(one) for one in found if one.is_over]


def test_no_role_is_made_for_a_tenant(roles: Roles) -> None:
    """However many there are, there are as many roles as the module of the environment makes."""
    few, many = (
        {one.name: one.taken for one in shares(advanced=count, premium=count)}
        for count in (1, 500)
    )

    assert len(roles) == own.ROLES
    assert few["IAM roles"] == many["IAM roles"]
    assert few["associations"] < many["associations"]


def test_a_quota_that_is_passed_is_seen() -> None:
    """2,600 premium tenants take more associations than a cluster has."""
    over = {one.name for one in shares(advanced=0, premium=2_600) if one.is_over}

    assert {"associations", "ALBs", "tables", "alarms"} == over


def test_a_fuller_pool_would_not_fit_its_load_balancer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound on advanced tenants of a pool is there for its target groups and rules."""
    monkeypatch.setattr(own, "ADVANCED_PER_POOL", 100)

    over = {one.name for one in shares(advanced=500, premium=500) if one.is_over}
    assert {"target groups", "rules"} == over


def test_an_instance_takes_what_is_counted_for_it(tmp_path: Path) -> None:
    """Associations as the tenant module makes them, for service accounts that the chart has."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path / "rules"
    folder.mkdir()
    cases = {str(kind): terraform.variables(instance) for kind, instance in INSTANCES.items()}
    made = terraform.rules(tool, folder, cases)

    for kind, instance in INSTANCES.items():
        accounts = set(made[kind]["service_accounts"])
        assert len(accounts) == MAKES[kind].associations
        deployed = of_kind(objects_of(instance), "Deployment")
        assert accounts == {
            each["spec"]["template"]["spec"]["serviceAccountName"] for each in deployed
        }


@pytest.mark.parametrize("what", ["queues", "alarms"])
def test_a_module_has_as_many_resources_as_are_counted(what: str) -> None:
    """Each instance has them all: none is made by a loop."""
    kind = {"queues": "aws_sqs_queue", "alarms": "aws_cloudwatch_metric_alarm"}[what]
    source = "\n".join(path.read_text("utf-8") for path in terraform.TENANT_MODULE.glob("*.tf"))
    bodies = re.findall(rf'^resource "{kind}" .*?^}}', source, re.DOTALL | re.MULTILINE)

    assert len(bodies) == getattr(MAKES["premium"], what)
    assert all("count = local.is_built ? 1 : 0" in body for body in bodies)


@pytest.mark.parametrize("kind", INSTANCES)
def test_a_load_balancer_gets_what_is_counted_for_an_instance(kind: Kind) -> None:
    """A rule for each path of its Ingress, a target group for each service that one leads to."""
    [ingress] = of_kind(objects_of(INSTANCES[kind]), "Ingress")
    paths = [path for rule in ingress["spec"]["rules"] for path in rule["http"]["paths"]]
    # `messages` is an action, which leads to the producer.
    services = {path["backend"]["service"]["name"] for path in paths} - {"messages"}

    assert (len(paths), len(services)) == (MAKES[kind].rules, MAKES[kind].target_groups)


def objects_of(instance: dict[str, Any]) -> list[dict[str, Any]]:
    """The chart's objects of an instance."""
    return render({"instance": instance, "facts": {"environment": "dev"}})


def test_the_longest_names_make_documents_that_iam_takes(rendered: dict[str, Roles]) -> None:
    """An environment of 20 characters with a cluster of 100."""
    for role in rendered["longest"].values():
        assert len(role.name) <= ROLE_NAME_CHARACTERS
        assert len(_compact(role.trust)) <= TRUST_POLICY_CHARACTERS
        assert len(_compact(role.access)) <= ROLE_POLICIES_CHARACTERS


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def test_the_page_on_scale_has_the_table() -> None:
    """As it is counted here."""
    page = (Path(__file__).parents[3] / "docs" / "scale.md").read_text("utf-8")

    assert own.own_table(advanced=500, premium=500) in page
