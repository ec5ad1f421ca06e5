"""The calls on messages, each with its batches, its partial failures and its retries."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import structlog
from botocore.exceptions import ClientError

from tenantctl.awsfailures import AWS_ERRORS, PASSING, failure, failure_of_entry, queue_of
from tenantctl.errors import UnavailableError
from tenantctl.letters import Received, received
from tenantry.limits import SQS_BATCH_ENTRIES
from tenantry.outcomes import outcome_of, outcome_of_code

if TYPE_CHECKING:
    from types_aiobotocore_sqs import SQSClient

log = structlog.get_logger()

#: Tries of one batch, the first included, while what fails may pass.
TRIES: Final = 5
FIRST_BACKOFF_SECONDS: Final = 0.2

#: The handle is no longer the message's: it comes back, or is gone already.
_STALE: Final = frozenset(
    {"ReceiptHandleIsInvalid", "InvalidParameterValue", "MessageNotInflight"}
    | {"AWS.SimpleQueueService.MessageNotInflight"}
)
#: A whole call that is refused for what is in it, which half of it may not have.
_TOO_MUCH: Final = frozenset(
    {"AWS.SimpleQueueService.BatchRequestTooLong", "BatchRequestTooLong"}
    | {"InvalidParameterValue", "InvalidMessageContents"}
)

Sleep = Callable[[float], Awaitable[None]]
Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Destination:
    """A queue; and the group, which a pool's queue wants: the tenant's id."""

    url: str
    group_id: str | None = None


@dataclass(slots=True)
class Sent:
    """What became of messages that were sent.

    Attributes:
        done: Confirmed.
        refused: Never taken there.
        error: Why the others were not taken yet.
        is_final: Whether that will not pass by itself.
    """

    done: list[Received] = field(default_factory=list)
    refused: list[Received] = field(default_factory=list)
    error: UnavailableError | None = None
    is_final: bool = False

    def take(
        self, destination: Destination, batch: Sequence[Received], answer: Any
    ) -> list[Received]:
        """Sort a batch by the answer to it; those that may be tried again."""
        where = queue_of(destination.url)
        self.done += [batch[int(entry["Id"])] for entry in answer.get("Successful", [])]
        again: list[Received] = []
        for failed in answer.get("Failed", []):
            one = batch[int(failed["Id"])]
            if _passes(failed):
                self.error = failure_of_entry(failed, "SendMessageBatch", where)
                again.append(one)
            elif outcome_of_code(failed["Code"]) == "refused":
                log.warning("letter.refused", queue=where, code=failed["Code"])
                self.refused.append(one)
            else:
                self.error = failure_of_entry(failed, "SendMessageBatch", where)
                self.is_final = True
        return again


class Hands:
    """Receives, sends, deletes and gives back; on any queue."""

    def __init__(
        self, client: SQSClient, *, wait_seconds: int = 2, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._client = client
        self._wait_seconds = wait_seconds
        self._sleep = sleep

    async def receive(self, url: str, *, visibility_seconds: int) -> list[Received]:
        """Up to ten, hidden for so long.

        Raises:
            UnavailableError: Nothing was received.
        """
        tries = 0
        while True:
            tries += 1
            try:
                answer = await self._client.receive_message(
                    QueueUrl=url,
                    MaxNumberOfMessages=SQS_BATCH_ENTRIES,
                    WaitTimeSeconds=self._wait_seconds,
                    VisibilityTimeout=visibility_seconds,
                    MessageSystemAttributeNames=["All"],
                    MessageAttributeNames=["All"],
                )
            except AWS_ERRORS as error:
                if tries == TRIES or outcome_of(error) not in PASSING:
                    raise failure(error, "ReceiveMessage", queue_of(url)) from error
                await self._back_off(tries)
            else:
                return [received(wire) for wire in answer.get("Messages", [])]

    async def send(self, destination: Destination, batch: Sequence[Received]) -> Sent:
        """Send a batch on, again while what fails may pass; never raises for what AWS answers."""
        sent = Sent()
        pending = list(batch)
        for tries in range(1, TRIES + 1):
            try:
                answer = await self._client.send_message_batch(
                    QueueUrl=destination.url,
                    Entries=[
                        one.entry(number, destination.group_id)
                        for number, one in enumerate(pending)
                    ],
                )
            except AWS_ERRORS as error:
                if _code(error) in _TOO_MUCH:
                    await self._send_halves(destination, pending, sent)
                    return sent
                sent.error = failure(error, "SendMessageBatch", queue_of(destination.url))
                if outcome_of(error) not in PASSING:
                    return sent
            else:
                pending = sent.take(destination, pending, answer)
            if not pending:
                break
            if tries < TRIES:
                await self._back_off(tries)
        if not pending and not sent.is_final:
            sent.error = None
        return sent

    async def _send_halves(
        self, destination: Destination, batch: Sequence[Received], sent: Sent
    ) -> None:
        """A whole call was refused for what is in it: only the culprit is to be left."""
        if len(batch) == 1:
            log.warning("letter.refused", queue=queue_of(destination.url), code="whole call")
            sent.refused += batch
            return
        middle = len(batch) // 2
        for half in (batch[:middle], batch[middle:]):
            part = await self.send(destination, half)
            sent.done += part.done
            sent.refused += part.refused
            sent.error = part.error or sent.error

    async def delete(self, url: str, batch: Sequence[Received]) -> list[Received]:
        """Delete up to ten; those whose handle was stale, which may come back.

        Raises:
            UnavailableError: Some could not be deleted.
        """
        stale: list[Received] = []
        pending = list(batch)
        error: UnavailableError | None = None
        for tries in range(1, TRIES + 1):
            again: list[Received] = []
            try:
                answer = await self._client.delete_message_batch(
                    QueueUrl=url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": one.receipt_handle}
                        for number, one in enumerate(pending)
                    ],
                )
            except AWS_ERRORS as raised:
                error = failure(raised, "DeleteMessageBatch", queue_of(url))
                if outcome_of(raised) not in PASSING:
                    raise error from raised
                again = pending
            else:
                for failed in answer.get("Failed", []):
                    one = pending[int(failed["Id"])]
                    if failed["Code"] in _STALE:
                        stale.append(one)
                        continue
                    error = failure_of_entry(failed, "DeleteMessageBatch", queue_of(url))
                    if not _passes(failed):
                        raise error
                    again.append(one)
            pending = again
            if not pending:
                return stale
            if tries < TRIES:
                await self._back_off(tries)
        raise error or AssertionError

    async def give_back(self, url: str, handles: Sequence[str]) -> None:
        """Make messages visible again. What fails comes back by itself, only later."""
        for start in range(0, len(handles), SQS_BATCH_ENTRIES):
            batch = handles[start : start + SQS_BATCH_ENTRIES]
            try:
                await self._client.change_message_visibility_batch(
                    QueueUrl=url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for number, handle in enumerate(batch)
                    ],
                )
            except AWS_ERRORS as error:
                log.warning("letters.not_given_back", queue=queue_of(url), error=repr(error))
                return

    async def hide(self, url: str, handles: Sequence[str], seconds: int) -> None:
        """Keep messages hidden for so long from now. Those whose handle is stale are left.

        Raises:
            UnavailableError: They come back sooner.
        """
        for start in range(0, len(handles), SQS_BATCH_ENTRIES):
            pending = list(handles[start : start + SQS_BATCH_ENTRIES])
            error: UnavailableError | None = None
            for tries in range(1, TRIES + 1):
                try:
                    answer = await self._client.change_message_visibility_batch(
                        QueueUrl=url,
                        Entries=[
                            {
                                "Id": str(number),
                                "ReceiptHandle": handle,
                                "VisibilityTimeout": seconds,
                            }
                            for number, handle in enumerate(pending)
                        ],
                    )
                except AWS_ERRORS as raised:
                    error = failure(raised, "ChangeMessageVisibilityBatch", queue_of(url))
                    if outcome_of(raised) not in PASSING:
                        raise error from raised
                else:
                    failed = [one for one in answer.get("Failed", []) if _passes(one)]
                    if not failed:
                        break
                    where = queue_of(url)
                    error = failure_of_entry(failed[0], "ChangeMessageVisibilityBatch", where)
                    pending = [pending[int(one["Id"])] for one in failed]
                if tries == TRIES:
                    raise error
                await self._back_off(tries)

    async def _back_off(self, tries: int) -> None:
        longest = FIRST_BACKOFF_SECONDS * 2.0**tries
        await self._sleep(random.uniform(longest / 2, longest))  # noqa: S311 - spreads tries


class Hold:
    """Messages of one queue in hand, by SQS's id, hidden for as long as they are needed.

    Whoever goes through a large queue holds what it has seen, or would receive it again instead
    of the rest.
    """

    def __init__(self, hands: Hands, url: str, *, seconds: int, clock: Clock) -> None:
        self._hands = hands
        self._url = url
        self._seconds = seconds
        self._clock = clock
        self._hidden_at = clock()
        #: The last handle alone is good.
        self.handles: dict[str, str] = {}

    async def receive(self) -> dict[str, Received]:
        """Up to ten, by SQS's id: one that comes twice in one hand is one.

        Raises:
            UnavailableError: Nothing was received, or what is held would come back.
        """
        if self._clock() - self._hidden_at >= self._seconds / 2:
            self._hidden_at = self._clock()
            await self._hands.hide(self._url, list(self.handles.values()), self._seconds)
        hand = await self._hands.receive(self._url, visibility_seconds=self._seconds)
        return {one.letter.sqs_id: one for one in hand}

    async def give_back(self) -> None:
        """Make all of them visible again."""
        await self._hands.give_back(self._url, list(self.handles.values()))


def _passes(failed: Any) -> bool:
    """Whether an entry that failed may succeed a moment later."""
    code = str(failed.get("Code", ""))
    return (
        not failed.get("SenderFault", False)
        or outcome_of_code(code) in PASSING
        or code.upper().startswith("KMS")
    )


def _code(error: BaseException) -> str:
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return ""
