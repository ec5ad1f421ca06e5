"""Whether a release is in the registry, asked over HTTP."""

from __future__ import annotations

from collections.abc import Generator
from typing import Final

import httpx
import pytest

from support.oci_registry import MEDIA_TYPE, OciRegistry, open_registry
from tenantctl.errors import InvalidError, NotFoundError, UnavailableError
from tenantctl.ociregistry import OciReleases, opened_releases
from tenantctl.releases import Release
from tenantry_local.processes import free_port

REPOSITORY: Final = "tenantry/tenant-template"


@pytest.fixture
def registry() -> Generator[OciRegistry]:
    """A registry of its own."""
    with open_registry() as found:
        yield found


async def require(registry: OciRegistry, release: Release) -> None:
    async with opened_releases(registry.url, REPOSITORY) as releases:
        await releases.require(release)


async def test_a_release_that_is_there_is_found(registry: OciRegistry) -> None:
    """By digest and by version, without its manifest being sent."""
    digest = registry.put(REPOSITORY, "1.4.0")

    await require(registry, Release("1.4.0", digest))

    assert [
        ("HEAD", f"/v2/{REPOSITORY}/manifests/{reference}") for reference in (digest, "1.4.0")
    ] == [(method, path) for method, path, _ in registry.requests]
    assert all(MEDIA_TYPE in accept for _, _, accept in registry.requests)


async def test_a_digest_that_is_not_there_is_not_found(registry: OciRegistry) -> None:
    """Although the version is."""
    registry.put(REPOSITORY, "1.4.0")

    with pytest.raises(NotFoundError, match="has no sha256:0000"):
        await require(registry, Release("1.4.0", f"sha256:{'0' * 64}"))


async def test_a_version_that_is_not_there_is_not_found(registry: OciRegistry) -> None:
    """Although the digest is: nobody would know what runs."""
    digest = registry.put(REPOSITORY, "1.4.0")

    with pytest.raises(NotFoundError, match=r"has no version 1\.5\.0"):
        await require(registry, Release("1.5.0", digest))


async def test_a_version_of_another_chart_is_refused(registry: OciRegistry) -> None:
    """Version and digest are both there, and do not belong together."""
    digest = registry.put(REPOSITORY, "1.4.0")
    other = registry.put(REPOSITORY, "1.5.0")

    with pytest.raises(InvalidError, match=f"is {other}, and not {digest}"):
        await require(registry, Release("1.5.0", digest))


async def test_another_repositorys_release_is_not_found(registry: OciRegistry) -> None:
    """It is looked for where charts are."""
    digest = registry.put("tenantry/elsewhere", "1.4.0")

    with pytest.raises(NotFoundError):
        await require(registry, Release("1.4.0", digest))


async def test_a_registry_that_fails_twice_is_asked_again(registry: OciRegistry) -> None:
    """What fails on its side is no answer."""
    digest = registry.put(REPOSITORY, "1.4.0")
    registry.faults.extend((503, 500))

    await require(registry, Release("1.4.0", digest))

    assert 4 == len(registry.requests)


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (401, 1), (403, 1), (301, 1), (429, 1)])
async def test_a_registry_that_does_not_say_is_unavailable(
    registry: OciRegistry, status: int, asked: int
) -> None:
    """Never taken for a release that is not there, and no redirect is followed."""
    digest = registry.put(REPOSITORY, "1.4.0")
    registry.faults.extend([status] * 9)

    with pytest.raises(UnavailableError, match=f"answers {status}"):
        await require(registry, Release("1.4.0", digest))

    assert asked == len(registry.requests)


async def test_a_registry_that_nobody_is_at_is_unavailable() -> None:
    """With what went wrong."""
    async with opened_releases(f"http://127.0.0.1:{free_port()}", REPOSITORY) as releases:
        with pytest.raises(UnavailableError, match="ConnectError"):
            await releases.require(Release("1.4.0", f"sha256:{'0' * 64}"))


async def test_a_password_is_sent_where_there_is_one(registry: OciRegistry) -> None:
    """It is asked for when it is needed, since it expires."""
    registry.password = "AWS:a-password"
    digest = registry.put(REPOSITORY, "1.4.0")

    async def password() -> tuple[str, str] | None:
        return "AWS", "a-password"

    async with httpx.AsyncClient() as http:
        await OciReleases(http, registry.url, REPOSITORY, password).require(
            Release("1.4.0", digest)
        )
    with pytest.raises(UnavailableError, match="answers 401") as refused:
        await require(registry, Release("1.4.0", digest))
    assert "a-password" not in str(refused.value)


async def test_a_registry_that_names_no_digest_cannot_say_what_a_version_is(
    registry: OciRegistry,
) -> None:
    """By digest it can be no other; by version it could be any."""
    digest = registry.put(REPOSITORY, "1.4.0")
    registry.says_digest = False

    with pytest.raises(UnavailableError, match=r"does not say what 1\.4\.0 is"):
        await require(registry, Release("1.4.0", digest))


@pytest.mark.parametrize("url", ["", "registry.example.com", "ftp://x", "https://u:p@x/"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    """And a password in it is not repeated."""
    with pytest.raises(InvalidError, match="no address") as refused:
        async with opened_releases(url, REPOSITORY):
            pass
    assert "u:p" not in str(refused.value)


@pytest.fixture
def aws(registry: OciRegistry, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS is where the registry is."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_ECR", registry.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


async def require_of_ecr(registry: OciRegistry, release: Release) -> None:
    async with opened_releases(registry.url, REPOSITORY, region="eu-west-1") as releases:
        await releases.require(release)


async def test_ecrs_password_is_asked_of_aws(registry: OciRegistry, aws: None) -> None:
    """With the credentials that everything else has."""
    registry.password = "AWS:a-password"
    digest = registry.put(REPOSITORY, "1.4.0")

    await require_of_ecr(registry, Release("1.4.0", digest))

    asked = {path for method, path, _ in registry.requests if method == "POST"}
    assert {"AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"} == asked


async def test_a_password_that_aws_does_not_give_is_told(registry: OciRegistry, aws: None) -> None:
    """As a right that is missing, by its name."""
    digest = registry.put(REPOSITORY, "1.4.0")

    with pytest.raises(UnavailableError, match="GetAuthorizationToken"):
        await require_of_ecr(registry, Release("1.4.0", digest))
