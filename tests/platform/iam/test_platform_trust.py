"""Who becomes a role of the cluster's own software: its own service accounts, in this cluster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import yaml

from iam.platform_table import ACCOUNTS, EVENTS, TABLE
from iam.platform_trust import entries, wrong
from iam.rendered import Roles
from iam.widening import widened
from tenantctl.events import Verb
from tenantctl.outcomes import Outcome

FLEET: Final = Path(__file__).parents[3] / "platform" / "fleet"


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
