from __future__ import annotations

import base64
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tenantry_loadtests.tenants import TenantEntry
from tenantry_loadtests.tokens import TokenError, TokenSource, expires_at, run_command


def a_token(name: str, expires: float | None = None) -> str:
    claims = {"sub": name} | ({} if expires is None else {"exp": expires})
    parts = [{"alg": "none"}, claims]
    texts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
    return ".".join(text.rstrip("=") for text in texts) + ".c2lnbmF0dXJl"


class Commands:
    """Prints one token after the other."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.ran = 0

    def __call__(self, command: Sequence[str]) -> str:
        self.ran += 1
        if not self.tokens:
            raise TokenError(f"{command[0]} ended with status 1")
        return f"{self.tokens.pop(0)}\n"


class Now:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def entry(path: Path | None = None, *, command: bool = False) -> TenantEntry:
    return TenantEntry(
        tenant="acme",
        token_file=str(path) if path else None,
        token_command=("token",) if command else (),
    )


@pytest.mark.parametrize("form", ["{}", "{}\n", "Authorization: Bearer {}\n", "Bearer {}"])
def test_a_file_holds_a_token_or_a_header_line(tmp_path: Path, form: str) -> None:
    """What `curl -H @file` takes, too."""
    path = tmp_path / "token"
    path.write_text(form.format("abc"))
    assert TokenSource(entry(path)).header() == "Bearer abc"


def test_a_command_runs_once_and_before_the_token_expires() -> None:
    """A token is renewed in the last minute of its life, or its last tenth."""
    now = Now()
    commands = Commands(a_token("1", 1_000 + 3_600), a_token("2", 1_000 + 7_200))
    source = TokenSource(entry(command=True), run=commands, clock=now)
    first = source.header()
    assert source.header() == first
    now.now = 1_000 + 3_600 - 61
    assert source.header() == first
    assert commands.ran == 1
    now.now = 1_000 + 3_600 - 59
    assert source.header() != first
    assert commands.ran == 2


def test_a_token_of_seconds_is_not_renewed_all_the_time() -> None:
    """Of ten seconds the last one is the tenth."""
    now = Now()
    source = TokenSource(
        entry(command=True), run=Commands(*(a_token(str(n), 1_010) for n in range(9))), clock=now
    )
    first = source.header()
    now.now += 8.9
    assert source.header() == first
    now.now += 0.2
    assert source.header() != first


def test_a_file_is_read_again_when_its_token_is_late(tmp_path: Path) -> None:
    """A mounted Secret that somebody renews is seen."""
    path, now = tmp_path / "token", Now()
    path.write_text(a_token("1", 1_100))
    source = TokenSource(entry(path), clock=now)
    first = source.header()
    path.write_text(a_token("2", 2_000))
    assert source.header() == first
    now.now = 1_095
    assert source.header() != first


def test_the_command_helps_when_the_file_is_old(tmp_path: Path) -> None:
    """File first, for nothing; the command once its token expires."""
    path, now, commands = tmp_path / "token", Now(), Commands(a_token("2", 9_000))
    path.write_text(a_token("1", 1_100))
    source = TokenSource(entry(path, command=True), run=commands, clock=now)
    assert source.header() == f"Bearer {a_token('1', 1_100)}"
    assert commands.ran == 0
    now.now = 1_095
    assert source.header() == f"Bearer {a_token('2', 9_000)}"


def test_a_refused_token_is_looked_up_anew_but_not_in_a_loop() -> None:
    """The same token again is no other one; the command rests before it runs once more."""
    now, commands = Now(), Commands("one", "one", "two")
    source = TokenSource(entry(command=True), run=commands, clock=now)
    refused = source.header()
    assert not source.renew(refused)
    assert not source.renew(refused)
    assert commands.ran == 2
    now.now += 10
    assert source.renew(refused)
    assert source.renew(refused)  # for another user that was refused with it: there is one now
    assert commands.ran == 3


def test_a_command_that_fails_later_leaves_the_token_that_there_is() -> None:
    """It may still be taken; whether it is the answers say."""
    now = Now()
    source = TokenSource(entry(command=True), run=Commands(a_token("1", 1_010)), clock=now)
    first = source.header()
    now.now = 1_020
    assert source.header() == first
    assert not source.renew(first)


def test_no_token_at_all_is_an_error_that_names_the_tenants_way(tmp_path: Path) -> None:
    """A missing file, a command that fails; and never what they hold or print."""
    with pytest.raises(TokenError, match="cannot be read"):
        TokenSource(entry(tmp_path / "missing")).header()
    with pytest.raises(TokenError, match="status 1"):
        TokenSource(entry(command=True), run=Commands()).header()
    path = tmp_path / "token"
    path.write_text("two words")
    with pytest.raises(TokenError) as caught:
        TokenSource(entry(path)).header()
    assert "two" not in str(caught.value)


def test_a_command_is_run_without_a_shell() -> None:
    """What it prints is the token; a status or a missing program is an error."""
    assert run_command((sys.executable, "-c", "print('$HOME')")) == "$HOME\n"
    with pytest.raises(TokenError, match="status 3"):
        run_command((sys.executable, "-c", "import sys; print('secret'); sys.exit(3)"))
    with pytest.raises(TokenError, match="cannot be run"):
        run_command(("/nowhere/at-all",))


@pytest.mark.parametrize("token", ["abc", "a.b.c", "..", a_token("x")])
def test_a_token_that_does_not_tell_its_end_is_used_until_it_is_refused(token: str) -> None:
    """Not every issuer's token can be looked into."""
    assert expires_at(token) is None
    assert TokenSource(entry(command=True), run=Commands(token)).header() == f"Bearer {token}"
