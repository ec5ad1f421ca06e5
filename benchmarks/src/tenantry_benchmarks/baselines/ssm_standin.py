"""Answers SSM's GetParameter with one value, for an engine that has no SSM.

It stands in for the service and does nothing of what SSM does, so that the plain pair's look-up
costs what its client costs and no more. Prints its port.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Final

_HOST: Final = "127.0.0.1"
_END: Final = b"\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server's is one
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(_END)) >= 0:
            head = self._buffer[:end].lower()
            _, _, rest = head.partition(b"content-length:")
            total = end + len(_END) + int(rest.partition(b"\r\n")[0] or b"0")
            if len(self._buffer) < total:
                return
            self._buffer = self._buffer[total:]
            if self._transport is not None:
                self._transport.write(self._answer)


async def _serve(value: str) -> None:
    body = json.dumps({"Parameter": {"Name": "queue", "Type": "String", "Value": value}}).encode()
    answer = (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    server = await asyncio.get_running_loop().create_server(
        lambda: _Connection(answer), _HOST, int(sys.argv[1])
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[2]))
