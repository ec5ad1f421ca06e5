"""Tenants, pools and fleets of them, for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tenantctl.files import path_of, render
from tenantctl.fleet import Fleet, Snapshot, may_change
from tenantctl.model import Home, Instance

#: What edits of these fleets may touch.
MAY_CHANGE: Final = may_change("dev")
MakeFleet = Callable[..., Fleet]


def a_pool(name: str = "pool-1") -> Instance:
    """A pool."""
    return Instance(id=name, kind="pool", home=Home("basic", name))


def a_tenant(name: str = "acme", pool: str = "pool-1") -> Instance:
    """A basic tenant."""
    return Instance(id=name, home=Home("basic", pool))


def as_files(*instances: Instance) -> dict[str, bytes]:
    """The files of instances, by path."""
    return {path_of("dev", one): render(one) for one in instances}


def a_snapshot(*instances: Instance, **files: bytes) -> Snapshot:
    """A fleet with these files."""
    return Snapshot("0" * 40, as_files(*instances) | files)


def writing(*instances: Instance) -> Callable[[Snapshot], Mapping[str, bytes | None]]:
    """An edit that writes these."""
    return lambda _: dict(as_files(*instances))
