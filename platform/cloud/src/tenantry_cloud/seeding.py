"""The two repositories: made and protected where they are not, and never written over."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.errors import CloudError
from tenantry_cloud.model import Git
from tenantry_cloud.steps import Commands, RefusedError, failed, output

_MISSING = 2  # of `git ls-remote --exit-code`: no such branch


@dataclass(frozen=True, slots=True)
class Protection:
    """What the branch that is followed takes (docs/delivery.md).

    Attributes:
        check: The status that a pull request needs.
        approvals: By how many others. With any, further commits ask for them again, and what is
            behind the branch is not merged.
        open_paths: What needs no pull request, as Gitea's patterns.
    """

    check: str
    approvals: int = 0
    open_paths: str = ""

    def rule(self, branch: str) -> dict[str, Any]:
        """As Gitea's API has it."""
        return {
            "rule_name": branch,
            "enable_push": False,
            "enable_status_check": True,
            "status_check_contexts": [self.check],
            "block_admin_merge_override": True,
            "required_approvals": self.approvals,
            "dismiss_stale_approvals": self.approvals > 0,
            "block_on_outdated_branch": self.approvals > 0,
            "unprotected_file_patterns": self.open_paths,
        }


#: What is on main is released.
CODE_MAIN: Final = Protection("ci / check (pull_request)", approvals=1)
#: tenantctl and image automation push there, and check by themselves.
FLEET_MAIN: Final = Protection("fleet / check (pull_request)", open_paths="tenants/**;releases/**")


def differences(rule: Mapping[str, Any], wanted: Protection, branch: str) -> list[str]:
    """Where a rule asks for less than is wanted, or for something else, in words."""
    return [
        f"{name} is {json.dumps(rule.get(name))}, not {json.dumps(value)}"
        for name, value in wanted.rule(branch).items()
        if not _is_as_much(name, rule.get(name), value)
    ]


def _is_as_much(name: str, there: Any, wanted: Any) -> bool:
    if name == "required_approvals":
        return bool((there or 0) >= wanted)
    if name == "status_check_contexts":
        return {*wanted} <= {*(there or ())}
    return bool(there == wanted)


class Forge:
    """A Gitea, as whoever has the credentials: a file of `username=` and `password=` lines.

    Git reads the file itself; Gitea's API gets it from curl's standard input. No secret is among
    the words of a command.
    """

    def __init__(self, commands: Commands, git: Git, credentials: Path) -> None:
        self._commands = commands
        self._git = git
        self._credentials = credentials

    def url(self, repository: str) -> str:
        """Where Git finds it."""
        return f"{self._git.url}/{repository}.git"

    def has(self, repository: str) -> bool:
        """Whether the repository has the branch that is followed.

        Raises:
            CommandError: It cannot be learnt.
        """
        words = self._with_credentials(
            "ls-remote", "--exit-code", "--heads", self.url(repository), self._git.branch
        )
        done = self._commands.run(words, env={"GIT_TERMINAL_PROMPT": "0"})
        if done.status == 0:
            return True
        if done.status == _MISSING or "not found" in done.err.lower():
            return False
        raise failed(words[-4:], done, f"Does {self._credentials} hold who may push?")

    def create(self, repository: str) -> None:
        """Make it, private and empty; one that is there stays as it is.

        Raises:
            CloudError: Gitea refused.
        """
        owner, name = repository.split("/")
        body = {"name": name, "private": True, "default_branch": self._git.branch}
        status, _ = self._ask("POST", f"/orgs/{owner}/repos", body)
        if status not in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}:  # it is there already
            raise CloudError(
                f"{self._git.url} does not make {repository}: HTTP {status}. The organisation "
                f"{owner} has to be there, and the credentials have to be of one of its owners."
            )

    def rule(self, repository: str) -> Mapping[str, Any] | None:
        """What protects the branch that is followed; None where nothing does.

        Raises:
            CloudError: Gitea does not say.
        """
        path = f"/repos/{repository}/branch_protections/{self._git.branch}"
        status, said = self._ask("GET", path)
        if status == HTTPStatus.NOT_FOUND:
            return None
        if status != HTTPStatus.OK:
            raise self._unprotected(repository, status)
        found: Mapping[str, Any] = json.loads(said)
        return found

    def protect(self, repository: str, protection: Protection) -> None:
        """Have it take no push, and pull requests as is said here.

        Raises:
            CloudError: Gitea refused.
        """
        path = f"/repos/{repository}/branch_protections"
        status, _ = self._ask("POST", path, protection.rule(self._git.branch))
        if status != HTTPStatus.CREATED:
            raise self._unprotected(repository, status)

    def _unprotected(self, repository: str, status: int) -> CloudError:
        return CloudError(
            f"{self._git.url}: the protection of {repository}, {self._git.branch}: HTTP {status}. "
            "The credentials have to be of one of its administrators."
        )

    def _ask(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> tuple[int, str]:
        """Gitea's API: the status, and what it says."""
        known = dict(
            line.split("=", 1)
            for line in self._credentials.read_text("utf-8").splitlines()
            if line
        )
        config = [
            f'url = "{self._git.url}/api/v1{path}"',
            f'request = "{method}"',
            f"user = {json.dumps(known['username'] + ':' + known['password'])}",
        ]
        if body is not None:
            config.append('header = "Content-Type: application/json"')
            config.append(f"data = {json.dumps(json.dumps(body))}")
        said = output(
            self._commands,
            *("curl", "--silent", "--show-error", "--max-time", "60"),
            *("--write-out", "\n%{http_code}", "--config", "-"),
            stdin="\n".join(config),
        )
        text, _, status = said.rpartition("\n")
        return int(status), text

    def push(self, repository: str, tree: str) -> None:
        """Its first commit: the project as it is committed here, or a folder of it."""
        commit = output(self._commands, "git", "rev-parse", "HEAD").strip()
        if tree:
            folder = output(self._commands, "git", "rev-parse", f"HEAD:{tree}").strip()
            message = f"Begin with {tree} of {commit[:12]}"
            commit = output(
                self._commands,
                *("git", "-c", "user.name=tenantry", "-c", "user.email=tenantry@localhost"),
                *("commit-tree", folder, "-m", message),
            ).strip()
        # Without force: what somebody pushed meanwhile stays.
        output(
            self._commands,
            *self._with_credentials(
                "push", self.url(repository), f"{commit}:refs/heads/{self._git.branch}"
            ),
            env={"GIT_TERMINAL_PROMPT": "0"},
        )

    def _with_credentials(self, *words: str) -> tuple[str, ...]:
        helper = f"!f() {{ cat {shlex.quote(str(self._credentials))}; }}; f"
        return ("git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", *words)


def credentials_file(named: str | None) -> Path:
    """The file that TENANTRY_GIT_CREDENTIALS names.

    Raises:
        RefusedError: It names none, or others can read it.
    """
    if not named:
        raise RefusedError(
            "TENANTRY_GIT_CREDENTIALS names no file: lines username=… and password=… of a token "
            "of Gitea's that may make repositories and push to them."
        )
    path = Path(named).expanduser().resolve()
    if not path.is_file() or path.stat().st_mode & 0o077:
        raise RefusedError(
            f"{path}: it has to be a file that its owner alone can read (chmod 600)."
        )
    lines = {line.partition("=")[0] for line in path.read_text("utf-8").splitlines()}
    if not {"username", "password"} <= lines:
        raise RefusedError(f"{path}: a line username=… and a line password=… are needed.")
    return path
