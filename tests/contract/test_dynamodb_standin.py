"""The stand-in of DynamoDB and AWS's own DynamoDB Local: the same calls, the same answers."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from contract.engines import dynamodb_client
from tenantry_local.dynamodb_values_standin import ITEM_MOST_BYTES, measure

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

KEY = {"p": {"S": "acme"}, "s": {"S": "1"}}


class Judged:
    """Tables of an engine, each with keys `p` and perhaps `s`."""

    def __init__(self, client: DynamoDBClient) -> None:
        self.client = client
        self.made: list[str] = []

    async def make(self, **keys: str) -> str:
        """Make a table; its keys are strings unless said otherwise."""
        types = keys or {"p": "S", "s": "S"}
        name = f"judged-{uuid.uuid4()}"
        definitions: Any = [{"AttributeName": n, "AttributeType": t} for n, t in types.items()]
        schema: Any = [
            {"AttributeName": n, "KeyType": kind}
            for n, kind in zip(types, ("HASH", "RANGE"), strict=False)
        ]
        await self.client.create_table(
            TableName=name,
            AttributeDefinitions=definitions,
            KeySchema=schema,
            BillingMode="PAY_PER_REQUEST",
        )
        self.made.append(name)
        return name

    async def call(self, operation: str, **request: Any) -> Any:
        """The answer, without what is HTTP's; or the code of the error."""
        try:
            answer = await getattr(self.client, operation)(**request)
        except ClientError as error:
            return error.response["Error"]["Code"]
        # DynamoDB Local tells of the capacity that a delete of nothing consumed, unasked.
        unasked = {"ResponseMetadata", "ConsumedCapacity"}
        return {name: value for name, value in answer.items() if name not in unasked}

    async def put(self, table: str, **attributes: Any) -> Any:
        return await self.call("put_item", TableName=table, Item=KEY | attributes)

    async def get(self, table: str, key: Any = KEY, **request: Any) -> Any:
        answer = await self.call("get_item", TableName=table, Key=key, **request)
        return answer if isinstance(answer, str) else answer.get("Item")

    async def insert(self, *statements: Any) -> Any:
        """Each statement's error, or None; or that of the whole call."""
        answer = await self.call("batch_execute_statement", Statements=list(statements))
        if isinstance(answer, str):
            return answer
        return [one.get("Error", {}).get("Code") for one in answer["Responses"]]


@pytest.fixture(params=["standin", pytest.param("dynamodb-local", marks=pytest.mark.engines)])
def engine(request: pytest.FixtureRequest) -> str:
    """The stand-in, and its judge."""
    name: str = request.param
    return name


@pytest.fixture
async def db(engine_url: str) -> AsyncGenerator[Judged]:
    """The engine of a test."""
    async with dynamodb_client(engine_url) as client:
        judged = Judged(client)
        yield judged
        for name in judged.made:
            await client.delete_table(TableName=name)


def inserted(table: str, *values: Any, names: str = "ps") -> dict[str, Any]:
    """A statement; values that are texts are strings."""
    pairs = ", ".join(f"'{name}': ?" for name in names)
    parameters = [{"S": value} if isinstance(value, str) else value for value in values]
    return {"Statement": f'INSERT INTO "{table}" VALUE {{{pairs}}}', "Parameters": parameters}


# Tables


async def test_a_table_is_there_once(db: Judged) -> None:
    """Described as it was made, and gone when it was deleted."""
    name = await db.make(p="S", s="N")
    described = (await db.call("describe_table", TableName=name))["Table"]

    assert described["TableStatus"] == "ACTIVE"
    assert [("p", "HASH"), ("s", "RANGE")] == [
        (one["AttributeName"], one["KeyType"]) for one in described["KeySchema"]
    ]
    assert described["ItemCount"] == 0
    request = {key: described[key] for key in ("KeySchema", "AttributeDefinitions")}
    again = await db.call("create_table", TableName=name, BillingMode="PAY_PER_REQUEST", **request)
    assert again == "ResourceInUseException"
    assert await db.call("describe_table", TableName="none") == "ResourceNotFoundException"
    assert await db.call("delete_table", TableName="none") == "ResourceNotFoundException"
    assert name in (await db.call("list_tables"))["TableNames"]


# Items


@pytest.mark.parametrize(
    ("number", "kept"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("007", "7"),
        ("1.50", "1.5"),
        ("1e3", "1000"),
        ("-12.30e-2", "-0.123"),
        ("9" * 38, "9" * 38),
        ("1" + "0" * 60, "1" + "0" * 60),
        ("9" * 39, "ValidationException"),
        ("1e126", "ValidationException"),
        ("1e-131", "ValidationException"),
        ("0x10", "ValidationException"),
        ("", "ValidationException"),
        ("NaN", "ValidationException"),
        ("1_000", "ValidationException"),
    ],
)
async def test_a_number_is_kept_in_its_shortest_form(db: Judged, number: str, kept: str) -> None:
    """Or refused, beyond what DynamoDB holds."""
    table = await db.make()
    answer = await db.put(table, n={"N": number})

    if kept == "ValidationException":
        assert answer == kept
    else:
        assert (await db.get(table))["n"] == {"N": kept}


def nested(levels: int) -> Any:
    value: Any = {"S": "x"}
    for _ in range(levels):
        value = {"L": [value]}
    return value


@pytest.mark.parametrize(
    ("value", "is_taken"),
    [
        ({"S": ""}, True),
        ({"B": b""}, True),
        ({"BOOL": False}, True),
        ({"NULL": True}, True),
        ({"NULL": False}, False),
        ({"L": []}, True),
        ({"M": {}}, True),
        ({"SS": ["a", "b"]}, True),
        ({"SS": []}, False),
        ({"SS": ["a", "a"]}, False),
        ({"NS": ["1", "1.0"]}, False),
        ({"BS": [b"a"]}, True),
        (nested(31), True),
        (nested(32), False),
    ],
)
async def test_a_value_is_taken_or_refused(db: Judged, value: Any, is_taken: bool) -> None:
    """And read as it was written."""
    table = await db.make()
    answer = await db.put(table, a=value)

    assert answer == ({} if is_taken else "ValidationException")
    assert await db.get(table) == (KEY | {"a": value} if is_taken else None)


@pytest.mark.parametrize(
    "value",
    [
        {"S": "ü\U0001f600"},
        {"N": "1"},
        {"N": "-123.45"},
        {"N": "1000"},
        {"B": b"abc"},
        {"BOOL": True},
        {"NULL": True},
        {"L": [{"S": "a"}, {"L": []}]},
        {"M": {"ab": {"S": "c"}, "d": {"M": {}}}},
        {"SS": ["a", "bcd"]},
    ],
    ids=str,
)
async def test_an_item_of_400_kb_is_the_largest(db: Judged, value: Any) -> None:
    """Counted alike, whatever it is made of."""
    table = await db.make()
    wire = {"B": "YWJj"} if "B" in value else value
    left = ITEM_MOST_BYTES - measure({**KEY, "a": wire, "b": {"S": ""}})

    assert await db.put(table, a=value, b={"S": "x" * (left + 1)}) == "ValidationException"
    assert await db.put(table, a=value, b={"S": "x" * left}) == {}


@pytest.mark.parametrize(
    "item",
    [
        {"p": {"S": "acme"}},
        {"p": {"S": ""}, "s": {"S": "1"}},
        {"p": {"S": "acme"}, "s": {"N": "1"}},
        {"p": {"S": "x" * 2_049}, "s": {"S": "1"}},
        {"p": {"S": "acme"}, "s": {"S": "é" * 513}},
    ],
    ids=["none", "empty", "type", "long", "long-sort"],
)
async def test_an_item_without_its_key_is_refused(db: Judged, item: Any) -> None:
    """However it is written."""
    table = await db.make()

    assert await db.call("put_item", TableName=table, Item=item) == "ValidationException"
    statement = inserted(table, *item.values(), names="".join(item))
    assert await db.insert(statement) == ["ValidationError"]


@pytest.mark.parametrize(
    "key", [{"p": {"S": "a"}}, {**KEY, "x": {"S": "1"}}, {"p": {"S": "a"}, "s": {"N": "1"}}]
)
async def test_a_key_is_nothing_but_the_key(db: Judged, key: Any) -> None:
    """For reading and deleting."""
    table = await db.make()

    assert await db.get(table, key) == "ValidationException"
    assert await db.call("delete_item", TableName=table, Key=key) == "ValidationException"


async def test_a_write_answers_what_it_was_asked_to(db: Judged) -> None:
    """What was there before, what is there now, or what it changed."""
    table = await db.make()
    one, two = {"N": "1"}, {"N": "2"}

    async def written(operation: str, returns: str, **request: Any) -> Any:
        target = {"Item": KEY | request.pop("item")} if "item" in request else {"Key": KEY}
        return await db.call(operation, TableName=table, ReturnValues=returns, **target, **request)

    assert await written("put_item", "ALL_OLD", item={"a": one}) == {}
    assert await written("put_item", "ALL_OLD", item={"a": two, "b": one}) == {
        "Attributes": KEY | {"a": one}
    }
    update = {
        "UpdateExpression": "SET #a = :v, c = :v REMOVE b, d",
        "ExpressionAttributeNames": {"#a": "a"},
        "ExpressionAttributeValues": {":v": {"N": "3"}},
    }
    assert await written("update_item", "UPDATED_OLD", **update) == {
        "Attributes": {"a": two, "b": one}
    }
    assert await written("update_item", "UPDATED_NEW", **update) == {
        "Attributes": {"a": {"N": "3"}, "c": {"N": "3"}}
    }
    assert await written("update_item", "ALL_NEW", **update) == {
        "Attributes": KEY | {"a": {"N": "3"}, "c": {"N": "3"}}
    }
    assert await written("put_item", "ALL_NEW", item={}) == "ValidationException"
    assert await written("delete_item", "ALL_OLD") == {
        "Attributes": KEY | {"a": {"N": "3"}, "c": {"N": "3"}}
    }
    assert await written("delete_item", "ALL_OLD") == {}


async def test_an_update_makes_an_item_that_is_not_there(db: Judged) -> None:
    """Of its key and what is set; its key it cannot change."""
    table = await db.make()
    values = {":v": {"S": "x"}}

    async def update(text: str) -> Any:
        return await db.call(
            "update_item",
            TableName=table,
            Key=KEY,
            UpdateExpression=text,
            ExpressionAttributeValues=values,
        )

    assert await update("SET s = :v") == "ValidationException"
    assert await update("SET a = :v, a = :v") == "ValidationException"
    assert await update("SET a :v") == "ValidationException"
    assert await db.get(table) is None
    assert await update("SET a = :v") == {}
    assert await db.get(table) == KEY | {"a": {"S": "x"}}


ITEM = {"n": {"N": "10"}, "t": {"S": "text"}, "e": {"BOOL": True}}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("n = :ten", True),
        ("n <> :ten", False),
        ("n < :nine", False),
        ("n > :nine", True),
        ("n >= :ten AND n <= :ten", True),
        ("t = :ten", False),
        ("t <> :ten", True),
        ("x = :ten", False),
        ("x <> :ten", True),
        ("x < :ten", False),
        ("attribute_exists(x)", False),
        ("attribute_not_exists(x)", True),
        ("NOT attribute_exists(x) AND e = :true", True),
        ("attribute_exists(x) OR (n = :ten AND NOT t = :te)", True),
        ("n = :ten OR n = :ten AND n = :nine", True),
        ("begins_with(t, :te)", True),
        ("begins_with(n, :te)", False),
        ("begins_with(x, :te)", False),
        ("#n = :ten", True),
    ],
)
async def test_a_condition_holds_or_fails(db: Judged, text: str, holds: bool) -> None:
    """And then nothing is written, and the item is shown if so asked."""
    table = await db.make()
    await db.put(table, **ITEM)
    values: dict[str, Any] = {":ten": {"N": "10.0"}, ":nine": {"N": "9"}, ":te": {"S": "te"}}
    values |= {":true": {"BOOL": True}}
    used = {name: value for name, value in values.items() if re.search(rf"{name}\b", text)}
    request: dict[str, Any] = {"ExpressionAttributeValues": used} if used else {}
    if "#n" in text:
        request["ExpressionAttributeNames"] = {"#n": "n"}
    answer = await db.call(
        "put_item", TableName=table, Item=KEY, ConditionExpression=text, **request
    )

    assert answer == ({} if holds else "ConditionalCheckFailedException")
    assert await db.get(table) == (KEY if holds else KEY | ITEM)


async def test_a_condition_that_failed_shows_the_item(db: Judged) -> None:
    """Where it is asked for."""
    table = await db.make()
    await db.put(table, **ITEM)
    with pytest.raises(ClientError) as caught:
        await db.client.delete_item(
            TableName=table,
            Key=KEY,
            ConditionExpression="attribute_exists(x)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    response: Any = caught.value.response

    assert response["Item"] == KEY | ITEM
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.parametrize(
    "request_",
    [
        {"ConditionExpression": "n ="},
        {"ConditionExpression": "n = :a"},
        {"ConditionExpression": "#n = n"},
        {"ConditionExpression": "(attribute_exists(n)"},
        {"ConditionExpression": "attribute_exists(n) n"},
        {"ConditionExpression": "exists(n)"},
        {"ConditionExpression": "n ! n"},
        {"ConditionExpression": "n = n", "ExpressionAttributeValues": {":a": {"S": "x"}}},
        {"ConditionExpression": "n = n", "ExpressionAttributeNames": {"#a": "x"}},
    ],
    ids=str,
)
async def test_what_is_no_expression_is_refused(db: Judged, request_: dict[str, Any]) -> None:
    """And nothing is written."""
    table = await db.make()
    answer = await db.call("put_item", TableName=table, Item=KEY, **request_)

    assert answer == "ValidationException"
    assert await db.get(table) is None


async def test_a_projection_brings_what_it_names(db: Judged) -> None:
    """And of that what is there."""
    table = await db.make()
    await db.put(table, **ITEM)
    found = await db.get(
        table, ProjectionExpression="#n, x, e", ExpressionAttributeNames={"#n": "n"}
    )

    assert found == {"n": ITEM["n"], "e": ITEM["e"]}


# Reading many


SORTED: dict[str, list[Any]] = {
    "S": ["", "B", "a", "aa", "ü", "\ufb01", "\U0001f600"][1:],
    "N": ["-10", "-9.5", "0", "2", "10"],
    "B": [b"a", b"a\x00", b"b", b"\xff"],
}


@pytest.mark.parametrize("kind", SORTED)
async def test_a_query_goes_by_the_sort_key(db: Judged, kind: str) -> None:
    """Forwards or backwards, from or to any of them."""
    table = await db.make(p="S", s=kind)
    values = SORTED[kind]
    for value in reversed(values):
        await db.call("put_item", TableName=table, Item={"p": KEY["p"], "s": {kind: value}})
    await db.call("put_item", TableName=table, Item={"p": {"S": "globex"}, "s": {kind: values[0]}})

    async def query(more: str = "", **request: Any) -> list[Any]:
        names: dict[str, Any] = {":p": KEY["p"]}
        if more:
            names[":v"] = {kind: values[2]}
        answer = await db.call(
            "query",
            TableName=table,
            KeyConditionExpression="p = :p" + more,
            ExpressionAttributeValues=names,
            **request,
        )
        return [item["s"][kind] for item in answer["Items"]]

    assert await query() == values
    assert await query(ScanIndexForward=False) == values[::-1]
    assert await query(" AND s > :v") == values[3:]
    assert await query(" AND s <= :v", ScanIndexForward=False) == values[2::-1]
    assert await query(" AND s = :v") == [values[2]]
    if kind != "N":
        assert values[2] in await query(" AND begins_with(s, :v)")


@pytest.mark.parametrize(
    "text",
    ["s = :p", "p > :p", "p = :p AND x = :p", "p = :p OR s = :p", "p = :p AND s <> :p", "p = p"],
)
async def test_a_query_asks_for_one_partition(db: Judged, text: str) -> None:
    """And for nothing but the key."""
    table = await db.make()
    answer = await db.call(
        "query",
        TableName=table,
        KeyConditionExpression=text,
        ExpressionAttributeValues={":p": KEY["p"]},
    )

    assert answer == "ValidationException"


async def _pages(db: Judged, operation: str, **request: Any) -> list[Any]:
    found: list[Any] = []
    start: dict[str, Any] = {}
    while True:
        answer = await db.call(operation, **request, **start)
        found.append(answer)
        if not answer.get("LastEvaluatedKey"):
            return found
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


async def test_pages_hold_everything_once(db: Judged) -> None:
    """By a limit, with a filter (which does not make them longer), or counted."""
    table = await db.make()
    keys = {(f"tenant-{n % 5}", f"{n:02}") for n in range(23)}
    for partition, sort in keys:
        item = {"p": {"S": partition}, "s": {"S": sort}, "odd": {"BOOL": int(sort) % 2 == 1}}
        await db.call("put_item", TableName=table, Item=item)

    pages = await _pages(db, "scan", TableName=table, Limit=4)
    assert keys == {(one["p"]["S"], one["s"]["S"]) for page in pages for one in page["Items"]}
    assert [4, 4, 4, 4, 4, 3] == [page["Count"] for page in pages]
    odd: dict[str, Any] = {
        "FilterExpression": "odd = :true",
        "ExpressionAttributeValues": {":true": {"BOOL": True}},
    }
    pages = await _pages(db, "scan", TableName=table, Limit=10, Select="COUNT", **odd)
    assert (23, 11) == tuple(
        sum(page[name] for page in pages) for name in ("ScannedCount", "Count")
    )
    assert not any("Items" in page for page in pages)
    pages = await _pages(
        db,
        "query",
        TableName=table,
        KeyConditionExpression="p = :p",
        ExpressionAttributeValues={":p": {"S": "tenant-1"}},
        ScanIndexForward=False,
        Limit=2,
    )
    assert [["21", "16"], ["11", "06"], ["01"]] == [
        [one["s"]["S"] for one in page["Items"]] for page in pages
    ]


async def test_a_page_ends_at_one_mebibyte(db: Judged) -> None:
    """Of what is read, also where it is only counted."""
    table = await db.make()
    for number in range(12):
        item = {"p": KEY["p"], "s": {"S": f"{number:02}"}, "a": {"S": "x" * 100_000}}
        await db.call("put_item", TableName=table, Item=item)
    pages = await _pages(db, "scan", TableName=table, Select="COUNT")

    assert [11, 1] == [page["Count"] for page in pages]


async def test_many_are_read_by_their_keys(db: Judged) -> None:
    """Those that are there; a hundred at the most, no key twice."""
    table = await db.make()
    await db.put(table, **ITEM)
    keys = [{"p": KEY["p"], "s": {"S": str(number)}} for number in range(101)]

    async def get(asked: list[Any], name: str = table) -> Any:
        return await db.call("batch_get_item", RequestItems={name: {"Keys": asked}})

    assert await get(keys[:100]) == {"Responses": {table: [KEY | ITEM]}, "UnprocessedKeys": {}}
    assert await get(keys) == "ValidationException"
    assert await get([KEY, KEY]) == "ValidationException"
    assert await get([{"p": KEY["p"]}]) == "ValidationException"
    assert await get([KEY], "none") == "ResourceNotFoundException"


# PartiQL


async def test_a_statement_fails_alone(db: Judged) -> None:
    """For a key that is there, a table that is not, an item too large, a value too few."""
    table = await db.make()
    short = inserted(table, "acme", names="ps")
    large = inserted(table, "acme", "2", "x" * ITEM_MOST_BYTES, names="psa")
    good, lost = inserted(table, "acme", "1"), inserted("none", "acme", "1")
    first = await db.insert(good, lost, large, short)
    second = await db.insert(inserted(table, "acme", "2"), inserted(table, "acme", "1"))

    assert [None, "ResourceNotFound", "ValidationError", "ValidationError"] == first
    assert [None, "DuplicateItem"] == second


async def test_a_call_is_refused_whole(db: Judged) -> None:
    """For a key that is twice, a value that is none, or too many statements."""
    table = await db.make()
    good = inserted(table, "acme", "1")
    bad = inserted(table, "acme", "2", {"N": "9" * 39}, names="psn")
    many = [inserted(table, "acme", str(number)) for number in range(26)]

    assert await db.insert(good, good) == "ValidationException"
    assert await db.insert(good, bad) == "ValidationException"
    assert await db.insert(*many) == "ValidationException"
    # The same key of another table is another key.
    other = await db.make()
    assert await db.insert(inserted(table, "a", "9"), inserted(other, "a", "9")) == [None, None]
