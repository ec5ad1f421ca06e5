"""Any sequence of verbs, interrupted anywhere, ends in a fleet that builds and tells the truth."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from support.control_world import World, dead_letters_of
from support.fleets import MAY_CHANGE, a_pool, as_files
from support.git_server import Origin
from tenantctl.check import Bounds
from tenantctl.errors import ControlError, GitError, UnavailableError, UnfinishedError
from tenantctl.fleet import Fleet
from tenantctl.model import Home
from tenantctl.remote import Remote
from tenantctl.verbs.move import Move, move
from tenantctl.verbs.onboard import Onboarding, onboard
from tenantctl.verbs.reconcile import reconcile
from tenantctl.verbs.suspend import resume, suspend
from tenantctl.view import everybody

TENANTS = st.sampled_from(["acme", "globex", "initech"])
TIERS = st.sampled_from(["basic", "advanced", "premium"])
POOLS = st.sampled_from([None, None, "pool-1", "pool-2", "pool-3"])
#: At which of its calls a verb dies: mostly it lives, and most have less than a thousand calls.
DEATHS = st.one_of(st.none(), st.integers(1, 60), st.integers(1, 900))
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

    @initialize(seed=st.integers(0, 2**32))
    def start(self, seed: int) -> None:
        """Two pools."""
        pools = (a_pool("pool-1"), a_pool("pool-2"))
        self.world = World(
            Path(self.folder.name),
            *pools,
            fleet=self.make_fleet(as_files(*pools)),
            seed=seed,
            bounds=BOUNDS,
        )
        self.run(self.world.begin())

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

    @rule(tenant=TENANTS, tier=TIERS, pool=POOLS, wait=st.booleans(), dies_at=DEATHS)
    def onboard(
        self, tenant: str, tier: Any, pool: str | None, wait: bool, dies_at: int | None
    ) -> None:
        """A tenant comes, is here already, or cannot."""
        request = Onboarding(tenant_id=tenant, tier=tier, pool=pool)
        self.do(lambda: onboard(self.here.control, request, wait=wait), dies_at)

    @rule(tenant=TENANTS, keep=st.booleans(), dies_at=DEATHS)
    def offboard(self, tenant: str, keep: bool, dies_at: int | None) -> None:
        """A tenant leaves, or is gone."""
        self.do(lambda: self.here.offboard(tenant, keep_data=keep), dies_at)

    @rule(tenant=TENANTS, tier=TIERS, pool=POOLS, dies_at=DEATHS)
    def move(self, tenant: str, tier: Any, pool: str | None, dies_at: int | None) -> None:
        """A tenant moves, goes on with it, or cannot."""
        request = Move(tenant_id=tenant, tier=tier, pool=pool)
        self.do(lambda: move(self.here.control, request), dies_at)

    @rule(tenant=TENANTS, dies_at=DEATHS)
    def go_on(self, tenant: str, dies_at: int | None) -> None:
        """A move that was begun goes on."""
        self.do(lambda: move(self.here.control, Move(tenant_id=tenant)), dies_at)

    @rule(tenant=TENANTS, dies_at=DEATHS)
    def roll_back(self, tenant: str, dies_at: int | None) -> None:
        """A move is taken back, where it can be."""
        self.do(lambda: move(self.here.control, Move(tenant_id=tenant, rollback=True)), dies_at)

    @rule(tenant=TENANTS, suspended=st.booleans(), dies_at=DEATHS)
    def shut_out(self, tenant: str, suspended: bool, dies_at: int | None) -> None:
        """A tenant is suspended, or let in again."""
        verb = suspend if suspended else resume
        self.do(lambda: verb(self.here.control, tenant), dies_at)

    @rule(fix=st.booleans(), dies_at=DEATHS)
    def reconcile(self, fix: bool, dies_at: int | None) -> None:
        """As it runs every five minutes."""
        self.do(lambda: reconcile(self.here.control, fix=fix), dies_at)

    @rule(tenant=TENANTS, count=st.integers(1, 12), goes_on=st.booleans())
    def send(self, tenant: str, count: int, goes_on: bool) -> None:
        """Messages come, and perhaps more while verbs wait."""
        self.run(self.here.services.accept(tenant, count))
        (self.here.busy.add if goes_on else self.here.busy.discard)(tenant)

    @rule(tenant=TENANTS)
    def bury(self, tenant: str) -> None:
        """A message is given up on."""
        placement = self.here.placement(tenant)
        if placement is not None and placement.status in {"active", "moving"}:
            owner = Home(placement.tier, placement.pool).owner(tenant)
            self.run(self.here.services.bury(tenant, dead_letters_of(self.here, owner)))

    @rule(seconds=st.sampled_from([1.0, 20.0, 60.0, SIXTEEN_DAYS]))
    def pass_time(self, seconds: float) -> None:
        """Nobody calls tenantctl."""
        self.here.clock.advance(seconds)
        self.run(self.here.turn())

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
                for tenant in ("acme", "globex", "initech"):
                    self._end(tenant)
                self._agree()
                self.run(self.here.settle())
                for tenant in ("acme", "globex", "initech"):
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
        assert [one.waiting_for for one in self.run(everybody(self.here.control))].count("") == len(
            self.run(everybody(self.here.control))
        )

    async def _account(self, tenant: str) -> None:
        """Registry and Git agree; every message is in one place, and in the right one."""
        world = self.here
        there, placement = await world.tenant(tenant), world.placement(tenant)
        accepted = world.services.accepted[tenant]
        stored, queued = await world.stored(tenant), await world.queued(tenant)
        if there is None:
            assert placement is None or placement.status == "offboarded"
            assert (stored, queued) == ({}, {})
            assert accepted == world.exported(tenant) & accepted, "not exported"
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
        return Fleet(
            Remote(str(origin.folder)), may_change=MAY_CHANGE, cache=folder / "cache"
        )


_FEW = settings(
    max_examples=60,
    stateful_step_count=15,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)

TestAnySequence = AnySequence.TestCase
TestAnySequence.settings = _FEW
