"""Flux's own controllers, as they build from their modules, on the tests' API server."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import tool
from support.cluster import HOST, Cluster
from tenantry_local.processes import Processes, free_port

#: Where Flux is.
NAMESPACE: Final = "flux-system"
_READY_SECONDS: Final = 60.0


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
