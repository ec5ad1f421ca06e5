"""What a release is made of, and which files of the repository each part is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from tenantry_delivery.commits import Change, Source
from tenantry_delivery.errors import DeliveryError

#: First part of every name in a registry, as the chart and Flux's sources say.
PREFIX: Final = "tenantry"
CHART: Final = "charts/tenant-template"
MODULE: Final = "platform/terraform/modules/tenant"
IMAGES_FOLDER: Final = "platform/images"

_BASE: Final = re.compile(r"[a-z0-9][^\s@]*@sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Image:
    """A program's image.

    Attributes:
        name: Last part of its name in a registry.
        title: What it is, for people.
        recipe: The Containerfile, in `platform/images`; of a Python program, its stage of this
            name.
        base: The file that names what it stands on, in `platform/images`.
        projects: Distributions of the repository that are installed in it; or what else it is of.
        requirements: The locked file of what else is; empty where it is no Python program.
        chart_key: What the chart calls it; empty where the chart does not name it.
    """

    name: str
    title: str
    recipe: str
    base: str
    projects: tuple[str, ...] = ()
    requirements: str = ""
    chart_key: str = ""

    @property
    def inputs(self) -> tuple[str, ...]:
        """What it changes with."""
        paths = [f"{IMAGES_FOLDER}/{self.recipe}", f"{IMAGES_FOLDER}/{self.base}", *self.projects]
        return tuple(paths + ([self.requirements] if self.requirements else []))


IMAGES: Final = (
    Image(
        name="producer",
        title="Accepts tenants' messages over HTTP and sends them to their queues.",
        recipe="python.Containerfile",
        base="python.json",
        projects=("libs/tenantry", "services/producer"),
        requirements="requirements/producer.txt",
        chart_key="producer",
    ),
    Image(
        name="consumer",
        title="Stores tenants' messages from their queues in their tables, and reads them.",
        recipe="python.Containerfile",
        base="python.json",
        projects=("libs/tenantry", "services/consumer"),
        requirements="requirements/consumer.txt",
        chart_key="consumer",
    ),
    Image(
        name="tenantctl",
        title="The control plane: onboards, deploys, moves and offboards tenants by Git.",
        recipe="python.Containerfile",
        base="python-with-git.json",
        projects=("libs/tenantry", "platform/tenantctl"),
        requirements="requirements/tenantctl.txt",
    ),
    Image(
        name="tf-runner",
        title="Runs the Terraform of tenants and pools, with its provider inside.",
        recipe="tf-runner.Containerfile",
        base="tf-runner.json",
        projects=(f"{IMAGES_FOLDER}/providers.tfrc", f"{MODULE}/versions.tf"),
        chart_key="runner",
    ),
)

#: What a chart is made from: its files, and the images that it names.
CHART_INPUTS: Final = tuple(
    dict.fromkeys([CHART, *(path for one in IMAGES if one.chart_key for path in one.inputs)])
)


@dataclass(frozen=True, slots=True)
class Base:
    """What an image stands on.

    Attributes:
        reference: `registry/repository@sha256:…`; a tag before the `@` is for people.
        python: Of which Python wheels are, as `3.13`; empty where it has none.
    """

    reference: str
    python: str = ""


@dataclass(frozen=True, slots=True)
class Named:
    """A part of a release by its name.

    Attributes:
        repository: As `tenantry/producer`.
        version: A tag that never moves.
        change: The commit that it is of.
    """

    repository: str
    version: str
    change: Change

    def __str__(self) -> str:
        """As registries have it."""
        return f"{self.repository}:{self.version}"


def base_version(source: Source) -> str:
    """What the next release is called: the chart's own version.

    Raises:
        DeliveryError: The chart says none.
    """
    said: Any = yaml.safe_load(source.read(f"{CHART}/Chart.yaml"))
    version = str(said.get("version", ""))
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise DeliveryError(f"{CHART}/Chart.yaml: version is {version!r}, no x.y.z")
    return version


def name_of(source: Source, name: str, inputs: tuple[str, ...]) -> Named:
    """What a part is called, as of the commit that changed it last."""
    change = source.changed(inputs)
    return Named(f"{PREFIX}/{name}", change.version(base_version(source)), change)


def base_of(source: Source, image: Image, given: Mapping[str, Base]) -> Base:
    """What an image stands on: what was given for its file, else what is committed.

    Raises:
        DeliveryError: It is not named by digest.
    """
    if image.base in given:
        return given[image.base]
    path = f"{IMAGES_FOLDER}/{image.base}"
    return read_base(path, source.read(path))


def read_base(path: str, data: bytes) -> Base:
    """What a file of a base says.

    Raises:
        DeliveryError: It says no base by digest; the text names the file.
    """
    try:
        said = json.loads(data)
        base = Base(said["image"], said.get("python", ""))
    except (ValueError, KeyError, TypeError):
        raise DeliveryError(
            f'{path}: it has to be JSON that says {{"image": …, "python": …}}'
        ) from None
    if not _BASE.fullmatch(base.reference):
        raise DeliveryError(
            f"{path}: {base.reference} is no image by digest: registry/repository@sha256:…"
        )
    if set(base.reference[-64:]) == {"0"}:
        raise DeliveryError(
            f"{path}: a digest of zeros stands for one that you choose: name the base that your "
            "registry has"
        )
    return base
