"""Stand-in for the API of DynamoDB: the operations that Tenantry and its proofs use.

It honours tables with a partition key and perhaps a sort key, items and expressions
(`dynamodb_expressions_standin`), pages of 1 MiB, conditional writes, and the parameterised
`INSERT` of PartiQL in batches (`dynamodb_partiql_standin`). A parameter that it does not know is
refused by its name, never passed over.

It has no secondary indexes, streams, transactions, capacity or backups, and never throttles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.dynamodb_expressions_standin import (
    Condition,
    Placeholders,
    RefusedExpressionError,
    condition,
    key_condition,
    projection,
    update,
)
from tenantry_local.dynamodb_partiql_standin import batch_insert
from tenantry_local.dynamodb_standin import Key, Stored, Table
from tenantry_local.dynamodb_tables_standin import Answer, Tables, refuse_unknown, validation
from tenantry_local.dynamodb_values_standin import (
    ITEM_MOST_BYTES,
    Item,
    RefusedValueError,
    comparable,
    measure,
)

_PAGE_BYTES: Final = 1_048_576
_GET_MOST: Final = 100
_WRITE_MOST: Final = 25
_EXPRESSIONS: Final = frozenset({"ExpressionAttributeNames", "ExpressionAttributeValues"})
_READ: Final = frozenset({"TableName", "ConsistentRead", "ProjectionExpression"}) | _EXPRESSIONS
_WRITE: Final = (
    frozenset({"TableName", "ConditionExpression", "ReturnValues"})
    | {"ReturnValuesOnConditionCheckFailure"}
    | _EXPRESSIONS
)
_RETURNED: Final = frozenset({"NONE", "ALL_OLD"})
_PAGE: Final = _READ | {"ExclusiveStartKey", "FilterExpression", "Limit", "Select"}

Operation = Callable[[Mapping[str, Any]], Answer]


class DynamoDb:
    """An account's tables, by the operations of the API.

    Attributes:
        request_bytes: Of the body of the call that is done now; set by who received it.
    """

    def __init__(self, *, wall_clock: Callable[[], float]) -> None:
        self.request_bytes = 0
        self.tables = Tables(wall_clock)
        self.operations: dict[str, Operation] = {
            **self.tables.operations,
            "PutItem": _refusing("PutItem", _WRITE | {"Item"}, self._put),
            "GetItem": _refusing("GetItem", _READ | {"Key"}, self._get),
            "UpdateItem": _refusing(
                "UpdateItem", _WRITE | {"Key", "UpdateExpression"}, self._update
            ),
            "DeleteItem": _refusing("DeleteItem", _WRITE | {"Key"}, self._delete),
            "Query": _refusing(
                "Query", _PAGE | {"KeyConditionExpression", "ScanIndexForward"}, self._query
            ),
            "Scan": _refusing("Scan", _PAGE, self._scan),
            "BatchGetItem": _refusing(
                "BatchGetItem", frozenset({"RequestItems"}), self._batch_get
            ),
            "BatchWriteItem": _refusing(
                "BatchWriteItem", frozenset({"RequestItems"}), self._batch_write
            ),
            "BatchExecuteStatement": lambda request: batch_insert(
                self.tables, request, self.request_bytes
            ),
        }

    def _put(self, request: Mapping[str, Any]) -> Answer:
        _check_returned(request, _RETURNED)
        table = self.tables.find(request)
        item: Item = request.get("Item") or {}
        size = measure(item)
        key = table.key_of(item)
        old = table.get(key)
        _check_condition(request, old)
        _check_size(size)
        table.put(key, Stored(item, size))
        return _returned(request, old, {})

    def _get(self, request: Mapping[str, Any]) -> Answer:
        table = self.tables.find(request)
        found = table.get(table.exact_key(request.get("Key") or {}))
        placeholders = _placeholders(request)
        project = _projection(request, placeholders)
        placeholders.check_used()
        return {} if found is None else {"Item": project(found.item)}

    def _update(self, request: Mapping[str, Any]) -> Answer:
        _check_returned(request, _RETURNED | {"ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"})
        table = self.tables.find(request)
        key = table.exact_key(request.get("Key") or {})
        placeholders = _placeholders(request)
        changes = update(request.get("UpdateExpression") or "", placeholders)
        for name in changes.keys() & table.keys.keys():
            raise validation(
                "One or more parameter values were invalid: Cannot update attribute "
                f"{name}. This attribute is part of the key"
            )
        old = table.get(key)
        _check_condition(request, old, placeholders)
        merged = (request["Key"] if old is None else old.item) | changes
        item = {name: value for name, value in merged.items() if value is not None}
        size = measure(item)
        _check_size(size)
        table.put(key, Stored(item, size))
        return _returned(request, old, item, changes)

    def _delete(self, request: Mapping[str, Any]) -> Answer:
        _check_returned(request, _RETURNED)
        table = self.tables.find(request)
        key = table.exact_key(request.get("Key") or {})
        old = table.get(key)
        _check_condition(request, old)
        table.delete(key)
        return _returned(request, old, {})

    def _query(self, request: Mapping[str, Any]) -> Answer:
        table = self.tables.find(request)
        placeholders = _placeholders(request)
        text = request.get("KeyConditionExpression") or ""
        partition, sort = key_condition(text, placeholders, tuple(table.keys))
        after = _start(table, request)
        found = table.query(
            comparable(partition)[1],
            after=None if after is None else after[1],
            forward=request.get("ScanIndexForward", True),
        )
        if sort is not None:
            found = (stored for stored in found if sort(stored.item))
        return _page(table, request, placeholders, found)

    def _scan(self, request: Mapping[str, Any]) -> Answer:
        table = self.tables.find(request)
        found = table.scan(after=_start(table, request))
        return _page(table, request, _placeholders(request), found)

    def _batch_get(self, request: Mapping[str, Any]) -> Answer:
        asked: Mapping[str, Any] = request.get("RequestItems") or {}
        if not 1 <= sum(len(one.get("Keys") or []) for one in asked.values()) <= _GET_MOST:
            raise validation("Too many items requested for the BatchGetItem call, or none at all")
        responses: dict[str, list[Item]] = {}
        for name, one in asked.items():
            refuse_unknown("BatchGetItem", one, (_READ - {"TableName"}) | {"Keys"})
            table = self.tables.find({"TableName": name})
            placeholders = _placeholders(one)
            project = _projection(one, placeholders)
            placeholders.check_used()
            keys = [table.exact_key(key) for key in one["Keys"]]
            if len(set(keys)) < len(keys):
                raise validation("Provided list of item keys contains duplicates")
            responses[name] = [
                project(stored.item) for key in keys if (stored := table.get(key)) is not None
            ]
        return {"Responses": responses, "UnprocessedKeys": {}}

    def _batch_write(self, request: Mapping[str, Any]) -> Answer:
        """Puts alone: nobody here deletes in batches."""
        asked: Mapping[str, Any] = request.get("RequestItems") or {}
        if not 1 <= sum(map(len, asked.values())) <= _WRITE_MOST:
            raise validation(f"A batch writes 1 to {_WRITE_MOST} items")
        for name, writes in asked.items():
            table = self.tables.find({"TableName": name})
            puts: dict[Key, Stored] = {}
            for write in writes:
                refuse_unknown("BatchWriteItem", write, frozenset({"PutRequest"}))
                item: Item = write["PutRequest"]["Item"]
                size = measure(item)
                _check_size(size)
                puts[table.key_of(item)] = Stored(item, size)
            if len(puts) < len(writes):
                raise validation("Provided list of item keys contains duplicates")
            for key, stored in puts.items():
                table.put(key, stored)
        return {"UnprocessedItems": {}}


def _refusing(name: str, known: frozenset[str], operation: Operation) -> Operation:
    """An operation whose request is looked through first."""

    def call(request: Mapping[str, Any]) -> Answer:
        refuse_unknown(name, request, known)
        try:
            return operation(request)
        except RefusedValueError as error:
            raise validation(str(error)) from None
        except RefusedExpressionError as error:
            raise validation(f"Invalid expression: {error}") from None

    return call


def _page(
    table: Table,
    request: Mapping[str, Any],
    placeholders: Placeholders,
    found: Iterable[Stored],
) -> Answer:
    """One page of a query or scan: so many items, or 1 MiB of them, before the filter."""
    limit = request.get("Limit")
    if limit is not None and limit < 1:
        raise validation(
            f"1 validation error detected: Value '{limit}' at 'limit' failed to satisfy "
            "constraint: Member must have value greater than or equal to 1"
        )
    select = request.get("Select", "ALL_ATTRIBUTES")
    if select not in {"ALL_ATTRIBUTES", "COUNT", "SPECIFIC_ATTRIBUTES"}:
        raise validation(f"This stand-in of DynamoDB does not select {select}")
    keeps: Condition = lambda _: True  # noqa: E731 - the simplest filter
    if request.get("FilterExpression"):
        keeps = condition(request["FilterExpression"], placeholders)
    project = _projection(request, placeholders)
    placeholders.check_used()
    items: list[Item] = []
    scanned = size = 0
    last: Item | None = None
    for stored in found:
        scanned += 1
        size += stored.size
        if keeps(stored.item):
            items.append(stored.item)
        if scanned == limit or size >= _PAGE_BYTES:
            last = stored.item
            break
    answer: Answer = {"Count": len(items), "ScannedCount": scanned}
    if select != "COUNT":
        answer["Items"] = [project(item) for item in items]
    if last is not None:
        answer["LastEvaluatedKey"] = {name: last[name] for name in table.keys}
    return answer


def _start(table: Table, request: Mapping[str, Any]) -> Key | None:
    key = request.get("ExclusiveStartKey")
    return table.exact_key(key) if key else None


def _placeholders(request: Mapping[str, Any]) -> Placeholders:
    values = request.get("ExpressionAttributeValues") or {}
    measure(values)
    return Placeholders(request.get("ExpressionAttributeNames") or {}, values)


def _projection(request: Mapping[str, Any], placeholders: Placeholders) -> Callable[[Item], Item]:
    text = request.get("ProjectionExpression")
    return projection(text, placeholders) if text else lambda item: item


def _check_condition(
    request: Mapping[str, Any], old: Stored | None, placeholders: Placeholders | None = None
) -> None:
    placeholders = _placeholders(request) if placeholders is None else placeholders
    text = request.get("ConditionExpression")
    holds = None if not text else condition(text, placeholders)
    placeholders.check_used()
    if holds is None or holds({} if old is None else old.item):
        return
    shows = request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    raise AwsError(
        "ConditionalCheckFailedException",
        "The conditional request failed",
        fields={"Item": old.item} if shows and old is not None else {},
    )


def _check_size(size: int) -> None:
    if size > ITEM_MOST_BYTES:
        raise validation("Item size has exceeded the maximum allowed size")


def _check_returned(request: Mapping[str, Any], known: frozenset[str]) -> None:
    if request.get("ReturnValues", "NONE") not in known:
        raise validation("Return values set to invalid value")


def _returned(
    request: Mapping[str, Any], old: Stored | None, new: Item, changed: Iterable[str] = ()
) -> Answer:
    """What a write was asked to answer."""
    wanted = request.get("ReturnValues", "NONE")
    found = new if wanted.endswith("NEW") else {} if old is None else old.item
    if wanted.startswith("UPDATED"):
        found = {name: found[name] for name in changed if name in found}
    return {"Attributes": found} if found and wanted != "NONE" else {}
