"""The module's form, and its own tests under the other tool, where that is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from iam.rendered import MODULE, Roles, render
from support import terraform


def test_the_module_is_formatted_and_valid(rendered: dict[str, Roles], tmp_path: Path) -> None:
    """As `terraform fmt` writes it; all its files, its tests too."""
    tool = terraform.find("terraform")
    assert tool is not None
    root = terraform.open_root(tool, terraform.copy_module(MODULE, tmp_path / "module"))

    root.run("fmt", "-check", "-recursive")
    root.run("validate")
    assert {"roles", "longest"} == set(rendered)


@pytest.mark.terraform
@pytest.mark.parametrize("tests", ["identity", "platform"])
def test_opentofu_renders_the_same(
    tests: str,
    rendered: dict[str, Roles],
    platform_rendered: dict[str, Roles],
    tmp_path: Path,
) -> None:
    """Every document of every role."""
    tool = terraform.find("tofu")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("tofu is not built: `make tools`")

    known = {"identity": rendered, "platform": platform_rendered}[tests]
    found = render(tool, tmp_path / "module", tests)
    assert documents(known) == documents(found)


def documents(rendered: dict[str, Roles]) -> dict[str, dict[str, tuple[object, ...]]]:
    """What is compared, by run and role."""
    return {
        run: {name: (role.name, role.trust, role.access) for name, role in roles.items()}
        for run, roles in rendered.items()
    }


def test_no_policy_is_made_by_a_data_source() -> None:
    """A mocked one is a random string, and every test of policies would be of that."""
    for path in MODULE.glob("*.tf"):
        assert "aws_iam_policy_document" not in path.read_text("utf-8")
