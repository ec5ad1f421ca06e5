"""The load generator against servers that it must not flatter."""

from __future__ import annotations

import asyncio
import json
import stat
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path

import jwt

from tenantry_benchmarks import load_generator
from tenantry_benchmarks.load_generator import Job, Result, load_requests, save_requests
from tenantry_benchmarks.traffic import PAYLOAD_BYTES, payload, request, write_requests
from tenantry_local.issuer import Issuer

MESSAGE_ID = "01a20413-0c90-772e-9dbe-d5f07c6813b0"


@asynccontextmanager
async def server(
    *, status: int = 202, closes: bool = False, stalls: float = 0
) -> AsyncGenerator[tuple[int, list[bytes]], None]:
    """Answers each request; `stalls` holds all of them up once, for so many seconds."""
    seen: list[bytes] = []
    ready = asyncio.Event()
    ready.set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                seen.append(await reader.readexactly(length))
                if stalls and len(seen) == 1:
                    ready.clear()
                    asyncio.get_running_loop().call_later(stalls, ready.set)
                await ready.wait()
                body = json.dumps({"message_id": MESSAGE_ID}).encode()
                close = b"Connection: close\r\n" if closes else b""
                writer.write(
                    b"HTTP/1.1 %d X\r\n%sContent-Length: %d\r\n\r\n" % (status, close, len(body))
                )
                await asyncio.sleep(0)  # head and body apart, as some servers send them
                writer.write(body)
                if closes:
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


async def sent(port: int, messages: int, **job: object) -> Result:
    requests = [request("/messages", {}, f"{n}".encode()) for n in range(3)]
    whole = Job("127.0.0.1", port, "", messages, **job)  # type: ignore[arg-type]
    return await load_generator._Run(whole, cycle(requests)).run()


async def test_a_closed_loop_sends_all_in_turn_and_counts_the_answers() -> None:
    """Each request again and again, on as many connections as asked for."""
    async with server() as (port, seen):
        result = await sent(port, 100, in_flight=8)

    assert {202: 100} == result.statuses
    assert 100 == len(result.latencies) == len(seen)
    assert {b"0", b"1", b"2"} == set(seen)
    assert result.accepted == {}


async def test_a_server_that_closes_each_connection_is_no_failure() -> None:
    """Gunicorn's own worker does."""
    async with server(closes=True) as (port, _):
        result = await sent(port, 30, in_flight=4)

    assert {202: 30} == result.statuses


async def test_refusals_are_counted_by_status() -> None:
    """They are not hidden among the answers."""
    async with server(status=429) as (port, _):
        result = await sent(port, 5, in_flight=1)

    assert {429: 5} == result.statuses


async def test_a_host_that_is_down_is_counted() -> None:
    """As answers that never came, in a closed loop and in an open one."""
    closed = await sent(1, 3, in_flight=1)
    opened = await sent(1, 3, in_flight=2, due_seconds=(0.0, 0.01, 0.02))

    assert {0: 3} == closed.statuses == opened.statuses


async def test_an_open_loop_counts_what_waits_for_a_server_that_stalls() -> None:
    """Every request that was due in the pause is as late as the pause was long for it.

    A closed loop would have sent one, and called the server fast.
    """
    due = tuple(n * 0.01 for n in range(30))
    async with server(stalls=0.25) as (port, _):
        result = await sent(port, 30, in_flight=30, due_seconds=due, keep_ids=True)

    late = [seconds for seconds in result.latencies if seconds > 0.04]
    assert {202: 30} == result.statuses
    assert len(late) >= 15
    assert [MESSAGE_ID] == list(result.accepted)


def test_the_payload_is_as_large_as_it_is_said_to_be() -> None:
    """As compact JSON."""
    text = json.dumps(payload(), separators=(",", ":"), ensure_ascii=False)

    assert PAYLOAD_BYTES == len(text.encode()) == 600


def test_tokens_are_distinct_and_for_their_owner_only(tmp_path: Path) -> None:
    """Each tenant's in turn; nobody else may read the file."""
    issuer = Issuer.create(tmp_path)

    path = write_requests(tmp_path, ["acme", "globex"], 4)

    requests = load_requests(path)
    tokens = [one.partition(b"Bearer ")[2].partition(b"\r\n")[0] for one in requests]
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    assert 4 == len(set(tokens))
    assert ["acme", "globex", "acme", "globex"] == [claim["tenant_id"] for claim in claims]
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert issuer.jwks.exists()


def test_requests_are_read_as_they_were_written(tmp_path: Path) -> None:
    """Also those with line ends in them."""
    requests = [b"POST / HTTP/1.1\r\n\r\n", b"a\nb", b""]
    save_requests(tmp_path / "requests", requests)

    assert requests == load_requests(tmp_path / "requests")


async def test_a_request_that_leaves_late_is_timed_from_when_it_was_due() -> None:
    """The generator's own delay is nobody's speed."""
    due = tuple(0.05 + n * 0.01 for n in range(20))
    async with server() as (port, _):
        # Nothing leaves and nothing is answered meanwhile.
        asyncio.get_running_loop().call_later(0.06, time.sleep, 0.25)
        result = await sent(port, 20, in_flight=4, due_seconds=due)

    assert max(result.latencies) > 0.2
    assert len([seconds for seconds in result.latencies if seconds > 0.05]) >= 12
