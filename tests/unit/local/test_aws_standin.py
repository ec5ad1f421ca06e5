"""The stand-in's HTTP: what it does with bytes, whatever they ask for."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tenantry_local.aws_standin import Connection, Endpoint, main
from tenantry_local.processes import free_port


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True

    def abort(self) -> None:
        self.is_closed = True


class Client:
    """One connection to an endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.transport = Transport()
        self.connection = Connection(endpoint)
        self.connection.connection_made(self.transport)

    def call(self, target: str, body: Any, *headers: str) -> None:
        self.connection.data_received(wire(target, body, *headers))

    def answers(self) -> list[tuple[int, dict[str, str], Any]]:
        """Status, headers and body of each, in order; they are taken."""
        found = []
        rest, self.transport.written = self.transport.written, b""
        while rest:
            head, _, rest = rest.partition(b"\r\n\r\n")
            line, *lines = head.decode().split("\r\n")
            headers = dict(one.split(": ", 1) for one in lines)
            size = int(headers["Content-Length"])
            found.append((int(line.split()[1]), headers, json.loads(rest[:size])))
            rest = rest[size:]
        return found


def wire(target: str, body: Any, *headers: str, path: str = "/") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", *headers, f"Content-Length: {len(raw)}"]
    if target:
        lines.append(f"X-Amz-Target: {target}")
    return "\r\n".join([*lines, "", ""]).encode() + raw


@pytest.fixture
async def endpoint() -> Endpoint:
    """On the loop of the test."""
    return Endpoint("http://127.0.0.1:4566", asyncio.get_running_loop())


@pytest.fixture
def client(endpoint: Endpoint) -> Client:
    client = Client(endpoint)
    client.call("AmazonSQS.CreateQueue", {"QueueName": "q"})
    ((status, _, body),) = client.answers()
    assert (200, "http://127.0.0.1:4566/000000000000/q") == (status, body["QueueUrl"])
    return client


QUEUE = {"QueueUrl": "http://127.0.0.1:4566/000000000000/q"}


def test_requests_come_in_any_pieces(client: Client) -> None:
    """Byte by byte, or several at once; each is answered, in order."""
    sent = wire("AmazonSQS.SendMessage", QUEUE | {"MessageBody": "a"})
    received = wire("AmazonSQS.ReceiveMessage", QUEUE)
    pieces = sent + wire("", b"", path="/_standin/health")
    for place in range(len(pieces)):
        client.connection.data_received(pieces[place : place + 1])
    client.connection.data_received(sent + received + received)
    bodies = [body for _, _, body in client.answers()]

    assert ["MessageId", "engine", "MessageId", "Messages", "Messages"] == [
        next(iter(body)) for body in bodies
    ]


def test_what_comes_while_a_poll_waits_has_its_turn(client: Client, endpoint: Endpoint) -> None:
    """Behind the poll, so that answers are in the order of requests."""
    client.call("AmazonSQS.ReceiveMessage", QUEUE | {"WaitTimeSeconds": 20})
    client.call("AmazonSQS.ReceiveMessage", QUEUE | {"WaitTimeSeconds": 20})
    client.call("AmazonSQS.ListQueues", {})
    assert [] == client.answers()
    other = Client(endpoint)
    for body in ("a", "b"):
        other.call("AmazonSQS.SendMessage", QUEUE | {"MessageBody": body})

    answers = [body for _, _, body in client.answers()]
    assert ["a", "b"] == [body["Messages"][0]["Body"] for body in answers[:2]]
    assert [QUEUE["QueueUrl"]] == answers[2]["QueueUrls"]


def test_a_poll_whose_client_left_takes_a_message_all_the_same(
    client: Client, endpoint: Endpoint
) -> None:
    """As SQS does: whoever aborts a poll strands what it was about to bring."""
    client.call("AmazonSQS.ReceiveMessage", QUEUE | {"WaitTimeSeconds": 20})
    client.connection.connection_lost(None)
    other = Client(endpoint)
    other.call("AmazonSQS.SendMessage", QUEUE | {"MessageBody": "a"})
    other.call("AmazonSQS.ReceiveMessage", QUEUE)

    assert [(200, True), (200, False)] == [
        (status, bool(body)) for status, _, body in other.answers()
    ]
    assert b"" == client.transport.written


def test_a_connection_is_closed_when_it_is_asked_to(client: Client) -> None:
    """And kept otherwise; also after an error."""
    client.call("AmazonSQS.GetQueueUrl", {"QueueName": "none"})
    is_closed = [client.transport.is_closed]
    client.call("AmazonSQS.ListQueues", {}, "Connection: close")
    is_closed.append(client.transport.is_closed)

    assert [False, True] == is_closed
    assert "close" == client.answers()[1][1]["Connection"]


@pytest.mark.parametrize(
    ("target", "body", "kind", "code"),
    [
        (
            "AmazonSQS.SendMessage",
            {"QueueUrl": "http://x/0/none", "MessageBody": "a"},
            "com.amazonaws.sqs#QueueDoesNotExist",
            "AWS.SimpleQueueService.NonExistentQueue;Sender",
        ),
        (
            "AmazonSQS.SendMessageBatch",
            QUEUE | {"Entries": []},
            "com.amazonaws.sqs#EmptyBatchRequest",
            "AWS.SimpleQueueService.EmptyBatchRequest;Sender",
        ),
        (
            "AmazonSQS.AddPermission",
            QUEUE,
            "com.amazonaws.sqs#UnknownOperationException",
            "UnknownOperationException;Sender",
        ),
        (
            "AmazonSQS.SendMessage",
            b"{no json",
            "com.amazonaws.sqs#SerializationException",
            "SerializationException;Sender",
        ),
        (
            "AmazonSQS.SendMessage",
            [1],
            "com.amazonaws.sqs#SerializationException",
            "SerializationException;Sender",
        ),
        (
            "DynamoDB_20120810.GetItem",
            {"TableName": "none", "Key": {}},
            "com.amazonaws.dynamodb.v20120810#ResourceNotFoundException",
            None,
        ),
        (
            "DynamoDB_20120810.Scan",
            {"TableName": "none", "Segment": 1},
            "com.amazon.coral.validate#ValidationException",
            None,
        ),
        (
            "DynamoDB_20120810.TransactWriteItems",
            {},
            "com.amazonaws.dynamodb.v20120810#UnknownOperationException",
            None,
        ),
        (
            "",
            {},
            "com.amazonaws.sqs#UnknownOperationException",
            "UnknownOperationException;Sender",
        ),
    ],
)
def test_a_refusal_is_as_the_protocol_has_it(
    client: Client, target: str, body: Any, kind: str, code: str | None
) -> None:
    """The shape of the error in the body, and for SQS its old code in a header."""
    client.call(target, body)
    ((status, headers, answer),) = client.answers()

    assert (400, kind, code) == (status, answer["__type"], headers.get("x-amzn-query-error"))
    assert answer["message"]


def test_what_is_not_done_is_named(client: Client) -> None:
    """Whoever meets a gap learns which."""
    client.call("DynamoDB_20120810.Scan", {"TableName": "none", "Segment": 1})
    client.call("AmazonSQS.AddPermission", {})
    scan, permission = (body["message"] for _, _, body in client.answers())

    assert "Segment" in scan
    assert "AddPermission" in permission


def test_a_mistake_of_the_stand_ins_own_is_shown(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a fault of the server's, with a traceback in its log; the connection lives on."""
    client.call("AmazonSQS.SendMessageBatch", QUEUE | {"Entries": 7})
    client.call("AmazonSQS.ListQueues", {})
    first, second = client.answers()

    assert (500, "InternalFailure;Receiver") == (first[0], first[1]["x-amzn-query-error"])
    assert second[0] == 200
    assert "Traceback" in capsys.readouterr().err


def test_what_is_no_http_ends_the_connection(client: Client) -> None:
    """Without an answer."""
    client.connection.data_received(b"\x16\x03\x01 hello\r\n\r\n")

    assert client.transport.is_closed
    assert b"" == client.transport.written


def test_a_body_without_end_is_not_kept(client: Client) -> None:
    """Beyond what any call of AWS's takes; what came in other requests does not count."""
    for _ in range(2):
        client.call("AmazonSQS.ListQueues", b"{}" + b" " * 17 * 1_048_576)
    statuses = [status for status, _, _ in client.answers()]
    assert (False, [200, 200]) == (client.transport.is_closed, statuses)
    size = 33 * 1_048_576
    client.connection.data_received(
        b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size
    )

    assert client.transport.is_closed


def test_a_write_of_four_mebibytes_is_too_large(client: Client) -> None:
    """As sent, and with HTTP's own word for it."""
    client.call("DynamoDB_20120810.BatchExecuteStatement", b"{}" + b" " * 4_194_303)
    ((status, _, _),) = client.answers()

    assert status == 413


def test_its_own_pages_tell_what_it_is(client: Client) -> None:
    """Its name, its queues by their names, and 404 for what is none."""
    for path in ("/_standin/health", "/_standin/queues", "/_standin/none"):
        client.connection.data_received(wire("", b"", path=path))
    health, queues, none = client.answers()

    assert "stand-in" in health[2]["engine"]
    assert queues[2]["q"]["ApproximateNumberOfMessagesVisible"] == 0
    assert none[0] == 404


def test_a_port_that_is_taken_is_one_line() -> None:
    """And no traceback."""
    port = free_port()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(asyncio.Protocol, "127.0.0.1", port))
    try:
        with pytest.raises(SystemExit, match=f"cannot listen on 127.0.0.1:{port}"):
            main(["--port", str(port)])
    finally:
        server.close()
        loop.run_until_complete(server.wait_closed())
        loop.close()
