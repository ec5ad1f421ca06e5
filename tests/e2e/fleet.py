"""The fleet on the cluster: Git, Flux's kustomize-controller, and stand-ins for who else follows.

The stand-ins play in a thread, as their originals would beside the story.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import traceback
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Final
from urllib.request import Request, urlopen

from e2e import helm_standin, tofu_standin
from e2e.aws import ENVIRONMENT, Aws
from e2e.release import BAD, NEXT, Release
from support.cluster import Cluster
from support.flux_controllers import (
    CONTROLLERS,
    NAMESPACE,
    as_the_operator_leaves_it,
    binary,
    options,
    running,
)
from support.flux_standin import FLEET
from support.git_server import Origin
from support.kube_api import Object
from support.reconcilers_standin import Standins, condition, standins
from support.waiting import wait_for
from tenantctl import facts
from tenantctl.model import RINGS
from tenantctl.releases import MODULE, Held, path_of_train, render_rings
from tenantctl.releases import Release as Named
from tenantctl.signatures import keys_folder

#: Between two looks of a stand-in; the originals are told of a change, or look each minute.
_SECONDS: Final = 0.5
_CHART: Final = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_MODULE: Final = "application/vnd.cncf.flux.content.v1.tar+gzip"
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_KUSTOMIZATION: Final = "kustomization.yaml"
_TRAINS: Final = ("basic", "advanced", "premium", "pools")


class Pulled:
    """What sources have pulled: parts of releases, by digest.

    Args:
        registry: Where from, as `http://…`.
        folder: Where to.
    """

    def __init__(self, registry: str, folder: Path) -> None:
        self._registry, self._folder = registry, folder
        folder.mkdir()

    def layer(self, repository: str, digest: str, media_type: str) -> Path | None:
        """A part's archive; None where the registry has none."""
        path = self._folder / f"{digest.partition(':')[2]}.tgz"
        if path.exists():
            return path
        where = f"{self._registry}/v2/{repository}"
        try:
            asked = Request(f"{where}/manifests/{digest}", headers={"Accept": _MANIFEST})
            with urlopen(asked, timeout=30) as answer:
                manifest = json.load(answer)
            [layer] = [one for one in manifest["layers"] if one["mediaType"] == media_type]
            with urlopen(f"{where}/blobs/{layer['digest']}", timeout=30) as answer:
                path.write_bytes(answer.read())
        except OSError:
            return None
        return path


@dataclass
class Fleet:
    """What follows the fleet, and the fleet.

    Attributes:
        cluster: Where.
        origin: The fleet's repository.
        log: Of kustomize-controller.
        wrong: What a stand-in fell over.
    """

    cluster: Cluster
    origin: Origin
    log: Path
    wrong: list[str] = field(default_factory=list)

    def entries(self) -> dict[str, Object]:
        """Flux's entry points in the cluster, by name."""
        version, kind = "kustomize.toolkit.fluxcd.io/v1", "Kustomization"
        items = self.cluster.list(version, kind, NAMESPACE).body["items"]
        return {each["metadata"]["name"]: each for each in items}

    def waiting(self) -> dict[str, str]:
        """Entry points that are not Ready, and why; suspended ones left out."""
        return {
            name: str(condition(each).get("message", "nothing is known of it"))
            for name, each in self.entries().items()
            if not each["spec"].get("suspend") and condition(each).get("status") != "True"
        }

    def until_ready(self, seconds: float = 300.0) -> None:
        """Wait for all of them; fail with who is not, and why."""
        try:
            wait_for(lambda: self.wrong or not self.waiting(), seconds=seconds)
        except AssertionError:
            raise AssertionError(f"not Ready: {self.waiting()} ({self.log})") from None
        assert not self.wrong, self.wrong[0]


def files(aws: Aws, release: Release, registry: str, folder: Path) -> dict[str, bytes]:
    """The fleet as it starts, with facts of this environment and the release on all rings."""
    shutil.copytree(FLEET, folder)
    path = folder / facts.facts_path(ENVIRONMENT)
    given = facts.parse("facts", aws.facts(registry))
    path.write_bytes(facts.render(given, path.read_bytes()))
    text = path.read_text("utf-8")
    image = f"{registry}/tenantry/tenantctl@{release.digest('tenantctl')}"
    path.write_text(text.replace("unset.invalid/tenantctl", image), "utf-8")
    # As its comment says: facts name the image that the control plane runs.
    followed = folder / f"clusters/{ENVIRONMENT}/kustomization.yaml"
    text = followed.read_text("utf-8")
    assert "control-plane|states" in text
    followed.write_text(text.replace("control-plane|states", "states"), "utf-8")
    keys = folder / keys_folder(ENVIRONMENT)
    key = Path(shutil.copy(release.key, keys))
    text = (keys / _KUSTOMIZATION).read_text("utf-8")
    assert "&keys []" in text
    (keys / _KUSTOMIZATION).write_text(text.replace("&keys []", f"&keys [{key.name}]"), "utf-8")
    for train in (*_TRAINS, MODULE):
        part = MODULE if train == MODULE else "tenant-template"
        named = Named(release.version(part), release.digest(part))
        rings = render_rings(train, dict.fromkeys(RINGS, Held(named)))
        (folder / path_of_train(ENVIRONMENT, train)).write_bytes(rings)
    return {
        str(each.relative_to(folder)): each.read_bytes()
        for each in sorted(folder.rglob("*"))
        if each.is_file()
    }


@contextmanager
def followed(
    cluster: Cluster, aws: Aws, release: Release, registry: str, folder: Path
) -> Generator[Fleet]:
    """A fleet that the cluster follows, until the block ends.

    Args:
        cluster: An empty one.
        aws: The environment.
        release: What all rings have.
        registry: Where it is, as `host:port`.
        folder: For all that is written; it is made.
    """
    program = binary("reconciling", "kustomize-controller")
    assert program is not None, "`make tools` builds it"
    folder.mkdir()
    origin = Origin(folder / "fleet.git", files(aws, release, registry, folder / "start"))
    pulled = Pulled(f"http://{registry}", folder / "pulled")

    def chart(source: Object) -> helm_standin.Chart | None:
        path = _archive(pulled, source, _CHART)
        ref = source["spec"].get("ref", {})
        return None if path is None else helm_standin.Chart(path, ref["tag"], ref["digest"])

    def module(source: Object) -> tuple[str, bytes] | None:
        path = _archive(pulled, source, _MODULE)
        ref = source["spec"].get("ref", {})
        revision = f"{ref['tag']}@{ref['digest']}"
        return None if path is None else (revision, path.read_bytes())

    with ExitStack() as stack:
        cluster.install_crds(*(f"{kind}.toolkit.fluxcd.io" for kind in CONTROLLERS))
        cluster.namespace(NAMESPACE)
        for each in as_the_operator_leaves_it():
            answer = cluster.apply(each, dry_run=False)
            assert answer.ok, answer.message
        api = stack.enter_context(cluster.beside())  # one thread plays them all
        played = stack.enter_context(standins(api, folder / "artifacts"))
        played.published |= {
            release.digest(part) for part in ("tenant-template", MODULE, NEXT, BAD)
        }
        played.plays_tenants = False
        administrator = cluster.kubeconfig("helm-controller", "system:masters")
        releases = stack.enter_context(helm_standin.played(api, administrator, chart))
        terraforms = tofu_standin.Terraforms(api, module)
        log = stack.enter_context(running(program, cluster, folder, *options()))
        found = Fleet(cluster, origin, log)
        stack.enter_context(_playing(found, played, releases, terraforms, folder))
        yield found


def _archive(pulled: Pulled, source: Object, media_type: str) -> Path | None:
    spec = source["spec"]
    digest = spec.get("ref", {}).get("digest", "")
    if spec.get("suspend") or not digest or condition(source).get("status") != "True":
        return None
    return pulled.layer(spec["url"].partition("//")[2].partition("/")[2], digest, media_type)


@contextmanager
def _playing(
    fleet: Fleet,
    played: Standins,
    releases: helm_standin.Releases,
    terraforms: tofu_standin.Terraforms,
    folder: Path,
) -> Generator[None]:
    """All stand-ins, one after the other, again and again."""
    ends = Event()

    def play() -> None:
        commit = ""
        while not ends.wait(_SECONDS):
            try:
                head = fleet.origin.git("rev-parse", "main").strip()
                if head != commit:
                    played.push(_checked_out(fleet.origin, head, folder), head)
                    commit = head
                played.tick()
                if "tofu-controller" in played.installed:
                    terraforms.tick()
                releases.tick()
            except Exception:  # noqa: BLE001 - the story tells it
                fleet.wrong.append(traceback.format_exc())
                return

    thread = Thread(target=play, name="stand-ins")
    thread.start()
    try:
        yield
    finally:
        ends.set()
        thread.join()


def _checked_out(origin: Origin, commit: str, folder: Path) -> Path:
    place = folder / "checked-out" / commit
    place.mkdir(parents=True)
    words = ["git", f"--git-dir={origin.folder}", "archive", commit]
    archive = subprocess.run(words, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        tar.extractall(place, filter="data")
    return place
