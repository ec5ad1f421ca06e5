"""Secrets of Terraform states without a cluster."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from tenantctl.errors import UnavailableError
from tenantctl.states import State


def a_state(
    name: str, serial: int = 1, *, lineage: str = "one", resources: tuple[str, ...] = ("queue",)
) -> State:
    """A Secret as OpenTofu writes it."""
    said: dict[str, Any] = {
        "version": 4,
        "serial": serial,
        "lineage": lineage,
        "resources": [{"name": each} for each in resources],
    }
    packed = gzip.compress(json.dumps(said).encode(), mtime=0)
    return State(
        name=name,
        labels={"tfstate": "true", "tfstateWorkspace": "default"},
        annotations={"encoding": "gzip"},
        type="Opaque",
        data={"tfstate": base64.b64encode(packed).decode()},
    )


class FakeStateSecrets:
    """The port `StateSecrets`.

    Attributes:
        held: What is there, by name.
        at_work: Instances whose Terraform may run.
        locked: Names of states on which somebody runs Terraform.
    """

    def __init__(self, *states: State) -> None:
        self.held = {each.name: each for each in states}
        self.at_work: set[str] = set()
        self.locked: set[str] = set()

    async def all(self) -> list[State]:
        return [self.held[name] for name in sorted(self.held)]

    async def get(self, name: str) -> State | None:
        return self.held.get(name)

    async def put(self, state: State, *, over: bool) -> None:
        if not over and state.name in self.held:
            raise UnavailableError(f"Secret tenant-infra/{state.name} is there already")
        self.held[state.name] = state

    async def is_at_work(self, instance_id: str) -> bool:
        return instance_id in self.at_work

    async def is_locked(self, name: str) -> bool:
        return name in self.locked
