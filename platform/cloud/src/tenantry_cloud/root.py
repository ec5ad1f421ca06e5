"""The Terraform root of an environment, and what is asked of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.model import Environment
from tenantry_cloud.steps import CommandError, Commands, Done, RefusedError, failed, output

ROOT: Final = "platform/terraform/environment"
_CHANGES: Final = 2
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


class Root:
    """Terraform of one environment, with its state in the account's bucket."""

    def __init__(
        self, commands: Commands, said: Environment, home: Path, patience: str = "2m"
    ) -> None:
        """Which one; and a folder of the checkout's own, for its plan and what init fetches.

        Two environments share nothing there, so that one run never works on the other's state.
        `patience` is for how long it waits while somebody else holds the state.
        """
        self._commands = commands
        self._said = said
        self._file = f"-var-file=../../environments/{said.environment}.tfvars"
        self._home = home
        self._lock = f"-lock-timeout={patience}"
        self._plan = str(home / f"{said.environment}.tfplan")
        self._env = {
            "TF_DATA_DIR": str(home / f"{said.environment}.terraform"),
            "TF_IN_AUTOMATION": "1",
        }

    def account(self) -> str:
        """Whose credentials these are.

        Raises:
            RefusedError: They are another account's than the variables file names.
            CommandError: There are none.
        """
        found = output(
            self._commands,
            *("aws", "sts", "get-caller-identity", "--query", "Account", "--output", "text"),
            advice="Sign in to AWS first.",
        ).strip()
        if self._said.account not in (None, found):
            raise RefusedError(
                f"{self._said.environment} belongs to account {self._said.account}, and these "
                f"credentials are of {found}."
            )
        return found

    def bucket(self) -> str:
        """Where the state is."""
        return f"tenantry-state-{self.account()}-{self._said.region}"

    def has_bucket(self) -> bool:
        """Whether the bootstrap stack has made it."""
        words = ("aws", "s3api", "head-bucket", "--bucket", self.bucket())
        return self._commands.run((*words, "--region", self._said.region)).status == 0

    def init(self) -> None:
        """Say where the state is, and fetch the provider."""
        self._home.mkdir(parents=True, exist_ok=True)
        self._terraform(
            *("init", "-input=false", "-reconfigure"),
            f"-backend-config=bucket={self.bucket()}",
            f"-backend-config=key=environments/{self._said.environment}.tfstate",
            f"-backend-config=region={self._said.region}",
        )

    def plan(self) -> str:
        """What would change, for people; nothing where nothing would. The plan is kept."""
        words = self._words(
            *("plan", "-input=false", "-detailed-exitcode", "-no-color", self._lock),
            *(f"-out={self._plan}", self._file),
        )
        done = self._commands.run(words, env=self._env)
        if done.status == _CHANGES:
            return done.out
        if done.status:
            raise self._failed(words, done.err or done.out, done.status)
        return ""

    def apply(self) -> None:
        """Apply the plan that was kept."""
        self._shown("apply", "-input=false", self._lock, self._plan)

    def unprotect(self, addresses: Iterable[str]) -> None:
        """Take protection from what is there of these, so that it can be destroyed."""
        self._shown(
            *("apply", "-input=false", "-auto-approve", self._lock, "-var=protected=false"),
            *(f"-target={address}" for address in addresses),
            self._file,
        )

    def destroy(self) -> None:
        """Destroy all that the state holds."""
        self._shown(
            *("destroy", "-input=false", "-auto-approve", self._lock),
            *("-var=protected=false", self._file),
        )

    def resources(self) -> list[str]:
        """Addresses of what the state holds, data sources left out."""
        listed = self._commands.run(self._words("state", "list"), env=self._env)
        if "No state file was found" in listed.err:
            return []
        if listed.status:
            raise self._failed(self._words("state", "list"), listed.err, listed.status)
        return [
            line for line in listed.out.split() if not re.search(r"(^|\.)data\.", line) and line
        ]

    def output(self, name: str) -> Any:
        """An output's value."""
        return json.loads(self._terraform("output", "-json", name))

    def _words(self, *words: str) -> tuple[str, ...]:
        return ("terraform", f"-chdir={ROOT}", *words)

    def _terraform(self, *words: str) -> str:
        done = self._commands.run(self._words(*words), env=self._env)
        if done.status:
            raise self._failed(self._words(*words), done.err or done.out, done.status)
        return done.out

    def _shown(self, *words: str) -> None:
        """What takes a quarter of an hour is watched."""
        done = self._commands.run(self._words(*words), env=self._env, is_shown=True)
        if done.status:
            raise self._failed(self._words(*words), done.err, done.status)

    def _failed(self, words: tuple[str, ...], said: str, status: int) -> CommandError:
        plain = _COLOUR.sub("", said)
        # S3's answer has an id of its own before it: that of the request.
        locked = re.search(r"Lock Info:\s+ID:\s+(\S+)", plain)
        advice = (
            "Another run holds the state, or was killed while it did. If none is at work: "
            f"TF_DATA_DIR={self._env['TF_DATA_DIR']} terraform -chdir={ROOT} "
            f"force-unlock {locked[1]}"
            if locked
            else "What was made is in the state: run it again."
        )
        return failed((words[0], words[2]), Done(status, "", plain), advice)


def grouped(addresses: list[str]) -> Mapping[str, int]:
    """How many resources of each kind, by `module.network aws_subnet`."""
    found: dict[str, int] = {}
    for address in addresses:
        parts = re.sub(r"\[[^\]]*\]", "", address).split(".")
        module = parts[1] if parts[0] == "module" else "environment"
        kind = parts[-2]
        found[f"{module}: {kind}"] = found.get(f"{module}: {kind}", 0) + 1
    return dict(sorted(found.items()))
