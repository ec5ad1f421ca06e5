"""DynamoDB Local: AWS's own, the judge of what DynamoDB takes and refuses. In memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engines.java import free_port, jars, java_server

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

_MAIN: Final = "com.amazonaws.services.dynamodbv2.local.main.ServerRunner"


@contextmanager
def dynamodb_local(folder: Path) -> Generator[str]:
    """Run it until the block ends; `folder` keeps its log.

    `-sharedDb`: one set of tables, whatever access key and region a client names.
    It listens on every address and has no option for another, so the port is a free one.

    Yields:
        Its endpoint.

    Raises:
        EngineNotReadyError: It has not been fetched, or does not start.
    """
    library, port = jars("dynamodb-local"), free_port()
    main = (_MAIN, "-inMemory", "-sharedDb", "-disableTelemetry", "-port", str(port))
    # SQLite's native library lies among the jars.
    options = (f"-Djava.library.path={library}",)
    with java_server(main, library, port, folder, options) as url:
        yield url
