"""The table, as the consumer uses it: the port, and its adapter on DynamoDB."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

import structlog
from botocore.exceptions import BotoCoreError, ClientError
from opentelemetry import trace

from tenantry.contract import ITEM_ATTRIBUTES, Message, StoredMessage, utf8_bytes
from tenantry.errors import StoreUnavailableError
from tenantry.limits import BATCH_GET_KEYS, PARTIQL_BATCH_STATEMENTS
from tenantry.metrics import ConsumerMetrics
from tenantry.outcomes import outcome_of, outcome_of_code
from tenantry.telemetry import call_span, failed

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = structlog.get_logger()

_WRITE: Final = "BatchExecuteStatement"
#: Bytes that a statement takes in a call, beside its payload: its text, names and values.
_STATEMENT_BYTES: Final = 1_024
#: As sent, a character of one, two, three or four bytes takes at most 2, 6, 6 or 12.
_MOST_EXPANSION: Final = 3
#: From here on a payload's bytes as sent are counted, not estimated.
_COUNTED_FROM_BYTES: Final = 32_768

_THROTTLED: Final = frozenset(
    {
        "ThrottlingError",
        "ThrottlingException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "InternalServerError",
        "TransactionConflict",
        "TransactionConflictException",
    }
)
_REFUSED: Final = frozenset(
    {
        "ValidationError",
        "ValidationException",
        "ItemCollectionSizeLimitExceeded",
        "ItemCollectionSizeLimitExceededException",
    }
)
_TOO_LARGE_STATUS: Final = 413


class Inserted(Enum):
    """What became of one item."""

    STORED = "stored"
    #: The key is there already; what it holds stays.
    DUPLICATE = "duplicate"
    #: The message's fault: it can never be stored.
    REFUSED = "refused"
    #: Too fast for its partition or table, or a passing fault of the server.
    THROTTLED = "throttled"
    #: Nobody's message can be stored now: table missing, denied, unreachable.
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class Row:
    """A message and the partition it goes to."""

    partition: str
    message: Message

    @property
    def key(self) -> tuple[str, str]:
        """The item's key."""
        return self.partition, self.message.message_id

    def sent_bytes(self) -> int:
        """What the row takes of a call, at most."""
        size = utf8_bytes(self.message.payload)
        if size < _COUNTED_FROM_BYTES:
            return _STATEMENT_BYTES + _MOST_EXPANSION * size
        return _STATEMENT_BYTES + len(json.dumps(self.message.payload))


@dataclass(frozen=True, slots=True)
class Page:
    """Messages of one partition in the order of their ids; `is_cut` if more follow."""

    items: list[StoredMessage]
    is_cut: bool


class MessageRepository(Protocol):
    """Stores each message once."""

    async def insert(self, table_name: str, rows: Sequence[Row], stored_at: str) -> list[Inserted]:
        """Insert what is not there; one outcome for each, in order. Never raises.

        At most 25 rows, 4 MiB as sent, no key twice. Not a transaction, and after a fault a row
        may be stored that was called throttled or unavailable: trying again tells.
        """
        ...

    async def digests(
        self, table_name: str, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], bytes]:
        """The payload digests of items, of up to 100 keys; without those that are not there.

        Raises:
            StoreUnavailableError: They cannot be read now.
        """
        ...


class MessageReader(Protocol):
    """Reads what is stored."""

    async def get(self, table_name: str, partition: str, message_id: str) -> StoredMessage | None:
        """The message, read consistently.

        Raises:
            StoreUnavailableError: It cannot be read now.
        """
        ...

    async def page(
        self, table_name: str, partition: str, *, after: str | None, limit: int
    ) -> Page:
        """Up to `limit` messages after an id; fewer, and cut, where they are large.

        Raises:
            StoreUnavailableError: They cannot be read now.
        """
        ...


class WriteCalls(Protocol):
    """What writing needs of DynamoDB: botocore's client, or the leaner calls."""

    async def batch_execute_statement(self, *, Statements: Any) -> Any:
        """`BatchExecuteStatement`, once."""
        ...


class DynamoMessageRepository:
    """The repository on DynamoDB. `writes` stands in for its client where messages are stored.

    Neither retries: the consumer stops receiving instead.
    """

    def __init__(
        self,
        client: DynamoDBClient,
        metrics: ConsumerMetrics,
        tracer: trace.Tracer | None = None,
        *,
        writes: WriteCalls | None = None,
    ) -> None:
        self._client = client
        self._writes: WriteCalls = client if writes is None else writes
        self._metrics = metrics
        self._tracer = tracer

    async def insert(self, table_name: str, rows: Sequence[Row], stored_at: str) -> list[Inserted]:
        if len(rows) > PARTIQL_BATCH_STATEMENTS:
            msg = f"{len(rows)} rows in one call, which takes {PARTIQL_BATCH_STATEMENTS}"
            raise ValueError(msg)
        statement = _statement(table_name)
        started = time.perf_counter()
        try:
            with call_span(self._tracer, f"{_WRITE} {table_name}", _attributes(table_name, rows)):
                answer = await self._write(
                    [
                        {"Statement": statement, "Parameters": _parameters(row, stored_at)}
                        for row in rows
                    ]
                )
        except ClientError as error:
            return await self._refused(table_name, rows, stored_at, error)
        except BotoCoreError as error:
            log.warning("write.failed", table=table_name, error=type(error).__name__)
            return [Inserted.UNAVAILABLE] * len(rows)
        self._metrics.write_seconds.observe(time.perf_counter() - started)
        self._metrics.write_messages.observe(len(rows))
        responses = answer.get("Responses", [])
        if len(responses) != len(rows):
            log.error("write.misunderstood", table=table_name, rows=len(rows))
            return [Inserted.UNAVAILABLE] * len(rows)
        return [_outcome(response) for response in responses]

    async def _write(self, statements: Sequence[Any]) -> Any:
        try:
            answer = await self._writes.batch_execute_statement(Statements=statements)
        except (BotoCoreError, ClientError) as error:
            outcome = outcome_of(error)
            self._metrics.count_call("write", outcome)
            failed(trace.get_current_span(), outcome)
            raise
        outcome = _call_outcome(answer.get("Responses", []))
        self._metrics.count_call("write", outcome)
        if outcome != "ok":
            failed(trace.get_current_span(), outcome)
        return answer

    async def _refused(
        self, table_name: str, rows: Sequence[Row], stored_at: str, error: ClientError
    ) -> list[Inserted]:
        """A whole call was refused: halve it, until only the culprit is left."""
        code = error.response.get("Error", {}).get("Code", "")
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if code not in _REFUSED and status != _TOO_LARGE_STATUS:
            # A whole call, throttled or not: that is no single tenant's partition.
            log.warning("write.refused", table=table_name, code=code)
            return [Inserted.UNAVAILABLE] * len(rows)
        if len(rows) == 1:
            log.warning("write.row_refused", table=table_name, code=code)
            return [Inserted.REFUSED]
        middle = len(rows) // 2
        halves = await asyncio.gather(
            self.insert(table_name, rows[:middle], stored_at),
            self.insert(table_name, rows[middle:], stored_at),
        )
        return [*halves[0], *halves[1]]

    async def digests(
        self, table_name: str, keys: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], bytes]:
        found: dict[tuple[str, str], bytes] = {}
        pending: list[Any] = [_key(*key) for key in keys[:BATCH_GET_KEYS]]
        try:
            while pending:
                answer = await self._client.batch_get_item(
                    RequestItems={
                        table_name: {
                            "Keys": pending,
                            "ProjectionExpression": "tenant_id, message_id, payload_sha256",
                            "ConsistentRead": True,
                        }
                    }
                )
                for item in answer["Responses"].get(table_name, []):
                    key = item["tenant_id"]["S"], item["message_id"]["S"]
                    found[key] = item["payload_sha256"]["B"]
                unread: Any = answer.get("UnprocessedKeys", {})
                left = unread.get(table_name, {}).get("Keys", [])
                if len(left) == len(pending):
                    break  # throttled: the caller tries again
                pending = list(left)
        except (BotoCoreError, ClientError) as error:
            self._metrics.count_call("compare", outcome_of(error))
            raise _unavailable(error) from error
        self._metrics.count_call("compare", "partial" if pending else "ok")
        if pending:
            msg = "the table is throttled"
            raise StoreUnavailableError(msg)
        return found


class DynamoMessageReader:
    """Reads from DynamoDB, with whatever credentials its client signs with.

    `count` is told each call and its outcome.
    """

    def __init__(
        self, client: DynamoDBClient, *, count: Callable[[str, str], object] = lambda *_: None
    ) -> None:
        self._client = client
        self._count = count

    async def get(self, table_name: str, partition: str, message_id: str) -> StoredMessage | None:
        try:
            answer = await self._client.get_item(
                TableName=table_name, Key=_key(partition, message_id), ConsistentRead=True
            )
        except (BotoCoreError, ClientError) as error:
            self._count("read", outcome_of(error))
            raise _unavailable(error) from error
        self._count("read", "ok")
        item = answer.get("Item")
        return from_item(item) if item else None

    async def page(
        self, table_name: str, partition: str, *, after: str | None, limit: int
    ) -> Page:
        condition = "tenant_id = :partition"
        values: dict[str, Any] = {":partition": {"S": partition}}
        if after is not None:
            condition += " AND message_id > :after"
            values[":after"] = {"S": after}
        try:
            answer = await self._client.query(
                TableName=table_name,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=values,
                Limit=limit,
                ConsistentRead=True,
            )
        except (BotoCoreError, ClientError) as error:
            self._count("list", outcome_of(error))
            raise _unavailable(error) from error
        self._count("list", "ok")
        items = [from_item(item) for item in answer["Items"]]
        return Page(items, is_cut="LastEvaluatedKey" in answer)


def to_item(row: Row, stored_at: str) -> dict[str, Any]:
    """The item of a row."""
    return dict(zip(ITEM_ATTRIBUTES, _parameters(row, stored_at), strict=True))


def from_item(item: Mapping[str, Any]) -> StoredMessage:
    """The message of an item."""
    return StoredMessage(
        message=Message(
            # The tenant, without the shard.
            tenant_id=item["tenant_id"]["S"].partition("#")[0],
            message_id=item["message_id"]["S"],
            type=item["type"]["S"],
            payload=item["payload"]["S"],
            accepted_at=item["accepted_at"]["S"],
            version=int(item["version"]["N"]),
        ),
        payload_sha256=item["payload_sha256"]["B"],
        stored_at=item["stored_at"]["S"],
    )


def _statement(table_name: str) -> str:
    values = ", ".join(f"'{name}': ?" for name in ITEM_ATTRIBUTES)
    return f'INSERT INTO "{table_name}" VALUE {{{values}}}'


def _parameters(row: Row, stored_at: str) -> list[Any]:
    message = row.message
    return [
        {"S": row.partition},
        {"S": message.message_id},
        {"S": message.type},
        {"S": message.payload},
        {"B": message.payload_sha256()},
        {"S": message.accepted_at},
        {"S": stored_at},
        {"N": str(message.version)},
    ]


def _key(partition: str, message_id: str) -> dict[str, Any]:
    return {"tenant_id": {"S": partition}, "message_id": {"S": message_id}}


def _attributes(table_name: str, rows: Sequence[Row]) -> dict[str, str | int]:
    return {
        "db.system.name": "aws.dynamodb",
        "db.operation.name": _WRITE,
        "db.operation.batch.size": len(rows),
        "db.collection.name": table_name,
    }


def _call_outcome(responses: Sequence[Any]) -> str:
    """Of all statements together: what failed them all, or partial."""
    codes = [response.get("Error", {}).get("Code", "DuplicateItem") for response in responses]
    outcomes = {"ok" if code == "DuplicateItem" else outcome_of_code(code) for code in codes}
    return outcomes.pop() if len(outcomes) == 1 else "partial"


def _outcome(response: Any) -> Inserted:
    error = response.get("Error")
    if error is None:
        return Inserted.STORED
    code = error.get("Code", "")
    if code == "DuplicateItem":
        return Inserted.DUPLICATE
    if code in _REFUSED:
        return Inserted.REFUSED
    return Inserted.THROTTLED if code in _THROTTLED else Inserted.UNAVAILABLE


def _unavailable(error: BotoCoreError | ClientError) -> StoreUnavailableError:
    log.warning("read.failed", error=repr(error))
    msg = "the table cannot be read now"
    return StoreUnavailableError(msg)
