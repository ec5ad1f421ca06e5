"""Any sequence of verbs, interrupted anywhere, ends in a fleet that builds and tells the truth."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from support.control_world import World, dead_letters_of
from support.fleets import MAY_CHANGE, a_pool, as_files
from support.git_server import Origin
from tenantctl.check import Bounds
from tenantctl.errors import ControlError, GitError, UnavailableError, UnfinishedError
from tenantctl.fleet import Fleet
from tenantctl.model import Home
from tenantctl.remote import Remote
from tenantctl.verbs.beginning import Move
from tenantctl.verbs.move import move
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import resume, suspend
from tenantctl.view import everybody

NAMES = ("acme", "globex", "initech")
TENANTS = st.sampled_from(NAMES)
TIERS = st.sampled_from(["basic", "advanced", "premium"])
POOLS = st.sampled_from([None, None, "pool-1", "pool-2", "pool-3"])
#: At which of its calls a verb dies, if it does: a move has some hundreds.
DEATHS = st.one_of(st.none(), st.integers(1, 60), st.integers(60, 400))
#: Small enough to be reached.
BOUNDS = Bounds(basic_a_pool=2, advanced_a_pool=2, premium_a_group=1, load_balancers=5)
SIXTEEN_DAYS = 16 * 86_400.0


class AnySequence(RuleBasedStateMachine):
    """Three tenants, two pools, and whoever calls tenantctl."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.world: World | None = None

    def make_fleet(self, files: dict[str, bytes]) -> Any:
        """Where it is."""
        del files
        return None

    @initialize(seed=st.integers(0, 2**32), tiers=st.lists(TIERS, min_size=2, max_size=3))
    def start(self, seed: int, tiers: list[Any]) -> None:
        """Two pools, some tenants, and messages that come while verbs wait."""
        pools = (a_pool("pool-1"), a_pool("pool-2"))
        self.world = World(
            Path(self.folder.name),
            *pools,
            fleet=self.make_fleet(as_files(*pools)),
            seed=seed,
            bounds=BOUNDS,
        )
        self.run(self.world.begin())
        for tenant, tier in zip(NAMES, tiers, strict=False):
            request = Onboarding(tenant_id=tenant, tier=tier)
            self.do(partial(onboard, self.here.control, request), None)
            self.send(tenant, 3, goes_on=True)

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @property
    def here(self) -> World:
        assert self.world is not None
        return self.world

    def do(self, verb: Callable[[], Any], dies_at: int | None) -> Any:
        """Run a verb. What it may say is that it is refused, and nothing else."""

        async def work() -> Any:
            return await self.here.run(verb(), dies_at=dies_at)

        found = self.run(work())
        is_broken = isinstance(found, UnfinishedError | UnavailableError | GitError)
        assert not is_broken, f"{type(found).__name__}: {found}"
        return found

    @rule(
        what=st.sampled_from(["onboard", "onboard", "commit", "offboard", "keep"]),
        tenant=TENANTS,
        tier=TIERS,
        pool=POOLS,
        dies_at=DEATHS,
    )
    def come_or_go(
        self, what: str, tenant: str, tier: Any, pool: str | None, dies_at: int | None
    ) -> None:
        """A tenant comes, or leaves."""
        if what in {"offboard", "keep"}:
            self.do(lambda: self.here.offboard(tenant, keep_data=what == "keep"), dies_at)
            self.run(self._close(tenant))
            return
        request = Onboarding(tenant_id=tenant, tier=tier, pool=pool)
        self.do(lambda: onboard(self.here.control, request, wait=what == "onboard"), dies_at)
        self.send(tenant, 3, goes_on=True)

    @rule(tenant=TENANTS, tier=TIERS, pool=POOLS, dies_at=DEATHS)
    def move(self, tenant: str, tier: Any, pool: str | None, dies_at: int | None) -> None:
        """A tenant moves, goes on with it, or cannot."""
        request = Move(tenant_id=tenant, tier=tier, pool=None if tier == "premium" else pool)
        self.do(lambda: move(self.here.control, request), dies_at)

    @precondition(lambda self: self.moving)
    @rule(number=st.integers(0, 2), rollback=st.booleans(), dies_at=DEATHS)
    def go_on(self, number: int, rollback: bool, dies_at: int | None) -> None:
        """A move that was begun goes on, or is taken back, where it can be."""
        tenant = self.moving[number % len(self.moving)]
        request = Move(tenant_id=tenant, rollback=rollback)
        self.do(lambda: move(self.here.control, request), dies_at)

    @property
    def moving(self) -> list[str]:
        """Tenants whose move has begun."""
        if self.world is None:
            return []
        census = self.run(self.world.census())
        return [one.id for one in census.tenants.values() if one.transition is not None]

    @rule(
        verb=st.sampled_from(["suspend", "resume", "reconcile", "fix"]),
        tenant=TENANTS,
        dies_at=DEATHS,
    )
    def correct(self, verb: str, tenant: str, dies_at: int | None) -> None:
        """A tenant is shut out or let in again, or all are compared, as every five minutes."""
        control = self.here.control
        verbs: dict[str, Callable[[], Any]] = {
            "suspend": lambda: suspend(control, tenant),
            "resume": lambda: resume(control, tenant),
            "reconcile": lambda: reconcile(control),
            "fix": lambda: reconcile(control, fix=True),
        }
        self.do(verbs[verb], dies_at)

    @rule(pool=st.sampled_from(["pool-1", "pool-2"]), seconds=st.sampled_from([30, 120, 600]))
    def fall_behind(self, pool: str, seconds: int) -> None:
        """A pool's consumers do nothing for a while."""
        self.here.behind[pool] = self.here.clock() + seconds

    @rule(what=st.sampled_from(["send", "send", "bury", "wait", "forget"]), tenant=TENANTS)
    def meanwhile(self, what: str, tenant: str) -> None:
        """Nobody calls tenantctl."""
        if what == "send":
            self.send(tenant, 5, goes_on=True)
        elif what == "bury":
            self.bury(tenant)
        elif what == "wait":
            self.here.clock.advance(20)
            self.run(self.here.turn())
        else:
            self.run(self.forget())

    def send(self, tenant: str, count: int, *, goes_on: bool) -> None:
        """Messages come, and perhaps more while verbs wait."""
        self.run(self.here.services.accept(tenant, count))
        (self.here.busy.add if goes_on else self.here.busy.discard)(tenant)

    def bury(self, tenant: str) -> None:
        """A message is given up on."""
        placement = self.here.placement(tenant)
        if placement is not None and placement.status in {"active", "moving"}:
            owner = Home(placement.tier, placement.pool).owner(tenant)
            self.run(self.here.services.bury(tenant, dead_letters_of(self.here, owner)))

    async def forget(self) -> None:
        """Ids of tenants that left are free again, and dead letters have had their time."""
        await self.here.settle()
        for tenant in NAMES:
            dead = await self.here.queued(tenant)
            self.here.services.accepted[tenant] -= set().union(*dead.values())
        self.here.clock.advance(SIXTEEN_DAYS)
        await self.here.turn()

    @invariant()
    def the_fleet_builds(self) -> None:
        """After each verb, however it ended."""
        if self.world is not None:
            assert self.run(self.world.findings()) == ()

    @invariant()
    def everybody_can_be_shown(self) -> None:
        """However things stand."""
        if self.world is not None:
            self.run(everybody(self.world.control))

    def teardown(self) -> None:
        """What was interrupted is called again: then all agree, and nothing is lost."""
        try:
            if self.world is not None:
                for tenant in NAMES:
                    self._end(tenant)
                self._agree()
                self.run(self.here.settle())
                for tenant in NAMES:
                    self.run(self._account(tenant))
        finally:
            self.runner.close()
            self.folder.cleanup()

    def _end(self, tenant: str) -> None:
        """The verb that was interrupted, again."""
        there = self.run(self.here.tenant(tenant))
        placement = self.here.placement(tenant)
        is_leaving = placement is not None and placement.status == "draining"
        if there is None and not is_leaving:
            return
        if there is None or there.phase == "offboarding":
            done = self.do(lambda: self.here.offboard(tenant), None)
        elif there.transition is not None:
            done = self.do(lambda: move(self.here.control, Move(tenant_id=tenant)), None)
        else:
            home = there.home
            request = Onboarding(tenant_id=tenant, tier=home.tier, pool=home.pool)
            done = self.do(lambda: onboard(self.here.control, request), None)
        assert not isinstance(done, ControlError), done

    def _agree(self) -> None:
        self.do(lambda: reconcile(self.here.control, fix=True), None)
        assert self.do(lambda: reconcile(self.here.control), None) == ()
        everyone = self.run(everybody(self.here.control))
        assert {one.tenant_id: one.waiting_for for one in everyone if one.waiting_for} == {}

    async def _close(self, tenant: str) -> None:
        """The life of a tenant that left ends: everything of it is exported, and gone."""
        world, placement = self.here, self.here.placement(tenant)
        if placement is None or placement.status != "offboarded" or await world.tenant(tenant):
            return
        assert await world.stored(tenant) == {}
        if accepted := world.services.accepted.pop(tenant, set()):
            assert accepted <= world.exported(tenant), "not exported"

    async def _account(self, tenant: str) -> None:
        """Registry and Git agree; every message is in one place, and in the right one."""
        world = self.here
        there, placement = await world.tenant(tenant), world.placement(tenant)
        accepted = world.services.accepted[tenant]
        stored, queued = await world.stored(tenant), await world.queued(tenant)
        if there is None:
            assert placement is None or placement.status == "offboarded"
            assert (stored, queued) == ({}, {})
            await self._close(tenant)
            return
        assert placement is not None
        assert Home(placement.tier, placement.pool) == there.home
        assert placement.status == ("suspended" if there.is_suspended else "active")
        assert placement.previous is None
        outputs = world.cluster.outputs[there.home.owner(tenant)]
        assert (placement.queue_url, placement.table_name) == (
            outputs.queue_url,
            outputs.table_name,
        )
        assert set(stored) <= {outputs.table_name}
        assert set(queued) <= {outputs.dead_letter_queue_url.rpartition("/")[2]}
        dead = set().union(*queued.values())
        assert set().union(*stored.values()) | dead == accepted


class OverGit(AnySequence):
    """The same on a real repository."""

    def make_fleet(self, files: dict[str, bytes]) -> Any:
        folder = Path(self.folder.name)
        origin = Origin(folder / "fleet.git", files)
        return Fleet(Remote(str(origin.folder)), may_change=MAY_CHANGE, cache=folder / "cache")


_SETTINGS = settings(
    deadline=None,
    # The same sequences in every run: they are many, and what they find has to be found again.
    derandomize=True,
    # What fails takes long to be made small, and is told by its steps anyway.
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=[HealthCheck.too_slow],
)

AnySequence.TestCase.settings = settings(_SETTINGS, max_examples=100, stateful_step_count=12)
TestAnySequence = AnySequence.TestCase
OverGit.TestCase.settings = settings(_SETTINGS, max_examples=6, stateful_step_count=8)
TestOverGit = pytest.mark.faults(OverGit.TestCase)
