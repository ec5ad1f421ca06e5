"""The two repositories: made where they are missing, and never written over."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from tenantry_cloud.errors import CloudError
from tenantry_cloud.model import Git
from tenantry_cloud.steps import Commands, RefusedError, failed, output

_MISSING = 2  # of `git ls-remote --exit-code`: no such branch


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
        known = dict(
            line.split("=", 1)
            for line in self._credentials.read_text("utf-8").splitlines()
            if line
        )
        config = "\n".join(
            [
                f'url = "{self._git.url}/api/v1/orgs/{owner}/repos"',
                f"user = {json.dumps(known['username'] + ':' + known['password'])}",
                'header = "Content-Type: application/json"',
                f"data = {json.dumps(json.dumps(body))}",
            ]
        )
        said = output(
            self._commands,
            *("curl", "--silent", "--show-error", "--max-time", "60"),
            *("--write-out", "\n%{http_code}", "--config", "-"),
            stdin=config,
        )
        status = said.rsplit("\n", 1)[-1].strip()
        if status not in {"201", "409"}:  # 409: it is there already
            raise CloudError(
                f"{self._git.url} does not make {repository}: HTTP {status}. The organisation "
                f"{owner} has to be there, and the credentials have to be of one of its owners."
            )

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
