"""Namespaces of its own for all that follows: network, mounts, processes, names.

`inside.py COMMAND…` as the first process of those that `scripts/e2e.sh` makes. When it ends,
however it ends, the kernel ends every process in them and takes interfaces, rules and mounts away;
left are a folder and control groups (`make e2e-clean`). Nothing has a way out, nobody a way in.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: Of the machine, as pods see it.
ADDRESS: Final = "10.89.0.1"
#: Of nodes, of which it is one.
NODES: Final = (ADDRESS, "10.89.0.2", "10.89.0.3", "10.89.0.4")
#: Of EKS's Pod Identity on every node.
POD_IDENTITY: Final = "169.254.170.23"
#: Where programs write whatever they are told.
_FRESH: Final = ("/run", "/var/log", "/var/lib")
#: Says to those inside that they are: nobody else may set up a node.
MARK: Final = "TENANTRY_E2E_INSIDE"


def main(command: Sequence[str]) -> None:
    """Set the namespaces up, and become the command."""
    for folder in _FRESH:
        _do("mount", "-t", "tmpfs", "-o", "mode=755", "e2e", folder)
    # Volumes of pods are seen by containers that were started before.
    _do("mount", "--make-rshared", "/")
    _do("ip", "link", "set", "lo", "up")
    for address in (*NODES, POD_IDENTITY):  # not every kernel has dummy interfaces
        _do("ip", "address", "add", f"{address}/32", "dev", "lo")
    # So that what pods ask of anybody else is refused at once, and not waited for.
    _do("ip", "route", "add", "unreachable", "default", "metric", "9999")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n", "ascii")
    os.environ[MARK] = str(network())
    os.execvp(command[0], list(command))


def network() -> int:
    """The network namespace that this process is in."""
    return Path("/proc/self/ns/net").stat().st_ino


def is_inside() -> bool:
    """Whether this process is in namespaces that were set up here."""
    return os.environ.get(MARK) == str(network())


def _do(*words: str) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
