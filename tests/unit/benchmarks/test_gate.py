"""The gate: what a closed door holds back, and when a message counts as stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tenantry_benchmarks.gate_process import Gate

HELD = "01a20413-0c90-772e-9dbe-d5f07c6813b0"
IN_A_HEAD = "11111111-2222-4333-8444-555555555555"


@asynccontextmanager
async def engine(
    *, status: int = 200, delay_seconds: float = 0
) -> AsyncGenerator[tuple[Gate, list[bytes]], None]:
    """A gate before an engine that answers every call alike; the calls it saw."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.partition(b"Content-Length: ")[2].partition(b"\r")[0])
                seen.append(await reader.readexactly(length))
                body = b'{"of":"the engine"}'
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
                writer.write(body)
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        gate = Gate(server.sockets[0].getsockname()[1], delay_seconds)
        try:
            yield gate, seen
        finally:
            gate.close()
            async with asyncio.timeout(5):
                # Connections end in the loop's next turns.
                while any(door.clients for door in gate._doors.values()):  # noqa: ASYNC110
                    await asyncio.sleep(0)


class Caller:
    """A consumer's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    @asynccontextmanager
    async def through(cls, port: str) -> AsyncGenerator[Caller, None]:
        caller = cls(*await asyncio.open_connection("127.0.0.1", int(port)))
        try:
            yield caller
        finally:
            caller.writer.close()
            await caller.writer.wait_closed()

    async def call(self, target: str, body: bytes = b"{}") -> bytes:
        head = (
            f"POST / HTTP/1.1\r\nX-Amz-Target: {target}\r\namz-sdk-invocation-id: {IN_A_HEAD}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        # In two parts, as botocore sends a call.
        self.writer.write(head.encode())
        await self.writer.drain()
        await asyncio.sleep(0)
        self.writer.write(body)
        answer = await self.reader.readuntil(b"\r\n\r\n")
        length = int(answer.partition(b"Content-Length: ")[2].partition(b"\r")[0])
        return await self.reader.readexactly(length)


POLL = "AmazonSQS.ReceiveMessage"


async def test_an_open_door_lets_everything_through() -> None:
    """The engine's own answers come back."""
    async with engine() as (gate, seen), Caller.through(await gate.told("door")) as caller:
        assert b'{"of":"the engine"}' == await caller.call(POLL, b'{"poll":1}')
        assert [b'{"poll":1}'] == seen


async def test_a_closed_door_answers_polls_itself_and_lets_the_rest_through() -> None:
    """The engine never sees the poll, so that it hands no message out."""
    async with engine() as (gate, seen):
        port = await gate.told("door")
        async with Caller.through(port) as caller:
            await gate.told(f"close {port}")

            assert b"{}" == await caller.call(POLL)
            assert [] == seen
            assert b'{"of":"the engine"}' == await caller.call("AmazonSQS.DeleteMessageBatch")


async def test_a_door_that_opens_ends_the_polls_that_it_holds() -> None:
    """At once, and not after their second."""
    async with engine() as (gate, _):
        port = await gate.told("door")
        async with Caller.through(port) as caller:
            await gate.told(f"close {port}")
            started = time.monotonic()
            poll = asyncio.create_task(caller.call(POLL))
            async with asyncio.timeout(5):
                while not gate._doors[port]._held:  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0)

            await gate.told(f"open {port}")

            assert b"{}" == await poll
            assert time.monotonic() - started < 0.8
            assert b'{"of":"the engine"}' == await caller.call(POLL)


async def test_doors_are_closed_one_by_one() -> None:
    """Another consumer's polls pass."""
    async with engine() as (gate, _):
        closed, other = await gate.told("door"), await gate.told("door")
        await gate.told(f"close {closed}")
        async with Caller.through(other) as caller:
            assert b'{"of":"the engine"}' == await caller.call(POLL)


async def test_a_message_is_stored_when_its_write_is_answered() -> None:
    """By its id in the body of a write; ids of calls, in heads, are no messages."""
    async with engine() as (gate, _), Caller.through(await gate.told("door")) as caller:
        body = json.dumps({"Statements": [{"Parameters": [{"S": HELD}]}]}).encode()
        before = time.time()
        await caller.call("DynamoDB_20120810.BatchExecuteStatement", body)

        [(found, at)] = json.loads(await gate.told("take")).items()

        assert HELD == found
        assert before <= at <= time.time()
        assert {} == json.loads(await gate.told("take"))


async def test_what_the_engine_refuses_or_only_reads_is_not_stored() -> None:
    """Nor what is sent to a queue."""
    body = json.dumps({"id": HELD}).encode()
    async with engine(status=400) as (gate, _), Caller.through(await gate.told("door")) as caller:
        await caller.call("DynamoDB_20120810.PutItem", body)
        assert {} == json.loads(await gate.told("take"))
    async with engine() as (gate, _), Caller.through(await gate.told("door")) as caller:
        await caller.call("DynamoDB_20120810.GetItem", body)
        await caller.call("AmazonSQS.SendMessageBatch", body)
        assert {} == json.loads(await gate.told("take"))


async def test_calls_are_held_up_as_long_as_asked_for() -> None:
    """For an engine that is nearer than AWS."""
    held_up = engine(delay_seconds=0.05)
    async with held_up as (gate, _), Caller.through(await gate.told("door")) as caller:
        started = time.monotonic()

        await caller.call("AmazonSQS.DeleteMessageBatch")

        assert time.monotonic() - started >= 0.05
