"""Becomes a process of a laptop: `child.py <pid of the laptop> <command> …`.

On Linux the kernel then kills it with the laptop, also in the moment in which the guardian
does not know it yet. Imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Tie this process to the laptop, then run the command in its place."""
    laptop, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != int(laptop):
        sys.exit("the laptop is gone")
    try:
        os.execvp(command[0], command)  # noqa: S606 - what the laptop was told to run
    except OSError as error:
        sys.exit(f"{command[0]} cannot be run: {error.strerror}")


if __name__ == "__main__":
    main()
