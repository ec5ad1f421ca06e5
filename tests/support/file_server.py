"""Files over HTTP: what a source's artifact, or an identity provider's keys, are fetched from."""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

HOST: Final = "127.0.0.1"
#: Seconds until a server sees that it is to end.
_POLL: Final = 0.02


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        pass


@contextmanager
def served(folder: Path, host: str = HOST) -> Generator[str]:
    """The address of a folder's files, until the block ends."""
    handler = functools.partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer((host, 0), handler) as server:
        thread = Thread(target=server.serve_forever, args=(_POLL,), name="files")
        thread.start()
        try:
            yield f"http://{host}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
