"""Signatures are verified: what botocore and the lean transport sign is taken, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from e2e.door.signatures import Asked, Key, refusal
from tenantry.transport.signing import Endpoint, Signer

NOW: Final = 1_800_000_000.0
KEY: Final = Key("gate0001", "secret", "token", NOW + 900)
BODY: Final = b'{"QueueUrl": "q"}'
ENDPOINT: Final = Endpoint(
    host="127.0.0.1:4566",
    path="/",
    region="eu-west-1",
    service="sqs",
    headers=(("content-type", "application/x-amz-json-1.0"),),
)


@pytest.fixture(autouse=True)
def botocores_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands still at NOW."""
    monkeypatch.setattr(
        "botocore.auth.get_current_datetime", lambda: datetime.fromtimestamp(NOW, UTC)
    )


def signed(path: str = "/", *, key: Key = KEY, more: Mapping[str, str] | None = None) -> Asked:
    """A call as botocore signs it at NOW."""
    request = AWSRequest(
        "POST",
        f"http://127.0.0.1:4566{path}",
        data=BODY,
        headers={"X-Amz-Target": "AmazonSQS.SendMessage", **(more or {})},
    )
    credentials = Credentials(key.access_key, key.secret, key.token)
    SigV4Auth(credentials, "sqs", "eu-west-1").add_auth(request)
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Asked("POST", path, {**headers, "host": "127.0.0.1:4566"}, BODY)


def reason(asked: Asked, key: Key | None = KEY, now: float = NOW) -> str:
    found = refusal(asked, key, now)
    return found.reason if found else ""


@pytest.mark.parametrize(
    "path",
    ["/", "/clusters/dev/pod-identity-associations?maxResults=1&b=%20", "/tags/arn%3Aaws%3Aeks"],
)
def test_what_botocore_signs_is_taken(path: str) -> None:
    """Whatever the path, with a query or without."""
    assert refusal(signed(path), KEY, NOW) is None


def lean() -> Asked:
    """A call as the services' own signer signs it."""
    credentials: Any = Credentials(KEY.access_key, KEY.secret, KEY.token)
    head = Signer(ENDPOINT).head(credentials, "AmazonSQS.SendMessage", BODY, NOW)
    lines = head.decode().split("\r\n")[1:]
    return Asked("POST", "/", dict(line.split(": ", 1) for line in lines if line), BODY)


def test_what_the_lean_transport_signs_is_taken() -> None:
    """It knows nothing of botocore's signer."""
    assert refusal(lean(), KEY, NOW) is None


def test_what_was_changed_on_the_way_is_not_taken() -> None:
    """Body, path, method, and every header that is signed."""
    good = signed()
    assert "signature" == reason(replace(good, body=b'{"QueueUrl": "other"}'))
    assert "signature" == reason(replace(good, path="/other"))
    assert "signature" == reason(replace(good, path="/?a=1"))
    assert "signature" == reason(replace(good, method="PUT"))
    for name, value in (("x-amz-target", "AmazonSQS.PurgeQueue"), ("host", "elsewhere")):
        assert "signature" == reason(replace(good, headers={**good.headers, name: value}))


def test_a_header_of_awss_that_is_not_signed_is_not_taken() -> None:
    """Else whoever is in between chooses the operation."""
    good = signed()
    found = refusal(replace(good, headers={**good.headers, "x-amz-more": "1"}), KEY, NOW)
    assert found is not None
    assert "not signed: x-amz-more" == found.message


def test_a_signed_header_that_is_gone_is_not_taken() -> None:
    """It is named."""
    good = signed(more={"X-Zz": "1"})
    headers = {name: value for name, value in good.headers.items() if name != "x-zz"}
    found = refusal(replace(good, headers=headers), KEY, NOW)
    assert found is not None
    assert "signed, but not there: x-zz" == found.message


def test_a_digest_that_is_not_the_bodys_is_not_taken() -> None:
    """The signature is over the digest that is said, which then says nothing of the body."""
    asked = signed(more={"X-Amz-Content-SHA256": "0" * 64})
    found = refusal(asked, KEY, NOW)
    assert found is not None
    assert "X-Amz-Content-SHA256" in found.message


def test_another_secret_or_token_is_not_taken() -> None:
    """An access key is no secret, so it is not enough."""
    assert "signature" == reason(signed(key=replace(KEY, secret="other")))
    assert "unknown" == reason(signed(key=replace(KEY, token="other")))


def test_who_is_nobody_is_told_so() -> None:
    """Without a signature, and with a key that nobody issued."""
    good = signed()
    assert "unknown" == reason(good, None)
    for said in ("", "Bearer a", "AWS4-HMAC-SHA256 Credential=a"):
        assert "missing" == reason(replace(good, headers={**good.headers, "authorization": said}))


def test_a_session_ends() -> None:
    """At its end, not after it."""
    good = signed()
    ends_soon = replace(KEY, ends_at=NOW + 1)
    assert "" == reason(good, ends_soon, NOW)
    assert "expired" == reason(good, ends_soon, NOW + 1)


@pytest.mark.parametrize(
    ("late", "expected"), [(-301, "signature"), (-300, ""), (300, ""), (301, "signature")]
)
def test_a_signature_is_of_now(late: float, expected: str) -> None:
    """Five minutes before and after."""
    assert expected == reason(lean(), KEY, NOW + late)


@pytest.mark.parametrize("stamp", ["", "yesterday", "20201399T000000Z", "20200101T000000Z"])
def test_an_instant_that_is_none_is_not_taken(stamp: str) -> None:
    """Nor one of another day than the key is for."""
    good = signed()
    assert "signature" == reason(replace(good, headers={**good.headers, "x-amz-date": stamp}))


@pytest.mark.parametrize("part", [1, 2, 3], ids=["day", "region", "service"])
def test_a_key_is_for_a_day_a_region_and_a_service(part: int) -> None:
    """What the header says of them is what was signed."""
    good = lean()
    said = good.headers["authorization"].split("/")
    said[part] = "20200101" if part == 1 else "other"
    assert "signature" == reason(
        replace(good, headers={**good.headers, "authorization": "/".join(said)})
    )
