"""A Gitea as a process, with people, repositories and runners, for as long as a test."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import secrets
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import tool
from support.waiting import wait_for
from tenantry_local.processes import free_port

_MODULE: Final = "code.gitea.io/gitea"
#: It takes no root. This is nobody to it, and whoever runs the test to the file system.
_AS_NOBODY: Final = ("unshare", "--user", "--map-user=65534", "--map-group=65534", "--")
_SETTINGS: Final = """\
RUN_USER =
RUN_MODE = prod
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
STATIC_ROOT_PATH = {sources}
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
INTERNAL_TOKEN = {token}
PASSWORD_HASH_ALGO = pbkdf2$1000$50
[oauth2]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
REQUIRE_SIGNIN_VIEW = true
[actions]
ENABLED = true
DEFAULT_ACTIONS_URL = self
[cron.update_checker]
ENABLED = false
[log]
MODE = console
LEVEL = warn
"""


@dataclass(frozen=True)
class Person:
    """Somebody with an account.

    Attributes:
        credentials: A file of `username=` and `password=` lines, as Git's helpers write them.
        password: For Gitea's pages.
    """

    name: str
    password: str
    token: str
    credentials: Path


@dataclass(frozen=True)
class Answer:
    """What the API says."""

    status: int
    body: Any


class Gitea:
    """One server, and what an administrator does with it."""

    def __init__(self, folder: Path) -> None:
        found = tool.built("gitea")
        assert found is not None, "`make test-delivery` builds Gitea"
        self._program = found / "gitea"
        self._folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._settings = folder / "app.ini"
        self._settings.write_text(
            _SETTINGS.format(
                folder=folder,
                port=port,
                url=self.url,
                sources=tool.sources("gitea", _MODULE),
                secret=secrets.token_hex(20),
                token=secrets.token_hex(20),
            ),
            "utf-8",
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_AS_NOBODY, str(self._program), "web", "--config", str(self._settings)],
                env=self._env(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, seconds=60, what=f"Gitea ({self._folder / 'log'})")

    def end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def person(self, name: str, *, is_administrator: bool = False) -> Person:
        """Make an account, and a token of it that may do what its owner may."""
        words = ["admin", "user", "create", f"--username={name}", f"--email={name}@example.com"]
        words += ["--random-password", "--must-change-password=false"]
        said = self._say(*words, *(["--admin"] if is_administrator else []))
        [password] = re.findall(r"generated random password is '(.+)'", said)
        token = self.token(name, "all")
        path = self._folder / f"{name}.credentials"
        path.write_text(f"username={name}\npassword={token}\n", "utf-8")
        path.chmod(0o600)
        return Person(name, password, token, path)

    def token(self, name: str, scope: str) -> str:
        """One more of somebody's, for a part of what they may do."""
        words = ["admin", "user", "generate-access-token", "--raw", f"--username={name}"]
        words += [f"--token-name={scope.replace(':', '-')}", f"--scopes={scope}"]
        return self._say(*words).split()[-1]

    def runner_token(self, scope: str) -> str:
        """With which a runner registers for an organisation, or for one repository."""
        return self._say("actions", "generate-runner-token", f"--scope={scope}").split()[-1]

    def api(
        self, method: str, path: str, body: Any = None, *, token: str, scheme: str = "token"
    ) -> Answer:
        """Ask the API as somebody."""
        request = urllib.request.Request(
            f"{self.url}/api/v1{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"{scheme} {token}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                data = answer.read()
                return Answer(answer.status, json.loads(data) if data else None)
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode("utf-8", "replace"))

    def allow_reading(self, organisation: str, repository: str, by: Person) -> None:
        """That jobs of an organisation's other repositories read this one: a page, and no API."""
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        browser = urllib.request.build_opener(cookies)
        for path, form in (
            ("/user/login", {"user_name": by.name, "password": by.password}),
            (
                f"/org/{organisation}/settings/actions/general",
                {"cross_repo_add_target": "true", "cross_repo_add_target_name": repository},
            ),
        ):
            data = urllib.parse.urlencode(form).encode()
            with browser.open(f"{self.url}{path}", data, timeout=30) as answer:
                assert HTTPStatus.OK == answer.status

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/api/healthz", timeout=5) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except (urllib.error.URLError, ConnectionError):
            return False

    def _say(self, *words: str) -> str:
        done = subprocess.run(
            [*_AS_NOBODY, str(self._program), *words, "--config", str(self._settings)],
            env=self._env(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stdout

    def _env(self) -> Mapping[str, str]:
        return {"PATH": os.environ["PATH"], "HOME": str(self._folder), "USER": "nobody"}


def git(folder: Path, *words: str, by: Person | None = None) -> subprocess.CompletedProcess[str]:
    """Git, as somebody; no token is among its words."""
    said: tuple[str, ...] = ("-c", "credential.helper=")
    if by is not None:
        said += ("-c", f"credential.helper=!cat '{by.credentials}' #")
    name = "nobody" if by is None else by.name
    said += ("-c", f"user.name={name}", "-c", f"user.email={name}@example.com")
    return subprocess.run(
        ["git", *said, *words],
        cwd=folder,
        env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
