"""Starts processes, waits until they are ready, and ends every one of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from tenantry_local import child, guardian
from tenantry_local.model import HOST, LaptopError

#: Below the range that Linux and macOS take outgoing connections' ports from: a port found
#: free is not taken by somebody's request before its service listens.
_PORTS: Final = range(20_000, 32_000)
_PORT_TRIES: Final = 200
_POLL_SECONDS: Final = 0.02
_TAIL_LINES: Final = 15


@dataclass(frozen=True, slots=True)
class Process:
    """A process that was started, in a group of its own."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def pid(self) -> int | None:
        """Its id; None when it ended."""
        return self.popen.pid if self.popen.poll() is None else None


class Processes:
    """Every process of one laptop, and the guardian that outlives it."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._guardian = _start_guardian()

    @property
    def running(self) -> tuple[Process, ...]:
        """Those that were started and not forgotten."""
        return tuple(self._running)

    def start(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path
    ) -> Process:
        """Start a process whose output goes to a log. It dies with the thread that asks."""
        with log.open("ab") as output:
            popen = subprocess.Popen(
                [sys.executable, "-I", "-S", child.__file__, str(os.getpid()), *command],
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(name, popen, log)
        self._running.add(process)
        self._tell(f"+{popen.pid}\n")
        return process

    async def wait_ready(
        self, process: Process, ready: Callable[[], Awaitable[bool]], *, seconds: float
    ) -> None:
        """Wait until a process says that it is ready.

        Raises:
            LaptopError: It ended, or took too long; with the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not await ready():
            code = process.popen.poll()
            if code is not None:
                raise LaptopError(_failure(process, f"ended with status {code}"))
            if time.monotonic() > deadline:
                raise LaptopError(_failure(process, f"is not ready after {seconds:g} s"))
            await asyncio.sleep(_POLL_SECONDS)

    def signal(self, process: Process, number: signal.Signals) -> None:
        """Send a signal to the group of a process; nothing, if it ended."""
        if process.popen.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.popen.pid, number)

    async def stop(self, processes: Iterable[Process], *, seconds: float) -> list[Process]:
        """End processes in parallel: SIGTERM, and SIGKILL for those that take too long.

        Returns:
            Those that had to be killed.
        """
        waiting = [process for process in processes if process in self._running]
        for process in waiting:
            self.signal(process, signal.SIGTERM)
        late = await self.wait_ended(waiting, seconds=seconds)
        for process in late:
            self.signal(process, signal.SIGKILL)
        await self.wait_ended(late, seconds=1.0)
        for process in waiting:
            self.forget(process)
        return late

    async def wait_ended(self, processes: Iterable[Process], *, seconds: float) -> list[Process]:
        """Wait until processes end; those that still run after so many seconds."""
        deadline = time.monotonic() + seconds
        running = [process for process in processes if process.popen.poll() is None]
        while running and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
            running = [process for process in running if process.popen.poll() is None]
        return running

    def forget(self, process: Process) -> None:
        """No longer watch over a process that ended."""
        if process in self._running:
            self._running.remove(process)
            self._tell(f"-{process.popen.pid}\n")

    def close(self) -> None:
        """Kill what still runs, and let the guardian go."""
        for process in self._running:
            self.signal(process, signal.SIGKILL)
        # Reaped, so that the guardian is not left with the number of somebody else's group.
        for process in list(self._running):
            process.popen.wait()
            self.forget(process)
        self._stdin().close()
        self._guardian.wait()

    def _tell(self, line: str) -> None:
        self._stdin().write(line.encode())

    def _stdin(self) -> IO[bytes]:
        assert self._guardian.stdin is not None  # noqa: S101 - it was started with a pipe
        return self._guardian.stdin


def _start_guardian() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-S", guardian.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        bufsize=0,
    )


def _failure(process: Process, what: str) -> str:
    lines = process.log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:]
    tail = "\n".join(f"    {line}" for line in lines) or "    (it wrote nothing)"
    return f"{process.name} {what}; {process.log.name} ends with\n{tail}"


#: Handed out by this process: who got one may not listen on it yet. Forgotten when all were.
_given: set[int] = set()


def free_port() -> int:
    """A port on which nothing listens now, and that nobody else got here.

    Raises:
        LaptopError: None was found.
    """
    if len(_given) > len(_PORTS) // 2:
        _given.clear()
    for port in random.sample(_PORTS, _PORT_TRIES):
        if port not in _given and is_free(port):
            _given.add(port)
            return port
    msg = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise LaptopError(msg)


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
