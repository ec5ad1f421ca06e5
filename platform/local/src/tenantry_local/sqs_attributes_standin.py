"""Stand-in for the attributes of a queue: what SQS takes, and what it answers.

It honours the attributes of standard queues, their bounds and defaults. It acts by
`DelaySeconds`, `MaximumMessageSize`, `MessageRetentionPeriod`, `ReceiveMessageWaitTimeSeconds`,
`VisibilityTimeout` and `RedrivePolicy`. The others (`Policy`, encryption, `RedriveAllowPolicy`)
it keeps and answers, and does not act by. FIFO queues are refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from tenantry_local.aws_error_standin import AwsError

_NUMBERS: Final = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1_024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
}
_KEPT: Final = frozenset(
    {"Policy", "RedriveAllowPolicy", "KmsMasterKeyId", "SqsManagedSseEnabled", "RedrivePolicy"}
)
_FIFO: Final = frozenset(
    {"FifoQueue", "ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"}
)
#: What is answered and cannot be set.
COUNTED: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
FIXED: Final = ("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp")
DEFAULTS: Final = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "SqsManagedSseEnabled": "true",
    "VisibilityTimeout": "30",
}
_KNOWN: Final = frozenset({*_NUMBERS, *_KEPT, *_FIFO, *COUNTED, *FIXED})
_MAX_RECEIVES: Final = 1_000


def check(attributes: Mapping[str, str]) -> None:
    """Refuse what cannot be set.

    Raises:
        AwsError: An attribute is none, or its value is none of its values.
    """
    for name, value in attributes.items():
        if name in _FIFO:
            raise AwsError(
                "UnsupportedOperation",
                f"This stand-in of SQS has no FIFO queues: {name}.",
                code="AWS.SimpleQueueService.UnsupportedOperation",
            )
        if name in _NUMBERS:
            lowest, highest = _NUMBERS[name]
            if not (value.isdecimal() and lowest <= int(value) <= highest):
                raise _invalid(name)
        elif name not in _KEPT:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")
    if attributes.get("RedrivePolicy"):
        redrive(attributes["RedrivePolicy"])


def check_asked(names: list[str]) -> None:
    """Refuse to answer what does not exist.

    Raises:
        AwsError: A name is none.
    """
    for name in names:
        if name != "All" and name not in _KNOWN:
            raise AwsError("InvalidAttributeName", f"Unknown Attribute {name}.")


def redrive(policy: str) -> tuple[str, int]:
    """Target's ARN and receives of a redrive policy.

    Raises:
        AwsError: It is none.
    """
    try:
        parsed: Any = json.loads(policy)
        target, receives = parsed["deadLetterTargetArn"], int(parsed["maxReceiveCount"])
    except (ValueError, TypeError, KeyError):
        raise _refused(policy, "it needs deadLetterTargetArn and maxReceiveCount") from None
    if not isinstance(target, str) or not 1 <= receives <= _MAX_RECEIVES:
        raise _refused(policy, "maxReceiveCount is out of range")
    return target, receives


def no_such_target(policy: str) -> AwsError:
    """A redrive policy names a queue that is not there."""
    return _refused(policy, "Dead letter target does not exist")


def _refused(policy: str, reason: str) -> AwsError:
    return AwsError(
        "InvalidParameterValueException",
        f"Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}.",
        code="InvalidParameterValue",
    )


def _invalid(name: str) -> AwsError:
    return AwsError("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
