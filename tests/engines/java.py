"""Runs one Java server for the time of a test session: free port, bounded memory, log kept."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

#: Names the folder that `make test-engines` filled, one folder of jars for each engine.
JARS_VARIABLE: Final = "TENANTRY_JARS"

#: A cold JVM on a busy machine of two cores.
READY_SECONDS: Final = 60.0
STOP_SECONDS: Final = 10.0

#: Heap and the rest of each JVM, so that both fit beside the tests in 1 GB.
_MEMORY: Final = ("-Xmx256m", "-XX:MaxMetaspaceSize=128m", "-XX:+UseSerialGC")
_LOG_TAIL: Final = 20


class EngineNotReadyError(Exception):
    """The server ended, or did not answer in time. The text holds the end of its log."""


def jars(engine: str) -> Path:
    """The folder of one engine's jars.

    Raises:
        EngineNotReadyError: `make test-engines` has not filled it.
    """
    folder = Path(os.environ.get(JARS_VARIABLE, "")) / engine
    if JARS_VARIABLE not in os.environ or not any(folder.glob("*.jar")):
        text = f"no jars of {engine}: run `make test-engines`, which sets {JARS_VARIABLE}"
        raise EngineNotReadyError(text)
    return folder


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def java_server(
    main: Sequence[str],
    classpath: Path,
    port: int,
    folder: Path,
    options: Sequence[str] = (),
) -> Generator[str]:
    """Run a server until the block ends.

    Args:
        main: The main class and its arguments.
        classpath: A folder of jars.
        port: Where it will listen.
        folder: Its working directory; its log, `server.log`, stays there.
        options: Further options of the JVM.

    Yields:
        Its address.

    Raises:
        EngineNotReadyError: It did not answer within `READY_SECONDS`.
    """
    url = f"http://127.0.0.1:{port}"
    log = folder / "server.log"
    command = ["java", *_MEMORY, *options, "-cp", str(classpath / "*"), *main]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_until_it_answers(port, process, log)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_answers(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse()  # any status will do: neither serves a page there
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise EngineNotReadyError(_told("did not answer in time", log)) from None
            time.sleep(0.1)
        else:
            return
        finally:
            connection.close()
    raise EngineNotReadyError(_told("ended at once", log))


def _told(what: str, log: Path) -> str:
    tail = log.read_text(errors="replace").splitlines()[-_LOG_TAIL:]
    return "\n".join([f"the server {what}; the end of {log}:", *tail])
