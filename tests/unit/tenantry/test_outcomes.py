"""What became of an AWS call, told in one word."""

from __future__ import annotations

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    ReadTimeoutError,
)

from tenantry.metrics import FAILURES
from tenantry.outcomes import outcome_of, outcome_of_code

URL = "http://queue.example"


def refusal(code: str, status: int = 400) -> ClientError:
    """AWS's own answer."""
    response = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "SendMessageBatch")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (refusal("RequestThrottled"), "throttled"),
        (refusal("ThrottlingException"), "throttled"),
        # Throttling of a server that calls it an error of its own.
        (refusal("ProvisionedThroughputExceededException", 503), "throttled"),
        (refusal("QueueDoesNotExist"), "missing"),
        (refusal("ResourceNotFoundException"), "missing"),
        (refusal("AccessDenied", 403), "denied"),
        (refusal("ExpiredTokenException", 403), "denied"),
        (refusal("SignatureDoesNotMatch", 403), "denied"),
        (refusal("InvalidSignatureException", 400), "denied"),
        (refusal("MissingAuthenticationTokenException", 400), "denied"),
        (refusal("InvalidMessageContents"), "refused"),
        (refusal("InternalServerError", 500), "error"),
        (refusal("ServiceUnavailable", 503), "error"),
        (refusal("", 502), "error"),
        (ReadTimeoutError(endpoint_url=URL), "timeout"),
        (TimeoutError(), "timeout"),
        # Nothing was sent: not the same as no answer.
        (ConnectTimeoutError(endpoint_url=URL), "unreachable"),
        (EndpointConnectionError(endpoint_url=URL), "unreachable"),
        (ConnectionClosedError(endpoint_url=URL), "unreachable"),
        (NoCredentialsError(), "denied"),
        (ParamValidationError(report="wrong"), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value)[:60],
)
def test_an_error_has_one_outcome(error: Exception, outcome: str) -> None:
    """The one that an operator would give it, and one that is documented."""
    assert outcome == outcome_of(error)
    assert outcome in FAILURES


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("ThrottlingError", "throttled"),
        ("ResourceNotFound", "missing"),
        ("AccessDenied", "denied"),
        ("ValidationError", "refused"),
        ("InternalServerError", "error"),
    ],
)
def test_a_statements_code_has_the_same_words(code: str, outcome: str) -> None:
    """DynamoDB names those of a batch otherwise than those of a call."""
    assert outcome == outcome_of_code(code)
