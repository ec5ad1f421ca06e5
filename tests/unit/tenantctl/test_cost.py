"""What each tenant cost: nothing that was measured is lost, and nothing is counted twice."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chart.render import ROOT
from tenantctl.cost import HOURS_A_MONTH, Line, Measured, Served, Usage, lines_of, read_prices

PRICES: Final = read_prices()
AMOUNTS: Final = st.floats(0, 1e9)
NAMES: Final = st.sampled_from(["acme", "globex", "initech", "pool-1", "pool-2"])
MESSAGES: Final = st.dictionaries(
    st.sampled_from(["acme", "globex", "initech", "other"]), AMOUNTS, max_size=4
)
USAGES: Final = st.builds(
    Usage,
    pods=AMOUNTS,
    sends=AMOUNTS,
    requests=AMOUNTS,
    writes=AMOUNTS,
    reads=AMOUNTS,
    stored_bytes=AMOUNTS,
)


def lines(**more: Any) -> dict[str, Line]:
    """By name."""
    measured = Measured(
        **{"hours": HOURS_A_MONTH, "used": {}, "served": {}, "platform": {}, **more}
    )
    return {line.name: line for line in lines_of(measured, PRICES)}


def test_a_tenants_own_is_its_own() -> None:
    """At the table's prices."""
    usage = Usage(pods=3.0, requests=2e6, writes=4e6, reads=1e6, stored_bytes=10 * 1024.0**3)

    line = lines(used={"acme": usage})["acme"]

    assert pytest.approx((3.0, 0.8)) == (line.pods, line.sqs)
    assert pytest.approx(4 * 0.7625 + 0.1525 + 10 * 0.306) == line.dynamodb


def test_a_pool_is_shared_by_what_it_did() -> None:
    """Pods by what was accepted and stored, queue and table by what was stored."""
    served = Served(accepted={"acme": 100, "globex": 300}, stored={"acme": 100})
    found = lines(
        used={"pool-1": Usage(pods=10.0, requests=1e6), "globex": Usage(pods=1.0)},
        served={"pool-1": served},
    )

    assert {"acme", "globex"} == found.keys()
    assert pytest.approx((4.0, 0.4)) == (found["acme"].pods, found["acme"].sqs)
    assert pytest.approx((7.0, 0.0)) == (found["globex"].pods, found["globex"].sqs)


def test_who_sends_pays_for_sends() -> None:
    """An advanced tenant's messages come in by a pool, whose consumers never see them."""
    found = lines(
        used={
            "pool-1": Usage(sends=4e6, requests=1e6, writes=1e6),
            "globex": Usage(requests=2e6, writes=1e6),
        },
        served={"pool-1": Served(accepted={"acme": 1, "globex": 3}, stored={"acme": 1})},
    )

    assert pytest.approx((0.4 + 0.4, 0.7625)) == (found["acme"].sqs, found["acme"].dynamodb)
    assert pytest.approx((1.2 + 0.8, 0.7625)) == (found["globex"].sqs, found["globex"].dynamodb)


def test_a_pool_that_nobody_could_be_asked_about_is_not_unused() -> None:
    """It is nobody's all the same."""
    found = lines(used={"pool-1": Usage(pods=3.0)}, served={"pool-1": Served(is_known=False)})

    assert {"unknown of pool-1": 3.0} == {name: line.pods for name, line in found.items()}


def test_what_nobody_can_be_named_for_has_lines_of_its_own() -> None:
    """Tenants beyond the label's bound, a pool that nobody used, the platform, idle nodes."""
    found = lines(
        used={"pool-1": Usage(pods=1.0), "pool-2": Usage(pods=2.0)},
        served={"pool-1": Served(stored={"other": 5}), "pool-2": Served()},
        platform={"namespace keda": 3.0, "idle nodes": 4.0},
    )

    assert {
        "other of pool-1": 1.0,
        "unused of pool-2": 2.0,
        "namespace keda": 3.0,
        "idle nodes": 4.0,
    } == {name: line.pods for name, line in found.items()}
    assert not any(line.is_tenant for line in found.values())


@given(
    used=st.dictionaries(NAMES, USAGES),
    served=st.dictionaries(
        st.sampled_from(["pool-1", "pool-2"]),
        st.builds(Served, accepted=MESSAGES, stored=MESSAGES, is_known=st.booleans()),
    ),
    platform=st.dictionaries(st.sampled_from(["namespace keda", "idle nodes"]), AMOUNTS),
    hours=st.floats(1, 800),
)
def test_all_lines_together_are_what_was_measured(
    used: dict[str, Usage],
    served: dict[str, Served],
    platform: dict[str, float],
    hours: float,
) -> None:
    """However messages are spread."""
    told = {name: one for name, one in served.items() if name in used}
    measured = Measured(hours=hours, used=used, served=told, platform=platform)

    found = lines_of(measured, PRICES)

    pods = sum(one.pods for one in used.values()) + sum(platform.values())
    calls = sum(one.sends + one.requests for one in used.values())
    units = sum(
        one.writes * PRICES.million_writes_of_dynamodb
        + one.reads * PRICES.million_reads_of_dynamodb
        for one in used.values()
    )
    stored = sum(one.stored_bytes for one in used.values()) / 1024**3 * hours / HOURS_A_MONTH
    dynamodb = units / 1e6 + stored * PRICES.gib_month_of_dynamodb
    assert pytest.approx(pods) == sum(line.pods for line in found)
    assert pytest.approx(calls / 1e6 * PRICES.million_requests_of_sqs) == sum(
        line.sqs for line in found
    )
    assert pytest.approx(dynamodb) == sum(line.dynamodb for line in found)
    assert len(found) == len({line.name for line in found})
    assert all(line.total >= 0 for line in found)


def test_prices_are_those_of_the_estimate() -> None:
    """Where an environment's estimate and the report name the same thing."""
    path = ROOT / "platform/cloud/src/tenantry_cloud/data/prices.json"
    table = json.loads(path.read_text("utf-8"))
    known = {name: each["usd"] for name, each in table["prices"].items()}

    assert table["as_of"] == PRICES.as_of
    assert known["million requests of SQS"] == PRICES.million_requests_of_sqs
    assert known["million writes of DynamoDB"] == PRICES.million_writes_of_dynamodb
    assert known["GB in DynamoDB"] == PRICES.gib_month_of_dynamodb
