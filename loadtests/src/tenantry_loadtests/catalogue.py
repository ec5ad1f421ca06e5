"""The shapes: who sends how much when, what must hold, and what a laptop needs for it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.plan import Group, RampPlan
from tenantry_loadtests.stages import WARM_UP, Phase
from tenantry_loadtests.tenants import TenantEntry

#: Messages a second of one user: slow enough that it can wait for an answer or two.
_USER_RATE: Final = 2.5
_FLOODER_RATE: Final = 10.0

#: A laptop's tenants: one for every placement there is; a pool full of neighbours.
_PLACEMENTS: Final = {
    "acme": "basic",
    "globex": "basic",
    "initech": "advanced",
    "umbrella": "premium",
}
_NEIGHBOURS: Final = dict.fromkeys(("acme", "globex", "hooli", "megacorp"), "basic")
_LAPTOP_TENANTS: Final = {"noisy": _NEIGHBOURS, "scale-out": _NEIGHBOURS}


def laptop_tenants(shape: str) -> tuple[TenantEntry, ...]:
    """Who lives on a laptop that is started for a shape."""
    tenants = _LAPTOP_TENANTS.get(shape, _PLACEMENTS)
    return tuple(TenantEntry(tenant=tenant, tier=tier) for tenant, tier in tenants.items())


@dataclass(frozen=True, slots=True)
class LaptopWish:
    """How a laptop is set up for a shape.

    Attributes:
        engine: None: the one that was asked for.
        rate: Write units a second of each tenant; None: no limit to speak of.
        write_delay: Seconds added to every write to a table, so that a consumer is the
            bottleneck and not the engine; 0: none.
        writes: Write calls of a consumer in flight; 0: as it is set.
    """

    engine: Literal["embedded", "standin"] | None = None
    rate: int | None = None
    write_delay: float = 0.0
    writes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One run of a shape.

    Attributes:
        title: What it is, in a line.
        conditions: What must hold if the user does not say; in the grammar of FAIL_ON.
        sizes: Of messages; None: as the user says.
    """

    name: str
    title: str
    groups: tuple[Group, ...]
    phases: tuple[Phase, ...] = ()
    ramp: RampPlan | None = None
    conditions: str = ""
    sizes: str | None = None
    laptop: LaptopWish = LaptopWish()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the user said of a shape; None for what it has itself."""

    tenants: Sequence[TenantEntry]
    duration: float | None
    rate: float | None
    users: int | None
    batch: float
    flood: str | None
    follows: bool
    warm_up: float = 5.0


Cook = Callable[[Wanted], Recipe]


def recipe_of(shape: str, wanted: Wanted) -> Recipe:
    """The recipe of a shape.

    Raises:
        UsageError: What was asked for does not make one.
    """
    recipe = _COOKS[shape](wanted)
    if not wanted.follows:  # then nothing is known of what was stored when
        kept = [
            c for c in recipe.conditions.split(", ") if "(stored" not in c and c[:6] != "follow"
        ]
        recipe = replace(recipe, conditions=", ".join(kept))
    return recipe


def _steady(wanted: Wanted) -> Recipe:
    rate, seconds = wanted.rate or 100.0, wanted.duration or 75.0
    group, users = _everybody(wanted, rate)
    return Recipe(
        name="steady",
        title=f"{rate:g} messages a second for {_time(seconds)}",
        groups=(group,),
        phases=(Phase(WARM_UP, wanted.warm_up, users), Phase("steady", seconds, users)),
        conditions="errors<1%, achieved>=95%, p99(accepted)<1s, p99(stored)<5s, following<5%",
    )


def _ramp(wanted: Wanted) -> Recipe:
    most, step = wanted.rate or 2_000.0, 8.0
    first = min(100.0, most)
    group, users = _everybody(wanted, first)
    growth = 1.35
    steps = 1 + math.ceil(math.log(most / first) / math.log(growth)) if most > first else 1
    if wanted.duration is not None:
        step = max(3.0, wanted.duration / steps)
    return Recipe(
        name="ramp",
        title=f"from {first:g} messages a second upwards, a step each {step:g} s",
        groups=(group,),
        ramp=RampPlan(users, growth, step, math.ceil(most / group.rate), wanted.warm_up),
        conditions="following<5%",
    )


def _spike(wanted: Wanted) -> Recipe:
    rate, seconds = wanted.rate or 40.0, wanted.duration or 75.0
    group, users = _everybody(wanted, rate)
    fifth = seconds / 5
    return Recipe(
        name="spike",
        title=f"{rate:g} messages a second, six times as many for {_time(fifth)}, and after",
        groups=(group,),
        phases=(
            Phase(WARM_UP, wanted.warm_up, users),
            Phase("before", fifth, users),
            Phase("spike", fifth, users * 6),
            Phase("after", 3 * fifth, users),
        ),
        conditions="errors<1%, recovery<60s, p99(accepted before)<1s, p99(accepted after)<5s,"
        " following<5%",
    )


def _soak(wanted: Wanted) -> Recipe:
    rate, seconds = wanted.rate or 50.0, wanted.duration or 3_600.0
    group, users = _everybody(wanted, rate)
    third = seconds / 3
    return Recipe(
        name="soak",
        title=f"{rate:g} messages a second for {_time(seconds)}: does anything drift?",
        groups=(group,),
        phases=(
            Phase(WARM_UP, wanted.warm_up, users),
            Phase("first", third, users),
            Phase("middle", third, users),
            Phase("last", third, users),
        ),
        conditions="errors<0.1%, achieved>=99%, p99(accepted last)/p99(accepted first)<=2x,"
        " p99(stored last)/p99(stored first)<=2x, following<5%",
    )


def _tiers(wanted: Wanted) -> Recipe:
    rate, seconds = wanted.rate or 90.0, wanted.duration or 75.0
    one_of_each: dict[str, str] = {}
    for entry in wanted.tenants:
        one_of_each.setdefault(entry.tier, entry.tenant)
    if len(one_of_each) < 2:  # noqa: PLR2004 - a comparison is of two
        raise UsageError("SHAPE=tiers needs tenants of two tiers at least; `tier` in the list")
    group, users = _group("all", tuple(one_of_each.values()), rate, wanted)
    each = math.ceil(users / len(one_of_each)) * len(one_of_each)
    return Recipe(
        name="tiers",
        title=f"the same load on {', '.join(one_of_each)} for {_time(seconds)}",
        groups=(group,),
        phases=(Phase(WARM_UP, wanted.warm_up, each), Phase("steady", seconds, each)),
        conditions="errors<1%, achieved>=95%, following<5%",
    )


def _noisy(wanted: Wanted) -> Recipe:
    """One run against a host; a laptop's three are made of it."""
    flood = wanted.flood
    names = [entry.tenant for entry in wanted.tenants]
    if flood not in names:
        raise UsageError(f"FLOOD={flood}: the list has no such tenant")
    return noisy_recipe(
        "noisy",
        f"{flood} floods beside the others",
        warm_up=wanted.warm_up,
        quiet=[name for name in names if name != flood],
        quiet_rate=5.0,
        flood=flood,
        flood_rate=wanted.rate or 200.0,
        seconds=(wanted.duration or 70.0) / 2,
    )


def noisy_recipe(
    name: str,
    title: str,
    *,
    warm_up: float,
    quiet: Sequence[str],
    quiet_rate: float,
    flood: str,
    flood_rate: float,
    seconds: float,
) -> Recipe:
    """Quiet tenants alone, then beside a flood.

    Args:
        name: Of the run.
        title: What it is, in a line.
        warm_up: Seconds before the first phase.
        quiet: All their messages are followed.
        quiet_rate: Messages a second of each of them.
        flood: The tenant that floods, in batches mostly.
        flood_rate: Messages a second of it.
        seconds: Of each of the two phases.
    """
    users = max(1, math.ceil(flood_rate / _FLOODER_RATE))
    calm = Group(
        "quiet",
        tuple(quiet),
        users=len(quiet),
        rate=quiet_rate,
        follow_all=True,
        batch_share=0.0,
    )
    storm = Group(
        "flooding",
        (flood,),
        users=0,
        rate=flood_rate / users,
        follow_all=False,
        batch_share=0.8,
    )
    return Recipe(
        name=name,
        title=title,
        groups=(calm, storm),
        phases=(
            Phase(WARM_UP, warm_up, len(quiet)),
            Phase("alone", seconds, len(quiet)),
            Phase("flood", seconds, len(quiet) + users),
        ),
        conditions="p99(stored quiet flood)/p99(stored quiet alone)<=2x, errors(quiet)<1%",
    )


def _scale_out(wanted: Wanted) -> Recipe:
    rate, seconds = wanted.rate or 200.0, (wanted.duration or 45.0) / 3
    group, users = _everybody(wanted, rate)
    phases = [Phase(WARM_UP, wanted.warm_up, users, 1)]
    phases += [Phase(f"consumers-{n}", seconds, users, n) for n in (1, 2, 4)]
    return Recipe(
        name="scale-out",
        title=f"{rate:g} messages a second to 1, 2 and 4 consumers",
        groups=(group,),
        phases=tuple(phases),
        conditions="errors<1%, rate(stored consumers-2)/rate(stored consumers-1)>=1.6x,"
        " rate(stored consumers-4)/rate(stored consumers-1)>=2.5x",
        laptop=LaptopWish(write_delay=0.5, writes=1),
    )


_COOKS: Final[dict[str, Cook]] = {
    "steady": _steady,
    "ramp": _ramp,
    "spike": _spike,
    "soak": _soak,
    "noisy": _noisy,
    "tiers": _tiers,
    "scale-out": _scale_out,
}
SHAPES: Final = tuple(_COOKS)


def _everybody(wanted: Wanted, rate: float) -> tuple[Group, int]:
    return _group("all", spread(wanted.tenants), rate, wanted)


def _group(name: str, tenants: tuple[str, ...], rate: float, wanted: Wanted) -> tuple[Group, int]:
    """A group, and how many users make the rate: for each tenant one at least."""
    users = wanted.users or max(len(set(tenants)), math.ceil(rate / _USER_RATE))
    return (
        Group(
            name,
            tenants,
            users=0,
            rate=rate / users,
            follow_all=False,
            batch_share=wanted.batch,
        ),
        users,
    )


def spread(tenants: Sequence[TenantEntry]) -> tuple[str, ...]:
    """Each tenant as often as its weight says, none in a row if it can be helped."""
    turns = [
        ((number + 0.5) / entry.weight, place, entry.tenant)
        for place, entry in enumerate(tenants)
        for number in range(entry.weight)
    ]
    return tuple(tenant for _, _, tenant in sorted(turns))


def _time(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 120 else f"{seconds:g} s"  # noqa: PLR2004
