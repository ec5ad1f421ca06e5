"""Doors in front of consumers: closed ones give their polls nothing. See `gate_process`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from tenantry_benchmarks.children import Child
from tenantry_local.model import HOST

#: Of one poll, in seconds.
WAIT_SECONDS: Final = 1
_POLL_MARGIN_SECONDS: Final = 0.3


@dataclass(slots=True)
class Door:
    """One consumer process's way to the engine."""

    child: Child
    port: int
    _closed_at: float | None = None

    @property
    def url(self) -> str:
        """What the consumer is told that the engine is."""
        return f"http://{HOST}:{self.port}"

    async def open(self) -> None:
        """Let its polls through."""
        self._closed_at = None
        await self.child.ask(f"open {self.port}".encode())

    async def close(self) -> None:
        """Let no poll through from now on; one that is on may still bring something."""
        if self._closed_at is None:
            await self.child.ask(f"close {self.port}".encode())
            self._closed_at = time.monotonic()

    async def wait_closed(self) -> None:
        """Wait until the last poll that was let through has ended; at once while it is open."""
        if self._closed_at is not None:
            left = self._closed_at + WAIT_SECONDS + _POLL_MARGIN_SECONDS - time.monotonic()
            await asyncio.sleep(max(0.0, left))


class Gate:
    """The process with all doors."""

    def __init__(self, child: Child) -> None:
        self._child = child

    @classmethod
    @asynccontextmanager
    async def up(cls, engine_port: int, *, delay_seconds: float = 0) -> AsyncGenerator[Gate, None]:
        """A gate in front of an engine, until the block ends."""
        arguments = (str(engine_port), str(delay_seconds))
        module = "tenantry_benchmarks.gate_process"
        async with Child.up("the gate", module, *arguments) as child:
            yield cls(child)

    async def door(self) -> Door:
        """A new door, open."""
        return Door(self._child, int(await self._child.ask(b"door")))

    async def take(self) -> dict[str, float]:
        """When each message was stored (since 1970), of those since the last time."""
        found: dict[str, float] = json.loads(await self._child.ask(b"take"))
        return found
