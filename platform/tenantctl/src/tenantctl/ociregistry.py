"""The registry of charts: whether a release is there, asked by digest.

Any registry of the OCI distribution specification; ECR's password is asked of AWS.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from urllib.parse import urlsplit

import httpx
from aiobotocore.session import AioSession

from tenantctl.awsfailures import AWS_ERRORS, failure
from tenantctl.errors import InvalidError, NotFoundError, UnavailableError
from tenantctl.releases import Release

#: What a chart's manifest may be.
_ACCEPT: Final = (
    "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json"
)
_ANSWER_SECONDS: Final = 15.0
_TRIES: Final = 3

#: User and password, asked for each time: they expire.
Credentials = Callable[[], Awaitable[tuple[str, str] | None]]


async def nobody() -> tuple[str, str] | None:
    """No credentials."""
    return None


class OciReleases:
    """Asks one repository of a registry."""

    def __init__(
        self, http: httpx.AsyncClient, url: str, repository: str, credentials: Credentials = nobody
    ) -> None:
        """What is asked.

        Args:
            http: Follows no redirect.
            url: Of the registry, as `https://registry.example.com`.
            repository: In it, as `tenantry/tenant-template`.
            credentials: User and password, or None.
        """
        self._http = http
        self._url = url.rstrip("/")
        self._repository = repository
        self._credentials = credentials

    async def require(self, release: Release) -> None:
        """Go on if there is a chart of this version, and it has this digest.

        Raises:
            NotFoundError: There is none.
            InvalidError: The version is another chart's.
            UnavailableError: The registry does not answer, or denies.
        """
        if await self._digest(release.digest) is None:
            raise NotFoundError(f"{self._where} has no {release.digest}")
        there = await self._digest(release.version)
        if there is None:
            raise NotFoundError(f"{self._where} has no version {release.version}")
        if there != release.digest:
            raise InvalidError(
                f"{release.version} of {self._where} is {there}, and not {release.digest}"
            )

    @property
    def _where(self) -> str:
        return f"{urlsplit(self._url).netloc}/{self._repository}"

    async def _digest(self, reference: str) -> str | None:
        """The digest of a manifest; None where there is none."""
        path = f"{self._url}/v2/{self._repository}/manifests/{reference}"
        asked = await self._credentials()
        # Without, httpx would look into the user's .netrc.
        auth = httpx.Auth() if asked is None else httpx.BasicAuth(*asked)
        for left in reversed(range(_TRIES)):
            try:
                answer = await self._http.head(
                    path,
                    headers={"Accept": _ACCEPT},
                    auth=auth,
                    timeout=_ANSWER_SECONDS,
                    follow_redirects=False,
                )
            except httpx.HTTPError as error:
                trouble = f"does not answer ({type(error).__name__})"
            else:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                if answer.is_success:
                    return self._said(answer, reference)
                trouble = f"answers {answer.status_code}"
                if not answer.is_server_error:
                    break
            if not left:
                break
        raise UnavailableError(f"{self._where} {trouble}")

    def _said(self, answer: httpx.Response, reference: str) -> str:
        digest = answer.headers.get("Docker-Content-Digest", "")
        if not digest and reference.startswith("sha256:"):
            return reference  # by digest it can be no other
        if not digest:
            raise UnavailableError(f"{self._where} does not say what {reference} is")
        return str(digest)


def ecr(region: str) -> Credentials:
    """The password that AWS gives out for its own registry, for twelve hours."""

    async def ask() -> tuple[str, str] | None:
        try:
            async with AioSession().create_client("ecr", region_name=region) as client:
                answer = await client.get_authorization_token()
        except AWS_ERRORS as error:
            raise failure(error, "GetAuthorizationToken", "the registry") from error
        try:
            token = base64.b64decode(answer["authorizationData"][0]["authorizationToken"])
            user, _, password = token.decode().partition(":")
        except (KeyError, IndexError, binascii.Error, UnicodeDecodeError):
            raise UnavailableError("the registry: AWS gave out no password") from None
        return user, password

    return ask


@asynccontextmanager
async def opened_releases(
    url: str, repository: str, *, region: str | None = None
) -> AsyncGenerator[OciReleases]:
    """A registry's repository; with a region it is ECR's.

    Raises:
        InvalidError: It is no address.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username:
        raise InvalidError("that is no address of a registry: https://HOST, without a password")
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient())
        yield OciReleases(http, url, repository, nobody if region is None else ecr(region))
