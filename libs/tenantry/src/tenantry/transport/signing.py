"""Signature Version 4 of one kind of request: a POST of JSON, without a query.

AWS, "Signing AWS API requests". Tests hold every signature against botocore's.
"""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Protocol

_ALGORITHM: Final = "AWS4-HMAC-SHA256"


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


class Signer:
    """Makes the heads of requests to one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        # What is made of these lasts: the key a day, the instant a second.
        self._key_of: tuple[str, str] | None = None
        self._key = b""
        self._second = -1
        self._stamp = ""

    def head(self, credentials: Credentials, target: str, body: bytes, at: float) -> bytes:
        """Request line and headers, signed; `at` in seconds since the epoch, of AWS's clock."""
        if (second := int(at)) != self._second:
            self._second = second
            self._stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(second))
        endpoint, stamp, token = self._endpoint, self._stamp, credentials.token
        headers = [
            *endpoint.headers,
            ("host", endpoint.host),
            ("x-amz-date", stamp),
            ("x-amz-target", target),
        ]
        if token:
            headers.append(("x-amz-security-token", token))
        headers.sort()
        lines = "".join([f"{name}:{value}\n" for name, value in headers])
        signed = ";".join([name for name, _ in headers])
        canonical = (
            f"POST\n{endpoint.path}\n\n{lines}\n{signed}\n{sha256(body).hexdigest()}"
        ).encode()
        scope = f"{stamp[:8]}/{endpoint.region}/{endpoint.service}/aws4_request"
        text = f"{_ALGORITHM}\n{stamp}\n{scope}\n{sha256(canonical).hexdigest()}"
        signature = _hmac(self._signing_key(credentials.secret_key), text).hex()
        sent = "".join([f"{name}: {value}\r\n" for name, value in headers])
        return (
            f"POST {endpoint.path} HTTP/1.1\r\n{sent}"
            f"authorization: {_ALGORITHM} Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode("ascii")

    def _signing_key(self, secret: str) -> bytes:
        day = self._stamp[:8]
        if self._key_of != (secret, day):
            key = f"AWS4{secret}".encode()
            for part in (day, self._endpoint.region, self._endpoint.service, "aws4_request"):
                key = _hmac(key, part)
            self._key_of, self._key = (secret, day), key
        return self._key


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
