"""One run: what was asked for, what was measured so far, and what to say of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from tenantry_benchmarks.progress import Progress
from tenantry_benchmarks.subjects import OURS
from tenantry_benchmarks.table import Table, failures
from tenantry_local.model import LaptopError

#: What an engine is called in a report: no figure stands there without it.
ENGINE_NAMES: Final = {
    "embedded": "ministack, which is slow (about 2 ms of its CPU a message)",
    "standin": "the project's stand-in, which models SQS and DynamoDB and keeps them in memory",
}

T = TypeVar("T")


@dataclass(slots=True)
class Run:
    """What rows are measured by, and where their tables go.

    Attributes:
        repeats: Rounds, in each of which every subject is measured once.
        scale: How many messages a round takes, as a multiple of the usual.
        is_quick: The least that says something: one case of a row.
        baselines: Those that are wanted.
        was_interrupted: It ended before its end.
    """

    progress: Progress
    engine: str = "standin"
    repeats: int = 5
    scale: float = 1.0
    is_quick: bool = False
    baselines: tuple[str, ...] = ()
    tables: list[Table] = field(default_factory=list)
    was_interrupted: bool = False

    @property
    def engine_name(self) -> str:
        """What a reader has to know of it."""
        return ENGINE_NAMES[self.engine]

    async def in_turn(
        self,
        what: str,
        table: Table,
        subjects: dict[str, T],
        measure: Callable[[int, T], Awaitable[None]],
    ) -> None:
        """Every subject once in each round, every second round the other way around.

        A baseline that fails is taken out of the subjects, and the table says why.

        Raises:
            LaptopError: Ours failed.
        """
        for number in range(self.repeats):
            names = list(subjects)
            for name in names if number % 2 == 0 else reversed(names):
                self.progress.step(f"{what}: round {number + 1} of {self.repeats}, {name}")
                try:
                    await measure(number, subjects[name])
                except LaptopError as error:
                    if name == OURS:
                        raise
                    del subjects[name]
                    table.give_up(name, str(error))

    def table(self, key: str, title: str, how: str) -> Table:
        """A new table; what it holds is kept however the row ends."""
        table = Table(key, title, how)
        self.tables.append(table)
        return table

    @property
    def failures(self) -> list[str]:
        """What fails the run."""
        return failures(self.tables)
