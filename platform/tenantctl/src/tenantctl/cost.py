"""What each tenant cost: pods, requests of SQS, DynamoDB.

What is a tenant's own is known by its namespace and table. What a pool costs is shared by those
that it served, by their messages: pods by what was accepted and stored there, sends by what was
accepted (also those to an advanced tenant's own queue), the rest of queue and table by what was
stored. What nobody can be named for is a line of its own, so that all lines together are what was
measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Final

#: The label of messages whose tenant is one of too many to have its own.
OTHER: Final = "other"
HOURS_A_MONTH: Final = 730.0
#: What is not measured but reckoned, in words.
ESTIMATED: Final = (
    "calls of SQS: what the services counted, not KEDA's; SQS bills more for those over 64 KiB",
    "calls and messages: by Prometheus, which misses what a pod did before its first scrape",
    "bytes of DynamoDB: today's size of a table, for the whole period; of one that is gone, none",
    "shares of a pool: by how many messages, not by how large they are",
)
_MILLION: Final = 1_000_000.0
_GIB: Final = 1024.0**3


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars, and of when."""

    as_of: str
    source: str
    million_requests_of_sqs: float
    million_writes_of_dynamodb: float
    million_reads_of_dynamodb: float
    gib_month_of_dynamodb: float


def read_prices() -> Prices:
    """The table that came with this version."""
    text = (files("tenantctl") / "data" / "prices.json").read_text("utf-8")
    return Prices(**json.loads(text))


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an instance, a tenant or a pool, used in the period.

    Attributes:
        pods: US dollars.
        sends: Calls of SQS by which messages came in.
        requests: Calls of SQS by consumers.
        writes: Write units of DynamoDB, as many as were consumed.
        reads: Read units.
        stored_bytes: The table's size at its end.
    """

    pods: float = 0.0
    sends: float = 0.0
    requests: float = 0.0
    writes: float = 0.0
    reads: float = 0.0
    stored_bytes: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """How many messages a pool had, by tenant.

    Attributes:
        is_known: Whether somebody could be asked: a pool without messages is unused only then.
    """

    accepted: Mapping[str, float] = field(default_factory=dict)
    stored: Mapping[str, float] = field(default_factory=dict)
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A period.

    Attributes:
        hours: How long it was.
        used: By instance.
        served: By pool.
        platform: US dollars of pods that are no instance's, by namespace, and of idle nodes.
        missing: What is not known, in words: then it is in no line.
    """

    hours: float
    used: Mapping[str, Usage]
    served: Mapping[str, Served]
    platform: Mapping[str, float]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Line:
    """US dollars of one tenant, or of what is nobody's.

    Attributes:
        is_tenant: Whether somebody can be sent a bill.
    """

    name: str
    is_tenant: bool
    pods: float = 0.0
    sqs: float = 0.0
    dynamodb: float = 0.0

    @property
    def total(self) -> float:
        """All of it."""
        return self.pods + self.sqs + self.dynamodb

    def plus(self, other: Line) -> Line:
        """Both, by this one's name."""
        return Line(
            self.name,
            self.is_tenant,
            self.pods + other.pods,
            self.sqs + other.sqs,
            self.dynamodb + other.dynamodb,
        )


def lines_of(measured: Measured, prices: Prices) -> tuple[Line, ...]:
    """Every tenant's line, then what is nobody's; both by name."""
    found: dict[tuple[bool, str], Line] = {}
    for line in _lines(measured, prices):
        key = (not line.is_tenant, line.name)
        found[key] = found[key].plus(line) if key in found else line
    return tuple(found[key] for key in sorted(found))


def _lines(measured: Measured, prices: Prices) -> Iterator[Line]:
    for instance, usage in measured.used.items():
        line = _priced(instance, usage, measured.hours, prices)
        if instance in measured.served:
            sends = usage.sends / _MILLION * prices.million_requests_of_sqs
            yield from _shared(line, sends, measured.served[instance])
        else:
            yield line
    for name, pods in measured.platform.items():
        yield Line(name, is_tenant=False, pods=pods)


def _priced(instance: str, usage: Usage, hours: float, prices: Prices) -> Line:
    writes = usage.writes / _MILLION * prices.million_writes_of_dynamodb
    reads = usage.reads / _MILLION * prices.million_reads_of_dynamodb
    months = hours / HOURS_A_MONTH
    stored = usage.stored_bytes / _GIB * months * prices.gib_month_of_dynamodb
    return Line(
        instance,
        is_tenant=True,
        pods=usage.pods,
        sqs=(usage.sends + usage.requests) / _MILLION * prices.million_requests_of_sqs,
        dynamodb=writes + reads + stored,
    )


def _shared(pool: Line, sends: float, served: Served) -> Iterator[Line]:
    """A pool's line, and how much of its SQS were sends, split among those that it served."""
    nobody = "unused" if served.is_known else "unknown"
    work = _shares(
        {
            name: served.accepted.get(name, 0.0) + served.stored.get(name, 0.0)
            for name in {*served.accepted, *served.stored}
        }
    )
    sent = _shares(served.accepted)
    kept = _shares(served.stored)
    for name in sorted({*work, *sent, *kept}):
        is_tenant = name not in {OTHER, ""}
        line = Line(
            name if is_tenant else f"{name or nobody} of {pool.name}",
            is_tenant,
            pool.pods * work.get(name, 0.0),
            sends * sent.get(name, 0.0) + (pool.sqs - sends) * kept.get(name, 0.0),
            pool.dynamodb * kept.get(name, 0.0),
        )
        if is_tenant or line.total:
            yield line


def _shares(weights: Mapping[str, float]) -> dict[str, float]:
    """Parts of one; of a pool that had no message all is nobody's, whose name is empty."""
    whole = sum(weights.values())
    if whole <= 0:
        return {"": 1.0}
    return {name: weight / whole for name, weight in weights.items() if weight > 0}
