"""What a run does, decided before it starts: all that a generator process is told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

from tenantry_loadtests.pacing import Arrivals
from tenantry_loadtests.stages import Phase
from tenantry_loadtests.tenants import TenantEntry

#: A report has about so many windows at most; a day is counted in longer ones.
_WINDOWS: Final = 600


@dataclass(frozen=True, slots=True)
class Group:
    """Users that do the same.

    Attributes:
        name: What the report calls them.
        tenants: For whom they send, in turn.
        users: How many there always are; 0: the rest of those that the shape wants.
        rate: Messages a second of one user.
        follow_all: Every message is followed, whatever the budget is.
        batch_share: Of messages that are sent in batches.
    """

    name: str
    tenants: tuple[str, ...]
    users: int
    rate: float
    follow_all: bool
    batch_share: float


@dataclass(frozen=True, slots=True)
class RampPlan:
    """A ramp's steps; `Phase`s cannot be known before it."""

    first: int
    growth: float
    step_seconds: float
    most: int
    warm_up_seconds: float = 5.0


@dataclass(frozen=True, slots=True)
class Aws:
    """How queues are observed. None for the endpoint is AWS, with the credentials found there."""

    region: str | None
    endpoint_url: str | None
    access_key_id: str | None = None
    secret_access_key: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A run.

    Attributes:
        run: Its id: in every idempotency key.
        phases: Of every shape but a ramp.
        window_seconds: Of what is counted over time.
        follow_rate: Looks a second, of all generators together.
        follow_seconds: After which a followed message counts as not stored.
        request_seconds: After which a request is given up as not answered.
        give_up_seconds: After which a message that is not accepted is given up.
        metrics_urls: Of consumers, for the age of the oldest message and what they stored.
        pids: Of the services, if they run on this machine: for their memory.
        workers: Generator processes that have to connect; 0: one process does it all.
        bind: Where the master listens for them.
    """

    run: str
    shape: str
    seed: int
    tenants: tuple[TenantEntry, ...]
    groups: tuple[Group, ...]
    phases: tuple[Phase, ...]
    ramp: RampPlan | None
    window_seconds: float
    arrivals: Arrivals
    batch_size: int
    sizes: str
    types: str
    events: str | None
    follow_rate: float
    follow_seconds: float
    request_seconds: float
    give_up_seconds: float
    insecure: bool
    metrics_urls: tuple[str, ...]
    aws: Aws | None
    pids: tuple[int, ...]
    workers: int
    bind: tuple[str, int]

    def entry(self, tenant: str) -> TenantEntry:
        """A tenant of the list."""
        return next(entry for entry in self.tenants if entry.tenant == tenant)

    def to_wire(self, *, with_secrets: bool = False) -> dict[str, Any]:
        """As plain values.

        Args:
            with_secrets: Also where tokens are, and AWS credentials: for a private file, never
                for another machine.
        """
        wire = asdict(self)
        wire["tenants"] = [entry.to_wire(with_tokens=with_secrets) for entry in self.tenants]
        if not with_secrets:
            wire["aws"] = None
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Self:
        """What `to_wire` made, perhaps by way of JSON."""
        return cls(
            **{
                **wire,
                "tenants": tuple(TenantEntry.from_wire(entry) for entry in wire["tenants"]),
                "groups": tuple(
                    Group(**{**group, "tenants": tuple(group["tenants"])})
                    for group in wire["groups"]
                ),
                "phases": tuple(Phase(**phase) for phase in wire["phases"]),
                "ramp": RampPlan(**wire["ramp"]) if wire["ramp"] else None,
                "metrics_urls": tuple(wire["metrics_urls"]),
                "aws": Aws(**wire["aws"]) if wire["aws"] else None,
                "pids": tuple(wire["pids"]),
                "bind": tuple(wire["bind"]),
            }
        )

    def with_tokens_of(self, mine: tuple[TenantEntry, ...]) -> Self:
        """The master's plan, with the tokens that this machine's own list names.

        Raises:
            LookupError: The list lacks a tenant of the plan.
        """
        own = {entry.tenant: entry for entry in mine}
        return replace(
            self,
            tenants=tuple(
                replace(
                    entry,
                    token_file=own[entry.tenant].token_file,
                    token_command=own[entry.tenant].token_command,
                )
                for entry in self.tenants
            ),
        )

    def write(self, path: Path) -> None:
        """Write it to a file of its owner's alone."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            json.dump(self.to_wire(with_secrets=True), file)

    @classmethod
    def read(cls, path: Path) -> Self:
        """What `write` wrote."""
        return cls.from_wire(json.loads(path.read_text("utf-8")))


def window_for(seconds: float) -> float:
    """The length of a window for a load of so many seconds."""
    return float(max(1, round(seconds / _WINDOWS)))
