"""What the verbs need of the world. Adapters: `fleet`, `tenantry.registry`, `flux`, `laptop`.

Queues and tables have no port: every engine that tests use speaks AWS's own protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from tenantctl.model import Instance
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId


@dataclass(frozen=True, slots=True)
class Outputs:
    """What the tenant's Terraform made: the Secret `<instance>-outputs`."""

    queue_url: str
    dead_letter_queue_url: str
    table_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What the cluster has made of an instance's file.

    Attributes:
        exists: Whether it has a release of this name.
        instance: The values that it works with now; None where it has not taken up any yet.
        is_ready: All that those values ask for is there: workloads, queue, table.
        has_failed: It gave up, or is stuck, and says why in `detail`.
        is_suspended: Somebody told Flux to leave it alone: nothing will happen.
        detail: What it waits for or what went wrong, in words; empty when ready.
        chart: The release that runs, as `<version>@<digest>`; empty where not known.
        outputs: Of its Terraform; None where it has none (basic), or not yet.
    """

    exists: bool = False
    instance: Instance | None = None
    is_ready: bool = False
    has_failed: bool = False
    is_suspended: bool = False
    detail: str = ""
    chart: str = ""
    outputs: Outputs | None = None

    def follows(self, wanted: Instance) -> bool:
        """Whether exactly this is in force: the same values, and ready."""
        return self.instance == wanted and self.is_ready


class Cluster(Protocol):
    """The cluster that follows the fleet.

    Every method raises UnavailableError where it does not answer or denies.
    """

    async def applied(self, instance_id: str) -> Applied:
        """How far one instance is."""
        ...

    async def instances(self) -> dict[str, Applied]:
        """Every instance that it has a release of, by id."""
        ...

    async def strays(self) -> dict[str, tuple[str, ...]]:
        """What it has of instances without a release, by instance: each `kind namespace/name`."""
        ...

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        """What is still there of an instance that is to be gone, each as `kind namespace/name`."""
        ...

    async def sweep(self, instance_id: str) -> None:
        """Delete what its controllers leave behind of an instance that is gone; never its data."""
        ...

    async def nudge(self) -> None:
        """Look at the fleet now, and not when the interval ends; an advice, never an error."""
        ...


@dataclass(frozen=True, slots=True)
class Scanned:
    """Every item of the registry.

    Attributes:
        placements: By tenant, tombstones included.
        unreadable: Keys of items that are not understood, and why.
    """

    placements: dict[TenantId, Placement]
    unreadable: dict[str, str]


class Registry(Protocol):
    """All placements; tenantctl is their one writer."""

    async def get(self, tenant_id: TenantId) -> Placement | None:
        """The placement as it stands; raises UnavailableError."""
        ...

    async def change(
        self, tenant_id: TenantId, old: Placement | None, **changes: Any
    ) -> Placement:
        """Write `old` with changes as its next generation, and what was written.

        Raises RefusedError where somebody else wrote meanwhile.
        """
        ...

    async def scan(self) -> Scanned:
        """Every placement, tombstones included, and what is not understood."""
        ...


class Observer(Protocol):
    """Is told what happens while it happens: the CLI prints it, tests stop at it."""

    def step(self, name: str, detail: str = "") -> None:
        """A step has ended. What it did is done for good."""
        ...

    def waiting(self, what: str) -> None:
        """Nothing to do but wait, and for what; said again when it changes."""
        ...


@dataclass(slots=True)
class Recorder:
    """An observer that remembers."""

    steps: list[str] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)

    def step(self, name: str, detail: str = "") -> None:
        del detail
        self.steps.append(name)

    def waiting(self, what: str) -> None:
        if not self.waits or self.waits[-1] != what:
            self.waits.append(what)
