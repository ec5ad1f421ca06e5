"""Terraform and OpenTofu on copies of a module: never in the tree, and on nobody's account.

Where providers come from: the user's CLI configuration; else a mirror, which
TENANTRY_PROVIDER_MIRROR names or which is found where systems put such things; else the registry,
with a cache of its own.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.providers import cli_configuration

REPOSITORY: Final = Path(__file__).resolve().parents[2]
TENANT_MODULE: Final = REPOSITORY / "platform" / "terraform" / "modules" / "tenant"

#: Files of the tenant module that ask no provider: rules, names and places.
RULES: Final = ("variables.tf", "names.tf", "places.tf", "tenant_id.json")

#: Seconds, less than a test has. An apply waits 25 s for each of two queues; the rest is a machine
#: that is busy.
_COMMAND_SECONDS: Final = 220.0
_ERROR_LINES: Final = 40
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")

ROLES: Final = {
    role: f"arn:aws:iam::123456789012:role/dev-tenantry-{role}"
    for role in ("producer", "consumer", "pool-producer", "pool-consumer")
}


class TerraformError(RuntimeError):
    """A command failed; its text is what it said."""


def find(tool: str) -> Path | None:
    """This machine's `terraform` or `tofu`; TENANTRY_TOFU names one that is not on the PATH."""
    named = os.environ.get(f"TENANTRY_{tool.upper()}") or shutil.which(tool)
    return Path(named) if named else None


@dataclass(frozen=True, slots=True)
class Root:
    """A folder that a tool runs in, as a root module with a state of its own."""

    tool: Path
    folder: Path
    env: Mapping[str, str]

    def run(self, *arguments: str, also: Sequence[int] = ()) -> str:
        """What a command says on standard output; `also` are statuses that are no failure.

        Raises:
            TerraformError: It failed.
        """
        process = subprocess.Popen(
            [self.tool, *arguments],
            cwd=self.folder,
            env=dict(self.env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, complained = process.communicate(timeout=_COMMAND_SECONDS)
        finally:
            # Providers are processes of their own, and outlive a tool that is killed.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        if process.returncode not in (0, *also):
            lines = _COLOUR.sub("", said + complained).splitlines()[-_ERROR_LINES:]
            msg = f"{self.tool.name} {arguments[0]}: exit {process.returncode}\n" + "\n".join(
                lines
            )
            raise TerraformError(msg)
        return _COLOUR.sub("", said)

    def write(self, variables: Mapping[str, Any]) -> None:
        """Say the variables of the runs that follow."""
        path = self.folder / "values.auto.tfvars.json"
        path.write_text(json.dumps(variables, indent=1), encoding="utf-8")


def open_root(tool: Path, folder: Path, **env: str) -> Root:
    """A folder that already holds a configuration, with its providers installed."""
    root = Root(tool, folder, environment(tool, folder) | env)
    root.run("init", "-backend=false", "-input=false")
    return root


def copy_module(module: Path, folder: Path) -> Path:
    """A copy without what earlier runs left."""
    return Path(
        shutil.copytree(
            module, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "*.tfvars")
        )
    )


def refusals(tool: Path, folder: Path, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What the tenant module's rules say of variables: an empty text where they take them."""
    names = list(cases)
    root = _rules_root(tool, folder, [cases[name] for name in names])
    said = dict.fromkeys(names, "")
    for line in root.run("plan", "-input=false", "-json", also=(1,)).splitlines():
        event = json.loads(line)
        if event.get("@level") != "error":
            continue
        diagnostic = event["diagnostic"]
        where = re.fullmatch(
            r"module\.case_(\d+)", diagnostic.get("snippet", {}).get("context", "")
        )
        if where is None:
            raise TerraformError(f"{diagnostic['summary']}: {diagnostic['detail']}")
        said[names[int(where[1])]] += diagnostic["detail"] + "\n"
    return said


def rules(tool: Path, folder: Path, cases: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the tenant module makes of variables: names, tags and what is built."""
    names = list(cases)
    root = _rules_root(tool, folder, [cases[name] for name in names])
    root.run("apply", "-input=false", "-auto-approve")
    outputs = json.loads(root.run("output", "-json"))
    return {name: outputs[f"case_{number}"]["value"] for number, name in enumerate(names)}


def variables(instance: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Variables of the tenant module, good ones, but for what is said."""
    given = {"environment": "dev", "cluster_name": "dev", "roles": ROLES, "instance": instance}
    return given | others


_WHAT_IS_MADE: Final = """
output "made" {
  value = {
    names            = local.names
    is_built         = local.is_built
    service_accounts = local.service_accounts
    tags             = local.tags
  }
}
"""


def _rules_root(tool: Path, folder: Path, cases: Sequence[Mapping[str, Any]]) -> Root:
    module = folder / "module"
    module.mkdir(parents=True)
    for name in RULES:
        shutil.copy2(TENANT_MODULE / name, module)
    (module / "made.tf").write_text(_WHAT_IS_MADE, encoding="utf-8")
    return open_calls(tool, folder, cases, "made")


def open_calls(tool: Path, folder: Path, cases: Sequence[Mapping[str, Any]], output: str) -> Root:
    """A root that calls `./module` once for each case, with one of its outputs as its own."""
    calls = {
        "module": {
            f"case_{number}": {"source": "./module", **_literal(case)}
            for number, case in enumerate(cases)
        },
        "output": {
            f"case_{number}": {"value": f"${{module.case_{number}.{output}}}"}
            for number in range(len(cases))
        },
    }
    (folder / "main.tf.json").write_text(json.dumps(calls, indent=1), encoding="utf-8")
    return open_root(tool, folder)


def _literal(value: Any) -> Any:
    """A value that Terraform's JSON does not take for a template."""
    if isinstance(value, str):
        return value.replace("${", "$${").replace("%{", "%%{")
    if isinstance(value, Mapping):
        return {name: _literal(item) for name, item in value.items()}
    return value


def environment(tool: Path, folder: Path) -> dict[str, str]:
    """The user's, without what leads to an account of theirs or changes what a command does."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "TF_", "TOFU_", "TENANTRY_"))
    }
    return env | {
        "TF_CLI_CONFIG_FILE": str(cli_configuration(tool, folder)),
        "TF_IN_AUTOMATION": "1",
        "CHECKPOINT_DISABLE": "1",
        "AWS_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
