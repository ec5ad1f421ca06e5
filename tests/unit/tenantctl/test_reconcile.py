"""What reconcile puts right while others work, what it lets pass, and what it finds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from support.control_world import World, dead_letters_of
from support.fleets import a_pool, a_tenant
from tenantctl.files import render, tenant_path
from tenantctl.model import Home, Instance, Transition
from tenantctl.snapshot import Snapshot
from tenantctl.tenants import Census
from tenantctl.verbs.differences import Difference
from tenantctl.verbs.placements import set_status
from tenantctl.verbs.reconcile import PATIENCE_SECONDS, reconcile
from tenantctl.verbs.suspend import resume, suspend


async def a_world(tmp_path: Path, *instances: Instance) -> World:
    """One pool, and these."""
    return await World(tmp_path, a_pool(), *instances).begin()


def kinds(found: tuple[Difference, ...]) -> dict[str, str]:
    """What is said of whom."""
    return {one.about: one.kind for one in found}


async def write(world: World, *instances: Instance, remove: tuple[str, ...] = ()) -> None:
    """Somebody commits by hand, and the cluster takes it up."""
    files = dict(world.fleet.head.files)
    files |= {tenant_path("dev", one.id): render(one) for one in instances}
    for name in remove:
        del files[tenant_path("dev", name)]
    world.fleet.head = Snapshot(f"{len(files):040x}", files)
    world._seen = (-1, world._seen[1])
    for _ in range(9):
        await world.cluster.tick()


class Meanwhile:
    """Has something happen right after the census of a number."""

    def __init__(self, world: World, number: int) -> None:
        self._world = world
        self._left = number
        self._census = world.control.tenants.census
        self.happens: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)
        world.control.tenants.census = self  # type: ignore[method-assign]

    async def __call__(self) -> Census:
        census = await self._census()
        self._left -= 1
        if self._left == 0:
            await self.happens()
        return census


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_suspension_meanwhile_is_not_taken_back(tmp_path: Path, number: int) -> None:
    """Bug: `--fix` read the file, then the placement, and let a suspended tenant in again."""
    world = await a_world(tmp_path)
    there = (await world.onboard("acme")).instance
    placement = world.placement("acme")
    assert placement is not None
    await set_status(world.control, "acme", "suspended")  # what there is to put right
    await write(world, there)
    meanwhile = Meanwhile(world, number)
    meanwhile.happens = lambda: suspend(world.control, "acme")

    await reconcile(world.control, fix=True)

    there_now = await world.tenant("acme")
    placement = world.placement("acme")
    assert there_now is not None
    assert placement is not None
    assert there_now.is_suspended is (placement.status == "suspended")


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_who_is_let_in_meanwhile_is_not_shut_out_again(tmp_path: Path, number: int) -> None:
    """Bug: a suspension that died before it was registered was put right after `resume`."""
    world = await a_world(tmp_path)
    there = (await world.onboard("acme")).instance
    await write(world, there.but(is_suspended=True))
    meanwhile = Meanwhile(world, number)
    meanwhile.happens = lambda: resume(world.control, "acme")

    await reconcile(world.control, fix=True)

    placement = world.placement("acme")
    there_now = await world.tenant("acme")
    assert there_now is not None
    assert placement is not None
    assert there_now.is_suspended is (placement.status == "suspended")


async def test_the_registry_is_read_before_the_fleet(tmp_path: Path) -> None:
    """Bug: both were read at once, so that a suspension looked like an active file's."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    scan = world.control.registry.scan
    scanned = False

    async def watched() -> object:
        nonlocal scanned
        found = await scan()
        await suspend(world.control, "acme")
        scanned = True
        return found

    world.control.registry.scan = watched  # type: ignore[method-assign,assignment]
    census = world.control.tenants.census

    async def looked() -> Census:
        assert scanned
        return await census()

    world.control.tenants.census = looked  # type: ignore[method-assign]
    await reconcile(world.control, fix=True)

    placement = world.placement("acme")
    assert placement is not None
    assert placement.status == "suspended"


async def test_who_is_on_its_way_is_no_difference_until_it_stands_still(tmp_path: Path) -> None:
    """Bug: each run of five minutes failed for a move and an offboarding that were at work."""
    world = await a_world(tmp_path)
    for name in ("acme", "globex", "hooli"):
        await world.onboard(name)
    moving = Transition(Home("basic", "pool-1"), "copying")
    await set_status(world.control, "globex", "draining")
    await set_status(world.control, "hooli", "draining")
    placement = world.placement("acme")
    assert placement is not None
    await world.control.registry.change(placement.tenant_id, placement)
    await write(
        world,
        a_tenant("acme").but(home=Home("advanced", "pool-1"), transition=moving),
        a_tenant("globex").but(phase="offboarding"),
        remove=("hooli",),
    )

    assert await reconcile(world.control) == ()
    assert len(await reconcile(world.control, patience=0)) == 3
    world.clock.advance(PATIENCE_SECONDS)
    found = await reconcile(world.control)

    assert kinds(found) == {"acme": "moving", "globex": "leaving", "hooli": "leaving"}
    for one in found:
        assert one.detail.startswith("stands still since 2025-11-22 ")
    assert "resume with `tenantctl move acme`" in found[0].detail
    assert "resume with `tenantctl offboard globex`" in found[1].detail
    assert "resume with `tenantctl offboard hooli`" in found[2].detail


async def test_what_the_cluster_keeps_of_nobody_is_named(tmp_path: Path) -> None:
    """Bug: a Terraform object, a namespace or a state without a release were not looked for."""
    world = await a_world(tmp_path)
    for name in ("acme", "gone", "long-gone"):
        await world.onboard(name)
    await world.offboard("long-gone")
    world.clock.advance(16 * 86_400)
    await world.offboard("gone")
    left = {
        "gone": ("Secret tenant-infra/tfstate-default-gone-state",),
        "long-gone": ("no one asks",),
    }

    async def remains(instance_id: str) -> tuple[str, ...]:
        return left.get(instance_id, ())

    world.cluster.remains = remains  # type: ignore[method-assign]
    world.cluster.stray = {
        "nobody": ("Terraform tenant-infra/nobody", "Namespace nobody"),
        "acme": ("Terraform tenant-infra/acme",),  # its release is on its way
    }
    found = await reconcile(world.control)

    assert kinds(found) == {"gone": "orphan", "nobody": "orphan"}
    assert "tfstate-default-gone-state" in found[0].detail
    assert "Namespace nobody, Terraform tenant-infra/nobody" in found[1].detail
    assert "git revert" in found[1].detail


async def test_what_is_in_the_wrong_table_is_named_where_it_is_looked_for(tmp_path: Path) -> None:
    """Bug: items and dead letters of tenants that do not live there were never seen."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.onboard("globex", "advanced")
    await world.onboard("gone")
    await world.services.accept("acme", 3)
    await world.services.accept("gone", 1)
    await world.settle()
    pool, own = (world.cluster.outputs[name].table_name for name in ("pool-1", "globex"))
    dynamodb = world.aws.others_dynamodb
    items = (await dynamodb.scan(TableName=pool))["Items"]
    await world.offboard("gone")
    for item in items:
        if item["tenant_id"]["S"] == "gone":
            await dynamodb.put_item(TableName=pool, Item=item)
        else:
            await dynamodb.put_item(TableName=own, Item=item)
    await world.services.bury("gone", dead_letters_of(world, "pool-1"))
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))

    assert await reconcile(world.control) == ()
    found = await reconcile(world.control, deep=True)

    assert kinds(found) == {
        f"{own}: acme": "foreign-items",
        f"{pool}: gone": "foreign-items",
        "dev-pool-1-messages-dead-letters: gone": "foreign-letters",
    }
    assert [one.detail.split()[0] for one in found] == ["3", "1", "1"]


async def test_a_move_that_copies_has_its_items_where_it_goes(tmp_path: Path) -> None:
    """Until it switches, only the file says that they belong there."""
    world = await a_world(tmp_path, a_pool("pool-2"))
    await world.onboard("acme", pool="pool-1")
    await world.services.accept("acme", 3)
    await world.settle()
    one, two = (world.cluster.outputs[name].table_name for name in ("pool-1", "pool-2"))
    for item in (await world.aws.others_dynamodb.scan(TableName=one))["Items"]:
        await world.aws.others_dynamodb.put_item(TableName=two, Item=item)
    moving = Transition(Home("basic", "pool-1"), "copying")
    await write(world, a_tenant("acme").but(home=Home("basic", "pool-2"), transition=moving))

    assert await reconcile(world.control, deep=True) == ()
