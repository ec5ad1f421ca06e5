"""Capacity: what a load needs in pods, nodes, calls, connections, partitions and dollars.

CPU and calls a message are arguments: they are measured elsewhere. Round trips are arguments,
too: between a pod and SQS or DynamoDB of its region they are 10 to 50 ms. Counts are rounded
up for each deployment on its own, as a deployment cannot borrow its neighbour's half pod.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from consumer.credentials import RENEW_SECONDS
from tenantry.registry import TTL_SECONDS
from tenantry_benchmarks.scale.cost import (
    HTTP_BYTES,
    IDLE,
    IDLE_POOL,
    ITEM_OVERHEAD_BYTES,
    LCU_BYTES_AN_HOUR,
    TIERS,
    Bill,
    Calls,
    Idle,
    Tier,
    idle_requests,
    sqs_bill,
    sqs_units,
    wire_bytes,
)
from tenantry_benchmarks.scale.design import Design
from tenantry_benchmarks.scale.load import Load
from tenantry_benchmarks.scale.prices import (
    GIGABYTE,
    HOURS_A_MONTH,
    PRICES,
    SECONDS_A_MONTH,
    Prices,
)
from tenantry_benchmarks.scale.quotas import PARTITION_WRITES

Deployment = Literal["pool", "advanced", "premium"]

#: So many premium tenants share a load balancer at most.
GROUP_TENANTS: Final = 20
ZONES: Final = 3


@dataclass(frozen=True, slots=True)
class Pods:
    """Of one kind of deployment.

    Attributes:
        deployments: How many of that kind there are.
        pods: All of theirs.
        most: Those of the largest.
    """

    deployments: int
    pods: int
    most: int

    @property
    def mean(self) -> float:
        """Of one deployment."""
        return self.pods / self.deployments if self.deployments else 0.0


@dataclass(frozen=True, slots=True)
class Needs:
    """What a load needs of a design. Rates are per second."""

    load: Load
    design: Design
    producers: dict[Deployment, Pods]
    consumers: dict[Deployment, Pods]
    nodes: int

    @property
    def pools(self) -> int:
        """Shared deployments."""
        return self.consumers["pool"].deployments

    @property
    def pods(self) -> int:
        """Of both services."""
        return sum(one.pods for one in (*self.producers.values(), *self.consumers.values()))

    @property
    def instances(self) -> int:
        """With a queue, a table, alarms and a Terraform object of their own."""
        return sum(one.deployments for one in self.consumers.values())

    def calls_of(self, tier: Tier) -> Calls:
        """Calls a message of a tier: the fewer messages a queue gets, the more calls each."""
        load, pool = self.load, self.producers["pool"]
        senders = self.producers["premium"] if tier == "premium" else pool
        receivers = self.consumers["pool" if tier == "basic" else tier]
        queue = load.rate(tier) / receivers.deployments if receivers.deployments else 0.0
        return self.design.calls_at(
            queue / senders.mean if senders.mean else 0.0,
            queue / receivers.mean if receivers.mean else 0.0,
        )

    @property
    def calls(self) -> dict[str, float]:
        """AWS calls a second by kind; what stands ready apart."""
        found = dict.fromkeys(
            ("SendMessageBatch", "ReceiveMessage", "BatchExecuteStatement", "DeleteMessageBatch"),
            0.0,
        )
        for tier in TIERS:
            calls, rate = self.calls_of(tier), self.load.rate(tier)
            for name, one in zip(
                found, (calls.send, calls.receive, calls.write, calls.delete), strict=True
            ):
                found[name] += one * rate
        return found

    @property
    def standing_calls(self) -> float:
        """What asks SQS while nothing comes: long polls, and the autoscaler's questions."""
        return sum(count * idle_requests(idle) for count, idle in self._idle()) / SECONDS_A_MONTH

    @property
    def sqs_calls(self) -> float:
        """Of SQS, all kinds; what stands ready is counted as if nothing came, a bound."""
        calls = sum(self.calls_of(tier).sqs * self.load.rate(tier) for tier in TIERS)
        return calls + self.standing_calls

    @property
    def calls_in_flight(self) -> float:
        """Little's law: calls a second times a round trip. Each holds a connection."""
        return self.design.round_trip * sum(self.calls.values())

    @property
    def connections(self) -> int:
        """To AWS: of calls in flight, and one of each consumer's long poll."""
        return ceil(self.calls_in_flight) + sum(one.pods for one in self.consumers.values())

    @property
    def write_units(self) -> float:
        """Of DynamoDB, all tables."""
        return self.load.messages_per_second * self.load.size.write_units

    @property
    def loudest_tenant(self) -> float:
        """Write units a second of the loudest tenant."""
        return max(self.load.most(tier) for tier in TIERS) * self.load.size.write_units

    @property
    def shards(self) -> int:
        """Partition key values that the loudest tenant needs."""
        return max(1, ceil(self.loudest_tenant / PARTITION_WRITES.value))

    @property
    def partitions(self) -> int:
        """Partition key values of all tenants.

        One each, or as many shards as its tier's mean rate needs; and what the loudest needs
        beyond.
        """
        found = self.shards
        for tier in TIERS:
            mean = self.load.mean(tier) * self.load.size.write_units
            found += self.load.tenants[tier] * max(1, ceil(mean / PARTITION_WRITES.value))
        return found - 1

    @property
    def busiest_table(self) -> float:
        """Write units a second of the table that takes the most: a pool's, or one tenant's."""
        load = self.load
        pool = load.rate("basic") / self.pools if self.pools else 0.0
        own = max(load.most("advanced"), load.most("premium"))
        return max(pool, own) * load.size.write_units

    @property
    def in_flight(self) -> float:
        """Messages in flight of the queue with the most consumers, while each hand is full."""
        return self.design.hand * max(one.most for one in self.consumers.values())

    @property
    def registry_reads(self) -> float:
        """Placements looked up.

        A process asks for a tenant again when its answer is 30 s old and a message of it comes:
        once in 30 s and the time between two messages.
        """
        shared, own = self.producers["pool"], self.producers["premium"]
        paths: list[tuple[Tier, Pods, Pods]] = [
            ("basic", shared, self.consumers["pool"]),
            ("advanced", shared, self.consumers["advanced"]),
            ("premium", own, self.consumers["premium"]),
        ]
        reads = 0.0
        for tier, *services in paths:
            for pods in services:
                if pods.mean:
                    seen = self.load.mean(tier) / pods.mean
                    asked = seen / (1 + TTL_SECONDS * seen)
                    reads += self.load.tenants[tier] * pods.mean * asked
        return reads

    @property
    def sessions(self) -> float:
        """Sessions of readers: each consumer of a pool holds one of each tenant that reads."""
        return self.load.tenants["basic"] * self.load.reading * self.consumers["pool"].mean

    @property
    def assumed_roles(self) -> float:
        """AssumeRole calls, to renew sessions."""
        return self.sessions / (RENEW_SECONDS * 0.95)

    @property
    def bytes_per_second(self) -> float:
        """Through interface endpoints."""
        load = self.load
        return sum(load.rate(tier) * wire_bytes(self.calls_of(tier), load.size) for tier in TIERS)

    @property
    def load_balancers(self) -> int:
        """One a pool; premium tenants in groups."""
        return self.pools + ceil(self.load.tenants["premium"] / GROUP_TENANTS)

    def _idle(self) -> list[tuple[int, Idle]]:
        return [
            (self.pools, IDLE_POOL),
            (self.load.tenants["advanced"], IDLE["advanced"]),
            (self.load.tenants["premium"], IDLE["premium"]),
        ]

    def month(self, *, stored_days: float = 30, prices: Prices = PRICES) -> Bill:
        """Dollars a month, if the load never stops: on demand, all of it."""
        load, design, hours = self.load, self.design, HOURS_A_MONTH
        messages = load.messages_per_second * SECONDS_A_MONTH
        units = {
            tier: sqs_units(self.calls_of(tier), load.size) * load.traffic[tier] * messages
            for tier in TIERS
        }
        idle = self.standing_calls * SECONDS_A_MONTH
        kept = messages * stored_days / 30 * (load.size.item + ITEM_OVERHEAD_BYTES) / GIGABYTE
        lcus = (
            load.messages_per_second * 3_600 * (load.size.payload + HTTP_BYTES) / LCU_BYTES_AN_HOUR
        )
        writes = self.write_units * SECONDS_A_MONTH * prices.dynamodb_write.dollars
        reads = self.registry_reads * SECONDS_A_MONTH * prices.dynamodb_read.dollars
        balancers = self.load_balancers * prices.alb.dollars + lcus * prices.lcu.dollars
        through = self.bytes_per_second * SECONDS_A_MONTH / 1e9 * prices.endpoint_data.dollars
        doors = design.endpoints * prices.endpoint.dollars + prices.nat.dollars
        alarms = sum(count * idle.alarms for count, idle in self._idle())
        return Bill(
            [
                ("DynamoDB writes", writes),
                ("DynamoDB storage", kept * prices.dynamodb_storage.dollars),
                *sqs_bill(sum(units.values()) + idle, fair_units=units["basic"], prices=prices),
                ("nodes", self.nodes * design.node.month(prices)),
                ("cluster", prices.eks_cluster.dollars * hours),
                ("load balancers", balancers * hours),
                ("network", through + ZONES * doors * hours),
                ("alarms", alarms * prices.alarm.dollars),
                ("registry", reads),
            ]
        )


def needs(load: Load, design: Design | None = None) -> Needs:
    """What a load needs of a design."""
    design = design or Design()
    tenants, rate = load.tenants, load.rate
    # Advanced tenants are sent to by a pool's producers.
    pools = ceil((tenants["basic"] + tenants["advanced"]) / design.tenants_per_pool)
    sent, stored = design.producer_rate(), design.consumer_rate()
    pooled = rate("basic") + rate("advanced")
    producers: dict[Deployment, Pods] = {
        "pool": _pods(pooled, pools, sent, IDLE_POOL.producers),
        "premium": _own(load, "premium", sent, IDLE["premium"].producers),
    }
    consumers: dict[Deployment, Pods] = {
        "pool": _pods(rate("basic"), pools, stored, IDLE_POOL.consumers),
        "advanced": _own(load, "advanced", stored, IDLE["advanced"].consumers),
        "premium": _own(load, "premium", stored, IDLE["premium"].consumers),
    }
    pods = sum(one.pods for one in (*producers.values(), *consumers.values()))
    busy = ceil(load.messages_per_second / sent) + ceil(load.messages_per_second / stored)
    nodes = _nodes(min(pods, busy), pods - min(pods, busy), design)
    return Needs(load, design, producers, consumers, nodes + design.system_nodes)


def _pods(rate: float, deployments: int, of_one: float, least: int) -> Pods:
    """Pods of so many equal deployments that share a rate."""
    if not deployments:
        return Pods(0, 0, 0)
    each = max(least, ceil(rate / deployments / of_one))
    return Pods(deployments, deployments * each, each)


def _own(load: Load, tier: Tier, of_one: float, least: int) -> Pods:
    """Pods of tenants with deployments of their own: the loudest, and the others as equals."""
    loudest = load.most(tier)
    first = _pods(loudest, min(1, load.tenants[tier]), of_one, least)
    others = max(0, load.tenants[tier] - 1)
    rest = _pods(load.rate(tier) - loudest if others else 0.0, others, of_one, least)
    return Pods(
        first.deployments + rest.deployments,
        first.pods + rest.pods,
        max(first.most, rest.most),
    )


def _nodes(busy: int, idle: int, design: Design) -> int:
    """Nodes for pods of two sizes, packed apart: a bound from above."""
    return ceil(busy / design.node.holds(design.busy_pod)) + ceil(
        idle / design.node.holds(design.idle_pod)
    )
