"""The consumer's `MessageRepository` and `MessageReader`: in memory, and on engines of DynamoDB.

DynamoDB Local is the judge: it alone refuses whole calls as DynamoDB does.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from prometheus_client import CollectorRegistry

from consumer.repository import (
    DynamoMessageReader,
    DynamoMessageRepository,
    Inserted,
    MessageReader,
    MessageRepository,
    Row,
)
from contract.engines import dynamodb_calls
from contract.tables import STORED_AT, MemoryTables, Tables, a_row, engine_tables
from fakes.repository import FakeRepository
from tenantry.contract import StoredMessage, dump_json, item_bytes
from tenantry.errors import StoreUnavailableError
from tenantry.limits import DYNAMODB_ITEM_BYTES, PARTIQL_BATCH_BYTES, PARTIQL_BATCH_STATEMENTS
from tenantry.metrics import ConsumerMetrics

LATER = "2026-01-02T03:04:07.000001Z"
EMOJI = "\U0001f600"


@pytest.fixture(
    params=[
        "fake",
        "standin",
        "ministack",
        "ministack-botocore",
        pytest.param("dynamodb-local", marks=pytest.mark.engines),
    ]
)
def engine(request: pytest.FixtureRequest) -> str:
    """Where the tables are. Not moto, which does not know statements with parameters."""
    name: str = request.param
    return name


@pytest.fixture
async def tables(engine: str, engine_url: str | None) -> AsyncGenerator[Tables]:
    """The tables of the engine."""
    if engine_url is None:
        yield MemoryTables()
        return
    async with engine_tables(engine_url, engine) as tables:
        yield tables


@pytest.fixture
async def nowhere(
    engine: str, nowhere_url: str
) -> AsyncGenerator[tuple[MessageRepository, MessageReader]]:
    """The ports, where the service does not answer."""
    if engine == "fake":
        fake = FakeRepository("any")
        fake.down = True
        yield fake, fake
        return
    async with dynamodb_calls(nowhere_url, engine) as (client, writes):
        repository = DynamoMessageRepository(
            client, ConsumerMetrics(CollectorRegistry()), writes=writes
        )
        yield repository, DynamoMessageReader(client)


def stored(row: Row, stored_at: str = STORED_AT) -> StoredMessage:
    """What is read of a row that was stored then."""
    return StoredMessage(row.message, row.message.payload_sha256(), stored_at)


def of_item_bytes(number: int, size: int) -> Row:
    """A row whose item has so many bytes, as the contract counts."""
    empty = a_row(number, '{"a":""}')
    row = a_row(number, '{"a":"%s"}' % ("x" * (size - item_bytes(empty.message))))
    assert item_bytes(row.message) == size
    return row


async def found(tables: Tables, table: str, row: Row) -> StoredMessage | None:
    """What the table holds under the row's key."""
    return await tables.reader.get(table, *row.key)


# Storing once


async def test_a_message_is_stored_and_read(tables: Tables) -> None:
    """With its digest, and when it was stored."""
    table, row = await tables.make(), a_row()

    assert [Inserted.STORED] == await tables.repository.insert(table, [row], STORED_AT)
    assert stored(row) == await found(tables, table, row)


async def test_a_message_is_stored_once(tables: Tables) -> None:
    """The second time changes nothing, not even when it was stored."""
    table, row = await tables.make(), a_row()
    await tables.repository.insert(table, [row], STORED_AT)

    assert [Inserted.DUPLICATE] == await tables.repository.insert(table, [row], LATER)
    assert stored(row) == await found(tables, table, row)


async def test_what_was_stored_first_stays(tables: Tables) -> None:
    """Another payload under the same id is a duplicate."""
    table, row = await tables.make(), a_row(payload='{"a":1}')
    await tables.repository.insert(table, [row], STORED_AT)
    other = a_row(payload='{"a":2}')

    assert [Inserted.DUPLICATE] == await tables.repository.insert(table, [other], LATER)
    assert stored(row) == await found(tables, table, row)


async def test_a_full_call_has_an_outcome_for_each_in_order(tables: Tables) -> None:
    """Twenty-five, some of which are there already."""
    table = await tables.make()
    rows = [a_row(n) for n in range(PARTIQL_BATCH_STATEMENTS)]
    await tables.repository.insert(table, rows[5:8], STORED_AT)
    outcomes = await tables.repository.insert(table, rows, LATER)

    assert [Inserted.STORED] * 5 + [Inserted.DUPLICATE] * 3 + [Inserted.STORED] * 17 == outcomes
    for row in (rows[0], rows[24]):
        assert stored(row, LATER) == await found(tables, table, row)


async def test_more_than_a_call_takes_is_a_mistake_of_the_caller(tables: Tables) -> None:
    """And nothing is stored."""
    table = await tables.make()
    rows = [a_row(n) for n in range(PARTIQL_BATCH_STATEMENTS + 1)]
    with pytest.raises(ValueError, match="26 rows"):
        await tables.repository.insert(table, rows, STORED_AT)

    assert await found(tables, table, rows[0]) is None


async def test_any_text_is_stored_unchanged(tables: Tables) -> None:
    """White space, quotes, what looks like a placeholder or an escape, the highest planes."""
    payload = dump_json(
        {"": "'?\"\\ \x00\x1f\x7f\x85\u2028\ufffe\uffff" + EMOJI, "a": "?", "b'": "\\uffff"}
    )
    table, row = await tables.make(), a_row(payload=payload)

    assert [Inserted.STORED] == await tables.repository.insert(table, [row], STORED_AT)
    assert stored(row) == await found(tables, table, row)


async def test_a_shard_is_no_part_of_the_tenants_id(tables: Tables) -> None:
    """It is where the item lies."""
    table, row = await tables.make(), a_row(partition="acme#3")
    await tables.repository.insert(table, [row], STORED_AT)

    assert stored(row) == await tables.reader.get(table, "acme#3", row.message.message_id)
    assert await tables.reader.get(table, "acme", row.message.message_id) is None


# What DynamoDB refuses


async def test_a_key_that_is_twice_in_a_call_is_stored_once(tables: Tables) -> None:
    """DynamoDB refuses the whole call, perhaps after it stored some: nobody is refused for it."""
    table = await tables.make()
    rows = [a_row(n, '{"a":1}') for n in range(6)] + [a_row(2, '{"a":2}')]
    outcomes = await tables.repository.insert(table, rows, STORED_AT)

    assert {Inserted.STORED, Inserted.DUPLICATE} >= set(outcomes)
    assert Inserted.DUPLICATE in (outcomes[2], outcomes[6])
    page = await tables.reader.page(table, "acme", after=None, limit=10)
    assert page.items.pop(2) in (stored(rows[2]), stored(rows[6]))
    assert [stored(rows[n]) for n in (0, 1, 3, 4, 5)] == page.items


async def test_an_item_of_the_largest_size_is_stored(tables: Tables) -> None:
    """The contract's count is never too low."""
    table, row = await tables.make(), of_item_bytes(1, DYNAMODB_ITEM_BYTES)

    assert [Inserted.STORED] == await tables.repository.insert(table, [row], STORED_AT)
    assert stored(row) == await found(tables, table, row)


async def test_an_item_that_is_too_large_is_refused_alone(tables: Tables) -> None:
    """Its neighbours are stored by the same call."""
    table = await tables.make()
    rows = [a_row(n) for n in range(9)]
    # The contract counts a shard, and a version, of the longest kind: 33 bytes at the most.
    rows.insert(4, of_item_bytes(9, DYNAMODB_ITEM_BYTES + 34))
    outcomes = await tables.repository.insert(table, rows, STORED_AT)

    assert [Inserted.STORED] * 4 + [Inserted.REFUSED] + [Inserted.STORED] * 5 == outcomes
    assert await found(tables, table, rows[4]) is None
    assert stored(rows[9]) == await found(tables, table, rows[9])


@pytest.mark.needs("BatchExecuteStatement, a number beyond 38 digits")
async def test_a_call_that_is_refused_whole_is_halved_until_the_culprit_is_left(
    tables: Tables,
) -> None:
    """One value that DynamoDB does not take must not cost 24 others."""
    table = await tables.make()
    rows = [a_row(n) for n in range(24)]
    rows.insert(13, a_row(24, version=10**38 + 1))
    outcomes = await tables.repository.insert(table, rows, STORED_AT)

    assert [Inserted.STORED] * 13 + [Inserted.REFUSED] + [Inserted.STORED] * 11 == outcomes
    assert await found(tables, table, rows[13]) is None


async def test_a_call_that_is_too_large_as_sent_is_split(tables: Tables) -> None:
    """Emoji take twelve bytes for four: 25 of 380 KB are 28 MB."""
    table = await tables.make()
    payload = '{"a":"%s"}' % (EMOJI * 95_000)
    rows = [a_row(n, payload) for n in range(PARTIQL_BATCH_STATEMENTS)]
    assert sum(row.sent_bytes() for row in rows) > 6 * PARTIQL_BATCH_BYTES

    outcomes = await tables.repository.insert(table, rows, STORED_AT)

    assert [Inserted.STORED] * PARTIQL_BATCH_STATEMENTS == outcomes
    assert stored(rows[24]) == await found(tables, table, rows[24])


async def test_a_call_of_what_one_call_takes_is_not_split(tables: Tables) -> None:
    """By the count that callers pack by."""
    table = await tables.make()
    rows = [a_row(n, '{"a":"%s"}' % ("ä" * 87_000)) for n in range(8)]
    size = sum(row.sent_bytes() for row in rows)
    assert PARTIQL_BATCH_BYTES - 30_000 < size <= PARTIQL_BATCH_BYTES

    assert [Inserted.STORED] * 8 == await tables.repository.insert(table, rows, STORED_AT)
    if isinstance(tables, MemoryTables):
        assert tables.fake.calls == [8]


# Outages


async def test_a_missing_table_is_nobody_messages_fault(tables: Tables) -> None:
    """It may come: Terraform makes it."""
    rows = [a_row(1), a_row(2)]

    assert [Inserted.UNAVAILABLE] * 2 == await tables.repository.insert("none", rows, STORED_AT)
    with pytest.raises(StoreUnavailableError):
        await tables.repository.digests("none", [rows[0].key])
    with pytest.raises(StoreUnavailableError):
        await tables.reader.get("none", *rows[0].key)
    with pytest.raises(StoreUnavailableError):
        await tables.reader.page("none", "acme", after=None, limit=1)


async def test_a_service_that_does_not_answer_is_nobody_messages_fault(
    nowhere: tuple[MessageRepository, MessageReader],
) -> None:
    """As a missing table."""
    repository, reader = nowhere
    row = a_row()

    assert [Inserted.UNAVAILABLE] == await repository.insert("any", [row], STORED_AT)
    with pytest.raises(StoreUnavailableError):
        await repository.digests("any", [row.key])
    with pytest.raises(StoreUnavailableError):
        await reader.get("any", *row.key)
    with pytest.raises(StoreUnavailableError):
        await reader.page("any", "acme", after=None, limit=1)


# Reading


async def test_digests_are_those_of_what_is_stored(tables: Tables) -> None:
    """A hundred keys in one go, without those that are not there."""
    table = await tables.make()
    rows = [a_row(n, '{"n":%d}' % n) for n in range(100)]
    for start in range(0, 75, 25):
        await tables.repository.insert(table, rows[start : start + 25], STORED_AT)
    digests = await tables.repository.digests(table, [row.key for row in rows])

    assert {row.key: row.message.payload_sha256() for row in rows[:75]} == digests


async def test_no_keys_have_no_digests(tables: Tables) -> None:
    """And cost no call."""
    assert {} == await tables.repository.digests("none", [])


async def test_what_is_not_there_is_not_found(tables: Tables) -> None:
    """Another tenant's is not, either."""
    table, row = await tables.make(), a_row()
    await tables.repository.insert(table, [row], STORED_AT)

    assert await tables.reader.get(table, "acme", a_row(2).message.message_id) is None
    assert await tables.reader.get(table, "globex", row.message.message_id) is None


async def pages(tables: Tables, table: str, *, limit: int) -> list[list[StoredMessage]]:
    """Every page of acme's, each from where the one before was cut."""
    found: list[list[StoredMessage]] = []
    after: str | None = None
    while True:
        page = await tables.reader.page(table, "acme", after=after, limit=limit)
        found.append(page.items)
        if not page.is_cut:
            return found
        after = page.items[-1].message.message_id


async def test_pages_follow_each_other_in_the_order_of_ids(tables: Tables) -> None:
    """Each as long as asked for; no message of another tenant, and none twice."""
    table = await tables.make()
    rows = [a_row(n) for n in range(7)]
    await tables.repository.insert(table, rows[::-1], STORED_AT)
    await tables.repository.insert(table, [a_row(3, partition="acme-2")], STORED_AT)
    items = [stored(row) for row in rows]

    assert [items[:3], items[3:6], items[6:]] == await pages(tables, table, limit=3)


async def test_a_page_of_large_messages_is_cut(tables: Tables) -> None:
    """A query reads 1 MiB, also where more are asked for; what is left follows."""
    table = await tables.make()
    rows = [a_row(n, '{"a":"%s"}' % ("x" * 400_000)) for n in range(5)]
    await tables.repository.insert(table, rows, STORED_AT)
    found = await pages(tables, table, limit=100)

    assert 2 <= len(found[0]) <= 3
    assert [stored(row) for row in rows] == [item for page in found for item in page]


async def test_a_partition_without_messages_is_an_empty_page(tables: Tables) -> None:
    """Which is not cut."""
    page = await tables.reader.page(await tables.make(), "acme", after=None, limit=5)

    assert page.items == []
    assert not page.is_cut
