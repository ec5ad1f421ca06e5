"""Signature Version 4 of one kind of request: a POST of JSON, without a query.

AWS, "Signing AWS API requests". Tests hold every signature against botocore's.
"""

from __future__ import annotations

import hmac
import re
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import quote

from botocore.utils import normalize_url_path

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
#: Stands for the instant in what is made once; no header can hold it.
_STAMP: Final = "\0stamp\0"
#: Of a few operations, with a token that changes every few hours.
_FORMS: Final = 64
#: What key and token are made of: anything else would end a header, or be signed otherwise.
_VISIBLE: Final = re.compile("[!-~]+")


class Credentials(Protocol):
    """What requests are signed with, as botocore hands it out."""

    @property
    def access_key(self) -> str: ...
    @property
    def secret_key(self) -> str: ...
    @property
    def token(self) -> str | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where requests go.

    Attributes:
        host: As in the Host header: with the port, unless it is the scheme's.
        path: Of every request.
        region: That signatures are for.
        service: That signatures are for.
        headers: Sent with every request and signed, by names in lower case.
    """

    host: str
    path: str
    region: str
    service: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Form:
    """Formats of bytes: `canonical` of stamp and digest; `sent` of stamp, signature, length."""

    canonical: bytes
    sent: bytes
    signed: str


class Signer:
    """Makes the heads of requests to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._canonical_path = quote(normalize_url_path(endpoint.path), safe="/~")
        # What is made of these lasts: the key a day, the instant a second.
        self._key_of: tuple[str | None, ...] = ()
        self._key = b""
        self._second = -1
        self._stamp = ""
        self._forms: dict[tuple[str, str | None], _Form] = {}

    def head(self, credentials: Credentials, target: str, body: bytes, at: float) -> bytes:
        """Request line and headers, signed; `at` in seconds since the epoch, of AWS's clock.

        Raises:
            ValueError: Key or token cannot stand in a header.
        """
        if (second := int(at)) != self._second:
            self._second = second
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        endpoint, stamp = self._endpoint, self._stamp
        form = self._form(target, credentials.token)
        canonical = form.canonical % (stamp.encode(), sha256(body).hexdigest().encode())
        scope = f"{stamp[:8]}/{endpoint.region}/{endpoint.service}/aws4_request"
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical).hexdigest()}"
        signature = _hmac(self._signing_key(credentials), text).hex()
        return form.sent % (
            stamp.encode(),
            f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={form.signed}, Signature={signature}".encode("ascii"),
            len(body),
        )

    def _form(self, target: str, token: str | None) -> _Form:
        """What is the same in each call of one kind, with one token."""
        if (form := self._forms.get((target, token))) is not None:
            return form
        if len(self._forms) == _FORMS:
            self._forms.clear()
        endpoint = self._endpoint
        headers = {
            **dict(endpoint.headers),
            "host": endpoint.host,
            "x-amz-date": _STAMP,
            "x-amz-target": target,
        }
        if token:
            headers["x-amz-security-token"] = token
        pairs = sorted(headers.items())
        signed = ";".join(name for name, _ in pairs)
        canonical = f"POST\n{self._canonical_path}\n\n" + "".join(
            f"{name}:{value}\n" for name, value in pairs
        )
        sent = f"POST {endpoint.path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in pairs
        )
        form = _Form(
            canonical=_with_places(f"{canonical}\n{signed}\n") + b"%b",
            sent=_with_places(sent) + b"authorization: %b\r\ncontent-length: %d\r\n\r\n",
            signed=signed,
        )
        self._forms[target, token] = form
        return form

    def _signing_key(self, credentials: Credentials) -> bytes:
        day = self._stamp[:8]
        key_of = credentials.access_key, credentials.secret_key, credentials.token, day
        if self._key_of != key_of:
            if not _VISIBLE.fullmatch(credentials.access_key + (credentials.token or "")):
                raise ValueError("the key or the token holds what no header takes")
            key = f"AWS4{credentials.secret_key}".encode()
            for part in (day, self._endpoint.region, self._endpoint.service, "aws4_request"):
                key = _hmac(key, part)
            self._key_of, self._key = key_of, key
        return self._key


def _with_places(text: str) -> bytes:
    """As a format of bytes, with a place where the stamp goes."""
    return text.replace("%", "%%").replace(_STAMP, "%b").encode()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
