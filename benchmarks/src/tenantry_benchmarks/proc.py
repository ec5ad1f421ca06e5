"""What processes cost, as the system counts it: whole processes, threads and children included."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
#: Linux's clock of a process by its id: clock_getcpuclockid(3).
_CPUCLOCK_SCHED: Final = 2


def tree(pid: int) -> list[int]:
    """A process and everything below it: gunicorn's workers, say."""
    found = [pid]
    for task in _list(f"/proc/{pid}/task"):
        try:
            children = Path(f"/proc/{pid}/task/{task}/children").read_text("ascii").split()
        except OSError:
            continue
        for child in children:
            found += tree(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """CPU that a process and its children used since their start: user and system, all threads."""
    return sum(_own_cpu_seconds(one) for one in tree(pid))


def peak_mebibytes(pid: int) -> float:
    """The most resident memory that each of them ever had (VmHWM), together."""
    return sum(_field(one, "VmHWM:") for one in tree(pid)) / 1024


def threads(pid: int) -> int:
    """Threads of a process and its children."""
    return sum(len(_list(f"/proc/{one}/task")) for one in tree(pid))


def total_cpu_seconds(pids: Iterable[int]) -> float:
    """The CPU of several trees."""
    return sum(cpu_seconds(pid) for pid in pids)


def _own_cpu_seconds(pid: int) -> float:
    try:
        # The process's own CPU clock: what utime and stime are made of, but not in steps of 10 ms.
        own = time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)
        fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    # And of its children that ended and were waited for.
    return own + sum(int(field) for field in fields[13:15]) / _TICKS


def _field(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(name)), 0)


def _list(path: str) -> list[str]:
    try:
        return os.listdir(path)  # noqa: PTH208 - names, no paths
    except OSError:
        return []
