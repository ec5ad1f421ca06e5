"""Tokens of tenants: read from files or printed by commands, and fresh.

A token is in memory and in the `Authorization` header, nowhere else: not in an argument, a URL,
a log line, an error's text or a report.
"""

from __future__ import annotations

import base64
import binascii
import json
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from tenantry_loadtests.tenants import TenantEntry

#: A token is renewed when fewer seconds than this are left of it, or a tenth of its life.
RENEW_SECONDS: Final = 60.0
#: How long a command may take, and how long to wait before one that failed runs again.
_COMMAND_SECONDS: Final = 30.0
_REST_SECONDS: Final = 5.0


class TokenError(Exception):
    """There is no token of this tenant, and why. It never holds a token."""


Run = Callable[[Sequence[str]], str]


def run_command(command: Sequence[str]) -> str:
    """What a command prints; it must end well, in time.

    Raises:
        TokenError: It does not. What it printed is not told: it may be half a token.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise TokenError(f"{command[0]} took longer than {_COMMAND_SECONDS:g} s") from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it does not print text"
        raise TokenError(f"{command[0]} cannot be run: {reason}") from None
    if done.returncode:
        raise TokenError(f"{command[0]} ended with status {done.returncode}")
    return done.stdout


class TokenSource:
    """The token of one tenant, renewed before it expires and when it was refused."""

    def __init__(
        self,
        entry: TenantEntry,
        *,
        run: Run = run_command,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._entry = entry
        self._run = run
        self._clock = clock
        self._token = ""
        self._renew_at = 0.0
        self._rest_until = 0.0
        # Locust makes it one of greenlets.
        self._lock = threading.Lock()

    def header(self) -> str:
        """The value of the header `Authorization`.

        Raises:
            TokenError: There is no token.
        """
        if not self._token or self._is_late():
            # While one user waits for another token, the others go on with what they have.
            with_token = bool(self._token)
            if not self._lock.acquire(blocking=not with_token):
                return f"Bearer {self._token}"
            try:
                if not self._token or self._is_late():
                    self._fetch_and_take()
            except TokenError:
                self._rest_until = self._clock() + _REST_SECONDS
                if not self._token:
                    raise
            finally:
                self._lock.release()
        return f"Bearer {self._token}"

    def renew(self, refused: str) -> bool:
        """Look for another token than the one whose header was refused.

        Returns:
            Whether it is worth another try: there is another, or somebody fetches one just now.
        """
        if f"Bearer {self._token}" != refused:
            return True
        if not self._lock.acquire(blocking=False):
            return True
        try:
            if self._clock() < self._rest_until:
                return False
            self._rest_until = self._clock() + _REST_SECONDS
            self._fetch_and_take()
        except TokenError:
            return False
        finally:
            self._lock.release()
        return f"Bearer {self._token}" != refused

    def _is_late(self) -> bool:
        return self._renew_at <= self._clock() >= self._rest_until

    def _fetch_and_take(self) -> None:
        token = self._fetch(is_first=not self._token)
        self._token = token
        self._renew_at = _renew_at(token, self._clock())

    def _fetch(self, *, is_first: bool) -> str:
        """From the file; from the command, if the file has nothing new or there is none."""
        entry = self._entry
        if entry.token_file:
            token = _read(Path(entry.token_file))
            is_new = is_first or token != self._token
            if not entry.token_command or (is_new and not self._is_due(token)):
                return token
        if not entry.token_command:
            raise TokenError(f"{entry.tenant} has neither token_file nor token_command")
        return _token_in(self._run(entry.token_command), f"what {entry.token_command[0]} prints")

    def _is_due(self, token: str) -> bool:
        now = self._clock()
        return _renew_at(token, now) <= now


def expires_at(token: str) -> float | None:
    """When a token says that it expires (Unix time); None if it does not say."""
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return None


def _renew_at(token: str, now: float) -> float:
    expires = expires_at(token)
    if expires is None:
        return float("inf")  # when it is refused, then
    return expires - min(RENEW_SECONDS, (expires - now) / 10)


def _read(path: Path) -> str:
    try:
        return _token_in(path.read_text("ascii"), str(path))
    except OSError as error:
        raise TokenError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise TokenError(f"{path} holds no token") from None


def _token_in(text: str, where: str) -> str:
    """The token, alone or as a header line; whatever else is there is refused."""
    words = text.split()
    if words and words[0].lower() == "authorization:":
        words = words[1:]
    if words and words[0].lower() == "bearer":
        words = words[1:]
    if len(words) != 1:
        raise TokenError(f"{where}: no token")
    return words[0]
