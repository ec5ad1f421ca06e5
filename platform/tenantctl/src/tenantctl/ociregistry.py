"""The registry of releases: whether one is there, whole, and signed. Asked by digest.

Any registry of the OCI distribution specification; ECR's password is asked of AWS.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import httpx
from aiobotocore.session import AioSession

from tenantctl.awsfailures import AWS_ERRORS, failure
from tenantctl.errors import InvalidError, NotFoundError, UnavailableError
from tenantctl.releases import Release
from tenantctl.signatures import BUNDLE, Key, verify

#: What `releases/base` has Flux take of a chart, and of the module.
CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
MODULE_FILES: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"

_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_CREATED: Final = "org.opencontainers.image.created"
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_MANIFEST_BYTES: Final = 1_048_576
_BUNDLE_BYTES: Final = 262_144
#: A chart has some tens of kilobytes.
_LAYER_BYTES: Final = 16_777_216
#: Signatures and attestations of one artefact, and pages of their list.
_REFERRERS: Final = 64
_PAGES: Final = 16
_ANSWER_SECONDS: Final = 15.0
_TRIES: Final = 3
_KEPT: Final = ("Location", "Link")

#: User and password, asked for each time: they expire.
Credentials = Callable[[], Awaitable[tuple[str, str] | None]]


async def nobody() -> tuple[str, str] | None:
    """No credentials."""
    return None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What releases of a repository have to be.

    Attributes:
        repository: As `tenantry/tenant-template`.
        media_type: Of the layer that Flux takes.
        keys: One of them has to have signed.
    """

    repository: str
    media_type: str
    keys: Sequence[Key]


def made_at(manifest: Mapping[str, Any]) -> dt.datetime | None:
    """When what a manifest names was made; None where it does not say, or not in full."""
    annotations = manifest.get("annotations")
    said = annotations.get(_CREATED) if isinstance(annotations, Mapping) else None
    try:
        found = dt.datetime.fromisoformat(said)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None


class OciReleases:
    """Asks one repository of a registry."""

    def __init__(
        self, http: httpx.AsyncClient, url: str, wanted: Wanted, credentials: Credentials = nobody
    ) -> None:
        """What is asked.

        Args:
            http: Follows no redirect.
            url: Of the registry, as `https://registry.example.com`.
            wanted: What releases have to be.
            credentials: User and password, or None.
        """
        self._http = http
        self._url = url.rstrip("/")
        self._wanted = wanted
        self._credentials = credentials
        #: A digest never changes, and here no version does.
        self._good: dict[Release, dt.datetime | None] = {}

    async def require(self, release: Release) -> dt.datetime | None:
        """Go on if there is such a release: of this version and digest, whole, and signed.

        Returns:
            When its commit was made, as who made it says; None where that is not said.

        Raises:
            NotFoundError: There is none.
            InvalidError: The version is another one's, it is no such artefact, what is served is
                not what the digest names, or nobody whose key is known signed it.
            UnavailableError: The registry does not answer, or denies, or nothing that can be read.
        """
        if release in self._good:
            return self._good[release]
        manifest = await self._manifest(release.digest)
        if manifest is None:
            raise NotFoundError(f"{self._where} has no {release.digest}")
        there = await self._digest(release.version)
        if there is None:
            raise NotFoundError(f"{self._where} has no version {release.version}")
        if there != release.digest:
            raise InvalidError(
                f"{release.version} of {self._where} is {there}, and not {release.digest}"
            )
        try:
            await self._require_layer(manifest)
            verify(release.digest, await self._bundles(release.digest), self._wanted.keys)
        except InvalidError as error:
            raise InvalidError(f"{self._where}: {release} is refused: {error}") from None
        self._good[release] = made_at(manifest)
        return self._good[release]

    @property
    def _where(self) -> str:
        return f"{urlsplit(self._url).netloc}/{self._wanted.repository}"

    # --- what it is

    async def _require_layer(self, manifest: Mapping[str, Any]) -> None:
        """Refuse what holds nothing that Flux would take, or something else than it says."""
        wanted = self._wanted.media_type
        layer = next(
            (each for each in _listed(manifest, "layers") if each.get("mediaType") == wanted), None
        )
        if layer is None:
            raise InvalidError(f"it has no layer of {wanted}")
        await self._blob(layer, _LAYER_BYTES, "its layer")

    async def _bundles(self, digest: str) -> list[bytes]:
        """What is said to be signatures of a digest."""
        found: list[bytes] = []
        for referrer in await self._referrers(digest):
            if referrer.get("artifactType") != BUNDLE:
                continue
            if len(found) == _REFERRERS:
                raise InvalidError(f"more than {_REFERRERS} signatures and attestations are of it")
            manifest = await self._manifest(_named(referrer))
            layers = _listed(manifest or {}, "layers")
            if len(layers) != 1 or layers[0].get("mediaType") != BUNDLE:
                continue  # of somebody else's making
            found.append(await self._blob(layers[0], _BUNDLE_BYTES, "a signature"))
        return found

    async def _referrers(self, digest: str) -> list[Mapping[str, Any]]:
        repository = f"{self._url}/v2/{self._wanted.repository}"
        url = f"{repository}/referrers/{digest}"
        found: list[Mapping[str, Any]] = []
        for _ in range(_PAGES):
            answer = await self._get(url, _INDEX, _MANIFEST_BYTES)
            if answer is None:
                # Registries without that API: clients keep the list under this tag.
                url = f"{repository}/manifests/{digest.replace(':', '-')}"
                answer = await self._get(url, _INDEX, _MANIFEST_BYTES)
                return [] if answer is None else _listed(self._read(answer.content), "manifests")
            found += _listed(self._read(answer.content), "manifests")
            more = answer.links.get("next", {}).get("url")
            if more is None:
                return found
            url = urljoin(f"{self._url}/", more)
            if not url.startswith(f"{repository}/"):
                raise UnavailableError(f"{self._where} sends elsewhere for its signatures")
        raise InvalidError("the list of its signatures does not end")

    # --- what is served

    async def _manifest(self, digest: str) -> Mapping[str, Any] | None:
        """What a digest names; None where there is nothing.

        Raises:
            InvalidError: Something else is served in its place.
        """
        url = f"{self._url}/v2/{self._wanted.repository}/manifests/{digest}"
        answer = await self._get(url, _MANIFEST, _MANIFEST_BYTES)
        if answer is None:
            return None
        _require_digest(digest, answer.content, self._where)
        return self._read(answer.content)

    async def _blob(self, layer: Mapping[str, Any], limit: int, what: str) -> bytes:
        digest, size = _named(layer), layer.get("size")
        if not isinstance(size, int) or not 0 < size <= limit:
            raise InvalidError(f"{what} has {size!r} bytes, and may have {limit}")
        url = f"{self._url}/v2/{self._wanted.repository}/blobs/{digest}"
        answer = await self._get(url, "*/*", size, may_be_elsewhere=True)
        if answer is None:
            raise InvalidError(f"{what} is not there: {digest}")
        _require_digest(digest, answer.content, what)
        return answer.content

    def _read(self, data: bytes) -> Mapping[str, Any]:
        try:
            said = json.loads(data)
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, Mapping):
            raise UnavailableError(f"{self._where} answers what is no registry's answer")
        return said

    async def _digest(self, reference: str) -> str | None:
        """The digest of a version; None where there is none."""
        url = f"{self._url}/v2/{self._wanted.repository}/manifests/{reference}"
        answer = await self._get(url, f"{_MANIFEST}, {_INDEX}", _MANIFEST_BYTES)
        return None if answer is None else _digest_of(answer.content)

    async def _get(
        self, url: str, accept: str, limit: int, *, may_be_elsewhere: bool = False
    ) -> httpx.Response | None:
        """What is there, of at most so many bytes; None where nothing is."""
        asked = await self._credentials()
        # Without, httpx would look into the user's .netrc.
        auth = httpx.Auth() if asked is None else httpx.BasicAuth(*asked)
        for left in reversed(range(_TRIES)):
            try:
                answer = await self._got(url, accept, limit, auth)
                if may_be_elsewhere and answer.has_redirect_location:
                    # As ECR's blobs, which are in S3. The password is nobody's business there.
                    answer = await self._got(self._sent(url, answer), accept, limit, httpx.Auth())
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                trouble = f"does not answer ({type(error).__name__})"
            else:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    return None
                if answer.is_success:
                    return answer
                trouble = f"answers {answer.status_code}"
                if not answer.is_server_error:
                    break
            if not left:
                break
        raise UnavailableError(f"{self._where} {trouble}")

    async def _got(self, url: str, accept: str, limit: int, auth: httpx.Auth) -> httpx.Response:
        async with self._http.stream(
            "GET",
            url,
            headers={"Accept": accept, "Accept-Encoding": "identity"},
            auth=auth,
            timeout=_ANSWER_SECONDS,
            follow_redirects=False,
        ) as answer:
            data = bytearray()
            if answer.is_success:
                async for part in answer.aiter_bytes():
                    data += part
                    if len(data) > limit:
                        raise InvalidError(
                            f"{self._where} serves more than {limit} bytes where fewer are said "
                            "to be"
                        )
            kept = {name: answer.headers[name] for name in _KEPT if name in answer.headers}
            return httpx.Response(
                answer.status_code, headers=kept, content=bytes(data), request=answer.request
            )

    def _sent(self, url: str, answer: httpx.Response) -> str:
        there = urljoin(url, answer.headers["Location"])
        if not there.startswith(("https://", f"{urlsplit(self._url).scheme}://")):
            raise UnavailableError(f"{self._where} sends elsewhere, and not by HTTPS")
        return there


def _listed(said: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects of a list; what is something else is left out."""
    found = said.get(key)
    if not isinstance(found, list):
        return []
    return [each for each in found if isinstance(each, Mapping)]


def _named(descriptor: Mapping[str, Any]) -> str:
    digest = descriptor.get("digest")
    if not isinstance(digest, str) or _DIGEST.fullmatch(digest) is None:
        raise InvalidError(f"it names {str(digest)[:80]!r}, which is no digest")
    return digest


def _digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _require_digest(digest: str, data: bytes, what: str) -> None:
    if (there := _digest_of(data)) != digest:
        raise InvalidError(f"{what} serves {there} where {digest} is asked for: it was changed")


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
    url: str, wanted: Wanted, *, region: str | None = None
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
        yield OciReleases(http, url, wanted, nobody if region is None else ecr(region))
