"""The embedded AWS engine: SQS, DynamoDB, STS and IAM on the loopback address."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import aiohttp

from tenantry_local.model import HOST, LaptopError
from tenantry_local.paths import REPOSITORY
from tenantry_local.processes import Process, Processes

_READY_SECONDS: Final = 30.0


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


async def start_engine(processes: Processes, port: int, run_dir: Path) -> Process:
    """Start the engine and wait until it answers.

    Raises:
        LaptopError: It is not installed, or did not start.
    """
    python = engine_python()
    # It leaves a file with its pid in the temporary folder when it is killed.
    temporary = run_dir / "engine"
    temporary.mkdir()
    process = processes.start(
        "the engine",
        [str(python), "-m", "ministack"],
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "SERVICES": "sqs,dynamodb,sts,iam",
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
        log=run_dir / "engine.log",
    )
    async with aiohttp.ClientSession() as session:

        async def answers() -> bool:
            return await is_answering(session, f"http://{HOST}:{port}/_ministack/health")

        await processes.wait_ready(process, answers, seconds=_READY_SECONDS)
    return process


async def is_answering(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether this address answers 200 within a second."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=1)) as response:
            return response.status == 200  # noqa: PLR2004 - OK
    except (aiohttp.ClientError, TimeoutError):
        return False
