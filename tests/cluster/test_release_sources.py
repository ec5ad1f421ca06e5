"""What Flux gets to see of releases: each named by digest, verified, with the fleet's keys."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path
from typing import Final, get_args

import pytest

from chart.render import Object
from support.flux_standin import FLEET, kustomize
from support.signing import Signer
from tenantctl.contexts import ChartsSection
from tenantctl.model import RINGS
from tenantctl.ociregistry import CHART, MODULE_FILES
from tenantctl.releases import MODULE, Held, Line, Release, path_of_train, render_rings

pytestmark = pytest.mark.cluster

ENVIRONMENTS: Final = ("dev", "staging", "production")
RELEASE: Final = Release("1.4.0", f"sha256:{'a' * 64}")
CHARTS: Final = ChartsSection(registry="https://unset.invalid")
KEY: Final = Signer().pem


@pytest.fixture(params=ENVIRONMENTS)
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> list[Object]:
    """What an environment's releases build to, when every ring has one and there is a key."""
    fleet = Path(shutil.copytree(FLEET, tmp_path / "fleet"))
    for line in get_args(Line):
        held = Held(RELEASE, None, knows_before=True)
        path = fleet / path_of_train(request.param, line)
        path.write_bytes(render_rings(line, dict.fromkeys(RINGS, held)))
    keys = fleet / "keys" / request.param
    (keys / "2026.pub").write_bytes(KEY)
    listing = keys / "kustomization.yaml"
    listing.write_text(listing.read_text("utf-8").replace("&keys []", "&keys [2026.pub]"), "utf-8")
    return kustomize(fleet / "releases" / request.param)


def test_every_release_is_verified_and_named_by_its_digest(objects: list[Object]) -> None:
    """Of every line and ring, none more and none less, and in its namespace."""
    sources = [each for each in objects if each["kind"] == "OCIRepository"]

    assert len(get_args(Line)) * len(RINGS) == len(sources)
    for each in sources:
        spec = each["spec"]
        assert {"provider": "cosign", "secretRef": {"name": "release-keys"}} == spec["verify"]
        assert {"tag": RELEASE.version, "digest": RELEASE.digest} == spec["ref"]
        assert "suspend" not in spec
        assert "insecure" not in spec


def test_flux_takes_what_tenantctl_looked_at(objects: list[Object]) -> None:
    """The same repository, and a layer of the same type."""
    for each in objects:
        if each["kind"] != "OCIRepository":
            continue
        is_module = each["metadata"]["name"].startswith(f"{MODULE}-")
        repository = CHARTS.module if is_module else CHARTS.repository
        assert f"oci://unset.invalid/{repository}" == each["spec"]["url"]
        wanted = MODULE_FILES if is_module else CHART
        assert wanted == each["spec"]["layerSelector"]["mediaType"]


def test_the_keys_are_where_each_source_looks(objects: list[Object]) -> None:
    """In its own namespace, under a name that is always the same, as they are in the fleet."""
    secrets = {each["metadata"]["namespace"]: each for each in objects if each["kind"] == "Secret"}
    sources = {
        each["metadata"]["namespace"] for each in objects if each["kind"] == "OCIRepository"
    }

    assert sources == set(secrets)
    for each in secrets.values():
        assert "release-keys" == each["metadata"]["name"]
        assert {"2026.pub": KEY} == {
            name: base64.b64decode(text) for name, text in each["data"].items()
        }
