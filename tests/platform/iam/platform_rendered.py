"""The roles of the cluster's own software as Terraform renders them, with all add-ons on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from iam.rendered import Roles, render
from iam.world import role_arn


def render_platform(tool: Path, folder: Path) -> dict[str, Roles]:
    """The add-ons' roles, too, by run. A mocked role has the ARN of no role: here it has its own.

    Raises:
        TerraformError: A test of the module fails, and what Terraform says.
    """
    found = render(tool, folder, "platform")
    return {
        run: {name: replace(role, arn=role_arn(role.name)) for name, role in roles.items()}
        for run, roles in found.items()
    }
