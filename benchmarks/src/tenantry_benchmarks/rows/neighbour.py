"""Quiet tenants' p99 beside a noisy one: ours, and the same services without what is fair."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tenantry_benchmarks.figures import percentile
from tenantry_benchmarks.load_generator import Result
from tenantry_benchmarks.rig import TENANTS, Rig, rig_up
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.schedule import arrivals
from tenantry_benchmarks.subjects import OURS
from tenantry_benchmarks.table import Table, Verdict
from tenantry_benchmarks.traffic import LoadGenerator
from tenantry_local.model import CONSUMER, PRODUCER, LaptopError

KEY: Final = "neighbour"
TITLE: Final = "Quiet tenants' p99 beside a noisy one"
UNIT: Final = "ms"

WITHOUT: Final = "without"
NOISY: Final = TENANTS[:1]
QUIET: Final = TENANTS[1:]
#: Messages a second of all quiet tenants together, and how many times what the consumer can
#: take the noisy one sends.
QUIET_RATE: Final = 90.0
FLOOD: Final = 1.5
SECONDS: Final = 6.0
#: A consumer of which it is known what it can take: two polls, and calls of 20 ms as on AWS.
DELAY_SECONDS: Final = 0.02
CONSUMER_ENV: Final = {"TENANTRY_POLLS": "2", "TENANTRY_WRITES": "2"}
_SATURATING: Final = 3_000
_QUEUE_SECONDS: Final = 60.0
CONNECTIONS: Final = 64
BOUND: Final = 2.0

_MODULE: Final = "tenantry_benchmarks.baselines.without_fairness"


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _how())
    names = {name: name for name in (OURS, *([WITHOUT] if run.baselines else []))}

    async def measure_one(number: int, name: str) -> None:
        options: dict[str, Any] = {}
        if name == WITHOUT:
            options = {
                f"{service}_command": (sys.executable, "-m", _MODULE, service)
                for service in (PRODUCER, CONSUMER)
            }
        async with (
            rig_up(
                (),
                engine="standin",
                delay_seconds=DELAY_SECONDS,
                consumer_env=CONSUMER_ENV,
                **options,
            ) as rig,
            LoadGenerator.up() as second,
        ):
            await NeighbourRow(rig, table, name, second, run.scale).measure(number)

    await run.in_turn(KEY, table, names, measure_one)
    alone, flooded = (table.find(OURS, what) for what in ("p99 alone", "p99 under the flood"))
    if alone and flooded and alone.median and flooded.median:
        times = flooded.median / alone.median
        text = f"quiet tenants' p99 under the flood ≤ {BOUND:g} × its own alone: {times:.2f} ×"
        table.verdicts.append(Verdict(text, times <= BOUND, is_hard=False))


@dataclass(frozen=True, slots=True)
class NeighbourRow:
    """One laptop."""

    rig: Rig
    table: Table
    name: str
    second: LoadGenerator
    scale: float

    async def measure(self, seed: int) -> None:
        """Quiet tenants alone, then beside the flood."""
        rig, subject = self.rig, self.rig.subjects[OURS]
        # What it can take: the flood is sent while nobody consumes, and drained alone.
        await rig.post(subject, _SATURATING, tokens=10, tenants=NOISY, in_flight=64)
        await subject.release()
        started = asyncio.get_running_loop().time()
        await rig.drained(subject)
        capacity = _SATURATING / (asyncio.get_running_loop().time() - started)
        self._add("consumer's capacity", capacity, unit="messages/s")
        alone = await self._quiet(seed)
        self._add("p50 alone", percentile(alone, 50))
        self._add("p99 alone", percentile(alone, 99))
        flood = FLOOD * capacity
        messages = round(flood * SECONDS * self.scale)
        _, beside = await asyncio.gather(
            rig.post(
                subject,
                messages,
                tokens=10,
                tenants=NOISY,
                generator=self.second,
                in_flight=CONNECTIONS,
                due_seconds=arrivals(flood, messages, seed),
            ),
            self._quiet(seed),
        )
        self._add("p50 under the flood", percentile(beside, 50))
        self._add("p99 under the flood", percentile(beside, 99))

    def _add(self, what: str, value: float, *, unit: str = UNIT) -> None:
        figure = self.table.figure(self.name, what, unit, is_rate=unit != UNIT)
        figure.add(value)

    async def _quiet(self, seed: int) -> list[float]:
        """Milliseconds from arrival to stored, of every message of the quiet tenants."""
        rig = self.rig
        await rig.gate.take()
        messages = round(QUIET_RATE * SECONDS * self.scale)
        result = await rig.post(
            rig.subjects[OURS],
            messages,
            tokens=len(QUIET),
            tenants=QUIET,
            in_flight=CONNECTIONS,
            due_seconds=arrivals(QUIET_RATE, messages, seed),
            keep_ids=True,
        )
        return await self._waits(result)

    async def _waits(self, result: Result) -> list[float]:
        stored: Mapping[str, float] = {}
        deadline = asyncio.get_running_loop().time() + _QUEUE_SECONDS
        while result.accepted.keys() - stored.keys():
            if asyncio.get_running_loop().time() > deadline:
                msg = f"{self.name}: not all quiet messages were stored in {_QUEUE_SECONDS:g} s"
                raise LaptopError(msg)
            await asyncio.sleep(0.1)  # between two looks: the deadline above ends the wait
            stored = {**stored, **await self.rig.gate.take()}
        return [(stored[one] - due) * 1_000 for one, (due, _) in result.accepted.items()]


def _how() -> str:
    return (
        f"One pool: nine quiet tenants send {QUIET_RATE:.0f} messages a second together, open "
        f"loop; one noisy tenant sends {FLOOD:g} times what the consumer can take for "
        f"{SECONDS:.0f} s. The consumer has two polls and two writes in flight, and every call "
        f"takes {DELAY_SECONDS * 1_000:.0f} ms more. `without` is the same two services with no "
        "group id on messages and one lane for all tenants. From arrival to stored. Engine: the "
        "project's stand-in, whose queue is a model of the documented rule of fair queues."
    )
