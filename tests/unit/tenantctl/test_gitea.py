"""Pull requests by Gitea's API, and proposals in Git."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Generator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.fleets import a_tenant, writing
from support.git_server import Origin
from tenantctl.errors import GitError, InvalidError
from tenantctl.fleet import Fleet, Remote, message
from tenantctl.gitea import Gitea, repository_of

BRANCH = "tenantctl/dev-onboard-acme"


class Server:
    """Gitea's two doors to pull requests, as its documentation has them."""

    def __init__(self) -> None:
        self.pulls: list[dict[str, Any]] = []
        self.refuses: int | None = None
        self.users: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server._saw(self.headers)
                if server.refuses is not None:
                    self._answer(server.refuses, {"message": "no such user"})
                elif any(one["head"]["ref"] == wanted["head"] for one in server.pulls):
                    self._answer(409, {"message": "pull request already exists"})
                else:
                    number = len(server.pulls) + 1
                    made = {
                        "head": {"ref": wanted["head"]},
                        "base": {"ref": wanted["base"]},
                        "title": wanted["title"],
                        "html_url": f"https://gitea/fleet/pulls/{number}",
                    }
                    server.pulls.append(made)
                    self._answer(201, made)

            def do_GET(self) -> None:
                page = int(self.path.partition("page=")[2].partition("&")[0])
                self._answer(200, server.pulls[(page - 1) * 50 : page * 50])

            def _answer(self, status: int, body: Any) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def _saw(self, headers: Any) -> None:
        given = headers.get("Authorization", "Basic ").removeprefix("Basic ")
        self.users.append(base64.b64decode(given).decode())

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@pytest.fixture
def server() -> Generator[Server]:
    made = Server()
    yield made
    made.close()


@pytest.fixture
def gitea(server: Server, tmp_path: Path) -> Gitea:
    credentials = tmp_path / "credentials"
    credentials.write_text("username=bot\npassword=secret-token\n")
    return Gitea(server.url, "platform/fleet", base="main", credentials=credentials)


async def test_a_pull_request_is_opened_as_who_pushes(server: Server, gitea: Gitea) -> None:
    """With the credentials that Git has, to the branch that Flux follows."""
    assert await gitea.open(BRANCH, "Onboard acme") == "https://gitea/fleet/pulls/1"
    assert server.pulls[0]["base"] == {"ref": "main"}
    assert server.pulls[0]["title"] == "Onboard acme"
    assert server.users == ["bot:secret-token"]


async def test_one_that_is_open_is_found_again(server: Server, gitea: Gitea) -> None:
    """However many others there are."""
    for number in range(60):
        await gitea.open(f"{BRANCH}-{number}", "another")
    address = await gitea.open(BRANCH, "Onboard acme")
    assert await gitea.open(BRANCH, "Onboard acme") == address
    assert len(server.pulls) == 61


async def test_a_refusal_is_told_in_giteas_words(server: Server, gitea: Gitea) -> None:
    """And never with the token."""
    server.refuses = 403
    with pytest.raises(GitError, match=r"403.*no such user") as caught:
        await gitea.open(BRANCH, "Onboard acme")
    assert "secret-token" not in str(caught.value)


async def test_a_server_that_is_gone_is_told(server: Server, gitea: Gitea) -> None:
    """As what it is: nothing is known to have happened."""
    server.close()
    with pytest.raises(GitError, match="does not answer"):
        await gitea.open(BRANCH, "Onboard acme")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://gitea.example.com/platform/fleet.git", "platform/fleet"),
        ("https://example.com/git/platform/fleet", "platform/fleet"),
        ("ssh://git@gitea.example.com:22/platform/fleet.git", "platform/fleet"),
    ],
)
def test_the_repository_is_told_from_the_address(url: str, name: str) -> None:
    """Also of a Gitea that is not at the root of its host."""
    assert repository_of(url) == name


def test_an_address_without_an_owner_is_no_repository() -> None:
    """It would be another one's."""
    with pytest.raises(InvalidError, match="names no repository"):
        repository_of("https://gitea.example.com/fleet.git")


async def test_a_proposal_is_on_its_branch_and_main_is_as_it_was(tmp_path: Path) -> None:
    """And proposed again it replaces what was proposed before."""
    origin = Origin(tmp_path / "origin.git")
    fleet = Fleet(Remote(str(origin.folder)), may_change=["tenants/dev"], cache=tmp_path / "cache")
    before = (await fleet.snapshot()).commit
    for name in ("acme", "globex"):
        made = await fleet.propose(
            writing(a_tenant(name)), message("Onboard", verb="onboard"), BRANCH
        )
        assert made is not None
        assert origin.git("rev-parse", BRANCH) == made.commit
        assert origin.git("rev-parse", f"{BRANCH}~") == before
    assert (await fleet.snapshot()).commit == before
