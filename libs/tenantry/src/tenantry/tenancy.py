"""The only door to a tenant's identity: nothing else reads `Authorization` or `tenantID`.

The tenant is a claim of a verified token. Trusting the header alone exists for a mesh that
sets it, is off by default, and says so loudly at start.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import jwt
import structlog

from tenantry.errors import (
    IdentityUnavailableError,
    InvalidRequestError,
    TenantMismatchError,
    UnauthenticatedError,
)
from tenantry.tenant_id import TenantId, parse_tenant_id

if TYPE_CHECKING:
    from tenantry.settings import ServiceSettings

log = structlog.get_logger()

#: Raw headers as ASGI gives them: names in lower case.
Headers = Iterable[tuple[bytes, bytes]]

#: The longest token that is looked at, in bytes; proxies bound all headers to about this.
MAX_TOKEN_BYTES: Final = 8_192

#: How long a verified token is believed without verifying it again, in seconds.
TOKEN_CACHE_SECONDS: Final = 60.0
TOKEN_CACHE_ENTRIES: Final = 20_000

#: An instant later than any that matters, as seconds since 1970: where floats are exact.
MAX_INSTANT_SECONDS: Final = 2**53

#: Keys are fetched at most this often, are renewed at this age, and serve at most this long
#: while fetching fails; in seconds.
JWKS_MIN_INTERVAL_SECONDS: Final = 10.0
JWKS_REFRESH_SECONDS: Final = 300.0
JWKS_MAX_AGE_SECONDS: Final = 3_600.0
JWKS_TIMEOUT_SECONDS: Final = 5.0
JWKS_MAX_BYTES: Final = 1_048_576


class Identity(Protocol):
    """Says which tenant a request speaks for."""

    async def tenant(self, headers: Headers) -> TenantId:
        """The tenant of these headers.

        Raises:
            UnauthenticatedError: No identity, or one that does not verify.
            TenantMismatchError: The header names another tenant than the token.
            InvalidRequestError: A header was sent twice, or is no tenant's id.
            IdentityUnavailableError: It cannot be verified now.
        """
        ...

    async def tenant_if_any(self, headers: Headers) -> TenantId | None:
        """The same, or None where the headers claim no identity at all."""
        ...


class HeaderIdentity:
    """Believes the tenantID header: only behind a mesh that sets it and strips the client's."""

    async def tenant(self, headers: Headers) -> TenantId:
        _, name = _identity_headers(headers)
        if name is None:
            msg = "the tenantID header is missing"
            raise UnauthenticatedError(msg)
        return _tenant_of_header(name)

    async def tenant_if_any(self, headers: Headers) -> TenantId | None:
        _, name = _identity_headers(headers)
        return None if name is None else _tenant_of_header(name)


class TokenIdentity:
    """Verifies bearer tokens against a JWKS and takes the tenant from a claim."""

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audience: str,
        algorithms: tuple[str, ...],
        claim: str,
        leeway_seconds: float = 5.0,
    ) -> None:
        self._keys = keys
        self._claim = claim
        self._leeway_seconds = leeway_seconds
        self._decode: Mapping[str, Any] = {
            "algorithms": list(algorithms),
            "issuer": issuer,
            "audience": audience,
            "leeway": leeway_seconds,
            "options": {"require": ["exp", "iss", "aud"]},
        }
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()

    async def tenant(self, headers: Headers) -> TenantId:
        authorization, name = _identity_headers(headers)
        if authorization is None:
            msg = "the Authorization header with a bearer token is missing"
            raise UnauthenticatedError(msg)
        token = _bearer_token(authorization)
        await self._keys.ensure_usable()
        tenant = await self._tenant_of(token)
        # The claim was checked, so one that differs is no id that needs its own message.
        if name is not None and name != tenant.encode():
            msg = "the tenantID header names another tenant than the token"
            raise TenantMismatchError(msg)
        return tenant

    async def tenant_if_any(self, headers: Headers) -> TenantId | None:
        authorization, _ = _identity_headers(headers)
        return None if authorization is None else await self.tenant(headers)

    async def _tenant_of(self, token: bytes) -> TenantId:
        digest = hashlib.sha256(token).digest()
        seen = self._verified.get(digest)
        if seen is not None:
            if time.time() < seen.until and self._keys.holds(seen.kid, seen.key):
                return seen.tenant
            del self._verified[digest]
        return await self._verify(token, digest)

    async def _verify(self, token: bytes, digest: bytes) -> TenantId:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.get(kid)
            if key is None:
                msg = "the token is signed by a key that the issuer does not publish"
                raise UnauthenticatedError(msg)
            claims = jwt.decode(token, key, **self._decode)
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            msg = f"the token does not verify: {error}"
            raise UnauthenticatedError(msg) from None
        try:
            tenant = parse_tenant_id(claims.get(self._claim))
        except ValueError as error:
            msg = f"the claim {self._claim} of the token is no tenant: {error}"
            raise UnauthenticatedError(msg) from None
        # As the verifier reads it: an integer of any size, or its text.
        expires = min(int(claims["exp"]), MAX_INSTANT_SECONDS) + self._leeway_seconds
        until = min(time.time() + TOKEN_CACHE_SECONDS, expires)
        self._verified[digest] = _Verified(tenant, kid, key, until)
        if len(self._verified) > TOKEN_CACHE_ENTRIES:
            self._verified.popitem(last=False)
        return tenant


@dataclass(frozen=True, slots=True)
class _Verified:
    tenant: TenantId
    kid: str | None
    key: jwt.PyJWK
    until: float


@asynccontextmanager
async def open_identity(settings: ServiceSettings) -> AsyncGenerator[Identity, None]:
    """The identity that the settings ask for."""
    if settings.identity == "header":
        log.warning(
            "identity.unverified",
            detail="TENANTRY_IDENTITY=header: whoever can reach this port can be any tenant; "
            "only a mesh that sets the tenantID header itself makes this safe",
        )
        yield HeaderIdentity()
        return
    keys = KeySet(settings.jwks or "")
    try:
        yield TokenIdentity(
            keys,
            issuer=settings.jwt_issuer or "",
            audience=settings.jwt_audience or "",
            algorithms=settings.jwt_algorithms,
            claim=settings.tenant_claim,
        )
    finally:
        await keys.close()


class KeySet:
    """The issuer's public keys, from a file or an https address.

    Fetched at most every 10 s, one fetch in flight; renewed by age; while fetching fails the
    old keys serve for up to an hour.
    """

    def __init__(self, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
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
            log.error("jwks.failed", source=self._source, error=repr(error))

    async def _refresh(self) -> None:
        # Shielded: one request that leaves must not end the fetch that others wait for.
        await asyncio.wait([self._start_refresh()])

    async def _load(self) -> None:
        try:
            document = json.loads(await _read(self._source))
            found = _signing_keys(document)
        except (OSError, ValueError, TimeoutError, aiohttp.ClientError) as error:
            log.warning("jwks.refused", source=self._source, error=repr(error))
            return
        if not found:
            log.warning("jwks.refused", source=self._source, error="it holds no signing key")
            return
        # A key that did not change keeps its object: tokens it verified stay verified.
        self._keys = {
            kid: self._keys[kid] if self._raw.get(kid) == raw else key
            for kid, (raw, key) in found.items()
        }
        self._raw = {kid: raw for kid, (raw, _) in found.items()}
        self._fetched_at = self._clock()


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


def _identity_headers(headers: Headers) -> tuple[bytes | None, bytes | None]:
    """The Authorization and the tenantID header, each at most once."""
    authorization: bytes | None = None
    name: bytes | None = None
    for key, value in headers:
        if key == b"authorization":
            if authorization is not None:
                msg = "the Authorization header was sent twice"
                raise InvalidRequestError(msg)
            authorization = value
        elif key == b"tenantid":
            if name is not None:
                msg = "the tenantID header was sent twice"
                raise InvalidRequestError(msg)
            name = value
    return authorization, name


def _bearer_token(authorization: bytes) -> bytes:
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer" or not token or len(token) > MAX_TOKEN_BYTES:
        msg = f"the Authorization header is not `Bearer` and a token of ≤ {MAX_TOKEN_BYTES} bytes"
        raise UnauthenticatedError(msg)
    return token


def _tenant_of_header(name: bytes) -> TenantId:
    try:
        return parse_tenant_id(name.decode("latin-1"))
    except ValueError as error:
        msg = f"the tenantID header is no tenant: {error}"
        raise InvalidRequestError(msg) from None
