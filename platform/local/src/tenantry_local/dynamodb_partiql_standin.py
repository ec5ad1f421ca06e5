"""Stand-in for PartiQL in DynamoDB: `INSERT` with parameters, in batches.

It honours one statement, `INSERT INTO "table" VALUE {'name': ?, …}`, an outcome for each
(`DuplicateItem` for a key that is there, `ValidationError` for an item without one or too
large), and the whole calls that DynamoDB refuses: more than 25 statements, more than 4 MiB as
sent, one key twice, values that are none. A call with any other statement is refused whole, and
names it.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.dynamodb_standin import Key, Stored, Table
from tenantry_local.dynamodb_tables_standin import Answer, Tables, refuse_unknown, validation
from tenantry_local.dynamodb_values_standin import (
    ITEM_MOST_BYTES,
    Item,
    RefusedValueError,
    measure_value,
)

_STATEMENTS_MOST: Final = 25
_CALL_MOST_BYTES: Final = 4_194_304
_INSERT: Final = re.compile(
    r"""\s*INSERT\s+INTO\s+(?:"([\w.-]+)"|([\w.-]+))\s+VALUE\s+\{(.*)\}\s*""",
    re.IGNORECASE | re.DOTALL,
)
_PAIR: Final = re.compile(r"\s*'([^']+)'\s*:\s*\?\s*")
_SHOWN: Final = 120

_NOT_THERE: Final = {
    "Error": {"Code": "ResourceNotFound", "Message": "Requested resource not found"}
}
_DUPLICATE: Final = {
    "Error": {"Code": "DuplicateItem", "Message": "Duplicate primary key exists in table"}
}
_TOO_LARGE: Final = "Item size has exceeded the maximum allowed size"


@dataclass(frozen=True, slots=True)
class _Insert:
    table_name: str
    names: tuple[str, ...]
    #: Bytes of the names.
    size: int


#: What a statement inserts: its table (None if that is not there), the table's name, key and
#: item; or what is wrong with it.
_Row = tuple[Table | None, str, Key, Stored] | str


def batch_insert(tables: Tables, request: Mapping[str, Any], request_bytes: int) -> Answer:
    """BatchExecuteStatement.

    Raises:
        AwsError: The whole call is refused, and nothing of it was done.
    """
    if request_bytes > _CALL_MOST_BYTES:
        raise AwsError("RequestEntityTooLarge", "Request entity too large", status=413)
    refuse_unknown("BatchExecuteStatement", request, frozenset({"Statements"}))
    statements = request.get("Statements") or []
    if not 1 <= len(statements) <= _STATEMENTS_MOST:
        raise validation(
            "1 validation error detected: Value at 'statements' failed to satisfy constraint: "
            f"Member must have length between 1 and {_STATEMENTS_MOST}"
        )
    rows = [_row(tables, statement) for statement in statements]
    keys = [row[1:3] for row in rows if type(row) is tuple and row[0] is not None]
    if len(set(keys)) < len(keys):
        raise validation("Provided list of item keys contains duplicates")
    return {"Responses": [_inserted(row) for row in rows]}


def _inserted(row: _Row) -> Answer:
    if isinstance(row, str):
        return {"Error": {"Code": "ValidationError", "Message": row}}
    table, name, key, stored = row
    if table is None:
        return _NOT_THERE
    return {"TableName": name} if table.add(key, stored) else _DUPLICATE


def _row(tables: Tables, statement: Mapping[str, Any]) -> _Row:
    if len(statement) > 2:  # noqa: PLR2004 - text and parameters
        refuse_unknown("a statement", statement, frozenset({"Statement", "Parameters"}))
    insert = _parse(statement.get("Statement") or "")
    parameters = statement.get("Parameters") or []
    size = insert.size
    try:
        for value in parameters:
            text = value.get("S")
            if type(text) is str and len(value) == 1:  # mostly, and quicker than by the way
                size += len(text) if text.isascii() else len(text.encode())
            else:
                size += measure_value(value)
    except RefusedValueError as error:
        raise validation(str(error)) from None
    if len(parameters) != len(insert.names):
        return "Number of parameters in request and statement don't match."
    if size > ITEM_MOST_BYTES:
        return _TOO_LARGE
    item: Item = dict(zip(insert.names, parameters, strict=True))
    table = tables.named(insert.table_name)
    try:
        key = ("", None) if table is None else table.key_of(item)
    except RefusedValueError as error:
        return str(error)
    return table, insert.table_name, key, Stored(item, size)


@functools.lru_cache(maxsize=1_024)
def _parse(text: str) -> _Insert:
    matched = _INSERT.fullmatch(text)
    if matched is None:
        raise validation(
            "This stand-in of DynamoDB knows only INSERT INTO \"table\" VALUE {'name': ?, …}, "
            f"not: {text[:_SHOWN]}"
        )
    names: list[str] = []
    for part in matched[3].split(","):
        pair = _PAIR.fullmatch(part)
        if pair is None:
            raise validation(
                "This stand-in of DynamoDB inserts parameters only, by simple names, not: "
                f"{part.strip()[:_SHOWN]}"
            )
        names.append(pair[1])
    if len(set(names)) < len(names):
        raise validation("A name stands twice in one item")
    return _Insert(matched[1] or matched[2], tuple(names), sum(len(n.encode()) for n in names))
