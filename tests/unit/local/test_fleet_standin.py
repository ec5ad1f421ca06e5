"""The laptop's stand-in for Flux, with nothing under it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from fakes.waiting import until
from support.fleets import a_tenant
from tenantctl.files import path_of, render
from tenantctl.laptop import LaptopCluster
from tenantry_local.fleet_standin import FleetStandin
from tenantry_local.model import ENVIRONMENT, LaptopError
from tenantry_local.resources import ResourceMaker
from tenantry_local.services import Services
from tenantry_local.tenants import Tenants


class BrokenLaptop:
    """Settles whoever comes, and never gets ready."""

    def __init__(self) -> None:
        self.settled: set[str] = set()

    def owns(self, name: str) -> bool:
        return name == "pool-1"

    def resources(self, name: str) -> None:
        del name

    async def settle(self, name: str, *_: Any) -> None:
        self.settled.add(name)

    async def forget(self, name: str) -> None:
        self.settled.discard(name)

    async def wait_ready(self) -> None:
        raise LaptopError("no port is free")


def commit(repository: Path, stream: bytes) -> None:
    head = b"commit refs/heads/main\ncommitter A <a@example.com> now\ndata 1\nx\n"
    subprocess.run(
        ("git", "-C", repository, "fast-import", "--quiet", "--force", "--date-format=now"),
        input=head + b"from refs/heads/main^0\n" + stream,
        check=True,
    )


@pytest.mark.parametrize("leaves", ["at once", "as offboarding"])
async def test_nothing_is_kept_of_who_never_came_up(tmp_path: Path, leaves: str) -> None:
    """Bug: its state stayed, and reconcile told of an orphan until the laptop ended."""
    laptop = BrokenLaptop()
    repository, state = tmp_path / "fleet.git", tmp_path / "state"
    standin = FleetStandin(
        repository,
        state,
        cast("ResourceMaker", laptop),
        cast("Services", laptop),
        cast("Tenants", laptop),
    )
    cluster = LaptopCluster(state)
    there = a_tenant("acme")
    path = path_of(ENVIRONMENT, there).encode()

    def put(data: bytes) -> bytes:
        return b"M 100644 inline %s\ndata %d\n%s\n" % (path, len(data), data)

    async with standin.follow(()):
        commit(repository, put(render(there)))
        await until(lambda: (state / "acme.json").exists() and "acme" in laptop.settled)
        await until(lambda: "no port" in (state / "acme.json").read_text())
        if leaves == "as offboarding":
            commit(repository, put(render(there.but(phase="offboarding"))))
        commit(repository, b"D %s\n" % path)
        await until(lambda: not (state / "acme.json").exists())

        assert await cluster.instances() == {}
        assert laptop.settled == set()
