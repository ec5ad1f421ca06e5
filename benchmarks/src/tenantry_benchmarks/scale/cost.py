"""Dollars: what a million messages cost by tier, and what a tenant that does nothing costs.

Everything measured comes in as an argument; everything that AWS asks for comes from `prices`.
Free tiers are left out: one account has them once, whatever the number of tenants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from tenantry.contract import Message, item_bytes
from tenantry.limits import SQS_MAX_WAIT_SECONDS, WRITE_UNIT_BYTES
from tenantry_benchmarks.scale.prices import (
    GIGABYTE,
    HOURS_A_MONTH,
    MILLION,
    PRICES,
    SECONDS_A_MONTH,
    SQS_REQUEST_BYTES,
    Prices,
    tiered,
)
from tenantry_benchmarks.scale.quotas import NODE_PODS

Tier = Literal["basic", "advanced", "premium"]
TIERS: Final[tuple[Tier, ...]] = ("basic", "advanced", "premium")

#: Kept without being asked for: DynamoDB counts so many bytes of index for each item.
#: DynamoDB developer guide, "Estimating a table's storage".
ITEM_OVERHEAD_BYTES: Final = 100
#: Of one W3C trace context as a message attribute: name, type and value.
TRACE_BYTES: Final = 74
#: Assumed: what one call takes beside its messages: head, signature, answer.
CALL_BYTES: Final = 1_500
#: Assumed: a POST's head with a token of RS256, and the answer.
HTTP_BYTES: Final = 1_600
#: Assumed: one LCU is a gigabyte an hour; new connections and rules stay below that.
LCU_BYTES_AN_HOUR: Final = GIGABYTE


@dataclass(frozen=True, slots=True)
class Calls:
    """AWS calls a message, by kind: `receive` counts those that bring messages.

    Attributes:
        lookup: Of Parameter Store, where placements are looked up there.
        visibility: Extensions of the visibility timeout.
    """

    send: float
    receive: float
    write: float
    delete: float
    visibility: float = 0.0
    lookup: float = 0.0

    def __post_init__(self) -> None:
        if min(self.send, self.receive, self.write, self.delete) <= 0:
            msg = "a message takes some part of a send, a receive, a write and a delete"
            raise ValueError(msg)
        if self.visibility < 0 or self.lookup < 0:
            msg = "calls are never fewer than none"
            raise ValueError(msg)

    @property
    def sqs(self) -> float:
        """Of SQS."""
        return self.send + self.receive + self.delete + self.visibility

    @property
    def total(self) -> float:
        """Of all services."""
        return self.sqs + self.write + self.lookup


#: Counted by a proxy before the fast transport: sending with 64 requests in flight, draining
#: from a backlog. `make bench` counts them anew.
MEASURED: Final = Calls(send=0.107, receive=0.104, write=0.04, delete=0.1)
#: Flask and boto3: a look-up and a send for each POST; receive, put, delete one by one.
PLAIN_PAIR: Final = Calls(send=1, receive=1, write=1, delete=1, lookup=1)
#: The same in batches of ten, without the look-up.
GOOD_PAIR: Final = Calls(send=0.1, receive=0.1, write=0.1, delete=0.1)


@dataclass(frozen=True, slots=True)
class Size:
    """Bytes of one message, from its payload."""

    payload: int = 600

    @property
    def _sample(self) -> Message:
        return Message(
            message_id="0" * 36,
            tenant_id="t" * 12,
            type="order.created.v1",
            payload="x" * self.payload,
            accepted_at="2026-01-01T00:00:00.000000Z",
        )

    @property
    def queued(self) -> int:
        """On the queue: envelope and trace context."""
        return len(self._sample.body()) + TRACE_BYTES

    @property
    def item(self) -> int:
        """In the table, as the contract counts it."""
        return item_bytes(self._sample)

    @property
    def write_units(self) -> int:
        """Of DynamoDB, to store it once."""
        return ceil(self.item / WRITE_UNIT_BYTES)


def request_units(calls_a_message: float, bytes_a_message: float) -> float:
    """Billed requests a message: a call counts once for each 64 KB of what it carries."""
    if not calls_a_message:
        return 0.0
    carried = bytes_a_message / calls_a_message
    return calls_a_message * max(1, ceil(carried / SQS_REQUEST_BYTES))


def sqs_units(calls: Calls, size: Size) -> float:
    """Billed requests of SQS a message, of all kinds."""
    return (
        request_units(calls.send, size.queued)
        + request_units(calls.receive, size.queued)
        + calls.delete
        + calls.visibility
    )


def wire_bytes(calls: Calls, size: Size) -> float:
    """Bytes a message through interface endpoints: in, out, and to the table."""
    return 2 * size.queued + size.item + CALL_BYTES * calls.total


@dataclass(frozen=True, slots=True)
class Bill:
    """Dollars, by what they are for."""

    parts: Sequence[tuple[str, float]]

    @property
    def dollars(self) -> float:
        """All of it."""
        return sum(dollars for _, dollars in self.parts)

    def of(self, name: str) -> float:
        """One part; 0 where there is none of that name."""
        return sum(dollars for part, dollars in self.parts if part == name)

    def __add__(self, other: Bill) -> Bill:
        names = dict.fromkeys(name for name, _ in (*self.parts, *other.parts))
        return Bill([(name, self.of(name) + other.of(name)) for name in names])

    def times(self, factor: float) -> Bill:
        """So many of it."""
        return Bill([(name, dollars * factor) for name, dollars in self.parts])


def sqs_bill(
    units: float, *, fair_units: float = 0.0, prices: Prices = PRICES
) -> list[tuple[str, float]]:
    """Of so many billed requests a month, of which so many on fair queues."""
    return [
        ("SQS requests", tiered(prices.sqs_requests, units)),
        ("SQS fair queues", fair_units * prices.sqs_fair_request.dollars),
    ]


def provisioned_writes(
    units_a_second: float, *, utilisation: float = 0.7, prices: Prices = PRICES
) -> float:
    """Dollars a month for provisioned capacity of which so much is used, in place of on demand.

    70 % is what DynamoDB's autoscaling aims at by default.
    """
    return units_a_second / utilisation * prices.dynamodb_wcu.dollars * HOURS_A_MONTH


def vcpu_hour(prices: Prices = PRICES) -> float:
    """Dollars for a vCPU and its memory, on demand."""
    return prices.m7g_large.dollars / 2


def million_messages(
    calls: Calls,
    tier: Tier,
    *,
    size: Size | None = None,
    cpu_us: float = 0.0,
    utilisation: float = 0.6,
    stored_days: float = 30,
    prices: Prices = PRICES,
) -> Bill:
    """What a million messages cost on their way, and to keep for so long.

    Args:
        calls: A message.
        tier: Basic tenants' messages carry a group, which has a price.
        size: Of a message; 600 bytes of payload if not given.
        cpu_us: Of both services together, a message; 0 if it is not to be counted.
        utilisation: Of what is paid for, what is used at most.
        stored_days: How long an item is kept.
        prices: Of the region.
    """
    size = size or Size()
    if not 0 < utilisation <= 1:
        msg = f"utilisation is a share above 0 and at most 1, not {utilisation}"
        raise ValueError(msg)
    units = sqs_units(calls, size) * MILLION
    kept = (size.item + ITEM_OVERHEAD_BYTES) * MILLION / GIGABYTE
    cpu_hours = cpu_us / utilisation / 3_600  # µs × a million messages are seconds
    request = size.payload + HTTP_BYTES
    return Bill(
        [
            *sqs_bill(units, fair_units=units if tier == "basic" else 0, prices=prices),
            ("DynamoDB writes", size.write_units * MILLION * prices.dynamodb_write.dollars),
            ("DynamoDB storage", kept * stored_days / 30 * prices.dynamodb_storage.dollars),
            ("Parameter Store", calls.lookup * MILLION * prices.ssm_request.dollars),
            ("endpoints", wire_bytes(calls, size) * MILLION / 1e9 * prices.endpoint_data.dollars),
            ("load balancer", request * MILLION / LCU_BYTES_AN_HOUR * prices.lcu.dollars),
            ("CPU", cpu_hours * vcpu_hour(prices)),
        ]
    )


# A tenant that does nothing


@dataclass(frozen=True, slots=True)
class PodSize:
    """What a pod asks its node for. Assumed until the chart says."""

    vcpu: float = 0.1
    mebibytes: int = 192


@dataclass(frozen=True, slots=True)
class NodeSize:
    """An m7g.large as Karpenter counts it, and what every node runs beside our pods.

    Attributes:
        own_pods: Of daemon sets: network, proxy, Pod Identity, disks, metrics. Assumed.
    """

    vcpu: float = 1.93
    mebibytes: int = 6_844
    pods: int = int(NODE_PODS.value)
    disk_gigabytes: int = 20
    own_vcpu: float = 0.3
    own_mebibytes: int = 500
    own_pods: int = 5

    def holds(self, pod: PodSize) -> int:
        """Pods of this size on one node."""
        return min(
            int((self.vcpu - self.own_vcpu) / pod.vcpu),
            (self.mebibytes - self.own_mebibytes) // pod.mebibytes,
            self.pods - self.own_pods,
        )

    def month(self, prices: Prices = PRICES) -> float:
        """Dollars on demand, disk included."""
        return prices.m7g_large.dollars * HOURS_A_MONTH + prices.disk.dollars * self.disk_gigabytes


@dataclass(frozen=True, slots=True)
class Idle:
    """What stands for one instance while nothing comes: the least that the chart keeps.

    Attributes:
        alarms: Of CloudWatch, as the tenant module makes them: age, dead letters.
        depth_seconds: How often the autoscaler asks the queue for its depth.
    """

    producers: int
    consumers: int
    alarms: int = 2
    depth_seconds: float = 60


#: A basic tenant is an item and a record: all that runs for it is its pool's.
IDLE: Final[dict[Tier, Idle]] = {
    "basic": Idle(producers=0, consumers=0, alarms=0, depth_seconds=float("inf")),
    "advanced": Idle(producers=0, consumers=1),
    "premium": Idle(producers=2, consumers=2),
}
#: A pool stands for all its tenants.
IDLE_POOL: Final = Idle(producers=2, consumers=2)


def idle_requests(idle: Idle, *, wait_seconds: float = SQS_MAX_WAIT_SECONDS) -> float:
    """Requests of SQS a month: each consumer holds one poll, and the autoscaler asks."""
    return SECONDS_A_MONTH * (idle.consumers / wait_seconds + 1 / idle.depth_seconds)


def idle_month(
    idle: Idle,
    *,
    wait_seconds: float = SQS_MAX_WAIT_SECONDS,
    pod: PodSize | None = None,
    node: NodeSize | None = None,
    prices: Prices = PRICES,
) -> Bill:
    """What it costs a month to stand ready. An empty queue and an empty table cost nothing."""
    pod, node = pod or PodSize(), node or NodeSize()
    polls = idle_requests(idle, wait_seconds=wait_seconds)
    return Bill(
        [
            ("pods", (idle.producers + idle.consumers) * node.month(prices) / node.holds(pod)),
            ("polls", tiered(prices.sqs_requests, polls)),
            ("alarms", idle.alarms * prices.alarm.dollars),
        ]
    )
