"""What writes items: INSERT alone and deletes, at a bounded rate, each safe to do again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

import structlog
from botocore.exceptions import ClientError

from tenantctl.awsfailures import AWS_ERRORS, PASSING, failure, failure_of_entry
from tenantctl.errors import InvalidError, UnavailableError
from tenantctl.items import Item, item_units, key_of, sent_bytes
from tenantry.limits import PARTIQL_BATCH_BYTES, PARTIQL_BATCH_STATEMENTS
from tenantry.outcomes import outcome_of, outcome_of_code

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

log = structlog.get_logger()

Sleep = Callable[[float], Awaitable[None]]

#: Tries in a row of which none got anywhere, after which a table is not there for us.
TRIES: Final = 8
FIRST_BACKOFF_SECONDS: Final = 0.1
MOST_BACKOFF_SECONDS: Final = 5.0
#: Bytes of a call beside its statements.
_CALL_BYTES: Final = 1_024
#: Write units that may be used at once after a pause, in seconds of the rate.
_BURST_SECONDS: Final = 1.0

_INSERT: Final = "BatchExecuteStatement"
_REFUSED: Final = frozenset(
    {"ValidationError", "ValidationException"}
    | {"ItemCollectionSizeLimitExceeded", "ItemCollectionSizeLimitExceededException"}
)
_CONFLICT: Final = frozenset({"TransactionConflict", "TransactionConflictException"})
_TOO_LARGE_STATUS: Final = 413


#: Raises where somebody else has gone on with a tenant meanwhile.
Guard = Callable[[], Awaitable[None]]


class Inserted(Enum):
    """What became of one item."""

    ADDED = "added"
    #: The key is there already; what it holds stays.
    DUPLICATE = "duplicate"
    #: It can never be stored there.
    REFUSED = "refused"


class Pace:
    """Write units a second, as a token bucket: what is large is paid for afterwards.

    Raises:
        InvalidError: A rate of nothing never ends.
    """

    def __init__(
        self,
        units_a_second: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        if not units_a_second > 0:
            raise InvalidError(f"a rate of {units_a_second} write units a second: it is above 0")
        self._rate = units_a_second
        self._clock = clock
        self._sleep = sleep
        self._units = units_a_second * _BURST_SECONDS
        self._at = clock()

    async def take(self, units: int) -> None:
        """Wait until so many may be used."""
        now = self._clock()
        most = self._rate * _BURST_SECONDS
        self._units = min(most, self._units + (now - self._at) * self._rate)
        self._at = now
        self._units -= units
        if self._units < 0:
            await self._sleep(-self._units / self._rate)


async def back_off(tries: int, sleep: Sleep) -> None:
    """Wait before the next try, longer each time, and not all at once."""
    longest = min(MOST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0**tries)
    await sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads tries


class Inserter:
    """Inserts into one table. Nothing that is there is ever changed."""

    def __init__(self, client: DynamoDBClient, table: str, sleep: Sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep
        self._texts: dict[tuple[str, ...], str] = {}

    def statement(self, item: Item) -> Any:
        """The statement of an item."""
        names = tuple(item)
        text = self._texts.get(names)
        if text is None:
            pairs = ", ".join("'{}': ?".format(name.replace("'", "''")) for name in names)
            text = self._texts[names] = f'INSERT INTO "{self._table}" VALUE {{{pairs}}}'
        return {"Statement": text, "Parameters": list(item.values())}

    def batches(self, items: Iterable[Item]) -> list[list[Item]]:
        """Items by what one call takes: 25, and 4 MiB as sent."""
        batches: list[list[Item]] = []
        total = 0
        for item in items:
            size = sent_bytes(self.statement(item))
            total += size
            if (
                not batches
                or total > PARTIQL_BATCH_BYTES - _CALL_BYTES
                or len(batches[-1]) == PARTIQL_BATCH_STATEMENTS
            ):
                batches.append([])
                total = size
            batches[-1].append(item)
        return batches

    async def insert(self, items: Sequence[Item]) -> list[Inserted]:
        """Insert what one call takes; one outcome for each, in order.

        Raises:
            UnavailableError: Some could not be inserted now. Others may be stored: done again,
                they are duplicates.
        """
        outcomes: list[Inserted | None] = [None] * len(items)
        fruitless = 0
        while pending := [n for n, outcome in enumerate(outcomes) if outcome is None]:
            found = await self._call([items[n] for n in pending])
            errors: list[UnavailableError] = []
            for n, one in zip(pending, found, strict=True):
                if isinstance(one, UnavailableError):
                    errors.append(one)
                else:
                    outcomes[n] = one
            if errors:
                fruitless = fruitless + 1 if len(errors) == len(found) else 0
                if fruitless == TRIES:
                    raise errors[0]
                await back_off(fruitless, self._sleep)
        return [outcome for outcome in outcomes if outcome is not None]

    async def _call(self, items: Sequence[Item]) -> Sequence[Inserted | UnavailableError]:
        """One call: an outcome for each, or an error where it may pass."""
        try:
            answer = await self._client.batch_execute_statement(
                Statements=[self.statement(item) for item in items]
            )
        except AWS_ERRORS as raised:
            if _is_for_its_content(raised):
                return await self._halves(items)
            error = failure(raised, _INSERT, f"table {self._table}")
            if outcome_of(raised) not in PASSING:
                raise error from raised
            return [error] * len(items)
        return self._outcomes(answer.get("Responses", []), len(items))

    def _outcomes(self, responses: Sequence[Any], asked: int) -> list[Inserted | UnavailableError]:
        if len(responses) != asked:
            raise UnavailableError(
                f"table {self._table}: {_INSERT} of {asked} statements was answered with "
                f"{len(responses)} outcomes"
            )
        return [self._outcome(response.get("Error")) for response in responses]

    def _outcome(self, error: Any) -> Inserted | UnavailableError:
        """An error where it may pass."""
        if error is None:
            return Inserted.ADDED
        code = str(error.get("Code", ""))
        if code == "DuplicateItem":
            return Inserted.DUPLICATE
        if code in _REFUSED:
            return Inserted.REFUSED
        reason = failure_of_entry(error, _INSERT, f"table {self._table}")
        if code in _CONFLICT or outcome_of_code(code) in PASSING:
            return reason
        raise reason

    async def _halves(self, items: Sequence[Item]) -> list[Inserted]:
        """A whole call was refused: only the culprit is to be left."""
        if len(items) == 1:
            return [Inserted.REFUSED]
        middle = len(items) // 2
        return [*await self.insert(items[:middle]), *await self.insert(items[middle:])]


def _is_for_its_content(error: BaseException) -> bool:
    if not isinstance(error, ClientError):
        return False
    code = error.response.get("Error", {}).get("Code", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return code in _REFUSED or status == _TOO_LARGE_STATUS


def _unchanged(item: Item, otherwise: str = "") -> dict[str, Any]:
    """The condition that an item is as it was read.

    By what a reader can check, and no payload: that would be sent a second time.
    """
    known = [name for name in ("payload_sha256", "stored_at") if name in item]
    if not known:
        return {}
    same = " AND ".join(f"{name} = :{name}" for name in known)
    return {
        "ConditionExpression": f"{otherwise}({same})",
        "ExpressionAttributeValues": {f":{name}": item[name] for name in known},
    }


async def replace_item(
    client: DynamoDBClient, table: str, there: Item, item: Item, sleep: Sleep
) -> None:
    """Put an item in another's place, if that is as it was read; whoever was faster has it.

    Raises:
        UnavailableError: The table does not answer, or denies; done again, it goes on.
    """
    for tries in range(1, TRIES + 1):
        try:
            await client.put_item(TableName=table, Item=item, **_unchanged(there))
        except client.exceptions.ConditionalCheckFailedException:
            return
        except AWS_ERRORS as error:
            if tries == TRIES or outcome_of(error) not in PASSING:
                raise failure(error, "PutItem", f"table {table}") from error
            await back_off(tries, sleep)
        else:
            return


class Deleter:
    """Deletes from one table."""

    def __init__(self, client: DynamoDBClient, table: str, sleep: Sleep) -> None:
        self._client = client
        self._table = table
        self._sleep = sleep

    async def delete(self, items: Sequence[Item]) -> int:
        """Delete these items as they were read; how many of them are gone.

        One that was written anew meanwhile stays, and is not counted.

        Raises:
            UnavailableError: Some could not be deleted now; others are. All calls have ended.
        """
        outcomes = await asyncio.gather(*map(self._delete, items), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome
        return sum(outcome is True for outcome in outcomes)

    async def _delete(self, item: Item) -> bool:
        # Gone is as good: a try whose answer was lost is followed by another.
        condition = _unchanged(item, "attribute_not_exists(tenant_id) OR ")
        for tries in range(1, TRIES + 1):
            try:
                await self._client.delete_item(
                    TableName=self._table, Key=key_of(item), **condition
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                return False
            except AWS_ERRORS as error:
                if tries == TRIES or outcome_of(error) not in PASSING:
                    raise failure(error, "DeleteItem", f"table {self._table}") from error
                await back_off(tries, self._sleep)
            else:
                return True
        raise AssertionError


class Deletion:
    """Deletes what it is given, by the hand.

    `guard` is asked right before each hand, and raises where nothing may be deleted any more.
    """

    def __init__(self, deleter: Deleter, pace: Pace, guard: Guard) -> None:
        self._deleter = deleter
        self._pace = pace
        self._guard = guard
        self._hand: list[Item] = []
        self._deleted = 0

    async def add(self, item: Item) -> None:
        """Delete it, now or with the next ones."""
        self._hand.append(item)
        if len(self._hand) == PARTIQL_BATCH_STATEMENTS:
            await self._flush()

    async def end(self) -> int:
        """Delete the rest; how many are gone in all."""
        await self._flush()
        return self._deleted

    async def _flush(self) -> None:
        if self._hand:
            await self._pace.take(sum(map(item_units, self._hand)))
            await self._guard()
            self._deleted += await self._deleter.delete(self._hand)
            self._hand = []
