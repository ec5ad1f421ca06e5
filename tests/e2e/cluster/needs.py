"""Whether a real node can run on this machine, and if not, what is missing."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

#: The status of a run on a machine that cannot.
CANNOT: Final = 5
CNI: Final = Path("/usr/lib/cni")
_PROGRAMS: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "ip": "iproute2",
    "unshare": "util-linux",
    "gcc": "gcc",
    "debootstrap": "debootstrap",
    "flock": "util-linux",
    "buildah": "buildah",
    "git": "git",
}
_PLUGINS: Final = ("host-local", "loopback", "portmap", "ptp")
_CONTROLLERS: Final = ("cpu", "cpuacct", "cpuset", "memory", "pids", "devices")


def missing() -> list[str]:
    """A line for each thing that is missing; none where a node can run."""
    found = []
    if os.geteuid() != 0:
        found.append("root: a node makes namespaces, mounts and control groups")
    found += [
        f"{program}: a package of Debian's, {package}"
        for program, package in _PROGRAMS.items()
        if shutil.which(program) is None
    ]
    if shutil.which("terraform") is None and shutil.which("tofu") is None:
        found.append("terraform or tofu: what tenants' queues and tables are made with")
    if not all((CNI / plugin).exists() for plugin in _PLUGINS):
        found.append(f"{CNI}: a package of Debian's, containernetworking-plugins")
    return found + _control_groups(Path("/sys/fs/cgroup"))


def _control_groups(root: Path) -> list[str]:
    if (root / "cgroup.controllers").exists():  # version 2
        there = (root / "cgroup.controllers").read_text("ascii").split()
        wanted = [name for name in _CONTROLLERS if name not in {"cpuacct", "devices"}]
        absent = [name for name in wanted if name not in there]
    else:
        absent = [name for name in _CONTROLLERS if not (root / name).is_dir()]
        if not absent and not os.access(root / "memory", os.W_OK):
            return [f"{root}: control groups cannot be made here"]
    return [f"{root}: no control groups for {', '.join(absent)}"] if absent else []


def main() -> int:
    """Say what is missing; the exit status."""
    found = missing()
    for line in found:
        sys.stderr.write(f"make e2e: missing: {line}\n")
    return CANNOT if found else 0


if __name__ == "__main__":
    sys.exit(main())
