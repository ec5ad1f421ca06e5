"""The only door to a tenant's identity: nothing else reads `Authorization` or `tenantID`.

The tenant is a claim of a verified token. Trusting the header alone exists for a mesh that
sets it, is off by default, and says so loudly at start.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import jwt
import structlog

from tenantry.errors import (
    InvalidRequestError,
    TenantMismatchError,
    UnauthenticatedError,
)
from tenantry.jwks import KeySet
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
        if not self._keys.are_fresh():
            await self._keys.ensure_usable()
        digest = hashlib.sha256(token).digest()
        tenant = self._verified_tenant(digest) or await self._verify(token, digest)
        # The claim was checked, so one that differs is no id that needs its own message.
        if name is not None and name != tenant.encode():
            msg = "the tenantID header names another tenant than the token"
            raise TenantMismatchError(msg)
        return tenant

    async def tenant_if_any(self, headers: Headers) -> TenantId | None:
        authorization, _ = _identity_headers(headers)
        return None if authorization is None else await self.tenant(headers)

    def _verified_tenant(self, digest: bytes) -> TenantId | None:
        """Of a token that was verified a moment ago."""
        seen = self._verified.get(digest)
        if seen is None:
            return None
        if time.time() < seen.until and self._keys.holds(seen.kid, seen.key):
            return seen.tenant
        del self._verified[digest]
        return None

    async def _verify(self, token: bytes, digest: bytes) -> TenantId:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = await self._keys.get(kid)
            if key is None:
                msg = "the token is signed by a key that the issuer does not publish"
                raise UnauthenticatedError(msg)
            claims = jwt.decode(token, key, **self._decode)
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as error:
            # Its text may quote the token's header, in which a lone surrogate has no UTF-8.
            reason = str(error).encode("ascii", "backslashreplace").decode()
            msg = f"the token does not verify: {reason}"
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
async def open_identity(
    settings: ServiceSettings, *, count_fetch: Callable[[str], object] = lambda _: None
) -> AsyncGenerator[Identity, None]:
    """The identity that the settings ask for; told is the outcome of each fetch of its keys."""
    if settings.identity == "header":
        log.warning(
            "identity.unverified",
            detail="TENANTRY_IDENTITY=header: whoever can reach this port can be any tenant; "
            "only a mesh that sets the tenantID header itself makes this safe",
        )
        yield HeaderIdentity()
        return
    keys = KeySet(settings.jwks or "", count=count_fetch)
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
