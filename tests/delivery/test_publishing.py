"""From a commit to signed artefacts in a registry, by real tools, as a runner does it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from chart.render import render
from delivery.gitea import Gitea
from delivery.gitea_runner_standin import Job
from delivery.place import Place, furnished
from delivery.world import Made, World
from tenantctl.ociregistry import CHART, MODULE_FILES, Wanted, opened_releases
from tenantctl.releases import Release
from tenantctl.signatures import read_key

pytestmark = pytest.mark.delivery


@pytest.fixture(scope="module")
def published(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All that is released of the commit: from an empty Gitea, by its workflow."""
    folder = tmp_path_factory.mktemp("gitea")
    (folder / "server").mkdir()
    gitea = Gitea(folder / "server")
    gitea.start()
    try:
        job = released(world, furnished(gitea, folder, world.source), folder)
    finally:
        gitea.end()
    assert job.has_succeeded, job.log[-5_000:]
    told = {**world.make("images").parts, **world.make("chart").parts}
    assert 6 == len(told)
    # It was published by the job, and by nobody since.
    assert not [name for name, part in told.items() if part["new"]]
    return told


def released(world: World, place: Place, folder: Path) -> Job:
    """An operator starts a release."""
    for name, value in (
        ("REGISTRY", world.served.url),
        ("SIGNING_KEY", str(world.key())),
        ("PROVIDERS", str(world.folder / "providers")),
        ("SOURCE_URL", "https://gitea.example.com/platform/tenantry"),
    ):
        place.variable(name, value)
    # By the name that the workflow has: a machine may have another one first.
    (folder / "bin").mkdir()
    (folder / "bin/python3.11").symlink_to(Path(sys.base_prefix) / "bin/python3")
    env = world.env()
    kept = (
        "BASES",
        "BUILDAH_ISOLATION",
        "CONTAINERS_STORAGE_CONF",
        "COSIGN_PASSWORD",
        "PLATFORMS",
    )
    place.release.env = {
        **{name: env[name] for name in kept},
        "PATH": f"{folder / 'bin'}:{env['PATH']}",
        "XDG_CACHE_HOME": env.get("XDG_CACHE_HOME") or str(Path.home() / ".cache"),
    }
    assert 204 == place.dispatch(place.operator)
    return place.until(place.release, lambda job: job.event == "workflow_dispatch", seconds=800)


def manifest(world: World, repository: str, reference: str) -> Any:
    url = f"{world.served.url}/v2/{repository}/manifests/{reference}"
    kinds = ("index", "manifest")
    accept = ", ".join(f"application/vnd.oci.image.{kind}.v1+json" for kind in kinds)
    with urlopen(Request(url, headers={"Accept": accept})) as answer:
        return json.load(answer)


def blob(world: World, repository: str, digest: str) -> bytes:
    with urlopen(f"{world.served.url}/v2/{repository}/blobs/{digest}") as answer:
        return bytes(answer.read())


def image(world: World, part: dict[str, Any]) -> tuple[Any, Any]:
    """Manifest and configuration of the one platform that was built for."""
    listed = manifest(world, part["name"], part["digest"])
    [one] = listed["manifests"]
    found = manifest(world, part["name"], one["digest"])
    return found, json.loads(blob(world, part["name"], found["config"]["digest"]))


def test_the_same_commit_again_publishes_nothing(
    world: World, published: dict[str, dict[str, Any]]
) -> None:
    """Nor does it build, and every digest is what it was."""
    again = {**world.make("images").parts, **world.make("chart").parts}

    assert not [name for name, part in again.items() if part["new"]]
    assert {name: part["digest"] for name, part in published.items()} == {
        name: part["digest"] for name, part in again.items()
    }


def test_the_same_commit_is_the_same_image_wherever_it_is_built(
    world: World, published: dict[str, dict[str, Any]]
) -> None:
    """By a buildah that has never built anything, and without the registry."""
    conf = str(world.store("another"))

    made = world.make("images", "--only=producer", REGISTRY="", CONTAINERS_STORAGE_CONF=conf)

    assert 0 == made.status, made.err
    assert published["producer"]["digest"] == made.parts["producer"]["digest"]


def test_an_image_says_what_it_is_of(world: World, published: dict[str, dict[str, Any]]) -> None:
    """And runs as nobody in particular, by the program's own name."""
    part = published["consumer"]

    found, config = image(world, part)

    said = config["config"]
    assert ("65532:65532", ["python3", "-m", "consumer"]) == (said["User"], said["Entrypoint"])
    labels = {key.rpartition(".")[2]: value for key, value in said["Labels"].items()}
    assert (part["version"], part["commit"]) == (labels["version"], labels["revision"])
    # Nothing of the machine that built it.
    assert str(world.folder) not in json.dumps(config)
    assert "127.0.0.1" not in json.dumps(found)


@pytest.mark.parametrize("name", ["producer", "tenantctl"])
def test_a_program_is_all_that_an_image_adds(
    world: World, published: dict[str, dict[str, Any]], name: str
) -> None:
    """To its base: no wheel, no cache of pip's, nothing of what it was built with."""
    found, _ = image(world, published[name])
    _, *added = found["layers"]
    names: set[str] = set()
    for layer in added:
        data = blob(world, published[name]["name"], layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names |= {member.name.strip("./") for member in tar}

    assert {"app"} == {each.partition("/")[0] for each in names if each}
    assert not [each for each in names if each.endswith(".whl")]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("python3", "-m", "producer"), "TENANTRY_ENVIRONMENT"),
        (("tenantctl", "--help"), "Usage"),
    ],
)
def test_a_program_runs_in_its_image(
    world: World,
    published: dict[str, dict[str, Any]],
    tmp_path: Path,
    words: tuple[str, ...],
    text: str,
) -> None:
    """With no more than is in it, as the user that it says; compiled beforehand."""
    name = "producer" if "producer" in words else "tenantctl"
    found, config = image(world, published[name])
    for layer in found["layers"]:
        data = blob(world, published[name]["name"], layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            tar.extractall(tmp_path, filter="tar")
    env = dict(each.split("=", 1) for each in config["config"]["Env"])

    done = subprocess.run(
        [str(shutil.which("chroot")), "--userspec=65532:65532", str(tmp_path), *words],
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )

    assert text in done.stdout + done.stderr
    assert list((tmp_path / "app/tenantry/__pycache__").glob("*.pyc"))
    assert not (tmp_path / "wheels").exists()


def test_the_runner_has_its_provider_for_both_programs(
    world: World, published: dict[str, dict[str, Any]]
) -> None:
    """Once: the second is a link."""
    found, _ = image(world, published["tf-runner"])
    names: dict[str, tarfile.TarInfo] = {}
    for layer in found["layers"][1:]:
        data = blob(world, published["tf-runner"]["name"], layer["digest"])
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            names |= {member.name.strip("./"): member for member in tar}

    below = "hashicorp/aws/5.100.0/linux_amd64"
    real = names[f"opt/providers/registry.opentofu.org/{below}"]
    link = names[f"opt/providers/registry.terraform.io/{below}"]
    assert (True, True) == (real.isdir(), link.issym())
    place = Path("/opt/providers/registry.terraform.io/hashicorp/aws/5.100.0") / link.linkname
    assert f"/{real.name.strip('./')}" == str(Path(*_normal(place)))
    assert "opt/providers.tfrc" in names


def _normal(path: Path) -> list[str]:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return parts


def test_the_chart_names_the_images_that_are_there(
    world: World, published: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    """Exactly those, by digest, in what Helm renders of the package."""
    part = published["tenant-template"]
    said = manifest(world, part["name"], part["digest"])
    package = tmp_path / "chart.tgz"
    package.write_bytes(blob(world, part["name"], said["layers"][0]["digest"]))
    values = yaml.safe_load(
        (world.source / "charts/tenant-template/ci/premium-values.yaml").read_text("utf-8")
    )

    objects = render(values, package)

    wanted = {
        f"tenantry/{name}@{published[name]['digest']}"
        for name in ("producer", "consumer", "tf-runner")
    }
    text = json.dumps(objects)
    for each in wanted:
        assert each in text, each
    assert {part["version"]} == {
        each["metadata"]["labels"]["app.kubernetes.io/version"]
        for each in objects
        if each["kind"] == "Deployment"
    }


@pytest.mark.parametrize(
    ("name", "kind"), [("tenant-template", CHART), ("tenant-module", MODULE_FILES)]
)
def test_tenantctl_takes_what_was_published(
    world: World, published: dict[str, dict[str, Any]], name: str, kind: str
) -> None:
    """It asks for the version, the digest, the layer that Flux takes, and our signature."""
    part = published[name]
    key = read_key("ours.pub", world.key().with_suffix(".pub").read_bytes())
    release = Release(part["version"], part["digest"])

    async def require() -> None:
        async with opened_releases(world.served.url, Wanted(part["name"], kind, (key,))) as known:
            await known.require(release)

    asyncio.run(require())


@pytest.mark.parametrize(
    ("kind", "text"), [("cyclonedx", "pkg:pypi/"), ("slsaprovenance1", "gitCommit")]
)
def test_what_is_in_an_image_is_said_beside_it(
    world: World, published: dict[str, dict[str, Any]], kind: str, text: str
) -> None:
    """By the same key."""
    part = published["producer"]
    done = subprocess.run(
        [
            *("cosign", "verify-attestation", "--insecure-ignore-tlog", f"--type={kind}"),
            *("--allow-http-registry", f"--key={world.key().with_suffix('.pub')}"),
            f"{world.registry.host}/{part['name']}@{part['digest']}",
        ],
        env=world.env(),
        capture_output=True,
        text=True,
        check=True,
    )

    payload = base64.b64decode(json.loads(done.stdout.splitlines()[0])["payload"]).decode()
    assert text in payload


def test_a_line_of_the_producer_is_a_new_producer_and_chart(
    world: World, published: dict[str, dict[str, Any]]
) -> None:
    """And nothing else; a line of the documents is nothing at all."""
    world.change("docs/api.md")
    unchanged = {**world.make("images").parts, **world.make("chart").parts}
    assert not [name for name, part in unchanged.items() if part["new"]]
    world.change("services/producer/src/producer/__main__.py")

    made = Made(0, "", {**world.make("images").parts, **world.make("chart").parts})

    assert {"producer", "tenant-template"} == made.new
    before = published["tenant-template"]["version"].split(".")
    assert int(made.parts["tenant-template"]["version"].split(".")[3]) > int(before[3])
