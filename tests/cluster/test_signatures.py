"""Releases signed by cosign itself, as docs/adr/0019 says, and what tenantctl thinks of them.

Without a network: every request that is not loopback's would fail.
"""

from __future__ import annotations

import base64
import os
import subprocess
from collections.abc import Callable, Generator
from typing import Final

import pytest

import tool
from support.flux_standin import FLEET
from support.oci_registry import CHART, MODULE, OciRegistry, digest_of, open_registry
from support.signing import push
from tenantctl.errors import InvalidError
from tenantctl.ociregistry import Wanted, opened_releases
from tenantctl.releases import Release
from tenantctl.signatures import Key, read_key

pytestmark = pytest.mark.cluster

CHARTS: Final = "tenantry/tenant-template"
MODULES: Final = "tenantry/tenant-module"
VERSION: Final = "1.4.0"
SIGNING: Final = FLEET.parent / "signing"
#: A host that is not there answers for everybody else.
PROXY: Final = "http://127.0.0.1:1"
FILES: Final = (
    f"--signing-config={SIGNING / 'signing-config.json'}",
    f"--trusted-root={SIGNING / 'trusted-root.json'}",
)

Cosign = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def cosign(tmp_path_factory: pytest.TempPathFactory) -> Cosign:
    """The command, in a folder with the key pairs `one` and `two`."""
    found = tool.built("cosign")
    if found is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("cosign is not built: `make test-cluster` does that")
    folder = tmp_path_factory.mktemp("cosign")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [found / "cosign", *arguments],
            cwd=folder,
            env={
                "HOME": str(folder),
                "PATH": os.environ["PATH"],
                "COSIGN_PASSWORD": "",
                "HTTP_PROXY": PROXY,
                "HTTPS_PROXY": PROXY,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=50,
        )

    for name in ("one", "two"):
        made = run("generate-key-pair", f"--output-key-prefix={name}")
        assert 0 == made.returncode, made.stderr
    return run


@pytest.fixture
def registry() -> Generator[OciRegistry]:
    """A registry whose tags do not move, as ECR's here."""
    with open_registry() as found:
        yield found


def at(registry: OciRegistry, repository: str, digest: str) -> str:
    return f"{registry.url.removeprefix('http://')}/{repository}@{digest}"


def sign(cosign: Cosign, where: str, *options: str, key: str = "one") -> None:
    """As releases are signed."""
    done = cosign("sign", "--yes", f"--key={key}.key", *(options or FILES), where)
    assert 0 == done.returncode, done.stderr


def keys(cosign: Cosign, *names: str) -> tuple[Key, ...]:
    """The public halves, as cosign prints them."""
    return tuple(
        read_key(f"{name}.pub", cosign("public-key", f"--key={name}.key").stdout.encode())
        for name in names
    )


async def require(
    registry: OciRegistry, digest: str, known: tuple[Key, ...], repository: str = CHARTS
) -> None:
    media_type = MODULE if repository == MODULES else CHART
    wanted = Wanted(repository, media_type, known)
    async with opened_releases(registry.url, wanted) as releases:
        await releases.require(Release(VERSION, digest))


async def refusal(registry: OciRegistry, digest: str, known: tuple[Key, ...]) -> str:
    with pytest.raises(InvalidError) as refused:
        await require(registry, digest, known)
    return str(refused.value)


@pytest.mark.parametrize("knows_referrers", [True, False])
@pytest.mark.parametrize(("repository", "kind"), [(CHARTS, CHART), (MODULES, MODULE)])
async def test_what_cosign_signed_is_taken(
    cosign: Cosign, registry: OciRegistry, repository: str, kind: str, knows_referrers: bool
) -> None:
    """Chart and module, in registries with the API of referrers and without; cosign agrees."""
    registry.knows_referrers = knows_referrers
    digest = registry.put(repository, VERSION, kind)
    where = at(registry, repository, digest)
    sign(cosign, where)

    await require(registry, digest, keys(cosign, "two", "one"), repository)

    agreed = cosign("verify", "--key=one.pub", "--insecure-ignore-tlog=true", where)
    assert 0 == agreed.returncode, agreed.stderr


async def test_a_second_signature_needs_no_tag(cosign: Cosign, registry: OciRegistry) -> None:
    """Where referrers are known a key can be replaced: no tag is written, and none moves."""
    digest = registry.put(CHARTS, VERSION)
    where = at(registry, CHARTS, digest)
    sign(cosign, where)
    sign(cosign, where, key="two")

    await require(registry, digest, keys(cosign, "one"))
    await require(registry, digest, keys(cosign, "two"))

    assert [VERSION] == [name for _, name in registry.manifests if not name.startswith("sha256:")]


def test_without_referrers_a_second_signature_wants_to_move_a_tag(
    cosign: Cosign, registry: OciRegistry
) -> None:
    """Which is why the registry has to know them, or to let `sha256-…` move."""
    registry.knows_referrers = False
    where = at(registry, CHARTS, registry.put(CHARTS, VERSION))
    sign(cosign, where)

    again = cosign("sign", "--yes", "--key=two.key", *FILES, where)

    assert 0 != again.returncode
    assert "TAG_INVALID" in again.stderr


async def test_another_key_is_refused(cosign: Cosign, registry: OciRegistry) -> None:
    """Also where cosign made it."""
    digest = registry.put(CHARTS, VERSION)
    sign(cosign, at(registry, CHARTS, digest), key="two")

    assert "none of the keys one.pub" in await refusal(registry, digest, keys(cosign, "one"))


async def test_a_signature_of_another_artefact_is_refused(
    cosign: Cosign, registry: OciRegistry
) -> None:
    """What cosign made for the one is pushed beside the other, byte for byte."""
    signed, digest = registry.put(CHARTS, "1.3.0"), registry.put(CHARTS, VERSION)
    sign(cosign, at(registry, CHARTS, signed))
    text = {name: data.decode() for (_, name), data in registry.manifests.items()}
    (referrer,) = (each for each in text.values() if '"subject":{' in each and signed in each)
    moved = referrer.replace(signed, digest).encode()
    where = f"/v2/{CHARTS}/manifests/{digest_of(moved)}"
    assert 201 == registry.answer("PUT", where, "", moved).status

    assert f"a signature is of {signed}" in await refusal(registry, digest, keys(cosign, "one"))
    disagreed = cosign(
        "verify", "--key=one.pub", "--insecure-ignore-tlog=true", at(registry, CHARTS, digest)
    )
    assert 0 != disagreed.returncode


async def test_an_attestation_alone_is_refused(cosign: Cosign, registry: OciRegistry) -> None:
    """An SBOM that cosign attests with the same key: that is no release, whatever Flux thinks."""
    digest = registry.put(CHARTS, VERSION)
    where = at(registry, CHARTS, digest)
    attested = cosign(
        *("attest", "--yes", "--key=one.key", *FILES, "--type=spdxjson"),
        *(f"--predicate={SIGNING / 'trusted-root.json'}", where),
    )
    assert 0 == attested.returncode, attested.stderr

    assert "an attestation about it" in await refusal(registry, digest, keys(cosign, "one"))

    sign(cosign, where)
    await require(registry, digest, keys(cosign, "one"))


async def test_a_signature_of_the_older_form_is_refused(
    cosign: Cosign, registry: OciRegistry
) -> None:
    """Flux would take it without looking at what it is of."""
    digest = registry.put(CHARTS, VERSION)
    options = ("--new-bundle-format=false", "--use-signing-config=false", "--tlog-upload=false")
    sign(cosign, at(registry, CHARTS, digest), *options)

    assert (CHARTS, f"{digest.replace(':', '-')}.sig") in registry.manifests
    assert "it is not signed" in await refusal(registry, digest, keys(cosign, "one"))


async def test_a_changed_bundle_is_refused(cosign: Cosign, registry: OciRegistry) -> None:
    """A statement of another digest under cosign's signature, pushed as a bundle of its own."""
    digest = registry.put(CHARTS, VERSION)
    sign(cosign, at(registry, CHARTS, registry.put(CHARTS, "1.3.0")))
    (bundle,) = (data for data in registry.blobs.values() if b"dsseEnvelope" in data)
    payload = bundle.partition(b'"payload":"')[2].partition(b'"')[0]
    other = registry.put(CHARTS, "1.3.0").removeprefix("sha256:").encode()
    said = base64.b64decode(payload).replace(other, digest.removeprefix("sha256:").encode())
    changed = bundle.replace(payload, base64.b64encode(said))
    assert changed != bundle
    push(registry, CHARTS, digest, changed)

    assert "or was changed" in await refusal(registry, digest, keys(cosign, "one"))
