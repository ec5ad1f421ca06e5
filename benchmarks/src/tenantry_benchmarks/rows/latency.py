"""Time from arrival to stored, at parts of what each can take; open loop."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from tenantry_benchmarks.figures import percentile
from tenantry_benchmarks.rig import Rig, rig_up
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.schedule import arrivals
from tenantry_benchmarks.starting import FASTEST
from tenantry_benchmarks.subjects import GOOD, OURS, PAIRS, PLAIN, Subject
from tenantry_benchmarks.table import Table
from tenantry_local.model import LaptopError

KEY: Final = "latency"
TITLE: Final = "Latency from arrival to stored, at parts of saturation"
UNIT: Final = "ms"

LOADS: Final = (25, 50, 75)
#: Of the plain pair's saturation, in percent: a rate that everybody is measured at.
ALIKE: Final = 50
IN_FLIGHT: Final = 64
#: Kept open for an open loop, as a load balancer keeps them.
CONNECTIONS: Final = 256
TOKENS: Final = 1_000
#: Messages that saturation is measured with.
SATURATING: Final = {OURS: 6_000, GOOD: 2_000, PLAIN: 400}
#: One measurement takes so many seconds, and at least so many messages: p99 is the worst 1 %.
SECONDS: Final = 2.0
LEAST_MESSAGES: Final = 200
_STORED_SECONDS: Final = 30.0


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _how(run))
    baselines = [name for name in run.baselines if name in PAIRS]
    async with rig_up(baselines, engine=run.engine, workers=FASTEST) as rig:
        table.missing.update(rig.missing)
        row = LatencyRow(run, rig, table)
        await row.all("saturation", row.saturate)
        for load in LOADS:
            await row.all(f"{load} %", partial(row.at_part, load))
        if (rate := row.rate(PLAIN, ALIKE)) is not None:
            # What the plain pair can take, for everybody: its own figure is that of above.
            what = f"at {round(rate)}/s for all"
            await row.all(what, partial(row.load, rate, what))


@dataclass(frozen=True, slots=True)
class LatencyRow:
    """Measures one subject at a time; the consumers of all others are held."""

    run: Run
    rig: Rig
    table: Table

    async def all(self, what: str, measure: Callable[[int, Subject], Awaitable[None]]) -> None:
        """Every subject in turn."""
        await self.run.in_turn(f"{KEY}: {what}", self.table, self.rig.subjects, measure)

    async def saturate(self, number: int, subject: Subject) -> None:
        """Messages a second from the first request to the last one stored, both at work."""
        await subject.release()
        if number == 0:
            await self.rig.post(subject, 200, tokens=TOKENS, in_flight=IN_FLIGHT)
            await self.rig.drained(subject)
        messages = max(IN_FLIGHT, round(SATURATING[subject.name] * self.run.scale))
        await self.rig.gate.take()
        started = time.time()
        await self.rig.post(subject, messages, tokens=TOKENS, in_flight=IN_FLIGHT)
        await self.rig.drained(subject)
        await subject.hold()
        stored = await self.rig.gate.take()
        figure = self.table.figure(subject.name, "saturation", "messages/s", is_rate=True)
        figure.add(messages / (max(stored.values()) - started))

    def rate(self, subject: str, load: int) -> float | None:
        """So many percent of a subject's saturation, in messages a second."""
        found = self.table.find(subject, "saturation")
        return None if found is None or found.median is None else found.median * load / 100

    async def at_part(self, load: int, number: int, subject: Subject) -> None:
        """At so many percent of its own saturation."""
        rate = self.rate(subject.name, load)
        assert rate is not None  # noqa: S101 - it was measured before
        await self.load(rate, f"at {load} %", number, subject)

    async def load(self, rate: float, what: str, seed: int, subject: Subject) -> None:
        """p50 and p99 of one open-loop run."""
        messages = round(max(LEAST_MESSAGES, rate * SECONDS) * min(1.0, self.run.scale))
        await subject.release()
        await self.rig.gate.take()
        result = await self.rig.post(
            subject,
            messages,
            tokens=TOKENS,
            in_flight=CONNECTIONS,
            due_seconds=arrivals(rate, messages, seed),
            keep_ids=True,
        )
        await self.rig.drained(subject)
        await subject.hold()
        stored = await self.rig.gate.take()
        if missing := result.accepted.keys() - stored.keys():
            msg = f"{subject.name}: {len(missing)} of {messages} were not seen being stored"
            raise LaptopError(msg)
        waits = [(stored[one] - due) * 1_000 for one, (due, _) in result.accepted.items()]
        for percent in (50, 99):
            name = f"p{percent} {what}"
            self.table.figure(subject.name, name, UNIT).add(percentile(waits, percent))
        answers = [seconds * 1_000 for seconds in result.latencies]
        name = f"p99 of the 202 {what}"
        self.table.figure(subject.name, name, UNIT).add(percentile(answers, 99))


def _how(run: Run) -> str:
    return (
        "Each at parts of its own saturation: messages a second from the first request to the "
        f"last one stored, {IN_FLIGHT} in flight, everything on this machine, so that the engine "
        "and the load generator take their part of it. Then open loop: arrivals of a Poisson "
        "process, timed from when each was due (a slow answer hides nothing) until the engine "
        "answered the write of that message, which the gate before it sees for all alike. "
        f"Engine: {run.engine_name}."
    )
