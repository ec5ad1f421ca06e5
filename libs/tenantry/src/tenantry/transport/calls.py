"""The calls of the hot path, as botocore's clients take and answer them.

Each takes what the client's method takes, returns what it returns (without the metadata of an
answer that is good) and raises what it raises, so that one adapter serves both, and one suite
holds both. Nothing is tried again here, but for one thing that botocore does not know: a
request that AWS calls too old or too new is signed again by AWS's clock.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable
from email.utils import parsedate_to_datetime
from http.client import responses
from typing import Any, Final

import orjson
import structlog
from botocore.exceptions import ClientError, NoCredentialsError

from tenantry.transport.connections import Answer, Connections
from tenantry.transport.signing import Credentials, Endpoint, Signer

log = structlog.get_logger()

CONTENT_TYPE: Final = "application/x-amz-json-1.0"
#: How far the clocks may be apart before ours is the reason for a refusal, in seconds: AWS
#: takes five minutes.
SKEW_SECONDS: Final = 240.0
_SKEWED: Final = frozenset(
    {
        "AuthFailure",
        "InvalidSignatureException",
        "RequestExpired",
        "RequestInTheFuture",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_OK: Final = 200
_SERVER_ERROR: Final = 500


class Calls:
    """Calls of one service."""

    def __init__(
        self,
        endpoint: Endpoint,
        connections: Connections,
        credentials: Callable[[], Awaitable[Credentials | None]],
        *,
        target_prefix: str,
        read_seconds: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._signer = Signer(endpoint)
        self._connections = connections
        self._credentials = credentials
        self._target_prefix = target_prefix
        self._read_seconds = read_seconds
        self._clock = clock
        #: AWS's clock less ours, in seconds; 0 as long as nobody complains.
        self.skew_seconds = 0.0

    async def call(self, operation: str, request: dict[str, Any]) -> Any:
        """Call, and return the answer.

        Raises:
            ClientError: AWS refused, or failed.
            NoCredentialsError, CredentialRetrievalError: Nothing was sent.
            HTTPClientError: There is no answer; see `Connections.exchange`.
        """
        body = orjson.dumps(request, default=_blob)
        answer = await self._send(operation, body)
        if answer.status == _OK:
            return _parsed(answer.body)
        error = _error(answer)
        if self._is_skewed(answer, error["Error"]["Code"]):
            answer = await self._send(operation, body)
            if answer.status == _OK:
                return _parsed(answer.body)
            error = _error(answer)
        raise ClientError(error, operation)  # type: ignore[arg-type]

    async def _send(self, operation: str, body: bytes) -> Answer:
        credentials = await self._credentials()
        if credentials is None:
            raise NoCredentialsError
        head = self._signer.head(
            credentials,
            f"{self._target_prefix}.{operation}",
            body,
            self._clock() + self.skew_seconds,
        )
        return await self._connections.exchange(head + body, seconds=self._read_seconds)

    def _is_skewed(self, answer: Answer, code: str) -> bool:
        """Whether our clock is to blame; from then on AWS's is what counts."""
        if code not in _SKEWED:
            return False
        try:
            theirs = parsedate_to_datetime(answer.headers()["date"]).timestamp()
        except (KeyError, ValueError):
            return False
        skew = theirs - self._clock()
        if abs(skew - self.skew_seconds) < SKEW_SECONDS:
            return False
        log.warning("clock.skewed", seconds=round(skew))
        self.skew_seconds = skew
        return True


class SqsCalls(Calls):
    """SQS, by the methods of its client."""

    async def send_message_batch(self, **request: Any) -> Any:
        return await self.call("SendMessageBatch", request)

    async def receive_message(self, **request: Any) -> Any:
        return await self.call("ReceiveMessage", request)

    async def delete_message_batch(self, **request: Any) -> Any:
        return await self.call("DeleteMessageBatch", request)

    async def change_message_visibility_batch(self, **request: Any) -> Any:
        return await self.call("ChangeMessageVisibilityBatch", request)


class DynamoCalls(Calls):
    """DynamoDB, by the methods of its client. Binary values are sent, not received."""

    async def batch_execute_statement(self, **request: Any) -> Any:
        return await self.call("BatchExecuteStatement", request)


def _blob(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError


def _parsed(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # Lone surrogates, which a queue may hold although nobody of ours sends them.
        return json.loads(body)


def _error(answer: Answer) -> dict[str, Any]:
    """As botocore parses an error of a JSON protocol, with its codes of the query protocol."""
    headers = answer.headers()
    metadata: dict[str, Any] = {
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": headers,
        "RetryAttempts": 0,
    }
    if "x-amzn-requestid" in headers:
        metadata["RequestId"] = headers["x-amzn-requestid"]
    try:
        body = _parsed(answer.body)
    except ValueError:
        body = None
    if not isinstance(body, dict) or (answer.status >= _SERVER_ERROR and not body):
        message = responses.get(answer.status, "")
        return {
            "Error": {"Code": str(answer.status), "Message": message},
            "ResponseMetadata": metadata,
        }
    code = str(body.get("__type", answer.status)).split(":", 1)[0].rsplit("#", 1)[-1]
    error: dict[str, Any] = {"Message": body.get("message", body.get("Message", ""))}
    query_code, separator, kind = headers.get("x-amzn-query-error", "").partition(";")
    if separator and query_code:
        error |= {"QueryErrorCode": code, "Type": kind}
        code = query_code
    error["Code"] = code
    return {"Error": error, "ResponseMetadata": metadata}
