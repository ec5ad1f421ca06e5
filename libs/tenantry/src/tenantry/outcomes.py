"""What became of an AWS call, in the few words that metrics use.

`ok`, `partial` (some entries of a batch failed), `throttled`, `missing` (no such queue, table
or role), `denied`, `refused` (for what is in it), `error` (of the server's), `timeout` (it was
sent, and no answer came), `unreachable` (no connection, or one that broke).
"""

from __future__ import annotations

from typing import Final

from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

_BY_CODE: Final = {
    code: outcome
    for outcome, codes in {
        "throttled": (
            "ProvisionedThroughputExceeded",
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "Throttling",
            "ThrottlingError",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        "missing": (
            "AWS.SimpleQueueService.NonExistentQueue",
            "QueueDoesNotExist",
            "ResourceNotFound",
            "ResourceNotFoundException",
        ),
        "denied": (
            "AccessDenied",
            "AccessDeniedException",
            "ExpiredToken",
            "ExpiredTokenException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
    }.items()
    for code in codes
}
_SERVER_ERROR: Final = 500


def outcome_of(error: BaseException) -> str:
    """The outcome of a call that raised this."""
    if isinstance(error, ClientError):
        outcome = outcome_of_code(error.response.get("Error", {}).get("Code", ""))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return "error" if outcome == "refused" and status >= _SERVER_ERROR else outcome
    if isinstance(error, ReadTimeoutError | TimeoutError):
        return "timeout"
    if isinstance(error, ParamValidationError):
        return "refused"
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return "denied"
    return "unreachable"


def outcome_of_code(code: str) -> str:
    """The outcome that an error code of AWS means."""
    return _BY_CODE.get(code, "error" if code.startswith("InternalServer") else "refused")
