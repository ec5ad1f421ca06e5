"""What breaks first: quotas against what a load needs of them, and what the design does there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tenantry.registry import TIER_RATES
from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.cost import IDLE_POOL, TIERS, Tier
from tenantry_benchmarks.scale.load import FEW_TENANTS, typical
from tenantry_benchmarks.scale.model import GROUP_TENANTS, ZONES, Needs, needs
from tenantry_benchmarks.scale.quotas import Quota

#: What helps: asking AWS, a value of ours, or nothing but a second environment.
Remedy = Literal["ask", "set", "split"]

#: Of one digit of a hash: what `shards` can be at most.
MOST_SHARDS: Final = 256
#: Made once for an environment; controllers have as many again. Assumed.
ROLES: Final = 12
#: Assumed: a HelmRelease with its status, and one stored release with the chart in it, of
#: which Helm keeps five; workloads, policies and state of a tenant that owns some.
RECORD_BYTES: Final = 6_000
RELEASE_BYTES: Final = 25_000
RELEASES_KEPT: Final = 5
OWN_BYTES: Final = 95_000
#: For how long SQS uses a data key of KMS again, in seconds.
#: SQS developer guide, "Data key reuse period".
DATA_KEY_SECONDS: Final = 300


@dataclass(frozen=True, slots=True)
class Limit:
    """A quota, what a load needs of it, and what the design does about it."""

    name: str
    quota: Quota
    needed: float
    remedy: Remedy
    design: str

    @property
    def ratio(self) -> float:
        """Of the default, what is needed."""
        return self.needed / self.quota.value

    @property
    def is_over(self) -> bool:
        """The default is not enough."""
        return self.ratio > 1

    @property
    def is_impossible(self) -> bool:
        """Nor is the most that it can be raised to."""
        return self.quota.hard is not None and self.needed > self.quota.hard


def limits(found: Needs) -> list[Limit]:
    """Every limit, the nearest first."""
    load, pools = found.load, found.pools
    tenants = sum(load.tenants.values())
    own = load.tenants["advanced"] + load.tenants["premium"]
    groups = [2 + load.tenants["advanced"] / pools] if pools else []
    groups += [2.0 * min(GROUP_TENANTS, load.tenants["premium"])]
    associations = 2 * pools + load.tenants["advanced"] + 2 * load.tenants["premium"] + ROLES / 2
    stored = (RECORD_BYTES + RELEASE_BYTES * RELEASES_KEPT) * (tenants + pools) + OWN_BYTES * own
    senders = sum(one.pods for one in found.producers.values())
    receivers = sum(one.pods for one in found.consumers.values())
    rated, rate_name = _nearest_rate(found)
    all_of_them = [
        Limit(
            "vCPUs",
            quotas.VCPUS,
            2.0 * found.nodes,
            "ask",
            "nothing: ask before the first day",
        ),
        Limit(
            "one partition key",
            Quota(
                quotas.PARTITION_WRITES.value,
                quotas.PARTITION_WRITES.of,
                quotas.PARTITION_WRITES.source,
                can_be_raised=True,
                most=quotas.PARTITION_WRITES.value * MOST_SHARDS,
            ),
            found.loudest_tenant,
            "set",
            "`shards` in the placement, 1 by default, at most 256; only a move changes it",
        ),
        Limit(
            f"rate of {rate_name} tenants",
            Quota(
                TIER_RATES[rate_name],
                "write units a second that each producer process lets through",
                "`tenantry.registry`, ours",
                can_be_raised=True,
            ),
            rated,
            "set",
            "429 with Retry-After; `rate` in the placement",
        ),
        Limit(
            "new table",
            quotas.NEW_TABLE_WRITES,
            found.busiest_table,
            "ask",
            "nothing: no table is warmed; until it has grown, writes are throttled and lanes rest",
        ),
        Limit(
            "table's writes",
            quotas.TABLE_WRITES,
            found.busiest_table,
            "ask",
            "more pools; a tenant of its own has one table",
        ),
        Limit("tables", quotas.TABLES, found.instances + 1, "ask", "basic tenants share"),
        Limit(
            "messages in flight",
            quotas.SQS_IN_FLIGHT,
            found.in_flight,
            "ask",
            "the hand is bounded; what stays away for its tenant's sake counts too",
        ),
        Limit(
            "Pod Identity associations",
            quotas.ASSOCIATIONS,
            associations,
            "split",
            "one a service and namespace, none for basic",
        ),
        Limit("IAM roles", quotas.ROLES, ROLES, "ask", "made once, none for a tenant"),
        Limit(
            "target groups of an ALB",
            quotas.TARGET_GROUPS,
            max(groups),
            "set",
            "groups of at most twenty premium tenants; advanced tenants of a pool are counted",
        ),
        Limit(
            "ALBs",
            quotas.ALBS,
            found.load_balancers,
            "ask",
            "nothing: each pool has one",
        ),
        Limit(
            "alarms",
            quotas.ALARMS,
            IDLE_POOL.alarms * found.instances,
            "ask",
            "none for basic",
        ),
        Limit(
            "STS calls",
            quotas.ASSUMED_ROLES,
            found.assumed_roles,
            "ask",
            "sessions for 45 min, renewed ahead; after a restart of all pools they are made anew",
        ),
        Limit(
            "KMS calls, if queues have keys of their own",
            quotas.KMS_REQUESTS,
            (2 * senders + receivers) / DATA_KEY_SECONDS,
            "ask",
            "a data key for five minutes; on the path nobody else asks KMS",
        ),
        Limit("nodes", quotas.NODES, found.nodes, "split", "larger nodes"),
        Limit("pods", quotas.PODS, found.pods, "split", "basic tenants have none"),
        Limit(
            "etcd",
            quotas.ETCD_BYTES,
            stored,
            "split",
            "one HelmRelease a tenant; fewer stored releases help",
        ),
        Limit(
            "Terraform objects",
            quotas.TERRAFORM_OBJECTS,
            found.instances,
            "split",
            "none for basic; long intervals",
        ),
        Limit(
            "DNS records",
            quotas.DNS_RECORDS,
            tenants,
            "ask",
            "one a tenant; a wildcard would do for a single pool",
        ),
        Limit(
            "interface endpoints",
            quotas.ENDPOINT_BITS,
            found.bytes_per_second * 8 / ZONES,
            "ask",
            "one in each zone",
        ),
    ]
    return sorted(all_of_them, key=lambda limit: -limit.ratio)


def over(found: Needs) -> list[Limit]:
    """What is not enough by default, the furthest first."""
    return [limit for limit in limits(found) if limit.is_over]


def nearest(found: Needs) -> Limit:
    """What comes next, once all that is over was raised."""
    return next(limit for limit in limits(found) if not limit.is_over)


def most_tenants(name: str, *, messages_per_tenant: float = 0.1, most: int = 10_000_000) -> int:
    """How many tenants, typically mixed, a limit's default is enough for; `most` if for more.

    Raises:
        KeyError: There is no limit of that name.
    """

    def is_over(tenants: int) -> bool:
        found = needs(typical(tenants * messages_per_tenant, tenants))
        for limit in limits(found):
            if limit.name == name:
                return limit.is_over
        raise KeyError(name)

    low, high = FEW_TENANTS + 1, most
    if not is_over(high):
        return most
    while high - low > 1:
        middle = (low + high) // 2
        if is_over(middle):
            high = middle
        else:
            low = middle
    return low


def cold_seconds(found: Needs) -> float:
    """How long STS takes to give every reader's session, after all pools began anew at once."""
    return found.sessions / quotas.ASSUMED_ROLES.value


def _nearest_rate(found: Needs) -> tuple[float, Tier]:
    """Write units a second that a producer process gets of a tier's loudest tenant.

    Of the tier where that is nearest to its rate.
    """
    load = found.load
    units = load.size.write_units
    processes: dict[Tier, int] = {
        "basic": found.producers["pool"].most,
        "advanced": found.producers["pool"].most,
        "premium": found.producers["premium"].most,
    }
    rates = {tier: load.most(tier) * units / processes[tier] for tier in TIERS if processes[tier]}
    tier = max(rates, key=lambda one: rates[one] / TIER_RATES[one])
    return rates[tier], tier
