"""Moving: every direction, under traffic, killed anywhere, and taken back."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from consumer.repository import Row, to_item
from fakes.deliveries import a_message
from support.control_world import World, dead_letters_of
from support.fleets import a_pool, as_files
from tenantctl.check import Bounds
from tenantctl.errors import InvalidError, NotFoundError, RefusedError, UnfinishedError
from tenantctl.model import TRANSITION_PHASES, Home
from tenantctl.tenants import Decision
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.move import move
from tenantctl.verbs.reconcile import reconcile
from tenantry.contract import idempotent_message_id
from tenantry.registry import Place, Tier

HOMES = (
    Home("basic", "pool-1"),
    Home("basic", "pool-2"),
    Home("advanced", "pool-1"),
    Home("advanced", "pool-2"),
    Home("premium"),
)
#: Where there is something to copy and to drain, each kind of it once.
FAR = (
    (Home("basic", "pool-1"), Home("basic", "pool-2")),
    (Home("basic", "pool-1"), Home("premium")),
    (Home("advanced", "pool-1"), Home("basic", "pool-1")),
)
SMALL = Bounds(basic_a_pool=1, advanced_a_pool=1, premium_a_group=1, load_balancers=4)


async def a_world(tmp_path: Path, home: Home, *, seed: int = 0, **more: Any) -> World:
    """Two pools, acme with something stored, queued and given up on, and a neighbour."""
    world = await World(tmp_path, a_pool("pool-1"), a_pool("pool-2"), seed=seed, **more).begin()
    for name, where in (("acme", home), ("globex", Home("basic", "pool-1"))):
        await world.onboard(name, where.tier, pool=where.pool)
        await world.services.accept(name, 12)
        world.busy.add(name)
        owner = where.owner(name)
        await world.services.bury(name, dead_letters_of(world, owner))
    await world.turn()
    return world


def to(home: Home, **more: Any) -> Move:
    """A move of acme."""
    return Move(tenant_id="acme", tier=home.tier, pool=home.pool, **more)


async def assert_all_is_at(world: World, home: Home) -> None:
    """All of acme's is at home, and of its neighbour where it was; nothing differs anywhere."""
    assert await reconcile(world.control) == ()
    await world.settle()
    for name, where in (("acme", home), ("globex", Home("basic", "pool-1"))):
        there, placement = await world.tenant(name), world.placement(name)
        assert there is not None
        assert placement is not None
        assert (there.home, there.transition) == (where, None)
        assert (Home(placement.tier, placement.pool), placement.status) == (where, "active")
        assert placement.previous is None
        outputs = world.cluster.outputs[where.owner(name)]
        stored, queued = await world.stored(name), await world.queued(name)
        assert set(stored) == {outputs.table_name} == {placement.table_name}
        assert set(queued) <= {outputs.dead_letter_queue_url.rpartition("/")[2]}
        found = stored[outputs.table_name].union(*queued.values())
        assert found == world.services.accepted[name]
    assert ("acme" in world.cluster.outputs) is home.is_dedicated


@pytest.mark.parametrize(("old", "new"), [*permutations(HOMES, 2)], ids=str)
async def test_a_tenant_moves_in_every_direction(tmp_path: Path, old: Home, new: Home) -> None:
    """Under traffic; once more changes nothing; steps come in the order of the phases."""
    world = await a_world(tmp_path, old)
    world.watcher.steps.clear()
    done = await move(world.control, to(new, request_id="r-1"))

    assert done.changed
    assert [step for step in world.watcher.steps if step in TRANSITION_PHASES] == list(
        TRANSITION_PHASES
    )
    commits = len(world.fleet.commits)
    assert "Request-Id: r-1" in world.fleet.commits[-1][0]
    again = await move(world.control, to(new))
    assert (again.changed, len(world.fleet.commits)) == (False, commits)
    assert again.placement == done.placement
    await assert_all_is_at(world, new)


@pytest.mark.parametrize("dies_at", range(3, 420, 11))
async def test_a_move_goes_on_wherever_it_was_killed(tmp_path: Path, dies_at: int) -> None:
    """Before or after any of its calls; the place that is left is removed once."""
    old, new = FAR[dies_at % len(FAR)]
    world = await a_world(tmp_path, old, seed=dies_at)
    await world.run(move(world.control, to(new)), dies_at=dies_at)
    done = await world.run(move(world.control, to(new)))

    assert done.instance.home == new
    await assert_all_is_at(world, new)


@pytest.mark.parametrize("phase", ["committed", "placed", *TRANSITION_PHASES[:-2]])
@pytest.mark.parametrize(("old", "new"), FAR, ids=str)
async def test_a_move_is_taken_back_until_its_end(
    tmp_path: Path, old: Home, new: Home, phase: str
) -> None:
    """After any step: all is where it was, and the place that was begun is gone."""
    world = await a_world(tmp_path, old)
    await kill_after(world, phase, to(new))
    await move(world.control, Move(tenant_id="acme", rollback=True))

    await assert_all_is_at(world, old)


@pytest.mark.parametrize("phase", ["committed", "copying", "placed", "switched"])
@pytest.mark.parametrize(("old", "new"), FAR, ids=str)
async def test_a_move_that_is_taken_back_is_turned_once_more_by_a_target(
    tmp_path: Path, old: Home, new: Home, phase: str
) -> None:
    """Also where the registry had not followed Git yet."""
    world = await a_world(tmp_path, old)
    await kill_after(world, phase, to(new))
    await kill_after(world, "committed", Move(tenant_id="acme", rollback=True))
    await move(world.control, to(new))

    await assert_all_is_at(world, new)


@pytest.mark.parametrize("step", ["committed", "copying", "draining", "removing"])
async def test_taking_back_done_again_goes_on_with_it(tmp_path: Path, step: str) -> None:
    """A retry of a workflow turned the move once more, and the tenant ended where it fled from."""
    old, new = FAR[1]
    world = await a_world(tmp_path, old)
    await kill_after(world, "placed", to(new))
    back = Move(tenant_id="acme", rollback=True)
    await kill_after(world, step, back)
    for _ in range(2):
        await move(world.control, back)
        await assert_all_is_at(world, old)


@pytest.mark.parametrize("is_back", [True, False])
async def test_who_was_overtaken_deletes_nothing_of_what_a_move_copied(
    tmp_path: Path, is_back: bool
) -> None:
    """One that woke up late deleted what had been moved back: the only copy of it."""
    old, new = FAR[1]
    world = await a_world(tmp_path, old)
    first = await world.tenant("acme")
    sleeper = world.control.tables.delete_verified

    async def slow(*where: Any, guard: Any, **more: Any) -> Any:
        world.control.tables.delete_verified = sleeper  # type: ignore[method-assign]

        async def asleep() -> None:
            if is_back:
                await move(world.control, Move(tenant_id="acme", rollback=True))
            else:
                await move(world.control, Move(tenant_id="acme"))
                await move(world.control, to(old))
            await guard()

        return await sleeper(*where, guard=asleep, **more)

    world.control.tables.delete_verified = slow  # type: ignore[method-assign]
    with pytest.raises(RefusedError, match="another tenantctl works on it"):
        await move(world.control, to(new))
    assert await world.tenant("acme") == first
    await assert_all_is_at(world, old)


async def kill_after(world: World, step: str, request: Move) -> None:
    """A move that dies when it has told a step."""

    def told(name: str) -> None:
        world.mortal.is_dead = world.mortal.is_dead or name == step

    world.watcher.told = told
    assert await world.run(move(world.control, request)) is None
    world.watcher.told = lambda _: None


async def test_who_switches_after_the_move_was_taken_back_is_stopped(tmp_path: Path) -> None:
    """An older run placed the tenant where nothing was kept for it any more."""
    old, new = FAR[1]
    world = await a_world(tmp_path, old)
    await kill_after(world, "copying", to(new))
    seen = world.placement("acme")
    assert seen is not None
    await move(world.control, Move(tenant_id="acme", rollback=True))

    with pytest.raises(RefusedError, match="somebody else changed its placement meanwhile"):
        await world.control.registry.change(seen.tenant_id, seen, tier="premium", pool=None)
    await assert_all_is_at(world, old)


@pytest.mark.parametrize("home", [Home("basic", "pool-2"), Home("premium")], ids=str)
async def test_a_tenant_that_is_not_where_its_file_says_is_brought_there(
    tmp_path: Path, home: Home
) -> None:
    """By a move to where it should be: nothing led out of that, and no other move begins."""
    world = await a_world(tmp_path, HOMES[0])
    there = await world.tenant("acme")
    assert there is not None
    group = "premium-1" if home.tier == "premium" else None
    await world.control.tenants.change(
        lambda _: Decision(write=(there.but(home=home, group=group),)),
        verb="test",
        subject="By hand",
    )
    with pytest.raises(RefusedError, match="placed basic in pool-1, and its file says"):
        await move(world.control, Move(tenant_id="acme", tier="advanced", pool="pool-1"))
    done = await move(world.control, to(home))

    assert done.changed
    await assert_all_is_at(world, home)


async def test_a_key_that_was_used_on_both_sides_of_the_switch_stops_nothing(
    tmp_path: Path,
) -> None:
    """Neither the move nor its way back went on. What was stored first stays, as in one table."""
    world = await a_world(tmp_path, Home("premium"))
    first, second = (
        replace(a_message("acme"), message_id=idempotent_message_id("acme", "k"), payload=payload)
        for payload in ('{"n":1}', '{"n":2}')
    )
    old, new = (world.cluster.outputs[name].table_name for name in ("acme", "pool-1"))
    for table, message, at in (
        (old, first, "2026-01-02T03:04:06.000001Z"),
        (new, second, "2026-01-02T03:04:07.000001Z"),
    ):
        item = to_item(Row("acme", message), at)
        await world.aws.others_dynamodb.put_item(TableName=table, Item=item)
    world.services.accepted["acme"].add(first.message_id)
    await move(world.control, to(HOMES[0]))

    key = {"tenant_id": {"S": "acme"}, "message_id": {"S": first.message_id}}
    held = await world.aws.others_dynamodb.get_item(TableName=new, Key=key)
    assert held["Item"]["payload"]["S"] == first.payload
    await assert_all_is_at(world, HOMES[0])


async def test_a_move_at_its_end_is_not_taken_back(tmp_path: Path) -> None:
    """Nor is one that does not move; what moves elsewhere is told how to end that."""
    world = await a_world(tmp_path, HOMES[0])
    back = Move(tenant_id="acme", rollback=True)
    with pytest.raises(RefusedError, match="acme is not moving: there is nothing to take back"):
        await move(world.control, back)
    await kill_after(world, "switched", to(Home("premium")))
    with pytest.raises(
        RefusedError, match=r"acme is moving to premium, from basic in pool-1: .*--rollback"
    ):
        await move(world.control, to(Home("advanced", "pool-1")))
    await kill_after(world, "draining", Move(tenant_id="acme"))
    with pytest.raises(RefusedError, match="the old place is being removed: let it end"):
        await move(world.control, back)


@pytest.mark.parametrize(
    ("overrides", "tier", "words"),
    [
        ({"producer": {"cpu": 500}}, "advanced", "overrides of its producer"),
        ({"consumer": {"cpu": 500}, "producer": {}}, "basic", "its consumer and its producer"),
        ({"consumer": {"cpu": 500}}, "advanced", None),
    ],
)
async def test_overrides_that_the_target_has_no_service_for_are_refused_at_the_start(
    tmp_path: Path, overrides: dict[str, Any], tier: Tier, words: str | None
) -> None:
    """At the last phase the chart would refuse them, when nothing leads back."""
    world = await a_world(tmp_path, Home("premium"))
    there = await world.tenant("acme")
    assert there is not None
    changed = there.but(more={"overrides": overrides})
    await world.control.tenants.change(
        lambda _: Decision(write=(changed,)), verb="test", subject="Override"
    )
    request = Move(tenant_id="acme", tier=tier, pool="pool-1")
    if words is None:
        moved = await world.run(move(world.control, request))
        assert moved is not None
        assert moved.instance.more == {"overrides": overrides}
        return
    with pytest.raises(RefusedError, match=words):
        await move(world.control, request)
    assert await world.tenant("acme") == changed


async def test_what_cannot_move_is_refused_and_left(tmp_path: Path) -> None:
    """Unknown tenants and pools, no target, a pool for premium, a full pool; who leaves."""
    world = await a_world(tmp_path, Home("basic", "pool-2"), bounds=SMALL)
    await world.onboard("initech", "premium")
    await world.onboard("hooli", "advanced", pool="pool-2")
    before = list(world.fleet.commits)
    cases: tuple[tuple[Move, type[Exception], str], ...] = (
        (Move(tenant_id="nobody", tier="basic"), NotFoundError, "there is no tenant nobody"),
        (Move(tenant_id="acme"), InvalidError, "where to"),
        (Move(tenant_id="acme", pool="pool-9"), RefusedError, "no pool pool-9, only pool-1, po"),
        (Move(tenant_id="acme", pool="pool-1"), RefusedError, "pool-1 is full: it has 1 basic"),
        (Move(tenant_id="initech", pool="pool-1"), InvalidError, "premium tenant is in no pool"),
        (Move(tenant_id="hooli", tier="basic"), RefusedError, "environment is full|is full"),
    )
    world.control.bounds = world.control.tenants._bounds = Bounds(
        basic_a_pool=1, advanced_a_pool=1, premium_a_group=1, load_balancers=3
    )
    for request, kind, words in cases:
        with pytest.raises(kind, match=words):
            await move(world.control, request)
    await world.offboard("acme", keep_data=True)
    before += world.fleet.commits[len(before) : len(before) + 1]
    with pytest.raises(RefusedError, match="acme is leaving, and goes nowhere else"):
        await move(world.control, to(Home("premium")))
    assert world.fleet.commits == before


async def test_a_pool_that_is_full_is_not_kept(tmp_path: Path) -> None:
    """A tenant of an advanced tier moves into another pool, which is opened for it."""
    world = await World(tmp_path, a_pool(), bounds=SMALL).begin()
    await world.onboard("acme", "advanced")
    await world.onboard("globex", "basic")
    done = await move(world.control, Move(tenant_id="acme", tier="basic"))

    assert done.instance.home == Home("basic", "pool-2")
    assert await reconcile(world.control) == ()


async def test_a_place_that_never_comes_up_does_not_hold_up_the_way_back(tmp_path: Path) -> None:
    """The move ends with what it waited for, and is taken back."""
    world = await a_world(tmp_path, HOMES[0])
    world.cluster.broken["acme"] = "no capacity"
    with pytest.raises(UnfinishedError, match="acme: no capacity"):
        await move(world.control, to(Home("premium")))
    world.busy.clear()
    verb = move(world.control, Move(tenant_id="acme", rollback=True))

    def told(step: str) -> None:
        if step == "draining":
            world.cluster.broken.clear()

    world.watcher.told = told
    await verb

    await assert_all_is_at(world, HOMES[0])


async def test_a_queue_that_is_not_empty_is_not_removed(tmp_path: Path) -> None:
    """Something came late to the place that is left: the same call forwards it, and ends."""
    world = await a_world(tmp_path, Home("premium"))
    late = world.cluster.outputs["acme"].queue_url

    def told(step: str) -> None:
        if step == "emptied" and not world.services.are_down:
            world.services.are_down = True
            message = a_message("acme")
            world.services.accepted["acme"].add(message.message_id)
            call(world, "AmazonSQS.SendMessage", QueueUrl=late, MessageBody=message.body())

    world.watcher.told = told
    with pytest.raises(RefusedError, match="holds 1 messages: it is not removed"):
        await move(world.control, to(HOMES[0]))
    assert world.cluster.outputs["acme"].queue_url == late
    await move(world.control, to(HOMES[0]))

    world.services.are_down = False
    await assert_all_is_at(world, HOMES[0])


async def test_a_seal_that_was_put_back_is_taken_off_again(tmp_path: Path) -> None:
    """By an apply between the last two commits: the table is empty, and goes."""
    world = await a_world(tmp_path, Home("premium"))
    table = world.cluster.outputs["acme"].table_name

    def told(step: str) -> None:
        if step == "draining":
            call(
                world,
                "DynamoDB_20120810.UpdateTable",
                TableName=table,
                DeletionProtectionEnabled=True,
            )

    world.watcher.told = told
    await move(world.control, to(HOMES[0]))

    await assert_all_is_at(world, HOMES[0])


def call(world: World, target: str, **request: Any) -> None:
    """Somebody else's call, at once."""
    world.aws.endpoint.call(target.encode(), json.dumps(request).encode())


@pytest.mark.parametrize("home", [Home("premium"), Home("advanced", "pool-2")], ids=str)
async def test_reads_are_told_of_the_place_that_is_left(tmp_path: Path, home: Home) -> None:
    """From the switch until all is copied; of none where both places are one."""
    world = await a_world(tmp_path, Home("advanced", "pool-1"))
    old = world.placement("acme")
    assert old is not None
    await kill_after(world, "placed", to(home))
    near = world.placement("acme")
    assert near is not None
    assert (near.status, near.previous) == ("active", None)
    await move(world.control, Move(tenant_id="acme"))
    await kill_after(world, "placed", to(HOMES[0]))
    far = world.placement("acme")

    assert far is not None
    assert (far.status, far.previous) == ("moving", Place(old.queue_url, old.table_name))


async def test_an_own_rate_moves_along(tmp_path: Path) -> None:
    """The tier's own is the new tier's."""
    world = await a_world(tmp_path, HOMES[0])
    first = world.placement("acme")
    assert first is not None
    await move(world.control, to(Home("premium")))
    placement = world.placement("acme")
    assert placement is not None
    assert (first.rate, placement.rate) == (50, 1_000)
    await world.control.registry.change(placement.tenant_id, placement, rate=7)
    await move(world.control, to(HOMES[0]))
    placement = world.placement("acme")
    assert placement is not None
    assert placement.rate == 7


async def test_a_file_that_somebody_else_changes_meanwhile_stops_a_move(tmp_path: Path) -> None:
    """Whoever it was is not written over."""
    world = await a_world(tmp_path, HOMES[0])

    there = await world.tenant("acme")
    assert there is not None
    other = as_files(there.but(ring="r0"))

    def told(step: str) -> None:
        if step == "copied":
            head = world.fleet.head
            world.fleet.head = type(head)("f" * 40, {**head.files, **other})

    world.watcher.told = told
    with pytest.raises(RefusedError, match="changed by somebody else during its move"):
        await move(world.control, to(Home("premium")))
