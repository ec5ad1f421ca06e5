"""Service instances as processes: what each is told, and when it is ready."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from tenantry_local import issuer
from tenantry_local.clients import service_environment
from tenantry_local.engine import is_answering
from tenantry_local.model import (
    CONSUMER,
    ENVIRONMENT,
    HOST,
    PRODUCER,
    Instance,
    LaptopError,
    Options,
    Resources,
)
from tenantry_local.processes import Process, Processes, free_port
from tenantry_local.resources import REGISTRY_TABLE

if TYPE_CHECKING:
    from tenantry.registry import Tier

#: How long a consumer may finish what it holds, and how soon it tries a bad message again.
_DRAIN_SECONDS: Final = 2
_REJECTED_RETRY_SECONDS: Final = 1


@dataclass(slots=True)
class _Service:
    instance: str
    service: str
    tier: Tier
    resources: Resources
    port: int
    private_port: int
    process: Process | None = None
    number: int = 1

    @property
    def name(self) -> str:
        """`consumer`, and `consumer-2` of the second one of an instance."""
        return self.service if self.number == 1 else f"{self.service}-{self.number}"


class Services:
    """Producers and consumers, by instance and service."""

    def __init__(
        self, processes: Processes, options: Options, run_dir: Path, endpoint_url: str, jwks: Path
    ) -> None:
        self._processes = processes
        self._options = options
        self._run_dir = run_dir
        self._jwks = jwks
        self._base_environment = service_environment(endpoint_url)
        self._services: dict[tuple[str, str], _Service] = {}

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Every instance, as it stands now."""
        return tuple(self._instance(service) for service in self._services.values())

    def address(self, instance: str, service: str) -> str:
        """Where an instance listens, whether it runs or not."""
        return f"http://{HOST}:{self._find(instance, service).port}"

    def launch(self, instance: str, service: str, tier: Tier, resources: Resources) -> None:
        """Start a new instance, without waiting for it."""
        self._add(_Service(instance, service, tier, resources, free_port(), free_port()))

    def replicate(self, instance: str, service: str, count: int) -> None:
        """Start more of an instance's service until so many run, without waiting for them.

        The second is named `consumer-2`, and so on; requests go to the first.
        """
        first = self._find(instance, service)
        for number in range(2, count + 1):
            more = replace(
                first, port=free_port(), private_port=free_port(), process=None, number=number
            )
            if (instance, more.name) not in self._services:
                self._add(more)

    async def wait_ready(self) -> None:
        """Wait until every instance that runs is ready.

        Raises:
            LaptopError: One ended, or took too long.
        """
        async with aiohttp.ClientSession() as session:
            for entry in tuple(self._services.values()):  # others come and go meanwhile
                if entry.process is not None:
                    url = f"http://{HOST}:{entry.private_port}/readyz"
                    await self._processes.wait_ready(
                        entry.process,
                        lambda url=url: is_answering(session, url),  # type: ignore[misc]
                        seconds=self._options.ready_seconds,
                    )

    async def kill(self, instance: str, service: str, number: signal.Signals) -> None:
        """Send a signal; one that ends the process is waited for, 30 s at most.

        Raises:
            LaptopError: No such instance, it does not run, or it does not end.
        """
        entry = self._find(instance, service)
        if entry.process is None:
            msg = f"{service} of {instance} does not run"
            raise LaptopError(msg)
        self._processes.signal(entry.process, number)
        if number not in {signal.SIGKILL, signal.SIGTERM, signal.SIGINT}:
            return
        if await self._processes.wait_ended([entry.process], seconds=30.0):
            msg = f"{entry.process.name} did not end within 30 s of {number.name}"
            raise LaptopError(msg)
        self._processes.forget(entry.process)
        entry.process = None

    async def restart(self, instance: str, service: str) -> None:
        """Start an instance that ended, on its old ports, and wait until it is ready."""
        entry = self._find(instance, service)
        if entry.process is not None:
            await self._processes.stop([entry.process], seconds=10.0)
        self._spawn(entry)
        await self.wait_ready()

    def has(self, instance: str, service: str) -> bool:
        """Whether an instance has such a service, running or not."""
        return (instance, service) in self._services

    async def remove(self, instance: str, service: str | None = None) -> None:
        """End the processes of an instance, or those of one of its services, for good."""
        entries = [
            entry
            for entry in self._services.values()
            if entry.instance == instance and service in {None, entry.service}
        ]
        processes = [entry.process for entry in entries if entry.process is not None]
        await self._processes.stop(processes, seconds=10.0)
        for entry in entries:
            del self._services[entry.instance, entry.name]

    def _add(self, entry: _Service) -> None:
        self._services[entry.instance, entry.name] = entry
        self._spawn(entry)

    def _find(self, instance: str, service: str) -> _Service:
        try:
            return self._services[instance, service]
        except KeyError:
            msg = f"{instance} has no {service} here"
            raise LaptopError(msg) from None

    def _spawn(self, entry: _Service) -> None:
        options = self._options
        named = {PRODUCER: options.producer_command, CONSUMER: options.consumer_command}
        command = named[entry.service] or (sys.executable, "-m", entry.service)
        entry.process = self._processes.start(
            f"{entry.name} of {entry.instance}",
            command,
            env=self._environment(entry),
            cwd=self._run_dir,
            log=self._log(entry),
        )

    def _environment(self, entry: _Service) -> dict[str, str]:
        env = self._base_environment | {
            "TENANTRY_ENVIRONMENT": ENVIRONMENT,
            "TENANTRY_INSTANCE": entry.instance,
            "TENANTRY_TIER": entry.tier,
            "TENANTRY_HOST": HOST,
            "TENANTRY_PORT": str(entry.port),
            "TENANTRY_PRIVATE_PORT": str(entry.private_port),
            "TENANTRY_REGISTRY_TABLE": REGISTRY_TABLE,
            "TENANTRY_JWKS": str(self._jwks),
            "TENANTRY_JWT_ISSUER": issuer.ISSUER,
            "TENANTRY_JWT_AUDIENCE": issuer.AUDIENCE,
            "TENANTRY_SHUTDOWN_DELAY_SECONDS": "0",
            "TENANTRY_PLACEMENT_MAX_AGE_SECONDS": str(self._options.placement_max_age_seconds),
        }
        # Of the user's own settings the one that is worth a comparison here.
        if (transport := os.environ.get("TENANTRY_TRANSPORT")) is not None:
            env["TENANTRY_TRANSPORT"] = transport
        if entry.service == CONSUMER:
            env |= {
                "TENANTRY_QUEUE_URL": entry.resources.queue_url,
                "TENANTRY_TABLE_NAME": entry.resources.table_name,
                "TENANTRY_WAIT_SECONDS": str(self._options.wait_seconds),
                "TENANTRY_VISIBILITY_SECONDS": str(self._options.visibility_seconds),
                "TENANTRY_DRAIN_SECONDS": str(_DRAIN_SECONDS),
                "TENANTRY_REJECTED_RETRY_SECONDS": str(_REJECTED_RETRY_SECONDS),
            }
        return env | dict(self._options.extra_env.get(entry.service, {}))

    def _log(self, entry: _Service) -> Path:
        return self._run_dir / f"{entry.instance}-{entry.name}.log"

    def _instance(self, entry: _Service) -> Instance:
        return Instance(
            instance=entry.instance,
            service=entry.service,
            port=entry.port,
            private_port=entry.private_port,
            pid=entry.process.pid if entry.process else None,
            log=self._log(entry),
        )
