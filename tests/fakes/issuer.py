"""An issuer of tokens: key pairs, a JWKS that counts its fetches, and tokens of every kind."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

ISSUER = "https://issuer.example"
AUDIENCE = "tenantry"


@cache
def key_pair(name: str) -> RSAPrivateKey:
    """A key pair: made once for each name, because that takes a while."""
    del name
    return generate_private_key(65_537, 2_048)


def public_jwk(name: str) -> dict[str, Any]:
    """The public half as an entry of a JWKS; its id is the name."""
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key_pair(name).public_key(), as_dict=True)
    return jwk | {"kid": name, "alg": "RS256", "use": "sig"}


def private_jwk(name: str) -> dict[str, Any]:
    """The same with its private half, as nobody should publish it."""
    jwk: dict[str, Any] = RSAAlgorithm.to_jwk(key_pair(name), as_dict=True)
    return jwk | {"kid": name, "alg": "RS256", "use": "sig"}


def segment(value: Any) -> str:
    """One part of a compact token: bytes and text as they are, anything else as JSON."""
    raw = value if isinstance(value, bytes) else str(value).encode()
    if not isinstance(value, bytes | str):
        raw = json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims for `acme`, changed; None removes a claim."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 300, "tenant_id": "acme"}
    return {name: value for name, value in (good | changes).items() if value is not None}


def token(key: str = "key-1", headers: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token signed with the key of this name."""
    # A token of the collection would be old by the time that a long suite comes to its test.
    assert "PYTEST_CURRENT_TEST" in os.environ, "mint tokens within tests"
    return signed(json.dumps(claims(**changes)).encode(), key, headers)


def signed(payload: bytes, key: str = "key-1", headers: dict[str, Any] | None = None) -> str:
    """A token around these bytes, which need not be claims; a header of None is left out."""
    wanted = {"kid": key} | (headers or {})
    return jwt.api_jws.encode(
        payload,
        key_pair(key),
        algorithm="RS256",
        headers={name: value for name, value in wanted.items() if value is not None},
    )


def bearer(token: str | bytes, *more: tuple[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    """Headers with this token, as ASGI gives them."""
    raw = token if isinstance(token, bytes) else token.encode()
    return [(b"authorization", b"Bearer " + raw), *more]


class JwksServer:
    """Publishes keys. It can fail, answer nonsense, or hold its answers back."""

    def __init__(self) -> None:
        self.names = ["key-1"]
        self.fetches = 0
        self.status = 200
        self.document: bytes | None = None
        self.open = asyncio.Event()
        self.open.set()
        self.url = ""

    async def _answer(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await self.open.wait()
        document = {"keys": [public_jwk(name) for name in self.names]}
        body = self.document if self.document is not None else json.dumps(document).encode()
        return web.Response(body=body, status=self.status, content_type="application/json")


@asynccontextmanager
async def jwks_server() -> AsyncGenerator[JwksServer, None]:
    """A server on a free port of the loopback interface."""
    server = JwksServer()
    app = web.Application()
    app.router.add_get("/jwks.json", server._answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/jwks.json"
    try:
        yield server
    finally:
        server.open.set()
        await runner.cleanup()
