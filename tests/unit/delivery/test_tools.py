"""What is said to buildah, pip and cosign, and what is made of what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import pytest

from tenantry_delivery import images, signing, wheels
from tenantry_delivery.artefacts import IMAGES, Base, Named
from tenantry_delivery.commits import Change, Source
from tenantry_delivery.content import artefact, digest_of
from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.images import Workshop
from tenantry_delivery.registry import Registry
from tenantry_delivery.signing import PROVENANCE, Signer
from unit.delivery.test_artefacts import Files

PRODUCER: Final = IMAGES[0]
RUNNER: Final = IMAGES[-1]
NAMED: Final = Named("tenantry/producer", "0.1.0-main.7.gccc", Change("c" * 40, 7, 1_700_000_000))
BASE: Final = Base(f"mirror.example.com/library/python:3.13@sha256:{'b' * 64}", "3.13")
DIGEST: Final = f"sha256:{'d' * 64}"


class Tools:
    """Programs that do what a test says, and what they were told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, ...]] = []
        self.envs: list[Mapping[str, str]] = []
        self.says: dict[str, bytes | FailedError] = {}

    def run(
        self,
        *words: str,
        folder: Path | None = None,
        env: Mapping[str, str] | None = None,
        data: bytes | None = None,
    ) -> bytes:
        self.told.append(words)
        self.envs.append(env or {})
        if words[:2] == ("buildah", "push"):
            a_layout(Path(words[-1].removeprefix("oci:")))
        if "pip" in words:
            a_wheel_of_pips(words, folder or Path())
        said = self.says.get(" ".join(words[:2]), b"")
        if isinstance(said, FailedError):
            raise said
        return said

    def of(self, *begin: str) -> tuple[str, ...]:
        """The one call that begins so, wherever."""
        [found] = [words for words in self.told if " ".join(begin) in " ".join(words)]
        return found


def a_layout(folder: Path) -> None:
    """As buildah leaves it."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)
    made = artefact(folder.name.encode(), "layer", b"{}", "config", {})
    for data in (made.manifest, *made.blobs.values()):
        assert isinstance(data, bytes)
        (blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    (folder / "index.json").write_text(json.dumps({"manifests": [{"digest": made.digest}]}))


def a_wheel_of_pips(words: tuple[str, ...], folder: Path) -> None:
    """As pip leaves it, where it was told."""
    for word in words:
        option, _, value = word.partition("=")
        if option in {"--dest", "--wheel-dir"}:
            (folder / value).mkdir(exist_ok=True)
            name = words[-1].rpartition("/")[2] if option == "--wheel-dir" else "locked"
            (folder / value / f"{name}-1.0-py3-none-any.whl").write_bytes(b"a wheel")


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tools:
    found = Tools()
    for module in (images, signing, wheels):
        monkeypatch.setattr(module, "run", found.run)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BUILDAH_ISOLATION", raising=False)
    return found


class Tree(Files):
    """The checkout, of which a part is put elsewhere."""

    def extract(self, paths: Any, folder: Path) -> None:
        for path in paths:
            (folder / path).mkdir(parents=True)


def workshop(tmp_path: Path, **more: Any) -> Workshop:
    work = tmp_path / "work"
    work.mkdir()
    bases = {image.base: BASE for image in IMAGES}
    said = {"platforms": ("linux/amd64",), "bases": bases, **more}
    return Workshop(source=cast("Source", Tree()), work=work, source_url="https://git/x", **said)


def test_an_image_is_built_of_nothing_that_could_differ(tools: Tools, tmp_path: Path) -> None:
    """No network, no layer of before, the commit's time, one driver, no name of a mirror."""
    built = workshop(tmp_path).build(PRODUCER, NAMED)

    words = tools.of("buildah bud")
    assert {
        "--network=none",
        "--no-cache",
        "--pull-never",
        "--layers=false",
        "--identity-label=false",
        "--timestamp=1700000000",
        "--target=producer",
        f"--build-arg=BASE={BASE.reference}",
        f"--label=org.opencontainers.image.revision={'c' * 40}",
    } <= {*words}
    name = "org.opencontainers.image.base.name"
    assert f"--annotation={name}={BASE.reference.partition('/')[2]}" in words
    assert {"overlay"} == {
        env["STORAGE_DRIVER"]
        for told, env in zip(tools.told, tools.envs, strict=True)
        if "buildah" in told
    }
    assert 1 == len(built.content.parts)
    assert ["linux/amd64"] == [*built.wheels]


def test_in_a_chroot_the_network_is_taken_away_from_outside(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There buildah has the machine's own, and refuses to be told otherwise."""
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")

    workshop(tmp_path).build(PRODUCER, NAMED)

    words = tools.of("buildah bud")
    assert ("unshare", "--net") == words[:2]
    assert "--network=none" not in words


def test_each_platform_has_wheels_and_an_image_of_its_own(tools: Tools, tmp_path: Path) -> None:
    """Under one digest."""
    platforms = ("linux/arm64", "linux/amd64")

    built = workshop(tmp_path, platforms=platforms).build(PRODUCER, NAMED)

    told = [words for words in tools.told if "download" in words]
    assert [True, True] == [
        f"--platform=manylinux_2_28_{machine}" in words
        for machine, words in zip(("aarch64", "x86_64"), told, strict=True)
    ]
    assert list(platforms) == [*built.wheels]
    assert 2 == len({part.digest for part in built.content.parts})


def test_locked_wheels_are_fetched_once_by_hash(tools: Tools, tmp_path: Path) -> None:
    """Ours are built each time, of what is committed."""
    place = workshop(tmp_path)
    place.build(PRODUCER, NAMED)
    assert "--require-hashes" in tools.of("download")
    tools.told.clear()
    for layout in place.work.glob("*"):
        layout.rename(tmp_path / f"moved-{layout.name}")

    place.build(PRODUCER, NAMED)

    assert [] == [words for words in tools.told if "download" in words]
    assert 2 == len([words for words in tools.told if "wheel" in words])


def test_a_base_without_a_python_is_none_of_a_program(tools: Tools, tmp_path: Path) -> None:
    """Wheels are of one."""
    place = workshop(tmp_path, bases={"python.json": Base(BASE.reference)})

    with pytest.raises(DeliveryError, match=r"python\.json does not say which Python"):
        place.build(PRODUCER, NAMED)


@pytest.mark.parametrize(
    ("has", "text"),
    [(None, "with --providers DIR"), ("linux_s390x", "has no hashicorp/aws for linux_amd64")],
)
def test_a_runner_without_its_provider_is_refused(
    tools: Tools, tmp_path: Path, has: str | None, text: str
) -> None:
    """At run time it would ask a registry that it cannot reach."""
    mirror = None
    if has is not None:
        mirror = tmp_path / "mirror"
        (mirror / "registry.terraform.io/hashicorp/aws/5.100.0" / has).mkdir(parents=True)

    with pytest.raises(DeliveryError, match=text):
        workshop(tmp_path, provider_mirror=mirror).build(RUNNER, NAMED)


def test_a_runner_has_its_provider_inside(tools: Tools, tmp_path: Path) -> None:
    """And no wheel."""
    place = tmp_path / "mirror/registry.terraform.io/hashicorp/aws/5.100.0/linux_amd64"
    place.mkdir(parents=True)
    (place / "provider").write_bytes(b"x")

    built = workshop(tmp_path, provider_mirror=tmp_path / "mirror").build(RUNNER, NAMED)

    assert {"linux/amd64": ()} == built.wheels
    assert not [word for word in tools.of("buildah bud") if word.startswith("--target")]


@pytest.fixture
def signer(tools: Tools, tmp_path: Path) -> Signer:
    with Registry("http://127.0.0.1:5000") as registry:
        return Signer.of(registry, "awskms:///alias/x", tmp_path)


def a_verdict(kind: str, digest: str = DIGEST) -> bytes:
    critical = {"type": kind, "image": {"docker-manifest-digest": digest}}
    return json.dumps([{"critical": critical}]).encode()


@pytest.mark.parametrize(
    ("said", "is_signed"),
    [
        (a_verdict("https://sigstore.dev/cosign/sign/v1"), True),
        (a_verdict("https://sigstore.dev/cosign/sign/v1", f"sha256:{'e' * 64}"), False),
        (a_verdict("https://slsa.dev/provenance/v1"), False),
        (b"[]", False),
        (FailedError("no signatures found"), False),
    ],
)
def test_only_a_signature_of_this_digest_is_one(
    tools: Tools, signer: Signer, said: bytes | FailedError, *, is_signed: bool
) -> None:
    """Cosign says yes to whatever the key said of it."""
    tools.says["cosign verify"] = said

    assert is_signed is signer.is_signed("tenantry/producer", DIGEST)


def test_who_cannot_be_asked_is_not_taken_for_a_no(tools: Tools, signer: Signer) -> None:
    """Else it would be signed again, or refused as somebody else's."""
    tools.says["cosign verify"] = FailedError("connection refused")

    with pytest.raises(FailedError, match="refused"):
        signer.is_signed("tenantry/producer", DIGEST)


def test_nobody_outside_is_asked_for_a_signature(tools: Tools, signer: Signer) -> None:
    """By two files that name no service; and it is a digest that is signed."""
    signer.sign("tenantry/producer", DIGEST)
    signer.attest("tenantry/producer", DIGEST, PROVENANCE, {"a": 1})

    for verb in ("sign", "attest"):
        words = tools.of(f"cosign {verb} --yes")
        assert f"127.0.0.1:5000/tenantry/producer@{DIGEST}" == words[-1]
        assert {"--signing-config", "--trusted-root"} <= {*words}


def test_a_key_that_is_none_is_told(tools: Tools, tmp_path: Path) -> None:
    """Before anything is built."""
    tools.says["cosign public-key"] = FailedError("no such key")

    with (
        Registry("http://127.0.0.1:5000") as registry,
        pytest.raises(DeliveryError, match=r"(?s)no signing with awskms.*no such key"),
    ):
        Signer.of(registry, "awskms:///alias/x", tmp_path)


def test_a_key_is_asked_for_its_public_half_once(tools: Tools, signer: Signer) -> None:
    """Each question to KMS takes a while and may be refused."""
    tools.says["cosign verify"] = b"[]"
    signer.is_signed("tenantry/producer", DIGEST)
    signer.is_signed("tenantry/consumer", DIGEST)

    assert tools.of("cosign public-key")  # the one call
