"""Nodes: containerd and a kubelet each, whose pods are real.

All are on one machine, each with an address of its own. A pod has a way of its own to the machine,
so that whatever it sends, also to another pod of its node, passes the machine's rules.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster import dns, groups
from e2e.cluster.inside import ADDRESS, NODES
from e2e.cluster.needs import CNI
from support.cluster import Cluster
from support.waiting import wait_for

#: Of all nodes.
PODS: Final = "10.90.0.0/16"


#: What a node is for; pods of others stay away from it.
_POOL: Final = "tenantry.dev/node-pool"


@dataclass(frozen=True, slots=True)
class Place:
    """Which node.

    Attributes:
        number: From 0 on.
        pool: Of which node pool, whose pods alone it takes; of none where it is empty.
    """

    number: int
    pool: str = ""

    @property
    def name(self) -> str:
        """In the cluster."""
        return f"node-{self.pool or 'system'}"

    @property
    def address(self) -> str:
        """Its own."""
        return NODES[self.number]

    @property
    def pods(self) -> str:
        """Where its pods are."""
        return f"10.90.{self.number}.0/24"


#: As Karpenter's pools would have them; the first is everybody else's.
PLACES: Final = tuple(
    Place(number, pool) for number, pool in enumerate(("", "basic", "advanced", "premium"))
)


class Node:
    """A node of a cluster, in the namespaces that this process is in.

    Args:
        cluster: Which one; it ends what is started here.
        folder: What it writes; its path is short, since sockets are in it.
        pause: The image that holds a pod's namespaces, by name and digest.
        place: Which of the nodes.
    """

    def __init__(self, cluster: Cluster, folder: Path, pause: str, place: Place) -> None:
        self._cluster, self._folder, self._pause = cluster, folder, pause
        self._place = place
        self._socket = folder / "containerd.sock"

    def start(self) -> None:
        """Begin; `wait` until it is Ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        groups.make(self._place.name)
        self._start_containerd()
        self._start_kubelet()

    def wait(self) -> None:
        """Until it is Ready."""
        wait_for(self.is_ready, what=f"{self._place.name} ({self._folder})")

    def is_ready(self) -> bool:
        """Whether pods may come."""
        found = self._cluster.get("v1", "Node", self._place.name)
        conditions = found.body.get("status", {}).get("conditions", []) if found.ok else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _start_containerd(self) -> None:
        network = self._folder / "cni"
        network.mkdir(exist_ok=True)
        (network / "10-pods.conflist").write_text(json.dumps(_network(self._place)), "utf-8")
        config = self._folder / "containerd.toml"
        config.write_text(
            _CONTAINERD.format(
                folder=self._folder,
                socket=self._socket,
                pause=self._pause,
                cni=CNI,
                network=network,
            ),
            "utf-8",
        )
        self._cluster.run("/usr/bin/containerd", {"config": config})
        wait_for(self._socket.exists, what=f"containerd ({self._folder})")

    def _start_kubelet(self) -> None:
        user = self._cluster.kubeconfig(f"system:node:{self._place.name}", "system:nodes")
        self._kubelet = self._cluster.run(
            "kubelet",
            {
                "kubeconfig": user,
                "config": self._write("kubelet.yaml", self._configuration()),
                "hostname-override": self._place.name,
                "node-ip": self._place.address,
                "node-labels": f"topology.kubernetes.io/zone=zone-{self._place.number % 2}"
                + (f",{_POOL}={self._place.pool}" if self._place.pool else ""),
                "root-dir": self._folder / "kubelet",
                "cert-dir": self._folder / "kubelet-certificates",
            },
        )

    def _configuration(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._cluster.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "address": self._place.address,
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{groups.NAME}/{self._place.name}",
            "cgroupsPerQOS": True,
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            # What the machine has beside is not this cluster's to judge.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": [dns.ADDRESS],
            "clusterDomain": dns.DOMAIN,
            "resolvConf": "",
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "healthzPort": 0,
            "registerWithTaints": [
                {"key": _POOL, "value": self._place.pool, "effect": "NoSchedule"}
            ]
            if self._place.pool
            else [],
            "shutdownGracePeriod": "0s",
        }

    def _write(self, name: str, said: Mapping[str, Any]) -> Path:
        path = self._folder / name
        path.write_text(yaml.safe_dump(dict(said)), "utf-8")
        return path


def start_proxy(cluster: Cluster, folder: Path) -> None:
    """The machine's, for all nodes: what Services are in its rules."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(cluster.kubeconfig("system:kube-proxy"))},
        "mode": "iptables",
        "clusterCIDR": PODS,
        "bindAddress": ADDRESS,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }
    path = folder / "proxy.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    cluster.run("kube-proxy", {"config": path, "hostname-override": PLACES[0].name})


def _network(place: Place) -> dict[str, Any]:
    return {
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": place.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    "dataDir": "/run/cni",
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


# restrict_oom_score_adj: without CAP_SYS_RESOURCE no sandbox would start.
_CONTAINERD: Final = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni}"
    conf_dir = "{network}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""
