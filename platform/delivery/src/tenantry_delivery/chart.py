"""The chart with the digests of its images, as Helm packages one; and the tenants' module."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from tenantry_delivery.artefacts import CHART, MODULE, Named
from tenantry_delivery.commits import Source
from tenantry_delivery.content import Content, about, artefact, canonical, packed
from tenantry_delivery.errors import DeliveryError

CHART_LAYER: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_CONFIG: Final = "application/vnd.cncf.helm.config.v1+json"
MODULE_LAYER: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"
MODULE_CONFIG: Final = "application/vnd.cncf.flux.config.v1+json"

#: Of a chart and a module, what is for tests and readers of the source.
_LEFT_OUT: Final = ("ci", "tests")
_HIDDEN: Final = ".helmignore"


def chart(source: Source, named: Named, images: Mapping[str, str], source_url: str) -> Content:
    """The chart of a commit, its images by digest.

    Args:
        source: What of.
        named: What it is called.
        images: Digests by the chart's own names of images.
        source_url: Where the source is, for people.

    Raises:
        DeliveryError: The chart has other images, or its files are not as they were.
    """
    files = _kept(source.files(CHART))
    chart_yaml = _with(
        files["Chart.yaml"], {"version": named.version, "appVersion": named.version}
    )
    files["Chart.yaml"] = chart_yaml
    files["values.yaml"] = _with_images(files["values.yaml"], images)
    said: dict[str, Any] = yaml.safe_load(chart_yaml)
    name = str(said["name"])
    layer = packed({f"{name}/{path}": data for path, data in files.items()}, named.change.time)
    told = about(named, str(said["description"]), source_url)
    return artefact(layer, CHART_LAYER, canonical(said), CHART_CONFIG, told)


def module(source: Source, named: Named, source_url: str) -> Content:
    """The tenants' Terraform module of a commit, as Flux's source-controller unpacks it."""
    layer = packed(_kept(source.files(MODULE)), named.change.time)
    told = about(named, "What a tenant or a pool owns in AWS, as Terraform.", source_url)
    return artefact(layer, MODULE_LAYER, b"{}", MODULE_CONFIG, told)


def _kept(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {
        path: data
        for path, data in files.items()
        if PurePosixPath(path).parts[0] not in _LEFT_OUT and path != _HIDDEN
    }


def _with(data: bytes, values: Mapping[str, str]) -> bytes:
    """The same text, with other values of keys that stand at its left edge."""
    text = data.decode()
    for key, value in values.items():
        text, count = re.subn(rf"(?m)^{key}: .*$", f"{key}: {value}", text)
        if count != 1:
            raise DeliveryError(f"{CHART}/Chart.yaml: {key} is there {count} times, not once")
    return text.encode()


def _with_images(data: bytes, images: Mapping[str, str]) -> bytes:
    text = data.decode()
    said: Any = yaml.safe_load(text)
    if said["images"].keys() != images.keys():
        raise DeliveryError(
            f"{CHART}/values.yaml: its images are {', '.join(sorted(said['images']))}; built are "
            f"{', '.join(sorted(images))}"
        )
    head, mark, tail = text.partition("\nimages:\n")
    for name, digest in images.items():
        tail, count = re.subn(
            rf'(?m)^(  {name}: {{.*digest: )""(}})$', rf'\g<1>"{digest}"\g<2>', tail
        )
        if count != 1:
            raise DeliveryError(f"{CHART}/values.yaml: images.{name} has no digest to write")
    written = (head + mark + tail).encode()
    for name, digest in images.items():
        said["images"][name]["digest"] = digest
    if yaml.safe_load(written) != said:
        raise DeliveryError(f"{CHART}/values.yaml: digests cannot be written into images")
    return written
