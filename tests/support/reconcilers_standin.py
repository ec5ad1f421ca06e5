"""Source- and helm-controller, and who else says Ready, where they cannot be had.

Honour, as the originals do: a suspended object is left alone; a chart that is not in the registry,
or is named by no digest, is not fetched and says why; a release waits for its source
(`SourceNotReady`) and for the namespace that it is installed in; its values are `valuesFrom` and
then its own; what a tenant's chart renders is applied with the rights of the release's account,
and the first object that is refused fails it (`InstallFailed`). An add-on's release brings the
definitions that its chart brings, and nobody says Ready of an object whose controller is not
installed.
Do not: fetch, verify (`tests/cluster/test_signatures.py`), roll back, uninstall, detect drift, or
render an add-on's chart.

Nothing happens between two calls of `tick`.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from chart.render import render
from cluster.admission import packaged
from support.cluster import Cluster
from support.file_server import served
from support.flux_controllers import NAMESPACE, SOURCE
from support.kube_api import Object
from support.waiting import wait_for

HELM: Final = "helm.toolkit.fluxcd.io/v2"
#: Which definitions an add-on's chart brings.
BRINGS: Final = {
    "argo-events": ("argoproj.io",),
    "external-secrets": ("external-secrets.io",),
    "karpenter-crds": ("karpenter.sh", "karpenter.k8s.aws"),
    "keda": ("keda.sh",),
    "monitoring": ("monitoring.coreos.com",),
    "tofu-controller": ("infra.contrib.fluxcd.io",),
}
#: Whose controller says Ready of which kinds.
SAYS_READY: Final = {
    "external-secrets": (
        ("external-secrets.io/v1", "ClusterSecretStore"),
        ("external-secrets.io/v1", "ExternalSecret"),
    ),
    "karpenter": (
        ("karpenter.k8s.aws/v1", "EC2NodeClass"),
        ("karpenter.sh/v1", "NodePool"),
    ),
}


class Standins:
    """Plays them on one cluster.

    Attributes:
        held: Add-ons whose release never gets Ready.
        published: Digests of charts that are in the registry, and verified.
        installed: Add-ons that are.
        plays_tenants: Whether tenants' releases are its own, or somebody else's.
    """

    def __init__(self, cluster: Cluster, served: Path, url: str) -> None:
        self.held: set[str] = set()
        self.published: set[str] = set()
        self.plays_tenants = True
        self._cluster = cluster
        self._served = served
        self._url = url
        self.installed: set[str] = set()

    # --- source-controller

    def push(self, fleet: Path, commit: str) -> None:
        """Have the source hold a folder, as of a commit."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for path in sorted(fleet.iterdir()):
                tar.add(path, path.name)
        data = buffer.getvalue()
        (self._served / f"{commit}.tar.gz").write_bytes(data)
        artifact = {
            "url": f"{self._url}/{commit}.tar.gz",
            "path": f"{commit}.tar.gz",
            "revision": f"main@sha1:{commit}",
            "digest": f"sha256:{hashlib.sha256(data).hexdigest()}",
            "size": len(data),
            "lastUpdateTime": _now(),
        }
        source = self._cluster.get(SOURCE, "GitRepository", NAMESPACE, NAMESPACE).body
        self._say(source, "True", "Succeeded", f"stored {commit}", artifact=artifact)

    def _sources(self) -> None:
        for found in self._list(SOURCE, "HelmRepository"):
            self._ready(found)
        for found in self._list(SOURCE, "OCIRepository"):
            digest = found["spec"].get("ref", {}).get("digest")
            is_tenants = found["metadata"]["namespace"] != NAMESPACE
            if found["spec"].get("suspend"):
                continue
            if is_tenants and digest not in self.published:
                said = f"failed to pull {found['spec']['url']}@{digest}: not found"
                self._say(found, "False", "OCIArtifactPullFailed", said)
            else:
                self._ready(found)

    # --- helm-controller

    def _releases(self) -> None:
        for found in self._list(HELM, "HelmRelease"):
            is_tenants = found["metadata"]["namespace"] != NAMESPACE
            if found["spec"].get("suspend") or _is_said(found, "True"):
                continue
            if is_tenants and not self.plays_tenants:
                continue
            if (why := self._wrong_source(found)) is not None:
                self._say(found, "False", "SourceNotReady", why)
            elif is_tenants:
                self._tenant(found)
            else:
                self._add_on(found)

    def _wrong_source(self, found: Object) -> str | None:
        spec = found["spec"]
        reference = spec.get("chartRef") or spec["chart"]["spec"]["sourceRef"]
        namespace = found["metadata"]["namespace"]
        source = self._cluster.get(SOURCE, reference["kind"], reference["name"], namespace)
        if not source.ok or not _is_said(source.body, "True"):
            return f"{reference['kind']} '{namespace}/{reference['name']}' is not ready"
        return None

    def _add_on(self, found: Object) -> None:
        name, namespace = found["metadata"]["name"], found["spec"]["targetNamespace"]
        if not self._cluster.get("v1", "Namespace", namespace).ok:
            self._say(found, "False", "InstallFailed", f'namespaces "{namespace}" not found')
        elif name not in self.held:
            if groups := BRINGS.get(name, ()):
                self._cluster.install_crds(*groups)
            self.installed.add(name)
            self._ready(found)

    def _tenant(self, found: Object) -> None:
        values: dict[str, Any] = {}
        for each in found["spec"].get("valuesFrom", []):
            told = self._cluster.get("v1", each["kind"], each["name"], "tenants").body
            values |= yaml.safe_load(told["data"][each["valuesKey"]])
        account = f"system:serviceaccount:tenants:{found['spec']['serviceAccountName']}"
        objects = render(packaged({**values, **found["spec"]["values"]}))
        # Helm, too, begins with namespaces.
        for each in sorted(objects, key=lambda one: one["kind"] != "Namespace"):
            answer = self._cluster.apply(each, dry_run=False, as_user=account)
            if not answer.ok:
                self._say(found, "False", "InstallFailed", answer.message)
                return
        self._ready(found)

    # --- all of them

    def tick(self) -> None:
        """Look at everything once."""
        self._sources()
        self._releases()
        for name in self.installed & SAYS_READY.keys():
            for version, kind in SAYS_READY[name]:
                for found in self._list(version, kind):
                    self._ready(found)

    def until(self, condition: Callable[[], object], *, what: str, seconds: float = 300.0) -> None:
        """Play until a condition holds."""

        def holds() -> object:
            self.tick()
            return condition()

        wait_for(holds, seconds=seconds, what=what)

    def _list(self, version: str, kind: str) -> list[Object]:
        return [
            {**each, "apiVersion": version, "kind": kind}
            for each in self._cluster.list(version, kind).body["items"]
        ]

    def _ready(self, found: Object) -> None:
        if not _is_said(found, "True"):
            self._say(found, "True", "Succeeded", "there")

    def _say(self, found: Object, status: str, reason: str, message: str, **more: Any) -> None:
        if not more and _is_said(found, status, message):
            return
        generation = found["metadata"]["generation"]
        condition = {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": _now(),
            "observedGeneration": generation,
        }
        told = {"conditions": [condition], **more}
        if found["apiVersion"] in {SOURCE, HELM}:
            told["observedGeneration"] = generation
        answer = self._cluster.request(
            "PATCH",
            f"{self._cluster.path(found)}/status",
            {"status": told},
            content="application/merge-patch+json",
        )
        assert answer.ok, answer.message


@contextmanager
def standins(cluster: Cluster, folder: Path) -> Generator[Standins]:
    """They and their file server, until the block ends."""
    folder.mkdir()
    with served(folder) as url:
        yield Standins(cluster, folder, url)


def condition(found: Object) -> dict[str, Any]:
    """What is said of being Ready, if it is of what the object is now."""
    said = found.get("status", {})
    current = found["metadata"]["generation"]
    for each in said.get("conditions", ()):
        if each["type"] == "Ready" and each.get("observedGeneration", current) == current:
            return dict(each)
    return {}


def _is_said(found: Object, status: str, message: str | None = None) -> bool:
    said = condition(found)
    return said.get("status") == status and message in {None, said.get("message")}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
