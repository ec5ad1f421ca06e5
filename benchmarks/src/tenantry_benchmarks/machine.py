"""Where a run was: what its figures are figures of."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

from tenantry_local.engine import engine_python
from tenantry_local.model import LaptopError
from tenantry_local.paths import REPOSITORY

PACKAGES: Final = (
    *("tenantry", "tenantry-producer", "tenantry-consumer", "aiobotocore", "botocore", "boto3"),
    *("aiohttp", "fastapi", "starlette", "uvicorn", "uvloop", "httptools", "orjson", "pyjwt"),
    *("cryptography", "opentelemetry-sdk", "prometheus-client", "flask", "gunicorn"),
)
_MEBI: Final = 1_048_576


def describe(engine: str) -> dict[str, Any]:
    """The machine, its software, and this repository's commit."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_mib": _memory_mib(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := _version(name))},
        "engine": engine,
        "engine_version": _engine_version(engine),
    }


def _commit() -> str:
    git = shutil.which("git")
    if git is None:
        return "unknown"
    commit = _say(git, "rev-parse", "--short=12", "HEAD")
    is_changed = bool(_say(git, "status", "--porcelain", "--untracked-files=no"))
    return f"{commit or 'unknown'}{' and changes' if is_changed else ''}"


def _engine_version(engine: str) -> str:
    if engine != "embedded":
        return _version("tenantry-local") or "unknown"
    try:
        python = str(engine_python())
    except LaptopError:
        return "unknown"
    program = "import importlib.metadata as m; print(m.version('ministack'))"
    return _say(python, "-c", program) or "unknown"


def _say(*command: str) -> str:
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _memory_mib() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MEBI


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
