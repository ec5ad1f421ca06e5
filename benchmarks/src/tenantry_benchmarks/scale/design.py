"""How a load is served: figures that were measured, settings by default, and assumptions."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import exp
from typing import Final

from consumer.settings import Settings as ConsumerSettings
from producer.settings import Settings as ProducerSettings
from tenantry.limits import PARTIQL_BATCH_STATEMENTS, SQS_BATCH_ENTRIES
from tenantry_benchmarks.scale.cost import MEASURED, Calls, NodeSize, PodSize


def _default(settings: type[ConsumerSettings | ProducerSettings], name: str) -> float:
    return float(settings.model_fields[name].default)


@dataclass(frozen=True, slots=True)
class Design:
    """How it is served: measured figures, settings as they are by default, and assumptions.

    Attributes:
        producer_us: CPU µs a message.
        round_trip: Seconds between a call and its answer.
        utilisation: Of a pod's CPU, and of its calls in flight, what a plan may use.
        busy_pod: What a pod that works asks for: a process is one core at most. Assumed.
        tenants_per_pool: Assumed; a value of the environment.
        system_nodes: For controllers: Flux, Karpenter, autoscaling, Terraform runs. Assumed.
        endpoints: Interface endpoints, each in every zone. Assumed.
    """

    producer_us: float = 400.0
    consumer_us: float = 350.0
    calls: Calls = MEASURED
    round_trip: float = 0.02
    utilisation: float = 0.6
    busy_pod: PodSize = field(default_factory=lambda: PodSize(vcpu=0.8, mebibytes=384))
    idle_pod: PodSize = field(default_factory=PodSize)
    node: NodeSize = field(default_factory=NodeSize)
    tenants_per_pool: int = 500
    system_nodes: int = 3
    endpoints: int = 10
    calls_per_queue: float = _default(ProducerSettings, "calls_per_queue")
    polls: float = _default(ConsumerSettings, "polls")
    writes: float = _default(ConsumerSettings, "writes")
    hand: float = _default(ConsumerSettings, "hand_messages")
    send_linger: float = _default(ProducerSettings, "linger_seconds")
    write_linger: float = _default(ConsumerSettings, "write_linger_seconds")
    delete_linger: float = _default(ConsumerSettings, "delete_linger_seconds")

    def producer_bounds(self) -> dict[str, float]:
        """Messages a second of one producer process, by what bounds them: each alone."""
        return {
            "CPU": self.busy_pod.vcpu * 1e6 / self.producer_us,
            "calls in flight": self.calls_per_queue * SQS_BATCH_ENTRIES / self.round_trip,
        }

    def consumer_bounds(self) -> dict[str, float]:
        """The same of one consumer process.

        A poll in flight keeps room for ten in the hand; the rest of it turns over once in a
        write and a delete.
        """
        room = self.hand - SQS_BATCH_ENTRIES * self.polls
        return {
            "CPU": self.busy_pod.vcpu * 1e6 / self.consumer_us,
            "polls in flight": self.polls * SQS_BATCH_ENTRIES / self.round_trip,
            "writes in flight": self.writes * PARTIQL_BATCH_STATEMENTS / self.round_trip,
            "hand": room / (2 * self.round_trip),
        }

    def producer_rate(self) -> float:
        """Messages a second that a plan gives to one producer pod."""
        return self.utilisation * min(self.producer_bounds().values())

    def consumer_rate(self) -> float:
        """The same of a consumer pod."""
        return self.utilisation * min(self.consumer_bounds().values())

    def calls_at(self, sent: float, received: float) -> Calls:
        """Calls a message at so many messages a second of one producer, and of one consumer.

        Who has little to do has little to batch: a call carries what came while it could not
        go. A send waits for its linger while another is under way; a poll takes what came since
        the last one, and there are as many as bring `BALANCED_MESSAGES` each; a write takes
        what a poll brought or what waited, if that is more; a delete for its linger, of which
        some 0.7 are used in the simulation (`fairness`). `calls` are the floor.
        """
        trip, full = self.round_trip, self.calls
        together = 1 + (1 - exp(-sent * trip)) * sent * self.send_linger
        polls = min(self.polls, max(1.0, received * trip / BALANCED_MESSAGES))
        taken = _shared(received * trip / polls)
        waiting = _shared(received * min(trip, self.write_linger))
        # While a write that is longer than the linger is under way, another poll's wait too.
        is_long = trip > self.write_linger
        written = taken + waiting - 1 if is_long else max(taken, waiting)
        return Calls(
            send=max(full.send, 1 / together),
            receive=max(full.receive, 1 / taken),
            write=max(full.write, 1 / written),
            delete=max(full.delete, 1 / _shared(received * self.delete_linger * 0.7)),
            visibility=full.visibility,
        )

    def held_seconds(self) -> float:
        """From received to deleted, without a backlog: two round trips and both lingers."""
        return 2 * self.round_trip + self.write_linger + self.delete_linger


#: What a poll brings while their number stays: of messages that come at random, as many polls
#: then bring half of a call, upon which there is one more, as bring two or fewer, upon which
#: there is one fewer (`consumer.poller`).
BALANCED_MESSAGES: Final = 3.6


def _shared(expected: float) -> float:
    """Messages of a call that takes what came at random meanwhile, or else waits for one."""
    return expected + exp(-expected)
