"""Flux's beginning: its operator, one instance, and the one Secret that nobody else can bring.

All of it stands on the managed nodes, which are tainted: Karpenter, which makes others, is
installed by Flux itself.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tenantry_cloud.model import Environment

NAMESPACE: Final = "flux-system"
#: Its chart and image have the same version; compatible with Flux 2.9.
OPERATOR: Final = "0.59.0"
OPERATOR_CHART: Final = "oci://ghcr.io/controlplaneio-fluxcd/charts/flux-operator"
_CONTROLLERS: Final = (
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    "image-reflector-controller",
    "image-automation-controller",
)
#: An annotation: `disabled`, the operator leaves an instance alone.
RECONCILE: Final = "fluxcd.controlplane.io/reconcile"
#: The managed nodes' taint.
TOLERATION: Final = {"key": "CriticalAddonsOnly", "operator": "Exists"}


def operator_values() -> str:
    """Values of the operator's chart."""
    return json.dumps(
        {
            "tolerations": [TOLERATION],
            "priorityClassName": "system-cluster-critical",
            "web": {"enabled": False},
        }
    )


def instance(said: Environment) -> dict[str, Any]:
    """The FluxInstance: which Flux, where it runs, and what it follows."""
    tolerations = [{"op": "add", "path": "/spec/template/spec/tolerations", "value": [TOLERATION]}]
    # A fact that is missing is an error: Flux by itself would fill in nothing.
    strict = [
        {
            "op": "add",
            "path": "/spec/template/spec/containers/0/args/-",
            "value": "--feature-gates=StrictPostBuildSubstitutions=true",
        }
    ]
    return {
        "apiVersion": "fluxcd.controlplane.io/v1",
        "kind": "FluxInstance",
        "metadata": {"name": "flux", "namespace": NAMESPACE},
        "spec": {
            # Without an artifact the operator takes the manifests in its own image, which name
            # each controller by digest: its version says what runs.
            "distribution": {
                "version": said.addons["flux"].version,
                "registry": "ghcr.io/fluxcd",
            },
            "components": list(_CONTROLLERS),
            "cluster": {
                "type": "aws",
                # Nothing refers across namespaces, and what names no account has no rights.
                "multitenant": True,
                "networkPolicy": True,
            },
            "kustomize": {
                "patches": [
                    {"target": {"kind": "Deployment"}, "patch": json.dumps(tolerations)},
                    {
                        "target": {"kind": "Deployment", "name": "kustomize-controller"},
                        "patch": json.dumps(strict),
                    },
                ]
            },
            "sync": {
                "kind": "GitRepository",
                "name": NAMESPACE,
                "url": f"{said.git.url}/{said.git.fleet}.git",
                "ref": f"refs/heads/{said.git.branch}",
                "path": f"clusters/{said.environment}",
                "pullSecret": NAMESPACE,
            },
        },
    }


def namespace() -> dict[str, Any]:
    """Where all of it is."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def git_secret(username: str, password: str) -> dict[str, Any]:
    """What Flux reads the fleet with, until external-secrets keeps it up to date."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": NAMESPACE, "namespace": NAMESPACE},
        "type": "Opaque",
        "stringData": {"username": username, "password": password},
    }


def manifest(*objects: dict[str, Any]) -> str:
    """As kubectl reads them."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
