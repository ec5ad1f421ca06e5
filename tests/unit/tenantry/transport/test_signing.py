"""Signatures are botocore's, whatever is signed, and whatever was signed before."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from tenantry.transport.signing import Endpoint, Signer

#: What access keys and tokens may hold.
VISIBLE: Final = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
SECRETS: Final = st.text(st.characters(codec="utf-8"), min_size=1)
LABELS: Final = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
HOSTS: Final = st.builds(
    lambda labels, port: ".".join(labels) + port,
    st.lists(LABELS, min_size=1, max_size=4),
    st.sampled_from(["", ":1", ":4566", ":65535"]),
) | st.sampled_from(["[::1]", "[2001:db8::1]:4566", "127.0.0.1:9324"])
#: Also such as are signed otherwise than they are sent.
PATHS: Final = st.sampled_from(["/", "/a//b/", "/./a/../b", "/..", "/a/."]) | st.from_regex(
    r"/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-F]{2}){0,20}", fullmatch=True
)
#: Seconds of the years 1970 to 2105, with fractions.
INSTANTS: Final = st.floats(0, 4_260_000_000)
#: Names of headers that are always there are not among them.
HEADERS: Final = st.dictionaries(
    st.sampled_from(["content-type", "x-amzn-query-mode", "zz", "a", "x-amz-a"]), VISIBLE
)


@dataclass(frozen=True, slots=True)
class Signed:
    """One thing to sign, at an instant, and who signs."""

    credentials: Credentials
    target: str
    body: bytes
    at: float


CREDENTIALS: Final = st.builds(Credentials, VISIBLE, SECRETS, st.none() | VISIBLE)
SIGNED: Final = st.builds(Signed, CREDENTIALS, VISIBLE, st.binary(), INSTANTS)
ENDPOINTS: Final = st.builds(
    Endpoint,
    host=HOSTS,
    path=PATHS,
    region=LABELS,
    service=st.sampled_from(["sqs", "dynamodb"]),
    headers=HEADERS.map(lambda headers: tuple(headers.items())),
)

ALICE: Final = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
NOON: Final = 1_440_938_160.0  # 2015-08-30, 12:36:00 UTC
DAY: Final = 86_400.0
SQS: Final = Endpoint(
    host="sqs.eu-west-1.amazonaws.com",
    path="/",
    region="eu-west-1",
    service="sqs",
    headers=(("content-type", "application/x-amz-json-1.0"),),
)


def sent(signer: Signer, one: Signed) -> tuple[str, dict[str, str]]:
    """The request line and the headers that a signer makes."""
    head = signer.head(one.credentials, one.target, one.body, one.at).decode("ascii")
    assert head.endswith("\r\n\r\n")
    line, *headers = head[:-4].split("\r\n")
    pairs = [header.split(": ", 1) for header in headers]
    assert len(pairs) == len({name for name, _ in pairs})
    return line, {name: value for name, value in pairs}  # noqa: C416 - pairs of any length


def of_botocore(endpoint: Endpoint, one: Signed) -> dict[str, str]:
    """The headers that botocore makes, by names in lower case."""
    request: Any = AWSRequest(
        method="POST",
        url=f"https://{endpoint.host}{endpoint.path}",
        headers=dict(endpoint.headers) | {"x-amz-target": one.target, "host": endpoint.host},
        data=one.body,
    )
    now = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(seconds=int(one.at))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auth, "get_current_datetime", lambda: now)
        SigV4Auth(one.credentials, endpoint.service, endpoint.region).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def assert_as_botocore(signer: Signer, endpoint: Endpoint, one: Signed) -> None:
    """The same headers, and where they are to go."""
    line, headers = sent(signer, one)

    assert f"POST {endpoint.path} HTTP/1.1" == line
    assert str(len(one.body)) == headers.pop("content-length")
    assert of_botocore(endpoint, one) == headers


@given(endpoint=ENDPOINTS, one=SIGNED)
@settings(deadline=None)
def test_a_signature_is_botocores(endpoint: Endpoint, one: Signed) -> None:
    """Any credentials, body, instant, host and path: header by header."""
    assert_as_botocore(Signer(endpoint), endpoint, one)


@given(
    endpoints=st.lists(ENDPOINTS, min_size=1, max_size=2),
    credentials=st.lists(CREDENTIALS, min_size=1, max_size=2),
    instants=st.lists(INSTANTS, min_size=1, max_size=2),
    order=st.lists(st.tuples(*[st.integers(0, 1)] * 3, st.sampled_from([0.0, 1.0, DAY]))),
)
@settings(deadline=None)
def test_nothing_of_an_earlier_signature_is_in_a_later_one(
    endpoints: list[Endpoint],
    credentials: list[Credentials],
    instants: list[float],
    order: list[tuple[int, int, int, float]],
) -> None:
    """Keys, tokens, days, regions and seconds change in any order, there and back."""
    signers = [Signer(endpoint) for endpoint in endpoints]
    for where, who, when, later in order:
        number = where % len(endpoints)
        one = Signed(
            credentials[who % len(credentials)],
            "AmazonSQS.SendMessageBatch",
            b"{}",
            instants[when % len(instants)] + later,
        )
        assert_as_botocore(signers[number], endpoints[number], one)


@pytest.mark.parametrize(
    "change",
    [
        {"at": NOON + 1},
        {"at": NOON + DAY},
        {"at": NOON + 365 * DAY},
        {"credentials": Credentials("AKIDOTHER", ALICE.secret_key)},
        {"credentials": Credentials(ALICE.access_key, "another")},
        {"credentials": Credentials(ALICE.access_key, ALICE.secret_key, "token")},
        {"body": b"{} "},
        {"target": "AmazonSQS.ReceiveMessage"},
    ],
    ids=["second", "day", "year", "key", "secret", "token", "body", "target"],
)
def test_whatever_changes_is_signed_anew(change: dict[str, Any]) -> None:
    """And changes back: what is kept is kept for what it was made of."""
    signer = Signer(SQS)
    before = Signed(ALICE, "AmazonSQS.SendMessageBatch", b"{}", NOON)
    after = replace(before, **change)

    for one in (before, after, before, after):
        assert_as_botocore(signer, SQS, one)
    assert sent(signer, before) != sent(signer, after)


def test_what_is_kept_is_bounded() -> None:
    """A process lives through thousands of tokens."""
    signer = Signer(SQS)
    for number in range(1_000):
        token = f"token-{number}"
        one = Signed(Credentials(ALICE.access_key, ALICE.secret_key, token), "t", b"", NOON)
        _, headers = sent(signer, one)
        assert token == headers["x-amz-security-token"]

    assert len(signer._forms) <= 64


def test_the_second_that_ends_a_day_is_of_that_day() -> None:
    """Fractions are cut off, never rounded: AWS takes the day from the stamp."""
    midnight = NOON - NOON % DAY + DAY
    _, headers = sent(Signer(SQS), Signed(ALICE, "t", b"", midnight - 0.001))

    assert "20150830T235959Z" == headers["x-amz-date"]
    assert "/20150830/eu-west-1/sqs/aws4_request," in headers["authorization"]


def test_the_signing_key_is_that_of_the_documentation() -> None:
    """AWS's own example of how a key is derived."""
    signer = Signer(replace(SQS, region="us-east-1", service="iam"))
    signer.head(ALICE, "t", b"", NOON)

    assert "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9" == signer._key.hex()


@pytest.mark.parametrize(
    "credentials",
    [
        Credentials("AKID\r\nX-A: b", "secret"),
        Credentials("AKID", "secret", "token\n"),
        Credentials("AKID", "secret", "to ken"),
        Credentials("AKID", "secret", "t\u00f6ken"),
        Credentials("", "secret"),
    ],
    ids=["lines", "line end", "space", "umlaut", "empty"],
)
def test_what_would_end_a_header_is_not_sent(credentials: Credentials) -> None:
    """A token read from a file with its line end would cut the request in two."""
    signer = Signer(SQS)
    for _ in range(2):
        signer.head(Credentials("AKID", "secret", "token"), "t", b"", NOON)
        with pytest.raises(ValueError, match="no header takes") as caught:
            signer.head(credentials, "t", b"", NOON)
        assert (credentials.token or "AKID") not in str(caught.value)
