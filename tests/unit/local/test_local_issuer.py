from __future__ import annotations

from pathlib import Path

import pytest

from tenantry.errors import UnauthenticatedError
from tenantry.jwks import KeySet
from tenantry.tenancy import TokenIdentity
from tenantry_local.issuer import AUDIENCE, ISSUER, Issuer


def identity(issuer: Issuer) -> TokenIdentity:
    return TokenIdentity(
        KeySet(str(issuer.jwks)),
        issuer=ISSUER,
        audience=AUDIENCE,
        algorithms=("RS256",),
        claim="tenant_id",
    )


async def verify(issuer: Issuer, token: str) -> str:
    return await identity(issuer).tenant([(b"authorization", b"Bearer " + token.encode())])


async def test_its_tokens_are_believed_by_the_services(tmp_path: Path) -> None:
    """The library verifies a token against the JWKS in the run directory."""
    issuer = Issuer.create(tmp_path)
    assert await verify(issuer, issuer.token("acme")) == "acme"
    assert await verify(issuer, Issuer.load(tmp_path).token("globex")) == "globex"


async def test_tokens_expire(tmp_path: Path) -> None:
    """A token that was good for no time is good for none."""
    issuer = Issuer.create(tmp_path)
    with pytest.raises(UnauthenticatedError, match="expired"):
        await verify(issuer, issuer.token("acme", seconds=-60))


async def test_another_issuers_tokens_are_not_believed(tmp_path: Path) -> None:
    """Two laptops never share a key."""
    (tmp_path / "other").mkdir()
    issuer, other = Issuer.create(tmp_path), Issuer.create(tmp_path / "other")
    with pytest.raises(UnauthenticatedError, match="does not publish"):
        await verify(issuer, other.token("acme"))


def test_keys_and_tokens_are_their_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the machine can read them, and a token's file is a header line."""
    issuer = Issuer.create(tmp_path)
    issuer.write_header_file(tmp_path / "token", "acme")
    issuer.write_header_file(tmp_path / "token", "acme")
    assert (tmp_path / "token").read_text().startswith("Authorization: Bearer ey")
    assert {path.name for path in tmp_path.iterdir() if path.stat().st_mode & 0o777 == 0o600} == {
        "token",
        "issuer-key.pem",
    }
