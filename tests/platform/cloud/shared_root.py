"""The root `shared` and its modules in copies: what a run of their own tests makes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support import terraform

TERRAFORM: Final = terraform.REPOSITORY / "platform" / "terraform"
VARIABLES: Final = terraform.REPOSITORY / "platform" / "environments" / "shared.tfvars"

#: By the folder below `TERRAFORM`: what its tests need beside themselves.
PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "modules/registry": (),
    "modules/gitea": (),
    "shared": (f"-var-file={VARIABLES}",),
}


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that a run made."""

    address: str
    kind: str
    values: Mapping[str, Any]


def copy(folder: Path) -> Path:
    """All of Terraform that `shared` is made of, with its state at hand instead of in a bucket."""
    for part in ("shared", "modules"):
        terraform.copy_module(TERRAFORM / part, folder / part)
    (folder / "shared" / "backend.tf").unlink()
    return folder


def open_part(tool: Path, folder: Path, part: str) -> terraform.Root:
    """A copy of one of `PARTS` with its provider."""
    return terraform.open_root(tool, copy(folder) / part)


def runs(part: str) -> list[str]:
    """The names of the runs of a part's tests."""
    return [
        name
        for path in sorted((TERRAFORM / part / "tests").glob("*.tftest.hcl"))
        for name in re.findall(r'^run "(\w+)"', path.read_text("utf-8"), re.MULTILINE)
    ]


def made(root: terraform.Root, part: str) -> dict[str, list[Resource]]:
    """What each applied run of a part's tests made, by the run's name.

    Raises:
        TerraformError: A test fails, and what Terraform says.
    """
    said = root.run("test", "-json", "-verbose", *PARTS[part]).splitlines()
    # Each state comes with the provider's schema, 13 MB: only what is needed is read.
    states = [json.loads(line) for line in said if '"type":"test_state"' in line]
    return {
        # OpenTofu says the same one level deeper.
        state["@testrun"]: list(
            _resources(state["test_state"].get("values", state["test_state"])["root_module"])
        )
        for state in states
    }


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            yield Resource(one["address"], one["type"], one["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def forget(folder: Path) -> None:
    """Remove a copy: a provider is a large file."""
    shutil.rmtree(folder, ignore_errors=True)
