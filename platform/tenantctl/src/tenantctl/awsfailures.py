"""What AWS answered, in words that its reader can act on: operation, resource, permission."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from tenantctl.errors import UnavailableError
from tenantry.errors import RegistryUnavailableError
from tenantry.outcomes import outcome_of, outcome_of_code

#: What a call of AWS may raise.
AWS_ERRORS: Final = (BotoCoreError, ClientError, TimeoutError)
#: Outcomes after which the same call may succeed a moment later.
PASSING: Final = frozenset({"throttled", "error", "timeout", "unreachable"})

#: Actions of IAM where they are not called as the operation; None: no permission is asked for.
_ACTIONS: Final = {
    "BatchExecuteStatement": "dynamodb:PartiQLInsert",
    "BatchGetItem": "dynamodb:BatchGetItem",
    "ChangeMessageVisibilityBatch": "sqs:ChangeMessageVisibility",
    "CompleteMultipartUpload": "s3:PutObject",
    "CreateMultipartUpload": "s3:PutObject",
    "DeleteItem": "dynamodb:DeleteItem",
    "DeleteMessageBatch": "sqs:DeleteMessage",
    "DescribeTable": "dynamodb:DescribeTable",
    "GetItem": "dynamodb:GetItem",
    "GetObject": "s3:GetObject",
    "GetObjectVersion": "s3:GetObjectVersion",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "GetQueueUrl": "sqs:GetQueueUrl",
    "ListObjectVersions": "s3:ListBucketVersions",
    "PutItem": "dynamodb:PutItem",
    "PutObject": "s3:PutObject",
    "Query": "dynamodb:Query",
    "ReceiveMessage": "sqs:ReceiveMessage",
    "Scan": "dynamodb:Scan",
    "SendMessageBatch": "sqs:SendMessage",
    "UpdateTable": "dynamodb:UpdateTable",
    "UploadPart": "s3:PutObject",
}
_EXPIRED: Final = frozenset({"ExpiredToken", "ExpiredTokenException"})


class ResourceMissingError(UnavailableError):
    """The queue, table or object is not there (yet, or any more)."""


class RegistryDownError(UnavailableError, RegistryUnavailableError):
    """The registry does not answer, denies, or holds what is not understood."""


def failure(error: BaseException, operation: str, resource: str) -> UnavailableError:
    """The error of a call that raised this.

    Args:
        error: What the client raised.
        operation: As AWS calls it.
        resource: What it was asked of, as `queue …` or `table …`.
    """
    code = ""
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
    return _failure(outcome_of(error), code or type(error).__name__, operation, resource)


def failure_of_entry(entry: Mapping[str, Any], operation: str, resource: str) -> UnavailableError:
    """The error of one entry or statement of a batch, whose call itself succeeded."""
    code = str(entry.get("Code", ""))
    return _failure(outcome_of_code(code), code, operation, resource)


def _failure(outcome: str, code: str, operation: str, resource: str) -> UnavailableError:
    if outcome == "missing":
        return ResourceMissingError(f"{resource} is not there ({operation}: {code})")
    if outcome == "denied":
        if code in _EXPIRED:
            return UnavailableError(f"{resource}: the credentials have expired ({operation})")
        action = _ACTIONS.get(operation, operation)
        return UnavailableError(f"{resource}: {action} is not allowed ({operation}: {code})")
    reason = {
        "throttled": "is throttled",
        "timeout": "did not answer in time",
        "unreachable": "cannot be reached",
        "error": "failed on AWS's side",
    }.get(outcome, "was refused")
    return UnavailableError(f"{resource}: {operation} {reason} ({code})")


def queue_of(url: str) -> str:
    """A queue as messages name it."""
    return f"queue {url.rsplit('/', 1)[-1]}"
