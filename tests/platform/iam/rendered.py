"""The policies as Terraform renders them: from the module's own tests, with the provider mocked.

Nothing here is a copy: what `terraform test` says of its runs is what is evaluated.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from iam.policies import Policy, parse
from support import terraform

MODULE: Final = terraform.REPOSITORY / "platform" / "terraform" / "modules" / "identity"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Attributes:
        trust: Who may assume it, as the document.
        access: What it may do, as the document.
    """

    name: str
    arn: str
    trust: Document
    access: Document

    def trust_policy(self) -> Policy:
        """Parsed."""
        return parse(self.trust)

    def access_policy(self) -> Policy:
        """Parsed."""
        return parse(self.access)


#: Roles by what they are for: `producer`, `pool-consumer`, …
Roles = Mapping[str, Role]


def render(tool: Path, folder: Path, tests: str = "identity") -> dict[str, Roles]:
    """The roles of each run of one file of the module's tests that makes some.

    Args:
        tool: Terraform or OpenTofu.
        folder: For a copy of the module.
        tests: The file: `identity` for services and runner, `platform` for the add-ons' too.

    Raises:
        TerraformError: A test of the module fails, and what Terraform says.
    """
    root = terraform.open_root(tool, terraform.copy_module(MODULE, folder))
    said = root.run("test", "-json", "-verbose", f"-filter=tests/{tests}.tftest.hcl").splitlines()
    # Each state comes with the provider's schema, 13 MB: only what is needed is read.
    states = [json.loads(line) for line in said if '"type":"test_state"' in line]
    # OpenTofu says the same one level deeper.
    told = {
        state["@testrun"]: state["test_state"].get("values", state["test_state"])
        for state in states
    }
    return {run: dict(_roles(values["root_module"]["resources"])) for run, values in told.items()}


def _roles(resources: list[dict[str, Any]]) -> Iterator[tuple[str, Role]]:
    policies = {
        _name(one): one["values"]["policy"]
        for one in resources
        if one["type"] == "aws_iam_role_policy"
    }
    for one in resources:
        if one["type"] == "aws_iam_role":
            role = one["values"]
            yield (
                _name(one),
                Role(
                    name=role["name"],
                    arn=role["arn"],
                    trust=json.loads(role["assume_role_policy"]),
                    access=json.loads(policies[_name(one)]),
                ),
            )


def _name(resource: dict[str, Any]) -> str:
    """What a role is for: its key among others, or its own name."""
    key = resource.get("index")
    return key if isinstance(key, str) else str(resource["name"]).replace("_", "-")
