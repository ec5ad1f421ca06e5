"""Where the fleet is, and the file of credentials for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tenantctl.errors import GitError, InvalidError

PROTOCOLS: Final = ("file", "http", "https", "ssh")
_BRANCH: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_AUTHOR: Final = re.compile(r"([^<>\n\0]+) <([^<>\s\0]+)>")
_CREDENTIALS_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Remote:
    """Where the fleet is.

    Attributes:
        url: Of the repository: http(s), ssh or file, or an absolute path; never with a password
            in it, and with a user for ssh only.
        branch: What Flux follows.
        credentials: A file of `username=…` and `password=…` lines, as Git's credential protocol
            has them; None where none is needed.
        author: `Name <address>` of commits.

    Raises:
        InvalidError: One of them is not that.
    """

    url: str
    branch: str = "main"
    credentials: Path | None = None
    author: str = "tenantctl <tenantctl@localhost>"

    def __post_init__(self) -> None:
        _check_url(self.url)
        if (
            not _BRANCH.fullmatch(self.branch)
            or ".." in self.branch
            or self.branch.endswith((".", ".lock"))
        ):
            raise InvalidError(f"{self.branch!r} is no name of a branch")
        if not _AUTHOR.fullmatch(self.author):
            raise InvalidError(f"{self.author!r} is no author: Name <address>")

    @property
    def host(self) -> str | None:
        """Scheme and host that credentials are for; None where there is no host."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else None

    @property
    def ref(self) -> str:
        """The branch's full name."""
        return f"refs/heads/{self.branch}"

    def person(self) -> dict[str, str]:
        """The author as Git's environment has it."""
        name, _, address = self.author.rpartition(" ")
        address = address.strip("<>")
        return {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", address))
        }


def _check_url(url: str) -> None:
    # An address that is refused is not repeated: it may hold a password.
    if not url or any(ord(character) <= ord(" ") for character in url) or url.startswith("-"):
        raise InvalidError("the fleet's address is empty, or holds what no address holds")
    if url.startswith("/"):
        return
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
        has_user = parts.username is not None
        _ = parts.port
    except ValueError:
        raise InvalidError("the fleet's address cannot be read") from None
    if parts.scheme not in PROTOCOLS or "://" not in url:
        raise InvalidError(
            "the fleet's address is http://, https://, ssh:// or file://, or an absolute path"
        )
    if has_password or (has_user and parts.scheme != "ssh"):
        raise InvalidError(
            "the fleet's address holds a user or a password: they belong in the credentials file"
        )
    if parts.query or parts.fragment:
        raise InvalidError("the fleet's address holds a ? or a #: tokens belong in no address")
    if (parts.scheme == "file") != (not parts.netloc):
        raise InvalidError("the fleet's address lacks a host, or is a file on another one")


def read_credentials(path: Path) -> tuple[str, ...]:
    """What must not be said: the values of a credentials file.

    Raises:
        GitError: It is not there, not readable, or not such a file.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_CREDENTIALS_BYTES + 1).decode()
    except FileNotFoundError:
        raise GitError(f"the credentials file {path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise GitError(f"the credentials file {path} cannot be read: {reason}") from None
    if not text.strip():
        raise GitError(f"the credentials file {path} is empty")
    keys = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        key, _, value = line.partition("=")
        if key not in {"username", "password"} or not value or not value.isprintable():
            raise GitError(
                f"the credentials file {path}: line {number} is no username=… or password=…"
            )
        keys[key] = value
    if len(keys) != 2 or len(text) > _CREDENTIALS_BYTES:  # noqa: PLR2004 - these two
        raise GitError(f"the credentials file {path} holds one username=… and one password=…")
    return (keys["password"], keys["username"])
