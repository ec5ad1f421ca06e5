"""500 advanced and 500 premium tenants are no question to AWS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from iam.quotas import (
    ROLE_NAME_CHARACTERS,
    ROLE_POLICIES_CHARACTERS,
    TRUST_POLICY_CHARACTERS,
    shares,
)
from iam.rendered import Roles
from support import terraform


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """Service accounts with an association, as the tenant module counts them."""
    tool = terraform.find("terraform")
    if tool is None:
        pytest.skip("terraform is not installed")
    instances = {
        "pool": {"id": "pool-1", "kind": "pool"},
        "advanced": {"id": "globex", "tier": "advanced", "pool": "pool-1"},
        "premium": {"id": "acme", "tier": "premium"},
    }
    folder = tmp_path_factory.mktemp("accounts") / "rules"
    folder.mkdir()
    cases = {kind: terraform.variables(instance) for kind, instance in instances.items()}
    made = terraform.rules(tool, folder, cases)
    return {kind: len(made[kind]["service_accounts"]) for kind in instances}


def test_a_thousand_tenants_of_their_own_fit_into_one_environment(
    roles: Roles, accounts: dict[str, int]
) -> None:
    """Roles, associations, load balancers and what is in them, tables, alarms: all by default."""
    assert {"pool": 2, "advanced": 1, "premium": 2} == accounts

    found = shares(advanced=500, premium=500, roles=len(roles), accounts=accounts)

    assert len(found) == 7
    assert not [str(one) for one in found if one.taken > one.quota.value]


def test_no_role_is_made_for_a_tenant(roles: Roles, accounts: dict[str, int]) -> None:
    """However many there are."""
    few, many = (
        {one.name: one.taken for one in shares(**load, roles=len(roles), accounts=accounts)}
        for load in ({"advanced": 1, "premium": 1}, {"advanced": 500, "premium": 500})
    )

    assert few["roles"] == many["roles"]
    assert few["Pod Identity associations"] < many["Pod Identity associations"]


def test_a_quota_that_is_passed_is_seen() -> None:
    """2,600 premium tenants take more associations than a cluster has."""
    accounts = {"pool": 2, "advanced": 1, "premium": 2}
    found = shares(advanced=0, premium=2_600, roles=6, accounts=accounts)

    over = {one.name for one in found if one.taken > one.quota.value}
    assert {"Pod Identity associations", "load balancers", "tables", "alarms"} == over


def test_the_longest_names_make_documents_that_iam_takes(rendered: dict[str, Roles]) -> None:
    """An environment of 20 characters with a cluster of 100."""
    for role in rendered["longest"].values():
        assert len(role.name) <= ROLE_NAME_CHARACTERS
        assert len(_compact(role.trust)) <= TRUST_POLICY_CHARACTERS
        assert len(_compact(role.access)) <= ROLE_POLICIES_CHARACTERS


def _compact(document: object) -> str:
    return json.dumps(document, separators=(",", ":"))


def test_the_page_on_scale_names_the_same_quotas() -> None:
    """Of roles, associations and load balancers."""
    page = (Path(__file__).parents[3] / "docs" / "scale.md").read_text("utf-8")

    for words in (
        "5,000 Pod Identity associations in a cluster",
        "1,000 IAM roles in an account",
        "100 target groups of one ALB",
    ):
        assert words in page
