"""How fast this machine is now: a loop that every figure is also given in.

CPU on a shared machine is dearer while others use its caches and its other threads. A figure
divided by the loop's CPU, measured right beside it, says less about the neighbours.
"""

from __future__ import annotations

import hashlib
import time
from typing import Final

#: SHA-256 of one MiB, so often in one measurement: some tens of milliseconds.
ROUNDS: Final = 50
_BLOCK: Final = bytes(1_048_576)


def calibrate(rounds: int = ROUNDS) -> float:
    """CPU microseconds of one SHA-256 of 1 MiB, of this thread."""
    started = time.thread_time()
    for _ in range(rounds):
        hashlib.sha256(_BLOCK).digest()
    return (time.thread_time() - started) / rounds * 1e6
