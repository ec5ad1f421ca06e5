"""Starts the baselines beside a laptop, on its engine."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp

from tenantry_benchmarks.gate import WAIT_SECONDS, Gate
from tenantry_benchmarks.subjects import FLOOR, GOOD, PLAIN, Subject, Twin
from tenantry_local.clients import service_environment
from tenantry_local.engine import is_answering
from tenantry_local.laptop import Laptop
from tenantry_local.model import CONSUMER, HOST, PRODUCER, LaptopError, Options, Resources
from tenantry_local.processes import Process, Processes, free_port
from tenantry_local.proxy import Proxy, proxy_up
from tenantry_local.resources import ResourceMaker

#: How gunicorn runs each pair where CPU is measured: what was cheapest for it of sync and gthread
#: with 1, 16, 32 and 64 threads. A worker that takes one request at a time is gunicorn's default.
CHEAPEST: Final = MappingProxyType({PLAIN: ("sync", 1), GOOD: ("gthread", 32)})
#: The same where time is measured: one request at a time would wait for every call.
FASTEST: Final = MappingProxyType({PLAIN: ("gthread", 16), GOOD: ("gthread", 32)})

#: Coverage of tests in a service's process would be measured with it.
NOT_COVERED: Final = MappingProxyType(
    {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}
)
#: Longer than any message is in hand, however loaded the machine is.
VISIBILITY_SECONDS: Final = 300
_READY_SECONDS: Final = 30.0
_PACKAGE: Final = "tenantry_benchmarks.baselines"


@dataclass(slots=True)
class Starter:
    """Starts baselines.

    Attributes:
        endpoint_url: What producers call; consumers call a door of the gate.
        proxies: Gets the proxy in front of SSM, if calls are counted.
    """

    laptop: Laptop
    session: aiohttp.ClientSession
    stack: AsyncExitStack
    processes: Processes
    endpoint_url: str
    gate: Gate
    workers: Mapping[str, tuple[str, int]]
    proxies: list[Proxy] | None = None

    async def start(self, name: str) -> Subject:
        """A baseline's queue, table, producer and consumer.

        Raises:
            LaptopError: One of them does not start.
        """
        resources, env = await self.place(name)
        door = await self.gate.door()
        if name == PLAIN:
            env["AWS_ENDPOINT_URL_SSM"] = await self._ssm(resources.queue_url, env)
        ports = {PRODUCER: free_port(), CONSUMER: free_port()}
        envs = {PRODUCER: env, CONSUMER: {**env, "AWS_ENDPOINT_URL": door.url}}
        running = {
            service: self._python(
                f"{name}-{service}", *self._command(name, service, port), env=envs[service]
            )
            for service, port in ports.items()
        }
        for service, process in running.items():
            await self._ready(process, ports[service])
        return Subject(
            name, resources, ports[PRODUCER], lambda service: alive(running[service]), door
        )

    async def place(self, name: str) -> tuple[Resources, dict[str, str]]:
        """Queue and table of a baseline, and the environment of its processes."""
        options = Options(visibility_seconds=VISIBILITY_SECONDS)
        resources = await ResourceMaker(self.laptop.engine, options).make(f"{name}-pair")
        return resources, {
            **service_environment(self.endpoint_url),
            **NOT_COVERED,
            "QUEUE_URL": resources.queue_url,
            "QUEUE_PARAMETER": "/tenants/pool-1/consumer_sqs",
            "TABLE_NAME": resources.table_name,
            "WAIT_SECONDS": str(WAIT_SECONDS),
        }

    async def run(
        self, name: str, command: Sequence[str], env: Mapping[str, str], port: int
    ) -> Process:
        """A process that answers `/readyz` on a port.

        Raises:
            LaptopError: It does not.
        """
        run_dir = self.laptop.run_dir
        log = run_dir / f"{name}.log"
        process = self.processes.start(name, command, env=env, cwd=run_dir, log=log)
        await self._ready(process, port)
        return process

    async def twin(self, subject: Subject, service: str) -> None:
        """A second process of a service, told all the same but for its ports.

        Raises:
            LaptopError: It does not start.
        """
        pid = subject.pids(service)
        command = _words(pid, "cmdline")
        env = dict(word.split("=", 1) for word in _words(pid, "environ"))
        # Ours has a port of its own for /readyz; the others answer it where they listen.
        old = [env[name] for name in ("TENANTRY_PORT", "TENANTRY_PRIVATE_PORT") if name in env]
        old = old or [command[command.index("--bind") + 1].rpartition(":")[2]]
        new = {port: str(free_port()) for port in old}
        for port, other in new.items():
            command = [word.replace(f":{port}", f":{other}") for word in command]
            env = {name: other if value == port else value for name, value in env.items()}
        door = await self.gate.door()
        if service == CONSUMER:
            await door.close()
            env["AWS_ENDPOINT_URL"] = door.url
        listening, private = int(new[old[0]]), int(new[old[-1]])
        process = await self.run(f"{subject.name}-{service}-2", command, env, private)
        subject.twins[service] = Twin(process, listening, door)

    def _command(self, name: str, service: str, port: int) -> tuple[str, ...]:
        if name == FLOOR:
            return f"{_PACKAGE}.floor", service, str(port)
        worker, threads = self.workers[name]
        return (
            *("gunicorn", "--workers", "1", "--worker-class", worker),
            *("--threads", str(threads), "--keep-alive", "75", "--timeout", "900"),
            *("--bind", f"{HOST}:{port}", "--log-level", "warning"),
            f"{_PACKAGE}.{name}_{service}:app",
        )

    async def _ssm(self, queue_url: str, env: Mapping[str, str]) -> str:
        port = free_port()
        module = f"{_PACKAGE}.ssm_standin"
        process = self._python("ssm", module, str(port), queue_url, env=env)
        await self._ready(process, port)
        url = f"http://{HOST}:{port}"
        if self.proxies is None:
            return url
        proxy = await self.stack.enter_async_context(proxy_up(url))
        self.proxies.append(proxy)
        return proxy.url

    def _python(self, name: str, module: str, *arguments: str, env: Mapping[str, str]) -> Process:
        run_dir = self.laptop.run_dir
        return self.processes.start(
            name,
            (sys.executable, "-m", module, *arguments),
            env=env,
            cwd=run_dir,
            log=run_dir / f"{name}.log",
        )

    async def _ready(self, process: Process, port: int) -> None:
        url = f"http://{HOST}:{port}/readyz"
        await self.processes.wait_ready(
            process, lambda: is_answering(self.session, url), seconds=_READY_SECONDS
        )


def _words(pid: int, name: str) -> list[str]:
    return [word for word in Path(f"/proc/{pid}/{name}").read_text("utf-8").split("\0") if word]


def alive(process: Process) -> int:
    """The id of a process.

    Raises:
        LaptopError: It ended.
    """
    if process.pid is None:
        msg = f"{process.name} ended; its log is {process.log.name}"
        raise LaptopError(msg)
    return process.pid
