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
from botocore.exceptions import (
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
)

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
_GOOD: Final = range(200, 300)
#: U+FFFE and U+FFFF: botocore escapes them, and ElasticMQ's parser ends at one that is not.
_NONCHARACTERS: Final = (b"\xef\xbf\xbe", b"\xef\xbf\xbf")
_FIRST_OF_NONCHARACTERS: Final = b"\xef"
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
            HTTPClientError: There is no answer, or none that can be read; see
                `Connections.exchange`.
        """
        body = _body(request)
        skew = self.skew_seconds
        answer = await self._send(operation, body, skew)
        if answer.status not in _GOOD and self._is_skewed(answer, skew):
            answer = await self._send(operation, body, self.skew_seconds)
        if answer.status not in _GOOD:
            raise ClientError(_error(answer), operation)  # type: ignore[arg-type]
        return _result(answer.body)

    async def _send(self, operation: str, body: bytes, skew: float) -> Answer:
        credentials = await self._credentials()
        if credentials is None:
            raise NoCredentialsError
        target = f"{self._target_prefix}.{operation}"
        try:
            head = self._signer.head(credentials, target, body, self._clock() + skew)
        except ValueError as error:
            raise CredentialRetrievalError(provider="any", error_msg=str(error)) from None
        return await self._connections.exchange(head + body, seconds=self._read_seconds)

    def _is_skewed(self, answer: Answer, skew: float) -> bool:
        """Whether our clock is to blame, with what it was corrected by when this was signed.

        From then on AWS's clock is what counts.
        """
        if _error(answer)["Error"]["Code"] not in _SKEWED:
            return False
        try:
            theirs = parsedate_to_datetime(answer.headers()["date"]).timestamp()
        except (KeyError, OverflowError, ValueError):
            return False
        seen = theirs - self._clock()
        if abs(seen - skew) < SKEW_SECONDS:
            return False
        if abs(seen - self.skew_seconds) >= SKEW_SECONDS:
            log.warning("clock.skewed", seconds=round(seen))
            self.skew_seconds = seen
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


def _body(request: dict[str, Any]) -> bytes:
    try:
        body = orjson.dumps(request, default=_blob)
    except orjson.JSONEncodeError:
        # Lone surrogates, which a queue may bring and JSON can say: AWS is to judge them.
        return _escaped(request)
    # The first byte of the two is looked for alone, at no cost to speak of.
    if _FIRST_OF_NONCHARACTERS in body and any(one in body for one in _NONCHARACTERS):
        return _escaped(request)
    return body


def _escaped(request: dict[str, Any]) -> bytes:
    """With all but ASCII escaped, as botocore sends everything."""
    return json.dumps(request, default=_blob).encode()


def _blob(value: object) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value).__name__} in a request")


def _result(body: bytes) -> Any:
    """What a good answer holds.

    Raises:
        HTTPClientError: Nothing that can be read.
    """
    try:
        result = _parsed(body)
    except (RecursionError, ValueError) as error:
        raise HTTPClientError(error=error) from error
    if not isinstance(result, dict):
        raise HTTPClientError(error="the answer is no JSON object")
    # Null is as good as left out: some engines send it, and botocore hands out none.
    return {name: member for name, member in result.items() if member is not None}


def _parsed(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        # Lone surrogates, which a queue may hold although nobody of ours sends them.
        return json.loads(body)


def _error(answer: Answer) -> dict[str, Any]:
    """As botocore parses an error of a JSON protocol, with its codes of the query protocol.

    Where botocore would break, at JSON that is no object, the status says what happened.
    """
    headers = answer.headers()
    metadata: dict[str, Any] = {
        "HTTPStatusCode": answer.status,
        "HTTPHeaders": headers,
        "RetryAttempts": 0,
    }
    if "x-amzn-requestid" in headers:
        metadata["RequestId"] = headers["x-amzn-requestid"]
    status = str(answer.status)
    error: dict[str, Any] = {"Code": status, "Message": responses.get(answer.status, "")}
    text = answer.body.strip()
    is_generic = answer.status >= _SERVER_ERROR and (not text or text.startswith(b"<html>"))
    body = None if is_generic else _told(answer.body)
    if isinstance(body, dict):
        code = str(body.get("__type", status) or "").split(":", 1)[0].rsplit("#", 1)[-1]
        error = {"Code": code, "Message": body.get("message", body.get("Message", ""))}
        query = headers.get("x-amzn-query-error", "").split(";")
        if len(query) == len(("code", "type")) and query[0]:
            error |= {"Code": query[0], "QueryErrorCode": code, "Type": query[1]}
    return {"Error": error, "ResponseMetadata": metadata}


def _told(body: bytes) -> Any:
    """What an error's body says: what is no JSON is the message."""
    try:
        return _parsed(body)
    except (RecursionError, ValueError):
        return {"message": body.decode(errors="replace")}
