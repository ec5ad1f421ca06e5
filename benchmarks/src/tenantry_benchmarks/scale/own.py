"""What tenants of their own take of what AWS bounds: IAM, EKS, load balancers, tables, queues.

The other models plan loads; here it is counted what modules and chart make for the most tenants
that one environment is built for. The figures of an instance are held to modules and chart by
`tests/platform/iam/test_quotas.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Literal

from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.model import GROUP_TENANTS
from tenantry_benchmarks.scale.quotas import Quota
from tenantry_benchmarks.scale.sources import number, table

Kind = Literal["pool", "advanced", "premium"]

#: The environment's own, by `modules/identity`: none more for any tenant.
ROLES: Final = 6
#: Roles and associations of the environment's controllers: of nodes, load balancers, DNS, secrets,
#: autoscaling, workflows. Assumed, with room.
CONTROLLERS: Final = 20
#: Advanced tenants add a rule and a target group each to their pool's group, of which a load
#: balancer takes a hundred and no more: so many a pool, however many basic ones it holds.
ADVANCED_PER_POOL: Final = 75


@dataclass(frozen=True, slots=True)
class Makes:
    """What modules and chart make for one instance; a table, too, for each."""

    associations: int
    target_groups: int
    rules: int
    queues: int = 2
    alarms: int = 2


MAKES: Final[dict[Kind, Makes]] = {
    "pool": Makes(associations=2, target_groups=2, rules=3),
    "advanced": Makes(associations=1, target_groups=1, rules=1),
    "premium": Makes(associations=2, target_groups=2, rules=3),
}


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a quota is taken; a thing without a quota has none."""

    name: str
    taken: int
    quota: Quota | None

    @property
    def is_over(self) -> bool:
        """The default is not enough."""
        return self.quota is not None and self.taken > self.quota.value

    def __str__(self) -> str:
        return f"{self.name}: {self.taken:,}"


def shares(*, advanced: int, premium: int) -> list[Share]:
    """What so many tenants of each tier take, in as many pools and groups as they need."""
    pools = max(1, ceil(advanced / ADVANCED_PER_POOL))
    counts: dict[Kind, int] = {"pool": pools, "advanced": advanced, "premium": premium}
    groups = ceil(premium / GROUP_TENANTS)
    in_pool, in_group = ceil(advanced / pools), min(premium, GROUP_TENANTS)

    def fullest(of: Callable[[Makes], int]) -> int:
        pool = of(MAKES["pool"]) + in_pool * of(MAKES["advanced"])
        return max(pool, in_group * of(MAKES["premium"]))

    def made(of: Callable[[Makes], int]) -> int:
        return sum(count * of(MAKES[kind]) for kind, count in counts.items())

    associations = made(lambda one: one.associations) + CONTROLLERS
    instances = sum(counts.values())
    return [
        Share("IAM roles", ROLES + CONTROLLERS, quotas.ROLES),
        Share("associations", associations, quotas.ASSOCIATIONS),
        Share("ALBs", pools + groups, quotas.ALBS),
        Share("target groups", fullest(lambda one: one.target_groups), quotas.TARGET_GROUPS),
        Share("rules", fullest(lambda one: one.rules), quotas.RULES),
        Share("tables", instances + 1, quotas.TABLES),
        Share("alarms", made(lambda one: one.alarms), quotas.ALARMS),
        Share("queues", made(lambda one: one.queues), None),
    ]


def own_table(advanced: int = 500, premium: int = 500) -> str:
    """Of the most that an environment is built for: one row, as the page is short."""
    found = shares(advanced=advanced, premium=premium)
    row = [
        f"{one.taken:,} of {number(one.quota.value)}" if one.quota else f"{one.taken:,}"
        for one in found
    ]
    head = (f"{advanced:,} + {premium:,}", *(one.name for one in found))
    return table(head, [["taken", *row]])
