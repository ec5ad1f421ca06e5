from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Generator
from pathlib import Path

import pytest

from support.fleets import MakeFleet, a_tenant, as_files, writing
from support.git_server import Fault, GitServer, Origin, Step
from tenantctl.errors import ControlError, GitError, InvalidError
from tenantctl.git import Git, TransferError
from tenantctl.remote import Remote

USER, PASSWORD = "robot", "p&ss/w%rd='x y'-s3cret"


@pytest.fixture
def server(origin: Origin, tmp_path: Path) -> Generator[GitServer]:
    """The origin behind HTTP, with a password."""
    with GitServer(tmp_path / "srv", user=USER, password=PASSWORD).running() as server:
        yield server


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The right ones, in a folder whose name a shell would stumble over."""
    path = tmp_path / "it's a $(folder)" / "git"
    path.parent.mkdir()
    path.write_text(f"username={USER}\npassword={PASSWORD}\n")
    return path


async def test_credentials_come_from_the_file(
    server: GitServer, credentials: Path, origin: Origin, fleet: MakeFleet, tmp_path: Path
) -> None:
    """With them the fleet is read and written; without a newline at their end as well."""
    one = fleet(f"{server.url}/fleet.git", credentials=credentials)
    await one.change(writing(a_tenant()), "Onboard acme")
    bare = tmp_path / "bare"
    bare.write_text(f"username={USER}\npassword={PASSWORD}")
    one = fleet(f"{server.url}/fleet.git", credentials=bare)
    await one.change(writing(a_tenant("beta")), "Onboard beta")
    assert [subject for subject, _ in origin.commits()[:2]] == ["Onboard beta", "Onboard acme"]


async def test_credentials_are_given_to_their_own_server_only(
    server: GitServer, credentials: Path, origin: Origin, fleet: MakeFleet
) -> None:
    """A server that points elsewhere is not followed, and elsewhere hears no password."""
    server.fail("refs", "redirect")
    with pytest.raises(GitError, match="points to another address"):
        await fleet(f"{server.url}/fleet.git", credentials=credentials).snapshot()
    assert server.felt == {"redirect": 1}
    git = Git(origin.folder, Remote(f"{server.url}/fleet.git", credentials=credentials))
    asked = {}
    for address in (server.url, "http://localhost:1", f"https://127.0.0.1:{server.port}"):
        done = subprocess.run(  # noqa: ASYNC221 - a moment
            ["git", "credential", "fill"],
            input=f"url={address}/fleet.git\n\n".encode(),
            env=git._environment(),
            capture_output=True,
            check=False,
        )
        asked[address] = PASSWORD.encode() in done.stdout
    assert list(asked.values()) == [True, False, False]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "does not exist"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        ("hunter2\n", "line 1 is no username"),
        ("username=robot\n", "one username=… and one password=…"),
        ("username=robot\npassword=\n", "line 2"),
        ("username=robot\r\npassword=x\r\n", "line 1"),
        ("username=robot\npassword=x\nurl=http://evil\n", "line 3"),
        ("username=robot\npassword=x\nquit=1\n", "line 3"),
        (b"username=robot\npassword=\xff\n", "not UTF-8"),
        ("folder", "cannot be read: Is a directory"),
    ],
)
async def test_a_credentials_file_that_is_none_is_named(
    content: str | bytes | None,
    text: str,
    server: GitServer,
    tmp_path: Path,
    fleet: MakeFleet,
) -> None:
    """Missing, unreadable, empty, or something else: said by its path, and nobody is asked."""
    path = tmp_path / "credentials"
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(GitError, match=text) as caught:
        await fleet(f"{server.url}/fleet.git", credentials=path).snapshot()
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert server.requests == []


async def test_no_secret_is_said_or_left_anywhere(
    *,
    server: GitServer,
    credentials: Path,
    origin: Origin,
    fleet: MakeFleet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not in an argument, an environment, the clone or an error, even if the server repeats it."""
    origin.hook(f"cat <<'END'\nyour password is {PASSWORD}\nEND\nexit 1")
    shim = tmp_path / "bin"
    shim.mkdir()
    seen = tmp_path / "seen"
    real = shutil.which("git")
    (shim / "git").write_text(
        f'#!/bin/sh\n(env; printf "%s\\n" "$0" "$@") >>{seen}\nexec {real} "$@"\n'
    )
    (shim / "git").chmod(0o755)
    one = fleet(f"{server.url}/fleet.git", credentials=credentials)
    monkeypatch.setenv("PATH", f"{shim}:{os.environ['PATH']}")
    with pytest.raises(GitError, match="your password is …") as caught:
        await one.change(writing(a_tenant()), "Onboard acme")
    said = [str(caught.value), seen.read_text()]
    said += [
        path.read_text(errors="replace")
        for path in (tmp_path / "cache").rglob("*")
        if path.is_file()
    ]
    assert "fetch" in said[1]
    assert any(authorized for _, _, authorized in server.requests)
    assert not [text for text in said if PASSWORD in text or str(server.authorization) in text]


async def test_refused_by_a_hook_says_what_the_server_says(
    origin: Origin, fleet: MakeFleet
) -> None:
    """The server's own words are in the error, and main stays as it was."""
    origin.hook("echo 'main is protected: ask the platform team' >&2; exit 1")
    head = origin.head
    with pytest.raises(GitError, match="refused the push to main: pre-receive hook declined") as e:
        await fleet().change(writing(a_tenant()), "Onboard acme")
    assert "ask the platform team" in str(e.value)
    assert origin.head == head


@pytest.mark.parametrize(
    ("path", "branch", "password", "text"),
    [
        ("fleet.git", "main", "wrong", "authentication refused"),
        ("fleet.git", "main", None, "authentication refused"),
        ("other.git", "main", PASSWORD, "no such repository"),
        ("fleet.git", "other", PASSWORD, "no branch other"),
    ],
)
async def test_what_a_server_refuses_is_named(
    *,
    path: str,
    branch: str,
    password: str | None,
    text: str,
    server: GitServer,
    tmp_path: Path,
    origin: Origin,
) -> None:
    """A wrong password, none, another repository, another branch."""
    credentials = None
    if password is not None:
        credentials = tmp_path / "credentials"
        credentials.write_text(f"username={USER}\npassword={password}\n")
    remote = Remote(f"{server.url}/{path}", branch=branch, credentials=credentials)
    with pytest.raises(GitError, match=text) as caught:
        await Git(origin.folder, remote).fetch("refs/test")
    assert not isinstance(caught.value, TransferError)
    assert remote.url in str(caught.value)


@pytest.mark.parametrize(
    ("step", "fault"),
    [
        ("refs", "hang"),
        ("fetch", "hang"),
        ("refs", "drop"),
        ("fetch", "drop"),
        ("refs", "reset"),
        ("fetch", "reset"),
        ("fetch", "lose"),
        ("refs", "unavailable"),
    ],
)
async def test_a_server_that_hangs_or_dies_is_named_in_time(
    step: Step, fault: Fault, server: GitServer, credentials: Path, fleet: MakeFleet
) -> None:
    """At each step of a fetch: an error by name within the time given; the next try reads."""
    one = fleet(f"{server.url}/fleet.git", credentials=credentials, transfer_seconds=2)
    server.fail(step, fault, times=4)
    began = time.monotonic()
    with pytest.raises(TransferError, match=r"does not answer|did not finish a fetch within 2 s"):
        await one.snapshot()
    assert time.monotonic() - began < 8
    assert server.felt[fault] >= 1
    server._faults[step].clear()
    assert (await one.snapshot()).paths("tenants/dev")


async def test_a_server_that_falls_silent_is_given_up(
    server: GitServer, credentials: Path, fleet: MakeFleet
) -> None:
    """Before the whole transfer's time is over."""
    server.fail("fetch", "hang")
    began = time.monotonic()
    with pytest.raises(TransferError, match="too slow"):
        await fleet(
            f"{server.url}/fleet.git",
            credentials=credentials,
            transfer_seconds=50,
            silent_seconds=1,
        ).snapshot()
    assert time.monotonic() - began < 20


async def test_nobody_there_is_named(fleet: MakeFleet, tmp_path: Path) -> None:
    """A closed port, a name that is none, a path without a repository."""
    with GitServer(tmp_path).running() as gone:
        url = gone.url
    for address, text in (
        (f"{url}/fleet.git", "does not answer"),
        ("http://fleet.invalid/fleet.git", "does not answer"),
        (str(tmp_path / "nothing"), "no such repository"),
        (f"file://{tmp_path}", "no such repository"),
    ):
        with pytest.raises(GitError, match=text):
            await fleet(address).snapshot()


@pytest.mark.parametrize(
    "url",
    [
        "https://robot:hunter2@git.example.com/fleet.git",
        "https://hunter2@git.example.com/fleet.git",
        "https://:hunter2@git.example.com/fleet.git",
        "ssh://git:hunter2@git.example.com/fleet.git",
        "https://git.example.com/fleet.git?token=hunter2",
        "https://git.example.com/fleet.git#hunter2",
        "git@git.example.com:hunter2.git",
        "git://git.example.com/hunter2.git",
        "ext::sh -c hunter2",
        "ext::hunter2",
        "--upload-pack=hunter2",
        "hunter2",
        "../hunter2",
        "https://git.example.com/hunter2\nx",
        "https://[hunter2/fleet.git",
        "https:///hunter2",
        "file://host/hunter2",
        "",
    ],
)
def test_an_address_with_a_secret_or_a_trick_is_refused(url: str) -> None:
    """It is not repeated in the error, as a part of it may be a password."""
    with pytest.raises(InvalidError, match="the fleet's address") as caught:
        Remote(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/fleet.git",
        "http://127.0.0.1:3000/admin/fleet.git",
        "ssh://git@git.example.com:2222/fleet.git",
        "file:///srv/fleet.git",
        "/srv/fleet.git",
    ],
)
def test_an_address_is_taken(url: str) -> None:
    """The four protocols and a path; a user for ssh only, who is no secret."""
    assert Remote(url).url == url


@pytest.mark.parametrize("branch", ["", "-x", "a..b", "a b", "a.lock", "a/", "/a", "a~1", "a:b"])
def test_a_branch_that_is_none_is_refused(branch: str) -> None:
    """No option, no range, no other ref."""
    with pytest.raises(InvalidError, match="no name of a branch"):
        Remote("/srv/fleet.git", branch=branch)


@pytest.mark.parametrize("author", ["", "robot", "robot <>", "a\nb <x@y>", "<x@y>"])
def test_an_author_that_is_none_is_refused(author: str) -> None:
    """Git would refuse it later, and less clearly."""
    with pytest.raises(InvalidError, match="no author"):
        Remote("/srv/fleet.git", author=author)


async def test_the_machines_own_configuration_does_not_count(
    origin: Origin, fleet: MakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's hooks, rewritten addresses, signatures and variables change nothing."""
    home = tmp_path / "home"
    hooks = home / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-push", "reference-transaction", "post-index-change"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    (home / ".gitconfig").write_text(
        f"[core]\nhooksPath = {hooks}\n[commit]\ngpgsign = true\n[diff]\nexternal = false\n"
        f'[url "/nowhere"]\ninsteadOf = {origin.folder}\n[user]\nname = Wrong\n'
    )
    monkeypatch.setenv("HOME", str(home))
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_AUTHOR_NAME", "GIT_SSH_COMMAND", "GIT_TRACE"):
        monkeypatch.setenv(name, "/nowhere")
    await fleet().change(writing(a_tenant()), "Onboard acme")
    monkeypatch.undo()
    assert origin.git("log", "-1", "--format=%an", "main") == "tenantctl"


async def test_no_git_on_the_machine_is_named(
    fleet: MakeFleet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a traceback."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="no git command on the PATH"):
        await fleet().snapshot()


async def test_a_cache_that_cannot_be_used_is_named(fleet: MakeFleet, tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ControlError, match="cannot be used"):
        await fleet(cache="file").snapshot()


async def test_a_large_fleet_is_pushed_and_read(
    server: GitServer, credentials: Path, fleet: MakeFleet
) -> None:
    """Two hundred files in one commit, over HTTP."""
    tenants = [a_tenant(f"tenant-{number}") for number in range(200)]
    one = fleet(f"{server.url}/fleet.git", credentials=credentials)
    await one.change(writing(*tenants), "Onboard many")
    assert set(as_files(*tenants)) <= set((await one.snapshot()).files)
