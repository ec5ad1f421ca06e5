"""Who is measured: ours, and what stands beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from tenantry_benchmarks import proc
from tenantry_benchmarks.gate import Door
from tenantry_local.model import Resources
from tenantry_local.processes import Process

OURS: Final = "ours"
PLAIN: Final = "plain"
GOOD: Final = "good"
FLOOR: Final = "floor"
PAIRS: Final = (PLAIN, GOOD)
BASELINES: Final = (*PAIRS, FLOOR)


@dataclass(frozen=True, slots=True)
class Twin:
    """A second process of a service; a consumer's is held from its start."""

    process: Process
    port: int
    door: Door


@dataclass(slots=True)
class Subject:
    """A producer and a consumer that can be measured, and the queue between them.

    Attributes:
        producer_port: Where it takes messages; 0 where there is a consumer alone.
        pids: The process of a service, `producer` or `consumer`; its children count with it.
        door: What its consumer's polls pass through.
        twins: Second processes, by service.
    """

    name: str
    resources: Resources
    producer_port: int
    pids: Callable[[str], int]
    door: Door
    twins: dict[str, Twin] = field(default_factory=dict)

    def cpu_seconds(self, service: str) -> float:
        """CPU of a whole service until now."""
        return proc.cpu_seconds(self.pids(service))

    async def hold(self) -> None:
        """Give the consumer, and its twin, nothing from now on."""
        for door in (self.door, *(twin.door for twin in self.twins.values())):
            await door.close()

    async def release(self, *, with_twin: bool = False) -> None:
        """Let the consumer take what there is; its twin only if that is asked for."""
        await self.door.open()
        if with_twin:
            for twin in self.twins.values():
                await twin.door.open()

    async def wait_held(self) -> None:
        """Wait until no poll of a consumer that is held could take a message."""
        for door in (self.door, *(twin.door for twin in self.twins.values())):
            await door.wait_closed()
