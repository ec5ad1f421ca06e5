"""Offboarding, dead letters and reconcile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from consumer.repository import Row, to_item
from fakes.deliveries import ACCEPTED_AT, a_message
from support.control_world import TIMING, World, dead_letters_of
from support.fleets import a_pool, a_tenant
from tenantctl.ages import Ages
from tenantctl.control import RETENTION_SECONDS
from tenantctl.errors import NotFoundError, RefusedError, UnfinishedError
from tenantctl.files import render, tenant_path
from tenantctl.model import Home, Instance, Transition
from tenantctl.places import Folder
from tenantctl.snapshot import Snapshot
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.differences import Difference
from tenantctl.verbs.letters import look, redrive
from tenantctl.verbs.move import move
from tenantctl.verbs.offboard import Offboarded, Offboarding, offboard
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import suspend

TIERS = ("basic", "advanced", "premium")


async def a_world(tmp_path: Path, *instances: Instance, seed: int = 0) -> World:
    """One pool, and these."""
    return await World(tmp_path, a_pool(), *instances, seed=seed).begin()


def kinds(found: tuple[Difference, ...]) -> dict[str, str]:
    """What is said of whom."""
    return {one.about: one.kind for one in found}


def write(world: World, *instances: Instance, remove: tuple[str, ...] = ()) -> None:
    """Somebody commits by hand."""
    files = dict(world.fleet.head.files)
    files |= {tenant_path("dev", one.id): render(one) for one in instances}
    for name in remove:
        del files[tenant_path("dev", name)]
    world.fleet.head = Snapshot(f"{len(files):040x}", files)
    world._seen = (-1, world._seen[1])


@pytest.mark.parametrize("tier", TIERS)
async def test_a_tenant_that_leaves_is_exported_and_gone(tmp_path: Path, tier: str) -> None:
    """Stored, queued and dead letters are in the export; its neighbour keeps everything."""
    world = await a_world(tmp_path)
    await world.onboard("acme", tier)
    await world.onboard("globex")
    world.busy |= {"acme", "globex"}
    await world.services.accept("acme", 30)
    await world.services.accept("globex", 5)
    owner = "pool-1" if tier == "basic" else "acme"
    await world.services.bury("acme", dead_letters_of(world, owner))
    await world.services.bury("globex", dead_letters_of(world, "pool-1"))
    done = await world.offboard("acme", request_id="r-9")

    assert done.export is not None
    assert done.export.dead_letters == 1
    assert world.exported("acme") == world.services.accepted["acme"]
    assert (await world.stored("acme"), await world.tenant("acme")) == ({}, None)
    placement = world.placement("acme")
    assert placement == done.placement
    assert placement is not None
    assert placement.status == "offboarded"
    assert placement.until == pytest.approx(world.clock() + 15 * 86_400, abs=120)
    assert "acme" not in world.cluster.applied_now
    await world.settle()
    assert (
        set().union(*(await world.queued("globex")).values())
        | set().union(*(await world.stored("globex")).values())
        == world.services.accepted["globex"]
    )
    assert await world.queued("acme") == {}
    assert await reconcile(world.control) == ()


async def test_who_left_before_is_gone_and_who_never_was_is_not_found(tmp_path: Path) -> None:
    """Nothing is done either way."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    first = await world.offboard("acme")
    log = list(world.fleet.commits)
    again = await world.offboard("acme")

    assert (again.was_gone, again.placement) == (True, first.placement)
    with pytest.raises(NotFoundError, match="there is no tenant nobody"):
        await world.offboard("nobody")
    assert world.fleet.commits == log


@pytest.mark.parametrize("seed", range(5))
async def test_who_was_never_registered_leaves_without_an_export(
    tmp_path: Path, seed: int
) -> None:
    """However soon the cluster is done with it."""
    world = await a_world(tmp_path, seed=seed)
    world.cluster.busy = 0.9
    request = Onboarding(tenant_id="acme", tier="advanced")
    await onboard(world.control, request, wait=False)
    done = await world.offboard("acme")

    assert (done.export, done.placement, done.was_gone) == (None, None, False)
    assert await reconcile(world.control) == ()


async def test_an_onboarding_that_was_faster_is_let_go_as_any_other(tmp_path: Path) -> None:
    """It registered the tenant after it was asked for, and before the mark was applied."""
    world = await a_world(tmp_path)
    await onboard(world.control, Onboarding(tenant_id="acme", tier="basic"), wait=False)
    for _ in range(9):
        await world.cluster.tick()

    async def register() -> None:
        outputs = world.cluster.outputs["pool-1"]
        await world.control.registry.change(
            world.control.id_of("acme"),
            None,
            tier="basic",
            pool="pool-1",
            queue_url=outputs.queue_url,
            table_name=outputs.table_name,
        )

    sleep = world.control.sleep

    async def once(seconds: float) -> None:
        world.control.sleep = sleep
        await register()
        await sleep(seconds)

    world.control.sleep = once
    await world.offboard("acme")

    placement = world.placement("acme")
    assert placement is not None
    assert placement.status == "offboarded"


async def test_kept_data_stays_until_the_same_without_it(tmp_path: Path) -> None:
    """The tenant is shut out, its letters stay on the queue; nothing else goes on with it."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.services.accept("acme", 4)
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    kept = await world.offboard("acme", keep_data=True)

    assert kept.placement is not None
    assert kept.placement.status == "draining"
    assert len(next(iter((await world.stored("acme")).values()))) == 4
    assert len(next(iter((await world.queued("acme")).values()))) == 1
    assert kinds(await reconcile(world.control, patience=0)) == {"acme": "leaving"}
    done = await world.offboard("acme")
    assert done.export == kept.export
    assert (await world.stored("acme"), await world.queued("acme")) == ({}, {})


async def test_what_a_former_pool_still_holds_is_waited_for(tmp_path: Path) -> None:
    """It was forwarded after the tombstone, and dropped: eight messages that were accepted."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    world.behind["pool-1"] = math.inf
    await world.services.accept("acme", 8)
    await move(world.control, Move(tenant_id="acme", tier="premium"))
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    world.control.timing = replace(TIMING, wait=300)
    with pytest.raises(UnfinishedError, match=r"8 messages that wait .* dev-pool-1-messages"):
        await world.offboard("acme")
    assert [one.tenant_id for one in await look(world.control, "acme", limit=9)] == ["acme"]
    world.behind.clear()
    done = await world.offboard("acme")

    assert done.export is not None
    assert (done.export.items, done.export.dead_letters) == (8, 1)
    assert world.exported("acme") == world.services.accepted["acme"]
    assert (await world.stored("acme"), await world.queued("acme")) == ({}, {})


async def test_what_a_pool_was_left_with_is_forgotten_when_no_queue_has_it(
    tmp_path: Path,
) -> None:
    """A former pool that is behind holds nobody for longer than it keeps messages."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await move(world.control, Move(tenant_id="acme", tier="premium"))
    placement = world.placement("acme")
    assert placement is not None
    assert [one.pool for one in placement.left] == ["pool-1"]
    await world.onboard("globex")
    await world.services.accept("globex", 1)
    world.behind["pool-1"] = math.inf
    world.clock.advance(RETENTION_SECONDS + TIMING.placement_max_age)

    assert (await world.offboard("acme")).export is not None


@pytest.mark.parametrize("seed", range(6))
async def test_two_that_offboard_at_once_lose_nothing(tmp_path: Path, seed: int) -> None:
    """Each exported a part of the dead letters, and deleted it; one export replaced the other."""
    world = await a_world(tmp_path, seed=seed)
    await world.onboard("acme")
    await world.services.accept("acme", 40)
    for _ in range(25):
        await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    ended = await asyncio.gather(
        world.offboard("acme"), world.offboard("acme"), return_exceptions=True
    )
    await world.offboard("acme")

    for one in ended:
        assert isinstance(one, Offboarded | RefusedError | UnfinishedError), repr(one)
    assert world.exported("acme") == world.services.accepted["acme"]
    assert (await world.stored("acme"), await world.queued("acme")) == ({}, {})


async def test_who_was_overtaken_deletes_nothing(tmp_path: Path) -> None:
    """Somebody else has gone on with the tenant since it claimed it."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.services.accept("acme", 3)
    await world.settle()

    class Overtaken(Folder):
        """Another run begins when this one reads back what it exported."""

        def within(self, name: str) -> Folder:
            return Overtaken(self._path / name)

        async def read(self, name: str) -> AsyncGenerator[bytes]:
            if name == "items.jsonl":
                await world.offboard("acme", keep_data=True)
            async for data in super().read(name):
                yield data

    with pytest.raises(RefusedError, match="another tenantctl works on it"):
        await offboard(world.control, Offboarding(tenant_id="acme"), Overtaken(tmp_path / "x"))
    assert len(next(iter((await world.stored("acme")).values()))) == 3


@pytest.mark.parametrize("tier", TIERS)
async def test_what_came_after_the_export_stays_with_all_the_rest(
    tmp_path: Path, tier: str
) -> None:
    """It was deleted unexported, with its table or from its pool."""
    world = await a_world(tmp_path)
    await world.onboard("acme", tier)
    await world.services.accept("acme", 3)
    await world.settle()
    placement = world.placement("acme")
    assert placement is not None
    late = a_message("acme")
    await world.offboard("acme", keep_data=True)
    await world.aws.others_dynamodb.put_item(
        TableName=placement.table_name, Item=to_item(Row("acme", late), ACCEPTED_AT)
    )
    with pytest.raises(RefusedError, match=r"1 messages of acme in .* are not in .*--export-to"):
        await world.offboard("acme")
    assert late.message_id in set().union(*(await world.stored("acme")).values())
    elsewhere = Folder(tmp_path / "elsewhere")
    done = await offboard(world.control, Offboarding(tenant_id="acme"), elsewhere)

    assert done.exported_to.startswith(str(tmp_path / "elsewhere"))
    found = (Path(done.exported_to) / "items.jsonl").read_text()
    assert late.message_id in found
    assert await world.stored("acme") == {}


async def test_nothing_is_moved_back_of_who_leaves(tmp_path: Path) -> None:
    """A redrive beside an offboarding stored what its export had as dead letters."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    await world.offboard("acme", keep_data=True)

    with pytest.raises(RefusedError, match="acme is leaving: its dead letters are exported"):
        await redrive(world.control, "acme")


async def test_who_came_back_while_it_was_let_go_stays(tmp_path: Path) -> None:
    """The mark was reverted after the export: its items and its active file were deleted."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.services.accept("acme", 3)
    await world.settle()

    def told(step: str) -> None:
        if step == "exported":
            write(world, a_tenant("acme"))

    world.watcher.told = told
    with pytest.raises(RefusedError, match="says no more that it leaves"):
        await world.offboard("acme")
    assert len(next(iter((await world.stored("acme")).values()))) == 3
    assert await world.tenant("acme") == a_tenant("acme")


@pytest.mark.parametrize("tier", TIERS)
async def test_a_letter_that_came_after_the_export_is_not_deleted(
    tmp_path: Path, tier: str
) -> None:
    """It went with its queue, or stayed on the pool's for nobody."""
    world = await a_world(tmp_path)
    await world.onboard("acme", tier)
    await world.services.accept("acme", 2)
    await world.offboard("acme", keep_data=True)
    owner = "pool-1" if tier == "basic" else "acme"
    await world.services.bury("acme", dead_letters_of(world, owner))

    with pytest.raises(RefusedError, match="1 dead letters and 0 waiting messages of acme"):
        await world.offboard("acme")
    elsewhere = Folder(tmp_path / "elsewhere")
    done = await offboard(world.control, Offboarding(tenant_id="acme"), elsewhere)
    assert done.export is not None
    assert (done.export.items, done.export.dead_letters) == (2, 1)


async def test_letters_outlive_the_queue_that_they_died_on(tmp_path: Path) -> None:
    """Of a pool that was left five days ago they were neither shown nor exported."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await move(world.control, Move(tenant_id="acme", tier="premium"))
    world.clock.advance(5 * 86_400)
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    world.behind["pool-1"] = math.inf
    await world.onboard("globex")
    await world.services.accept("globex", 1)

    assert len(await look(world.control, "acme", limit=9)) == 1
    done = await world.offboard("acme")
    assert done.export is not None
    assert done.export.dead_letters == 1


async def test_who_is_not_where_its_file_says_is_brought_there_before_it_leaves(
    tmp_path: Path,
) -> None:
    """Its items were looked for in a table of its own, and stayed in the pool's."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    write(world, a_tenant("acme").but(home=Home("premium"), group="premium-1"))

    with pytest.raises(RefusedError, match="placed basic in pool-1, and its file says premium"):
        await world.offboard("acme")


async def test_who_is_let_go_while_it_is_registered_is_shut_out(tmp_path: Path) -> None:
    """It was active without a file, and nothing said why."""
    world = await a_world(tmp_path)
    change = world.control.registry.change

    async def late(*args: Any, **changes: Any) -> Any:
        placement = await change(*args, **changes)
        world.control.registry.change = change  # type: ignore[method-assign]
        write(world, remove=("acme",))
        return placement

    world.control.registry.change = late  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="acme was let go while it was registered"):
        await world.onboard("acme")
    placement = world.placement("acme")
    assert placement is not None
    assert placement.status == "draining"


async def test_each_life_of_an_id_has_its_own_export(tmp_path: Path) -> None:
    """The second one's went to the first one's place, and was refused where it held less."""
    world = await a_world(tmp_path)
    places = []
    for count in (10, 3):
        await world.onboard("acme")
        world.services.accepted.clear()
        await world.services.accept("acme", count)
        done = await world.offboard("acme")
        assert world.exported("acme") == world.services.accepted["acme"]
        places.append(done.exported_to)
        world.clock.advance(16 * 86_400)

    assert len(set(places)) == 2


@pytest.mark.parametrize(("oldest", "leaves"), [(60.0, True), (100_000.0, False), (None, False)])
async def test_a_pool_that_is_never_empty_is_judged_by_its_oldest_message(
    tmp_path: Path, oldest: float | None, leaves: bool
) -> None:
    """Younger than the tenant's last, it says that all of the tenant's are consumed."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.onboard("globex")
    await world.services.accept("globex", 5)
    world.behind["pool-1"] = math.inf  # what is on its queue is always somebody else's

    class Measured:
        async def get_metric_statistics(self, **request: Any) -> Any:
            name = [{"Name": "QueueName", "Value": "dev-pool-1-messages"}]
            assert request["Dimensions"] == name
            now = request["EndTime"]
            points = [
                {"Timestamp": now - timedelta(minutes=2), "Maximum": 0.0},
                {"Timestamp": now - timedelta(minutes=1), "Maximum": oldest},
            ]
            return {"Datapoints": points if oldest is not None else []}

    world.control.ages = Ages(Measured())
    if leaves:
        assert (await world.offboard("acme")).export is not None
    else:
        with pytest.raises(UnfinishedError, match="5 messages that wait"):
            await world.offboard("acme")


async def test_who_moves_does_not_leave(tmp_path: Path) -> None:
    """Nor does what Flux was told to leave alone; by hand removed files are named."""
    moving = Transition(Home("basic", "pool-1"), "copying")
    mover = a_tenant("acme").but(home=Home("advanced", "pool-1"), transition=moving)
    world = await a_world(tmp_path, mover)
    with pytest.raises(RefusedError, match=r"acme is moving to advanced in pool-1: end that"):
        await world.offboard("acme")
    await world.onboard("globex")
    await world.onboard("hooli")
    world.cluster.frozen.add("globex")
    with pytest.raises(RefusedError, match="flux resume helmrelease"):
        await world.offboard("globex")
    write(world, remove=("hooli",))
    with pytest.raises(RefusedError, match=r"has no file in the fleet: .* put the file"):
        await world.offboard("hooli")


async def test_a_busy_neighbour_does_not_keep_a_tenant_here(tmp_path: Path) -> None:
    """A pool's queue is never empty for long; a queue that is never empty is named."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    await world.onboard("globex")
    world.busy.add("globex")
    await world.offboard("acme")
    assert "tombstone" in world.watcher.steps

    await world.onboard("initech", "premium")
    assert world.control.timing.wait == 3_600
    world.services.are_down = True
    await world.services.accept("initech", 1)
    with pytest.raises(UnfinishedError, match="1 messages that wait and 0 in flight"):
        await world.offboard("initech")
    assert await world.tenant("initech") is not None


async def test_only_a_tenants_own_letters_are_shown_and_moved_back(tmp_path: Path) -> None:
    """In a pool; on a queue of its own all are, also those that are nobody's."""
    world = await a_world(tmp_path)
    for name, tier in (("acme", "basic"), ("globex", "basic"), ("initech", "advanced")):
        await world.onboard(name, tier)
    pool, own = dead_letters_of(world, "pool-1"), dead_letters_of(world, "initech")
    for name, url in (("acme", pool), ("acme", pool), ("globex", pool), ("initech", own)):
        await world.services.bury(name, url)
    await world.aws.others_sqs.send_message(QueueUrl=own, MessageBody="no JSON")

    shown = await look(world.control, "acme", limit=10)
    assert {one.tenant_id for one in shown} == {"acme"}
    assert (len(shown), shown[0].body) == (2, None)
    assert len(await look(world.control, "initech", limit=10, payloads=True)) == 2
    first = str(shown[0].message_id)
    assert (await redrive(world.control, "acme", only=[first])).forwarded == 1
    done = await redrive(world.control, "acme")
    assert (done.forwarded, done.kept) == (1, 1)
    await world.settle()
    assert set().union(*(await world.stored("acme")).values()) == world.services.accepted["acme"]
    assert await world.stored("globex") == {}
    with pytest.raises(NotFoundError, match="nobody is not registered"):
        await look(world.control, "nobody", limit=1)


async def test_nothing_differs_where_all_is_done(tmp_path: Path) -> None:
    """Of each tier; and `--fix` does nothing."""
    world = await a_world(tmp_path)
    for tier in TIERS:
        await world.onboard(f"{tier}-tenant", tier)

    assert await reconcile(world.control) == ()
    assert await reconcile(world.control, fix=True) == ()


async def test_what_a_verb_left_undone_is_put_right(tmp_path: Path) -> None:
    """Registering, and a status; and only with `--fix`."""
    world = await a_world(tmp_path)
    await onboard(world.control, Onboarding(tenant_id="acme", tier="basic"), wait=False)
    for name in ("globex", "hooli"):
        await world.onboard(name)
    write(
        world,
        a_tenant("globex").but(is_suspended=True),
        a_tenant("hooli").but(phase="offboarding", ring="r1"),
    )
    for _ in range(9):
        await world.cluster.tick()
    before = await reconcile(world.control)
    assert kinds(before) == {"acme": "not-registered", "globex": "status", "hooli": "status"}
    assert all(one.can_fix and not one.fixed for one in before)
    after = await reconcile(world.control, fix=True)

    assert all(one.fixed for one in after)
    statuses = {name: world.placement(name) for name in ("acme", "globex", "hooli")}
    assert {name: one and one.status for name, one in statuses.items()} == {
        "acme": "active",
        "globex": "suspended",
        "hooli": "draining",
    }
    again = await reconcile(world.control, fix=True, patience=0)
    assert kinds(again) == {"hooli": "leaving"}


async def test_what_needs_a_person_is_named_and_left(tmp_path: Path) -> None:
    """Orphans, missing tables, places that differ, files that went, ids under tombstone."""
    world = await a_world(tmp_path)
    for name, tier in (
        ("acme", "basic"),
        ("globex", "advanced"),
        ("hooli", "basic"),
        ("gone", "basic"),
        ("initech", "premium"),
    ):
        await world.onboard(name, tier)
    await world.offboard("gone")
    sqs, dynamodb = world.aws.others_sqs, world.aws.others_dynamodb
    await sqs.create_queue(QueueName="dev-acme-messages")  # of a move that lost it: acme is basic
    await sqs.create_queue(QueueName="dev-nobody-messages-dead-letters")
    await sqs.create_queue(QueueName="dev-control-requests")
    table = world.cluster.outputs["initech"].table_name
    await dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False)
    await dynamodb.delete_table(TableName=table)
    placement = world.placement("globex")
    assert placement is not None
    await world.control.registry.change(placement.tenant_id, placement, tier="premium", pool=None)
    write(world, a_tenant("gone"), remove=("hooli",))
    path = tenant_path("dev", "wayne")
    world.fleet.head = Snapshot("d" * 40, {**world.fleet.head.files, path: b"{"})
    world._seen = (-1, world._seen[1])
    for _ in range(9):
        await world.cluster.tick()
    expected = {
        "dev-acme-messages": "orphan",
        "dev-nobody-messages-dead-letters": "orphan",
        "dev-initech-messages": "missing",
        "globex": "place",
        "gone": "tombstone",
        "hooli": "file-missing",
        path: "unreadable",
    }
    found = await reconcile(world.control, fix=True)

    assert kinds(found) == expected
    assert not any(one.fixed for one in found)
    assert world.placement("globex") != placement
    placement = world.placement("gone")
    assert placement is not None
    assert placement.status == "offboarded"


async def test_a_fix_does_not_undo_what_somebody_does_just_now(tmp_path: Path) -> None:
    """A tenant that was suspended while all were asked was let in again."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    snapshot = world._watched.snapshot

    async def slow() -> Snapshot:
        seen = await snapshot()
        world._watched.snapshot = snapshot  # type: ignore[method-assign]
        await suspend(world.control, "acme")
        return seen

    world._watched.snapshot = slow  # type: ignore[method-assign]
    await reconcile(world.control, fix=True)
    placement = world.placement("acme")
    assert placement is not None
    assert placement.status == "suspended"
    assert kinds(await reconcile(world.control, fix=True)) in ({}, {"acme": "cluster"})


async def test_what_is_nobodys_is_found_where_it_is_looked_for(tmp_path: Path) -> None:
    """Terraform of no release; items and dead letters of a tenant that is not there."""
    world = await a_world(tmp_path)
    await world.onboard("acme")
    world.cluster.stray["initech"] = ("Terraform tenant-infra/initech",)
    await world.services.accept("acme", 2)
    await world.services.bury("acme", dead_letters_of(world, "pool-1"))
    await world.settle()
    item = to_item(Row("gone#2", a_message("gone")), ACCEPTED_AT)
    table = world.cluster.outputs["pool-1"].table_name
    await world.aws.others_dynamodb.put_item(TableName=table, Item=item)
    await world.services.bury("gone", dead_letters_of(world, "pool-1"))

    assert kinds(await reconcile(world.control)) == {"initech": "orphan"}
    assert kinds(await reconcile(world.control, deep=True)) == {
        "initech": "orphan",
        "dev-pool-1-messages: gone#2": "foreign-items",
        "dev-pool-1-messages-dead-letters: gone": "foreign-letters",
    }


async def test_an_offboarding_goes_on_after_any_step(tmp_path: Path) -> None:
    """Killed after each of them, at any of its calls: the same export, and nothing left."""
    for dies_at in range(2, 90, 6):
        world = await World(tmp_path / str(dies_at), a_pool(), seed=dies_at).begin()
        await world.onboard("acme")
        await world.services.accept("acme", 9)
        await world.services.bury("acme", dead_letters_of(world, "pool-1"))
        verb = offboard(world.control, Offboarding(tenant_id="acme"), world.place("acme"))
        found = await world.run(verb, dies_at=dies_at)
        done = await world.offboard("acme")
        assert done.placement is not None
        assert done.placement.status == "offboarded"
        assert done.was_gone is (found is not None)
        assert world.exported("acme") == world.services.accepted["acme"]
        assert (await world.stored("acme"), await world.queued("acme")) == ({}, {})
