"""The repository's adapter, where no engine that needs only Python shows what DynamoDB does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from prometheus_client import CollectorRegistry

from consumer.repository import DynamoMessageReader, DynamoMessageRepository, Inserted
from contract.tables import STORED_AT, a_row
from tenantry.errors import StoreUnavailableError
from tenantry.metrics import ConsumerMetrics

TABLE = "dev-pool-1-messages"


class Client:
    """A client of DynamoDB that answers as it is told, and remembers what it was asked.

    Attributes:
        refuse: What a call with these ids raises; None takes it.
        code: What becomes of one statement, by its id; None stores it.
        unread: How many keys of a BatchGetItem are left unread, call by call.
    """

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.asked: list[dict[str, Any]] = []
        self.refuse: Callable[[Sequence[str]], Exception | None] = lambda _: None
        self.code: Callable[[str], str | None] = lambda _: None
        self.unread: list[int] = []

    async def batch_execute_statement(self, *, Statements: Sequence[Any]) -> Any:  # noqa: N803
        ids = [statement["Parameters"][1]["S"] for statement in Statements]
        self.calls.append(ids)
        if (error := self.refuse(ids)) is not None:
            raise error
        codes = [self.code(one) for one in ids]
        return {"Responses": [{} if code is None else {"Error": {"Code": code}} for code in codes]}

    async def batch_get_item(self, *, RequestItems: Any) -> Any:  # noqa: N803
        self.asked.append(RequestItems[TABLE])
        keys = RequestItems[TABLE]["Keys"]
        left = self.unread.pop(0) if self.unread else 0
        read, unread = keys[: len(keys) - left], keys[len(keys) - left :]
        return {
            "Responses": {TABLE: [key | {"payload_sha256": {"B": b"x"}} for key in read]},
            "UnprocessedKeys": {TABLE: {"Keys": unread}} if unread else {},
        }

    async def get_item(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return {}

    async def query(self, **asked: Any) -> Any:
        self.asked.append(asked)
        return {"Items": []}


@pytest.fixture
def client() -> Client:
    """The client below the adapter."""
    return Client()


@pytest.fixture
def repository(client: Any) -> DynamoMessageRepository:
    """The adapter under test."""
    return DynamoMessageRepository(client, ConsumerMetrics(CollectorRegistry()))


def refusal(code: str, status: int = 400) -> ClientError:
    """What botocore raises."""
    response: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "BatchExecuteStatement")


async def test_an_answer_without_outcomes_stores_nothing(
    client: Client, repository: DynamoMessageRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It used to be a KeyError, which ended the process: the rows are tried again instead."""

    async def empty(**_: Any) -> Any:
        return {}

    monkeypatch.setattr(client, "batch_execute_statement", empty)

    assert [Inserted.UNAVAILABLE] == await repository.insert(TABLE, [a_row()], STORED_AT)


ROWS = [a_row(n) for n in range(25)]
IDS = [row.message.message_id for row in ROWS]


@pytest.mark.parametrize(
    "error", [refusal("ValidationException"), refusal("413", 413)], ids=["invalid", "too-large"]
)
@pytest.mark.parametrize("culprit", [0, 12, 24])
async def test_a_refused_call_is_halved_until_the_culprit_is_left(
    client: Client, repository: DynamoMessageRepository, error: ClientError, culprit: int
) -> None:
    """The others are stored, each by one call that was taken; eleven calls do."""
    client.refuse = lambda ids: error if IDS[culprit] in ids else None
    outcomes = await repository.insert(TABLE, ROWS, STORED_AT)

    assert outcomes.pop(culprit) is Inserted.REFUSED
    assert {Inserted.STORED} == set(outcomes)
    taken = [one for ids in client.calls if IDS[culprit] not in ids for one in ids]
    assert sorted(taken) == sorted(set(IDS) - {IDS[culprit]})
    assert len(client.calls) <= 11


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        refusal("AccessDeniedException"),
        refusal("ResourceNotFoundException"),
        refusal("InternalServerError", 500),
        EndpointConnectionError(endpoint_url="http://dynamodb.example"),
    ],
    ids=["throttled", "denied", "missing", "broken", "unreachable"],
)
async def test_any_other_refusal_of_a_call_is_nobodys_messages_fault(
    client: Client, repository: DynamoMessageRepository, error: Exception
) -> None:
    """One call is enough to know: it is not tried in halves."""
    client.refuse = lambda _: error

    assert [Inserted.UNAVAILABLE] * 25 == await repository.insert(TABLE, ROWS, STORED_AT)
    assert len(client.calls) == 1


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("DuplicateItem", Inserted.DUPLICATE),
        ("ValidationError", Inserted.REFUSED),
        ("ItemCollectionSizeLimitExceeded", Inserted.REFUSED),
        ("ThrottlingError", Inserted.THROTTLED),
        ("ProvisionedThroughputExceeded", Inserted.THROTTLED),
        ("RequestLimitExceeded", Inserted.THROTTLED),
        ("InternalServerError", Inserted.THROTTLED),
        ("TransactionConflict", Inserted.THROTTLED),
        ("ResourceNotFound", Inserted.UNAVAILABLE),
        ("AccessDenied", Inserted.UNAVAILABLE),
        ("SomethingNew", Inserted.UNAVAILABLE),
    ],
)
async def test_a_statements_code_says_whose_fault_it_is(
    client: Client, repository: DynamoMessageRepository, code: str, outcome: Inserted
) -> None:
    """HTTP 200 says nothing about the statements; neighbours are stored."""
    client.code = lambda one: code if one == IDS[1] else None

    found = await repository.insert(TABLE, ROWS[:3], STORED_AT)
    assert [Inserted.STORED, outcome, Inserted.STORED] == found


async def test_digests_left_unread_are_asked_for_again(
    client: Client, repository: DynamoMessageRepository
) -> None:
    """DynamoDB answers in parts; each key is asked for until it was read."""
    client.unread = [20, 3]
    keys = [row.key for row in ROWS]

    assert set(keys) == set(await repository.digests(TABLE, keys))
    assert [25, 20, 3] == [len(asked["Keys"]) for asked in client.asked]


async def test_digests_that_nobody_reads_are_not_asked_for_for_ever(
    client: Client, repository: DynamoMessageRepository
) -> None:
    """Throttled: the caller tries again later."""
    client.unread = [20, 20]
    with pytest.raises(StoreUnavailableError):
        await repository.digests(TABLE, [row.key for row in ROWS])

    assert len(client.asked) == 2


async def test_every_read_is_consistent(client: Any, repository: DynamoMessageRepository) -> None:
    """What was just stored is there: no engine here shows the difference."""
    reader = DynamoMessageReader(client)
    await repository.digests(TABLE, [ROWS[0].key])
    await reader.get(TABLE, *ROWS[0].key)
    await reader.page(TABLE, "acme", after=None, limit=5)

    assert [True] * 3 == [asked["ConsistentRead"] for asked in client.asked]
