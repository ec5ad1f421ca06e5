"""Processes that do one job each and speak by lines: they end with the block that started them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from tenantry_local.model import LaptopError

#: One line may hold every latency and id of a run: some megabytes.
_LINE_BYTES: Final = 2**28


class Child:
    """A process that answers a line with a line."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self._name = name
        self._process = process

    @classmethod
    @asynccontextmanager
    async def up(cls, name: str, module: str, *arguments: str) -> AsyncGenerator[Child, None]:
        """`python -m module`, until the block ends."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            start_new_session=True,  # Ctrl-C is for the benchmark, which then ends it
        )
        try:
            yield cls(name, process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def ask(self, line: bytes) -> bytes:
        """Say a line, and wait for its answer.

        Raises:
            LaptopError: It ended.
        """
        assert self._process.stdin is not None  # noqa: S101 - it was started with pipes
        self._process.stdin.write(line + b"\n")
        return await self.read()

    async def read(self) -> bytes:
        """The next line.

        Raises:
            LaptopError: It ended.
        """
        assert self._process.stdout is not None  # noqa: S101 - it was started with pipes
        line = await self._process.stdout.readline()
        if not line:
            msg = f"{self._name} ended"
            raise LaptopError(msg)
        return line
