"""A development issuer: one key pair, its JWKS, and tokens that a tenant's client sends."""

from __future__ import annotations

import json
import os
import time
import uuid
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

ISSUER: Final = "urn:tenantry:local"
AUDIENCE: Final = "tenantry"
ALGORITHM: Final = "RS256"
TOKEN_SECONDS: Final = 3_600

_KEY_FILE: Final = "issuer-key.pem"
_JWKS_FILE: Final = "jwks.json"


class Issuer:
    """Signs tokens with the key in a run directory."""

    def __init__(self, key: rsa.RSAPrivateKey, kid: str, run_dir: Path) -> None:
        self._key = key
        self._kid = kid
        self.jwks = run_dir / _JWKS_FILE

    @classmethod
    def create(cls, run_dir: Path) -> Issuer:
        """Make a key pair, and write it and its JWKS."""
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
        kid = uuid.uuid4().hex
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(run_dir / _KEY_FILE, pem)
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        document = {"keys": [{**public, "kid": kid, "use": "sig", "alg": ALGORITHM}]}
        issuer = cls(key, kid, run_dir)
        issuer.jwks.write_text(json.dumps(document))
        return issuer

    @classmethod
    def load(cls, run_dir: Path) -> Issuer:
        """The issuer of a laptop that runs.

        Raises:
            OSError: There is none.
        """
        key = load_pem_private_key((run_dir / _KEY_FILE).read_bytes(), password=None)
        assert isinstance(key, rsa.RSAPrivateKey)  # noqa: S101 - written above
        document = json.loads((run_dir / _JWKS_FILE).read_text())
        return cls(key, document["keys"][0]["kid"], run_dir)

    def token(self, tenant_id: str, *, seconds: float = TOKEN_SECONDS) -> str:
        """A token that says it speaks for this tenant, good for so many seconds."""
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + int(seconds),
            "tenant_id": tenant_id,
        }
        return jwt.encode(claims, self._key, algorithm=ALGORITHM, headers={"kid": self._kid})

    def write_header_file(self, path: Path, tenant_id: str) -> None:
        """Write a tenant's token as the header line that `curl -H @file` takes."""
        write_private(path, f"Authorization: Bearer {self.token(tenant_id)}\n".encode())


def write_private(path: Path, content: bytes) -> None:
    """Write a file that its owner alone can read, from its first byte on."""
    path.unlink(missing_ok=True)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
