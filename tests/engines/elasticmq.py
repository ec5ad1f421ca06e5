"""ElasticMQ: a second opinion on SQS, written by others than the embedded engine. In memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from engines.java import free_port, jars, java_server

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

# Queue URLs must carry the port, which is known only now. Limits are SQS's own.
_CONFIGURATION: Final = """\
include classpath("application.conf")
node-address {{ protocol = http, host = "127.0.0.1", port = {port}, context-path = "" }}
rest-sqs {{ enabled = true, bind-hostname = "127.0.0.1", bind-port = {port}, sqs-limits = strict }}
rest-stats {{ enabled = false }}
queues-storage {{ enabled = false }}
messages-storage {{ enabled = false }}
"""


@contextmanager
def elasticmq(folder: Path) -> Generator[str]:
    """Run it until the block ends; `folder` keeps its configuration and its log.

    Yields:
        Its endpoint.

    Raises:
        EngineNotReadyError: It has not been fetched, or does not start.
    """
    library, port = jars("elasticmq"), free_port()
    configuration = folder / "elasticmq.conf"
    configuration.write_text(_CONFIGURATION.format(port=port))
    options = (f"-Dconfig.file={configuration}",)
    with java_server(("org.elasticmq.server.Main",), library, port, folder, options) as url:
        yield url
