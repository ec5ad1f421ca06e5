"""A whole cluster of one node, a registry that it pulls from, and names for its Services."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tool
from e2e.cluster import dns
from e2e.cluster.images import push_pause
from e2e.cluster.inside import ADDRESS, is_inside
from e2e.cluster.node import PLACES, Node, start_proxy
from support.cluster import Cluster, open_cluster
from support.registry_process import Served
from tenantry_delivery.registry import Registry

COMMANDS: Final = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet",
    "kubectl",
)  # fmt: skip
#: In each folder that is made here, and so may be removed.
OURS: Final = "made-by-e2e"
_FOLLOWED: Final = (
    "apiextensions.k8s.io/v1",
    "CustomResourceDefinition",
    "terraforms.infra.contrib.fluxcd.io",
)


@dataclass
class Whole:
    """What there is, once it is all there.

    Attributes:
        cluster: Its API server.
        nodes: Where pods run, by name.
        registry: What they are pulled from.
        folder: Logs and data of all of it.
    """

    cluster: Cluster
    nodes: Mapping[str, Node]
    registry: Registry
    folder: Path

    @property
    def tools(self) -> Path:
        """Where kubectl is."""
        found = tool.built("kubernetes", *COMMANDS)
        assert found is not None, "`make tools` builds it"
        return found

    def kubectl(self, *words: str) -> str:
        """What kubectl says to an administrator."""
        user = self.cluster.kubeconfig("operator", "system:masters")
        command = [str(self.tools / "kubectl"), f"--kubeconfig={user}", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert 0 == done.returncode, done.stderr
        return done.stdout

    def write_state(self, path: Path) -> None:
        """How everything is just now, for a person who asks why a test failed."""
        told = [
            self.kubectl("get", "nodes,pods", "--all-namespaces", "--output=wide"),
            self.kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp"),
            self.kubectl(
                "get", "kustomizations,helmreleases,terraforms", "-A", "--ignore-not-found"
            )
            if self.cluster.get(*_FOLLOWED).ok
            else "",
        ]
        for pod in self.cluster.list("v1", "Pod").body["items"]:
            where = pod["metadata"]
            for which in ("", "--previous"):
                words = ["logs", where["name"], f"--namespace={where['namespace']}", "--tail=30"]
                with contextlib.suppress(AssertionError):  # one that never started has none
                    said = self.kubectl(*words, *filter(None, [which]))
                    told.append(f"== {where['namespace']}/{where['name']} {which}\n{said}")
        path.write_text("\n".join(told), "utf-8")


@contextlib.contextmanager
def opened(folder: Path, published: Path | None = None) -> Generator[Whole]:
    """In the namespaces that this process is in.

    Args:
        folder: For all that is written; it is made.
        published: What the registry has from the beginning, as one keeps it.

    Raises:
        AssertionError: These are the machine's own.
    """
    assert is_inside(), "a node is set up in namespaces of its own: `make e2e`"
    folder.mkdir(mode=0o700)
    (folder / OURS).touch()
    for part in ("registry", "control"):
        (folder / part).mkdir()
    if published is not None:
        shutil.copytree(published, folder / "registry/data")
    served = Served(folder / "registry")
    served.start()
    try:
        with (
            Registry(served.url) as registry,
            open_cluster(folder / "control", ADDRESS) as cluster,
            cluster.controller_manager(),
            cluster.scheduler(),
        ):
            pause = push_pause(registry)
            start_proxy(cluster, folder)
            nodes = {
                place.name: Node(cluster, folder / place.name, pause, place) for place in PLACES
            }
            for node in nodes.values():
                node.start()
            for node in nodes.values():
                node.wait()
            dns.start(cluster, registry)
            yield Whole(cluster, nodes, registry, folder)
    finally:
        served.end()
