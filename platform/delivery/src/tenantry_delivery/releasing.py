"""A release: what changed is built, and what was built is published, the name last.

In a registry a part comes to be in this order: its bytes, what is said of it, its signature, its
name. Ended anywhere before the name it is not published, and the same again goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tenantry_delivery.artefacts import CHART_INPUTS, IMAGES, MODULE, Image, Named, name_of
from tenantry_delivery.chart import chart, module
from tenantry_delivery.commits import Source
from tenantry_delivery.content import Content
from tenantry_delivery.errors import DeliveryError
from tenantry_delivery.images import Built, Workshop
from tenantry_delivery.registry import Registry
from tenantry_delivery.signing import PROVENANCE, SBOM, Signer
from tenantry_delivery.statements import bill_of_materials, provenance


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a release, as it is now.

    Attributes:
        named: What it is called.
        digest: What it is.
        is_new: Whether it was published now; what was there already was not.
    """

    named: Named
    digest: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Shop:
    """Where releases are published.

    Attributes:
        registry: Where to.
        signer: Who says that they are ours.
        source_url: Where the source is, for people.
        builder: Who builds, as the provenance says it.
        say: Tells the person who waits.
    """

    registry: Registry
    signer: Signer
    source_url: str
    builder: str
    say: Callable[[str], None]

    def image(self, workshop: Workshop, image: Image) -> Part:
        """Publish an image, if it is not there.

        Raises:
            DeliveryError: As building, signing and publishing.
        """
        named = name_of(workshop.source, image.name, image.inputs)
        if (part := self._there(named)) is not None:
            return part
        self.say(f"{named}: building for {', '.join(workshop.platforms)}")
        built: Built = workshop.build(image, named)
        materials = bill_of_materials(named, built.base, built.wheels)
        made_from = {built.base.reference.partition("@")[0]: built.base.reference[-64:]}
        return self._publish(named, built.content, made_from, materials)

    def chart(self, source: Source) -> Part:
        """Publish the chart, if it is not there, with the images that are.

        Raises:
            DeliveryError: An image is not there, or is not signed with the key.
        """
        named = name_of(source, "tenant-template", CHART_INPUTS)
        if (part := self._there(named)) is not None:
            return part
        images, made_from = {}, {}
        for image in (one for one in IMAGES if one.chart_key):
            of = name_of(source, image.name, image.inputs)
            images[image.chart_key] = made_from[of.repository] = self._signed(of)
        content = chart(source, named, images, self.source_url)
        return self._publish(named, content, made_from, None)

    def module(self, source: Source) -> Part:
        """Publish the tenants' module, if it is not there.

        Raises:
            DeliveryError: As signing and publishing.
        """
        named = name_of(source, "tenant-module", (MODULE,))
        if (part := self._there(named)) is not None:
            return part
        return self._publish(named, module(source, named, self.source_url), {}, None)

    def _there(self, named: Named) -> Part | None:
        """What has the name already, if it is ours."""
        digest = self.registry.resolve(named.repository, named.version)
        if digest is None:
            return None
        if not self.signer.is_signed(named.repository, digest):
            raise DeliveryError(
                f"{self.registry.host}/{named} is {digest}, and has no signature of "
                f"{self.signer.key}: somebody else put it there. Nothing is built on it"
            )
        self.say(f"{named}: there already, {digest}")
        return Part(named, digest, is_new=False)

    def _signed(self, named: Named) -> str:
        part = self._there(named)
        if part is None:
            raise DeliveryError(
                f"{self.registry.host} has no {named}: `make images` comes before the chart"
            )
        return part.digest

    def _publish(
        self,
        named: Named,
        content: Content,
        made_from: Mapping[str, str],
        materials: Mapping[str, Any] | None,
    ) -> Part:
        repository, digest = named.repository, content.digest
        self.registry.push(repository, content)
        if not self.signer.is_signed(repository, digest):
            said = provenance(named, self.source_url, self.builder, made_from)
            self.signer.attest(repository, digest, PROVENANCE, said)
            if materials is not None:
                self.signer.attest(repository, digest, SBOM, materials)
            self.signer.sign(repository, digest)
        is_new = self.registry.name(repository, content, named.version)
        minutes = (time.time() - named.change.time) / 60
        self.say(
            f"{named}: published, {digest}, {minutes:.1f} min after its commit"
            f"{'; not scanned here' if materials else ''}"
        )
        return Part(named, digest, is_new=is_new)
