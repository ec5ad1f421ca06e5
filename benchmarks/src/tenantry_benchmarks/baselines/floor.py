"""The floor: the same bytes through sockets by hand, with cached signing and no validation.

Nobody would run this: it checks nothing, retries nothing and knows no tenant. It says what the
bytes alone cost in Python, so that the distance to it is what everything else costs.

python -m tenantry_benchmarks.baselines.floor producer|consumer PORT
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import uvloop

_HOST: Final = "127.0.0.1"
_END: Final = b"\r\n\r\n"
_BATCH: Final = 10
_CALLS: Final = 8
_POLLS: Final = 4
#: Of the statement that stores one message, in the order of its parameters.
_COLUMNS: Final = (
    *("tenant_id", "message_id", "type", "payload"),
    *("payload_sha256", "accepted_at", "stored_at", "version"),
)


def message_in(buffer: bytes) -> tuple[bytes, bytes, bytes] | None:
    """The first message of a buffer as head and body, and what follows; None if it is cut."""
    end = buffer.find(_END)
    if end < 0:
        return None
    head = buffer[:end]
    at = head.lower().find(b"content-length:")
    total = end + 4 + (int(head[at + 15 :].partition(b"\r\n")[0]) if at >= 0 else 0)
    if len(buffer) < total:
        return None
    return head, buffer[end + 4 : total], buffer[total:]


class Connection(asyncio.Protocol):
    """One connection: `on_message` gets each message that comes in."""

    def __init__(self, on_message: Callable[[Connection, bytes, bytes], None]) -> None:
        self._on_message = on_message
        self._buffer = b""
        self.transport: Any = None
        self.answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (found := message_in(self._buffer)) is not None:
            head, body, self._buffer = found
            self._on_message(self, head, body)


class Aws:
    """Signed calls to one service, each on a connection of its own while it runs."""

    def __init__(self, service: str, target: str) -> None:
        self._port = int(os.environ["AWS_ENDPOINT_URL"].rsplit(":", 1)[1])
        self._region = os.environ["AWS_REGION"]
        self._service, self._target = service, target
        self._idle: list[Connection] = []
        self._day, self._key, self._scope = "", b"", ""

    async def call(self, operation: str, request: object) -> Any:
        """The answer's object.

        Raises:
            RuntimeError: The answer is no 200.
        """
        body = orjson.dumps(request)
        connection = self._idle.pop() if self._idle else await self._connect()
        connection.answer = asyncio.get_running_loop().create_future()
        connection.transport.write(self._head(operation, body) + body)
        answer = await connection.answer
        self._idle.append(connection)
        return orjson.loads(answer) if answer else None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: Connection(_settle), _HOST, self._port
        )
        return connection

    def _head(self, operation: str, body: bytes) -> bytes:
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if now[:8] != self._day:
            self._day = now[:8]
            self._scope = f"{self._day}/{self._region}/{self._service}/aws4_request"
            key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
            for part in self._scope.split("/"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = key
        target = f"{self._target}.{operation}"
        host = f"{_HOST}:{self._port}"
        names = "host;x-amz-date;x-amz-target"
        canonical = (
            f"POST\n/\n\nhost:{host}\nx-amz-date:{now}\nx-amz-target:{target}\n\n{names}\n"
            f"{hashlib.sha256(body).hexdigest()}"
        )
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{now}\n{self._scope}\n{digest}"
        signature = hmac.digest(self._key, text.encode(), "sha256").hex()
        credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{self._scope}"
        return (
            f"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-amz-json-1.0\r\n"
            f"X-Amz-Target: {target}\r\nX-Amz-Date: {now}\r\nAuthorization: AWS4-HMAC-SHA256 "
            f"Credential={credential}, SignedHeaders={names}, Signature={signature}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        ).encode()


def _settle(connection: Connection, head: bytes, body: bytes) -> None:
    if connection.answer is None:
        return
    if head.startswith(b"HTTP/1.1 200"):
        connection.answer.set_result(body)
    else:
        connection.answer.set_exception(RuntimeError(body[:200].decode("latin-1")))


class Producer:
    """Puts bodies into envelopes unread, and sends ten at a time."""

    def __init__(self) -> None:
        self._sqs = Aws("sqs", "AmazonSQS")
        self._queue_url = os.environ["QUEUE_URL"]
        self._waiting: deque[tuple[Connection, str, str]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_woken = False

    def on_request(self, connection: Connection, head: bytes, body: bytes) -> None:
        """Of a client."""
        if not head.startswith(b"POST"):
            connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        tenant = head.partition(b"tenantID: ")[2].partition(b"\r\n")[0].decode()
        message_id = str(uuid.UUID(bytes=os.urandom(16)))
        envelope = (
            f'{{"version":1,"message_id":"{message_id}","tenant_id":"{tenant}",'
            f'"accepted_at":"{_now()}",{body[1:].decode()}'
        )
        self._waiting.append((connection, message_id, envelope))
        if not self._is_woken:
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._is_woken = False
        while self._waiting and len(self._tasks) < _CALLS:
            batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
            task = asyncio.create_task(self._deliver(batch))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        task.result()
        self._send()

    async def _deliver(self, batch: list[tuple[Connection, str, str]]) -> None:
        entries = [{"Id": str(n), "MessageBody": body} for n, (_, _, body) in enumerate(batch)]
        await self._sqs.call("SendMessageBatch", {"QueueUrl": self._queue_url, "Entries": entries})
        for connection, message_id, _ in batch:
            body = f'{{"message_id":"{message_id}","status":"accepted"}}'
            connection.transport.write(
                f"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )


class Consumer:
    """Receives, inserts and deletes what came, ten at a time."""

    def __init__(self) -> None:
        self._sqs = Aws("sqs", "AmazonSQS")
        self._dynamodb = Aws("dynamodb", "DynamoDB_20120810")
        self._queue_url = os.environ["QUEUE_URL"]
        values = ", ".join(f"'{name}': ?" for name in _COLUMNS)
        self._statement = f'INSERT INTO "{os.environ["TABLE_NAME"]}" VALUE {{{values}}}'
        self._receive = {
            "QueueUrl": self._queue_url,
            "MaxNumberOfMessages": _BATCH,
            "WaitTimeSeconds": int(os.environ["WAIT_SECONDS"]),
        }

    async def poll(self) -> None:
        """Receive for ever."""
        while True:
            answer = await self._sqs.call("ReceiveMessage", self._receive)
            messages = answer.get("Messages", [])
            if not messages:
                continue
            statements = [self._insert(message["Body"]) for message in messages]
            await self._dynamodb.call("BatchExecuteStatement", {"Statements": statements})
            entries = [
                {"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]}
                for n, message in enumerate(messages)
            ]
            await self._sqs.call(
                "DeleteMessageBatch", {"QueueUrl": self._queue_url, "Entries": entries}
            )

    def _insert(self, body: str) -> dict[str, object]:
        envelope = orjson.loads(body)
        payload = orjson.dumps(envelope["payload"])
        return {
            "Statement": self._statement,
            "Parameters": [
                {"S": envelope["tenant_id"]},
                {"S": envelope["message_id"]},
                {"S": envelope["type"]},
                {"S": payload.decode()},
                {"S": hashlib.sha256(payload).hexdigest()},
                {"S": envelope["accepted_at"]},
                {"S": _now()},
                {"N": "1"},
            ],
        }


def _now() -> str:
    return datetime.now(UTC).isoformat()


async def _run(part: str, port: int) -> None:
    producer = Producer() if part == "producer" else None
    on_request = producer.on_request if producer else _ok
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(on_request), _HOST, port, backlog=1_024
    )
    async with server:
        if producer is None:
            consumer = Consumer()
            await asyncio.gather(*(consumer.poll() for _ in range(_POLLS)))
        await server.serve_forever()


def _ok(connection: Connection, _head: bytes, _body: bytes) -> None:
    connection.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(sys.argv[1], int(sys.argv[2])))
