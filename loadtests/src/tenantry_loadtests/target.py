"""What is loaded: a host, or the laptop that is started for it."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol

import requests

from tenantry_loadtests.api_books import ApiBooks
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.observing import observer_of
from tenantry_loadtests.plan import Aws
from tenantry_loadtests.tenants import TenantEntry, read_tenants, with_host
from tenantry_loadtests.tokens import TokenError, TokenSource

if TYPE_CHECKING:
    from tenantry_loadtests.accounting import Books
    from tenantry_loadtests.results import Result
    from tenantry_loadtests.settings import Settings

_CHECK_SECONDS: Final = 10.0
_CHECKS_AT_ONCE: Final = 8
_SCALE_SECONDS: Final = 150.0

Say = Callable[[str], object]


class ScalingError(Exception):
    """There are not as many consumers as were wanted, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a run has to know of its target.

    Attributes:
        name: What the report calls it.
        notes: What a reader of its figures must know of it.
    """

    name: str
    notes: tuple[str, ...]
    tenants: tuple[TenantEntry, ...]
    metrics_urls: tuple[str, ...] = ()
    aws: Aws | None = None
    pids: tuple[int, ...] = ()


class Target(Protocol):
    """What is loaded."""

    @property
    def facts(self) -> Facts:
        """As it stands now."""
        ...

    def ended(self) -> Sequence[str]:
        """Services that should run and do not, by name; none where nobody can know."""
        ...

    async def scale(self, consumers: int) -> Sequence[str]:
        """Make it so many consumers; where their metrics are now, if that changed.

        Raises:
            ScalingError: They are not there.
        """
        ...

    async def books(self, result: Result, patience: Callable[[], float], say: Say) -> Books:
        """Wait until what was accepted has arrived, and see where it is.

        Args:
            result: Of the load.
            patience: Seconds to go on waiting while nothing arrives.
            say: Told how it goes.
        """
        ...


class HostTarget:
    """A system that runs somewhere."""

    def __init__(self, settings: Settings) -> None:
        assert settings.host is not None  # noqa: S101 - or it would be the laptop
        assert settings.tenants is not None  # noqa: S101 - as the settings checked
        self._settings = settings
        entries = with_host(read_tenants(settings.tenants), settings.host)
        has_queues = any(entry.queue_url for entry in entries)
        aws = Aws(settings.aws_region, None) if settings.aws_region and has_queues else None
        self._facts = Facts(
            name=settings.host,
            notes=(),
            tenants=entries,
            metrics_urls=settings.metrics_url,
            aws=aws,
        )

    @property
    def facts(self) -> Facts:
        """The list's tenants."""
        return self._facts

    def check(self) -> None:
        """Ask for every tenant whether it is served and its token is taken.

        Raises:
            UsageError: No, and why; nothing was sent.
        """
        verify = not self._settings.insecure
        with ThreadPoolExecutor(_CHECKS_AT_ONCE) as pool, requests.Session() as session:
            session.trust_env = False  # neither a proxy nor a .netrc of the user's
            session.verify = verify
            for problem in pool.map(lambda entry: check(session, entry), self._facts.tenants):
                if problem is not None:
                    raise UsageError(f"{problem}; nothing was sent")

    def ended(self) -> Sequence[str]:
        return ()

    async def scale(self, consumers: int) -> Sequence[str]:
        """Run the operator's command."""
        command = [part.replace("{n}", str(consumers)) for part in self._settings.scale_command]
        try:
            done = await asyncio.to_thread(
                subprocess.run,
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SCALE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ScalingError(f"SCALE_COMMAND for {consumers}: {type(error).__name__}") from None
        if done.returncode:
            raise ScalingError(f"SCALE_COMMAND for {consumers} ended with {done.returncode}")
        return ()

    async def books(self, result: Result, patience: Callable[[], float], say: Say) -> Books:
        """By the API, and the queues' attributes if they may be asked."""
        books = ApiBooks(
            self._facts.tenants,
            result,
            insecure=self._settings.insecure,
            say=say,
            observe=observer_of(self._facts).look,
        )
        return await asyncio.to_thread(books.read, patience)


@asynccontextmanager
async def host_up(settings: Settings) -> AsyncGenerator[Target, None]:
    """A host that answers.

    Raises:
        UsageError: It does not.
    """
    target = HostTarget(settings)
    await asyncio.to_thread(target.check)
    yield target


def check(session: requests.Session, entry: TenantEntry) -> str | None:
    """Why a tenant cannot be sent for; None if it can."""
    try:
        header = TokenSource(entry).header()
    except TokenError as error:
        return f"{entry.tenant}: {error}"
    headers = {"Authorization": header, "tenantID": entry.tenant}
    for url in (f"{entry.post_url}/producer", f"{entry.get_url}/consumer"):
        try:
            answer = session.get(
                url, headers=headers, timeout=_CHECK_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            return f"{url} does not answer: {_reason(error)}"
        if answer.status_code != HTTPStatus.OK:
            return f"{entry.tenant}: {url} answers {answer.status_code}{_problem(answer)}"
    return None


def _reason(error: requests.RequestException) -> str:
    """In few words: requests quotes a stack of libraries."""
    cause: BaseException | None = error
    seen: list[str] = []
    while cause is not None and len(seen) < 8:  # noqa: PLR2004 - they nest, and may in a ring
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
        seen.append(type(cause).__name__)
        inner = cause.args[0] if cause.args else None
        reason = getattr(inner, "reason", inner)
        cause = reason if isinstance(reason, BaseException) else cause.__cause__
    return seen[0]


def _problem(answer: requests.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (requests.JSONDecodeError, KeyError, TypeError):
        return ""
    return f" ({str(detail)[:120]})"
