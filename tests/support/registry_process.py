"""The registry of the OCI's distribution project, as a process on loopback."""

from __future__ import annotations

import json
import subprocess
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import tool
from support.waiting import wait_for
from tenantry_local.processes import free_port


class Served:
    """A registry as a process, which can be ended and started again.

    Args:
        folder: Where it keeps what it gets.
        users: Who may log in, as `htpasswd -B` writes it; nobody is asked where it is empty.
    """

    def __init__(self, folder: Path, users: str = "") -> None:
        found = tool.built("registry")
        assert found is not None, "`make test-delivery` builds the registry"
        self._program = found / "registry"
        self._folder = folder
        self._users = users
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config: dict[str, Any] = {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(self._folder / "data")},
                "maintenance": {"uploadpurging": {"enabled": False}},
            },
            "http": {"addr": f"127.0.0.1:{self._port}", "secret": "of nobody"},
            "health": {"storagedriver": {"enabled": False}},
        }
        if self._users:
            users = self._folder / "users"
            users.write_text(self._users, "utf-8")
            config["auth"] = {"htpasswd": {"realm": "registry", "path": str(users)}}
        path = self._folder / "config.json"  # JSON is YAML
        path.write_text(json.dumps(config), "utf-8")
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._program), "serve", str(path)],
                env={"PATH": "", "HOME": str(self._folder), "OTEL_TRACES_EXPORTER": "none"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_for(self._answers, what=f"the registry ({self._folder / 'log'})")

    def _answers(self) -> bool:
        try:
            with urlopen(f"{self.url}/v2/", timeout=5) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except HTTPError as error:
            return bool(self._users) and error.code == HTTPStatus.UNAUTHORIZED
        except URLError:
            return False

    def end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
