"""Releases by rings: a real Git repository, and a cluster that follows it as a test says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, cast

import pytest

from support.fleets import MakeFleet, a_pool, a_tenant, as_files
from support.git_server import Origin
from tenantctl.check import Bounds
from tenantctl.control import Control, Timing
from tenantctl.errors import (
    InvalidError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnhealthyError,
)
from tenantctl.inventory import Inventory
from tenantctl.model import RINGS, Home, Instance, Ring
from tenantctl.ports import Applied, Recorder, Registry
from tenantctl.queues import Depth, Queues
from tenantctl.releases import Held, Release, RingFiles, Train, parse_rings, render_rings
from tenantctl.tables import Tables
from tenantctl.tenants import Tenants
from tenantctl.verbs.deploy import Deployed, Deployment, deploy

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


class World:
    """A cluster and queues that follow the fleet; time passes only when somebody waits.

    Attributes:
        faults: By instance and digest, why it gives up.
        slow: By instance, how often it is looked at until it takes up what the fleet says.
        failed_already: Instances that gave up long ago, and stay so.
        suspended: Instances that Flux was told to leave alone.
        poison: By instance, how many dead letters a digest makes of each.
        at: Is called at each wait, with what the fleet's rings have.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.now = time.time()
        self.faults: dict[tuple[str, str], str] = {}
        self.slow: dict[str, int] = {}
        self.failed_already: set[str] = set()
        self.suspended: set[str] = set()
        self.poison: dict[tuple[str, str], int] = {}
        self.letters: dict[str, int] = {}
        self.at: Callable[[], None] = lambda: None
        self.nudges = 0
        self.runs: dict[str, str] = {}

    def rings(self, train: Train = "premium") -> dict[Ring, Held]:
        path = f"releases/dev/{train}.yaml"
        return parse_rings(path, train, f"{self.origin.read(path)}\n".encode())

    # --- the cluster

    async def instances(self) -> dict[str, Applied]:
        return {one.id: self._look(one) for one in INSTANCES}

    async def applied(self, instance_id: str) -> Applied:
        return (await self.instances())[instance_id]

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        raise AssertionError(instance_id)

    async def nudge(self) -> None:
        self.nudges += 1

    def _look(self, one: Instance) -> Applied:
        train: Train = "pools" if one.kind == "pool" else one.home.tier
        release = self.rings(train)[one.ring].release
        wanted = "" if release is None else str(release)
        if one.id in self.suspended:
            return Applied(exists=True, instance=one, is_suspended=True, chart=self.runs[one.id])
        if self.slow.get(one.id, 0) > 0 and wanted != self.runs.get(one.id):
            self.slow[one.id] -= 1
            return Applied(exists=True, instance=one, chart=self.runs.get(one.id, ""))
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
            is_ready=one.id not in self.failed_already,
            has_failed=one.id in self.failed_already,
            detail="a bad value" if one.id in self.failed_already else "",
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

    async def require(self, release: Release) -> None:
        if release not in {OLD, NEW}:
            raise NotFoundError(f"there is no {release}")


@pytest.fixture
def world(origin: Origin) -> World:
    """A fleet in which everybody runs the old release."""
    files = as_files(*INSTANCES)
    for train in ("basic", "advanced", "premium", "pools"):
        held = dict.fromkeys(RINGS, Held(OLD))
        files[f"releases/dev/{train}.yaml"] = render_rings(cast("Train", train), held)
    origin.commit(files, "Everybody")
    return World(origin)


Deploy = Callable[..., "Deployed"]


class Desk:
    """Somebody who deploys; another each time, with nothing in mind."""

    def __init__(self, world: World, fleet: MakeFleet) -> None:
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
    ) -> Deployed:
        fleet = self._fleet()
        world = self._world
        bounds = Bounds()
        self.recorder = recorder or Recorder()
        control = Control(
            environment="dev",
            tenants=Tenants(fleet, "dev", bounds),
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
        wanted = Deployment(
            train=train, release=release, rings=rings or RINGS, soak_seconds=300, dead_letters=5
        )
        return await deploy(control, RingFiles(fleet, "dev"), Shelf(), wanted, dry_run=dry_run)


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


@pytest.fixture
def desk(world: World, fleet: MakeFleet) -> Desk:
    return Desk(world, fleet)


def subjects(origin: Origin) -> list[str]:
    """What was committed since everybody was there; the newest last."""
    found = [subject for subject, _ in origin.commits()]
    return list(reversed(found[: found.index("Everybody")]))


async def test_each_ring_gets_it_in_a_commit_of_its_own(world: World, desk: Desk) -> None:
    """One line each, in order, and the next one only after the last was watched."""
    seen: list[int] = []
    world.at = lambda: seen.append(sum(held.release == NEW for held in world.rings().values()))
    started = world.now

    done = await desk.deploy()

    assert [f"Deploy premium 1.4.0 to {ring}" for ring in RINGS] == subjects(world.origin)
    assert {held.release for held in world.rings().values()} == {NEW}
    assert {"r0": 1, "r1": 1, "r2": 2} == done.instances
    assert set(RINGS) == set(done.commits)
    assert world.now - started >= 900
    assert sorted(seen) == seen
    assert all(len(paths) == 1 for _, paths in world.origin.commits()[:3])
    assert {OLD} == {held.release for held in world.rings("pools").values()}


async def test_done_again_changes_nothing(world: World, desk: Desk) -> None:
    """No commit, and no wait where the last ring was watched already."""
    await desk.deploy()
    head, now = world.origin.head, world.now

    done = await desk.deploy()

    assert (head, now, {}) == (world.origin.head, world.now, done.commits)


async def test_a_release_that_nobody_made_changes_nothing(world: World, desk: Desk) -> None:
    """It is looked for before anything is committed."""
    head = world.origin.head

    with pytest.raises(NotFoundError):
        await desk.deploy(release=Release("9.9.9", f"sha256:{'9' * 64}"))

    assert head == world.origin.head


async def test_a_ring_in_which_one_gives_up_gets_back_what_it_had(
    world: World, desk: Desk
) -> None:
    """The others never get it; the error names who, and why."""
    world.faults["early", NEW.digest] = "Deployment producer: ImagePullBackOff"

    with pytest.raises(UnhealthyError, match=r"early gave up .* ImagePullBackOff.*r1 has 1\.3\.0"):
        await desk.deploy()

    assert {"r0": NEW, "r1": OLD, "r2": OLD} == {
        ring: held.release for ring, held in world.rings().items()
    }
    assert subjects(world.origin) == [
        "Deploy premium 1.4.0 to r0",
        "Deploy premium 1.4.0 to r1",
        "Take premium r1 back from 1.4.0",
    ]
    assert "put-back" in desk.recorder.steps


async def test_one_that_never_gets_ready_is_unhealthy(world: World, desk: Desk) -> None:
    """After the time that a commit is waited for."""
    world.slow["canary"] = 10_000

    with pytest.raises(UnhealthyError, match=r"canary: it to take up the release.*r0 has 1\.3\.0"):
        await desk.deploy()

    assert {OLD} == {held.release for held in world.rings().values()}


async def test_one_that_takes_its_time_is_waited_for(world: World, desk: Desk) -> None:
    """And the soak begins when it is there."""
    world.slow["canary"] = 10
    started = world.now

    await desk.deploy("r0")

    assert world.now - started >= 9 * 30 + 300


async def test_dead_letters_are_a_verdict(world: World, desk: Desk) -> None:
    """All are ready, and messages die: more than the bound takes the release back."""
    world.letters["canary"] = 1_000
    world.poison["canary", NEW.digest] = 1

    with pytest.raises(UnhealthyError, match=r"canary has 6 dead letters more since 1\.4\.0"):
        await desk.deploy()

    assert OLD == world.rings()["r0"].release


async def test_dead_letters_of_before_are_not(world: World, desk: Desk) -> None:
    """A queue that is full, and stays as full, holds nothing up."""
    world.letters["canary"] = 1_000

    assert "r0" in (await desk.deploy("r0")).commits


async def test_a_pools_dead_letters_count_for_its_tenants(world: World, desk: Desk) -> None:
    """A basic tenant has no queue of its own."""
    tenant_ring = a_tenant().ring
    asked: list[str] = []
    url = world.url

    async def spy(name: str) -> str | None:
        asked.append(name)
        return await url(name)

    world.url = spy  # type: ignore[method-assign]
    await desk.deploy(*RINGS, train="basic")

    assert tenant_ring in world.rings("basic")
    assert {"dev-pool-1-messages-dead-letters"} == set(asked)


async def test_what_had_given_up_before_is_no_verdict(world: World, desk: Desk) -> None:
    """A release may be what heals it: it is waited for, and then it is well."""
    world.faults["canary", OLD.digest] = "a bad image"
    world.runs["canary"] = ""
    world.slow["canary"] = 0

    assert "r0" in (await desk.deploy("r0")).commits


async def test_what_flux_leaves_alone_is_told_before_anything_is_changed(
    world: World, desk: Desk
) -> None:
    """It would never get the release."""
    await world.instances()
    world.suspended.add("canary")
    head = world.origin.head

    with pytest.raises(RefusedError, match="canary is suspended in the cluster"):
        await desk.deploy()

    assert head == world.origin.head


async def test_a_ring_cannot_be_jumped(world: World, desk: Desk) -> None:
    """Who asks for r1 has to have it in r0, and well."""
    with pytest.raises(RefusedError, match=r"r0 has 1\.3\.0"):
        await desk.deploy("r1")

    await desk.deploy("r0")
    assert ["r1"] == list((await desk.deploy("r1")).commits)


@pytest.mark.parametrize("rings", [(), ("r1", "r0"), ("r0", "r0"), ("r2", "r1", "r0")])
async def test_rings_in_another_order_are_refused(
    world: World, fleet: MakeFleet, rings: tuple[Ring, ...]
) -> None:
    """Before anything is looked at."""
    with pytest.raises(InvalidError, match="in this order"):
        await deploy(
            cast("Control", None),
            RingFiles(fleet(), "dev"),
            Shelf(),
            Deployment(train="premium", release=NEW, rings=rings),
        )


async def test_a_dry_run_shows_each_line_and_changes_nothing(world: World, desk: Desk) -> None:
    """As a diff of each ring's line."""
    head = world.origin.head

    done = await desk.deploy(dry_run=True)

    assert head == world.origin.head
    assert 3 == done.diff.count(f'+  ref: {{tag: "1.4.0", digest: "{NEW.digest}"}}')


async def test_a_line_that_somebody_changed_meanwhile_is_left_to_them(
    world: World, desk: Desk
) -> None:
    """Two who deploy at once: the second is told, and takes nothing back."""
    other = Release("1.3.9", f"sha256:{'c' * 64}")

    def interfere() -> None:
        if world.rings()["r0"].release == NEW and world.rings()["r1"].release == OLD:
            held = {**world.rings(), "r1": Held(other)}
            world.origin.commit({PREMIUM: render_rings("premium", held)}, "Somebody else")

    world.at = interfere
    with pytest.raises(RefusedError, match=r"r1 has 1\.3\.9@\S+ by now.*somebody else deploys"):
        await desk.deploy()

    assert other == world.rings()["r1"].release


async def test_a_cluster_that_does_not_answer_takes_nothing_back(world: World, desk: Desk) -> None:
    """That is no verdict on the release: the same command goes on."""
    instances = world.instances

    async def away() -> dict[str, Applied]:
        if world.rings()["r0"].release == NEW:
            raise UnavailableError("the cluster does not answer")
        return await instances()

    world.instances = away  # type: ignore[method-assign]
    with pytest.raises(UnavailableError):
        await desk.deploy()
    assert NEW == world.rings()["r0"].release

    world.instances = instances  # type: ignore[method-assign]
    await desk.deploy()
    assert {NEW} == {held.release for held in world.rings().values()}


@pytest.mark.parametrize("kill_at", range(1, 31, 3))
async def test_a_killed_deployment_goes_on(world: World, desk: Desk, kill_at: int) -> None:
    """Whenever it is killed: the same command ends with three commits in all."""
    waits = 0

    def kill() -> None:
        nonlocal waits
        waits += 1
        if waits == kill_at:
            raise KilledError

    world.at = kill
    try:
        await desk.deploy()
    except KilledError:
        await desk.deploy()

    assert [f"Deploy premium 1.4.0 to {ring}" for ring in RINGS] == subjects(world.origin)
    assert {NEW} == {held.release for held in world.rings().values()}


@pytest.mark.parametrize("kill_at", range(1, 7))
async def test_a_deployment_that_is_killed_after_a_step_goes_on(
    world: World, desk: Desk, kill_at: int
) -> None:
    """Committed or found healthy: nothing is done twice, and no ring is jumped."""
    with pytest.raises(KilledError):
        await desk.deploy(recorder=KillingRecorder(kill_at))
    await desk.deploy()

    assert [f"Deploy premium 1.4.0 to {ring}" for ring in RINGS] == subjects(world.origin)


async def test_killed_before_the_line_is_put_back_it_is_put_back_later(
    world: World, desk: Desk
) -> None:
    """What the ring had is in its line: nobody has to remember it."""
    world.slow["canary"] = 3

    def kill() -> None:
        world.faults["canary", NEW.digest] = "crashes"
        raise KilledError

    world.at = kill
    with pytest.raises(KilledError):
        await desk.deploy()
    assert NEW == world.rings()["r0"].release

    world.at = lambda: None
    world.slow.clear()
    with pytest.raises(UnhealthyError, match=r"crashes.*r0 has 1\.3\.0"):
        await desk.deploy()
    assert OLD == world.rings()["r0"].release


async def test_the_first_release_of_all_is_taken_back_to_none(world: World, desk: Desk) -> None:
    """A fleet that is fresh fetches nothing, and does so again."""
    fresh = render_rings("premium", dict.fromkeys(RINGS, Held()))
    world.origin.commit({PREMIUM: fresh}, "Everybody")
    world.faults["canary", NEW.digest] = "no such image"

    with pytest.raises(UnhealthyError, match="r0 has no release again"):
        await desk.deploy()

    assert fresh.decode().rstrip("\n") == world.origin.read(PREMIUM)


async def test_an_environment_without_releases_is_told(world: World, desk: Desk) -> None:
    """By the path that is not there."""
    world.origin.commit({PREMIUM: None}, "Everybody")

    with pytest.raises(NotFoundError, match=PREMIUM):
        await desk.deploy()
