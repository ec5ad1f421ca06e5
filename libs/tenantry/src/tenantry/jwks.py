"""The issuer's public keys: fetched rarely, never in a flood, and usable through an outage."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import jwt
import structlog

from tenantry.errors import IdentityUnavailableError

log = structlog.get_logger()

#: Keys are fetched at most this often, are renewed at this age, and serve at most this long
#: while fetching fails; in seconds.
JWKS_MIN_INTERVAL_SECONDS: Final = 10.0
JWKS_REFRESH_SECONDS: Final = 300.0
JWKS_MAX_AGE_SECONDS: Final = 3_600.0
JWKS_TIMEOUT_SECONDS: Final = 5.0
JWKS_MAX_BYTES: Final = 1_048_576


class KeySet:
    """The issuer's public keys, from a file or an https address.

    Fetched at most every 10 s, one fetch in flight; renewed by age; while fetching fails the
    old keys serve for up to an hour. `count` is told the outcome of each fetch.
    """

    def __init__(
        self,
        source: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        count: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._count = count
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._raw: dict[str | None, dict[str, Any]] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._fetch: asyncio.Task[None] | None = None

    def holds(self, kid: str | None, key: jwt.PyJWK) -> bool:
        """Whether this very key is still published."""
        return self._find(kid) is key

    async def get(self, kid: str | None) -> jwt.PyJWK | None:
        """The key of this id; an unknown id waits for one fetch, if one is due."""
        found = self._find(kid)
        if found is None and (self._fetch is not None or self._is_due(JWKS_MIN_INTERVAL_SECONDS)):
            await self._refresh()
            found = self._find(kid)
        return found

    def are_fresh(self) -> bool:
        """Whether they need not be renewed yet."""
        return (
            self._fetched_at is not None
            and self._clock() - self._fetched_at < JWKS_REFRESH_SECONDS
        )

    async def ensure_usable(self) -> None:
        """Renew what is old; refuse to go on with what is too old.

        Raises:
            IdentityUnavailableError: No keys, or none younger than an hour.
        """
        age = None if self._fetched_at is None else self._clock() - self._fetched_at
        if age is not None and age < JWKS_REFRESH_SECONDS:
            return
        if age is None or age >= JWKS_MAX_AGE_SECONDS:
            if self._fetch is not None or self._is_due(JWKS_MIN_INTERVAL_SECONDS):
                await self._refresh()
            fetched_at = self._fetched_at
            if fetched_at is None or self._clock() - fetched_at >= JWKS_MAX_AGE_SECONDS:
                msg = "the keys that verify tokens cannot be fetched"
                raise IdentityUnavailableError(msg, retry_after=10)
        elif self._is_due(JWKS_MIN_INTERVAL_SECONDS):
            self._start_refresh()

    async def close(self) -> None:
        """End a fetch in flight."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    def _find(self, kid: str | None) -> jwt.PyJWK | None:
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _is_due(self, interval: float) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= interval

    def _start_refresh(self) -> asyncio.Task[None]:
        if self._fetch is None:
            self._tried_at = self._clock()
            self._fetch = asyncio.create_task(self._load(), name="jwks.fetch")
            self._fetch.add_done_callback(self._fetch_ended)
        return self._fetch

    def _fetch_ended(self, task: asyncio.Task[None]) -> None:
        self._fetch = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._count("failed")
            log.error("jwks.failed", source=self._source, error=repr(error))

    async def _refresh(self) -> None:
        # Shielded: one request that leaves must not end the fetch that others wait for.
        await asyncio.wait([self._start_refresh()])

    async def _load(self) -> None:
        try:
            document = json.loads(await _read(self._source))
            found = _signing_keys(document)
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            # What is no JSON and what is too large came; all else did not.
            came = isinstance(error, ValueError) and not isinstance(error, aiohttp.ClientError)
            self._count("refused" if came else "failed")
            log.warning("jwks.refused", source=self._source, error=repr(error))
            return
        if not found:
            self._count("refused")
            log.warning("jwks.refused", source=self._source, error="it holds no signing key")
            return
        # A key that did not change keeps its object: tokens it verified stay verified.
        self._keys = {
            kid: self._keys[kid] if self._raw.get(kid) == raw else key
            for kid, (raw, key) in found.items()
        }
        self._raw = {kid: raw for kid, (raw, _) in found.items()}
        self._fetched_at = self._clock()
        self._count("ok")


async def _read(source: str) -> bytes:
    if not source.startswith(("http://", "https://")):
        return await asyncio.to_thread(Path(source).read_bytes)
    timeout = aiohttp.ClientTimeout(total=JWKS_TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(source, raise_for_status=True) as response,
    ):
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > JWKS_MAX_BYTES:
                msg = f"a JWKS of more than {JWKS_MAX_BYTES} bytes"
                raise ValueError(msg)
        return bytes(body)


def _signing_keys(document: Any) -> dict[str | None, tuple[dict[str, Any], jwt.PyJWK]]:
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        msg = 'a JWKS is {"keys": […]}'
        raise ValueError(msg)
    found: dict[str | None, tuple[dict[str, Any], jwt.PyJWK]] = {}
    for raw in document["keys"]:
        # Of a kind that we do not verify with, or for encryption: others' business.
        if not isinstance(raw, dict) or raw.get("use", "sig") != "sig" or raw.get("kty") == "oct":
            continue
        kid = raw.get("kid")
        try:
            if not isinstance(kid, str | None):
                msg = "kid is no string"
                raise TypeError(msg)  # noqa: TRY301 - one verdict for all that is wrong with it
            if "d" in raw:
                msg = "the private half is published"
                raise ValueError(msg)  # noqa: TRY301 - as above
            found[kid] = (raw, jwt.PyJWK(raw))
        except (jwt.PyJWTError, TypeError, ValueError, NotImplementedError) as error:
            # One that is not understood must not cost the others. The error's text may quote
            # the key, which somebody may have published with its private half.
            log.warning("jwks.key_refused", kid=kid, error=type(error).__name__)
    return found
