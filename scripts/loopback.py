"""Runs a command in a new network namespace, after bringing its loopback interface up.

Started inside the namespace: `unshare --net python scripts/loopback.py COMMAND …`.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import sys
from typing import Final

# linux/sockios.h and linux/if.h
SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 0x1
REQUEST: Final = "16sh14x"


def bring_up(interface: str) -> None:
    """Set an interface up, as `ip link set … up` does; iproute2 is not on every machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack(REQUEST, interface.encode(), 0)
        _, flags = struct.unpack(REQUEST, fcntl.ioctl(control, SIOCGIFFLAGS, asked))
        changed = struct.pack(REQUEST, interface.encode(), flags | IFF_UP)
        fcntl.ioctl(control, SIOCSIFFLAGS, changed)


if __name__ == "__main__":
    interfaces = [name for _, name in socket.if_nameindex()]
    if any(name not in {"lo", "tunl0", "sit0", "ip6tnl0"} for name in interfaces):
        sys.exit("this is not a network namespace of its own")
    bring_up("lo")
    os.execvp(sys.argv[1], sys.argv[1:])  # noqa: S606 - its own arguments
