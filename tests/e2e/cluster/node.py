"""One node: containerd, the kubelet, kube-proxy. Its pods are real."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from e2e.cluster import groups
from e2e.cluster.inside import ADDRESS
from e2e.cluster.needs import CNI
from support.cluster import Cluster
from support.waiting import wait_for

NAME: Final = "node-1"
PODS: Final = "10.90.0.0/24"
#: Of the Service of CoreDNS.
DNS: Final = "10.96.0.10"
DOMAIN: Final = "cluster.local"


class Node:
    """A node of a cluster, in the namespaces that this process is in.

    Args:
        cluster: Which one; it ends what is started here.
        folder: What it writes; its path is short, since sockets are in it.
        pause: The image that holds a pod's namespaces, by name and digest.
    """

    def __init__(self, cluster: Cluster, folder: Path, pause: str) -> None:
        self._cluster, self._folder, self._pause = cluster, folder, pause
        self._socket = folder / "containerd.sock"

    def start(self) -> None:
        """Until it is Ready."""
        self._folder.mkdir(parents=True, exist_ok=True)
        groups.make()
        self._start_containerd()
        self._start_kubelet()
        self._cluster.run(
            "kube-proxy",
            {"config": self._write("proxy.yaml", self._proxy()), "hostname-override": NAME},
        )
        wait_for(self._is_ready, seconds=120, what=f"the node ({self._folder})")

    def _is_ready(self) -> bool:
        found = self._cluster.get("v1", "Node", NAME)
        conditions = found.body.get("status", {}).get("conditions", []) if found.ok else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _start_containerd(self) -> None:
        network = self._folder / "cni"
        network.mkdir(exist_ok=True)
        (network / "10-pods.conflist").write_text(json.dumps(_NETWORK), "utf-8")
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
        user = self._cluster.kubeconfig(f"system:node:{NAME}", "system:nodes")
        self._cluster.run(
            "kubelet",
            {
                "kubeconfig": user,
                "config": self._write("kubelet.yaml", self._kubelet()),
                "hostname-override": NAME,
                "node-ip": ADDRESS,
                "root-dir": self._folder / "kubelet",
                "cert-dir": self._folder / "kubelet-certificates",
            },
        )

    def _kubelet(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._cluster.authority)},
            },
            "authorization": {"mode": "Webhook"},
            "address": ADDRESS,
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{groups.NAME}",
            "cgroupsPerQOS": True,
            "failCgroupV1": False,
            "failSwapOn": False,
            "enforceNodeAllocatable": ["pods"],
            "localStorageCapacityIsolation": False,
            # What the machine has beside is not this cluster's to judge.
            "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "clusterDNS": [DNS],
            "clusterDomain": DOMAIN,
            "resolvConf": "",
            "volumePluginDir": str(self._folder / "volume-plugins"),
            "healthzBindAddress": "127.0.0.1",
            "shutdownGracePeriod": "0s",
        }

    def _proxy(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._cluster.kubeconfig("system:kube-proxy"))},
            "mode": "iptables",
            "clusterCIDR": PODS,
            "bindAddress": ADDRESS,
            "conntrack": {"maxPerCore": 0, "min": 0},
        }

    def _write(self, name: str, said: Mapping[str, Any]) -> Path:
        path = self._folder / name
        path.write_text(yaml.safe_dump(dict(said)), "utf-8")
        return path


_NETWORK: Final = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "pods0",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": PODS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
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
