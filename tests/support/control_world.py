"""An environment for tenantctl's verbs, in this process and with a time of its own.

Registry, queues and tables are on the stand-in of AWS; a cluster follows the fleet, and services
are at work. A verb's life can end at any of its outward calls, before or after it is done.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from fakes.aws import MemoryAws
from fakes.clock import Clock
from fakes.cluster import FakeCluster, make_table
from fakes.dying import KilledError
from fakes.fleet import MemoryFleet
from fakes.services import Services, ids_of
from support.fleets import MAY_CHANGE, as_files
from tenantctl.check import Bounds, check
from tenantctl.control import Control, Timing
from tenantctl.errors import ControlError
from tenantctl.fleet import Snapshot
from tenantctl.inventory import Inventory
from tenantctl.model import Instance
from tenantctl.places import Folder
from tenantctl.ports import Recorder
from tenantctl.queues import Queues
from tenantctl.registry import Placements
from tenantctl.tables import Tables
from tenantctl.tenants import Census, Tenants
from tenantctl.verbs.offboard import Offboarded, Offboarding, offboard
from tenantctl.verbs.onboard import Onboarded, Onboarding, onboard
from tenantry.registry import Placement, from_item
from tenantry.tenant_id import TenantId

ENVIRONMENT: Final = "dev"
REGISTRY: Final = "dev-tenants"
#: Well below the services' own time in tests that wait for it.
TIMING: Final = Timing(
    placement_max_age=30, visibility=20, poll=2, settle=5, wait=3_600, write_rate=1_000
)
NOW: Final = 1_763_800_000.0


class Mortal:
    """Counts what is called, and ends the caller's life at one of the calls, for good."""

    def __init__(self) -> None:
        self.calls = 0
        self.dies_at: int | None = None
        self.is_dead = False

    def felt(self) -> None:
        """Before and after each outward call."""
        if self.is_dead:
            raise KilledError
        self.calls += 1
        if self.calls == self.dies_at:
            self.is_dead = True
            raise KilledError


class Watcher(Recorder):
    """Remembers the steps; is one of the things that a life can end at."""

    def __init__(self, mortal: Mortal) -> None:
        super().__init__()
        self._mortal = mortal
        #: Is told each step.
        self.told: Callable[[str], None] = lambda _: None

    def step(self, name: str, detail: str = "") -> None:
        super().step(name, detail)
        self.told(name)
        self._mortal.felt()


class WatchedFleet:
    """A fleet whose caller may die before or after each call."""

    def __init__(self, fleet: Any, mortal: Mortal) -> None:
        self._fleet = fleet
        self._mortal = mortal
        #: Counts what may have changed it.
        self.changes = 0

    async def snapshot(self) -> Snapshot:
        """As the fleet."""
        self._mortal.felt()
        return await self._fleet.snapshot()  # type: ignore[no-any-return]

    async def log(self, path: str, *, limit: int = 5) -> Any:
        """As the fleet."""
        return await self._fleet.log(path, limit=limit)

    async def change(self, *args: Any, **more: Any) -> Any:
        """As the fleet."""
        self._mortal.felt()
        try:
            change = await self._fleet.change(*args, **more)
        finally:
            self.changes += 1
        self._mortal.felt()
        return change


class World:
    """All of it. `control` is what verbs are given."""

    def __init__(
        self,
        exports: Path,
        *instances: Instance,
        fleet: Any = None,
        seed: int = 0,
        bounds: Bounds | None = None,
        timing: Timing = TIMING,
    ) -> None:
        self.exports = exports
        self.rng = random.Random(seed)
        self.clock = Clock(NOW)
        self.mortal = Mortal()
        self.fleet: Any = fleet or MemoryFleet(as_files(*instances), MAY_CHANGE)
        self.bounds = bounds or Bounds()
        self.aws = MemoryAws(
            self.clock, before=self.mortal.felt, after=self.mortal.felt, seen=self._saw
        )
        self.cluster = FakeCluster(
            ENVIRONMENT, self._wanted, self.aws.others_sqs, self.aws.others_dynamodb, self.rng
        )
        self.cluster.felt = self.mortal.felt
        self.services = Services(
            self.clock,
            self.aws.others_sqs,
            self.aws.others_dynamodb,
            self.rng,
            timing.placement_max_age,
        )
        self.watcher = Watcher(self.mortal)
        self._watched = WatchedFleet(self.fleet, self.mortal)
        self._seen: tuple[int, Census] = (-1, Census("", {}, {}, {}))
        #: Tenants that go on sending while verbs wait.
        self.busy: set[str] = set()
        #: Instances whose consumers do nothing, and until when.
        self.behind: dict[str, float] = {}
        self.control = Control(
            environment=ENVIRONMENT,
            tenants=Tenants(self._watched, ENVIRONMENT, self.bounds),  # type: ignore[arg-type]
            registry=Placements(self.aws.dynamodb, REGISTRY, clock=self.clock),
            cluster=self.cluster,
            queues=Queues(self.aws.sqs, wait_seconds=0, sleep=self.sleep, clock=self.clock),
            tables=Tables(self.aws.dynamodb, clock=self.clock, sleep=self.sleep),
            inventory=Inventory(self.aws.sqs, self.aws.dynamodb),
            bounds=self.bounds,
            timing=timing,
            observer=self.watcher,
            clock=self.clock,
            sleep=self.sleep,
        )

    async def begin(self) -> World:
        """An environment whose instances are there, and nobody registered."""
        await make_table(self.aws.others_dynamodb, REGISTRY, "tenant_id")
        for _ in range(20):
            await self.cluster.tick()
        return self

    # Time

    async def sleep(self, seconds: float) -> None:
        """What verbs wait with."""
        self.mortal.felt()
        self.clock.advance(seconds)
        await self.turn()

    async def turn(self) -> None:
        """Everybody else has a turn."""
        await self.cluster.tick()
        for tenant_id in sorted(self.busy):
            if self.rng.random() < 0.3:
                await self.services.accept(tenant_id)
        await self.services.work(self._consumed())

    async def settle(self) -> None:
        """Nobody sends any more, and what is on queues is consumed."""
        self.busy.clear()
        self.behind.clear()
        for _ in range(12):
            self.clock.advance(25)
            await self.cluster.tick()
            await self.services.work(self._consumed(), eager=True)

    def _consumed(self) -> list[str]:
        return [
            outputs.queue_url
            for owner, outputs in self.cluster.outputs.items()
            if self.behind.get(owner, 0) <= self.clock()
        ]

    # Verbs

    async def run(self, verb: Awaitable[Any], *, dies_at: int | None = None) -> Any:
        """What a verb came to: its result, the error that it said, or None where it was killed."""
        self.mortal.calls, self.mortal.dies_at = 0, dies_at
        try:
            return await verb
        except ControlError as error:
            return error
        except KilledError:
            return None
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            self.mortal.dies_at, self.mortal.is_dead = None, False

    async def onboard(self, tenant_id: str, tier: Any = "basic", **more: Any) -> Onboarded:
        """Have a tenant here."""
        return await onboard(self.control, Onboarding(tenant_id=tenant_id, tier=tier, **more))

    async def offboard(self, tenant_id: str, **more: Any) -> Offboarded:
        """Let a tenant go."""
        return await offboard(
            self.control, Offboarding(tenant_id=tenant_id, **more), self.place(tenant_id)
        )

    def place(self, tenant_id: str) -> Folder:
        """Where a tenant is exported to."""
        return Folder(self.exports / tenant_id)

    # What is the case

    async def snapshot(self) -> Snapshot:
        """The fleet."""
        return await self.fleet.snapshot()  # type: ignore[no-any-return]

    async def census(self) -> Census:
        """Everybody, as the fleet has it."""
        if self._seen[0] != self._watched.changes:
            changes = self._watched.changes
            census = await Tenants(self.fleet, ENVIRONMENT, self.bounds).census()
            self._seen = changes, census
        return self._seen[1]

    async def tenant(self, tenant_id: str) -> Instance | None:
        """What a tenant's file says."""
        return (await self.census()).tenants.get(tenant_id)

    async def _wanted(self) -> Mapping[str, Instance]:
        census = await self.census()
        return {**census.tenants, **census.pools}

    async def findings(self) -> tuple[Any, ...]:
        """What `check` says."""
        return check(await self.snapshot(), ENVIRONMENT, self.bounds)

    def placement(self, tenant_id: str) -> Placement | None:
        """What the registry says."""
        return self.services.current(tenant_id)

    async def stored(self, tenant_id: str) -> dict[str, set[str]]:
        """Ids of a tenant's messages, by the table that they are in."""
        found: dict[str, set[str]] = {}
        dynamodb = self.aws.others_dynamodb
        for table in (await dynamodb.list_tables())["TableNames"]:
            if table != REGISTRY:
                items = (await dynamodb.scan(TableName=table))["Items"]
                ids = {
                    one["message_id"]["S"] for one in items if one["tenant_id"]["S"] == tenant_id
                }
                found |= {table: ids} if ids else {}
        return found

    async def queued(self, tenant_id: str) -> dict[str, set[str]]:
        """Ids of a tenant's messages, by the queue that they are on, dead or alive."""
        found = {}
        sqs = self.aws.others_sqs
        for url in (await sqs.list_queues()).get("QueueUrls", ()):
            self.clock.advance(400)  # whatever somebody held is visible again
            bodies: list[str] = []
            while got := (
                await sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0, VisibilityTimeout=100
                )
            ).get("Messages", []):
                bodies += [one["Body"] for one in got]
            if ids := ids_of(bodies, tenant_id):
                found[url.rpartition("/")[2]] = ids
        self.clock.advance(400)
        return found

    def exported(self, tenant_id: str) -> set[str]:
        """Ids in the export of a tenant's present life."""
        # Named by when a life began, the last one is the present one's.
        folder = max(self.exports.glob(f"{tenant_id}/*"), default=self.exports)
        return {
            json.loads(line)["message_id"]
            for name in ("items.jsonl", "dead-letters.jsonl")
            if (folder / name).exists()
            for line in (folder / name).read_text().splitlines()
        }

    def _saw(self, operation: str, request: dict[str, Any]) -> None:
        if operation == "PutItem" and request["TableName"] == REGISTRY:
            self.services.saw(from_item(request["Item"]))


def dead_letters_of(world: World, owner: str) -> str:
    """The URL of an instance's dead-letter queue."""
    return world.cluster.outputs[owner].dead_letter_queue_url


def a_tenant_id(name: str) -> TenantId:
    """An id that is known to be one."""
    return TenantId(name)
