"""What AWS answers to calls that never reach a decision, by the protocol of each service.

Sources: STS API Reference, "Common Errors"; SQS API Reference, "Common Errors"; DynamoDB
Developer Guide, "Error handling with DynamoDB".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final
from xml.sax.saxutils import escape

from aiohttp import web

from e2e.door.signatures import Reason, Refused

#: Services of the query protocol, which answer in XML.
_QUERY: Final = frozenset({"sts", "monitoring", "iam"})
_COMMON: Final[Mapping[Reason, str]] = {
    "missing": "MissingAuthenticationToken",
    "unknown": "InvalidClientTokenId",
    "expired": "ExpiredToken",
    "signature": "SignatureDoesNotMatch",
}
_DYNAMODB: Final[Mapping[Reason, str]] = {
    "missing": "MissingAuthenticationTokenException",
    "unknown": "UnrecognizedClientException",
    "expired": "ExpiredTokenException",
    "signature": "InvalidSignatureException",
}
_CODE: Final = re.compile(r"<Code>([^<]+)</Code>")


def refused(service: str, why: Refused) -> web.Response:
    """To who is nobody."""
    if service == "dynamodb":
        return _answer(service, 400, _DYNAMODB[why.reason], why.message)
    return _answer(service, 403, _COMMON[why.reason], why.message)


def invalid(service: str, message: str) -> web.Response:
    """To a parameter that is out of bounds."""
    return _answer(service, 400, "ValidationError", message)


def failed(service: str) -> web.Response:
    """Where AWS failed."""
    code = "InternalServerError" if service == "dynamodb" else "InternalFailure"
    return _answer(service, 500, code, "a failure that the test asked for")


def code_of(status: int, body: bytes) -> str:
    """The code of an error's answer; `passed` where it is none."""
    if status < web.HTTPBadRequest.status_code:
        return "passed"
    text = body.decode("utf-8", "replace")
    if (found := _CODE.search(text)) is not None:
        return found[1]
    try:
        said = json.loads(text)
    except ValueError:
        return str(status)
    kind = said.get("__type") if isinstance(said, dict) else None
    return str(kind).rpartition("#")[2] if kind else str(status)


def _answer(service: str, status: int, code: str, message: str) -> web.Response:
    if service in _QUERY:
        kind = "Receiver" if status >= web.HTTPInternalServerError.status_code else "Sender"
        inner = f"<Type>{kind}</Type><Code>{code}</Code><Message>{escape(message)}</Message>"
        text = f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"
        return web.Response(status=status, text=text, content_type="text/xml")
    said = {"__type": f"com.amazon.coral.service#{code}", "message": message}
    return web.Response(
        status=status,
        body=json.dumps(said).encode(),
        content_type="application/x-amz-json-1.0",
        headers={"x-amzn-errortype": code},
    )
