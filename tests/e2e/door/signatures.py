"""Whether a call is signed as Signature Version 4 asks, by whom, and in time.

The signature is made anew by botocore's signer, from what came. Not here: presigned addresses,
streamed bodies, and S3, which signs otherwise.

Source: IAM User Guide, "AWS Signature Version 4 for API requests".
"""

from __future__ import annotations

import hmac
import re
import time
from calendar import timegm
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

#: How far a caller's clock may be off.
SKEW_SECONDS: Final = 300
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([\w-]+)/([\w-]+)/aws4_request, ?"
    r"SignedHeaders=([\w;-]+), ?Signature=([0-9a-f]{64})"
)

Reason = Literal["missing", "unknown", "expired", "signature"]


@dataclass(frozen=True, slots=True)
class Key:
    """Credentials of a session; `ends_at` in seconds since the epoch."""

    access_key: str
    secret: str
    token: str
    ends_at: float

    def environment(self, url: str) -> dict[str, str]:
        """What a process is told that calls this address."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.token,
            "AWS_ENDPOINT_URL": url,
        }

    def answer(self, account: str) -> dict[str, str]:
        """What Pod Identity's agent says."""
        return {
            "AccessKeyId": self.access_key,
            "SecretAccessKey": self.secret,
            "Token": self.token,
            "AccountId": account,
            "Expiration": self.expiration,
        }

    @property
    def expiration(self) -> str:
        """When it ends, as AWS writes it."""
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.ends_at))


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as it came: `headers` by names in lower case, `path` with its query."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    def credential(self) -> tuple[str, str, str]:
        """Access key, region and service that it is signed for; empty where it says none."""
        found = _Authorization.of(self)
        return (found.access_key, found.region, found.service) if found else ("", "", "")


@dataclass(frozen=True, slots=True)
class _Authorization:
    """The header, taken apart."""

    access_key: str
    day: str
    region: str
    service: str
    signed: tuple[str, ...]
    signature: str

    @classmethod
    def of(cls, asked: Asked) -> _Authorization | None:
        """Of a call; None where it has no such header."""
        found = _AUTHORIZATION.fullmatch(asked.headers.get("authorization", ""))
        if found is None:
            return None
        access_key, day, region, service, names, signature = found.groups()
        return cls(access_key, day, region, service, tuple(names.split(";")), signature)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call is nobody's."""

    reason: Reason
    message: str


def refusal(asked: Asked, key: Key | None, now: float) -> Refused | None:
    """Why a call is not taken; None if it is the key's.

    Args:
        asked: The call.
        key: What its access key was issued with, if it was.
        now: Seconds since the epoch.
    """
    found = _Authorization.of(asked)
    if found is None:
        return Refused("missing", "no Authorization header of Signature Version 4")
    if key is None:
        return Refused("unknown", f"no such access key: {found.access_key}")
    if not _is_same(asked.headers.get("x-amz-security-token", ""), key.token):
        return Refused("unknown", "the session token is not this access key's")
    if now >= key.ends_at:
        return Refused("expired", f"the session ended at {key.expiration}")
    message = _off(asked, found, now) or _unlike(asked, found, key)
    return Refused("signature", message) if message else None


def _off(asked: Asked, found: _Authorization, now: float) -> str:
    """What is wrong with the instant; nothing, if it is now."""
    stamp = asked.headers.get("x-amz-date", "")
    try:
        signed_at = timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return f"X-Amz-Date {stamp!r} is no instant"
    if not stamp.startswith(found.day):
        return f"the key is for {found.day}, the instant {stamp}"
    off = now - signed_at
    return f"signed at {stamp}, {off:.0f} seconds ago" if abs(off) > SKEW_SECONDS else ""


def _unlike(asked: Asked, found: _Authorization, key: Key) -> str:
    """What differs between what was signed and what came; nothing, if it is the same."""
    to_be = ["host", *(name for name in asked.headers if name.startswith("x-amz-"))]
    if unsigned := [one for one in to_be if one not in found.signed]:
        return f"not signed: {', '.join(unsigned)}"
    if absent := [one for one in found.signed if one not in asked.headers]:
        return f"signed, but not there: {', '.join(absent)}"
    digest = asked.headers.get("x-amz-content-sha256")
    if digest not in (None, sha256(asked.body).hexdigest()):
        return "X-Amz-Content-SHA256 is not the body's"
    if not _is_same(found.signature, _signature(asked, found, key)):
        return "the signature is not of this call, or not by this secret"
    return ""


def _signature(asked: Asked, found: _Authorization, key: Key) -> str:
    request = AWSRequest(
        method=asked.method,
        url=f"http://{asked.headers['host']}{asked.path}",
        data=asked.body,
        headers={name: asked.headers[name] for name in found.signed},
    )
    request.context["timestamp"] = asked.headers["x-amz-date"]
    # The token is a header, and among what is signed: the signer is not told it once more.
    signer = SigV4Auth(Credentials(key.access_key, key.secret), found.service, found.region)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    return str(signer.signature(text, request))


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
