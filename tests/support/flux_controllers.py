"""Flux's own controllers, as they build from their modules, on the tests' API server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import tool
from support.cluster import HOST, Cluster
from tenantry_cloud import flux
from tenantry_cloud.reading import read_environment
from tenantry_local.processes import Processes, free_port

#: Where Flux is.
NAMESPACE: Final = "flux-system"
SOURCE: Final = "source.toolkit.fluxcd.io/v1"
KUSTOMIZE: Final = "kustomize.toolkit.fluxcd.io/v1"
#: Whose definitions come with Flux.
CONTROLLERS: Final = ("helm", "image", "kustomize", "notification", "source")
_READY_SECONDS: Final = 60.0
_DEV: Final = Path(__file__).parents[2] / "platform" / "environments" / "dev.tfvars"


def binary(of: str, name: str) -> Path | None:
    """A controller of a tool; None where it is not built."""
    folder = tool.built(of, name)
    return None if folder is None else folder / name


@contextmanager
def running(program: Path, cluster: Cluster, folder: Path, *options: str) -> Generator[Path]:
    """A controller that reconciles what is in `flux-system`, until the block ends; gives its log.

    Raises:
        LaptopError: It does not start, with the end of its log.
    """
    cluster.namespace(NAMESPACE)
    home = folder / program.name
    home.mkdir()
    health = f"{HOST}:{free_port()}"
    log = home / "log"
    processes = Processes()
    try:
        process = processes.start(
            program.name,
            [
                str(program),
                f"--health-addr={health}",
                "--metrics-addr=0",
                "--log-encoding=json",
                "--watch-all-namespaces=false",
                *options,
            ],
            env={
                "PATH": "",
                "HOME": str(home),
                "TMPDIR": str(home),
                "KUBECONFIG": str(cluster.kubeconfig(program.name, "system:masters")),
                "RUNTIME_NAMESPACE": NAMESPACE,
            },
            cwd=home,
            log=log,
        )

        async def is_ready() -> bool:
            return answers(f"http://{health}/readyz")

        asyncio.run(processes.wait_ready(process, is_ready, seconds=_READY_SECONDS))
        yield log
        asyncio.run(processes.stop([process], seconds=10.0))
    finally:
        processes.close()


def answers(url: str) -> bool:
    """Whether somebody says there that all is well."""
    try:
        with urlopen(url) as answer:
            return bool(answer.status == HTTPStatus.OK)
    except OSError:
        return False  # nothing listens yet


def options() -> list[str]:
    """Of kustomize-controller: those of a FluxInstance that many tenants share, and ours."""
    instance = flux.instance(read_environment(_DEV))
    ours = [
        each["value"]
        for patch in instance["spec"]["kustomize"]["patches"]
        if patch["target"].get("name") == "kustomize-controller"
        for each in json.loads(patch["patch"])
    ]
    assert instance["spec"]["cluster"]["multitenant"]
    return [
        *ours,
        "--no-cross-namespace-refs=true",
        "--no-remote-bases=true",
        "--default-service-account=default",
        "--requeue-dependency=1s",
    ]


def as_the_operator_leaves_it() -> list[dict[str, Any]]:
    """Accounts with their rights, and what is followed."""
    accounts = ("kustomize-controller", "helm-controller")
    return [
        *(
            {
                "apiVersion": "v1",
                "kind": "ServiceAccount",
                "metadata": {"name": name, "namespace": NAMESPACE},
            }
            for name in accounts
        ),
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "cluster-reconciler-flux-system"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [
                {"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}
                for name in accounts
            ],
        },
        {
            "apiVersion": SOURCE,
            "kind": "GitRepository",
            "metadata": {"name": NAMESPACE, "namespace": NAMESPACE},
            "spec": {"interval": "1m", "url": "https://gitea.example.com/platform/fleet.git"},
        },
        {
            "apiVersion": KUSTOMIZE,
            "kind": "Kustomization",
            "metadata": {"name": NAMESPACE, "namespace": NAMESPACE},
            "spec": {
                "interval": "10m",
                "path": "clusters/dev",
                "prune": True,
                "serviceAccountName": "kustomize-controller",
                "sourceRef": {"kind": "GitRepository", "name": NAMESPACE},
            },
        },
    ]
