"""The stand-in's DynamoDB API, where DynamoDB Local is no judge of it."""

from __future__ import annotations

from typing import Any

import pytest

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.dynamodb_api_standin import DynamoDb

TABLE = {
    "TableName": "table",
    "KeySchema": [
        {"AttributeName": "p", "KeyType": "HASH"},
        {"AttributeName": "s", "KeyType": "RANGE"},
    ],
    "AttributeDefinitions": [
        {"AttributeName": "p", "AttributeType": "S"},
        {"AttributeName": "s", "AttributeType": "S"},
    ],
}
NAMED = {"TableName": "table"}
KEY = {"p": {"S": "acme"}, "s": {"S": "1"}}


class Api:
    """The operations by name."""

    def __init__(self) -> None:
        self.dynamodb = DynamoDb(wall_clock=lambda: 1_790_000_000.0)
        self("CreateTable", **TABLE)

    def __call__(self, operation: str, **request: Any) -> Any:
        return self.dynamodb.operations[operation](request)

    def refused(self, operation: str, **request: Any) -> str:
        """Kind and message of the error."""
        with pytest.raises(AwsError) as caught:
            self(operation, **request)
        return f"{caught.value.kind}: {caught.value.message}"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize(
    ("operation", "request_", "named"),
    [
        ("CreateTable", TABLE | {"GlobalSecondaryIndexes": []}, "GlobalSecondaryIndexes"),
        ("PutItem", NAMED | {"Item": KEY, "ReturnItemCollectionMetrics": "SIZE"}, "Metrics"),
        ("GetItem", NAMED | {"Key": KEY, "AttributesToGet": ["a"]}, "AttributesToGet"),
        ("Query", NAMED | {"IndexName": "i"}, "IndexName"),
        ("Scan", NAMED | {"Segment": 0, "TotalSegments": 2}, "Segment, TotalSegments"),
        ("Scan", NAMED | {"Select": "ALL_PROJECTED_ATTRIBUTES"}, "ALL_PROJECTED_ATTRIBUTES"),
        ("BatchGetItem", {"RequestItems": {}, "ReturnConsumedCapacity": "TOTAL"}, "Consumed"),
        (
            "UpdateItem",
            NAMED | {"Key": KEY, "UpdateExpression": "ADD n :n"},
            'token: "ADD"',
        ),
        (
            "PutItem",
            NAMED | {"Item": KEY, "ConditionExpression": "contains(a, a)"},
            "contains",
        ),
        ("PutItem", NAMED | {"Item": KEY, "ConditionExpression": "a.b = a"}, 'token: "."'),
        ("PutItem", NAMED | {"Item": KEY, "ConditionExpression": "a[0] = a"}, 'token: "["'),
        ("PutItem", NAMED | {"Item": KEY, "ConditionExpression": "a BETWEEN b AND c"}, "BETWEEN"),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": 'SELECT * FROM "table"'}]},
            "SELECT * FROM",
        ),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": "INSERT INTO \"table\" VALUE {'p': 'acme'}"}]},
            "'p': 'acme'",
        ),
        (
            "BatchExecuteStatement",
            {
                "Statements": [
                    {
                        "Statement": "INSERT INTO \"table\" VALUE {'p': ?, 'p': ?}",
                        "Parameters": [{"S": "a"}, {"S": "b"}],
                    }
                ]
            },
            "twice",
        ),
        (
            "BatchExecuteStatement",
            {"Statements": [{"Statement": "", "Parameters": [], "ConsistentRead": True}]},
            "ConsistentRead",
        ),
    ],
)
def test_what_it_does_not_do_is_refused_by_name(
    api: Api, operation: str, request_: dict[str, Any], named: str
) -> None:
    """Never passed over, and never guessed at."""
    message = api.refused(operation, **request_)

    assert message.startswith("ValidationException: ")
    assert named in message


@pytest.mark.parametrize(
    "change",
    [
        {"TableName": "ab"},
        {"TableName": "a b c"},
        {"KeySchema": TABLE["KeySchema"][:1]},
        {"KeySchema": TABLE["KeySchema"][::-1]},
        {"KeySchema": []},
        {"AttributeDefinitions": TABLE["AttributeDefinitions"][:1]},
    ],
)
def test_what_is_no_table_is_not_made(api: Api, change: dict[str, Any]) -> None:
    """Keys and definitions fit each other."""
    assert "Validation" in api.refused("CreateTable", **(TABLE | {"TableName": "new"} | change))
    assert api("ListTables") == {"TableNames": ["table"]}


def test_tables_are_listed_in_pages(api: Api) -> None:
    """In the order of their names."""
    for name in ("table-3", "table-2"):
        api("CreateTable", **(TABLE | {"TableName": name}))
    first = api("ListTables", Limit=2)
    second = api("ListTables", ExclusiveStartTableName=first["LastEvaluatedTableName"])

    assert ["table", "table-2"] == first["TableNames"]
    assert second == {"TableNames": ["table-3"]}


def test_a_table_that_is_protected_is_not_deleted(api: Api) -> None:
    """As Terraform makes them."""
    api("CreateTable", **(TABLE | {"TableName": "kept", "DeletionProtectionEnabled": True}))

    assert "protected" in api.refused("DeleteTable", TableName="kept")
    assert "kept" in api("ListTables")["TableNames"]


def test_a_time_to_live_is_kept_and_nothing_expires(api: Api) -> None:
    """Off until it is turned on."""
    assert api("DescribeTimeToLive", **NAMED) == {
        "TimeToLiveDescription": {"TimeToLiveStatus": "DISABLED"}
    }
    wanted = {"Enabled": True, "AttributeName": "expires_at"}
    api("UpdateTimeToLive", **NAMED, TimeToLiveSpecification=wanted)
    api("PutItem", **NAMED, Item=KEY | {"expires_at": {"N": "1"}})

    assert api("DescribeTimeToLive", **NAMED)["TimeToLiveDescription"] == {
        "TimeToLiveStatus": "ENABLED",
        "AttributeName": "expires_at",
    }
    assert "Item" in api("GetItem", **NAMED, Key=KEY)


def test_tags_are_kept(api: Api) -> None:
    """Those of its making, and later ones."""
    api("CreateTable", **(TABLE | {"TableName": "new", "Tags": [{"Key": "a", "Value": "1"}]}))
    arn = api("DescribeTable", TableName="new")["Table"]["TableArn"]
    api("TagResource", ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])

    assert api("ListTagsOfResource", ResourceArn=arn) == {
        "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    }


def test_a_table_is_as_large_as_its_items(api: Api) -> None:
    """Names and values, also after one was replaced or deleted."""
    for sort, value in (("1", {"S": "xx"}), ("2", {"L": [{"N": "-12.3"}]})):
        api("PutItem", **NAMED, Item={"p": {"S": "acme"}, "s": {"S": sort}, "a": value})
    api("PutItem", **NAMED, Item=KEY | {"a": {"S": "x"}})
    described = api("DescribeTable", **NAMED)["Table"]
    # Of each: two names, the tenant, the sort key, another name. A list takes 3 bytes and one
    # for each thing in it; a number one, one for a minus and one for each two digits.
    assert (2, (8 + 1) + (8 + 3 + 1 + 4)) == (described["ItemCount"], described["TableSizeBytes"])


def test_a_deleted_item_is_read_no_more_and_a_replaced_one_once(api: Api) -> None:
    """Neither by a query nor by a scan; of a partition that is empty nothing is left."""
    for sort in ("1", "2", "3", "2"):
        api("PutItem", **NAMED, Item={"p": {"S": "acme"}, "s": {"S": sort}})
    api("Scan", **NAMED)
    api("PutItem", **NAMED, Item={"p": {"S": "acme"}, "s": {"S": "3"}})
    api("DeleteItem", **NAMED, Key=KEY)

    assert ["2", "3"] == [item["s"]["S"] for item in api("Scan", **NAMED)["Items"]]
    for sort in ("2", "3"):
        api("DeleteItem", **NAMED, Key={"p": {"S": "acme"}, "s": {"S": sort}})
    assert api("Scan", **NAMED) == {"Items": [], "Count": 0, "ScannedCount": 0}
    table = api.dynamodb.tables.named("table")
    assert table is not None
    assert table._scanned == []


def test_a_scan_goes_on_although_what_it_stopped_at_is_gone(api: Api) -> None:
    """From where that would be."""
    for number in range(9):
        item = {"p": {"S": f"tenant-{number % 3}"}, "s": {"S": str(number)}}
        api("PutItem", **NAMED, Item=item)
    found = []
    start: dict[str, Any] = {}
    while True:
        page = api("Scan", **NAMED, Limit=2, **start)
        found += [item["s"]["S"] for item in page["Items"]]
        for item in page["Items"]:
            api("DeleteItem", **NAMED, Key=item)
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    assert sorted(found) == [str(number) for number in range(9)]


def test_a_value_that_a_client_would_not_send_is_refused(api: Api) -> None:
    """Two types in one, an unknown one, or another thing than it says."""
    value: Any
    for value in ({"S": "a", "N": "1"}, {}, {"X": "a"}, {"S": 1}, {"B": "!"}, {"L": {}}, "a"):
        assert "Validation" in api.refused("PutItem", **NAMED, Item=KEY | {"a": value})
