"""HTTP servers that start inside somebody else's loop, and end when they are told to."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from typing import TypeVar

import structlog
import uvicorn
from starlette.types import ASGIApp

from tenantry.protocol import HttpProtocol
from tenantry.settings import ServiceSettings, load
from tenantry.telemetry import configure_logs

log = structlog.get_logger()

#: Longer than a load balancer keeps its side open (an ALB: 60 s), so that it closes first.
KEEP_ALIVE_SECONDS = 75
#: Connections waiting to be accepted.
BACKLOG = 1_024
#: New objects that are left over before the collector of garbage looks at them (Python's: 700).
GARBAGE_THRESHOLD = 20_000


SettingsT = TypeVar("SettingsT", bound=ServiceSettings)


def main(
    service: str,
    settings_class: type[SettingsT],
    run: Callable[[SettingsT], Coroutine[object, object, None]],
) -> None:
    """Read the settings, set up logs, and run a service until it is told to stop."""
    settings = load(settings_class)
    configure_logs(
        level=settings.log_level,
        service=service,
        environment=settings.environment,
        instance=settings.instance,
        version=settings.version,
    )
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        try:
            runner.run(run(settings))
        except Exception as error:
            # As every other line, and without what Python's own traceback would quote.
            log.critical("process.failed", exc_info=error)
            raise SystemExit(1) from None


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - it is not there on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals are the process's to handle: uvicorn would stop before the drain."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        SystemExit: 2, after one line on standard error.
    """
    try:
        return socket.create_server((host, port), backlog=BACKLOG, reuse_port=False)
    except OSError as error:
        sys.stderr.write(f"cannot listen on {host}:{port}: {error.strerror}\n")
        raise SystemExit(2) from None


@asynccontextmanager
async def serving(
    app: ASGIApp, sock: socket.socket, *, name: str, drain_seconds: float
) -> AsyncGenerator[None, None]:
    """Serve until the block ends; then finish the requests in hand, `drain_seconds` at most."""
    config = uvicorn.Config(
        app,
        http=HttpProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, round(drain_seconds)),
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]), name=name)
    while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn has no event
        await asyncio.sleep(0.005)
    host, port = sock.getsockname()[:2]
    log.info("server.started", server=name, host=host, port=port)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@contextlib.contextmanager
def stop_signals() -> Generator[asyncio.Event, None, None]:
    """An event that SIGTERM or SIGINT sets. A second signal ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set():
            log.warning("process.aborted", signal=number.name)
            raise SystemExit(128 + number)
        log.info("process.stopping", signal=number.name)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield stop
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def settle_memory() -> None:
    """What start-up made stays: the collector of garbage need not look at it ever again."""
    gc.collect()
    gc.freeze()
    # Requests and messages make no cycles; going through those in hand all the time costs much.
    gc.set_threshold(GARBAGE_THRESHOLD, *gc.get_threshold()[1:])


async def wait_for_load_balancer(seconds: float) -> None:
    """Go on serving while load balancers still send: they learn of a stop with a lag."""
    if seconds:
        log.info("process.lingering", seconds=seconds)
        await asyncio.sleep(seconds)
