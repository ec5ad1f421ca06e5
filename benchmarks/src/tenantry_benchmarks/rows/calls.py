"""AWS calls a message by kind, counted by a proxy; and what a million messages cost for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from tenantry_benchmarks.rig import Rig, rig_up
from tenantry_benchmarks.run import Run
from tenantry_benchmarks.scale.cost import TIERS, Calls, million_messages
from tenantry_benchmarks.scale.prices import AS_OF, REGION
from tenantry_benchmarks.starting import FASTEST
from tenantry_benchmarks.subjects import GOOD, OURS, PAIRS, PLAIN, Subject
from tenantry_benchmarks.table import Table

KEY: Final = "calls"
TITLE: Final = "AWS calls a message, and dollars per million messages"
UNIT: Final = "calls"
DOLLARS: Final = "$"

IN_FLIGHT: Final = 64
#: Added to each call: about what AWS takes.
DELAY_SECONDS: Final = 0.02
MESSAGES: Final = {OURS: 1_500, GOOD: 600, PLAIN: 120}
#: Ours, in all.
BOUND: Final = 0.15 + 0.35

KINDS: Final = {
    "look-up": ("GetParameter",),
    "send": ("SendMessage", "SendMessageBatch"),
    "receive": ("ReceiveMessage",),
    "write": ("PutItem", "BatchWriteItem", "BatchExecuteStatement"),
    "delete": ("DeleteMessage", "DeleteMessageBatch"),
    "visibility": ("ChangeMessageVisibility", "ChangeMessageVisibilityBatch"),
}
OTHER: Final = "other"


async def measure(run: Run) -> None:
    """The row, as far as it gets."""
    table = run.table(KEY, TITLE, _how(run))
    baselines = [name for name in run.baselines if name in PAIRS]
    async with rig_up(baselines, engine=run.engine, counts_calls=True, workers=FASTEST) as rig:
        table.missing.update(rig.missing)
        for proxy in rig.proxies:
            proxy.delay_seconds = DELAY_SECONDS

        async def measure_one(number: int, subject: Subject) -> None:
            if number == 0:
                await _round(rig, subject, 100)
            messages = max(IN_FLIGHT, round(MESSAGES[subject.name] * run.scale))
            counted = await _round(rig, subject, messages)
            by_kind = kinds(counted, messages)
            for kind, value in by_kind.items():
                table.figure(subject.name, kind, UNIT).add(value)
            table.figure(subject.name, "all", UNIT).add(sum(by_kind.values()))
            _add_dollars(run, table, subject.name, by_kind)

        await run.in_turn(KEY, table, rig.subjects, measure_one)
    own = table.find(OURS, "all")
    if own is not None and own.median is not None:
        text = f"≤ {BOUND:g} AWS calls a message in all: {own.median:.3f}"
        table.require(text, own.median <= BOUND)


async def _round(rig: Rig, subject: Subject, messages: int) -> Counter[str]:
    """Send with the consumer held, then drain: every call that both made."""
    await subject.wait_held()
    rig.calls()
    await rig.post(subject, messages, tokens=1_000, in_flight=IN_FLIGHT)
    await rig.drain(subject, messages)
    return rig.calls()


def kinds(counted: Mapping[str, int], messages: int) -> dict[str, float]:
    """Calls a message by kind; what is of none, registry and sessions, is `other`."""
    found = {
        kind: sum(counted.get(name, 0) for name in names) / messages
        for kind, names in KINDS.items()
    }
    known = {name for names in KINDS.values() for name in names}
    found[OTHER] = sum(n for name, n in counted.items() if name not in known) / messages
    return found


def _add_dollars(run: Run, table: Table, subject: str, by_kind: Mapping[str, float]) -> None:
    if not all(by_kind[kind] > 0 for kind in ("send", "receive", "write", "delete")):
        return
    calls = Calls(
        send=by_kind["send"],
        receive=by_kind["receive"],
        write=by_kind["write"],
        delete=by_kind["delete"],
        visibility=by_kind["visibility"],
        lookup=by_kind["look-up"],
    )
    for tier in TIERS:
        # Only our basic tenants' messages carry a group, which has a price.
        priced = tier if subject == OURS else "premium"
        bill = million_messages(calls, priced, cpu_us=_cpu_us(run, subject), stored_days=30)
        for part in ("SQS requests", "all"):
            dollars = bill.dollars if part == "all" else bill.of(part) + bill.of("SQS fair queues")
            what = f"{tier}: {'SQS requests' if part != 'all' else 'a million messages'}"
            table.figure(subject, what, DOLLARS).add(dollars)


def _cpu_us(run: Run, subject: str) -> float:
    """Of both services, as this run measured it; 0 where it did not."""
    cpu = next((table for table in run.tables if table.key == "cpu"), None)
    if cpu is None:
        return 0.0
    whats = ("producer, 64 in flight, 1,000 tokens", "consumer, draining")
    found = [figure.median for what in whats if (figure := cpu.find(subject, what)) is not None]
    return sum(value for value in found if value) if len(found) == len(whats) else 0.0


def _how(run: Run) -> str:
    return (
        f"Counted by a proxy that adds {DELAY_SECONDS * 1_000:.0f} ms to each call, as AWS does: "
        f"{IN_FLIGHT} requests in flight to one queue, then the consumer drains what was sent. "
        f"Registry look-ups are under {OTHER!r}. Dollars: prices of {REGION} as of {AS_OF} "
        f"(docs/scale.md), requests, writes, 30 days of storage, endpoints, load balancer, and "
        f"CPU where this run measured it. Engine: {run.engine_name}."
    )
