"""A fleet with releases, a cluster that follows it as a test says, and somebody who deploys."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Final, cast

from support.fleets import MakeFleet, a_pool, a_tenant
from support.git_server import Origin
from tenantctl.candidates import read_candidate
from tenantctl.check import Bounds
from tenantctl.control import Control, Timing
from tenantctl.errors import NotFoundError
from tenantctl.fleet import Fleet
from tenantctl.inventory import Inventory
from tenantctl.model import RINGS, Home, Instance, Ring
from tenantctl.ports import Applied, Recorder, Registry
from tenantctl.queues import Depth, Queues
from tenantctl.releases import Held, Release, RingFiles, Train, parse_rings
from tenantctl.tables import Tables
from tenantctl.tenants import Tenants
from tenantctl.verbs.deploy import Deployed, Deployment, Releases, deploy
from tenantctl.verbs.follow import Followed, follow

OLD: Final = Release("1.3.0", f"sha256:{'a' * 64}")
NEW: Final = Release("1.4.0", f"sha256:{'b' * 64}")
PREMIUM: Final = "releases/dev/premium.yaml"


def premium(name: str, ring: Ring) -> Instance:
    return Instance(id=name, home=Home("premium"), ring=ring, group="premium-1")


#: A canary, one of the tenth, two others; and who another train is for.
INSTANCES: Final = (
    premium("canary", "r0"),
    premium("early", "r1"),
    premium("late", "r2"),
    premium("later", "r2"),
    a_pool(),
    a_tenant(),
)


class KilledError(Exception):
    """The command ends here."""


class ReleaseWorld:
    """A cluster and queues that follow the fleet; time passes only when somebody waits.

    Attributes:
        faults: By instance and digest, why it gives up.
        slow: By instance, how often it is looked at until it takes up what the fleet says.
        stale: By instance, how often it is looked at until it stops saying that it gave up
            with what the fleet said before.
        suspended: Instances that Flux was told to leave alone.
        poison: By instance, how many dead letters a digest makes of each.
        at: Is called at each wait, with what the fleet's rings have.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.now = time.time()
        self.faults: dict[tuple[str, str], str] = {}
        self.slow: dict[str, int] = {}
        self.stale: dict[str, int] = {}
        self.suspended: set[str] = set()
        self.poison: dict[tuple[str, str], int] = {}
        self.letters: dict[str, int] = {}
        self.at: Callable[[], None] = lambda: None
        self.nudges = 0
        self.runs: dict[str, str] = {}
        self._read: dict[tuple[str, Train], dict[Ring, Held]] = {}

    def rings(self, train: Train = "premium") -> dict[Ring, Held]:
        head = (self.origin.folder / "refs" / "heads" / "main").read_text("utf-8")
        if (head, train) not in self._read:
            path = f"releases/dev/{train}.yaml"
            data = f"{self.origin.read(path)}\n".encode()
            self._read[head, train] = parse_rings(path, train, data)
        return self._read[head, train]

    # --- the cluster

    async def instances(self) -> dict[str, Applied]:
        return {one.id: self._look(one) for one in INSTANCES}

    async def applied(self, instance_id: str) -> Applied:
        return (await self.instances())[instance_id]

    async def strays(self) -> dict[str, tuple[str, ...]]:
        """As the port."""
        return {}

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        raise AssertionError(instance_id)

    async def sweep(self, instance_id: str) -> None:
        """Nothing is left behind here."""

    async def nudge(self) -> None:
        self.nudges += 1

    def _look(self, one: Instance) -> Applied:
        train: Train = "pools" if one.kind == "pool" else one.home.tier
        release = self.rings(train)[one.ring].release
        wanted = "" if release is None else str(release)
        if one.id in self.suspended:
            return Applied(exists=True, instance=one, is_suspended=True, chart=self.runs[one.id])
        if self.stale.get(one.id, 0) > 0:
            self.stale[one.id] -= 1
            return Applied(exists=True, instance=one, has_failed=True, detail="a bad image")
        if self.slow.get(one.id, 0) > 0 and wanted != self.runs.get(one.id):
            self.slow[one.id] -= 1
            # As it is after a commit: well, with what it had.
            was = self.runs.get(one.id, "")
            return Applied(exists=True, instance=one, is_ready=True, chart=was)
        digest = wanted.rpartition("@")[2]
        if why := self.faults.get((one.id, digest)):
            # Rolled back by Helm: it runs what it ran.
            return Applied(
                exists=True,
                instance=one,
                has_failed=True,
                detail=why,
                chart=self.runs.get(one.id, ""),
            )
        self.runs[one.id] = wanted
        return Applied(
            exists=True,
            instance=one,
            is_ready=True,
            chart=wanted,
        )

    # --- the queues

    async def url(self, name: str) -> str | None:
        return f"https://sqs/{name}"

    async def depth(self, url: str) -> Depth:
        owner = url.removeprefix("https://sqs/dev-").removesuffix("-messages-dead-letters")
        digest = self.runs.get(owner, "").rpartition("@")[2]
        grown = self.poison.get((owner, digest), 0)
        self.letters[owner] = self.letters.get(owner, 0) + grown
        return Depth(self.letters[owner], 0, 0)

    # --- time

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.at()


class Shelf:
    """What was packaged: these."""

    #: When their commits were made; None where nobody says.
    made_at: dt.datetime | None = None

    async def require(self, release: Release) -> dt.datetime | None:
        if release not in {OLD, NEW}:
            raise NotFoundError(f"there is no {release}")
        return self.made_at


class Desk:
    """Somebody who deploys; another each time, with nothing in mind."""

    def __init__(self, world: ReleaseWorld, fleet: MakeFleet) -> None:
        self._world = world
        self._fleet = fleet
        self.recorder = Recorder()

    async def deploy(
        self,
        *rings: Ring,
        train: Train = "premium",
        release: Release = NEW,
        dry_run: bool = False,
        recorder: Recorder | None = None,
        strict: bool = False,
    ) -> Deployed:
        self.recorder = recorder or Recorder()
        fleet = self._fleet()
        control = self._control(fleet)
        wanted = Deployment(
            train=train,
            release=release,
            rings=rings or RINGS,
            soak_seconds=300,
            strict=strict,
            dead_letters=5,
        )
        return await deploy(control, RingFiles(fleet, "dev"), Shelf(), wanted, dry_run=dry_run)

    async def follow(self, modules: Releases | None = None) -> Followed:
        self.recorder = Recorder()
        fleet = self._fleet()
        candidate = read_candidate(await fleet.snapshot(), "dev")
        control, files = self._control(fleet), RingFiles(fleet, "dev")
        return await follow(
            control, files, candidate, Shelf(), modules or Shelf(), soak_seconds=300
        )

    def _control(self, fleet: Fleet) -> Control:
        world = self._world
        return Control(
            environment="dev",
            tenants=Tenants(fleet, "dev", Bounds()),
            registry=cast("Registry", None),
            cluster=world,
            queues=cast("Queues", world),
            tables=cast("Tables", None),
            inventory=cast("Inventory", None),
            timing=Timing(wait=600, poll=30),
            observer=self.recorder,
            clock=world.clock,
            sleep=world.sleep,
        )


class KillingRecorder(Recorder):
    """Ends the command after a step, the first time that it is there."""

    def __init__(self, kill_at: int) -> None:
        super().__init__()
        self._left = kill_at

    def step(self, name: str, detail: str = "") -> None:
        super().step(name, detail)
        self._left -= 1
        if self._left == 0:
            raise KilledError
