"""Ends a laptop's processes when the laptop is gone, however it went.

Runs as a process of its own, from this file alone: it imports nothing but the standard
library. The laptop holds the other end of its standard input and writes `+<group>` for each
process group it starts and `-<group>` for each that ended. At end of file, which SIGKILL
brings as surely as an ordinary end, every group still named is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    """Read until the laptop is gone; then end what it left."""
    # A terminal's Ctrl-C is the laptop's to handle.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin.buffer:
        group = int(line[1:])
        if line.startswith(b"+"):
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
