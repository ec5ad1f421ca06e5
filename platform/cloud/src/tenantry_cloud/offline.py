"""What an environment would be made of, found out without AWS.

Terraform plans nothing without the provider's answers, but `terraform test` has them mocked: it
applies the whole root to a provider that makes up what AWS would say, and tells the state.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.errors import TerraformFailedError
from tenantry_cloud.model import Environment, Peer
from tenantry_cloud.providers import cli_configuration
from tenantry_cloud.steps import NOT_INSTALLED, TIMED_OUT, Shell

_RUN: Final = "offline"
_FOLDER: Final = Path("platform/terraform")
#: A run is two seconds of CPU; a machine may be busy.
_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that would be made.

    Attributes:
        address: As Terraform calls it: `module.network.aws_vpc.this`.
        kind: `aws_vpc`.
        values: What is known of it; what AWS would say is made up.
    """

    address: str
    kind: str
    values: Mapping[str, Any]

    @property
    def part(self) -> str:
        """`network`, `cluster`, `identity`; or `environment`, which puts them together."""
        first, _, rest = self.address.partition(".")
        return rest.partition(".")[0] if first == "module" else "environment"


@dataclass(frozen=True, slots=True)
class Offline:
    """An environment without AWS: what it would be made of, and what it would tell."""

    resources: tuple[Resource, ...]
    outputs: Mapping[str, Any]


def make_offline(
    environment: Environment, file: Path, root: Path, env: Mapping[str, str] = os.environ
) -> Offline:
    """Make an environment without AWS.

    Args:
        environment: What `file` says.
        file: The variables file.
        root: The checkout.
        env: For Terraform, which has to find its provider.

    Raises:
        TerraformFailedError: Terraform is not there, has no provider, or refuses.
    """
    with tempfile.TemporaryDirectory(prefix="tenantry-") as scratch:
        for part in ("environment", "modules"):
            shutil.copytree(
                root / _FOLDER / part,
                Path(scratch) / part,
                ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tftest.hcl"),
            )
        folder = Path(scratch) / "environment"
        env = {**env, "TF_CLI_CONFIG_FILE": str(cli_configuration(Path("terraform"), folder))}
        (folder / "tests" / f"{_RUN}.tftest.hcl").write_text(_test(environment), encoding="utf-8")
        _terraform(folder, env, "init", "-backend=false", "-input=false")
        said = _terraform(folder, env, "test", "-json", "-verbose", f"-var-file={file.resolve()}")
    for line in said.splitlines():
        # The state comes with the provider's schema, 13 MB; the other lines are not needed.
        if '"type":"test_state"' in line:
            state = json.loads(line)["test_state"]
            return Offline(
                resources=tuple(_resources(state["root_module"])),
                outputs={name: told["value"] for name, told in state["outputs"].items()},
            )
    raise TerraformFailedError(f"terraform test said no state:\n{said[-2000:]}")


def _resources(module: Mapping[str, Any]) -> Iterator[Resource]:
    for one in module.get("resources", []):
        if one["mode"] == "managed":
            yield Resource(one["address"], one["type"], one["values"])
    for child in module.get("child_modules", []):
        yield from _resources(child)


def _test(environment: Environment) -> str:
    """A run of the whole root, in which peers are as the file says."""
    peers = dict(environment.network.peers)
    if environment.workstation is not None:
        peers["workstation"] = Peer(
            cidr=environment.workstation.cidr, vpc_id=None, reaches_services=True
        )
    answers = "".join(
        f"""
  override_data {{
    target = module.network.data.aws_vpc.peer["{name}"]
    values = {{ id = "vpc-{number:08x}", cidr_block = "{peer.cidr}" }}
  }}
  override_data {{
    target = module.network.data.aws_route_tables.peer["{name}"]
    values = {{ ids = ["rtb-{number:08x}"] }}
  }}
"""
        for number, (name, peer) in enumerate(sorted(peers.items()))
    )
    return f"""
mock_provider "aws" {{
  source = "./tests/mocks"
{answers}}}

run "{_RUN}" {{}}
"""


def _terraform(folder: Path, env: Mapping[str, str], *arguments: str) -> str:
    done = Shell(folder, _SECONDS).run(
        ["terraform", *arguments],
        env={**env, "TF_IN_AUTOMATION": "1", "CHECKPOINT_DISABLE": "1"},
    )
    if done.status == NOT_INSTALLED:
        raise TerraformFailedError("terraform is not on the PATH: version 1.11 or later is needed")
    if done.status == TIMED_OUT:
        raise TerraformFailedError(f"terraform {arguments[0]} did not end within {_SECONDS:.0f} s")
    if done.status:
        said = (done.out + done.err).strip().splitlines()
        raise TerraformFailedError(f"terraform {arguments[0]} failed:\n" + "\n".join(said[-40:]))
    return done.out
