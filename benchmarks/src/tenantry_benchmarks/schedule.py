"""When requests are due: arrivals of many clients that know nothing of each other."""

from __future__ import annotations

import random


def arrivals(rate: float, messages: int, seed: int) -> tuple[float, ...]:
    """Instants (s from the start) of a Poisson process: exponential gaps of mean 1 / rate.

    The same seed gives the same instants, so that every subject meets the same bursts.

    Raises:
        ValueError: A rate that is not above 0.
    """
    if rate <= 0:
        msg = f"a rate is above 0, not {rate}"
        raise ValueError(msg)
    source = random.Random(seed)  # noqa: S311 - repeatable, not secret
    due = 0.0
    found: list[float] = []
    for _ in range(messages):
        due += source.expovariate(rate)
        found.append(due)
    return tuple(found)
