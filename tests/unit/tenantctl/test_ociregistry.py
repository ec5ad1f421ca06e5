"""Whether a release is in the registry, whole and signed, asked over HTTP."""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator
from typing import Final

import httpx
import pytest

from support.oci_registry import CHART, MEDIA_TYPE, MODULE, OciRegistry, digest_of, open_registry
from support.signing import Signer, push
from tenantctl.errors import InvalidError, NotFoundError, UnavailableError
from tenantctl.ociregistry import OciReleases, Wanted, opened_releases
from tenantctl.releases import Release
from tenantry_local.processes import free_port

REPOSITORY: Final = "tenantry/tenant-template"
SIGNER: Final = Signer()
WANTED: Final = Wanted(REPOSITORY, CHART, (SIGNER.key,))
#: As large as a chart may be, and a byte more.
TOO_LARGE: Final = 16 * 1_048_576 + 1


@pytest.fixture
def registry() -> Generator[OciRegistry]:
    """A registry of its own."""
    with open_registry() as found:
        yield found


def published(registry: OciRegistry, version: str = "1.4.0", repository: str = REPOSITORY) -> str:
    """A chart that is there and signed; its digest."""
    digest = registry.put(repository, version)
    SIGNER.sign(registry, repository, digest)
    return digest


async def require(registry: OciRegistry, release: Release) -> None:
    async with opened_releases(registry.url, WANTED) as releases:
        await releases.require(release)


async def test_a_release_that_is_there_and_signed_is_taken(registry: OciRegistry) -> None:
    """Once: a digest never changes, so nobody is asked again."""
    digest = published(registry)

    async with opened_releases(registry.url, WANTED) as releases:
        await releases.require(Release("1.4.0", digest))
        asked = len(registry.requests)
        await releases.require(Release("1.4.0", digest))

    first, *_ = registry.requests
    assert ("GET", f"/v2/{REPOSITORY}/manifests/{digest}", MEDIA_TYPE) == first
    assert asked == len(registry.requests)


@pytest.mark.parametrize(
    ("said", "moment"),
    [
        ("2026-11-23T12:00:00Z", dt.datetime(2026, 11, 23, 12, tzinfo=dt.UTC)),
        ("2026-11-23T12:00:00", None),
        ("yesterday", None),
        (None, None),
    ],
)
async def test_when_a_release_was_made_is_what_its_maker_signed(
    registry: OciRegistry, said: str | None, moment: dt.datetime | None
) -> None:
    """A release that does not say is as good; who asks again hears the same."""
    told = {} if said is None else {"annotations": {"org.opencontainers.image.created": said}}
    digest = registry.store(REPOSITORY, [(CHART, b"a chart")], tag="1.4.0", **told)
    SIGNER.sign(registry, REPOSITORY, digest)

    async with opened_releases(registry.url, WANTED) as releases:
        for _ in range(2):
            assert moment == await releases.require(Release("1.4.0", digest))


async def test_a_digest_that_is_not_there_is_not_found(registry: OciRegistry) -> None:
    """Although the version is."""
    published(registry)

    with pytest.raises(NotFoundError, match="has no sha256:0000"):
        await require(registry, Release("1.4.0", f"sha256:{'0' * 64}"))


async def test_a_version_that_is_not_there_is_not_found(registry: OciRegistry) -> None:
    """Although the digest is: nobody would know what runs."""
    digest = published(registry)

    with pytest.raises(NotFoundError, match=r"has no version 1\.5\.0"):
        await require(registry, Release("1.5.0", digest))


async def test_a_version_of_another_chart_is_refused(registry: OciRegistry) -> None:
    """Version and digest are both there, and do not belong together."""
    digest = published(registry)
    other = published(registry, "1.5.0")

    with pytest.raises(InvalidError, match=f"is {other}, and not {digest}"):
        await require(registry, Release("1.5.0", digest))


async def test_another_repositorys_release_is_not_found(registry: OciRegistry) -> None:
    """It is looked for where charts are."""
    digest = published(registry, repository="tenantry/elsewhere")

    with pytest.raises(NotFoundError):
        await require(registry, Release("1.4.0", digest))


async def test_a_registry_that_fails_twice_is_asked_again(registry: OciRegistry) -> None:
    """What fails on its side is no answer."""
    digest = published(registry)
    registry.faults.extend((503, 500))

    await require(registry, Release("1.4.0", digest))

    assert [f"/v2/{REPOSITORY}/manifests/{digest}"] * 3 == [
        path for _, path, _ in registry.requests[:3]
    ]


@pytest.mark.parametrize(("status", "asked"), [(503, 3), (401, 1), (403, 1), (301, 1), (429, 1)])
async def test_a_registry_that_does_not_say_is_unavailable(
    registry: OciRegistry, status: int, asked: int
) -> None:
    """Never taken for a release that is not there, and no redirect is followed."""
    digest = published(registry)
    registry.faults.extend([status] * 9)

    with pytest.raises(UnavailableError, match=f"answers {status}"):
        await require(registry, Release("1.4.0", digest))

    assert asked == len(registry.requests)


async def test_a_registry_that_nobody_is_at_is_unavailable() -> None:
    """With what went wrong."""
    async with opened_releases(f"http://127.0.0.1:{free_port()}", WANTED) as releases:
        with pytest.raises(UnavailableError, match="ConnectError"):
            await releases.require(Release("1.4.0", f"sha256:{'0' * 64}"))


async def test_a_password_is_sent_where_there_is_one(registry: OciRegistry) -> None:
    """It is asked for when it is needed, since it expires."""
    registry.password = "AWS:a-password"
    digest = published(registry)

    async def password() -> tuple[str, str] | None:
        return "AWS", "a-password"

    async with httpx.AsyncClient() as http:
        await OciReleases(http, registry.url, WANTED, password).require(Release("1.4.0", digest))
    with pytest.raises(UnavailableError, match="answers 401") as refused:
        await require(registry, Release("1.4.0", digest))
    assert "a-password" not in str(refused.value)


async def test_what_a_registry_says_of_a_digest_is_not_asked(registry: OciRegistry) -> None:
    """It is computed, of what was served."""
    digest = published(registry)
    registry.says_digest = False

    await require(registry, Release("1.4.0", digest))


async def refusal(registry: OciRegistry, digest: str, why: str) -> None:
    with pytest.raises(InvalidError, match=why) as refused:
        await require(registry, Release("1.4.0", digest))
    assert REPOSITORY in str(refused.value)


async def test_what_nobody_signed_is_refused(registry: OciRegistry) -> None:
    """By name, version and digest."""
    digest = registry.put(REPOSITORY, "1.4.0")

    await refusal(registry, digest, rf"1\.4\.0@{digest} is refused: it is not signed")


async def test_what_a_stranger_signed_is_refused(registry: OciRegistry) -> None:
    """With the names of the keys that would do."""
    digest = registry.put(REPOSITORY, "1.4.0")
    Signer("stranger.pub").sign(registry, REPOSITORY, digest)

    await refusal(registry, digest, r"none of the keys one\.pub")


async def test_another_releases_signature_is_refused(registry: OciRegistry) -> None:
    """Whoever may push may let it refer to anything."""
    digest, other = registry.put(REPOSITORY, "1.4.0"), registry.put(REPOSITORY, "1.5.0")
    push(registry, REPOSITORY, digest, SIGNER.bundle(other))

    await refusal(registry, digest, f"a signature is of {other}")


async def test_an_sbom_alone_is_no_signature(registry: OciRegistry) -> None:
    """Although the same key signed it."""
    digest = registry.put(REPOSITORY, "1.4.0")
    SIGNER.sign(registry, REPOSITORY, digest, predicateType="https://spdx.dev/Document")

    await refusal(registry, digest, "an attestation about it")


@pytest.mark.parametrize("knows_referrers", [True, False])
async def test_a_good_signature_among_others_is_found(
    registry: OciRegistry, knows_referrers: bool
) -> None:
    """On a later page of what refers to it, or in the list that clients keep under a tag."""
    registry.knows_referrers, registry.page = knows_referrers, 2
    digest = registry.put(REPOSITORY, "1.4.0")
    subject = {"digest": digest}
    registry.store(REPOSITORY, [("text/plain", b"notes")], artifactType="a/b", subject=subject)
    for name in ("a.pub", "b.pub", "c.pub"):
        Signer(name).sign(registry, REPOSITORY, digest)
    SIGNER.sign(registry, REPOSITORY, digest)

    await require(registry, Release("1.4.0", digest))

    pages = [path for _, path, _ in registry.requests if "last=" in path]
    assert bool(pages) == knows_referrers


async def test_more_signatures_than_anybody_makes_are_refused(registry: OciRegistry) -> None:
    """They are not all fetched."""
    digest = registry.put(REPOSITORY, "1.4.0")
    for number in range(66):
        push(registry, REPOSITORY, digest, b"%d" % number)

    await refusal(registry, digest, "more than 64 signatures")


@pytest.mark.parametrize("bit", [0, 7])
async def test_a_flipped_bit_of_a_manifest_is_refused(registry: OciRegistry, bit: int) -> None:
    """What is served is not what the digest names, wherever it was changed."""
    digest = published(registry)
    whole = registry.manifests[REPOSITORY, digest]
    async with opened_releases(registry.url, WANTED) as releases:
        for place in range(0, len(whole), 7):
            changed = bytearray(whole)
            changed[place] ^= 1 << bit
            registry.manifests[REPOSITORY, digest] = bytes(changed)

            with pytest.raises(InvalidError, match=f"{digest} is asked for: it was changed"):
                await releases.require(Release("1.4.0", digest))


async def test_a_changed_chart_is_refused(registry: OciRegistry) -> None:
    """Its manifest is as it was signed, and its files are others."""
    digest = published(registry)
    layer = digest_of(b"content of 1.4.0")
    registry.blobs[REPOSITORY, layer] = b"content of 6.6.6"

    await refusal(registry, digest, f"its layer serves .* where {layer} is asked for")


async def test_a_chart_whose_files_are_gone_is_refused(registry: OciRegistry) -> None:
    """Nobody could fetch it."""
    digest = published(registry)
    del registry.blobs[REPOSITORY, digest_of(b"content of 1.4.0")]

    await refusal(registry, digest, "its layer is not there")


async def test_a_changed_signature_is_refused(registry: OciRegistry) -> None:
    """Before anybody reads it."""
    digest = registry.put(REPOSITORY, "1.4.0")
    bundle = SIGNER.sign(registry, REPOSITORY, digest)
    registry.blobs[REPOSITORY, bundle] = registry.blobs[REPOSITORY, bundle].replace(b"{", b"[", 1)

    await refusal(registry, digest, "a signature serves")


async def test_an_artefact_of_another_kind_is_refused(registry: OciRegistry) -> None:
    """Flux would take no layer of it, and no release would come of it."""
    digest = registry.put(REPOSITORY, "1.4.0", MODULE)
    SIGNER.sign(registry, REPOSITORY, digest)

    await refusal(registry, digest, f"it has no layer of {CHART.replace('+', '.')}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"size": TOO_LARGE}, f"its layer has {TOO_LARGE} bytes"),
        ({"size": "16"}, "its layer has '16' bytes"),
        ({"size": 3}, "serves more than 3 bytes"),
        ({"digest": "../../etc"}, "which is no digest"),
        ({"digest": None}, "which is no digest"),
    ],
)
async def test_a_layer_that_no_chart_has_is_refused(
    registry: OciRegistry, changes: dict[str, object], why: str
) -> None:
    """Whoever may push may write anything into a manifest."""
    layer = {"mediaType": CHART, "size": 16, "digest": registry.blob(REPOSITORY, b"a" * 16)}
    digest = registry.store(REPOSITORY, [], tag="1.4.0", layers=[layer | changes])
    SIGNER.sign(registry, REPOSITORY, digest)

    await refusal(registry, digest, why)


async def test_blobs_may_be_elsewhere(registry: OciRegistry) -> None:
    """ECR's are in S3, where nobody is told the registry's password."""
    digest = published(registry)
    registry.password = "AWS:a-password"

    async def password() -> tuple[str, str] | None:
        return "AWS", "a-password"

    with open_registry() as store:
        store.blobs, registry.elsewhere = registry.blobs, store.url
        async with httpx.AsyncClient() as http:
            releases = OciReleases(http, registry.url, WANTED, password)
            await releases.require(Release("1.4.0", digest))
        assert 2 == len(store.requests)
        store.password = "AWS:a-password"
        async with httpx.AsyncClient() as http:
            releases = OciReleases(http, registry.url, WANTED, password)
            with pytest.raises(UnavailableError, match="answers 401"):
                await releases.require(Release("1.4.0", digest))


async def test_blobs_are_not_fetched_from_anywhere(registry: OciRegistry) -> None:
    """Only over the web, and never with less than the registry has."""
    digest = published(registry)
    registry.elsewhere = "ftp://127.0.0.1"

    with pytest.raises(UnavailableError, match="not by HTTPS"):
        await require(registry, Release("1.4.0", digest))


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"\xff", b'{"a": ' * 100_000])
async def test_a_registry_that_answers_nonsense_is_unavailable(
    registry: OciRegistry, body: bytes
) -> None:
    """As what stands before it does, with 200: no release is taken, and none is called bad."""
    digest = registry.put(REPOSITORY, "1.4.0")
    registry.knows_referrers = False
    registry.manifests[REPOSITORY, digest.replace(":", "-")] = body

    with pytest.raises(UnavailableError, match="no registry's answer"):
        await require(registry, Release("1.4.0", digest))


async def test_a_version_that_was_moved_is_refused(registry: OciRegistry) -> None:
    """The digest is there, signed and whole; the version says something else by now."""
    digest = published(registry)
    other = registry.put(REPOSITORY, "1.5.0")
    registry.manifests[REPOSITORY, "1.4.0"] = registry.manifests[REPOSITORY, other]

    await refusal(registry, digest, f"is {other}, and not {digest}")


@pytest.mark.parametrize("url", ["", "registry.example.com", "ftp://x", "https://u:p@x/"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    """And a password in it is not repeated."""
    with pytest.raises(InvalidError, match="no address") as refused:
        async with opened_releases(url, WANTED):
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
    async with opened_releases(registry.url, WANTED, region="eu-west-1") as releases:
        await releases.require(release)


async def test_ecrs_password_is_asked_of_aws(registry: OciRegistry, aws: None) -> None:
    """With the credentials that everything else has."""
    registry.password = "AWS:a-password"
    digest = published(registry)

    await require_of_ecr(registry, Release("1.4.0", digest))

    asked = {path for method, path, _ in registry.requests if method == "POST"}
    assert {"AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken"} == asked


async def test_a_password_that_aws_does_not_give_is_told(registry: OciRegistry, aws: None) -> None:
    """As a right that is missing, by its name."""
    digest = published(registry)

    with pytest.raises(UnavailableError, match="GetAuthorizationToken"):
        await require_of_ecr(registry, Release("1.4.0", digest))
