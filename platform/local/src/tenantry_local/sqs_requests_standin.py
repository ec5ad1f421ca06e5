"""Stand-in for how SQS looks at a request, and what it says of one that it does not take.

It honours the rules of batches (one to ten entries, each with an id of its own), ranges of
numbers, and SQS's codes: an entry of a batch fails with the code with which a call for it alone
would be refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.sqs_standin import VISIBILITY_MOST_SECONDS, Refusal

BATCH_ENTRIES: Final = 10
_ENTRY_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,80}")
#: What most callers call their entries: these need no closer look.
_PLAIN_IDS: Final = frozenset(str(number) for number in range(BATCH_ENTRIES + 1))
_NOT_IN_FLIGHT: Final = "AWS.SimpleQueueService.MessageNotInflight"
#: Shapes of errors that have another name than their code.
_KINDS: Final = {
    "InvalidParameterValue": "InvalidParameterValueException",
    "MissingParameter": "MissingRequiredParameterException",
    _NOT_IN_FLIGHT: "MessageNotInflight",
}

Answer = dict[str, Any]
Entry = Mapping[str, Any]


class RefusedEntryError(Exception):
    """An entry of a batch, or a call for one, is not taken: SQS's code, and why."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason

    def as_call(self) -> AwsError:
        """The same of a call for one."""
        return AwsError(_KINDS.get(self.code, self.code), self.reason, code=self.code)


def invalid(value: object, name: str, reason: str) -> RefusedEntryError:
    """A parameter is not what it should be."""
    return RefusedEntryError(
        "InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}"
    )


def number(request: Entry, name: str, lowest: int, highest: int) -> int | None:
    """A number of a request; None if it names none.

    Raises:
        RefusedEntryError: It is out of its range.
    """
    value = request.get(name)
    if value is None:
        return None
    if type(value) is int and lowest <= value <= highest:
        return value
    raise invalid(value, name, f"Must be between {lowest} and {highest}, if provided.")


def entries_of(request: Entry) -> list[Entry]:
    """The entries of a batch.

    Raises:
        AwsError: None, too many, or two of one id.
    """
    entries: list[Entry] = request.get("Entries") or []
    if not 0 < len(entries) <= BATCH_ENTRIES:
        if not entries:
            raise batch_error(
                "EmptyBatchRequest", "There should be at least one entry in the request."
            )
        raise batch_error(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH_ENTRIES}. "
            f"You have sent {len(entries)}.",
        )
    ids = [entry.get("Id") or "" for entry in entries]
    distinct = set(ids)
    if not distinct <= _PLAIN_IDS and not all(map(_ENTRY_ID.fullmatch, ids)):
        raise batch_error(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and "
            "underscores. It can be at most 80 letters long.",
        )
    if len(distinct) < len(ids):
        twice = next(one for place, one in enumerate(ids) if one in ids[:place])
        raise batch_error("BatchEntryIdsNotDistinct", f"Id {twice} repeated.")
    return entries


def for_each(request: Entry, do: Callable[[Entry], None]) -> Answer:
    """Do something with each entry of a batch.

    Raises:
        AwsError: The batch is none.
    """
    successful: list[Answer] = []
    failed: list[Answer] = []
    for entry in entries_of(request):
        try:
            do(entry)
        except RefusedEntryError as error:
            failed.append(failure(entry, error))
        else:
            successful.append({"Id": entry["Id"]})
    return outcomes(successful, failed)


def failure(entry: Entry, error: RefusedEntryError) -> Answer:
    """An entry among the failed."""
    return {"Id": entry["Id"], "SenderFault": True, "Code": error.code, "Message": error.reason}


def outcomes(successful: list[Answer], failed: list[Answer]) -> Answer:
    """The answer to a batch."""
    answer: Answer = {}
    if successful:
        answer["Successful"] = successful
    if failed:
        answer["Failed"] = failed
    return answer


def batch_error(kind: str, message: str) -> AwsError:
    """A whole batch is refused."""
    return AwsError(kind, message, code=f"AWS.SimpleQueueService.{kind}")


def check(refusal: Refusal, seconds: int = 0) -> None:
    """Whether something was done with a receipt handle.

    Raises:
        RefusedEntryError: It was not.
    """
    match refusal:
        case None:
            return
        case "invalid":
            raise RefusedEntryError(
                "ReceiptHandleIsInvalid", "The input receipt handle is invalid."
            )
        case "visible":
            raise RefusedEntryError(_NOT_IN_FLIGHT, "The message is not in flight.")
        case "gone":
            raise RefusedEntryError(
                "InvalidParameterValue",
                "Value for parameter ReceiptHandle is invalid. Reason: Message does not exist or "
                "is not available for visibility timeout change.",
            )
        case "too-long":
            raise invalid(
                seconds,
                "VisibilityTimeout",
                "Total VisibilityTimeout for the message is beyond the limit "
                f"[{VISIBILITY_MOST_SECONDS} seconds].",
            )
