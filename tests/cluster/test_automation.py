"""What was published last, written into the fleet by Flux's own image-automation-controller.

The list of versions is image-reflector-controller's, which cannot be had: its verdict is put into
the status of the policies, as it would. The Git server takes no password here: the controller
sends none over plain HTTP.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any, Final

import pytest

from support.cluster import Cluster
from support.flux_controllers import NAMESPACE, binary, running
from support.flux_standin import FLEET, config_maps, flux_build, kustomize
from support.git_server import GitServer, Origin
from support.waiting import wait_for
from tenantctl.addons import NAME
from tenantctl.candidates import Candidate, parse_candidate, path_of_candidate
from tenantctl.gate.building import entry_points
from tenantctl.releases import Release

pytestmark = pytest.mark.cluster

PATH: Final = path_of_candidate("dev")
CHARTS, MODULES = "tenant-template", "tenant-module"
FIRST: Final = Release("1.4.0-main.7", f"sha256:{'b' * 64}")
SECOND: Final = Release("1.4.0", f"sha256:{'c' * 64}")
VERSION: Final = "image.toolkit.fluxcd.io/v1"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    """The fleet's repository, as it starts."""
    files = {
        str(path.relative_to(FLEET)): path.read_bytes()
        for path in FLEET.rglob("*")
        if path.is_file()
    }
    folder = tmp_path_factory.mktemp("git") / "fleet.git"
    return Origin(folder, files)


@pytest.fixture(scope="module")
def automation(
    cluster: Cluster, origin: Origin, tmp_path_factory: pytest.TempPathFactory
) -> Generator[Path]:
    """The controller at work on what the fleet's entry point brings; gives its log."""
    program = binary("notices", "image-automation-controller")
    if program is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("image-automation-controller is not built: `make test-cluster` does that")
    folder = tmp_path_factory.mktemp("automation")
    with (
        GitServer(origin.folder.parent).running() as server,
        running(program, cluster, folder) as log,
    ):
        for found in built(folder, server.url):
            if found["kind"] not in {"ExternalSecret", "ImageRepository"}:
                answer = cluster.apply(found, dry_run=False)
                assert answer.ok, answer.message
        yield log


def built(folder: Path, url: str) -> list[dict[str, Any]]:
    """The objects of the entry point, with this server as Gitea."""
    fleet = Path(shutil.copytree(FLEET, folder / "fleet"))
    objects = kustomize(fleet / "clusters" / "dev")
    maps = config_maps(objects)
    maps[NAME]["fleet_url"] = f"{url}/fleet"
    found = flux_build(fleet, entry_points(objects)["automation"], maps)
    for each in found:
        if each["kind"] == "GitRepository":
            assert each["spec"].pop("secretRef")
        if each["kind"] == "ImageUpdateAutomation":
            each["spec"]["interval"] = "1s"
    return found


def publish(cluster: Cluster, policy: str, release: Release) -> None:
    """As image-reflector-controller says which is the newest."""
    status = {
        "latestRef": {
            "name": f"registry.example.com/tenantry/{policy}",
            "tag": release.version,
            "digest": release.digest,
        },
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Succeeded",
                "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }
        ],
    }
    path = f"/apis/{VERSION}/namespaces/{NAMESPACE}/imagepolicies/{policy}/status"
    content = "application/merge-patch+json"
    answer = cluster.request("PATCH", path, {"status": status}, content=content)
    assert answer.ok, answer.message


def there(origin: Origin) -> Candidate:
    """What the fleet's file says."""
    return parse_candidate(PATH, f"{origin.read(PATH)}\n".encode())


def test_what_is_newest_is_written_into_one_file(
    cluster: Cluster, origin: Origin, automation: Path
) -> None:
    """With its marks and all else as they were; and the next one, too."""
    before = origin.read(PATH)
    files = origin.git("ls-tree", "-r", "refs/heads/main").splitlines()
    assert Candidate() == there(origin)

    publish(cluster, CHARTS, FIRST)
    publish(cluster, MODULES, FIRST)
    wait_for(lambda: there(origin) == Candidate(FIRST, FIRST), what=f"a commit ({automation})")
    publish(cluster, CHARTS, SECOND)
    wait_for(lambda: there(origin) == Candidate(SECOND, FIRST), what=f"a commit ({automation})")

    after = origin.read(PATH)
    assert [line.partition(" # ")[2] for line in before.splitlines()] == [
        line.partition(" # ")[2] for line in after.splitlines()
    ]
    changed = set(origin.git("ls-tree", "-r", "refs/heads/main").splitlines()) - set(files)
    assert [PATH] == [line.partition("\t")[2] for line in changed]
    subject, paths = origin.commits()[0]
    assert ("Candidate of dev", [PATH]) == (subject, paths)
    said = origin.git("log", "-1", "--format=%an%n%b", "refs/heads/main").splitlines()
    assert "image-automation" == said[0]
    assert f"{FIRST.version} -> {SECOND.version}" in said


def test_what_is_there_is_not_written_again(
    cluster: Cluster, origin: Origin, automation: Path
) -> None:
    """The controller looks each second, and pushes nothing."""
    path = f"/apis/{VERSION}/namespaces/{NAMESPACE}/imageupdateautomations/candidate"

    def looked() -> str:
        return str(
            cluster.request("GET", path).body.get("status", {}).get("lastAutomationRunTime")
        )

    wait_for(lambda: "T" in looked())
    head, first = origin.head, looked()
    wait_for(lambda: looked() not in {first, "None"}, what="another look")

    assert head == origin.head
