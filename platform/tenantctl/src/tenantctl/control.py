"""What every verb works with: one environment, and the doors to Git, cluster, registry and AWS."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from tenantctl.ages import Ages
from tenantctl.check import Bounds
from tenantctl.errors import RefusedError, UnfinishedError
from tenantctl.inventory import Inventory
from tenantctl.model import Home, Instance
from tenantctl.ports import Applied, Cluster, Observer, Outputs, Recorder, Registry
from tenantctl.queues import Queues
from tenantctl.tables import Tables
from tenantctl.tenants import Tenants
from tenantry import names
from tenantry.registry import Placement
from tenantry.tenant_id import TenantId, parse_tenant_id

#: An id that left is not given again for so long, in seconds: a day more than dead letters are
#: kept, so that nothing of the old customer reaches the new one.
TOMBSTONE_SECONDS: Final = 15 * 86_400
#: For how long a queue keeps a message, in seconds (design §6, and the tenant's module).
RETENTION_SECONDS: Final = 4 * 86_400
#: The same of a dead-letter queue.
DEAD_RETENTION_SECONDS: Final = 14 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long things may take, in seconds.

    Attributes:
        placement_max_age: How old a placement may be that a service still uses.
        visibility: The longest visibility timeout of the environment's consumers.
        poll: Between two looks at something that is waited for.
        settle: Between two looks at a queue that have to find nothing.
        wait: For the cluster to follow a commit.
        write_rate: Write units a second that copies and deletions take of a table.
    """

    placement_max_age: float = 300
    visibility: float = 60
    poll: float = 2
    settle: float = 60
    wait: float = 1_800
    write_rate: float = 500


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """A dead-letter queue, and whose letters count: one tenant's in a pool, all (None) else."""

    url: str
    only: str | None


@dataclass(slots=True, kw_only=True)
class Control:
    """The collaborators of the verbs.

    Attributes:
        ages: Of queues' oldest messages; None where nobody measures them (on a laptop).
    """

    environment: str
    tenants: Tenants
    registry: Registry
    cluster: Cluster
    queues: Queues
    tables: Tables
    inventory: Inventory
    ages: Ages | None = None
    bounds: Bounds = field(default_factory=Bounds)
    timing: Timing = field(default_factory=Timing)
    observer: Observer = field(default_factory=Recorder)
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def until(
        self, ask: Callable[[], Awaitable[str]], *, seconds: float | None = None
    ) -> None:
        """Wait until `ask` has nothing left to wait for: it says what, or nothing.

        Raises:
            UnfinishedError: Not within `seconds` (`timing.wait`).
        """
        patience = self.timing.wait if seconds is None else seconds
        ends_at = self.clock() + patience
        while what := await ask():
            self.observer.waiting(what)
            if self.clock() >= ends_at:
                raise UnfinishedError(
                    f"not there after {patience:.0f} s: {what}. The same command goes on from here"
                )
            await self.sleep(self.timing.poll)

    async def until_at(self, moment: float, what: str) -> None:
        """Wait for a point in time (epoch seconds)."""
        while (left := moment - self.clock()) > 0:
            self.observer.waiting(f"{what}: {left:.0f} s")
            await self.sleep(min(left, self.timing.poll))

    async def until_applied(self, *instances: Instance, ready: bool = True) -> dict[str, Applied]:
        """Wait until the cluster has made these what their files say.

        Without `ready` until it has taken up what they say: what is on its way out need not
        come up first.

        Raises:
            UnfinishedError: Not in time, and what it still waits for.
            RefusedError: Flux was told to leave one alone.
        """
        found: dict[str, Applied] = {}
        await self.cluster.nudge()

        async def ask() -> str:
            for instance in instances:
                state = found[instance.id] = await self.cluster.applied(instance.id)
                if state.is_suspended:
                    raise RefusedError(
                        f"the release of {instance.id} is suspended in the cluster, and follows "
                        "nothing: resume it there (flux resume helmrelease)"
                    )
                if state.instance != instance or (ready and not state.is_ready):
                    why = state.detail or "the cluster to take up the commit"
                    return f"{instance.id}: {why}"
            return ""

        await self.until(ask)
        return found

    async def outputs(self, home: Home, tenant_id: str) -> Outputs:
        """Queue and table of a place.

        Raises:
            UnfinishedError: Its Terraform has not made them yet.
        """
        owner = home.owner(tenant_id)
        outputs = (await self.cluster.applied(owner)).outputs
        if outputs is None:
            raise UnfinishedError(f"queue and table of {owner} are not there yet")
        return outputs

    async def until_outputs(self, home: Home, tenant_id: str) -> Outputs:
        """Queue and table of a place that is kept up, as soon as the cluster says them.

        Raises:
            UnfinishedError: Not in time.
        """
        owner = home.owner(tenant_id)
        outputs: Outputs | None = None

        async def ask() -> str:
            nonlocal outputs
            outputs = (await self.cluster.applied(owner)).outputs
            return f"queue and table of {owner}" if outputs is None else ""

        await self.until(ask)
        assert outputs is not None  # noqa: S101 - nothing is left to wait for
        return outputs

    async def dead_letters(self, placement: Placement) -> list[DeadLetters]:
        """The dead-letter queues that may hold letters of a tenant: where it lives, and lived.

        The one beside its present queue is the first, if it is there.
        """
        home = Home(placement.tier, placement.pool)
        found: dict[str, DeadLetters] = {}
        for owner in (home.owner(placement.tenant_id), *self.left_pools(placement)):
            url = await self.queues.url(names.dead_letter_queue_name(self.environment, owner))
            if url is not None:
                only = None if owner == placement.tenant_id else placement.tenant_id
                found.setdefault(url, DeadLetters(url, only))
        return list(found.values())

    def left_pools(self, placement: Placement) -> dict[str, int]:
        """Pools that may hold dead letters of a tenant that left them, and when it did."""
        horizon = self.clock() - DEAD_RETENTION_SECONDS - self.timing.placement_max_age
        return {one.pool: one.at for one in placement.left if one.at > horizon}

    async def placement(self, tenant_id: str) -> Placement | None:
        """A tenant's placement as the registry has it."""
        return await self.registry.get(parse_tenant_id(tenant_id))

    def id_of(self, tenant_id: str) -> TenantId:
        """An id that was validated, as the library's type."""
        return parse_tenant_id(tenant_id)
