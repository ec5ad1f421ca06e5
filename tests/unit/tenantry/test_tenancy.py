"""The door: which requests speak for which tenant, and what keys and floods cost."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fakes.clock import Clock
from fakes.issuer import (
    AUDIENCE,
    ISSUER,
    JwksServer,
    bearer,
    claims,
    jwks_server,
    key_pair,
    private_jwk,
    public_jwk,
    segment,
    signed,
    token,
)
from fakes.waiting import until
from tenantry import jwks, tenancy
from tenantry.errors import (
    IdentityUnavailableError,
    InvalidRequestError,
    TenantMismatchError,
    UnauthenticatedError,
)
from tenantry.jwks import KeySet
from tenantry.tenancy import HeaderIdentity, TokenIdentity


@pytest.fixture
def clock() -> Clock:
    """What the key set takes for the time."""
    return Clock()


@pytest.fixture
async def server() -> AsyncGenerator[JwksServer, None]:
    """An issuer's JWKS over HTTP."""
    async with jwks_server() as server:
        yield server


class CountingKeys(KeySet):
    """Counts how often a key is asked for: once for each verification."""

    asked = 0

    async def get(self, kid: str | None) -> Any:
        self.asked += 1
        return await super().get(kid)


@pytest.fixture
async def keys(server: JwksServer, clock: Clock) -> AsyncGenerator[CountingKeys, None]:
    """The keys of that server."""
    keys = CountingKeys(server.url, clock=clock)
    yield keys
    await keys.close()


def an_identity(keys: KeySet, **changes: Any) -> TokenIdentity:
    """A verifier as services make it."""
    values: dict[str, Any] = {
        "issuer": ISSUER,
        "audience": AUDIENCE,
        "algorithms": ("RS256",),
        "claim": "tenant_id",
    }
    return TokenIdentity(keys, **(values | changes))


@pytest.fixture
def identity(keys: CountingKeys) -> TokenIdentity:
    """The verifier under test."""
    return an_identity(keys)


def unsigned(header: Any, payload: Any = None, signature: bytes = b"") -> str:
    """A token with this header and nothing to trust."""
    body = claims() if payload is None else payload
    return f"{segment(header)}.{segment(body)}.{segment(signature)}"


def hmac_with_the_public_key() -> str:
    """The classic confusion: the published key taken for a shared secret."""
    public = key_pair("key-1").public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signing_input = f"{segment({'alg': 'HS256', 'kid': 'key-1'})}.{segment(claims())}"
    signature = hmac.new(pem, signing_input.encode(), hashlib.sha256).digest()
    return f"{signing_input}.{segment(signature)}"


def with_a_bad_signature() -> str:
    """A good token with one bit of its signature changed."""
    head, _, signature = token().rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[10] ^= 1
    return f"{head}.{segment(bytes(raw))}"


def with_another_payload() -> str:
    """A good token's signature below other claims."""
    head, _, signature = token().split(".")
    return f"{head}.{segment(claims(tenant_id='globex'))}.{signature}"


async def test_a_good_token_names_its_tenant(identity: TokenIdentity) -> None:
    """The tenant is the claim of a token that verifies."""
    assert await identity.tenant(bearer(token())) == "acme"


async def test_the_scheme_is_case_insensitive(identity: TokenIdentity) -> None:
    """`bearer` is `Bearer` (RFC 9110)."""
    headers = [(b"authorization", b"bEARER " + token().encode())]

    assert await identity.tenant(headers) == "acme"


async def test_the_claims_name_is_configurable(keys: CountingKeys) -> None:
    """Another issuer's claim can carry the tenant."""
    identity = an_identity(keys, claim="custom:org")

    named: dict[str, Any] = {"custom:org": "globex"}

    assert await identity.tenant(bearer(token("key-1", None, **named))) == "globex"


async def test_one_of_several_audiences_is_enough(identity: TokenIdentity) -> None:
    """`aud` may be a list."""
    assert await identity.tenant(bearer(token(aud=["other", AUDIENCE]))) == "acme"


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="none"),
        pytest.param([(b"tenantid", b"acme")], id="header-alone"),
        pytest.param([(b"authorization", b"")], id="empty"),
        pytest.param([(b"authorization", b"Bearer")], id="scheme-alone"),
        pytest.param([(b"authorization", b"Bearer ")], id="no-token"),
        pytest.param([(b"authorization", b"Basic YWNtZTp4")], id="basic"),
        pytest.param([(b"authorization", b"Bearer " + b"a" * 8_193)], id="huge"),
        pytest.param([(b"cookie", b"authorization=Bearer x")], id="cookie"),
    ],
)
async def test_a_request_without_a_token_is_unauthenticated(
    identity: TokenIdentity, server: JwksServer, headers: list[tuple[bytes, bytes]]
) -> None:
    """Nothing to verify: refused, and no key is fetched for it."""
    with pytest.raises(UnauthenticatedError):
        await identity.tenant(headers)

    assert server.fetches == 0


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda: token(exp=int(time.time()) - 60), "expired", id="expired"),
        pytest.param(lambda: token(exp=None), "exp", id="never-expires"),
        pytest.param(lambda: token(nbf=int(time.time()) + 60), "not yet", id="not-yet-valid"),
        pytest.param(lambda: token(iat=int(time.time()) + 60), "not yet", id="from-the-future"),
        pytest.param(lambda: token(iss="https://evil.example"), "issuer", id="wrong-issuer"),
        pytest.param(lambda: token(iss=None), "iss", id="no-issuer"),
        pytest.param(lambda: token(iss=ISSUER + "/"), "issuer", id="nearly-the-issuer"),
        pytest.param(lambda: token(aud="other"), "udience", id="wrong-audience"),
        pytest.param(lambda: token(aud=None), "aud", id="no-audience"),
        pytest.param(lambda: token(aud=[]), "aud", id="empty-audience"),
        pytest.param(with_a_bad_signature, "ignature", id="bad-signature"),
        pytest.param(with_another_payload, "ignature", id="another-payload"),
        pytest.param(lambda: token().rpartition(".")[0] + ".", "ignature", id="no-signature"),
        pytest.param(lambda: unsigned({"alg": "none", "kid": "key-1"}), "alg", id="alg-none"),
        pytest.param(lambda: unsigned({"alg": "nOnE", "kid": "key-1"}), "alg", id="alg-nOnE"),
        pytest.param(lambda: unsigned({"kid": "key-1"}), "lgorithm", id="no-alg"),
        pytest.param(hmac_with_the_public_key, "alg", id="hmac-with-the-public-key"),
        pytest.param(lambda: token("key-9"), "does not publish", id="unknown-kid"),
        pytest.param(
            lambda: token("key-9", {"kid": "key-1"}), "ignature", id="another-keys-signature"
        ),
        pytest.param(
            lambda: token("key-9", {"kid": "key-1", "jwk": public_jwk("key-9")}),
            "ignature",
            id="brings-its-own-key",
        ),
        pytest.param(lambda: token(headers={"crit": ["x"], "x": 1}), "crit", id="unknown-crit"),
        pytest.param(lambda: token(tenant_id=None), "no tenant", id="no-tenant"),
        pytest.param(lambda: token(tenant_id="pool-1"), "no tenant", id="reserved-tenant"),
        pytest.param(lambda: token(tenant_id="acme\n"), "no tenant", id="tenant-with-newline"),
        pytest.param(lambda: token(tenant_id=["acme"]), "no tenant", id="tenants"),
    ],
)
async def test_a_token_that_does_not_verify_is_unauthenticated(
    identity: TokenIdentity, make: Any, reason: str
) -> None:
    """Each way to be wrong is refused, says which, and quotes nothing of the token."""
    bad = make()
    with pytest.raises(UnauthenticatedError, match=reason) as caught:
        await identity.tenant(bearer(bad))

    assert not any(part and part in caught.value.detail for part in bad.split("."))


async def test_the_good_token_beside_the_bad_ones_still_passes(identity: TokenIdentity) -> None:
    """The refusals above are not of everything."""
    with pytest.raises(UnauthenticatedError):
        await identity.tenant(bearer(with_a_bad_signature()))

    assert await identity.tenant(bearer(token())) == "acme"


@pytest.mark.parametrize(("exp", "ok"), [(-3, True), (-30, False)])
async def test_clocks_may_differ_by_seconds(identity: TokenIdentity, exp: int, ok: bool) -> None:
    """A token that ended 3 s ago passes, one that ended 30 s ago does not."""
    headers = bearer(token(exp=int(time.time()) + exp))
    if ok:
        assert await identity.tenant(headers) == "acme"
    else:
        with pytest.raises(UnauthenticatedError):
            await identity.tenant(headers)


DEEP = "[" * 5_000 + "]" * 5_000


@pytest.mark.parametrize(
    "raw",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "a.b.c.d.e",
        "=.=.=",
        "\x00.\x00.\x00",
        "é.é.é",
        "🎉",
        segment({"alg": "RS256"}),
        unsigned("[1]"),
        unsigned("null"),
        unsigned('"x"'),
        unsigned("NaN"),
        unsigned("{"),
        unsigned(b"\xff\xfe"),
        unsigned("1" * 5_000),
        unsigned("[" * 2_900 + "]" * 2_900),
        unsigned('{"alg":"RS256","kid":"key-1","x":' + "[" * 2_500 + "]" * 2_500 + "}"),
        unsigned({"alg": "RS256", "kid": ["key-1"]}),
        unsigned({"alg": "RS256", "kid": {"a": 1}}),
        unsigned({"alg": "RS256", "kid": 1}),
        unsigned({"alg": "RS256", "kid": 1e400}),
        unsigned({"alg": "RS256", "kid": None}),
        unsigned({"alg": "RS256", "kid": True}),
        unsigned({"alg": "RS256", "kid": "\ud800"}),
        unsigned({"alg": "RS256", "kid": "k" * 5_000}),
        unsigned({"alg": ["RS256"], "kid": "key-1"}),
        unsigned({"alg": {"RS256": 1}, "kid": "key-1"}),
        unsigned({"alg": None, "kid": "key-1"}),
        unsigned({"alg": 256, "kid": "key-1"}),
        unsigned({"alg": "RS256", "kid": "key-1", "crit": "b64"}),
        unsigned({"alg": "RS256", "kid": "key-1", "crit": [["b64"]]}),
        unsigned({"alg": "RS256", "kid": "key-1", "b64": False}),
        unsigned({"alg": "RS256", "kid": "key-1", "b64": False, "crit": ["b64"]}, ""),
        unsigned({"alg": "RS256", "kid": "key-1", "zip": "DEF"}),
        unsigned({"alg": "RS256", "kid": "key-1"}, signature=b"x" * 2_000),
        unsigned({"alg": "RS256", "kid": "key-1"}, signature=b"x" * 256),
        unsigned({"alg": "RS256", "kid": "key-1"}, "[" * 2_000 + "]" * 2_000),
        b"\xff" * 100,
        b"a." * 4_000,
        b"." * 8_192,
    ],
)
async def test_weird_tokens_are_only_unauthenticated(
    identity: TokenIdentity, raw: str | bytes
) -> None:
    """Whatever stands where a token should is a 401, never another error."""
    headers = bearer(raw if isinstance(raw, bytes) else raw.encode("utf-8", "replace"))
    with pytest.raises(UnauthenticatedError):
        await identity.tenant(headers)


@pytest.mark.parametrize(
    "payload",
    [
        b"[]",
        b"null",
        b"{",
        b"\xff",
        DEEP.encode(),
        b'{"exp":' + DEEP.encode() + b"}",
        b'{"exp":' + b"9" * 5_000 + b"}",
    ],
)
async def test_weird_claims_are_only_unauthenticated(
    identity: TokenIdentity, payload: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even signed: what is no object of claims is a 401."""
    monkeypatch.setattr(tenancy, "MAX_TOKEN_BYTES", 2**20)
    with pytest.raises(UnauthenticatedError):
        await identity.tenant(bearer(signed(payload)))


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=6),
        st.sampled_from([10**400, -(10**400), "9" * 400, "9" * 5_000, 2**63, "1e5"]),
        st.sampled_from([ISSUER, AUDIENCE, "acme"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=4,
)


@pytest.fixture(scope="module")
def ready_identity(tmp_path_factory: pytest.TempPathFactory) -> TokenIdentity:
    """A verifier that has its keys and, as its clock stands still, fetches no others."""
    path: Path = tmp_path_factory.mktemp("keys") / "jwks.json"
    path.write_text(json.dumps({"keys": [public_jwk("key-1"), public_jwk("key-2")]}))
    keys = KeySet(str(path), clock=Clock())
    asyncio.run(keys.ensure_usable())
    return an_identity(keys)


def tenant_or_none(identity: TokenIdentity, text: str) -> str | None:
    """The verdict; any error but a 401 goes through."""
    try:
        return asyncio.run(identity.tenant(bearer(text.encode("utf-8", "replace"))))
    except UnauthenticatedError:
        return None


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(["exp", "nbf", "iat", "iss", "aud", "sub", "jti", "tenant_id"]), JSON_VALUES
)
@example("exp", 10**400)
@example("exp", "9" * 400)
@example("exp", float("inf"))
@example("exp", [])
@example("exp", True)
@example("iat", {})
@example("nbf", float("nan"))
@example("aud", [[]])
@example("iss", ["x"])
@example("sub", 5)
def test_any_signed_claim_is_a_tenant_or_a_401(
    ready_identity: TokenIdentity, name: str, value: Any
) -> None:
    """A claim of any JSON value, correctly signed, never breaks the service."""
    text = signed(json.dumps(claims() | {name: value}).encode())

    assert tenant_or_none(ready_identity, text) in [
        None,
        value if name == "tenant_id" else "acme",
    ]


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "x"]), JSON_VALUES))
def test_any_unsigned_header_is_a_401(
    ready_identity: TokenIdentity, header: dict[str, Any]
) -> None:
    """A header of any JSON values above no signature is refused, and never breaks anything."""
    text = unsigned({"alg": "RS256", "kid": "key-1"} | header)

    assert tenant_or_none(ready_identity, text) is None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet="aA0-_.=", max_size=60).map(str.encode))
def test_any_bytes_are_a_401(ready_identity: TokenIdentity, raw: bytes) -> None:
    """Random bytes in the place of a token are refused, and never break anything."""
    with pytest.raises(UnauthenticatedError):
        asyncio.run(ready_identity.tenant(bearer(raw)))


async def test_another_tenants_header_is_a_mismatch(identity: TokenIdentity) -> None:
    """The header must name the token's tenant; it can never choose another."""
    with pytest.raises(TenantMismatchError):
        await identity.tenant(bearer(token(), (b"tenantid", b"globex")))


@pytest.mark.parametrize("name", [b"ACME", b"acme ", b"", b"\xff"])
async def test_a_header_that_differs_at_all_is_a_mismatch(
    identity: TokenIdentity, name: bytes
) -> None:
    """Compared byte for byte."""
    with pytest.raises(TenantMismatchError):
        await identity.tenant(bearer(token(), (b"tenantid", name)))


async def test_the_same_header_is_fine(identity: TokenIdentity) -> None:
    """Clients of the header's days go on working, with a token beside it."""
    assert await identity.tenant(bearer(token(), (b"tenantid", b"acme"))) == "acme"


@pytest.mark.parametrize("header", [b"authorization", b"tenantid"])
async def test_a_header_that_is_sent_twice_is_refused(
    identity: TokenIdentity, header: bytes
) -> None:
    """Two parties could read two different ones: neither is believed, equal or not."""
    good = bearer(token(), (b"tenantid", b"acme"))
    with pytest.raises(InvalidRequestError, match="twice"):
        await identity.tenant([*good, *[pair for pair in good if pair[0] == header]])


async def test_no_identity_is_no_tenant_where_none_is_needed(identity: TokenIdentity) -> None:
    """A request that claims nothing has no tenant, one that claims it wrongly is refused."""
    assert await identity.tenant_if_any([]) is None
    assert await identity.tenant_if_any(bearer(token())) == "acme"
    with pytest.raises(UnauthenticatedError):
        await identity.tenant_if_any(bearer("x"))


async def test_a_verified_token_is_not_verified_again(
    identity: TokenIdentity, keys: CountingKeys
) -> None:
    """The second request with the same token costs a look into the cache."""
    headers = bearer(token())
    for _ in range(3):
        assert await identity.tenant(headers) == "acme"

    assert keys.asked == 1


@pytest.mark.parametrize(("lifetime", "cached"), [(3_600, 60), (20, 25)])
async def test_a_verified_token_is_believed_for_a_minute_or_until_it_ends(
    identity: TokenIdentity,
    keys: CountingKeys,
    monkeypatch: pytest.MonkeyPatch,
    lifetime: int,
    cached: int,
) -> None:
    """Whichever comes first, the leeway of 5 s included."""
    now = Clock(int(time.time()))
    monkeypatch.setattr(tenancy, "time", SimpleNamespace(time=now))
    headers = bearer(token(exp=int(now()) + lifetime))
    await identity.tenant(headers)

    now.advance(cached - 1)
    await identity.tenant(headers)
    before = keys.asked
    now.advance(1)
    await identity.tenant(headers)

    assert (1, 2) == (before, keys.asked)


async def test_the_cache_of_tokens_is_bounded(
    identity: TokenIdentity, keys: CountingKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest goes; it is verified again, not refused."""
    monkeypatch.setattr(tenancy, "TOKEN_CACHE_ENTRIES", 2)
    first, *others = [token(jti=str(n)) for n in range(3)]
    for each in (first, *others, first):
        assert await identity.tenant(bearer(each)) == "acme"

    assert keys.asked == 4
    assert len(identity._verified) == 2


async def test_a_rotated_key_is_accepted_after_one_fetch(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """A token of a key that is new to us makes one fetch, and passes."""
    await identity.tenant(bearer(token()))
    server.names = ["key-2", "key-1"]
    clock.advance(10)

    assert await identity.tenant(bearer(token("key-2"))) == "acme"
    assert await identity.tenant(bearer(token("key-1"))) == "acme"
    assert server.fetches == 2


async def test_requests_at_the_same_time_share_one_fetch(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """At the start, and when a key is new: fifty requests, one fetch."""
    found = await asyncio.gather(*(identity.tenant(bearer(token(jti=str(n)))) for n in range(50)))
    first = server.fetches
    server.names = ["key-2"]
    clock.advance(10)
    more = await asyncio.gather(
        *(identity.tenant(bearer(token("key-2", jti=str(n)))) for n in range(50))
    )

    assert ["acme"] * 100 == found + more
    assert (1, 2) == (first, server.fetches)


async def test_a_flood_of_bad_tokens_fetches_once_in_ten_seconds(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """A thousand unknown keys in a minute make six fetches; good tokens pass meanwhile."""
    await identity.tenant(bearer(token()))
    good = bearer(token())
    for n in range(1_000):
        clock.advance(0.06)
        with pytest.raises(UnauthenticatedError):
            await identity.tenant(bearer(unsigned({"alg": "RS256", "kid": f"x{n}"})))
        assert await identity.tenant(good) == "acme"

    assert 1 + 5 <= server.fetches <= 1 + 6


async def test_a_flood_while_the_issuer_is_down_fetches_once_in_ten_seconds(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """A failed fetch counts: the flood is not turned against an issuer that suffers."""
    await identity.tenant(bearer(token()))
    server.status = 500
    clock.advance(10)
    for n in range(100):
        with pytest.raises(UnauthenticatedError):
            await identity.tenant(bearer(unsigned({"alg": "RS256", "kid": f"x{n}"})))

    assert server.fetches == 2


async def test_a_client_that_leaves_ends_no_fetch(
    identity: TokenIdentity, server: JwksServer
) -> None:
    """The fetch goes on for those who wait with it."""
    server.open.clear()
    leaving = asyncio.create_task(identity.tenant(bearer(token())))
    staying = asyncio.create_task(identity.tenant(bearer(token(jti="2"))))
    await until(lambda: server.fetches == 1)
    leaving.cancel()
    await asyncio.wait([leaving])
    server.open.set()

    assert await staying == "acme"
    assert leaving.cancelled()
    assert server.fetches == 1


#: Good keys, and more bytes than are read: nobody publishes a megabyte of them.
TOO_LARGE = json.dumps({"keys": [public_jwk("key-1")]}).encode() + b" " * 1_100_000


async def test_keys_are_renewed_by_age_and_nobody_waits(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """After 300 s one fetch runs behind the requests that need it not."""
    good = bearer(token())
    await identity.tenant(good)
    clock.advance(299)
    await identity.tenant(good)
    before = server.fetches
    server.open.clear()
    clock.advance(1)

    assert await identity.tenant(good) == "acme"
    await until(lambda: server.fetches == 2)
    assert before == 1


async def test_a_removed_key_drops_the_tokens_it_verified(
    identity: TokenIdentity, keys: CountingKeys, server: JwksServer, clock: Clock
) -> None:
    """Removing a key from the JWKS ends its tokens, cached or not."""
    old = bearer(token())
    await identity.tenant(old)
    server.names = ["key-2"]
    clock.advance(300)
    await identity.tenant(old)
    await until(lambda: keys._fetched_at == clock())

    with pytest.raises(UnauthenticatedError, match="does not publish"):
        await identity.tenant(old)


async def test_another_key_of_the_same_id_drops_the_tokens(
    identity: TokenIdentity, keys: CountingKeys, server: JwksServer, clock: Clock
) -> None:
    """An id that is used again does not vouch for what the old key signed."""
    old = bearer(token())
    await identity.tenant(old)
    server.document = json.dumps({"keys": [public_jwk("key-2") | {"kid": "key-1"}]}).encode()
    clock.advance(300)
    await identity.tenant(old)
    await until(lambda: keys._fetched_at == clock())

    with pytest.raises(UnauthenticatedError, match="ignature"):
        await identity.tenant(old)


async def test_a_key_that_stays_keeps_its_tokens(
    identity: TokenIdentity, keys: CountingKeys, server: JwksServer, clock: Clock
) -> None:
    """A renewal that brings the same key makes no token be verified again."""
    good = bearer(token())
    await identity.tenant(good)
    server.names = ["key-1", "key-2"]
    clock.advance(300)
    await identity.tenant(good)
    await until(lambda: keys._fetched_at == clock())
    await identity.tenant(good)

    assert keys.asked == 1


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param({"status": 500}, id="status-500"),
        pytest.param({"status": 404}, id="status-404"),
        pytest.param({"document": b""}, id="empty"),
        pytest.param({"document": b"<html>"}, id="not-json"),
        pytest.param({"document": b"[]"}, id="no-object"),
        pytest.param({"document": b'{"keys":{}}'}, id="no-list"),
        pytest.param({"document": b'{"keys":[]}'}, id="no-keys"),
        pytest.param({"document": b'{"keys":[1,null,{}]}'}, id="odd-keys"),
        pytest.param({"document": b'{"keys":[{"kty":"oct","k":"AA","kid":"key-1"}]}'}, id="oct"),
        pytest.param({"document": b"[" * 100_000}, id="deep"),
        pytest.param({"document": TOO_LARGE}, id="too-large"),
    ],
)
async def test_old_keys_serve_for_an_hour_while_fetching_fails(
    identity: TokenIdentity,
    keys: CountingKeys,
    server: JwksServer,
    clock: Clock,
    broken: dict[str, Any],
) -> None:
    """Until then tokens pass; after it nobody does; when the issuer is back, all do."""
    await identity.tenant(bearer(token()))
    for name, value in broken.items():
        setattr(server, name, value)
    for second in (300, 1_000, 3_599):
        clock.now = 1_000.0 + second
        assert await identity.tenant(bearer(token(jti=str(second)))) == "acme"
        await until(lambda: keys._fetch is None)
    fetches = server.fetches
    clock.now = 1_000.0 + 3_609

    with pytest.raises(IdentityUnavailableError):
        await identity.tenant(bearer(token()))
    server.status, server.document = 200, None
    clock.advance(10)

    assert await identity.tenant(bearer(token())) == "acme"
    assert (4, 6) == (fetches, server.fetches)


async def test_nobody_passes_before_the_first_keys(
    identity: TokenIdentity, server: JwksServer, clock: Clock
) -> None:
    """Without keys it is our fault, not the token's: 503, and one fetch in 10 s."""
    server.status = 503
    for _ in range(20):
        with pytest.raises(IdentityUnavailableError) as caught:
            await identity.tenant(bearer(token()))
    failed = server.fetches
    server.status = 200
    clock.advance(10)

    assert await identity.tenant(bearer(token())) == "acme"
    assert caught.value.retry_after == 10
    assert (1, 2) == (failed, server.fetches)


async def test_an_issuer_that_hangs_is_given_up(
    identity: TokenIdentity, server: JwksServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fetch has a time-out."""
    monkeypatch.setattr(jwks, "JWKS_TIMEOUT_SECONDS", 0.05)
    server.open.clear()

    with pytest.raises(IdentityUnavailableError):
        await identity.tenant(bearer(token()))


async def test_closing_ends_a_fetch_in_flight(keys: CountingKeys, server: JwksServer) -> None:
    """Nothing is left running, and closing twice is fine."""
    server.open.clear()
    waiting = asyncio.create_task(keys.get("key-1"))
    await until(lambda: server.fetches == 1)
    await keys.close()
    await keys.close()

    assert await waiting is None


async def test_keys_come_from_a_file(tmp_path: Path, clock: Clock) -> None:
    """A mounted file is read as an address is; a new one is read again."""
    path = tmp_path / "jwks.json"
    identity = an_identity(KeySet(str(path), clock=clock))
    with pytest.raises(IdentityUnavailableError):
        await identity.tenant(bearer(token()))
    path.write_text(json.dumps({"keys": [public_jwk("key-1")]}))
    clock.advance(10)

    assert await identity.tenant(bearer(token())) == "acme"


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"kty": "RSA", "n": "!", "e": "AQAB", "kid": "odd"}, id="bad-number"),
        pytest.param({"kty": "RSA", "n": 5, "e": "AQAB", "kid": "odd"}, id="no-text"),
        pytest.param({"kty": "EC", "crv": "P-0", "x": "A", "y": "A"}, id="unknown-curve"),
        pytest.param({"kty": ["RSA"]}, id="kty-a-list"),
        pytest.param(public_jwk("key-2") | {"kid": ["odd"]}, id="kid-a-list"),
        pytest.param(public_jwk("key-2") | {"alg": ["RS256"]}, id="alg-a-list"),
        pytest.param(public_jwk("key-2") | {"alg": "none"}, id="alg-none"),
        pytest.param(public_jwk("key-2") | {"alg": "HS256"}, id="alg-hmac"),
        pytest.param(public_jwk("key-2") | {"use": "enc"}, id="for-encryption"),
        pytest.param(private_jwk("key-2"), id="with-its-private-half"),
        pytest.param("key", id="no-object"),
    ],
)
async def test_an_odd_key_costs_no_other_key(
    identity: TokenIdentity, server: JwksServer, odd: Any
) -> None:
    """Keys that are not understood, or not for us, are left out; the others serve."""
    server.document = json.dumps({"keys": [odd, public_jwk("key-1")]}).encode()

    assert await identity.tenant(bearer(token())) == "acme"
    with pytest.raises(UnauthenticatedError):
        await identity.tenant(bearer(token("key-2")))


async def test_a_single_key_needs_no_id(identity: TokenIdentity, server: JwksServer) -> None:
    """A token without `kid` is verified with the only key there is."""
    anonymous = token(headers={"kid": None})
    server.names = ["key-1"]

    assert await identity.tenant(bearer(anonymous)) == "acme"


async def test_among_several_keys_a_token_says_which(
    identity: TokenIdentity, server: JwksServer
) -> None:
    """A token without `kid` is not tried against every key."""
    server.names = ["key-1", "key-2"]

    with pytest.raises(UnauthenticatedError, match="does not publish"):
        await identity.tenant(bearer(token(headers={"kid": None})))


async def test_the_header_alone_is_believed_where_that_was_chosen() -> None:
    """Behind a mesh the header is the tenant: it must be one, and be there once."""
    identity = HeaderIdentity()

    assert await identity.tenant([(b"tenantid", b"acme")]) == "acme"
    assert await identity.tenant_if_any([(b"tenantid", b"acme")]) == "acme"
    assert await identity.tenant_if_any([]) is None
    with pytest.raises(UnauthenticatedError):
        await identity.tenant([])
    with pytest.raises(InvalidRequestError, match="no tenant"):
        await identity.tenant([(b"tenantid", b"pool-1")])
    with pytest.raises(InvalidRequestError, match="twice"):
        await identity.tenant([(b"tenantid", b"acme"), (b"tenantid", b"acme")])
    with pytest.raises(InvalidRequestError, match="no tenant"):
        await identity.tenant([(b"tenantid", b"\xff\xfe\xfd")])


async def test_a_mesh_may_leave_other_credentials_in_place() -> None:
    """Where the header is believed, `Authorization` is the mesh's business."""
    headers = [(b"authorization", b"Basic YWNtZTp4"), (b"tenantid", b"acme")]

    assert await HeaderIdentity().tenant(headers) == "acme"
