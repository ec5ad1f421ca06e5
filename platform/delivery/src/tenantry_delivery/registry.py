"""A registry by the OCI distribution specification, 1.1: what is there, and how more comes there.

A name comes last: until its tag is put, nobody finds what was pushed, and a push that ends
half-way has published nothing.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import urljoin, urlsplit

import httpx

from tenantry_delivery.content import INDEX, MANIFEST, Content, digest_of, size_of
from tenantry_delivery.errors import DeliveryError, FailedError, PublishedError

_ACCEPT: Final = f"{INDEX}, {MANIFEST}"
#: A layer of a base has some hundred megabytes.
_TIMEOUT: Final = httpx.Timeout(60.0, write=600.0)
_LOOPBACK: Final = re.compile(r"(127(\.\d{1,3}){3}|localhost|\[::1\])(:\d+)?(/|$)")


class Registry:
    """One registry, with the credentials that `docker login` left, if any.

    Attributes:
        host: As it is named in references.
        is_plain: Whether it is spoken to without TLS: on this machine alone.

    Raises:
        DeliveryError: It is no address, or would be spoken to in clear over a network.
    """

    def __init__(self, url: str, *, transport: httpx.BaseTransport | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.username:
            raise DeliveryError(f"{url} is no registry: HOST, or https://HOST, without a password")
        self.host = parts.netloc
        self.is_plain = parts.scheme == "http"
        if self.is_plain and not is_loopback(self.host):
            raise DeliveryError(f"{url}: without TLS only on this machine")
        headers = {"User-Agent": "tenantry-delivery"}
        if (known := _credentials(self.host)) is not None:
            headers["Authorization"] = f"Basic {known}"
        self._http = httpx.Client(
            base_url=f"{parts.scheme}://{self.host}",
            headers=headers,
            timeout=_TIMEOUT,
            transport=transport or httpx.HTTPTransport(retries=2),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def resolve(self, repository: str, tag: str) -> str | None:
        """The digest that a tag names; None where there is none.

        Raises:
            FailedError: The registry does not say.
        """
        path = f"/v2/{repository}/manifests/{tag}"
        answer = self._ask("GET", path, headers={"Accept": _ACCEPT})
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        self._check(answer, f"{repository}:{tag}", HTTPStatus.OK)
        return digest_of(answer.content)

    def push(self, repository: str, content: Content) -> None:
        """Bring it there, by digest alone.

        Raises:
            FailedError: The registry did not take it; what it took meanwhile has no name.
        """
        for part in content.parts:
            self.push(repository, part)
        for digest, data in content.blobs.items():
            self._push_blob(repository, digest, data)
        self._put(repository, content, content.digest)

    def name(self, repository: str, content: Content, tag: str) -> bool:
        """Give what was pushed its name, if nothing has it; False if it had it already.

        Raises:
            PublishedError: Something else has the name. It keeps it.
            FailedError: The registry did not take it.
        """
        there = self.resolve(repository, tag)
        if there is None:
            try:
                self._put(repository, content, tag)
            except FailedError:
                # Where tags never move, somebody else's push of the same bytes is a refusal, too.
                there = self.resolve(repository, tag)
                if there is None:
                    raise
            else:
                return True
        if there != content.digest:
            raise PublishedError(
                f"{self.host}/{repository}:{tag} is {there} already, and this is "
                f"{content.digest}. What is published stays: a change is a commit, and has a "
                "version of its own"
            )
        return False

    def _push_blob(self, repository: str, digest: str, data: bytes | Path) -> None:
        what = f"{repository}@{digest}"
        answer = self._ask("HEAD", f"/v2/{repository}/blobs/{digest}")
        if answer.status_code == HTTPStatus.OK:
            return
        self._check(answer, what, HTTPStatus.NOT_FOUND)
        answer = self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        self._check(answer, what, HTTPStatus.ACCEPTED)
        place = httpx.URL(urljoin(str(answer.request.url), answer.headers.get("Location", "")))
        if place.netloc.decode() != self.host:
            raise FailedError(f"{self.host}: {what}: it is to go to {place.host}, and does not")
        opened: AbstractContextManager[object] = (
            data.open("rb") if isinstance(data, Path) else nullcontext(data)
        )
        with opened as body:
            answer = self._ask(
                "PUT",
                str(place.copy_merge_params({"digest": digest})),
                headers={
                    "Content-Type": "application/octet-stream",
                    "Content-Length": str(size_of(data)),
                },
                content=body,
            )
        self._check(answer, what, HTTPStatus.CREATED)

    def _put(self, repository: str, content: Content, reference: str) -> None:
        answer = self._ask(
            "PUT",
            f"/v2/{repository}/manifests/{reference}",
            headers={"Content-Type": content.media_type},
            content=content.manifest,
        )
        self._check(answer, f"{repository} {reference}", HTTPStatus.CREATED)

    def _ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        content: object = None,
    ) -> httpx.Response:
        try:
            return self._http.request(method, path, headers=headers, content=content)  # type: ignore[arg-type]
        except httpx.HTTPError as error:
            raise FailedError(f"{self.host}: {method} {path}: {_said(error)}") from None

    def _check(self, answer: httpx.Response, what: str, wanted: HTTPStatus) -> None:
        if answer.status_code != wanted:
            advice = (
                f": `docker login {self.host}` first"
                if answer.status_code == HTTPStatus.UNAUTHORIZED
                else ""
            )
            raise FailedError(
                f"{self.host}: {what}: HTTP {answer.status_code}{advice} "
                f"{' '.join(answer.text.split())[:300]}".rstrip()
            )


def is_loopback(reference: str) -> bool:
    """Whether a registry, or what is in it, is on this machine, where there is no TLS."""
    return _LOOPBACK.match(reference) is not None


def auth_file() -> Path:
    """Where `docker login`, `buildah login --authfile` and cosign have credentials."""
    folder = os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker")
    return Path(folder) / "config.json"


def _credentials(host: str) -> str | None:
    """What `docker login` left for a host: base64 of user and password.

    Raises:
        DeliveryError: They are there in a form that cannot be read here.
    """
    path = auth_file()
    try:
        said = json.loads(path.read_bytes())
        known = said.get("auths", {}).get(host)
        if not known:
            return None
        base64.b64decode(known["auth"], validate=True)
        return str(known["auth"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        raise DeliveryError(
            f"{path} has no user and password for {host}: log in with `buildah login --authfile` "
            "or `docker login`, without a helper"
        ) from None


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__
