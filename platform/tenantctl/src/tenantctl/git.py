"""The `git` command, and what it says in words.

Nothing of the machine's own configuration counts: no system or user file, no hook, no prompt,
no other protocol than these four. Credentials go from a mounted file to Git through a helper
that answers for the remote's own scheme and host only: they are in no argument, no address and
no environment, and are taken out of everything that is said.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import shlex
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tenantctl.errors import GitError
from tenantctl.remote import PROTOCOLS, Remote, read_credentials

#: A command that talks to nobody, and one that does: seconds until it is ended.
LOCAL_SECONDS: Final = 60.0
TRANSFER_SECONDS: Final = 60.0
#: A transfer that brings less than a byte a second for so long is given up, in seconds.
SILENT_SECONDS: Final = 30

_SAID_LINES: Final = 12
#: What a transfer needs of the environment: where programs, proxies and authorities are.
_PASSED: Final = (
    *("PATH", "TMPDIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)


class TransferError(GitError):
    """The way to the server broke, or hung: whether it took what was sent is not known."""


class DamagedError(GitError):
    """The local clone is not one: it can be made anew."""


class OvertakenError(GitError):
    """A push came second: the branch holds something else by now."""


@dataclass(frozen=True, slots=True)
class Git:
    """Runs commands in one bare repository.

    Attributes:
        folder: The repository.
        remote: Whom transfers talk to.
        local_seconds: Until a command is ended that talks to nobody.
        transfer_seconds: Until one is that does.
        silent_seconds: How long a server may say nothing in the middle of a transfer.
        inherit: File descriptors that commands hold as long as they live.
    """

    folder: Path
    remote: Remote
    local_seconds: float = LOCAL_SECONDS
    transfer_seconds: float = TRANSFER_SECONDS
    silent_seconds: int = SILENT_SECONDS
    inherit: Sequence[int] = field(default=())

    async def run(
        self, *arguments: str, stdin: bytes = b"", more: Mapping[str, str] | None = None
    ) -> bytes:
        """What a command that talks to nobody prints.

        Raises:
            GitError: It failed, or took too long.
        """
        status, out, err = await self._run(
            arguments, stdin, self._environment() | dict(more or {}), self.local_seconds
        )
        if status:
            raise _local_error(arguments[0], err)
        return out

    async def holds(self, *arguments: str) -> bool:
        """Whether a command says yes (0) or no (1).

        Raises:
            GitError: It says neither.
        """
        status, _, err = await self._run(arguments, b"", self._environment(), self.local_seconds)
        if status not in {0, 1}:
            raise _local_error(arguments[0], err)
        return status == 0

    async def fetch(self, into: str) -> None:
        """Bring what the branch holds, and have `into` name it.

        Raises:
            TransferError: The server does not answer, or not to the end.
            GitError: It refuses, or has no such repository or branch.
        """
        status, _, err = await self._transfer(
            "fetch",
            *("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"),
            *("--refmap=", self.remote.url, f"+{self.remote.ref}:{into}"),
        )
        if status:
            raise self._transfer_error(err)

    async def push(self, commit: str, *, proposal: str | None = None) -> None:
        """Have the branch hold a commit, if that loses nobody's.

        A `proposal` is a branch of tenantctl's own, which holds what was proposed last.

        Raises:
            OvertakenError: It would: the branch was changed meanwhile.
            TransferError: Whether it does is not known.
            GitError: The server refused.
        """
        status, out, err = await self._transfer(
            "push",
            *("--porcelain", "--no-verify", "--no-follow-tags", "--no-recurse-submodules"),
            *(
                self.remote.url,
                f"{commit}:{self.remote.ref}"
                if proposal is None
                else f"+{commit}:refs/heads/{proposal}",
            ),
        )
        if status == 0:
            return
        answer = next((line for line in out.splitlines() if line.startswith("!\t")), None)
        if answer is None:
            raise self._transfer_error(err)
        reason = answer.rsplit("\t", 1)[-1]
        if _OVERTAKEN.search(reason):
            raise OvertakenError(f"{self.remote.branch} was changed meanwhile")
        said = [line.removeprefix("remote:").strip() for line in _remote_lines(err)]
        words = "; it says: " + " / ".join(filter(None, said)) if any(said) else ""
        raise GitError(
            f"{self.remote.url} refused the push to {self.remote.branch}: "
            f"{reason.removeprefix('[remote rejected] ').strip('()')}{words}"
        )

    async def _transfer(self, *arguments: str) -> tuple[int, str, str]:
        secrets: tuple[str, ...] = ()
        if self.remote.credentials is not None:
            secrets = read_credentials(self.remote.credentials)
        try:
            status, out, err = await self._run(
                arguments, b"", self._environment(), self.transfer_seconds
            )
        except _TooLongError:
            raise TransferError(
                f"{self.remote.url} did not finish a {arguments[0]} within "
                f"{self.transfer_seconds:g} s"
            ) from None
        return status, _without(secrets, out.decode(errors="replace")), _without(secrets, err)

    async def _run(
        self,
        arguments: Sequence[str],
        stdin: bytes,
        environment: Mapping[str, str],
        seconds: float,
    ) -> tuple[int, bytes, str]:
        try:
            process = await asyncio.create_subprocess_exec(
                "git",
                *arguments,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=dict(environment),
                # A group of its own: what it started (ssh, git-remote-http) ends with it.
                start_new_session=True,
                pass_fds=tuple(self.inherit),
            )
        except FileNotFoundError:
            raise GitError("there is no git command on the PATH") from None
        except OSError as error:
            raise GitError(f"git cannot be started: {error.strerror}") from None
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            raise _TooLongError(f"git {arguments[0]} took more than {seconds:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        return process.returncode or 0, out, err.decode(errors="replace")

    def _environment(self) -> dict[str, str]:
        passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
        configuration = {
            "core.hooksPath": os.devnull,
            "core.askPass": "",
            "core.fsync": "committed,reference",
            "gc.autoDetach": "false",
            "http.followRedirects": "false",
            "http.lowSpeedLimit": "1",
            "http.lowSpeedTime": str(self.silent_seconds),
        }
        helper = self._helper()
        return (
            passed
            | {
                "GIT_DIR": str(self.folder),
                "HOME": str(self.folder),  # no ~/.netrc
                "LC_ALL": "C",
                "GIT_CONFIG_NOSYSTEM": "1",
                "GIT_CONFIG_GLOBAL": os.devnull,
                "GIT_ATTR_NOSYSTEM": "1",
                "GIT_TERMINAL_PROMPT": "0",
                "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
                "GIT_LITERAL_PATHSPECS": "1",
                "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=15"
                " -o ServerAliveInterval=10 -o ServerAliveCountMax=3",
            }
            | _as_environment({**configuration, **helper})
        )

    def _helper(self) -> dict[str, str]:
        path, host = self.remote.credentials, self.remote.host
        if path is None or host is None:
            return {}
        command = f'test "$1" != get || cat {shlex.quote(str(path.absolute()))}'
        return {f"credential.{host}.helper": f"!f() {{ {command}; }}; f"}

    def _transfer_error(self, err: str) -> GitError:
        url = self.remote.url
        for pattern, text in _ANSWERS:
            if pattern.search(err):
                return GitError(f"{url}: {text.format(branch=self.remote.branch)}{_last(err)}")
        if _BROKEN.search(err):
            return TransferError(f"{url} does not answer, or not to the end{_last(err)}")
        if _DAMAGED.search(err):
            return DamagedError(f"the clone {self.folder} is damaged{_last(err)}")
        return GitError(f"{url}: git failed{_last(err)}")


class _TooLongError(GitError):
    """A command took longer than it may."""


_OVERTAKEN: Final = re.compile(
    r"^\[rejected\]|non-fast-forward|fetch first|cannot lock ref|failed to (update|lock)|"
    r"incorrect old value|stale info|reference already exists"
)
#: What Git says, and what it means; the first that is found counts.
_ANSWERS: Final = (
    (
        re.compile(
            r"Authentication failed|could not read (Username|Password)|terminal prompts disabled|"
            r"Permission denied|Host key verification failed|returned error: 40[13]"
        ),
        "authentication refused",
    ),
    (re.compile(r"couldn't find remote ref|Remote branch .* not found"), "no branch {branch}"),
    (
        re.compile(
            r"returned error: 30\d|[Rr]edirect",
        ),
        "the server points to another address: name that one",
    ),
    (
        re.compile(
            r"not found|returned error: (404|410)|does not appear to be a git repository|"
            r"not a git repository|does not exist|not valid: is this a git repository",
            re.IGNORECASE,
        ),
        "no such repository",
    ),
    (re.compile(r"certificate|SSL routines"), "its certificate is not trusted"),
    (re.compile(r"transport '.*' not allowed"), "this protocol is not allowed"),
    (re.compile(r"dubious ownership"), "the repository belongs to somebody else"),
)
_BROKEN: Final = re.compile(
    r"resolve host|onnect|timed out|reset by peer|early EOF|hung up|RPC failed|too slow|"
    r"Empty reply|transfer closed|disconnect|returned error: (429|5\d\d)|unexpected|"
    r"Operation was aborted|unable to access|broken pipe|bad band|invalid index-pack|"
    r"index-pack failed|protocol error|bad line length|short read",
    re.IGNORECASE,
)
_DAMAGED: Final = re.compile(
    r"bad object|bad config|reference broken|is corrupt|"
    r"object file .* is empty|missing (blob|tree|commit)|"
    r"not a git repository|inflate|unable to read|bad tree|invalid object|did not send all",
    re.IGNORECASE,
)


def _local_error(command: str, err: str) -> GitError:
    if _DAMAGED.search(err):
        return DamagedError(f"the clone is damaged{_last(err)}")
    return GitError(f"git {command} failed{_last(err)}")


def _last(err: str) -> str:
    """The line of Git's that says most, in brackets, with what the server said."""
    lines = [line.strip() for line in err.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    said = [*own[:1], *_remote_lines(err)]
    return f" ({' / '.join(said)[:600]})" if said else ""


def _remote_lines(err: str) -> list[str]:
    """What the server said, as it can be shown: no control characters."""
    lines = [line.strip() for line in err.splitlines() if line.startswith("remote:")]
    return ["".join(filter(str.isprintable, line)) for line in lines][:_SAID_LINES]


def _without(secrets: Sequence[str], text: str) -> str:
    """The text without credentials, as they are or as a server may show them."""
    if not secrets:
        return text
    password, user = secrets
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    for secret in (basic, password, quote(password, safe="")):
        text = text.replace(secret, "…")
    return text


def _as_environment(configuration: Mapping[str, str]) -> dict[str, str]:
    """Configuration that is in no file, and in no argument."""
    variables = {"GIT_CONFIG_COUNT": str(len(configuration))}
    for number, (key, value) in enumerate(configuration.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables
