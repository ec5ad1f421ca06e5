"""Prices and quotas: each with a source, each used as its unit says."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.prices import (
    AS_OF,
    MILLION,
    PRICES,
    Price,
    all_prices,
    tiered,
)
from tenantry_benchmarks.scale.quotas import Quota

QUOTAS = {name: one for name, one in vars(quotas).items() if isinstance(one, Quota)}


@pytest.mark.parametrize(("name", "price"), all_prices(), ids=lambda one: str(one)[:24])
def test_a_price_has_a_source(name: str, price: Price) -> None:
    """It names a page of AWS, or says that it is assumed."""
    assert price.dollars > 0
    assert price.unit
    assert ("pricing" in price.source) == price.is_documented, name


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_has_a_source(name: str) -> None:
    """What cannot be raised has no number to raise it to, and no number is below the default."""
    quota = QUOTAS[name]

    assert quota.value > 0
    assert quota.source
    assert quota.can_be_raised or quota.most is None
    assert quota.most is None or quota.most > quota.value


def test_the_table_has_a_date() -> None:
    """Prices are as of a day that has been."""
    assert date.fromisoformat(AS_OF) >= date(2026, 11, 22)


def test_prices_are_those_of_the_pages() -> None:
    """Dollars for a million: SQS, its fair queues, and DynamoDB since November 2024."""
    million = {name: price.dollars * MILLION for name, price in all_prices()}

    assert pytest.approx(0.40) == million["sqs_requests 1"]
    assert pytest.approx(0.10) == million["sqs_fair_request"]
    assert pytest.approx(0.625) == million["dynamodb_write"]
    assert pytest.approx(0.125) == million["dynamodb_read"]


def test_each_step_has_its_own_price() -> None:
    """The first hundred thousand million cost 0.40 a million, the next 0.30, the rest 0.24."""
    dollars = tiered(PRICES.sqs_requests, 250e9)

    assert pytest.approx(100e3 * 0.40 + 100e3 * 0.30 + 50e3 * 0.24) == dollars


@given(st.floats(0, 1e12), st.floats(0, 1e12))
def test_more_requests_never_cost_less(few: float, more: float) -> None:
    """The sum grows with the units, whatever their steps."""
    assert tiered(PRICES.sqs_requests, few) <= tiered(PRICES.sqs_requests, few + more)
