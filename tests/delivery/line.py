"""A way to a server that breaks off, as a network does."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Generator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Final

_AT_ONCE: Final = 65_536
#: Closed by a reset, and not by a goodbye.
_RESET: Final = struct.pack("ii", 1, 0)


class Line(ThreadingTCPServer):
    """Passes on what it gets, until it has passed on enough.

    Attributes:
        sent: Bytes that went to the server.
        limit: After how many of them every connection is reset, and each new one; None for never.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.sent = 0
        self.limit: int | None = None
        self._port = port
        self._lock = threading.Lock()

    def there(self) -> socket.socket:
        """A connection to the server itself."""
        return socket.create_connection(("127.0.0.1", self._port))

    def may_pass(self, size: int) -> bool:
        """Whether so many bytes more may go to the server; they are counted if they may."""
        with self._lock:
            if self.limit is not None and self.sent + size > self.limit:
                self.limit = self.sent  # nothing smaller gets through afterwards
                return False
            self.sent += size
            return True


class _Passing(BaseRequestHandler):
    server: Line
    request: socket.socket

    def handle(self) -> None:
        with contextlib.suppress(OSError), self.server.there() as there:
            self._pass(there)

    def _pass(self, there: socket.socket) -> None:
        other = {self.request: there, there: self.request}
        with selectors.DefaultSelector() as ready:
            for end in other:
                ready.register(end, selectors.EVENT_READ)
            while True:
                for key, _ in ready.select():
                    end = self.request if key.fileobj is self.request else there
                    data = end.recv(_AT_ONCE)
                    if not data:
                        return
                    if end is self.request and not self.server.may_pass(len(data)):
                        for each in other:
                            each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                        return
                    other[end].sendall(data)

    def finish(self) -> None:
        # `shutdown_request` would say goodbye before it closes.
        self.request.close()


@contextmanager
def opened(port: int) -> Generator[Line]:
    """A line to a server on this machine."""
    with Line(port) as line:
        thread = threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield line
        finally:
            line.shutdown()
            thread.join()
