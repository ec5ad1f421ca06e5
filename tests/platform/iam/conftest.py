"""What the tests of policies share: the roles as Terraform renders them, once a run."""

from __future__ import annotations

from typing import Final

import pytest

from iam.platform_rendered import render_platform
from iam.rendered import Roles, render
from iam.report import report
from support import terraform
from support.once import once_a_run

#: What was rendered, for the end of the run.
RENDERED: Final = pytest.StashKey[dict[str, Roles]]()


@pytest.fixture(scope="session")
def rendered(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> dict[str, Roles]:
    """Roles by the run of the module's tests that made them."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("identity") / "module"
    found = once_a_run(tmp_path_factory, "roles", lambda: render(tool, folder))
    pytestconfig.stash[RENDERED] = found
    return found


@pytest.fixture(scope="session")
def roles(rendered: dict[str, Roles]) -> Roles:
    """The roles of the environment `local`, whose cluster is `laptop`."""
    return rendered["roles"]


@pytest.fixture(scope="session")
def platform_rendered(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Roles]:
    """Roles by the run of the module's tests that made them, add-ons' too."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("platform") / "module"
    return once_a_run(tmp_path_factory, "platform-roles", lambda: render_platform(tool, folder))


@pytest.fixture(scope="session")
def platform_roles(platform_rendered: dict[str, Roles]) -> Roles:
    """With every add-on on."""
    return platform_rendered["platform"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print the isolation matrix, if this run evaluated it."""
    if (rendered := config.stash.get(RENDERED, None)) is not None:
        terminalreporter.section("isolation matrix")
        terminalreporter.write_line(report(rendered["roles"]))
