"""Messages a second of one process and of two: producers alone, then consumers alone."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from tenantry.contract import now
from tenantry_benchmarks import others
from tenantry_benchmarks.rig import TENANTS, Rig, rig_up
from tenantry_benchmarks.run import ENGINE_NAMES, Run
from tenantry_benchmarks.starting import FASTEST
from tenantry_benchmarks.subjects import GOOD, OURS, PAIRS, PLAIN, Subject
from tenantry_benchmarks.table import Table
from tenantry_benchmarks.traffic import LoadGenerator, payload
from tenantry_local.model import CONSUMER, PRODUCER, LaptopError

KEY: Final = "throughput"
TITLE: Final = "Messages a second of one process, and of two"
UNIT: Final = "messages/s"

IN_FLIGHT: Final = 64
TOKENS: Final = 1_000
#: Messages of one round for each process: a second or two of work.
MESSAGES: Final = {
    OURS: 8_000,
    GOOD: 2_000,
    PLAIN: 400,
    others.SQS_CONSUMER: 3_000,
    others.TASKIQ: 600,
}
#: ministack takes a fraction of that.
_SLOW: Final = 4
_FILLERS: Final = 8
_LOOK_SECONDS: Final = 0.02
_FIRST_SECONDS: Final = 30.0


async def measure(run: Run) -> None:
    """The row, as far as it gets: on the stand-in, and on ministack."""
    table = run.table(KEY, TITLE, _how())
    for engine in ("standin", "embedded"):
        await _on(run, table, engine)


async def _on(run: Run, table: Table, engine: str) -> None:
    baselines = [name for name in run.baselines if name in PAIRS]
    async with (
        rig_up(baselines, engine=engine, workers=FASTEST) as rig,
        LoadGenerator.up() as second,
    ):
        table.missing.update(rig.missing)
        for subject in rig.subjects.values():
            for service in (PRODUCER, CONSUMER):
                await rig.starter.twin(subject, service)
            await subject.hold()
        for name in others.OTHERS if run.baselines else ():
            try:
                rig.subjects[name] = await others.start(rig, name)
            except LaptopError as error:
                table.missing[name] = str(error)
            else:
                await rig.subjects[name].hold()
        row = ThroughputRow(run, rig, table, engine, second)
        await run.in_turn(f"{KEY}: {engine}", table, rig.subjects, row.measure)


@dataclass(frozen=True, slots=True)
class ThroughputRow:
    """One engine's part of the row."""

    run: Run
    rig: Rig
    table: Table
    engine: str
    second: LoadGenerator

    async def measure(self, number: int, subject: Subject) -> None:
        """One round of a subject: one process, then two."""
        if number == 0:
            await self._warm(subject)
        for processes in (1, 2):
            if processes == 2 and CONSUMER not in subject.twins:  # noqa: PLR2004 - as it says
                continue
            messages = self._messages(subject) * processes
            if subject.producer_port:
                rate = await self._produce(subject, messages, processes)
                self._figure(subject, PRODUCER, processes, rate)
            else:
                await fill(self.rig, subject, messages)
            rate = await self._consume(subject, messages, processes)
            self._figure(subject, CONSUMER, processes, rate)

    def _figure(self, subject: Subject, service: str, processes: int, rate: float) -> None:
        engine = "stand-in" if self.engine == "standin" else "ministack"
        what = f"{service} × {processes}, {engine}"
        self.table.figure(subject.name, what, UNIT, is_rate=True).add(rate)

    def _messages(self, subject: Subject) -> int:
        slower = _SLOW if self.engine == "embedded" else 1
        return max(IN_FLIGHT, round(MESSAGES[subject.name] * self.run.scale / slower))

    async def _warm(self, subject: Subject) -> None:
        if subject.producer_port:
            await self._produce(subject, TOKENS if subject.name == OURS else 100, 2)
        else:
            await fill(self.rig, subject, 100)
        await subject.release(with_twin=True)
        await self.rig.drained(subject)
        await subject.hold()

    async def _produce(self, subject: Subject, messages: int, processes: int) -> float:
        """Messages a second that are accepted, the consumers held."""
        await subject.wait_held()
        job: dict[str, Any] = {"tokens": TOKENS, "in_flight": IN_FLIGHT}
        started = time.perf_counter()
        if processes == 1:
            await self.rig.post(subject, messages, **job)
        else:
            half = messages // 2
            port = subject.twins[PRODUCER].port
            await asyncio.gather(
                self.rig.post(subject, messages - half, **job),
                self.rig.post(subject, half, generator=self.second, port=port, **job),
            )
        return messages / (time.perf_counter() - started)

    async def _consume(self, subject: Subject, messages: int, processes: int) -> float:
        """Messages a second from the first one that is taken until the queue is empty."""
        await subject.wait_held()
        await self.rig.gate.take()
        await subject.release(with_twin=processes == 2)  # noqa: PLR2004 - as it says
        deadline = time.monotonic() + _FIRST_SECONDS
        waiting = messages
        while waiting >= messages and time.monotonic() < deadline:
            await asyncio.sleep(_LOOK_SECONDS)
            waiting, _ = await self.rig.depth(subject)
        left, started = waiting, time.perf_counter()
        await self.rig.drained(subject)
        rate = left / (time.perf_counter() - started)
        await subject.hold()
        if (stored := len(await self.rig.gate.take())) != messages:
            msg = f"{subject.name} stored {stored} of {messages} messages"
            raise LaptopError(msg)
        return rate


async def fill(rig: Rig, subject: Subject, messages: int) -> None:
    """Put messages on the queue of a consumer that has no producer."""
    await subject.wait_held()
    numbers = iter(range(0, messages, 10))

    async def send() -> None:
        for first in numbers:
            count = min(10, messages - first)
            bodies = [others.wrapped(subject.name, envelope(first + n)) for n in range(count)]
            await _send(rig, subject, bodies)

    await asyncio.gather(*(send() for _ in range(_FILLERS)))


async def _send(rig: Rig, subject: Subject, bodies: Sequence[str]) -> None:
    await rig.laptop.engine.sqs.send_message_batch(
        QueueUrl=subject.resources.queue_url,
        Entries=[{"Id": str(n), "MessageBody": body} for n, body in enumerate(bodies)],
    )


def envelope(number: int) -> str:
    """A message as the pairs send it."""
    return json.dumps(
        {
            "version": 1,
            "message_id": str(uuid.uuid4()),
            "tenant_id": TENANTS[number % len(TENANTS)],
            "type": "order.placed",
            "payload": payload(),
            "accepted_at": now(),
        }
    )


def _how() -> str:
    return (
        f"Producers with {IN_FLIGHT} requests in flight to each process and the consumers held; "
        "then consumers, from the first message that is taken until the queue is empty. "
        "Everything is on this machine: two processes, the engine and the load generators share "
        "its cores, so that two processes show what is left of them and not twice one. "
        "sqs-consumer (Node) and taskiq-aio-sqs are consumers alone, in environments of their "
        f"own. Engines: {ENGINE_NAMES['standin']}; {ENGINE_NAMES['embedded']}."
    )
