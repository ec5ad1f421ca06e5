"""Memory after many messages, and CPU until a process is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tenantry_benchmarks import proc
from tenantry_benchmarks.rig import Rig, rig_up
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.starting import FASTEST, alive
from tenantry_benchmarks.subjects import OURS, PAIRS, PLAIN, Subject
from tenantry_benchmarks.table import Table
from tenantry_local.model import CONSUMER, PRODUCER, LaptopError

KEY: Final = "footprint"
TITLE: Final = "Memory after many messages, and CPU to start"

IN_FLIGHT: Final = 64
TOKENS: Final = 1_000
#: After so many messages, and in how many rounds: minutes of the plain pair's.
AFTER: Final = {1_000: None, 20_000: None, 100_000: 1}
PLAIN_ROUNDS: Final = {1_000: None, 20_000: 1, 100_000: 1}
#: In one go: the load generator keeps what it is answered.
_PORTION: Final = 10_000
_STOP_SECONDS: Final = 3.0


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _how(run))
    baselines = [name for name in run.baselines if name in PAIRS]
    for number in range(run.repeats):
        # New processes in each round: a peak is never taken back.
        async with rig_up(baselines, engine=run.engine, workers=FASTEST) as rig:
            table.missing.update(rig.missing)
            row = FootprintRow(run, rig, table, number)
            for subject in rig.subjects.values():
                try:
                    await row.start(subject)
                    await row.memory(subject)
                except LaptopError as error:
                    if subject.name == OURS:
                        raise
                    table.give_up(subject.name, str(error))
                    baselines.remove(subject.name)


@dataclass(frozen=True, slots=True)
class FootprintRow:
    """One round."""

    run: Run
    rig: Rig
    table: Table
    number: int

    async def start(self, subject: Subject) -> None:
        """CPU of a second process of each service, until it answers that it is ready."""
        for service in (PRODUCER, CONSUMER):
            await self.rig.starter.twin(subject, service)
            twin = subject.twins.pop(service)
            spent = proc.cpu_seconds(alive(twin.process))
            await self.rig.starter.processes.stop([twin.process], seconds=_STOP_SECONDS)
            what = f"{service}, CPU until ready"
            self.table.figure(subject.name, what, "ms CPU").add(spent * 1_000)

    async def memory(self, subject: Subject) -> None:
        """The most that each service ever had resident, after more and more messages."""
        await subject.release()
        sent = 0
        rounds = PLAIN_ROUNDS if subject.name == PLAIN else AFTER
        for after, most_rounds in rounds.items():
            if most_rounds is not None and self.number >= most_rounds:
                continue
            step = f"{KEY}: round {self.number + 1} of {self.run.repeats}, {subject.name}"
            wanted = max(IN_FLIGHT, round(after * self.run.scale))
            while sent < wanted:
                self.run.progress.step(f"{step}: {sent:,} of {wanted:,} messages")
                portion = min(_PORTION, wanted - sent)
                await self.rig.post(subject, portion, tokens=TOKENS, in_flight=IN_FLIGHT)
                sent += portion
            await self.rig.drained(subject)
            for service in (PRODUCER, CONSUMER):
                what = f"{service}, after {wanted:,}"
                peak = proc.peak_mebibytes(subject.pids(service))
                self.table.figure(subject.name, what, "MiB").add(peak)
        await subject.hold()


def _how(run: Run) -> str:
    return (
        "VmHWM: the most memory that was ever resident, of all of a service's processes together "
        "(gunicorn has two: pages that they share count twice), while both services work on what "
        f"{IN_FLIGHT} connections send; new processes in each round. CPU until ready: utime and "
        "stime when /readyz first answers 200. A number in brackets says how many rounds there "
        f"were, where fewer than five. Engine: {run.engine_name}."
    )
