"""What the chart passes to the tenant module: each kind of instance, each phase of a move."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from chart.render import EXAMPLES, Object, environment, example, of_kind, rendered
from support import terraform


@cache
def passed() -> dict[str, dict[str, Any]]:
    """The module's variables, by example; nothing of those who have no module."""
    return {
        name: {given["name"]: given["value"] for given in found["spec"]["vars"]}
        for name in EXAMPLES
        for found in of_kind(rendered(name), "Terraform")
    }


def deployments(name: str) -> list[Object]:
    """What runs in an example's namespace."""
    return of_kind(rendered(name), "Deployment")


@pytest.fixture(scope="module")
def tool() -> Path:
    """Terraform."""
    found = terraform.find("terraform")
    if found is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    return found


@pytest.fixture(scope="module")
def made(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the module makes of them."""
    return terraform.rules(tool, tmp_path_factory.mktemp("passed"), passed())


def test_the_module_takes_all_that_the_chart_passes(tool: Path, tmp_path: Path) -> None:
    """What the chart's schema lets through, the module's rules do."""
    said = terraform.refusals(tool, tmp_path, passed())

    assert dict.fromkeys(passed(), "") == said


def test_who_has_nothing_of_its_own_has_no_module() -> None:
    """A basic tenant, also one that goes from pool to pool; everybody else has one."""
    without = set()
    for name in EXAMPLES:
        instance = example(name)["instance"]
        tiers = {instance.get("tier"), instance.get("transition", {}).get("from", {}).get("tier")}
        if instance.get("kind") != "pool" and tiers <= {"basic", None}:
            without.add(name)

    assert without == set(EXAMPLES) - set(passed())


def test_the_names_in_the_settings_are_the_modules(made: dict[str, Any]) -> None:
    """Pods do not wait for outputs: both sides make the same names."""
    for name in passed():
        assert bool(deployments(name)) is made[name]["is_built"], name
        if deployments(name):
            settings = environment(rendered(name), "consumer")
            names = made[name]["names"]
            assert settings["TENANTRY_QUEUE_URL"].endswith(f"/{names['queue']}"), name
            assert names["table"] == settings["TENANTRY_TABLE_NAME"], name


def test_every_pod_has_its_role(made: dict[str, Any]) -> None:
    """An association for each service account that a Deployment runs under, and no other."""
    for name, given in passed().items():
        pods = [found["spec"]["template"]["spec"] for found in deployments(name)]
        running = {pod["serviceAccountName"] for pod in pods}
        assert running == set(made[name]["service_accounts"]), name

        namespaces = {found["metadata"]["namespace"] for found in deployments(name)}
        assert namespaces <= {given["instance"]["id"]}, name
