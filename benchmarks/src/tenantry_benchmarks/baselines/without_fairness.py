"""Our services without what is fair between tenants: no group id, and one lane for all.

A queue without groups is first come, first served; so is a hand with one lane. Everything else
is as it is.

python -m tenantry_benchmarks.baselines.without_fairness producer|consumer
"""

from __future__ import annotations

import runpy
import sys
from typing import Final

from tenantry.registry import Placement

_SERVICES: Final = ("producer", "consumer")


def take_groups_away() -> None:
    """No message carries its tenant as a group."""
    Placement.message_group_id = property(lambda _: None)  # type: ignore[method-assign,assignment]


def take_lanes_away() -> None:
    """Every message in hand is in the same lane."""
    # Imported where they are wanted: a producer has no consumer in it.
    from consumer import hand, poller  # noqa: PLC0415

    class OneLane(hand.Hand):
        """A hand that knows no tenants."""

        def _lane(self, held: hand.Held) -> hand._Lane:  # noqa: ARG002 - as its own
            return self._lanes.setdefault("", hand._Lane())  # noqa: SLF001 - as above

        def _leave_lane(self, one: hand.Held) -> None:
            lane = self._lane(one)
            lane.waiting.remove(one)
            one.is_waiting = False
            self._waiting -= 1
            if not lane.waiting:
                del self._lanes[""]

    poller.Hand = OneLane  # type: ignore[attr-defined]


def main() -> None:
    """Run a service without its fairness."""
    service = sys.argv.pop(1) if len(sys.argv) > 1 else ""
    if service not in _SERVICES:
        sys.exit(f"one of {', '.join(_SERVICES)}, not {service!r}")
    take_groups_away()
    if service == "consumer":
        take_lanes_away()
    runpy.run_module(service, run_name="__main__")


if __name__ == "__main__":
    main()
