"""Calls say and hear what botocore's clients do: both speak to the same servers."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError, HTTPClientError
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from support.raw_server import Peer, Request, answer, answering, raw_server
from support.transports import QUEUE_URL, TRANSPORTS, calls_of, refusal, send
from tenantry.transport.calls import _error
from tenantry.transport.connections import Answer

# --- errors ----------------------------------------------------------------------------------

_SQS: Final = "com.amazonaws.sqs#"
_DYNAMO: Final = "com.amazonaws.dynamodb.v20120810#"
_ID: Final = "x-amzn-RequestId: 7a62c49f-347e-4fc4-9331-6e8e7a96aa73"


def error_of(type_: str | None, **fields: Any) -> bytes:
    """An error's body."""
    return json.dumps(({} if type_ is None else {"__type": type_}) | fields).encode()


REFUSALS: Final = {
    "queue": (
        "sqs",
        "400 Bad Request",
        error_of(_SQS + "QueueDoesNotExist", message="no such queue"),
        ["x-amzn-query-error: AWS.SimpleQueueService.NonExistentQueue;Sender", _ID],
    ),
    "no query code": ("sqs", "400 Bad Request", error_of(_SQS + "OverLimit", message="m"), [_ID]),
    "query code without kind": (
        "sqs",
        "400 Bad Request",
        error_of(_SQS + "OverLimit", message="m"),
        ["x-amzn-query-error: OverLimit"],
    ),
    "query code with too much": (
        "sqs",
        "400 Bad Request",
        error_of(_SQS + "OverLimit", message="m"),
        ["x-amzn-query-error: a;b;c"],
    ),
    "query code of nothing": (
        "sqs",
        "400 Bad Request",
        error_of(_SQS + "OverLimit", message="m"),
        ["x-amzn-query-error: ;Sender"],
    ),
    "denied": ("sqs", "403 Forbidden", error_of("AccessDeniedException", Message="no"), [_ID]),
    "throttled": (
        "dynamodb",
        "400 Bad Request",
        error_of(_DYNAMO + "ProvisionedThroughputExceededException", message="too fast"),
        [_ID, "x-amz-crc32: 1"],
    ),
    "colon": (
        "dynamodb",
        "400 Bad Request",
        error_of("ValidationException:http://internal.amazon.com/x#y", Message="wrong"),
        [],
    ),
    "both messages": (
        "dynamodb",
        "400 Bad Request",
        error_of("A", message="small", Message="large"),
        [],
    ),
    "message of null": ("dynamodb", "400 Bad Request", error_of("A", message=None), []),
    "no message": ("dynamodb", "400 Bad Request", error_of("A#B#C:D"), []),
    "no type": ("dynamodb", "413 Content Too Large", error_of(None, message="large"), [_ID]),
    "type of null": ("dynamodb", "400 Bad Request", b'{"__type": null, "message": "m"}', []),
    "type of nothing": ("dynamodb", "400 Bad Request", error_of("", message="m"), []),
    "empty object": ("dynamodb", "400 Bad Request", b"{}", []),
    "nothing": ("dynamodb", "400 Bad Request", b"", [_ID]),
    "text": ("dynamodb", "400 Bad Request", b"no JSON \xc3\xa4", []),
    "html": ("sqs", "403 Forbidden", b"<html><body>no</body></html>", []),
    "of the server": ("dynamodb", "500 Oops", error_of(_DYNAMO + "InternalServerError"), [_ID]),
    "of the server, nothing": ("sqs", "503 Service Unavailable", b" \r\n", []),
    "of the server, html": ("sqs", "502 Bad Gateway", b"\n<html><b>Bad</b></html>", []),
    "of the server, other html": ("sqs", "504 Gateway Time-out", b"<!DOCTYPE html><html>", []),
    "of the server, empty object": ("sqs", "500 Oops", b"{}", []),
    "status without a name": ("sqs", "599 Oops", b"", []),
    "surrogate": ("sqs", "400 Bad Request", b'{"__type": "A", "message": "\\ud800"}', []),
    "not modified": ("sqs", "304 Not Modified", b"", []),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_botocores(name: str) -> None:
    """Code, message, status and request id; also the query protocol's code, where there is one."""
    service, status, body, headers = REFUSALS[name]
    data = answer(body, *headers, status=status)
    seen: dict[str, Any] = {}
    async with raw_server(answering(data)) as server:
        for transport in TRANSPORTS:
            url = f"http://127.0.0.1:{server.port}"
            async with calls_of(transport, service, url) as calls:
                error = await refusal(calls, service)
            response: Any = error.response
            metadata = response["ResponseMetadata"]
            seen[transport] = (
                response["Error"],
                metadata["HTTPStatusCode"],
                metadata.get("RequestId"),
                metadata["HTTPHeaders"],
                error.operation_name,
            )

    assert seen["botocore"] == seen["lean"]


JSON: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
CODES: Final = st.text(st.sampled_from("aB#:;.Ω "), max_size=8)
ERRORS: Final = st.builds(
    lambda known, more: json.dumps(more | known).encode(),
    st.fixed_dictionaries({}, optional={"__type": CODES, "message": JSON, "Message": JSON}),
    st.dictionaries(st.text(max_size=5), JSON, max_size=2),
)
BODIES: Final = (
    ERRORS
    | ERRORS.map(lambda body: body[:-1])
    | JSON.map(lambda value: json.dumps(value).encode())
    | st.sampled_from(
        [b"", b" ", b"<html>", b"\n<html>x", b"<HTML>", b"null", b"\xff", b"[" * 9999]
    )
    | st.binary(max_size=10)
)


@given(
    status=st.integers(301, 599),
    body=BODIES,
    query=st.none() | st.text(st.sampled_from("aB;"), max_size=5),
    request_id=st.none() | st.just("7a62"),
)
@settings(deadline=None)
def test_any_refusal_is_botocores(
    status: int, body: bytes, query: str | None, request_id: str | None
) -> None:
    """Where botocore breaks at an answer, the status says what happened."""
    named = {"x-amzn-query-error": query, "X-Amzn-Requestid": request_id, "Date": "x"}
    headers = {name: value for name, value in named.items() if value is not None}
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    ours = _error(Answer(status, raw, body))
    parsed = {name.lower(): value for name, value in headers.items()}
    parser: Any = create_parser("json")
    try:
        theirs = parser.parse({"status_code": status, "headers": parsed, "body": body}, None)
    except (AttributeError, TypeError, UnicodeDecodeError, RecursionError):
        assert str(status) == ours["Error"]["Code"] or query
        return

    assert theirs["Error"] == ours["Error"]
    # One that is known is told, also with an error that botocore calls generic.
    assert theirs["ResponseMetadata"] | ours["ResponseMetadata"] == ours["ResponseMetadata"]


# --- good answers ----------------------------------------------------------------------------

_MESSAGE: Final = {
    "MessageId": "1",
    "ReceiptHandle": "h",
    "Body": "b",
    "Attributes": {"ApproximateReceiveCount": "1"},
    "MessageAttributes": {"traceparent": {"StringValue": "00-0", "DataType": "String"}},
}


def received(body: str) -> bytes:
    """An answer to a receive, of one message with this body, as JSON text."""
    message = json.dumps(_MESSAGE).replace('"b"', body)
    return f'{{"Messages": [{message}]}}'.encode()


GOOD: Final = {
    "none": (200, b"{}"),
    "nothing": (200, b""),
    "null": (200, b'{"Messages": null}'),
    "message": (200, received('"text"')),
    "emoji": (200, received('"\U0001f600 ü"')),
    "escaped": (200, received('"\\ud83d\\ude00 \\u0000 \\u2028"')),
    "lone surrogate": (200, received('"\\ud800 a \\udfff"')),
    "1 MiB": (200, received('"' + "ü" * 524_288 + '"')),
    "created": (201, received('"text"')),
    "accepted": (202, b"{}"),
    "no content": (204, b""),
}


@pytest.mark.parametrize("name", GOOD)
async def test_a_good_answer_is_botocores(name: str) -> None:
    """Members that are null are left out; text that UTF-8 cannot say is kept."""
    status, body = GOOD[name]
    length = [] if status == 204 else [f"Content-Length: {len(body)}"]
    head = "\r\n".join([f"HTTP/1.1 {status} OK", *length, "", ""]).encode()
    seen = []
    async with raw_server(answering(head + body)) as server:
        for transport in TRANSPORTS:
            async with calls_of(transport, "sqs", f"http://127.0.0.1:{server.port}") as calls:
                got = await calls.receive_message(QueueUrl=QUEUE_URL)
                seen.append({key: got[key] for key in got if key != "ResponseMetadata"})

    assert seen[0] == seen[1]


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"{",
        b"null",
        b"[]",
        b'"a"',
        b"0",
        b"\xff",
        b"[" * 100_000,
    ],
    ids=["html", "cut", "null", "list", "text", "number", "bytes", "deep"],
)
async def test_a_good_answer_that_says_nothing_is_an_error_of_botocores(body: bytes) -> None:
    """Adapters know those; botocore itself breaks, or hands out an answer without its parts."""
    async with (
        raw_server(answering(answer(body))) as server,
        calls_of("lean", "sqs", f"http://127.0.0.1:{server.port}") as calls,
    ):
        with pytest.raises(HTTPClientError):
            await send(calls)


# --- requests --------------------------------------------------------------------------------

_RECEIPTS: Final = [{"Id": str(n), "ReceiptHandle": f"handle {n}"} for n in range(2)]
_TEXT: Final = 'ü \U0001f600 \x00 \u2028 \ufffe " \\ /'
CALLS: Final[dict[str, tuple[str, str, dict[str, Any]]]] = {
    "send": (
        "sqs",
        "send_message_batch",
        {
            "QueueUrl": QUEUE_URL,
            "Entries": [
                {
                    "Id": "0",
                    "MessageBody": _TEXT,
                    "MessageGroupId": "acme",
                    "MessageAttributes": {
                        "traceparent": {"DataType": "String", "StringValue": "00-0"}
                    },
                },
                {"Id": "1", "MessageBody": ""},
            ],
        },
    ),
    "send what a queue brought": (
        "sqs",
        "send_message_batch",
        {"QueueUrl": QUEUE_URL, "Entries": [{"Id": "0", "MessageBody": "\ud800 a \udfff"}]},
    ),
    "receive": (
        "sqs",
        "receive_message",
        {
            "QueueUrl": QUEUE_URL,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 0,
            "VisibilityTimeout": 30,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "SentTimestamp"],
            "MessageAttributeNames": ["All"],
        },
    ),
    "delete": ("sqs", "delete_message_batch", {"QueueUrl": QUEUE_URL, "Entries": _RECEIPTS}),
    "hide": (
        "sqs",
        "change_message_visibility_batch",
        {
            "QueueUrl": QUEUE_URL,
            "Entries": [one | {"VisibilityTimeout": 0} for one in _RECEIPTS],
        },
    ),
    "insert": (
        "dynamodb",
        "batch_execute_statement",
        {
            "Statements": [
                {
                    "Statement": "INSERT INTO \"t\" VALUE {'a': ?}",
                    "Parameters": [
                        {"S": _TEXT},
                        {"N": "18446744073709551616"},
                        {"B": bytes(range(256))},
                        {"B": b""},
                    ],
                }
            ]
            * 25
        },
    ),
    "insert a surrogate and bytes": (
        "dynamodb",
        "batch_execute_statement",
        {"Statements": [{"Statement": "?", "Parameters": [{"S": "\ud800"}, {"B": b"\xff"}]}]},
    ),
}
#: What botocore sends beside, which no service needs: who calls, and how often it was tried.
_BESIDE: Final = {"accept", "accept-encoding", "amz-sdk-invocation-id", "amz-sdk-request"}
#: These differ between two requests that mean the same.
_VARYING: Final = {"authorization", "content-length", "user-agent", "x-amz-date"}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("path", ["", "/", "/prefix", "/prefix/"])
async def test_a_request_is_botocores(name: str, path: str) -> None:
    """Line, headers and meaning, beside what says only who calls."""
    service, method, arguments = CALLS[name]
    seen: list[Request] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            await peer.send(answer())

    async with raw_server(script) as server:
        for transport in TRANSPORTS:
            url = f"http://127.0.0.1:{server.port}{path}"
            async with calls_of(transport, service, url) as calls:
                await getattr(calls, method)(**arguments)

    lean, botocore = seen
    assert botocore.line == lean.line
    assert json.loads(botocore.body) == json.loads(lean.body)
    assert _named(botocore, _BESIDE | _VARYING) == _named(lean, _VARYING)
    assert _scope(botocore) == _scope(lean)


def _named(request: Request, without: set[str]) -> dict[str, str]:
    return {name: value for name, value in request.headers.items() if name not in without}


def _scope(request: Request) -> list[str]:
    """Key, region and service of a signature."""
    scope = request.headers["authorization"].split("Credential=")[1].split(",")[0].split("/")
    return [scope[0], *scope[2:]]


@pytest.mark.parametrize("text", ["\ufffe", "a\uffff", "\ufffd\uffff"])
async def test_noncharacters_are_escaped(text: str) -> None:
    """As botocore escapes them: an engine's parser may take one for the end."""
    seen: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append((await peer.request()).body)
            await peer.send(answer())

    async with (
        raw_server(script) as server,
        calls_of("lean", "sqs", f"http://127.0.0.1:{server.port}") as calls,
    ):
        await calls.send_message_batch(QueueUrl=text, Entries=[])

    assert seen[0].isascii()
    assert text == json.loads(seen[0])["QueueUrl"]


async def test_what_is_no_json_is_the_callers_fault() -> None:
    """Said at once; nothing is sent."""
    async with (
        raw_server(answering(answer())) as server,
        calls_of("lean", "dynamodb", f"http://127.0.0.1:{server.port}") as calls,
    ):
        with pytest.raises(TypeError, match="object"):
            await calls.batch_execute_statement(Statements=[object()])
        assert [] == server.peers


async def test_each_call_has_its_own_answer() -> None:
    """Refused and good ones at once, more than there are connections."""

    async def script(peer: Peer) -> None:
        while True:
            number = json.loads((await peer.request()).body)["Statements"][0]["Statement"]
            if int(number) % 3:
                await peer.send(
                    answer(json.dumps({"Responses": [{"TableName": number}]}).encode())
                )
            else:
                await peer.send(answer(error_of(number), status="400 Bad Request"))

    async def one(calls: Any, number: int) -> str:
        try:
            got = await calls.batch_execute_statement(Statements=[{"Statement": str(number)}])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return str(got["Responses"][0]["TableName"])

    async with (
        raw_server(script) as server,
        calls_of("lean", "dynamodb", f"http://127.0.0.1:{server.port}") as calls,
    ):
        seen = await asyncio.gather(*(one(calls, number) for number in range(150)))

    assert [str(number) for number in range(150)] == seen
    assert 64 >= len(server.peers)
