"""Services started with what the chart gives their containers, on one machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from support.waiting import wait_for
from tenantry_local import child
from tenantry_local.processes import free_port

HOST: Final = "127.0.0.1"

_READY_SECONDS: Final = 60.0


@contextmanager
def service(
    name: str, settings: Mapping[str, str], folder: Path, pod: Mapping[str, str]
) -> Generator[str, None, None]:
    """A service with the chart's settings: another port, as there is one machine for all.

    Args:
        name: Of the service, and its module.
        settings: What the chart says.
        folder: For its log.
        pod: What EKS adds in a cluster: credentials, and where they are good.
    """
    port, private_port = free_port(), free_port()
    path = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    log = folder / f"{name}.log"
    tied = [sys.executable, "-I", "-S", child.__file__, str(os.getpid())]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*tied, sys.executable, "-m", name],
            env={
                **path,
                **settings,
                "TENANTRY_HOST": HOST,
                "TENANTRY_PORT": str(port),
                "TENANTRY_PRIVATE_PORT": str(private_port),
                **pod,
                "NO_PROXY": HOST,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text("utf-8", "replace")
            try:
                with _open(f"http://{HOST}:{private_port}/readyz"):
                    return True
            except OSError:
                return False

        wait_for(is_ready, seconds=_READY_SECONDS, what=f"a {name} that is ready")
        yield f"http://{HOST}:{port}"
    finally:
        process.kill()
        process.wait()


def _open(url: str, token: str = "", body: bytes | None = None) -> Any:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data=body, headers=headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return direct.open(request, timeout=10)


def http(url: str, token: str, body: Any = None) -> dict[str, Any]:
    """The answer to a request of a tenant's client: POST with a body, and else GET."""
    content = json.dumps(body).encode() if body is not None else None
    with _open(url, token, content) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
