"""Repositories, seeded for real: Git over HTTP with a password, and an API that makes them."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Final

import pytest

from cloud.environments import ROOT
from support.git_server import GitServer
from tenantry_cloud.errors import CloudError
from tenantry_cloud.reading import read_environment
from tenantry_cloud.seeding import Forge
from tenantry_cloud.steps import CommandError, Shell

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
#: What a shell, a URL and a configuration of curl's would each take for something else.
PASSWORD: Final = "p'a\"s s\\w$o@rd"


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=x", "-c", "user.email=x@x", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A project with a fleet in it."""
    folder = tmp_path / "check out"
    (folder / "platform/fleet/tenants").mkdir(parents=True)
    (folder / "README.md").write_text("The project.\n", encoding="utf-8")
    (folder / "platform/fleet/tenants/here").write_text("A tenant.\n", encoding="utf-8")
    _git(folder, "init", "--quiet", "--initial-branch=main")
    _git(folder, "add", ".")
    _git(folder, "commit", "--quiet", "--message=Begin")
    return folder


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """A file whose path has a space in it."""
    path = tmp_path / "my credentials"
    path.write_text(f"username=me\npassword={PASSWORD}\n", encoding="utf-8")
    return path


@pytest.fixture
def server(tmp_path: Path) -> Generator[GitServer]:
    """Git's own server, with one empty repository."""
    root = tmp_path / "served"
    empty = root / "platform" / "fleet.git"
    empty.mkdir(parents=True)
    _git(empty, "init", "--quiet", "--bare", "--initial-branch=main")
    _git(empty, "config", "http.receivepack", "true")
    with GitServer(root, user="me", password=PASSWORD).running() as running:
        yield running


def _forge(url: str, checkout: Path, credentials: Path) -> Forge:
    return Forge(Shell(checkout), DEV.git.model_copy(update={"url": url}), credentials)


def test_a_folder_becomes_a_repository_of_its_own(
    server: GitServer, checkout: Path, credentials: Path
) -> None:
    """What is below the folder, in one commit; and it is there then."""
    forge = _forge(server.url, checkout, credentials)
    assert not forge.has("platform/fleet")

    forge.push("platform/fleet", "platform/fleet")

    served = server.root / "platform" / "fleet.git"
    assert forge.has("platform/fleet")
    assert _git(served, "ls-tree", "-r", "--name-only", "main") == "tenants/here"
    assert _git(served, "rev-list", "--count", "main") == "1"
    assert all(had for _, path, had in server.requests[-2:]), "a password was needed"


def test_what_is_there_is_not_written_over(
    server: GitServer, checkout: Path, credentials: Path
) -> None:
    """A push without force: somebody else's commit stays."""
    forge = _forge(server.url, checkout, credentials)
    forge.push("platform/fleet", "platform/fleet")
    before = _git(server.root / "platform" / "fleet.git", "rev-parse", "main")

    with pytest.raises(CommandError, match="rejected"):
        forge.push("platform/fleet", "")

    assert _git(server.root / "platform" / "fleet.git", "rev-parse", "main") == before


def test_a_repository_that_is_not_there_has_nothing(
    server: GitServer, checkout: Path, credentials: Path
) -> None:
    """It is made then; what cannot be learnt is an error, and is not taken for nothing."""
    assert not _forge(server.url, checkout, credentials).has("platform/none")

    credentials.write_text("username=me\npassword=wrong\n", encoding="utf-8")
    with pytest.raises(CommandError, match="who may push"):
        _forge(server.url, checkout, credentials).has("platform/fleet")


@pytest.mark.parametrize(("status", "is_made"), [(201, True), (409, True), (403, False)])
def test_a_repository_is_made_by_the_api(
    checkout: Path, credentials: Path, status: int, is_made: bool
) -> None:
    """Private, with the branch that is followed; one that is there already is as good."""
    asked: list[tuple[str, str | None, Any]] = []

    class Api(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"], body))
            self.send_response(status)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as above
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as api:
        Thread(target=api.serve_forever, daemon=True).start()
        forge = _forge(f"http://127.0.0.1:{api.server_port}", checkout, credentials)
        try:
            if is_made:
                forge.create("platform/fleet")
            else:
                with pytest.raises(CloudError, match="does not make platform/fleet: HTTP 403"):
                    forge.create("platform/fleet")
        finally:
            api.shutdown()

    me = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
    body = {"name": "fleet", "private": True, "default_branch": "main"}
    assert asked == [("/api/v1/orgs/platform/repos", f"Basic {me}", body)]
