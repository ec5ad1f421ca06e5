"""Items: their size as DynamoDB counts, what makes two of them copies, and their JSON."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from consumer.repository import to_item
from contract.tables import STORED_AT, a_row
from fakes.clock import Clock
from tenantctl.errors import InvalidError
from tenantctl.items import Digester, has_same_content, item_units, relocated, sort_key, to_json
from tenantctl.writes import Pace
from tenantry.contract import item_bytes, partition, write_units
from tenantry_local.dynamodb_values_standin import measure

EVERYTHING: dict[str, Any] = {
    **to_item(a_row(1, '{"ü":1}'), STORED_AT),
    "many": {"L": [{"S": "ä"}, {"N": "1"}, {"M": {"a": {"NULL": True}}}]},
    "set": {"SS": ["b", "a"]},
    "numbers": {"NS": ["2", "1"]},
    "bytes": {"BS": [b"\xff", b"\x00"]},
    "is": {"BOOL": False},
    "exact": {"N": "12345678901234567890123456789012345678"},
}


@pytest.mark.parametrize(
    "payload", ["{}", '{"a":"%s"}' % ("ü" * 700), '{"a":"%s"}' % ("x" * 5_000)]
)
def test_an_item_costs_the_units_of_its_bytes(payload: str) -> None:
    """Never less than DynamoDB takes, and not more than the contract counts."""
    row = a_row(1, payload)
    item = to_item(row, STORED_AT)
    units = item_units(item)
    as_sent = item | {"payload_sha256": {"B": base64.b64encode(bytes(32)).decode()}}

    assert write_units(measure(as_sent)) <= units
    assert units <= write_units(item_bytes(row.message))


def test_an_item_of_every_type_is_never_too_cheap() -> None:
    """What a later version may store."""
    assert item_units({**EVERYTHING, "x": {"S": "x" * 9_000}}) >= 9


def test_copies_of_a_message_differ_in_when_and_where_alone() -> None:
    """An attribute that is not known here counts: deleting it would lose it."""
    item = dict(to_item(a_row(1), STORED_AT))
    copy = item | {
        "tenant_id": {"S": "acme#3"},
        "stored_at": {"S": "later"},
        "accepted_at": {"S": "later"},
        "version": {"N": "2"},
    }

    assert has_same_content(item, copy)
    for change in (
        {"payload": {"S": '{"a":1}'}},
        {"payload_sha256": {"B": b""}},
        {"type": {"S": "other"}},
        {"more": {"N": "1"}},
    ):
        assert not has_same_content(item, copy | change)
        assert not has_same_content(copy | change, item)


def test_sets_have_no_order() -> None:
    """DynamoDB answers them in any."""
    other = EVERYTHING | {"set": {"SS": ["a", "b"]}, "bytes": {"BS": [b"\x00", b"\xff"]}}
    digests = []
    for item in (EVERYTHING, other):
        digester = Digester("acme")
        digester.add(item)
        digests.append(digester.digest())

    assert has_same_content(EVERYTHING, other)
    assert digests[0] == digests[1]


def test_where_an_item_begins_and_ends_counts() -> None:
    """Two items are not one of both."""
    digests = set()
    for items in ([EVERYTHING], [EVERYTHING, EVERYTHING], []):
        digester = Digester("acme")
        for item in items:
            digester.add(item)
        digests.add(digester.digest().sha256)

    assert len(digests) == 3


def test_an_item_moves_to_the_partition_of_its_message() -> None:
    """And back, with nothing else changed."""
    item = to_item(a_row(1), STORED_AT)
    moved = relocated(item, "acme", 4)

    assert moved["tenant_id"] == {"S": partition("acme", sort_key(item).decode(), 4)}
    assert dict(item) == relocated(moved, "acme", 1)


def test_an_item_is_a_line_of_plain_json() -> None:
    """The payload is the text that is stored; a number keeps its digits, bytes are base64."""
    line = to_json(EVERYTHING)
    found = json.loads(line)

    assert b"\n" not in line
    assert found["payload"] == '{"ü":1}'
    assert b":12345678901234567890123456789012345678" in line
    assert len(found["payload_sha256"]) == 44
    assert (found["bytes"], found["set"]) == (["AA==", "/w=="], ["a", "b"])
    assert found["many"] == ["ä", 1, {"a": None}]
    assert found["is"] is False


async def test_the_pace_is_kept_over_time() -> None:
    """A second's worth at once, then the rate; what is large is paid for afterwards."""
    clock = Clock()
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock.advance(seconds)

    pace, started = Pace(100, clock=clock, sleep=sleep), clock()
    await pace.take(100)
    assert waited == []
    for units in (400, 50, 50):
        await pace.take(units)

    assert clock() - started == pytest.approx(5.0)
    clock.advance(3_600)
    await asyncio.gather(pace.take(100), pace.take(100))
    assert waited[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0, -1.0, float("nan")])
def test_a_rate_of_nothing_is_refused(rate: float) -> None:
    """It would wait for ever."""
    with pytest.raises(InvalidError, match="above 0"):
        Pace(rate)
