"""Consumers of others, in environments of their own outside the tree: installed once, cached."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Final

from tenantry_benchmarks.baselines import __file__ as baselines_file
from tenantry_benchmarks.rig import Rig
from tenantry_benchmarks.starting import alive
from tenantry_benchmarks.subjects import Subject
from tenantry_local.model import LaptopError
from tenantry_local.paths import REPOSITORY
from tenantry_local.processes import Process, free_port

SQS_CONSUMER: Final = "sqs-consumer"
TASKIQ: Final = "taskiq"
OTHERS: Final = (SQS_CONSUMER, TASKIQ)

#: Exact, as in `node/package.json`: what was measured can be measured again.
TASKIQ_REQUIREMENTS: Final = ("taskiq==0.13.0", "taskiq-aio-sqs==2.1.1")
_NODE: Final = REPOSITORY / "benchmarks" / "node"
_INSTALL_SECONDS: Final = 180.0


def cache() -> Path:
    """Where environments are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "tenantry-benchmarks"


async def start(rig: Rig, name: str) -> Subject:
    """A consumer of others, on a queue and a table of its own; it has no producer.

    Raises:
        LaptopError: It cannot be installed or started here, and why.
    """
    if name == SQS_CONSUMER:
        place = await _installed_node()
        command = [str(shutil.which("node")), str(place / "consumer.mjs")]
    else:
        place = await _installed_taskiq()
        worker = [str(place / "bin" / "taskiq"), "worker", "taskiq_consumer:broker"]
        command = [*worker, "--workers", "1", "--log-level", "WARNING", "--app-dir", str(place)]
    resources, env = await rig.starter.place(name)
    port = free_port()
    door = await rig.gate.door()
    env |= {"PORT": str(port), "AWS_ENDPOINT_URL": door.url}
    process: Process
    if name == SQS_CONSUMER:
        process = await rig.starter.run(f"{name}-consumer", command, env, port)
    else:
        run_dir = rig.laptop.run_dir
        log = run_dir / f"{name}-consumer.log"
        process = rig.starter.processes.start(name, command, env=env, cwd=run_dir, log=log)
    return Subject(name, resources, 0, lambda _: alive(process), door)


def wrapped(name: str, body: str) -> str:
    """A message as this consumer takes it: taskiq has an envelope of its own."""
    if name != TASKIQ:
        return body
    return (
        '{"task_id":"%s","task_name":"store","labels":{},"labels_types":{},"args":[%s],'
        '"kwargs":{}}' % (os.urandom(16).hex(), body)
    )


async def _installed_node() -> Path:
    if shutil.which("node") is None or shutil.which("npm") is None:
        msg = "node and npm are not installed"
        raise LaptopError(msg)
    place = cache() / "node"
    wanted = (_NODE / "package.json").read_text("utf-8")
    done = place / "installed.json"
    if not done.exists() or done.read_text("utf-8") != wanted:
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(_NODE / "package.json", place)
        # No lock file: it would record where the packages came from.
        await _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", cwd=place)
        done.write_text(wanted, "utf-8")
    shutil.copy(_NODE / "consumer.mjs", place)
    return place


async def _installed_taskiq() -> Path:
    place = cache() / "taskiq"
    wanted = "\n".join((sys.version, *TASKIQ_REQUIREMENTS))
    done = place / "installed.txt"
    if not done.exists() or done.read_text("utf-8") != wanted:
        place.mkdir(parents=True, exist_ok=True)
        await _run(sys.executable, "-m", "venv", "--clear", str(place), cwd=place.parent)
        pip = (str(place / "bin" / "pip"), "install", "--quiet", *TASKIQ_REQUIREMENTS)
        await _run(*pip, cwd=place)
        done.write_text(wanted, "utf-8")
    shutil.copy(Path(baselines_file).with_name("taskiq_consumer.py"), place)
    return place


async def _run(*command: str, cwd: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    name = Path(command[0]).name
    try:
        async with asyncio.timeout(_INSTALL_SECONDS):
            _, said = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        msg = f"{name} {command[1]} took longer than {_INSTALL_SECONDS:.0f} s"
        raise LaptopError(msg) from None
    if process.returncode:
        lines = said.decode("utf-8", "replace").strip().splitlines() or ["(it said nothing)"]
        msg = f"{name} {command[1]} failed: {lines[-1]}"
        raise LaptopError(msg)
