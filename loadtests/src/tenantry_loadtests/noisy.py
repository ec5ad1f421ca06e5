"""The noisy neighbour, three times: what a laptop can and cannot show of fair queues.

(a) A flood within the tier's rate, below saturation, on the embedded engine: services alone must
    keep neighbours apart. (b) A flood above saturation on the model of a fair queue: queue and
    services together must. (c) The same on the embedded engine, which is not fair: no bound holds
    there, and the report says what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tenantry_loadtests.catalogue import LaptopWish, Recipe, noisy_recipe

if TYPE_CHECKING:
    from tenantry_loadtests.catalogue import Wanted

_RATIO: Final = "p99(stored quiet flood)/p99(stored quiet alone)<=2x"
_FLOOD: Final = "megacorp"
_QUIET: Final = ("acme", "globex", "hooli")
_QUIET_RATE: Final = 8.0

#: Of a basic tenant: write units a second in each producer.
_TIER_RATE: Final = 50
#: Messages a second within it: sizes make some of them more than one unit.
_WITHIN: Final = 40.0
_SMALL: Final = "300:50,600:50"

#: What a consumer can write at most: so many calls of 25 at once, each so many seconds late.
_WRITES: Final = 1
_DELAY: Final = 0.1
#: And what the flood brings: more than that, by itself.
_ABOVE: Final = 300.0


def laptop_recipes(wanted: Wanted) -> Sequence[Recipe]:
    """The three runs."""
    seconds = (wanted.duration or 60.0) / 2
    within = noisy_recipe(
        "a",
        f"a flood of {_WITHIN:g}/s within the tier's {_TIER_RATE}/s, below saturation",
        warm_up=wanted.warm_up,
        quiet=_QUIET,
        quiet_rate=_QUIET_RATE,
        flood=_FLOOD,
        flood_rate=_WITHIN,
        seconds=seconds,
    )
    above = noisy_recipe(
        "b",
        f"a flood of {wanted.rate or _ABOVE:g}/s above saturation, on a model of a fair queue",
        warm_up=wanted.warm_up,
        quiet=_QUIET,
        quiet_rate=_QUIET_RATE,
        flood=_FLOOD,
        flood_rate=wanted.rate or _ABOVE,
        seconds=seconds,
    )
    slow = LaptopWish(engine="standin", write_delay=_DELAY, writes=_WRITES)
    felt = "growth(flood)>=20/s"
    return (
        replace(
            within,
            sizes=_SMALL,
            conditions=f"{_RATIO}, errors<1%, retried(flood)<1%, growth(flood)<=5/s",
            laptop=LaptopWish(engine="embedded", rate=_TIER_RATE),
        ),
        replace(above, conditions=f"{_RATIO}, errors<1%, {felt}", laptop=slow),
        replace(
            above,
            name="c",
            title="the same flood on the embedded engine, whose queues are not fair: no bound",
            conditions=f"errors<1%, {felt}",
            laptop=replace(slow, engine="embedded"),
        ),
    )
