"""Images, by buildah: without a network or a layer of before, the commit's time on every file."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tenantry_delivery.artefacts import IMAGES_FOLDER, Base, Image, Named, base_of
from tenantry_delivery.commits import Source
from tenantry_delivery.content import Content, about, from_layout, index
from tenantry_delivery.errors import DeliveryError, FailedError
from tenantry_delivery.programs import run
from tenantry_delivery.registry import auth_file, is_loopback
from tenantry_delivery.wheels import options, wheels

#: Each driver of buildah's has an order of its own in a layer, and so a digest.
_STORE: Final = {"STORAGE_DRIVER": "overlay"}
_PROVIDERS: Final = "providers.tfrc"
#: Terraform and OpenTofu ask different ones for the same provider.
_PROVIDER_HOSTS: Final = ("registry.opentofu.org", "registry.terraform.io")


@dataclass(frozen=True, slots=True)
class Built:
    """An image that was made.

    Attributes:
        content: To be pushed; its files are in a folder that is there as long as `work` is.
        base: What it stands on.
        wheels: What is installed in it, by platform: file names and digests.
    """

    content: Content
    base: Base
    wheels: Mapping[str, Sequence[Path]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where images are built.

    Attributes:
        source: What of.
        work: A folder for as long as they are needed.
        platforms: For which, as `linux/arm64`.
        source_url: Where the source is, for people.
        bases: By file name, what to stand on in the place of what is committed.
        provider_mirror: Unpacked providers for Terraform's images, in the layout of a mirror.
    """

    source: Source
    work: Path
    platforms: tuple[str, ...]
    source_url: str
    bases: Mapping[str, Base] = field(default_factory=dict)
    provider_mirror: Path | None = None

    def build(self, image: Image, named: Named) -> Built:
        """Make an image for every platform.

        Raises:
            DeliveryError: What it stands on is not named, or a program is missing.
            FailedError: It does not build.
        """
        base = base_of(self.source, image, self.bases)
        said = about(named, image.title, self.source_url)
        parts, installed = {}, {}
        for platform in self.platforms:
            with tempfile.TemporaryDirectory(prefix="context-", dir=self.work) as scratch:
                context = Path(scratch)
                installed[platform] = self._fill(context, image, platform, base)
                layout = self.work / f"{image.name}-{platform.replace('/', '-')}"
                arguments = {"BASE": base.reference}
                if image.requirements:
                    arguments["PIP_OPTIONS"] = " ".join(options(platform, base.python))
                words = [f"--platform={platform}", f"--timestamp={named.change.time}"]
                words += [f"--build-arg={name}={value}" for name, value in arguments.items()]
                words += [f"--label={name}={value}" for name, value in said.items()]
                words += [f"--target={image.name}"] if image.requirements else []
                _build(context, platform, base.reference, words, layout)
            parts[platform] = from_layout(layout)
        return Built(index(parts, said), base, installed)

    def _fill(self, context: Path, image: Image, platform: str, base: Base) -> Sequence[Path]:
        recipe = f"{IMAGES_FOLDER}/{image.recipe}"
        (context / "Containerfile").write_bytes(self.source.read(recipe))
        if not image.requirements:
            (context / _PROVIDERS).write_bytes(self.source.read(f"{IMAGES_FOLDER}/{_PROVIDERS}"))
            self._mirror(context / "mirror", platform)
            return ()
        if not base.python:
            raise DeliveryError(f"{image.base} does not say which Python the base has")
        found = wheels(self.source, image, platform, base.python, context / "wheels")
        kept = self.work / f"{image.name}-{platform.replace('/', '-')}-wheels"
        shutil.copytree(found[0].parent, kept)
        return sorted(kept.iterdir())

    def _mirror(self, folder: Path, platform: str) -> None:
        """The provider of the tenants' module, for Terraform and for OpenTofu."""
        if self.provider_mirror is None:
            raise DeliveryError(
                "tf-runner has its provider inside: name a mirror, which `terraform providers "
                "mirror` makes, with --providers DIR"
            )
        system = platform.replace("/", "_")
        found = sorted(self.provider_mirror.glob(f"*/hashicorp/aws/*/{system}"))
        if not found:
            raise DeliveryError(f"{self.provider_mirror} has no hashicorp/aws for {system}")
        version = found[-1].parent.name
        below = Path("hashicorp/aws") / version
        real, link = (folder / host / below for host in _PROVIDER_HOSTS)
        shutil.copytree(found[-1], real / system)
        # Hundreds of megabytes: once.
        link.mkdir(parents=True)
        (link / system).symlink_to(Path("../../../..") / _PROVIDER_HOSTS[0] / below / system)


def _build(context: Path, platform: str, base: str, words: Sequence[str], layout: Path) -> None:
    """Run the recipe of a context, and leave the image as an OCI layout."""
    tag = f"localhost/tenantry-{layout.name}-{os.getpid()}"
    reached = ["--tls-verify=false"] if is_loopback(base) else []
    if auth_file().is_file():
        reached.append(f"--authfile={auth_file()}")
    recipe = ["--format=oci", "--layers=false", "--no-cache", "--pull-never"]
    recipe += ["--identity-label=false", f"--file={context / 'Containerfile'}", f"--tag={tag}"]
    # What it stands on, wherever it was pulled from: a mirror's name is in no digest.
    recipe.append(f"--annotation=org.opencontainers.image.base.name={_without_host(base)}")
    # In a chroot it would have the machine's network: there it is given one without anything.
    alone = ("unshare", "--net") if os.environ.get("BUILDAH_ISOLATION") == "chroot" else ()
    if not alone:
        recipe.append("--network=none")
    try:
        run("buildah", "pull", "--quiet", f"--platform={platform}", *reached, base, env=_STORE)
        run(*alone, "buildah", "bud", *recipe, *words, str(context), env=_STORE)
        run("buildah", "push", "--quiet", "--format=oci", tag, f"oci:{layout}", env=_STORE)
    finally:
        with contextlib.suppress(FailedError):
            run("buildah", "rmi", "--force", tag, env=_STORE)


def _without_host(reference: str) -> str:
    return reference.partition("/")[2]
