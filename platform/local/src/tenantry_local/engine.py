"""What stands for AWS on the loopback address: the embedded engine, or the stand-in.

The embedded engine (ministack) knows SQS, DynamoDB, STS and IAM. The stand-in is the project's
own: SQS with fair queues, and DynamoDB, fast enough to be no bottleneck of what is measured.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import aiohttp

from tenantry_local.model import HOST, EngineKind, LaptopError
from tenantry_local.paths import REPOSITORY
from tenantry_local.processes import Process, Processes

_READY_SECONDS: Final = 30.0

#: What an engine is called in pages and reports: a stand-in is never taken for anything else.
ENGINE_NAMES: Final[dict[EngineKind, str]] = {
    "embedded": "ministack",
    "standin": "stand-in (tenantry_local.aws_standin)",
}
#: What the embedded engine is started with: what services need. It knows many more.
SERVICES: Final = "sqs,dynamodb,sts,iam"

_HEALTH: Final[dict[EngineKind, str]] = {
    "embedded": "/_ministack/health",
    "standin": "/_standin/health",
}


def engine_python() -> Path:
    """The interpreter of the engine's own environment.

    Its botocore and ours exclude each other, so that it cannot be in ours.

    Raises:
        LaptopError: It is not installed.
    """
    named = os.environ.get("TENANTRY_ENGINE_PYTHON")
    python = Path(named) if named else REPOSITORY / ".venv-engine" / "bin" / "python"
    if not python.is_file():
        hint = "TENANTRY_ENGINE_PYTHON names it" if named else "`make demo` installs it"
        msg = f"the engine's environment is missing ({python}): {hint}"
        raise LaptopError(msg, status=2)
    return python


def check_engine(kind: EngineKind) -> None:
    """Whether an engine can be started, before anything is made.

    Raises:
        LaptopError: It is not installed.
    """
    if kind == "embedded":
        engine_python()


async def start_engine(
    processes: Processes,
    port: int,
    run_dir: Path,
    kind: EngineKind = "embedded",
    services: str = SERVICES,
) -> Process:
    """Start the engine and wait until it answers; the embedded one with these services of AWS.

    Raises:
        LaptopError: It is not installed, or did not start.
    """
    # ministack leaves a file with its pid in the temporary folder when it is killed.
    temporary = run_dir / "engine"
    temporary.mkdir()
    log = run_dir / "engine.log"
    if kind == "embedded":
        process = _start_embedded(processes, port, temporary, log, services)
    else:
        process = _start_standin(processes, port, temporary, log)
    async with aiohttp.ClientSession() as session:

        async def answers() -> bool:
            return await is_answering(session, f"http://{HOST}:{port}{_HEALTH[kind]}")

        await processes.wait_ready(process, answers, seconds=_READY_SECONDS)
    return process


def _start_embedded(
    processes: Processes, port: int, temporary: Path, log: Path, services: str
) -> Process:
    return processes.start(
        "the engine",
        [str(engine_python()), "-m", "ministack"],
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "SERVICES": services,
            "BIND_HOST": HOST,
            "GATEWAY_PORT": str(port),
            # Queue URLs name the engine, also when a proxy in front of it asked.
            "MINISTACK_HOST": HOST,
            # It opens listeners for services that it was not asked for.
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            # It looks for containers of its own; the user's Docker is none of its business.
            "DOCKER_HOST": f"unix://{temporary}/no-docker",
            "LOG_LEVEL": "WARNING",
            "PYTHONUNBUFFERED": "1",
        },
        cwd=temporary,
        log=log,
    )


def _start_standin(processes: Processes, port: int, temporary: Path, log: Path) -> Process:
    return processes.start(
        "the stand-in of AWS",
        [sys.executable, "-m", "tenantry_local.aws_standin", "--port", str(port)],
        env=dict(os.environ),
        cwd=temporary,
        log=log,
    )


async def is_answering(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether this address answers 200 within a second."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
            return response.status == 200  # noqa: PLR2004 - OK
    except (aiohttp.ClientError, TimeoutError):
        return False
