"""Releases by rings: a real Git repository, and a cluster that follows it as a test says."""

from __future__ import annotations

import datetime as dt
from typing import cast

import pytest

from support.fleets import MakeFleet, a_tenant, as_files
from support.git_server import Origin
from support.release_world import (
    INSTANCES,
    NEW,
    OLD,
    PREMIUM,
    Desk,
    KilledError,
    KillingRecorder,
    ReleaseWorld,
    Shelf,
)
from tenantctl.control import Control
from tenantctl.errors import (
    InvalidError,
    NotFoundError,
    RefusedError,
    UnavailableError,
    UnhealthyError,
)
from tenantctl.model import RINGS, Ring
from tenantctl.ports import Applied
from tenantctl.releases import TRAINS, Held, Release, RingFiles, render_rings
from tenantctl.verbs.deploy import Deployment, deploy


@pytest.fixture
def world(origin: Origin) -> ReleaseWorld:
    """A fleet in which everybody runs the old release."""
    files = as_files(*INSTANCES)
    for train in TRAINS:
        held = dict.fromkeys(RINGS, Held(OLD))
        files[f"releases/dev/{train}.yaml"] = render_rings(train, held)
    origin.commit(files, "Everybody")
    return ReleaseWorld(origin)


@pytest.fixture
def desk(world: ReleaseWorld, fleet: MakeFleet) -> Desk:
    return Desk(world, fleet)


def subjects(origin: Origin) -> list[str]:
    """What was committed since everybody was there; the newest last."""
    found = [subject for subject, _ in origin.commits()]
    return list(reversed(found[: found.index("Everybody")]))


async def test_each_ring_gets_it_in_a_commit_of_its_own(world: ReleaseWorld, desk: Desk) -> None:
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


async def test_done_again_changes_nothing(world: ReleaseWorld, desk: Desk) -> None:
    """No commit, and no wait where the last ring was watched already."""
    await desk.deploy()
    head, now = world.origin.head, world.now

    done = await desk.deploy()

    assert (head, now, {}) == (world.origin.head, world.now, done.commits)


async def test_how_long_a_change_took_to_run_is_told(
    world: ReleaseWorld, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ring, from the release's commit until all run it; not again by who comes later."""
    before = dt.timedelta(minutes=5)
    monkeypatch.setattr(Shelf, "made_at", dt.datetime.fromtimestamp(world.now, dt.UTC) - before)

    done = await desk.deploy("r0", "r1")

    first, second = done.running_after["r0"], done.running_after["r1"]
    assert pytest.approx(before.total_seconds()) == first
    assert pytest.approx(first + 300) == second  # r0 was watched meanwhile
    assert "running" in desk.recorder.steps
    assert {} == (await desk.deploy("r0", "r1")).running_after


async def test_a_release_that_nobody_made_changes_nothing(world: ReleaseWorld, desk: Desk) -> None:
    """It is looked for before anything is committed."""
    head = world.origin.head

    with pytest.raises(NotFoundError):
        await desk.deploy(release=Release("9.9.9", f"sha256:{'9' * 64}"))

    assert head == world.origin.head


async def test_a_ring_in_which_one_gives_up_gets_back_what_it_had(
    world: ReleaseWorld, desk: Desk
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


async def test_one_that_never_gets_ready_is_unhealthy(world: ReleaseWorld, desk: Desk) -> None:
    """After the time that a commit is waited for."""
    world.slow["canary"] = 10_000

    with pytest.raises(UnhealthyError, match=r"canary: it to take up the release.*r0 has 1\.3\.0"):
        await desk.deploy()

    assert {OLD} == {held.release for held in world.rings().values()}


async def test_one_that_takes_its_time_is_waited_for(world: ReleaseWorld, desk: Desk) -> None:
    """And the soak begins when it is there."""
    world.slow["canary"] = 10
    started = world.now

    await desk.deploy("r0")

    assert world.now - started >= 9 * 30 + 300


async def test_dead_letters_are_a_verdict(world: ReleaseWorld, desk: Desk) -> None:
    """All are ready, and messages die: more than the bound takes the release back."""
    world.letters["canary"] = 1_000
    world.poison["canary", NEW.digest] = 1

    with pytest.raises(UnhealthyError, match=r"canary has 6 dead letters more since 1\.4\.0"):
        await desk.deploy()

    assert OLD == world.rings()["r0"].release


async def test_dead_letters_of_before_are_not(world: ReleaseWorld, desk: Desk) -> None:
    """A queue that is full, and stays as full, holds nothing up."""
    world.letters["canary"] = 1_000

    assert "r0" in (await desk.deploy("r0")).commits


async def test_a_pools_dead_letters_count_for_its_tenants(world: ReleaseWorld, desk: Desk) -> None:
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


async def test_what_had_given_up_before_is_no_verdict(world: ReleaseWorld, desk: Desk) -> None:
    """A release may be what heals it: it is waited for, and then it is well."""
    world.stale["canary"] = 4

    assert "r0" in (await desk.deploy("r0")).commits


async def test_what_had_given_up_before_and_stays_so_is_unhealthy(
    world: ReleaseWorld, desk: Desk
) -> None:
    """After the time that a commit is waited for."""
    world.stale["canary"] = 10_000

    with pytest.raises(UnhealthyError, match=r"canary: a bad image.*r0 has 1\.3\.0"):
        await desk.deploy()


async def test_one_that_was_broken_before_holds_up_no_ring(
    world: ReleaseWorld, desk: Desk
) -> None:
    """It is named and left out, where others of its ring show how the release does."""
    world.stale["late"] = 100_000  # and `later` is well

    await desk.deploy()
    assert NEW == world.rings()["r2"].release
    assert "left-out" in desk.recorder.steps


async def test_an_old_failure_in_new_words_holds_up_no_ring(
    world: ReleaseWorld, desk: Desk
) -> None:
    """Bug: Helm names the release in its failure, so that a broken tenant blocked each deploy."""
    for release in (OLD, NEW):
        world.faults["late", release.digest] = f"upgrade to {release.version} failed"

    await desk.deploy()
    assert NEW == world.rings()["r2"].release
    assert "left-out" in desk.recorder.steps


async def test_strictly_one_that_was_broken_before_counts(world: ReleaseWorld, desk: Desk) -> None:
    """Who asks for it waits until everybody is well."""
    world.faults["late", OLD.digest] = world.faults["late", NEW.digest] = "a bad image"

    with pytest.raises(UnhealthyError, match=r"late gave up with 1\.4\.0.*r2 has 1\.3\.0"):
        await desk.deploy(strict=True)


async def test_one_that_was_well_with_it_and_breaks_is_a_verdict(
    world: ReleaseWorld, desk: Desk
) -> None:
    """Also if it had given up before: the release had healed it."""
    world.faults["late", OLD.digest] = "a bad image"

    def breaks() -> None:
        if world.runs.get("late") == str(NEW):
            world.faults["late", NEW.digest] = "crashes"

    world.at = breaks
    with pytest.raises(UnhealthyError, match=r"late gave up .*crashes"):
        await desk.deploy()


async def test_a_ring_that_was_not_watched_to_its_end_is_watched_anew(
    world: ReleaseWorld, desk: Desk
) -> None:
    """What was left of its time alone was too short for dead letters to come."""

    def kill() -> None:
        raise KilledError

    world.at = kill
    with pytest.raises(KilledError):
        await desk.deploy("r0")
    world.at = lambda: None
    world.now += 250  # of 300 that it is watched
    started = world.now
    await desk.deploy("r0")
    assert world.now - started >= 300
    started = world.now
    await desk.deploy("r0")
    assert world.now == started


async def test_what_flux_leaves_alone_is_told_before_anything_is_changed(
    world: ReleaseWorld, desk: Desk
) -> None:
    """It would never get the release."""
    await world.instances()
    world.suspended.add("canary")
    head = world.origin.head

    with pytest.raises(RefusedError, match="canary is suspended in the cluster"):
        await desk.deploy()

    assert head == world.origin.head


async def test_a_ring_cannot_be_jumped(world: ReleaseWorld, desk: Desk) -> None:
    """Who asks for r1 has to have it in r0, and well."""
    with pytest.raises(RefusedError, match=r"r0 has 1\.3\.0"):
        await desk.deploy("r1")

    await desk.deploy("r0")
    assert ["r1"] == list((await desk.deploy("r1")).commits)


@pytest.mark.parametrize("rings", [(), ("r1", "r0"), ("r0", "r0"), ("r2", "r1", "r0")])
async def test_rings_in_another_order_are_refused(
    world: ReleaseWorld, fleet: MakeFleet, rings: tuple[Ring, ...]
) -> None:
    """Before anything is looked at."""
    with pytest.raises(InvalidError, match="in this order"):
        await deploy(
            cast("Control", None),
            RingFiles(fleet(), "dev"),
            Shelf(),
            Deployment(train="premium", release=NEW, rings=rings),
        )


async def test_a_dry_run_shows_each_line_and_changes_nothing(
    world: ReleaseWorld, desk: Desk
) -> None:
    """As a diff of each ring's line."""
    head = world.origin.head

    done = await desk.deploy(dry_run=True)

    assert head == world.origin.head
    assert 3 == done.diff.count(f'+  ref: {{tag: "1.4.0", digest: "{NEW.digest}"}}')


async def test_a_line_that_somebody_changed_meanwhile_is_left_to_them(
    world: ReleaseWorld, desk: Desk
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


async def test_a_cluster_that_does_not_answer_takes_nothing_back(
    world: ReleaseWorld, desk: Desk
) -> None:
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


@pytest.mark.parametrize("kill_at", [1, 5, 12, 20, 28])
async def test_a_killed_deployment_goes_on(world: ReleaseWorld, desk: Desk, kill_at: int) -> None:
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
    world: ReleaseWorld, desk: Desk, kill_at: int
) -> None:
    """Committed or found healthy: nothing is done twice, and no ring is jumped."""
    with pytest.raises(KilledError):
        await desk.deploy(recorder=KillingRecorder(kill_at))
    await desk.deploy()

    assert [f"Deploy premium 1.4.0 to {ring}" for ring in RINGS] == subjects(world.origin)


async def test_killed_before_the_line_is_put_back_it_is_put_back_later(
    world: ReleaseWorld, desk: Desk
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


async def test_the_first_release_of_all_is_taken_back_to_none(
    world: ReleaseWorld, desk: Desk
) -> None:
    """A fleet that is fresh fetches nothing, and does so again."""
    fresh = render_rings("premium", dict.fromkeys(RINGS, Held()))
    world.origin.commit({PREMIUM: fresh}, "Everybody")
    world.faults["canary", NEW.digest] = "no such image"

    with pytest.raises(UnhealthyError, match="r0 has no release again"):
        await desk.deploy()

    assert fresh.decode().rstrip("\n") == world.origin.read(PREMIUM)


async def test_an_environment_without_releases_is_told(world: ReleaseWorld, desk: Desk) -> None:
    """By the path that is not there."""
    world.origin.commit({PREMIUM: None}, "Everybody")

    with pytest.raises(NotFoundError, match=PREMIUM):
        await desk.deploy()
