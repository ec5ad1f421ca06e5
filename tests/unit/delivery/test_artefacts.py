"""What a release is made of, held to the repository's own files."""

from __future__ import annotations

import io
import json
import re
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from tenantry_delivery.artefacts import (
    CHART,
    CHART_INPUTS,
    IMAGES,
    IMAGES_FOLDER,
    PREFIX,
    Base,
    Named,
    base_version,
    read_base,
)
from tenantry_delivery.chart import chart, module
from tenantry_delivery.commits import Change, Source
from tenantry_delivery.errors import DeliveryError
from tenantry_delivery.statements import bill_of_materials, provenance
from tenantry_delivery.wheels import PLATFORMS, options

ROOT: Final = Path(__file__).resolve().parents[3]
CHANGE: Final = Change("c" * 40, 7, 1_700_000_000)
NAMED: Final = Named("tenantry/tenant-template", "0.1.0-main.7.gcccccccccccc", CHANGE)
DIGESTS: Final = {
    name: f"sha256:{letter * 64}"
    for name, letter in (("producer", "1"), ("consumer", "2"), ("runner", "3"))
}


class Files(Source):
    """The checkout as it is, committed or not."""

    def __init__(self) -> None:
        pass

    def read(self, path: str) -> bytes:
        return (ROOT / path).read_bytes()

    def files(self, folder: str) -> dict[str, bytes]:
        place = ROOT / folder
        return {
            str(path.relative_to(place)): path.read_bytes()
            for path in place.rglob("*")
            if path.is_file() and ".terraform" not in str(path.relative_to(place))
        }


def test_everything_that_a_part_is_made_from_is_there() -> None:
    """A folder that was moved would leave a part that never changes."""
    for path in {*CHART_INPUTS, *(path for image in IMAGES for path in image.inputs)}:
        assert (ROOT / path).exists(), path


def test_an_image_changes_with_every_distribution_that_is_in_it() -> None:
    """What a program asks for of ours is among its inputs, and is installed."""
    names = {
        tomllib.loads(path.read_text("utf-8"))["project"]["name"]: str(
            path.parent.relative_to(ROOT)
        )
        for path in ROOT.glob("*/*/pyproject.toml")
    }
    for image in IMAGES:
        if not image.requirements:
            continue
        for project in image.projects:
            said = tomllib.loads((ROOT / project / "pyproject.toml").read_text("utf-8"))
            asked = {
                re.split(r"[^\w-]", each)[0] for each in said["project"].get("dependencies", [])
            }
            assert {names[name] for name in asked & names.keys()} <= {*image.projects}


def test_a_recipe_has_a_stage_of_each_image() -> None:
    """By its name, with what a container of it runs."""
    for image in IMAGES:
        recipe = (ROOT / IMAGES_FOLDER / image.recipe).read_text("utf-8")
        if image.requirements:
            assert re.search(rf"(?m)^FROM program AS {image.name}\nENTRYPOINT \[", recipe)
        # As the chart's pods have it: a name would have to be in the base's list of users.
        assert "\nUSER 65532:65532\n" in recipe
        # Nothing but its argument is stood on: what is not by digest is another thing tomorrow.
        stages = re.findall(r"(?m)^FROM (?:--platform=\S+ )?(\S+)", recipe)
        assert {"${BASE}"} >= {*stages} - {"program"}


def test_the_chart_names_the_repositories_that_are_built() -> None:
    """And the registry's module makes them."""
    values = yaml.safe_load((ROOT / CHART / "values.yaml").read_text("utf-8"))

    assert {image.chart_key: f"{PREFIX}/{image.name}" for image in IMAGES if image.chart_key} == {
        name: image["repository"] for name, image in values["images"].items()
    }
    made = (ROOT / "platform/terraform/modules/registry/main.tf").read_text("utf-8")
    for name in (*(image.name for image in IMAGES), "tenant-template", "tenant-module"):
        assert re.search(rf"(?m)^    {name} +=", made), name


def test_a_packaged_chart_names_its_images_by_digest() -> None:
    """In the text as people wrote it: comments stay, and nothing else is another."""
    source = Files()

    files = unpacked(chart(source, NAMED, DIGESTS, "https://git/x").blobs)

    values = yaml.safe_load(files["tenant-template/values.yaml"])
    assert DIGESTS == {name: image["digest"] for name, image in values["images"].items()}
    about = yaml.safe_load(files["tenant-template/Chart.yaml"])
    assert (NAMED.version, NAMED.version) == (about["version"], about["appVersion"])
    changed = {"tenant-template/values.yaml", "tenant-template/Chart.yaml"}
    for path, data in files.items():
        was = source.read(f"{CHART}/{path.removeprefix('tenant-template/')}")
        assert (path in changed) is (was != data), path
    assert not [path for path in files if "/ci/" in path or path.endswith(".helmignore")]
    templates = source.files(f"{CHART}/templates")
    assert {f"tenant-template/templates/{path}" for path in templates} <= files.keys()


@pytest.mark.parametrize("images", [{}, {**DIGESTS, "other": "sha256:" + "4" * 64}])
def test_a_chart_of_other_images_is_refused(images: dict[str, str]) -> None:
    """One that was added and is not built, or the other way round."""
    with pytest.raises(DeliveryError, match=r"its images are consumer, producer, runner; built"):
        chart(Files(), NAMED, images, "https://git/x")


def test_the_module_is_at_the_root_of_its_archive() -> None:
    """Where Terraform objects look for it; tests are not in it."""
    files = unpacked(module(Files(), NAMED, "https://git/x").blobs)

    assert {"versions.tf", "queues.tf", "tenant_id.json"} <= files.keys()
    assert not [path for path in files if path.startswith("tests")]


def unpacked(blobs: Mapping[str, bytes | Path]) -> dict[str, bytes]:
    """The files of the one layer."""
    layers = [data for data in blobs.values() if isinstance(data, bytes) and data[:1] == b"\x1f"]
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        return {
            each.name: file.read() for each in tar if (file := tar.extractfile(each)) is not None
        }


def test_the_next_release_is_called_as_the_chart_says() -> None:
    """Three numbers."""
    assert re.fullmatch(r"\d+\.\d+\.\d+", base_version(Files()))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "it has to be JSON that says"),
        ("[]", "it has to be JSON that says"),
        ('{"python": "3.13"}', "it has to be JSON that says"),
        ('{"image": "registry/python:3.13"}', "no image by digest"),
        ('{"image": "registry/python@sha256:abc"}', "no image by digest"),
        (json.dumps({"image": f"registry/python@sha256:{'0' * 64}"}), "digest of zeros"),
    ],
)
def test_a_base_is_named_by_digest(text: str, why: str) -> None:
    """A tag is another image tomorrow."""
    with pytest.raises(DeliveryError, match=f"python.json: .*{why}"):
        read_base("python.json", text.encode())


def test_every_base_of_ours_says_what_it_is() -> None:
    """Zeros stand for one that only its owner can choose; then a build says so."""
    for path in (ROOT / IMAGES_FOLDER).glob("*.json"):
        said = json.loads(path.read_text("utf-8"))
        assert re.fullmatch(r"[a-z0-9.-]+/[^@]+@sha256:[0-9a-f]{64}", said["image"]), path


def test_wheels_are_asked_for_by_platform() -> None:
    """Of the C library that the base has, or an older one."""
    for platform, machine in (("linux/amd64", "x86_64"), ("linux/arm64", "aarch64")):
        said = options(platform, "3.13")
        assert f"--platform=manylinux_2_28_{machine}" in said
        assert f"--platform=manylinux_2_36_{machine}" in said
        assert "--python-version=3.13" in said
    assert not [word for word in said if "manylinux_2_37" in word or "x86" in word]
    with pytest.raises(DeliveryError, match=f"linux/s390x is no platform .*{PLATFORMS[0]}"):
        options("linux/s390x", "3.13")


def a_wheel(folder: Path, name: str, tag: str = "py3-none-any") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        about = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.0\nLicense-Expression: MIT\n\nx"
        archive.writestr(f"{name}-1.0.dist-info/METADATA", about)
        archive.writestr("x", tag)
    return path


def test_a_bill_lists_each_distribution_once(tmp_path: Path) -> None:
    """With a digest for each platform's wheel; and says that nobody scanned it."""
    base = Base(f"registry/python:3.13@sha256:{'b' * 64}", "3.13")
    wheels = {
        "linux/amd64": [a_wheel(tmp_path / "a", "pure"), a_wheel(tmp_path / "a", "native", "x86")],
        "linux/arm64": [a_wheel(tmp_path / "b", "pure"), a_wheel(tmp_path / "b", "native", "arm")],
    }
    wheels["linux/arm64"][0].write_bytes(wheels["linux/amd64"][0].read_bytes())

    said = bill_of_materials(NAMED, base, wheels)

    assert ("CycloneDX", "1.6") == (said["bomFormat"], said["specVersion"])
    assert {"base": 1, "pkg:pypi/pure@1.0": 1, "pkg:pypi/native@1.0": 2} == {
        each["bom-ref"]: len(each["hashes"]) for each in said["components"]
    }
    assert f"sha256:{'b' * 64}" == said["components"][0]["version"]
    assert [{"name": "tenantry:vulnerabilities", "value": "not scanned"}] == said["metadata"][
        "properties"
    ]
    assert said == bill_of_materials(NAMED, base, dict(reversed(wheels.items())))


def test_provenance_names_commit_and_all_that_went_in() -> None:
    """By digest, the same wherever it is built but for the builder."""
    said = provenance(NAMED, "https://git/x", "https://runner", {"a": "sha256:" + "1" * 64})

    assert [
        {"uri": "git+https://git/x", "digest": {"gitCommit": "c" * 40}},
        {"uri": "a", "digest": {"sha256": "1" * 64}},
    ] == said["buildDefinition"]["resolvedDependencies"]
    assert "https://runner" == said["runDetails"]["builder"]["id"]
