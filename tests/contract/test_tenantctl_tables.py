"""What tenantctl does with tables, on engines of DynamoDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from consumer.repository import Row, to_item
from contract.tables import STORED_AT, EngineTables, a_row, engine_tables
from fakes.dying import KilledError, Watched
from tenantctl.awsfailures import ResourceMissingError
from tenantctl.errors import UnavailableError
from tenantctl.items import sort_key, to_json
from tenantctl.tables import Compared, Copied, Deleted, Item, Tables
from tenantry.contract import idempotent_message_id, partition

LATER = "2026-01-02T03:04:07.000001Z"
FAST = 1_000_000.0


@pytest.fixture(params=["standin", "ministack"])
def engine(request: pytest.FixtureRequest) -> str:
    """Where the tables are."""
    name: str = request.param
    return name


@pytest.fixture
async def made(engine_url: str) -> AsyncGenerator[EngineTables]:
    """The tables of the engine."""
    async with engine_tables(engine_url) as tables:
        yield tables


async def nobody_else() -> None:
    """Nobody else works on the tenant."""


#: As fast as it goes, and alone.
AT_ONCE: dict[str, Any] = {"rate": FAST, "guard": nobody_else}


async def no_sleep(_: float) -> None:
    """Back off by nothing."""


def our(client: Any) -> Tables:
    """What is under test."""
    return Tables(client, sleep=no_sleep)


def an_item(
    number: int, payload: str = "{}", *, stored_at: str = STORED_AT, **changes: Any
) -> Item:
    """An item of acme, as a consumer stores it."""
    return to_item(a_row(number, payload, **changes), stored_at)


def in_shards(count: int, shards: int) -> list[Item]:
    """Items of acme in a table where it has shards."""
    rows = [a_row(n) for n in range(count)]
    return [
        to_item(Row(partition("acme", row.message.message_id, shards), row.message), STORED_AT)
        for row in rows
    ]


async def lines(items: Iterable[Item]) -> AsyncIterator[bytes]:
    """These as an export has them."""
    for item in items:
        yield to_json(item)


async def put(made: EngineTables, table: str, items: Sequence[Item]) -> None:
    """Have these in the table."""
    for start in range(0, len(items), 25):
        writes: Any = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        await made.client.batch_write_item(RequestItems={table: writes})


async def held(client: Any, table: str, tenant: str = "acme", shards: int = 1) -> list[Item]:
    """What the tenant has there, in the order in which it comes."""
    return [item async for item in our(client).items(table, tenant, shards)]


async def two(made: EngineTables, count: int = 0) -> tuple[str, str]:
    """An old table with so many items, and a new one."""
    old, new = await made.make(), await made.make()
    await put(made, old, [an_item(n) for n in range(count)])
    return old, new


# Reading


async def test_items_come_in_order_over_pages_and_shards(made: EngineTables) -> None:
    """Each once; no other tenant's, not even of one whose id begins alike."""
    table = await made.make()
    items = in_shards(30, 4)
    await put(made, table, items)
    large = [an_item(n, '{"a":"%s"}' % ("x" * 300_000), partition="globex") for n in range(9)]
    for item in large:
        await made.client.put_item(TableName=table, Item=dict(item))
    await put(made, table, [an_item(1, partition="acme-2"), an_item(2, partition="acme")])
    watched = Watched(made.client)

    assert items == await held(made.client, table, shards=4)
    assert large == await held(watched, table, "globex")
    assert watched.calls["query"] >= 3


async def test_reads_are_consistent(made: EngineTables) -> None:
    """What was stored a moment ago is neither missed nor deleted unseen."""
    old, new = await two(made, 2)
    asked: list[dict[str, Any]] = []

    async def ask(call: Any, **request: Any) -> Any:
        asked.append(next(iter(request.get("RequestItems", {}).values()), request))
        return {"Items": []} if request.get("TableName") == new else await call(**request)

    names = ("query", "scan", "batch_get_item")
    ours = our(Watched(made.client, spoils=dict.fromkeys(names, ask)))
    for _ in range(2):  # the second time all are duplicates, and read
        await ours.copy(old, new, "acme", 1, rate=FAST)
    await ours.is_empty(old)

    assert {"Keys", "Limit", "KeyConditionExpression"} <= {name for one in asked for name in one}
    assert all(request["ConsistentRead"] for request in asked)


async def test_a_table_that_is_not_there_is_named(made: EngineTables) -> None:
    """Nothing is taken for an empty table that is none."""
    ours = our(made.client)
    old, _ = await two(made, 1)
    for asked in (
        ours.count_and_digest("none", "acme", 1),
        ours.is_empty("none"),
        ours.copy(old, "none", "acme", 1, rate=FAST),
        ours.delete_exported("none", "acme", 1, lines([]), **AT_ONCE),
        ours.count_unexported("none", "acme", 1, lines([])),
        ours.protect("none", on=True),
    ):
        with pytest.raises(ResourceMissingError, match="table none is not there"):
            await asked
    assert not await ours.exists("none")
    assert await ours.exists(old)


async def test_equal_tables_have_equal_digests(made: EngineTables) -> None:
    """Whatever their shards, and in whatever order their items came."""
    one, other = await made.make(), await made.make()
    await put(made, one, [an_item(n) for n in range(20)])
    await put(made, other, in_shards(20, 4)[::-1])
    digest = await our(made.client).count_and_digest(one, "acme", 1)

    assert digest.count == 20
    assert digest == await our(made.client).count_and_digest(other, "acme", 4)


@pytest.mark.parametrize(
    "other",
    [
        an_item(1, '{"a":2}'),
        an_item(1, '{"a":1}', stored_at=LATER),
        an_item(2, '{"a":1}'),
        {**an_item(1, '{"a":1}'), "version": {"N": "2"}},
        {**an_item(1, '{"a":1}'), "later": {"NULL": True}},
        {**an_item(1, '{"a":1}'), "payload_sha256": {"B": bytes(32)}},
    ],
    ids=["payload", "stored-at", "id", "number", "one-more", "bytes"],
)
async def test_one_byte_makes_another_digest(made: EngineTables, other: Item) -> None:
    """Of any attribute."""
    tables = await made.make(), await made.make()
    await put(made, tables[0], [an_item(1, '{"a":1}')])
    await put(made, tables[1], [other])
    found = [await our(made.client).count_and_digest(table, "acme", 1) for table in tables]

    assert [1, 1] == [digest.count for digest in found]
    assert found[0].sha256 != found[1].sha256


async def test_leftovers_of_nobody_are_counted(made: EngineTables) -> None:
    """By partition; a table is empty when nobody has anything in it."""
    table, ours = await made.make(), our(made.client)
    assert await ours.is_empty(table)
    await put(made, table, in_shards(20, 2))
    await put(made, table, [an_item(n, partition="globex") for n in range(3)])

    assert await ours.foreign_items(table, {"acme": 2}) == {"globex": 3}
    assert await ours.foreign_items(table, {"acme": 2, "globex": 1}) == {}
    assert not await ours.is_empty(table)


# Copying


async def test_a_copy_of_thousands_takes_few_calls(made: EngineTables) -> None:
    """25 items a call; and the next pass writes nothing."""
    old, new = await two(made, 3_000)
    watched = Watched(made.client)
    first = await our(watched).copy(old, new, "acme", 1, rate=FAST)

    assert first == Copied(read=3_000, added=3_000)
    assert watched.calls["batch_execute_statement"] == 3_000 / 25
    assert set(watched.calls) == {"batch_execute_statement", "query"}
    assert watched.calls["query"] <= 6
    again = Watched(made.client)
    assert await our(again).copy(old, new, "acme", 1, rate=FAST) == Copied(read=3_000)
    assert set(again.calls) == {"query"}
    digests = [await our(made.client).count_and_digest(one, "acme", 1) for one in (old, new)]
    assert digests[0] == digests[1]


async def test_a_copy_changes_nothing_that_is_there(made: EngineTables) -> None:
    """Another payload is a conflict; the same message that was delivered twice is none."""
    old, new = await two(made)
    await put(made, old, [an_item(n, '{"a":1}') for n in range(3)])
    there = [an_item(0, '{"a":2}'), an_item(1, '{"a":1}', stored_at=LATER), an_item(7)]
    await put(made, new, there)
    done = await our(made.client).copy(old, new, "acme", 1, rate=FAST)

    assert done == Copied(read=3, added=1, conflicts=1)
    assert [*there[:2], an_item(2, '{"a":1}'), there[2]] == await held(made.client, new)
    compared = await our(made.client).compare(old, new, "acme", 1)
    assert compared == Compared(equal=2, conflicts=1, more=1)


async def test_a_copy_can_change_the_shards(made: EngineTables) -> None:
    """Each item lies where a consumer looks for it."""
    old, new = await two(made, 30)
    ours = our(made.client)

    copied = await ours.copy(old, new, "acme", 1, rate=FAST, target_shards=4)
    assert copied == Copied(read=30, added=30)
    assert in_shards(30, 4) == await held(made.client, new, shards=4)
    assert await ours.compare(old, new, "acme", 1, new_shards=4) == Compared(equal=30)
    done = await ours.delete_verified(old, new, "acme", 1, **AT_ONCE, new_shards=4)
    assert done == Deleted(deleted=30)


async def test_large_items_go_in_calls_that_dynamodb_takes(made: EngineTables) -> None:
    """As they are sent: an emoji takes twelve bytes there, and four in the item."""
    old, new = await two(made)
    payload = '{"a":"%s"}' % ("\U0001f600" * 90_000)
    for n in range(6):
        await made.client.put_item(TableName=old, Item=dict(an_item(n, payload)))
    watched = Watched(made.client)

    done = await our(watched).copy(old, new, "acme", 1, rate=FAST)

    assert done == Copied(read=6, added=6)
    assert watched.calls["batch_execute_statement"] == 2


def blind_to(table: str) -> dict[str, Callable[..., Any]]:
    """Queries of this table find nothing: as if what is there came a moment later."""

    async def query(call: Any, **request: Any) -> Any:
        return {"Items": []} if request["TableName"] == table else await call(**request)

    return {"query": query}


async def test_who_is_faster_than_a_copy_is_compared_with(made: EngineTables) -> None:
    """The same item is the copy's own, a second delivery is as good, another payload is none."""
    old, new = await two(made, 4)
    await put(made, new, [an_item(0), an_item(1, '{"a":1}'), an_item(2, stored_at=LATER)])
    watched = Watched(made.client, spoils=blind_to(new))

    done = await our(watched).copy(old, new, "acme", 1, rate=FAST)
    assert done == Copied(read=4, added=2, conflicts=1)
    assert an_item(1, '{"a":1}') in await held(made.client, new)


async def test_statements_that_are_throttled_are_sent_again(made: EngineTables) -> None:
    """Those alone, also when a whole call is; a table that never takes any is named."""
    old, new = await two(made, 30)
    spoilt: list[int] = []
    error = ClientError({"Error": {"Code": "ThrottlingException"}}, "BatchExecuteStatement")

    async def throttle(call: Any, **request: Any) -> Any:
        statements = request["Statements"]
        spoilt.append(len(statements))
        if len(spoilt) == 1:
            raise error
        if len(spoilt) > 4:
            return await call(**request)
        rest = (await call(Statements=statements[1:]))["Responses"] if statements[1:] else []
        return {"Responses": [{"Error": {"Code": "ThrottlingError"}}, *rest]}

    watched = Watched(made.client, spoils={"batch_execute_statement": throttle})
    done = await our(watched).copy(old, new, "acme", 1, rate=FAST)
    assert done == Copied(read=30, added=30)
    assert spoilt[:3] == [25, 25, 1]

    async def never(_: Any, **request: Any) -> Any:
        return {"Responses": [{"Error": {"Code": "ThrottlingError"}}] * len(request["Statements"])}

    stuck = Watched(made.client, spoils={"batch_execute_statement": never, **blind_to(new)})
    with pytest.raises(UnavailableError, match=f"table {new}: .* is throttled"):
        await our(stuck).copy(old, new, "acme", 1, rate=FAST)


async def test_a_call_that_is_refused_is_halved_to_its_culprit(made: EngineTables) -> None:
    """Which is counted, and holds nobody up."""
    old, new = await two(made, 25)
    culprit = an_item(13)["message_id"]
    error = ClientError({"Error": {"Code": "ValidationException"}}, "BatchExecuteStatement")

    async def refuse(call: Any, **request: Any) -> Any:
        if any(culprit in one["Parameters"] for one in request["Statements"]):
            raise error
        return await call(**request)

    watched = Watched(made.client, spoils={"batch_execute_statement": refuse})
    done = await our(watched).copy(old, new, "acme", 1, rate=FAST)

    assert done == Copied(read=25, added=24, refused=1)
    kept = await our(made.client).delete_verified(old, new, "acme", 1, **AT_ONCE)
    assert kept == Deleted(deleted=24, missing=1)
    assert [an_item(13)] == await held(made.client, old)


async def test_who_may_not_insert_is_told_what_is_missing(made: EngineTables) -> None:
    """DynamoDB says so of each statement, inside a call that succeeds."""
    old, new = await two(made, 1)

    async def deny(_: Any, **request: Any) -> Any:
        return {"Responses": [{"Error": {"Code": "AccessDenied"}}]}

    watched = Watched(made.client, spoils={"batch_execute_statement": deny})
    with pytest.raises(UnavailableError, match=f"{new}: dynamodb:PartiQLInsert is not allowed"):
        await our(watched).copy(old, new, "acme", 1, rate=FAST)
    assert watched.calls["batch_execute_statement"] == 1


# Deleting


async def test_what_was_exported_is_deleted(made: EngineTables) -> None:
    """All its shards, and nothing of its neighbours."""
    table = await made.make()
    items = in_shards(40, 3)
    await put(made, table, items)
    other = [an_item(n, partition="acme-2") for n in range(3)]
    await put(made, table, other)
    exported = lines(sorted(items, key=sort_key))
    done = await our(made.client).delete_exported(table, "acme", 3, exported, **AT_ONCE)

    assert done == Deleted(deleted=40)
    assert await held(made.client, table, shards=3) == []
    assert other == await held(made.client, table, "acme-2")


async def test_what_came_after_the_export_or_differs_from_it_stays(made: EngineTables) -> None:
    """It was deleted with the rest, exported or not."""
    table = await made.make()
    await put(made, table, [an_item(n) for n in (0, 2, 3, 4, 5)])
    exported = [an_item(n) for n in (1, 2, 4, 6)] + [an_item(5, '{"a":2}')]
    exported.sort(key=sort_key)
    ours = our(made.client)

    assert await ours.count_unexported(table, "acme", 1, lines(exported)) == 3
    done = await ours.delete_exported(table, "acme", 1, lines(exported), **AT_ONCE)
    assert done == Deleted(deleted=2, missing=2, conflicts=1)
    assert [an_item(n) for n in (0, 3, 5)] == await held(made.client, table)
    assert await ours.count_unexported(table, "acme", 1, lines(exported)) == 3


async def test_only_what_the_new_table_holds_is_deleted_from_the_old(made: EngineTables) -> None:
    """What is missing there, or differs, stays; the new table is not touched."""
    old, new = await two(made)
    items = [an_item(n, '{"a":1}') for n in range(30)]
    await put(made, old, items)
    there = [an_item(3, '{"a":2}'), *items[5:], an_item(99)]
    await put(made, new, there)
    done = await our(made.client).delete_verified(old, new, "acme", 1, **AT_ONCE)

    assert done == Deleted(deleted=25, missing=4, conflicts=1)
    assert items[:5] == await held(made.client, old)
    assert there == await held(made.client, new)


@pytest.mark.parametrize("is_first_old", [True, False])
async def test_of_a_key_that_was_used_twice_the_first_stays(
    made: EngineTables, is_first_old: bool
) -> None:
    """A message of the same key on either side of a move's switch stopped it, and its way back."""
    old, new = await two(made)
    key = idempotent_message_id("acme", "k")
    first: Item = {**an_item(1, '{"a":1}'), "message_id": {"S": key}}
    second: Item = {**an_item(2, '{"a":2}', stored_at=LATER), "message_id": {"S": key}}
    await put(made, old, [first if is_first_old else second])
    await put(made, new, [second if is_first_old else first])
    ours = our(made.client)

    assert await ours.copy(old, new, "acme", 1, rate=FAST) == Copied(read=1, settled=1)
    assert [first] == await held(made.client, new)
    assert await ours.delete_verified(old, new, "acme", 1, **AT_ONCE) == Deleted(deleted=1)
    assert await held(made.client, old) == []


async def test_an_item_that_was_written_anew_meanwhile_stays(made: EngineTables) -> None:
    """What was read is deleted, and not what lies there now."""
    table = await made.make()
    await put(made, table, [an_item(1), an_item(2)])
    anew = an_item(1, '{"a":1}', stored_at=LATER)

    async def query(call: Any, **request: Any) -> Any:
        answer = await call(**request)
        await put(made, table, [anew])
        return answer

    watched = Watched(made.client, spoils={"query": query})
    exported = lines([an_item(1), an_item(2)])
    done = await our(watched).delete_exported(table, "acme", 1, exported, **AT_ONCE)
    assert done == Deleted(1)
    assert [anew] == await held(made.client, table)


# Killed


async def move(tables: Tables, old: str, new: str) -> Copied:
    """Copy all, then delete what is verified."""
    copied = await tables.copy(old, new, "acme", 1, rate=FAST)
    await tables.delete_verified(old, new, "acme", 1, **AT_ONCE)
    return copied


@pytest.mark.parametrize("engine", ["standin"], indirect=True)
async def test_a_move_of_items_that_is_killed_anywhere_goes_on(made: EngineTables) -> None:
    """Before and after each call of copy and deletion: nothing lost, nothing twice or changed."""
    items = [an_item(n) for n in range(30)]
    whole = Watched(made.client)
    old, new = await two(made, 30)
    await move(our(whole), old, new)
    calls = whole.calls.total()
    assert calls >= 30 + 2 + 4

    async def killed(dies_at: int, after: bool) -> None:
        old, new = await two(made, 30)
        watched = Watched(made.client, dies_at=dies_at, after=after)
        with suppress(KilledError):
            await move(our(watched), old, new)
        assert watched.is_dead
        there = {
            item["message_id"]["S"] for one in (old, new) for item in await held(made.client, one)
        }
        assert len(there) == 30
        assert (await move(our(made.client), old, new)).conflicts == 0
        assert await held(made.client, old) == []
        assert await held(made.client, new) == items

    # Each call of the copy and what leads to the deletes, then some of those: they are alike.
    for dies_at in (*range(1, 9), *range(9, calls, 7), calls):
        await asyncio.gather(killed(dies_at, after=False), killed(dies_at, after=True))


# Tables themselves


@pytest.mark.parametrize("engine", ["ministack"], indirect=True)
async def test_the_seal_is_put_on_and_taken_off(made: EngineTables) -> None:
    """A table that is sealed is not deleted; asking again for what is so changes nothing."""
    table, watched = await made.make(), Watched(made.client)
    await our(watched).protect(table, on=True)
    with pytest.raises(ClientError):
        await made.client.delete_table(TableName=table)
    await our(watched).protect(table, on=True)
    assert watched.calls["update_table"] == 1
    await our(watched).protect(table, on=False)
    described: Mapping[str, Any] = await made.client.describe_table(TableName=table)

    assert not described["Table"].get("DeletionProtectionEnabled")
