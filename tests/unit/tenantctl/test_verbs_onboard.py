"""Onboarding, suspending and what everybody is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.control_world import World
from support.fleets import a_pool, a_tenant
from tenantctl.check import Bounds
from tenantctl.errors import InvalidError, NotFoundError, RefusedError, UnfinishedError
from tenantctl.files import MAX_LINES, render, tenant_path
from tenantctl.model import Home, Instance, Transition
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.move import move
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.placements import set_status
from tenantctl.verbs.suspend import resume, suspend
from tenantctl.view import everybody, rooms, standing

SMALL = Bounds(basic_a_pool=1, advanced_a_pool=1, premium_a_group=1, load_balancers=3)


async def a_world(tmp_path: Path, *instances: Instance, bounds: Bounds | None = None) -> World:
    """One pool, and these."""
    return await World(tmp_path, a_pool(), *instances, bounds=bounds).begin()


@pytest.mark.parametrize("tier", ["basic", "advanced", "premium"])
async def test_a_tenant_that_comes_is_placed_made_and_registered(
    tmp_path: Path, tier: str
) -> None:
    """One file of at most fifteen lines in one commit; the placement names its queue and table."""
    world = await a_world(tmp_path)
    done = await world.onboard("acme", tier, request_id="r-1")

    message, paths = world.fleet.commits[-1]
    assert paths == [tenant_path("dev", "acme")]
    assert "Request-Id: r-1" in message
    data = (await world.snapshot()).files[paths[0]]
    assert data == render(done.instance)
    assert len(data.splitlines()) <= MAX_LINES
    owner = "pool-1" if tier == "basic" else "acme"
    assert done.is_new
    assert done.placement == world.placement("acme")
    assert done.placement is not None
    outputs = world.cluster.outputs[owner]
    assert (done.placement.tier, done.placement.pool) == (
        tier,
        None if tier == "premium" else "pool-1",
    )
    assert (done.placement.queue_url, done.placement.table_name, done.placement.status) == (
        outputs.queue_url,
        outputs.table_name,
        "active",
    )
    assert world.watcher.steps == ["committed", "provisioned", "registered"]


async def test_a_tenant_that_is_here_is_left_as_it_is(tmp_path: Path) -> None:
    """Again: no commit, no new generation, and the result says so."""
    world = await a_world(tmp_path)
    first = await world.onboard("acme")
    again = await world.onboard("acme")

    assert (again.change, again.is_new) == (None, False)
    assert again.placement == first.placement
    assert len(world.fleet.commits) == 1


async def test_a_dry_run_shows_the_diff_and_changes_nothing(tmp_path: Path) -> None:
    """Nor is anybody waited for."""
    world = await a_world(tmp_path)
    request = Onboarding(tenant_id="acme", tier="basic")
    done = await onboard(world.control, request, dry_run=True)

    assert done.change is not None
    assert "+      tier: basic" in done.change.diff
    assert (world.fleet.commits, world.placement("acme"), world.watcher.steps) == ([], None, [])


async def test_without_waiting_a_tenant_is_committed_alone(tmp_path: Path) -> None:
    """Moving and suspending it point to what registers it; onboarding again does."""
    world = await a_world(tmp_path)
    request = Onboarding(tenant_id="acme", tier="advanced")
    done = await onboard(world.control, request, wait=False)

    assert (done.placement, world.placement("acme")) == (None, None)
    for verb in (
        move(world.control, Move(tenant_id="acme", tier="basic")),
        suspend(world.control, "acme"),
    ):
        found = await world.run(verb)
        assert isinstance(found, RefusedError | NotFoundError)
        assert "is not registered yet: `tenantctl onboard` with --wait" in str(found)
    done = await onboard(world.control, request)
    assert done.is_new
    assert done.placement is not None
    assert done.placement.status == "suspended"  # Git was told so before it was registered


async def test_a_tenant_that_lives_elsewhere_is_sent_to_move(tmp_path: Path) -> None:
    """Another tier or pool is a move; a tenant that moves or leaves is not onboarded either."""
    world = await a_world(tmp_path, a_pool("pool-2"))
    await world.onboard("acme", pool="pool-1")

    with pytest.raises(RefusedError, match=r"`tenantctl move acme --tier premium` takes it"):
        await world.onboard("acme", "premium")
    with pytest.raises(RefusedError, match=r"move acme --tier basic --pool pool-2` takes it"):
        await world.onboard("acme", pool="pool-2")
    moving = Transition(Home("basic", "pool-1"), "copying")
    there = a_tenant("globex").but(home=Home("advanced", "pool-1"), transition=moving)
    leaving = a_tenant("hooli").but(phase="offboarding")
    other = await a_world(tmp_path, there, leaving)
    with pytest.raises(RefusedError, match="globex is moving to advanced in pool-1"):
        await other.onboard("globex", "advanced")
    with pytest.raises(RefusedError, match="`tenantctl offboard hooli` ends that first"):
        await other.onboard("hooli")
    assert other.fleet.commits == []


async def test_an_id_is_not_given_again_before_its_time(tmp_path: Path) -> None:
    """It is refused with the day until then, and is a tenant's as any other after it."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.offboard("acme")

    with pytest.raises(RefusedError, match=r"acme left, and its id is free again on 2025-12-"):
        await world.onboard("acme", "premium")
    assert await world.tenant("acme") is None
    world.clock.advance(16 * 86_400)
    done = await world.onboard("acme", "premium")
    assert done.placement is not None
    assert (done.placement.status, done.placement.until, done.placement.tier) == (
        "active",
        None,
        "premium",
    )
    assert done.placement.rate == 1_000


async def test_a_full_environment_is_named_and_left(tmp_path: Path) -> None:
    """Pools and groups open as long as there may be more; a pool that is full is named."""
    world = await a_world(tmp_path, bounds=SMALL)
    await world.onboard("acme")
    opened = await world.onboard("globex")
    await world.onboard("initech", "premium")

    assert opened.instance.home == Home("basic", "pool-2")
    assert world.fleet.commits[1][1] == [
        tenant_path("dev", "globex"),
        "tenants/dev/pools/pool-2.yaml",
    ]
    before = list(world.fleet.commits)
    for tier in ("basic", "premium"):
        with pytest.raises(RefusedError, match="the environment is full: its 3 pools and groups"):
            await world.onboard("hooli", tier)
    with pytest.raises(RefusedError, match="pool-1 is full: it has 1 basic tenants"):
        await world.onboard("hooli", pool="pool-1")
    with pytest.raises(RefusedError, match="no pool pool-9, only pool-1, pool-2"):
        await world.onboard("hooli", pool="pool-9")
    with pytest.raises(RefusedError, match="a premium tenant is in no pool: pool-1"):
        await world.onboard("hooli", "premium", pool="pool-1")
    assert world.fleet.commits == before


async def test_a_file_that_says_nothing_is_not_written_over(tmp_path: Path) -> None:
    """No verb touches its tenant, and each says why."""
    world = await a_world(tmp_path)
    await world.onboard("acme", "advanced")
    path = tenant_path("dev", "acme")
    world.fleet.head = world.fleet.head.but({path: b"{"})
    world.fleet.head = type(world.fleet.head)("f" * 40, world.fleet.head.files)

    for verb in (
        world.onboard("acme"),
        world.offboard("acme"),
        move(world.control, Move(tenant_id="acme", tier="basic")),
        suspend(world.control, "acme"),
    ):
        found = await world.run(verb)
        assert isinstance(found, InvalidError), found
        assert "the file of acme cannot be read" in str(found)
        assert path in str(found)
    assert (await world.snapshot()).files[path] == b"{"


async def test_what_does_not_come_up_is_named_and_gone_on_with(tmp_path: Path) -> None:
    """The wait ends, with what it was for; the same call ends it."""
    world = await a_world(tmp_path)
    world.cluster.broken["acme"] = "ImagePullBackOff in acme/consumer"
    with pytest.raises(UnfinishedError, match=r"not there after 3600 s: acme: ImagePullBackOff"):
        await world.onboard("acme", "advanced")
    assert world.placement("acme") is None
    found = await standing(world.control, "acme")
    assert found.waiting_for == "ImagePullBackOff in acme/consumer"
    world.cluster.broken.clear()

    assert (await world.onboard("acme", "advanced")).is_new


async def test_what_flux_leaves_alone_is_not_waited_for(tmp_path: Path) -> None:
    """Somebody suspended the release: nothing would ever happen."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    world.cluster.frozen.add("acme")

    with pytest.raises(RefusedError, match="flux resume helmrelease"):
        await world.onboard("acme")
    assert (await standing(world.control, "acme")).waiting_for.startswith("its release to be")


async def test_a_late_resume_does_not_let_in_who_is_leaving(tmp_path: Path) -> None:
    """An offboard that came between its commit and its write once was overwritten."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    leaving = await set_status(world.control, "acme", "draining")
    for status in ("active", "suspended"):
        with pytest.raises(RefusedError, match="acme is draining"):
            await set_status(world.control, "acme", status)
    assert world.placement("acme") == leaving


async def test_a_suspended_tenant_is_shut_out_by_git_and_registry(tmp_path: Path) -> None:
    """Twice is once; what waits for its way back stays; unknown ones are not found."""
    world = await a_world(tmp_path)
    first = (await world.onboard("acme")).placement
    assert first is not None
    placement = await suspend(world.control, "acme", request_id="r-2")
    again = await suspend(world.control, "acme")

    assert again == placement == world.placement("acme")
    assert (placement.status, placement.generation) == ("suspended", first.generation + 1)
    there = await world.tenant("acme")
    assert there is not None
    assert there.is_suspended
    assert [paths for _, paths in world.fleet.commits[1:]] == [[tenant_path("dev", "acme")]]
    with pytest.raises(RefusedError, match="acme is suspended: `tenantctl resume acme`"):
        await move(world.control, Move(tenant_id="acme", tier="premium"))
    assert (await resume(world.control, "acme")).status == "active"
    with pytest.raises(NotFoundError, match="there is no tenant globex"):
        await suspend(world.control, "globex")


async def test_who_moves_or_leaves_is_not_suspended(tmp_path: Path) -> None:
    """Its status says something else already."""
    transition = Transition(Home("basic", "pool-1"), "copying")
    mover = a_tenant("acme").but(home=Home("advanced", "pool-1"), transition=transition)
    leaver = a_tenant("globex").but(phase="offboarding")
    world = await a_world(tmp_path, mover, leaver)

    with pytest.raises(RefusedError, match="acme is moving: when that has ended"):
        await suspend(world.control, "acme")
    with pytest.raises(RefusedError, match="globex is leaving, and refused already"):
        await resume(world.control, "globex")
    assert world.fleet.commits == []


async def test_a_suspension_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    """Git says it and the registry not yet: the same call, or `reconcile --fix`."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    world.watcher.told = lambda step: setattr(world.mortal, "is_dead", step == "committed")
    assert await world.run(suspend(world.control, "acme")) is None
    world.watcher.told = lambda _: None
    placement = world.placement("acme")
    assert placement is not None
    assert placement.status == "active"
    for _ in range(9):
        await world.cluster.tick()
    shown = await standing(world.control, "acme")
    assert "suspended: reconcile --fix" in shown.waiting_for

    assert (await suspend(world.control, "acme")).status == "suspended"
    assert (await standing(world.control, "acme")).waiting_for == ""


async def test_everybody_is_shown_with_what_they_wait_for(tmp_path: Path) -> None:
    """Also who is in the cluster, or the registry, alone; who left is not."""
    world = await a_world(tmp_path)
    for name in ("acme", "globex", "hooli", "gone"):
        await world.onboard(name, "advanced" if name == "globex" else "basic")
    await world.offboard("gone")
    await onboard(world.control, Onboarding(tenant_id="initech", tier="basic"), wait=False)
    for _ in range(9):
        await world.cluster.tick()
    leaving = a_tenant("hooli").but(phase="offboarding")
    world.cluster.applied_now["pool-9"] = world.cluster.applied_now["pool-1"].but(id="pool-9")
    head = world.fleet.head
    files = {**head.files, tenant_path("dev", "hooli"): render(leaving)}
    world.fleet.head = type(head)("e" * 40, files)
    shown = {one.tenant_id: one.waiting_for for one in await everybody(world.control)}

    assert shown == {
        "acme": "",
        "globex": "",
        "hooli": "the cluster to take up the commit",
        "initech": "to be registered: `tenantctl onboard` with --wait, or reconcile --fix",
    }
    one = await standing(world.control, "globex")
    assert one.queue is not None
    assert one.dead_letters is not None
    assert (one.queue.total, one.dead_letters.total) == (0, 0)
    with pytest.raises(NotFoundError, match="there is no tenant nobody"):
        await standing(world.control, "nobody")
    census = await world.control.tenants.census()
    assert [(room.pool, room.basic, room.advanced) for room in rooms(census)] == [("pool-1", 3, 1)]
