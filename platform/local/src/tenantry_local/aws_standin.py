"""Stand-in for AWS's endpoint on the loopback address: SQS and DynamoDB over HTTP, fast.

    python -m tenantry_local.aws_standin --port 4566

It is there for measurements of which the engine must not be the bottleneck, and as a model of a
fair queue. Everything is in memory and in one thread, and gone when the process ends.

It honours SQS's JSON protocol and DynamoDB's JSON 1.0 (`sqs_api_standin`, `dynamodb_api_standin`
say what of them), errors with the header `x-amzn-query-error`, connections that are kept, and
requests that come before the last one was answered. It does not look at signatures, and knows
no other service, no other protocol and no TLS.

`GET /_standin/health` answers 200. `GET /_standin/queues` tells of each queue what CloudWatch
would: counts, age of the oldest message, noisy groups, and both of the quiet groups alone.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import httptools
import orjson

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.dynamodb_api_standin import DynamoDb
from tenantry_local.engine import ENGINE_NAMES
from tenantry_local.model import HOST
from tenantry_local.sqs_api_standin import Sqs
from tenantry_local.sqs_queues_standin import Hosted, Poll

_BODY_MOST_BYTES: Final = 32 * 1_048_576
_SQS: Final = "AmazonSQS."
_DYNAMODB: Final = "DynamoDB_20120810."
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 413: "Payload Too Large"}
_HEAD: Final = (
    b"HTTP/1.1 %d %s\r\nContent-Type: application/x-amz-json-1.0\r\n"
    b"x-amzn-RequestId: 00000000-0000-4000-8000-%012x\r\nContent-Length: %d\r\n%s\r\n"
)

Operation = Callable[[Mapping[str, Any]], Any]


class Endpoint:
    """Every operation by its target, and what each request is answered."""

    def __init__(self, url: str, loop: asyncio.AbstractEventLoop) -> None:
        self.sqs = Sqs(url, clock=loop.time, wall_clock=time.time, call_at=loop.call_at)
        self.dynamodb = DynamoDb(wall_clock=time.time)
        self._clock = loop.time
        self._operations: dict[bytes, Operation] = {
            f"{prefix}{name}".encode(): operation
            for prefix, operations in (
                (_SQS, self.sqs.operations),
                (_DYNAMODB, self.dynamodb.operations),
            )
            for name, operation in operations.items()
        }

    def call(self, target: bytes, body: bytes) -> Any:
        """Do an operation: its answer, or a poll that waits for one.

        Raises:
            AwsError: It is refused.
        """
        operation = self._operations.get(target)
        if operation is None:
            name = target.decode("latin-1") or "no operation in a JSON protocol's X-Amz-Target"
            raise AwsError(
                "UnknownOperationException",
                f"This stand-in of SQS and DynamoDB does not do this: {name}.",
            )
        self.dynamodb.request_bytes = len(body)
        try:
            request = orjson.loads(body or b"{}")
        except orjson.JSONDecodeError as error:
            raise AwsError("SerializationException", str(error)) from None
        if not isinstance(request, dict):
            raise AwsError("SerializationException", "The request is not an object.")
        return operation(request)

    def look(self, path: str) -> Any:
        """What a page of the stand-in's own says; None: there is no such page."""
        if path == "/_standin/health":
            return {"engine": ENGINE_NAMES["standin"]}
        if path == "/_standin/queues":
            return {queue.name: self._seen(queue) for queue in self.sqs.queues.all()}
        return None

    def _seen(self, queue: Hosted) -> dict[str, Any]:
        return queue.state.seen(self._clock())


class Connection(asyncio.Protocol):
    """One client. Requests are answered in their order, one after another."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._parser: Any = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self._target = b""
        self._parts: list[bytes] = []
        self._bytes = 0
        self._is_waiting = False
        self._later: deque[tuple[bytes, bytes, bytes, bool]] = deque()
        self._answered = 0

    # Of the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        self._transport = None
        self._parser = None  # it holds this connection, which holds it

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    # Of the parser

    def on_url(self, url: bytes) -> None:
        """Part of a request's line."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        if len(name) == 12 and name.lower() == b"x-amz-target":  # noqa: PLR2004 - its length
            self._target = value

    def on_body(self, body: bytes) -> None:
        """Part of a request's body."""
        self._bytes += len(body)
        if self._bytes > _BODY_MOST_BYTES and self._transport is not None:
            self._transport.abort()
        self._parts.append(body)

    def on_message_complete(self) -> None:
        """A request is there."""
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        request = self._url, self._target, body, self._parser.should_keep_alive()
        self._url = self._target = b""
        self._parts = []
        self._bytes = 0
        if self._is_waiting:
            self._later.append(request)
        else:
            self._begin(*request)

    # Answering

    def _begin(self, url: bytes, target: bytes, body: bytes, keep: bool) -> None:  # noqa: FBT001 - a request's parts
        if target == b"" and url.startswith(b"/_standin/"):
            page = self._endpoint.look(url.decode("latin-1"))
            self._write(200 if page is not None else 404, orjson.dumps(page), b"", keep)
            return
        try:
            answer = self._endpoint.call(target, body)
        except AwsError as error:
            self._refuse(target, error, keep)
            return
        except Exception:  # noqa: BLE001 - a bug of the stand-in's: shown, and the others go on
            traceback.print_exc()
            self._refuse(target, AwsError("InternalFailure", "see its log", status=500), keep)
            return
        if isinstance(answer, Poll):
            self._is_waiting = True
            answer.answer = lambda found: self._end(target, found, keep)
            return
        self._write(200, orjson.dumps(answer), b"", keep)

    def _end(self, target: bytes, answer: Any, keep: bool) -> None:  # noqa: FBT001 - as above
        """A poll is answered; what came meanwhile has its turn."""
        self._is_waiting = False
        if isinstance(answer, AwsError):
            self._refuse(target, answer, keep)
        else:
            self._write(200, orjson.dumps(answer), b"", keep)
        while self._later and not self._is_waiting:
            self._begin(*self._later.popleft())

    def _refuse(self, target: bytes, error: AwsError, keep: bool) -> None:  # noqa: FBT001 - as above
        if target.startswith(b"DynamoDB"):
            coral = error.kind in {"ValidationException", "SerializationException"}
            space = "com.amazon.coral.validate" if coral else "com.amazonaws.dynamodb.v20120810"
            extra = b""
        else:
            space = "com.amazonaws.sqs"
            fault = b"Receiver" if error.status >= 500 else b"Sender"  # noqa: PLR2004 - HTTP's
            extra = b"x-amzn-query-error: %s;%s\r\n" % (error.code.encode(), fault)
        body = {"__type": f"{space}#{error.kind}", "message": error.message, **error.fields}
        self._write(error.status, orjson.dumps(body), extra, keep)

    def _write(self, status: int, body: bytes, extra: bytes, keep: bool) -> None:  # noqa: FBT001 - as above
        transport = self._transport
        if transport is None:
            return
        self._answered += 1
        if not keep:
            extra += b"Connection: close\r\n"
        reason = _REASONS.get(status, "Error").encode()
        head = _HEAD % (status, reason, self._answered, len(body), extra)
        transport.write(head + body)
        if not keep:
            transport.close()


async def serve(port: int) -> None:
    """Serve for ever."""
    loop = asyncio.get_running_loop()
    endpoint = Endpoint(f"http://{HOST}:{port}", loop)
    server = await loop.create_server(lambda: Connection(endpoint), HOST, port, backlog=1_024)
    await server.serve_forever()


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes: SIGTERM ends it as it ends any program, at once."""
    parser = argparse.ArgumentParser(
        prog="python -m tenantry_local.aws_standin", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--port", type=int, required=True, help=f"on {HOST}")
    port = parser.parse_args(arguments).port
    with contextlib.suppress(KeyboardInterrupt):
        try:
            with asyncio.Runner(loop_factory=_loop_factory()) as runner:
                runner.run(serve(port))
        except OSError as error:
            sys.exit(f"cannot listen on {HOST}:{port}: {error.strerror}")


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


if __name__ == "__main__":
    # Nothing here is left in cycles, and looking for them through a million messages takes long.
    gc.disable()
    main()
