"""What the laptop knows as a target of load."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tenantry_loadtests.catalogue import LaptopWish
from tenantry_loadtests.laptop_target import LaptopTarget


def test_a_service_that_ended_is_named() -> None:
    """A run used to pass its thresholds while no consumer was alive."""
    running, ended = (
        SimpleNamespace(instance="umbrella", service="producer", pid=7),
        SimpleNamespace(instance="umbrella", service="consumer", pid=None),
    )
    laptop: Any = SimpleNamespace(instances=(running, ended))

    assert LaptopTarget(laptop, LaptopWish(), []).ended() == ["the consumer of umbrella"]
