from __future__ import annotations

import pytest

from tenantry_loadtests.catalogue import Wanted, laptop_tenants, recipe_of
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.knee import Step
from tenantry_loadtests.noisy import laptop_recipes
from tenantry_loadtests.plan import window_for
from tenantry_loadtests.stages import WARM_UP, Phase, Phases, Ramp, Tick


def wanted(shape: str = "steady", **changes: object) -> Wanted:
    values: dict[str, object] = {
        "tenants": laptop_tenants(shape),
        "duration": None,
        "rate": None,
        "users": None,
        "batch": 0.3,
        "flood": None,
        "follows": True,
    }
    return Wanted(**(values | changes))  # type: ignore[arg-type]


def test_phases_come_one_after_the_other() -> None:
    """And the load is over after the last."""
    stages = Phases([Phase("before", 10, 5), Phase("spike", 5, 30, 2)])
    assert stages.tick(0) == Tick(5, "before")
    assert stages.tick(9.9) == Tick(5, "before")
    assert stages.tick(10) == Tick(30, "spike", 2)
    assert stages.tick(15) is None


class Saturating:
    """Comes out what is offered, up to a capacity."""

    def __init__(self, capacity: float) -> None:
        self.capacity = capacity
        self.asked: list[tuple[float, float, float]] = []

    def __call__(self, start: float, end: float, offered: float) -> Step:
        self.asked.append((start, end, offered))
        came = min(offered, self.capacity)
        return Step(offered, came, 0.01 if came == offered else 1.0, None, offered - came)


def run(ramp: Ramp) -> list[Tick]:
    """Every second's tick until it ends."""
    ticks: list[Tick] = []
    while (tick := ramp.tick(len(ticks))) is not None:
        ticks.append(tick)
        assert len(ticks) < 1_000
    return ticks


def test_a_ramp_ends_by_itself_two_steps_after_the_knee() -> None:
    """Steps grow, are measured without their first third, and the knee is said."""
    measure = Saturating(100)
    ramp = Ramp(10, 2.0, 6.0, measure, 10_000, rate=2.0)
    ticks = run(ramp)
    assert ticks[0].phase == WARM_UP
    assert [tick.users for tick in ticks[5::6]] == [10, 20, 40, 80, 160]
    assert ramp.knee is not None
    assert ramp.knee.capacity == 100
    assert measure.asked[0] == (7.0, 11.0, 20.0)


def test_a_ramp_without_a_knee_ends_at_the_most() -> None:
    """The step of the most is measured, and then it is over."""
    ramp = Ramp(10, 2.0, 6.0, Saturating(1e9), 50, rate=2.0)
    ticks = run(ramp)
    assert ticks[-1].users == 50
    assert len(ramp.steps) == 4
    assert ramp.knee is None


def test_users_make_the_rate() -> None:
    """However many there are: each sends its share, and every tenant has one at least."""
    for rate, users in ((100.0, None), (2.0, None), (500.0, 10)):
        recipe = recipe_of("steady", wanted(rate=rate, users=users))
        [group] = recipe.groups
        count = recipe.phases[-1].users
        assert count * group.rate == pytest.approx(rate)
        assert count >= (users or len(laptop_tenants("steady")))


def test_a_spike_is_many_times_the_usual() -> None:
    """Before, spike and after, with the same users sending at the same rate each."""
    recipe = recipe_of("spike", wanted("spike", rate=50.0))
    users = {phase.name: phase.users for phase in recipe.phases}
    assert users["spike"] == 6 * users["before"] == 6 * users["after"]


def test_tiers_are_compared_by_one_tenant_of_each() -> None:
    """With the same number of users; a list without tiers has nothing to compare."""
    recipe = recipe_of("tiers", wanted("tiers"))
    [group] = recipe.groups
    assert len(group.tenants) == 3
    assert recipe.phases[-1].users % 3 == 0
    with pytest.raises(UsageError, match="two tiers"):
        recipe_of("tiers", wanted("noisy"))


def test_a_flood_comes_beside_quiet_tenants_that_go_on() -> None:
    """The quiet users are fixed, and all their messages followed."""
    recipe = recipe_of("noisy", wanted("noisy", flood="megacorp", rate=300.0))
    quiet, flooding = recipe.groups
    assert quiet.follow_all
    assert "megacorp" not in quiet.tenants
    users = {phase.name: phase.users for phase in recipe.phases}
    assert users["alone"] == quiet.users
    assert (users["flood"] - quiet.users) * flooding.rate == pytest.approx(300.0)
    with pytest.raises(UsageError, match="no such tenant"):
        recipe_of("noisy", wanted("noisy", flood="nobody"))


def test_the_three_floods_of_a_laptop() -> None:
    """Within the rate on one engine; above saturation on both; a bound where one can hold."""
    a, b, c = laptop_recipes(wanted("noisy"))
    assert (a.laptop.engine, b.laptop.engine, c.laptop.engine) == (
        "embedded",
        "standin",
        "embedded",
    )
    assert a.laptop.rate is not None
    assert a.groups[1].rate * (a.phases[-1].users - a.groups[0].users) < a.laptop.rate
    assert "<=2x" in a.conditions
    assert "<=2x" in b.conditions
    assert "<=2x" not in c.conditions
    # It must be felt: the flood is above what a consumer can write.
    capacity = b.laptop.writes * 25 / b.laptop.write_delay
    assert b.groups == c.groups
    assert b.groups[1].rate * (b.phases[-1].users - b.groups[0].users) > capacity
    assert "growth(flood)>=" in b.conditions
    assert "growth(flood)>=" in c.conditions


def test_scale_out_wants_one_two_and_four() -> None:
    """A phase for each, all of them loaded beyond what they store."""
    recipe = recipe_of("scale-out", wanted("scale-out"))
    assert [phase.consumers for phase in recipe.phases] == [1, 1, 2, 4]
    assert recipe.laptop.write_delay


@pytest.mark.parametrize(("seconds", "window"), [(15, 1), (600, 1), (3_600, 6), (86_400, 144)])
def test_long_runs_have_longer_windows(seconds: float, window: float) -> None:
    """A report has some six hundred, whatever the run takes."""
    assert window_for(seconds) == window
