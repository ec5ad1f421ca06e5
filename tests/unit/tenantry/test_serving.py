"""Servers inside our loop: they start, finish what they have, and end when told to."""

from __future__ import annotations

import asyncio
import os
import signal
import socket

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from fakes.waiting import until
from tenantry.serving import bind, serving, stop_signals


class Gate:
    """A route that answers when it is let."""

    def __init__(self) -> None:
        self.inside = 0
        self.open = asyncio.Event()
        self.app = Starlette(routes=[Route("/", self.answer)])

    async def answer(self, _: Request) -> Response:
        self.inside += 1
        await self.open.wait()
        return PlainTextResponse("done")


@pytest.fixture
def gate() -> Gate:
    """The application under test."""
    return Gate()


async def get(port: int) -> bytes:
    """The answer to one request on a connection of its own; empty if it was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


def test_a_free_port_is_taken() -> None:
    """Port 0 listens on one that nobody has."""
    with bind("127.0.0.1", 0) as one, bind("127.0.0.1", 0) as other:
        assert one.getsockname()[1] != other.getsockname()[1] != 0


def test_a_port_that_is_taken_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line names address and port, and there is no traceback."""
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as caught:
            bind("127.0.0.1", port)

    assert caught.value.code == 2
    written = capsys.readouterr().err
    assert written.startswith(f"cannot listen on 127.0.0.1:{port}: Address already in use")
    assert written.count("\n") == 1


def test_an_address_that_is_none_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An address of another machine, or no address at all."""
    for host in ("192.0.2.1", "no such host"):
        with pytest.raises(SystemExit) as caught:
            bind(host, 0)
        written = capsys.readouterr().err
        assert caught.value.code == 2
        assert written.startswith(f"cannot listen on {host}:0: ")
        assert written.count("\n") == 1


async def test_it_serves_within_the_block(gate: Gate) -> None:
    """Ready when the block begins, with no header that says what serves; closed after it."""
    gate.open.set()
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    async with serving(gate.app, sock, name="test", drain_seconds=1):
        answer = await get(port)

    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.endswith(b"done")
    assert b"server:" not in answer.lower()
    with pytest.raises(ConnectionRefusedError):
        await get(port)


async def test_requests_in_hand_are_finished(gate: Gate) -> None:
    """The block's end waits for them."""
    sock = bind("127.0.0.1", 0)
    async with serving(gate.app, sock, name="test", drain_seconds=5):
        asking = asyncio.create_task(get(sock.getsockname()[1]))
        await until(lambda: gate.inside == 1)
        asyncio.get_running_loop().call_later(0.05, gate.open.set)

    assert (await asking).endswith(b"done")


async def test_a_request_that_never_ends_is_given_up(gate: Gate) -> None:
    """No longer than the drain takes."""
    sock = bind("127.0.0.1", 0)
    started = asyncio.get_running_loop().time()
    async with serving(gate.app, sock, name="test", drain_seconds=0.1):
        asking = asyncio.create_task(get(sock.getsockname()[1]))
        await until(lambda: gate.inside == 1)
    took = asyncio.get_running_loop().time() - started

    assert not (await asking).endswith(b"done")
    assert 0.5 < took < 4


async def test_an_error_inside_the_block_still_ends_the_server(gate: Gate) -> None:
    """The error goes on, and the port is free."""
    sock = bind("127.0.0.1", 0)
    port = sock.getsockname()[1]
    with pytest.raises(ValueError, match="mine"):
        async with serving(gate.app, sock, name="test", drain_seconds=1):
            raise ValueError("mine")

    socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_asks_to_stop(number: signal.Signals) -> None:
    """It sets the event and ends nothing by itself; afterwards signals are the process's own."""
    before = signal.getsignal(number)
    with stop_signals() as stop:
        assert not stop.is_set()
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stop.wait(), 5)
    signal.signal(number, before)


def test_a_second_signal_ends_the_process_at_once() -> None:
    """Exit 128 + number, as shells know it."""

    async def main() -> None:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 5)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()

    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)

    assert caught.value.code == 128 + signal.SIGTERM
