"""The tables in memory: their faults are felt, and whole calls are refused as by DynamoDB."""

from __future__ import annotations

import asyncio

import pytest

from consumer.repository import Inserted, Row
from contract.tables import STORED_AT, a_row
from fakes.repository import FakeRepository
from fakes.waiting import until
from tenantry.errors import StoreUnavailableError

TABLE = "dev-pool-1-messages"


@pytest.fixture
def fake() -> FakeRepository:
    """One table."""
    return FakeRepository(TABLE)


def rows(count: int) -> list[Row]:
    """Small rows of acme."""
    return [a_row(n) for n in range(count)]


async def test_a_failed_call_changes_nothing_and_the_next_is_well(fake: FakeRepository) -> None:
    """Writes and reads alike."""
    fake.fail(2)

    assert [Inserted.UNAVAILABLE] * 2 == await fake.insert(TABLE, rows(2), STORED_AT)
    with pytest.raises(StoreUnavailableError):
        await fake.get(TABLE, *a_row().key)
    assert [] == fake.ids(TABLE)
    assert [Inserted.STORED] * 2 == await fake.insert(TABLE, rows(2), STORED_AT)


async def test_an_insert_whose_answer_is_lost_has_stored(fake: FakeRepository) -> None:
    """Trying again tells."""
    fake.lose_answers()

    assert [Inserted.UNAVAILABLE] == await fake.insert(TABLE, rows(1), STORED_AT)
    assert [Inserted.DUPLICATE] == await fake.insert(TABLE, rows(1), STORED_AT)


async def test_a_throttled_partition_is_no_neighbours_matter(fake: FakeRepository) -> None:
    """Nor is a poisonous message."""
    fake.throttled.add("globex")
    fake.poison.add(a_row(2).message.message_id)
    mixed = [a_row(1), a_row(1, partition="globex"), a_row(2)]

    assert [Inserted.STORED, Inserted.THROTTLED, Inserted.REFUSED] == await fake.insert(
        TABLE, mixed, STORED_AT
    )


async def test_a_whole_call_that_is_refused_is_counted(fake: FakeRepository) -> None:
    """A key twice is found by halving: four calls for one."""
    outcomes = await fake.insert(TABLE, [a_row(1), a_row(1)], STORED_AT)

    assert [Inserted.STORED, Inserted.DUPLICATE] == outcomes
    assert ([2, 1, 1], 1) == (fake.calls, fake.refused_calls)


async def test_four_mebibytes_as_sent_are_the_most(fake: FakeRepository) -> None:
    """An emoji takes twelve bytes for four."""
    payload = '{"a":"%s"}' % ("\U0001f600" * 90_000)
    await fake.insert(TABLE, [a_row(n, payload) for n in range(3)], STORED_AT)
    assert fake.refused_calls == 0

    await fake.insert(TABLE, [a_row(n, payload) for n in range(4, 8)], STORED_AT)
    assert fake.refused_calls == 1
    assert len(fake.ids(TABLE)) == 7


async def test_a_gate_holds_calls_back(fake: FakeRepository) -> None:
    """They take effect when it opens."""
    fake.open.clear()
    insert = asyncio.create_task(fake.insert(TABLE, rows(1), STORED_AT))
    await until(lambda: not insert.done())
    assert [] == fake.ids(TABLE)

    fake.open.set()
    assert [Inserted.STORED] == await insert
