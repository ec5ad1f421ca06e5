"""CoreDNS, as clusters have it: pods behind a Service, whose address every pod is told."""

from __future__ import annotations

from typing import Any, Final

import tool
from e2e.cluster import images
from support.cluster import Cluster
from support.waiting import wait_for
from tenantry_delivery.registry import Registry

#: Of its Service.
ADDRESS: Final = "10.96.0.10"
DOMAIN: Final = "cluster.local"
_SPACE: Final = "kube-system"
_NAME: Final = "kube-dns"
#: Of its pods, too: network policies know the port of who answers, not of the Service.
_PORT: Final = 53
_COREFILE: Final = f"""\
.:{_PORT} {{
  errors
  ready :8181
  kubernetes {DOMAIN} in-addr.arpa
}}
"""


def start(cluster: Cluster, registry: Registry) -> None:
    """Until it answers."""
    found = tool.built("coredns")
    assert found is not None, "`make tools` builds it"
    image = images.push(registry, found / "coredns")
    answer = cluster.apply(_objects(image), dry_run=False)
    assert answer.ok, answer.message

    def is_ready() -> bool:
        status = cluster.get("apps/v1", "Deployment", "coredns", _SPACE).body.get("status", {})
        return bool(status.get("readyReplicas"))

    wait_for(is_ready, what="CoreDNS")


def _objects(image: str) -> list[dict[str, Any]]:
    here = {"name": "coredns", "namespace": _SPACE}
    labels = {"k8s-app": _NAME}  # by which network policies know it
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": here},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "system:coredns"},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "pods", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "system:coredns"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "system:coredns",
            },
            "subjects": [{"kind": "ServiceAccount", **here}],
        },
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": here,
            "data": {"Corefile": _COREFILE},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": here,
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": _pod(image)},
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": _NAME, "namespace": _SPACE},
            "spec": {
                "clusterIP": ADDRESS,
                "selector": labels,
                "ports": [
                    {
                        "name": f"dns-{way.lower()}",
                        "port": _PORT,
                        "targetPort": _PORT,
                        "protocol": way,
                    }
                    for way in ("UDP", "TCP")
                ],
            },
        },
    ]


def _pod(image: str) -> dict[str, Any]:
    container = {
        "name": "coredns",
        "image": image,
        "args": ["-conf", "/etc/coredns/Corefile"],
        "ports": [{"containerPort": _PORT, "protocol": way} for way in ("UDP", "TCP")],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns"}],
    }
    return {
        "serviceAccountName": "coredns",
        "dnsPolicy": "Default",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(_PORT)}],
        },
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": "coredns"}}],
    }
