"""Writes tests/corpus/tokens: attacks on a verifier, signed by keys that are thrown away.

`python tests/corpus/make_tokens.py` makes every file anew, `jwks.json` with the public halves
among them: the one key that the issuer publishes, and one that looks like it. The tokens in
`kept` are good until the year 9999; those in `refused` have one thing wrong.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

TESTS = Path(__file__).resolve().parents[1]
if str(TESTS) not in sys.path:
    sys.path.insert(0, str(TESTS))

from fakes import issuer  # noqa: E402 - the path above is where it is

TOKENS = Path(__file__).resolve().parent / "tokens"
FOR_EVER = 253_402_300_799
HEADER = {"typ": "JWT", "alg": "RS256", "kid": "key-1"}
#: Bytes of a token at most: what is longer is refused unread.
LONGEST = 8_192


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims for ever, changed; None removes one."""
    return issuer.claims(**({"iat": 1_700_000_000, "exp": FOR_EVER} | changes))


def good(key: str = "key-1", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token with these claims, signed."""
    return issuer.signed(json.dumps(claims(**changes)).encode(), key, headers)


def unsigned(header: Any, signature: bytes = b"", payload: Any = None) -> str:
    """A token with any header, and a signature that is none."""
    body = claims() if payload is None else payload
    return f"{issuer.segment(header)}.{issuer.segment(body)}.{issuer.segment(signature)}"


def with_header(raw: bytes | str | dict[str, Any]) -> str:
    """A token whose header is these bytes, signed as it stands with the published key."""
    text = raw if isinstance(raw, bytes) else raw.encode() if isinstance(raw, str) else None
    head = json.dumps(raw).encode() if text is None else text
    signing_input = f"{issuer.segment(head)}.{issuer.segment(claims())}"
    algorithm = jwt.get_algorithm_by_name("RS256")
    return f"{signing_input}.{issuer.segment(algorithm.sign(signing_input.encode(), private()))}"


def with_hmac(secret: bytes, algorithm: str = "HS256", **header: Any) -> str:
    """A token whose signature is an HMAC with something that is no secret."""
    head = HEADER | {"alg": algorithm} | header
    signing_input = f"{issuer.segment(head)}.{issuer.segment(claims())}"
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
    signature = hmac.new(secret, signing_input.encode(), digest[algorithm]).digest()
    return f"{signing_input}.{issuer.segment(signature)}"


def with_algorithm(name: str) -> str:
    """A token signed with the right key by an algorithm that is not allowed."""
    return jwt.encode(claims(), private(), algorithm=name, headers={"kid": "key-1"})


def private() -> Any:
    """The issuer's key."""
    return issuer.key_pair("key-1")


def public(encoding: Encoding, form: PublicFormat) -> bytes:
    """Its public half, as somebody may take it for a secret."""
    return private().public_key().public_bytes(encoding, form)  # type: ignore[no-any-return]


def kept() -> Iterator[tuple[str, str]]:
    """Tokens that verify: what is refused below differs from these in one thing."""
    yield "plain", good()
    yield "audiences-two", good(aud=["other", issuer.AUDIENCE])
    yield "audiences-strange-beside-ours", good(aud=[issuer.AUDIENCE, ""])
    yield "claims-unknown-and-nested", good(roles=[[["a"]]], address={"": {"": None}})
    yield "header-members-unknown", good(headers={"x": {"y": [1]}, "cty": "a/b"})
    yield "header-kid-absent-with-one-key", good(headers={"kid": None})
    yield "header-brings-its-own-key", good(headers={"jwk": issuer.public_jwk("key-9")})
    yield "header-points-elsewhere", good(headers={"jku": "https://evil.example/jwks.json"})
    yield "issued-long-ago", good(iat=1)
    yield "without-time-of-issue", good(iat=None)


def no_signature() -> Iterator[tuple[str, str]]:
    """The signature is missing, or another token's."""
    head, body, signature = good().split(".")
    for name in ("none", "None", "NONE", "nOnE", "", "null"):
        shown = name or "empty"
        yield f"alg-{shown}-without-a-signature", unsigned(HEADER | {"alg": name})
    yield (
        "alg-none-with-a-signature",
        f"{issuer.segment(HEADER | {'alg': 'none'})}.{body}.{signature}",
    )
    yield "alg-none-without-the-last-dot", unsigned(HEADER | {"alg": "none"})[:-1]
    yield "alg-absent", unsigned({"kid": "key-1"})
    for name, value in {
        "null": None,
        "number": 256,
        "array": ["RS256"],
        "object": {"RS256": 1},
        "true": True,
        "with-a-space": "RS256 ",
        "in-lower-case": "rs256",
        "with-a-nul": "RS256\0",
        "unknown": "XX999",
        "of-four-thousand-characters": "R" * 4_000,
    }.items():
        yield f"alg-{name}", with_header(HEADER | {"alg": value})
    yield "alg-twice-none-first", with_header('{"alg":"none","alg":"none","kid":"key-1"}')
    yield "signature-empty", f"{head}.{body}."
    yield "signature-absent", f"{head}.{body}"
    yield "signature-zeros", f"{head}.{body}.{issuer.segment(bytes(256))}"
    yield "signature-cut", f"{head}.{body}.{signature[:-4]}"
    yield "signature-longer", f"{head}.{body}.{signature}AAAA"
    yield "signature-twice", f"{head}.{body}.{signature}.{signature}"
    yield (
        "signature-of-other-claims",
        f"{head}.{issuer.segment(claims(tenant_id='globex'))}.{signature}",
    )
    yield "signature-of-another-key", good("key-9", {"kid": "key-1"})
    yield "signature-of-another-header", f"{issuer.segment(HEADER | {'x': 1})}.{body}.{signature}"


def confusion() -> Iterator[tuple[str, str]]:
    """What is published, taken for a shared secret; other algorithms with the right key."""
    pem = public(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    yield "hmac-with-the-public-pem", with_hmac(pem)
    yield "hmac-with-the-public-pem-stripped", with_hmac(pem.strip())
    yield "hmac-384-with-the-public-pem", with_hmac(pem, "HS384")
    yield "hmac-512-with-the-public-pem", with_hmac(pem, "HS512")
    yield "hmac-with-the-pkcs1-pem", with_hmac(public(Encoding.PEM, PublicFormat.PKCS1))
    der = public(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    yield "hmac-with-the-public-der", with_hmac(der)
    yield "hmac-with-the-modulus", with_hmac(issuer.public_jwk("key-1")["n"].encode())
    yield "hmac-with-the-jwk", with_hmac(json.dumps(issuer.public_jwk("key-1")).encode())
    yield "hmac-with-nothing", with_hmac(b"")
    yield "hmac-with-nul", with_hmac(b"\0")
    yield "hmac-with-the-kid", with_hmac(b"key-1")
    yield "hmac-with-a-null-device-as-kid", with_hmac(b"", kid="../../../../dev/null")
    for name in ("RS384", "RS512", "PS256"):
        yield f"alg-{name.lower()}-with-the-right-key", with_algorithm(name)
    curve = jwt.encode(claims(), ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")
    yield "alg-es256-with-another-key", curve
    yield "alg-es256-of-zeros", unsigned(HEADER | {"alg": "ES256"}, bytes(64))
    yield "alg-eddsa-of-zeros", unsigned(HEADER | {"alg": "EdDSA"}, bytes(64))


def kids() -> Iterator[tuple[str, str]]:
    """Key ids that are paths, queries, addresses or no text at all; and keys that are brought."""
    for name, value in {
        "unknown": "key-9",
        "empty": "",
        "with-a-space": "key-1 ",
        "in-upper-case": "KEY-1",
        "with-a-nul": "key-1\0",
        "like-a-path": "../../../../dev/null",
        "like-a-file": "/etc/passwd",
        "like-a-query": "x' UNION SELECT 'secret' --",
        "like-an-address": "https://evil.example/k",
        "like-a-command": "key-1|id",
        "like-a-format": "{0.__class__}%s",
        "a-number": 1,
        "an-infinite-number": 1e400,
        "true": True,
        "an-array": ["key-1"],
        "an-object": {"kid": "key-1"},
        "a-surrogate": "\ud800",
        "of-five-thousand-characters": "k" * 5_000,
    }.items():
        yield f"kid-{name}", with_header(HEADER | {"kid": value})
    yield "kid-twice-the-last-unknown", with_header('{"alg":"RS256","kid":"key-1","kid":"key-9"}')
    stranger = issuer.public_jwk("key-9") | {"kid": "key-1"}
    yield "key-brought-as-jwk", good("key-9", {"kid": "key-1", "jwk": stranger})
    yield "key-brought-as-jwk-without-kid", good("key-9", {"kid": None, "jwk": stranger})
    yield "key-brought-as-jku", good("key-9", {"kid": "key-1", "jku": "https://evil.example/"})
    yield "key-brought-as-x5u", good("key-9", {"kid": "key-1", "x5u": "file:///dev/null"})
    yield "key-brought-as-x5c", good("key-9", {"kid": "key-1", "x5c": ["MIIB"]})


def headers() -> Iterator[tuple[str, str]]:
    """Headers that are no object of text, or ask for what is not understood."""
    opening = '{"alg":"RS256","kid":"key-1","x":'
    for name, raw in {
        "array": "[]",
        "array-of-the-members": '["RS256","key-1"]',
        "null": "null",
        "text": '"RS256"',
        "number": "1",
        "number-of-five-thousand-digits": "1" * 5_000,
        "nan": "NaN",
        "empty": "",
        "brace": "{",
        "two-objects": '{"alg":"RS256"}{"alg":"none"}',
        "single-quotes": "{'alg':'RS256'}",
        "nested-arrays": "[" * 2_000 + "]" * 2_000,
        "nested-objects": '{"a":' * 900 + "1" + "}" * 900,
        "nested-arrays-in-a-member": opening + "[" * 2_000 + "]" * 2_000 + "}",
        "nested-arrays-never-closed": opening + "[" * 4_000,
        "digits-in-a-member": opening + "9" * 5_000 + "}",
        "trailing-nul": '{"alg":"RS256","kid":"key-1"}\0',
    }.items():
        yield f"header-{name}", with_header(raw)
    plain = json.dumps(HEADER)
    yield "header-utf-8-invalid", with_header(b'{"alg":"RS256","kid":"\xff"}')
    yield "header-utf-16-cut", with_header(plain.encode("utf-16")[:-1])
    yield "header-compressed", unsigned(bytes([0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3]))
    yield "crit-unknown", good(headers={"crit": ["x"], "x": 1})
    yield "crit-a-text", good(headers={"crit": "b64"})
    yield "crit-empty", good(headers={"crit": []})
    yield "crit-of-arrays", good(headers={"crit": [["b64"]]})
    yield "crit-of-what-is-absent", good(headers={"crit": ["exp"]})
    yield "payload-not-encoded", unsigned(HEADER | {"b64": False, "crit": ["b64"]}, b"x", "")


def shapes() -> Iterator[tuple[str, str]]:
    """Text that is no compact token, or one that was touched on its way."""
    token = good()
    head, body, signature = token.split(".")
    yield "shape-empty", ""
    yield "shape-dot", "."
    yield "shape-two-dots", ".."
    yield "shape-dots-alone", "." * 4_000
    yield "shape-one-part", head
    yield "shape-four-parts", f"{token}.x"
    yield "shape-encrypted", f"{issuer.segment({'alg': 'dir', 'enc': 'A128GCM'})}..AA.AA.AA"
    flat = {"protected": head, "payload": body, "signature": signature}
    yield "shape-json", json.dumps(flat)
    yield "shape-json-with-several-signatures", json.dumps({"payload": body, "signatures": [flat]})
    yield "shape-in-quotes", f'"{token}"'
    yield "shape-bearer-twice", f"Bearer {token}"
    yield "shape-two-tokens", f"{token},{token}"
    yield "shape-percent-encoded", token.replace(".", "%2E")
    yield "shape-parts-in-another-order", f"{body}.{head}.{signature}"
    yield "shape-header-empty", f".{body}.{signature}"
    yield "shape-payload-empty", f"{head}..{signature}"
    yield "shape-not-ascii", "é.é.é"
    yield "shape-nul", f"{token[:20]}\0{token[20:]}"
    yield "shape-equals-signs", "=.=.="
    yield "shape-not-base64", "!!!.???.***"
    yield "shape-one-character-parts", "a.b.c"
    yield "shape-too-long", token + "A" * LONGEST


def wrong_claims() -> Iterator[tuple[str, str]]:
    """Signed as it should be, by an issuer that says something else."""
    yield "time-expired", good(exp=1_600_000_000)
    yield "time-expired-at-zero", good(exp=0)
    yield "time-expired-before-all", good(exp=-1)
    yield "time-of-no-end", good(exp=None)
    yield "time-not-yet", good(nbf=FOR_EVER)
    yield "time-of-issue-in-the-future", good(iat=FOR_EVER)
    for name, value in {
        "text": "soon",
        "array": [FOR_EVER],
        "object": {"exp": FOR_EVER},
        "infinite": float("inf"),
        "not-a-number": float("nan"),
        "empty": "",
        "digits": "9" * 5_000,
    }.items():
        yield f"time-of-end-{name}", good(exp=value)
        yield f"time-of-start-{name}", good(nbf=value)
    for name, value in {
        "another": "other",
        "empty": "",
        "in-upper-case": "TENANTRY",
        "with-a-slash": "tenantry/",
        "a-number": 1,
        "an-object": {issuer.AUDIENCE: 1},
        "list-empty": [],
        "list-of-numbers": [1],
        "list-nested": [[issuer.AUDIENCE]],
        "missing": None,
    }.items():
        yield f"audience-{name}", good(aud=value)
    for name, value in {
        "another": "https://evil.example",
        "with-a-slash": issuer.ISSUER + "/",
        "missing": None,
        "a-list": [issuer.ISSUER],
        "an-object": {},
        "a-number": 1,
        "a-prefix": issuer.ISSUER[:-1],
    }.items():
        yield f"issuer-{name}", good(iss=value)
    for name, value in {
        "missing": None,
        "empty": "",
        "a-number": 1,
        "true": True,
        "a-list": ["acme"],
        "an-object": {"acme": 1},
        "in-upper-case": "ACME",
        "of-lookalikes": "\u0430cme",
        "with-a-newline": "acme\n",
        "with-a-nul": "acme\0",
        "with-a-shard": "acme#1",
        "like-a-path": "../acme",
        "a-wildcard": "*",
        "reserved": "pool-1",
        "a-surrogate": "\ud800",
        "of-two-thousand-characters": "a" * 2_000,
    }.items():
        yield f"tenant-{name}", good(tenant_id=value)
    for name, raw in {
        "array": b"[]",
        "null": b"null",
        "brace": b"{",
        "empty": b"",
        "bytes": b"\xff\xfe",
        "nested": b"[" * 2_000 + b"]" * 2_000,
        "nested-in-a-claim": b'{"exp":' + b"[" * 2_000,
        "digits": b'{"exp":' + b"9" * 5_000 + b"}",
    }.items():
        yield f"claims-{name}", issuer.signed(raw)


def main() -> None:
    """Write the files anew."""
    shutil.rmtree(TOKENS, ignore_errors=True)
    parts = (no_signature, confusion, kids, headers, shapes, wrong_claims)
    tokens = {
        "kept": dict(kept()),
        "refused": {name: token for part in parts for name, token in part()},
    }
    for verdict, named in tokens.items():
        (TOKENS / verdict).mkdir(parents=True)
        for name, token in named.items():
            (TOKENS / verdict / f"{name}.jwt").write_bytes(token.encode("utf-8", "surrogatepass"))
    document = {"keys": [issuer.public_jwk("key-1")]}
    (TOKENS / "jwks.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
