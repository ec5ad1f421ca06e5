"""The rows of the table, each in a module of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tenantry_benchmarks.rows import (
    calls,
    cpu,
    fleet,
    footprint,
    latency,
    neighbour,
    throughput,
)
from tenantry_benchmarks.run import Run


@dataclass(frozen=True, slots=True)
class Row:
    """One row: `make bench-full` measures all, `make bench` those that are not full."""

    key: str
    title: str
    is_full: bool
    measure: Callable[[Run], Awaitable[None]]


ROWS: Final = {
    row.key: row
    for row in (
        Row(cpu.KEY, cpu.TITLE, is_full=False, measure=cpu.measure),
        Row(calls.KEY, calls.TITLE, is_full=False, measure=calls.measure),
        Row(latency.KEY, latency.TITLE, is_full=False, measure=latency.measure),
        Row(throughput.KEY, throughput.TITLE, is_full=True, measure=throughput.measure),
        Row(footprint.KEY, footprint.TITLE, is_full=True, measure=footprint.measure),
        Row(neighbour.KEY, neighbour.TITLE, is_full=True, measure=neighbour.measure),
        Row(fleet.KEY, fleet.TITLE, is_full=True, measure=fleet.measure),
    )
}
