"""Every metric: its name, its unit (in the name) and its meaning.

`docs/metrics.md` is made from here, and the chart's rules and dashboard use no other names.

A label with the tenant exists only where the set of tenants is bounded, see `TenantLabels`.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
JOURNEY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3_600)
BATCH_BUCKETS = (1, 2, 3, 5, 7, 10, 15, 20, 25)

#: Tenants that get a label value of their own in one process; the others share `other`.
TENANT_LABELS = 200

#: How an AWS call can fail, as `tenantry.outcomes` tells it.
FAILURES = "throttled, missing, denied, refused, error (of the server), timeout, unreachable"


class TenantLabels:
    """Keeps the values of a tenant label bounded: the first tenants seen keep theirs."""

    def __init__(self, most: int = TENANT_LABELS) -> None:
        self._most = most
        self._known: set[str] = set()

    def of(self, tenant_id: str) -> str:
        """The label of a tenant."""
        if tenant_id in self._known:
            return tenant_id
        if len(self._known) >= self._most:
            return "other"
        self._known.add(tenant_id)
        return tenant_id


class _ByTenant:
    """A counter by tenant: to look the values of its label up costs more than to count."""

    def __init__(self, counter: Counter, tenants: TenantLabels) -> None:
        self._counter = counter
        self._tenants = tenants
        self._of: dict[str, Counter] = {}

    def count(self, tenant_id: str, messages: int) -> None:
        tenant = self._tenants.of(tenant_id)
        counter = self._of.get(tenant)
        if counter is None:
            counter = self._of[tenant] = self._counter.labels(tenant)
        counter.inc(messages)


class ServiceMetrics:
    """What both services count: of what they need beside queue and table."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.tenants = TenantLabels()
        self.registry_lookups = Counter(
            "tenantry_registry_lookups",
            "Look-ups of a placement that were not answered from the cache, by outcome: ok, "
            f"misunderstood (the item is wrong), {FAILURES}.",
            ["outcome"],
            registry=registry,
        )
        self.registry_failing = Gauge(
            "tenantry_registry_failing",
            "1 while the last look-up of a placement failed.",
            registry=registry,
        )
        self.jwks_fetches = Counter(
            "tenantry_jwks_fetches",
            "Fetches of the keys that verify tokens, by outcome: ok, failed (it cannot be "
            "fetched), refused (it is no JWKS, or holds no signing key).",
            ["outcome"],
            registry=registry,
        )

    def count_lookup(self, outcome: str) -> None:
        """A placement was looked up."""
        self.registry_lookups.labels(outcome).inc()

    def count_fetch(self, outcome: str) -> None:
        """The keys were fetched, or not."""
        self.jwks_fetches.labels(outcome).inc()


class ProducerMetrics(ServiceMetrics):
    """What a producer counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.accepted = Counter(
            "tenantry_messages_accepted",
            "Messages answered with accepted: SQS has them.",
            ["tenant"],
            registry=registry,
        )
        self.refused = Counter(
            "tenantry_messages_refused",
            "Messages not accepted, by the type of the problem they were answered with.",
            ["problem"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "tenantry_accept_seconds",
            "Time from a request's start to its answer, by route.",
            ["route"],
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.send_calls = Counter(
            "tenantry_send_calls",
            f"SendMessageBatch calls by outcome: ok, partial, {FAILURES}.",
            ["outcome"],
            registry=registry,
        )
        self.send_seconds = Histogram(
            "tenantry_send_seconds",
            "Duration of SendMessageBatch calls.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.send_messages = Histogram(
            "tenantry_send_batch_messages",
            "Messages in a SendMessageBatch call.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.buffer_bytes = Gauge(
            "tenantry_send_buffer_bytes",
            "Bytes of messages that wait to be sent or for the answer.",
            registry=registry,
        )

        self._accepted_by = _ByTenant(self.accepted, self.tenants)

    def count_accepted(self, tenant_id: str, messages: int) -> None:
        """SQS has them."""
        self._accepted_by.count(tenant_id, messages)


class ConsumerMetrics(ServiceMetrics):
    """What a consumer counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.received = Counter(
            "tenantry_messages_received", "Messages received, again or not.", registry=registry
        )
        self.stored = Counter(
            "tenantry_messages_stored",
            "Messages stored for the first time.",
            ["tenant"],
            registry=registry,
        )
        self.duplicates = Counter(
            "tenantry_messages_duplicate",
            "Messages that were stored already.",
            registry=registry,
        )
        self.conflicts = Counter(
            "tenantry_idempotency_conflicts",
            "Messages with the id of one that is stored with another payload; the stored stays.",
            registry=registry,
        )
        self.rejected = Counter(
            "tenantry_messages_rejected",
            "Receives of messages that can never be stored, by reason: malformed, version (none "
            "that is understood), too-large, refused (by the table), not-forwarded "
            "(by the queue where their tenant lives now). They end in the dead-letter queue.",
            ["reason"],
            registry=registry,
        )
        self.forwarded = Counter(
            "tenantry_messages_forwarded",
            "Messages sent on to the queue where their tenant lives now.",
            registry=registry,
        )
        self.dropped = Counter(
            "tenantry_messages_dropped",
            "Messages of offboarded tenants, deleted.",
            registry=registry,
        )
        self.kept = Counter(
            "tenantry_messages_kept",
            "Receives of messages that nobody can place now: their tenant is not known, its "
            "placement cannot be read, or its queue does not take them. They stay away.",
            registry=registry,
        )
        self.expired = Counter(
            "tenantry_messages_expired",
            "Messages in hand whose visibility was lost before they were written.",
            registry=registry,
        )
        self.calls = Counter(
            "tenantry_consumer_calls",
            "AWS calls by operation (receive, delete, change_visibility, forward, write, compare, "
            f"read, list, assume_role) and outcome: ok, partial, {FAILURES}.",
            ["operation", "outcome"],
            registry=registry,
        )
        self.write_messages = Histogram(
            "tenantry_write_batch_messages",
            "Messages in a BatchExecuteStatement call.",
            buckets=BATCH_BUCKETS,
            registry=registry,
        )
        self.write_seconds = Histogram(
            "tenantry_write_seconds",
            "Duration of BatchExecuteStatement calls.",
            buckets=LATENCY_BUCKETS,
            registry=registry,
        )
        self.journey_seconds = Histogram(
            "tenantry_accepted_to_stored_seconds",
            "Time from acceptance to the item, of messages stored for the first time.",
            buckets=JOURNEY_BUCKETS,
            registry=registry,
        )
        self.hand_messages = Gauge(
            "tenantry_hand_messages",
            "Messages received and not settled yet.",
            registry=registry,
        )
        self.hand_bytes = Gauge(
            "tenantry_hand_bytes",
            "Bytes of messages received and not settled yet.",
            registry=registry,
        )
        self.oldest_seconds = Gauge(
            "tenantry_oldest_message_seconds",
            "Age of the oldest message of the last receive that brought any.",
            registry=registry,
        )
        self.polls = Gauge("tenantry_polls", "ReceiveMessage calls in flight.", registry=registry)
        self.blocked = Gauge(
            "tenantry_consumer_blocked",
            "1 while nothing is received, by what is the matter: store, registry.",
            ["cause"],
            registry=registry,
        )
        for cause in ("store", "registry"):
            self.blocked.labels(cause)  # 0 from the start: what is absent raises no alert
        self.reads = Counter(
            "tenantry_reads",
            "Requests for stored messages, by outcome: ok, or the problem's type.",
            ["outcome"],
            registry=registry,
        )

        self._stored_by = _ByTenant(self.stored, self.tenants)

    def count_stored(self, tenant_id: str, messages: int) -> None:
        """The table has them, for the first time."""
        self._stored_by.count(tenant_id, messages)

    def count_call(self, operation: str, outcome: str) -> None:
        """A call to AWS was answered, or not."""
        self.calls.labels(operation, outcome).inc()
