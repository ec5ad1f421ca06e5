"""The tables of docs/scale.md, each made from the models, and put into the page by its name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Final

from tenantry_benchmarks.scale import limits as nearby
from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.cost import (
    GOOD_PAIR,
    IDLE,
    IDLE_POOL,
    MEASURED,
    PLAIN_PAIR,
    TIERS,
    Bill,
    Calls,
    Idle,
    idle_month,
    million_messages,
    provisioned_writes,
)
from tenantry_benchmarks.scale.design import Design
from tenantry_benchmarks.scale.fairness import BOTH, GROUPS, LANES, NEITHER, Scene, run
from tenantry_benchmarks.scale.load import FEW_TENANTS, Load, typical
from tenantry_benchmarks.scale.model import Needs, Pods, needs
from tenantry_benchmarks.scale.own import own_table
from tenantry_benchmarks.scale.prices import HOURS_A_MONTH, PRICES
from tenantry_benchmarks.scale.sources import most_of, number, prices_table, quotas_table, table

#: CPU µs a message that the first bounds allow, and the harder ones.
FIRST: Final = Design(producer_us=400, consumer_us=350)
HARDER: Final = Design(producer_us=150, consumer_us=80)
#: Messages a second of a queue that has little to do.
LITTLE: Final = 10

RATES: Final = (1_000, 10_000, 100_000)
TENANTS: Final = (10, 1_000, 100_000)
ROUND_TRIPS: Final = (0.01, 0.02, 0.05)

#: What happens to quiet tenants, by what it shows.
SCENES: Final[Mapping[str, Scene]] = {
    "receiving is the bottleneck": Scene(),
    "the table is slow (0.25 s a call)": Scene(write_seconds=0.25, flood=2_000),
    "the flood's own partition is throttled": Scene(
        flood_writes=50, flood=1_000, quiet_seconds=10
    ),
    "one consumer with a hand of 20": Scene(consumers=1, hand=20, polls=1, flood=1_000),
    "the same, and SQS sees no processing time": Scene(
        consumers=1, hand=20, polls=1, flood=1_000, is_timed=False
    ),
    "the flood comes from 40 tenants at once": Scene(flood_tenants=40),
}


# Dollars


def cost_table() -> str:
    """A million messages, by what is paid for, beside the baselines."""
    cpu_us = FIRST.producer_us + FIRST.consumer_us
    little = FIRST.calls_at(LITTLE, LITTLE)
    columns: list[tuple[str, Calls, Bill]] = [
        ("plain pair", PLAIN_PAIR, million_messages(PLAIN_PAIR, "premium")),
        ("good pair", GOOD_PAIR, million_messages(GOOD_PAIR, "premium")),
        ("basic, busy", MEASURED, million_messages(MEASURED, "basic", cpu_us=cpu_us)),
        ("own queue, busy", MEASURED, million_messages(MEASURED, "premium", cpu_us=cpu_us)),
        (
            f"own queue, {LITTLE} messages/s",
            little,
            million_messages(little, "premium", cpu_us=cpu_us),
        ),
    ]
    bills = [bill for _, _, bill in columns]
    rows = [
        [part, *(f"{bill.of(part):.3f}" for bill in bills)]
        for part, _ in bills[0].parts
        if part != "CPU"
    ]
    rows += [
        ["CPU", *(f"{bill.of('CPU'):.3f}" if bill.of("CPU") else "not counted" for bill in bills)],
        ["**dollars**", *(f"**{bill.dollars:.2f}**" for bill in bills)],
        [
            "calls a message: SQS, DynamoDB, SSM",
            *(f"{one.sqs:.3g}, {one.write:.2g}, {one.lookup:.2g}" for _, one, _ in columns),
        ],
    ]
    return table(["$ a million messages", *(name for name, _, _ in columns)], rows)


def idle_table() -> str:
    """What a tenant that does nothing costs a month."""
    kinds: list[tuple[str, Idle]] = [*IDLE.items(), ("a pool", IDLE_POOL)]
    rows = []
    for name, idle in kinds:
        bill = idle_month(idle)
        rows.append(
            [
                name,
                f"{idle.producers} + {idle.consumers}",
                *(f"{bill.of(part):.2f}" for part in ("pods", "polls", "alarms")),
                f"**{bill.dollars:.2f}**",
            ]
        )
    head = ("idle", "pods: producer + consumer", "pods, $", "polls, $", "alarms, $", "$ a month")
    return table(head, rows)


# Capacity


def rates_table() -> str:
    """What bounds one process, and how many messages a second it takes."""
    rows = []
    for round_trip in ROUND_TRIPS:
        for design in (FIRST, HARDER):
            at = replace(design, round_trip=round_trip)
            held = at.held_seconds()
            rows.append(
                [
                    f"{round_trip * 1_000:g} ms",
                    f"{design.producer_us:g} and {design.consumer_us:g} µs",
                    _bound(at.producer_bounds()),
                    _bound(at.consumer_bounds()),
                    f"{held * 1_000:.0f} ms",
                    f"{quotas.FAIR_IN_FLIGHT.value / held:,.0f}",
                ]
            )
    head = (
        *("round trip", "CPU a message, producer and consumer"),
        *("one producer, messages/s", "one consumer, messages/s"),
        *("held", "messages/s with 30 in flight"),
    )
    return table(head, rows)


def _bound(bounds: Mapping[str, float]) -> str:
    name = min(bounds, key=lambda one: bounds[one])
    return f"{bounds[name]:,.0f}, by {name}"


def grid_table() -> str:
    """From ten tenants to a hundred thousand, from a thousand messages a second to as many."""
    rows = []
    for tenants in TENANTS:
        for rate in RATES:
            load = typical(rate, tenants)
            first, harder = needs(load, FIRST), needs(load, HARDER)
            rows.append(
                [
                    f"{tenants:,}",
                    f"{rate:,}",
                    f"{first.pods:,} / {harder.pods:,}",
                    f"{first.nodes:,} / {harder.nodes:,}",
                    f"{first.sqs_calls:,.0f}",
                    f"{first.calls['BatchExecuteStatement']:,.0f}",
                    f"{first.partitions:,} ({first.shards})",
                    f"{first.month().dollars:,.0f}",
                    _over(first),
                ]
            )
    head = (
        *("tenants", "messages/s", "pods", "nodes", "SQS calls/s", "DynamoDB calls/s"),
        *("partition keys (of the loudest)", "$ a month", "over the default, then next"),
    )
    return table(head, rows)


def _over(found: Needs) -> str:
    """Without vCPUs, of which every plan needs more than five."""
    names = [
        f"**{limit.name}**" if limit.is_impossible else limit.name
        for limit in nearby.over(found)
        if limit.quota is not quotas.VCPUS
    ]
    following = nearby.nearest(found)
    return "; ".join([*names, f"next: {following.name} at {following.ratio:.0%}"])


def plan_table(load: Load, designs: Sequence[Design] = (FIRST, HARDER)) -> str:
    """One load in full, a column for each design."""
    found = [needs(load, design) for design in designs]
    bills = [one.month() for one in found]
    provisioned = [
        bill.dollars - bill.of("DynamoDB writes") + provisioned_writes(one.write_units)
        for one, bill in zip(found, bills, strict=True)
    ]
    rows = [[name, *(text(one) for one in found)] for name, text in _PLAN.items()]
    large = [part for part, dollars in bills[0].parts if dollars > bills[0].dollars / 100]
    rows += [
        [f"$ a month: {part}", *(f"{bill.of(part):,.0f}" for bill in bills)] for part in large
    ]
    rest = [bill.dollars - sum(bill.of(part) for part in large) for bill in bills]
    rows.append(["$ a month: everything else", *(f"{dollars:,.0f}" for dollars in rest)])
    rows += [
        ["**$ a month**", *(f"**{bill.dollars:,.0f}**" for bill in bills)],
        [
            "with nodes on Spot",
            *(_on_spot(one, bill) for one, bill in zip(found, bills, strict=True)),
        ],
        [
            "with provisioned writes, 70 % used",
            *(f"{dollars:,.0f}" for dollars in provisioned),
        ],
    ]
    head = [
        f"{load.messages_per_second:,.0f} messages/s of {sum(load.tenants.values()):,} tenants",
        *(f"{one.producer_us:g} and {one.consumer_us:g} µs" for one in designs),
    ]
    return table(head, rows)


def _pods_text(kinds: Collection[Pods]) -> str:
    return " + ".join(f"{one.pods}" for one in kinds) + f" = {sum(one.pods for one in kinds)}"


def _over_all(found: Needs) -> str:
    return f"vCPUs ({2 * found.nodes} of {quotas.VCPUS.value:g}); {_over(found)}"


#: Rows of a plan, by what they say.
_PLAN: Final[Mapping[str, Callable[[Needs], str]]] = {
    "producer pods: pools + premium": lambda one: _pods_text(one.producers.values()),
    "consumer pods: pools + advanced + premium": lambda one: _pods_text(one.consumers.values()),
    "pools; nodes (m7g.large), for controllers among them": lambda one: (
        f"{one.pools}; {one.nodes}, {one.design.system_nodes}"
    ),
    "SQS calls a message: basic, advanced, premium": lambda one: ", ".join(
        f"{one.calls_of(tier).sqs:.2f}" for tier in TIERS
    ),
    "calls/s: send, receive, write, delete": lambda one: ", ".join(
        f"{rate:,.0f}" for rate in one.calls.values()
    ),
    "calls in flight; connections to AWS": lambda one: (
        f"{one.calls_in_flight:.0f}; {one.connections:,}"
    ),
    "write units/s: all, busiest table, loudest tenant": lambda one: (
        f"{one.write_units:,.0f}, {one.busiest_table:,.0f}, {one.loudest_tenant:,.0f}"
    ),
    "partition keys; shards of the loudest": lambda one: f"{one.partitions:,}; {one.shards}",
    "registry reads/s; AssumeRole calls/s": lambda one: (
        f"{one.registry_reads:,.0f}; {one.assumed_roles:.1f}"
    ),
    "readers' sessions; made anew after all restart": lambda one: (
        f"{one.sessions:,.0f}; in {nearby.cold_seconds(one):.0f} s"
    ),
    "over the default; then next": _over_all,
}


def _on_spot(found: Needs, bill: Bill) -> str:
    """With all nodes but those of controllers on Spot."""
    hours = (found.nodes - found.design.system_nodes) * PRICES.m7g_large.dollars * HOURS_A_MONTH
    low, high = (
        bill.dollars - hours * (1 - share.dollars) for share in (PRICES.spot_low, PRICES.spot_high)
    )
    return f"{low:,.0f} to {high:,.0f}"


def growth_table() -> str:
    """Quotas in the order in which more tenants reach them."""
    found = nearby.limits(needs(typical(1_000, 1_000)))
    most = 10_000_000
    reached = [
        (nearby.most_tenants(limit.name, most=most), limit)
        for limit in found
        if not limit.name.startswith("rate of")
    ]
    rows = [
        [
            "the first" if tenants <= FEW_TENANTS + 1 else f"{tenants:,}",
            limit.name,
            number(limit.quota.value),
            most_of(limit.quota),
            limit.design,
        ]
        for tenants, limit in sorted(reached, key=lambda one: one[0])
        if tenants < most / 10
    ]
    return table(("up to tenants", "limit", "default", "at most", "what the design does"), rows)


# Fairness


def fairness_table() -> str:
    """How long quiet tenants wait under a flood, by what is done about it."""
    rows = []
    for name, scene in SCENES.items():
        results = [
            run(scene.alone(), BOTH),
            *(run(scene, variant) for variant in (NEITHER, GROUPS, LANES, BOTH)),
        ]
        waits = [result.quiet_p99 for result in results]
        rows.append(
            [
                name,
                *(f"{seconds:.2f}" for seconds in waits),
                f"{waits[-1] / waits[0]:.1f}",
                f"{results[-1].most_in_flight}",
            ]
        )
    head = (
        *("quiet tenants' p99, s", "alone", "neither", "groups", "lanes", "both"),
        *("both ÷ alone", "most of one tenant in flight"),
    )
    return table(head, rows)


#: Every block of the page.
BLOCKS: Final[Mapping[str, Callable[[], str]]] = {
    "plan": lambda: plan_table(typical(10_000, 1_000)),
    "grid": grid_table,
    "rates": rates_table,
    "growth": growth_table,
    "own": own_table,
    "cost": cost_table,
    "idle": idle_table,
    "fairness": fairness_table,
    "quotas": quotas_table,
    "prices": prices_table,
}

_BLOCK: Final = re.compile(r"<!-- begin: ([a-z]+) -->\n(.*?)<!-- end: \1 -->\n", re.DOTALL)


def blocks_of(page: str) -> dict[str, str]:
    """The tables of a page as they stand."""
    return dict(_BLOCK.findall(page))


def filled(page: str) -> str:
    """The page with every block as the models say.

    Raises:
        KeyError: It has a block that nobody makes.
    """

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        return f"<!-- begin: {name} -->\n{BLOCKS[name]()}<!-- end: {name} -->\n"

    return _BLOCK.sub(fill, page)
