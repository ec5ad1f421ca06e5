"""The rate: what a tenant may spend in one process, and when it may again."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fakes.clock import Clock
from fakes.registry import a_placement
from producer import limiter as module
from producer.limiter import RateLimiter
from tenantry.errors import RateLimitedError

TEN = a_placement(rate=10)


@pytest.fixture
def clock() -> Clock:
    """What the limiter takes for the time."""
    return Clock()


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    """The limiter under test."""
    return RateLimiter(clock)


def spend(limiter: RateLimiter, units: int) -> None:
    for _ in range(units):
        limiter.take(TEN, 1)


def test_a_burst_is_two_seconds_of_the_rate(limiter: RateLimiter) -> None:
    """A new tenant has a full bucket, and one unit more is refused."""
    spend(limiter, 20)
    with pytest.raises(RateLimitedError) as refused:
        limiter.take(TEN, 1)
    assert refused.value.retry_after == 1
    assert "10 write units a second" in refused.value.detail


def test_units_come_back_at_the_rate_up_to_the_burst(limiter: RateLimiter, clock: Clock) -> None:
    """Half a second brings half a second's units; an hour brings a full bucket and no more."""
    spend(limiter, 20)
    clock.advance(0.5)
    spend(limiter, 5)
    with pytest.raises(RateLimitedError):
        limiter.take(TEN, 1)
    clock.advance(3_600)
    spend(limiter, 20)
    with pytest.raises(RateLimitedError):
        limiter.take(TEN, 1)


def test_a_refusal_costs_nothing(limiter: RateLimiter) -> None:
    """What is refused takes no units: a smaller message still passes."""
    spend(limiter, 15)
    for _ in range(3):
        with pytest.raises(RateLimitedError):
            limiter.take(TEN, 6)
    limiter.take(TEN, 5)


def test_the_time_to_wait_is_that_of_the_message(limiter: RateLimiter) -> None:
    """Retry-After says when this message passes, in whole seconds and at least one."""
    spend(limiter, 20)
    with pytest.raises(RateLimitedError) as refused:
        limiter.take(TEN, 11)
    assert refused.value.retry_after == 2


def test_what_costs_more_than_a_bucket_passes_when_it_is_full(
    limiter: RateLimiter, clock: Clock
) -> None:
    """A message above the burst passes, and its debt is paid before the next one passes."""
    limiter.take(TEN, 120)
    with pytest.raises(RateLimitedError) as refused:
        limiter.take(TEN, 1)
    assert refused.value.retry_after == 11
    clock.advance(10)
    with pytest.raises(RateLimitedError):
        limiter.take(TEN, 1)
    clock.advance(1)
    limiter.take(TEN, 1)


def test_tenants_have_buckets_of_their_own(limiter: RateLimiter) -> None:
    """One tenant's flood costs another nothing, also in the same pool."""
    spend(limiter, 20)
    limiter.take(a_placement("globex", rate=10), 20)


def test_a_changed_rate_counts_at_once(limiter: RateLimiter, clock: Clock) -> None:
    """A placement with a higher rate refills faster; with a lower one the bucket shrinks."""
    spend(limiter, 20)
    clock.advance(1)
    limiter.take(a_placement(rate=100), 100)
    clock.advance(3_600)
    limiter.take(a_placement(rate=1), 2)
    with pytest.raises(RateLimitedError):
        limiter.take(a_placement(rate=1), 1)


def test_buckets_are_bounded(limiter: RateLimiter) -> None:
    """The oldest bucket is forgotten where there are too many, not the newest."""
    with patch.object(module, "TENANTS", 2):
        for name in ("one", "two", "three"):
            limiter.take(a_placement(name, rate=1), 2)
        with pytest.raises(RateLimitedError):
            limiter.take(a_placement("three", rate=1), 1)
        limiter.take(a_placement("one", rate=1), 2)
        assert len(limiter._buckets) == 2


# Eighths of a second and whole units: floats hold them exactly.
STEPS = st.lists(st.tuples(st.integers(0, 80), st.integers(1, 400)), max_size=40)


@settings(max_examples=100, deadline=None)
@given(rate=st.sampled_from([1, 2, 8, 64]), steps=STEPS)
def test_no_more_passes_than_the_rate_and_the_burst_allow(
    rate: int, steps: list[tuple[int, int]]
) -> None:
    """Never, but for the last message's debt; who is refused passes when it was told to."""
    clock = Clock()
    limiter = RateLimiter(clock)
    placement = a_placement(rate=rate)
    started, passed = clock.now, 0
    for eighths, units in steps:
        clock.advance(eighths / 8)
        try:
            limiter.take(placement, units)
        except RateLimitedError as refused:
            clock.advance(refused.retry_after)
            limiter.take(placement, units)
        burst = 2 * rate
        assert passed + min(units, burst) <= burst + rate * (clock.now - started)
        passed += units
