"""What the demo prints: progress, one table, and what is wrong, if anything is."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tenantry_local.model import Tenant
from tenantry_local.proof import Finding, Proof
from tenantry_local.sending import NotAccepted, Outcome

#: How many of a kind are listed one by one; the rest are counted.
LISTED: Final = 20
_PLAIN_WIDTH: Final = 140
#: What the table needs to say everything in one line.
_WIDE: Final = 122
#: What it needs to cut nothing.
_NARROWEST: Final = 80
#: Between two lines of progress where there is no terminal, in seconds.
_PLAIN_SECONDS: Final = 5.0


class Report:
    """Writes to standard output; plain lines where that is no terminal, no colours if so asked."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(
            highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _PLAIN_WIDTH
        )

    def say(self, text: str = "") -> None:
        """One line of text, as it is."""
        self._console.print(text, markup=False, emoji=False)

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Callable[[int], object]]:
        """A bar for so many steps; the function it gives is told how many are done."""
        if not self._console.is_terminal:
            yield _Lines(self, what, total)
            return
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        ) as bar:
            task = bar.add_task(what, total=total)
            yield lambda done: bar.update(task, completed=done)

    def refused(self, refused: Sequence[NotAccepted]) -> None:
        """Messages that were refused, with the reason."""
        self._list(
            "refused, which counts against nothing",
            [f"line {r.event.line}, {r.event.tenant_id}: {r.reason}" for r in refused],
        )

    def failed(self, failed: Sequence[NotAccepted]) -> None:
        """Messages that should have been accepted."""
        self._list(
            "not accepted, although they should have been",
            [f"line {f.event.line}, {f.event.tenant_id}: {f.reason}" for f in failed],
        )

    def findings(self, findings: Sequence[Finding]) -> None:
        """What the proof found."""
        self._list(
            "wrong",
            [
                f"message {f.message_id} of {f.tenant_id}, "
                f"{'in no line' if f.line is None else f'line {f.line}'}: {f.what}"
                for f in findings
            ],
        )

    def table(
        self,
        tenants: Sequence[Tenant],
        outcome: Outcome,
        proof: Proof,
        dead_letters: Mapping[str, int],
    ) -> None:
        """One row a tenant; `dead_letters` by the URL of their queue."""
        # A narrower terminal breaks the lines; cut numbers would say nothing.
        width = _NARROWEST if self._console.width < _NARROWEST else None
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=0, width=width)
        for name in ("tenant", "tier"):
            table.add_column(name, no_wrap=True)
        # Where it is narrow these two give way.
        for name in ("queue", "table"):
            table.add_column(name, overflow="fold")
        space = "\n" if self._console.width < _WIDE else " "
        for name in ("accepted", "stored", "duplicates", "dead letters", "p50 ms", "p99 ms"):
            table.add_column(name.replace(" ", space), justify="right", no_wrap=True)
        for tenant in tenants:
            accepted = sum(a.event.tenant_id == tenant.tenant_id for a in outcome.accepted)
            table.add_row(
                tenant.tenant_id,
                tenant.tier,
                tenant.queue_url.rsplit("/", 1)[-1],
                tenant.table_name,
                str(accepted),
                str(proof.stored[tenant.tenant_id]),
                str(proof.duplicates[tenant.tenant_id]),
                str(dead_letters[tenant.dead_letter_queue_url]),
                _milliseconds(proof.seconds[tenant.tenant_id], 0.50),
                _milliseconds(proof.seconds[tenant.tenant_id], 0.99),
            )
        self._console.print(table)

    def _list(self, what: str, lines: Sequence[str]) -> None:
        if not lines:
            return
        self.say(f"{len(lines)} {what}:")
        for line in lines[:LISTED]:
            self.say(f"  {line}")
        if len(lines) > LISTED:
            self.say(f"  … and {len(lines) - LISTED} more")


class _Lines:
    """Progress for a log: a line now and then, and one at the end."""

    def __init__(self, report: Report, what: str, total: int) -> None:
        self._report = report
        self._what = what
        self._total = total
        self._said_at = time.monotonic()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        if done >= self._total or now - self._said_at > _PLAIN_SECONDS:
            self._said_at = now
            self._report.say(f"{self._what}: {done} of {self._total}")


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share of all are no larger than."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _milliseconds(seconds: Sequence[float], share: float) -> str:
    value = percentile(seconds, share)
    return "-" if value is None else f"{value * 1_000:.0f}"
