"""What so many tenants take of what AWS bounds: IAM, EKS, load balancers, tables, alarms.

Quotas and their sources are those of `docs/scale.md`, which plans whole loads; here it is counted
from what the modules make, for the worst that a cluster is built for. Only the bounds of IAM's
documents are named here, as nothing else looks at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from tenantry_benchmarks.scale import quotas
from tenantry_benchmarks.scale.quotas import Quota

#: IAM User Guide, "IAM and AWS STS quotas": characters of all inline policies of a role, without
#: white space; of a trust policy by default; of a role's name.
ROLE_POLICIES_CHARACTERS: Final = 10_240
TRUST_POLICY_CHARACTERS: Final = 2_048
ROLE_NAME_CHARACTERS: Final = 64

#: Premium tenants share groups of at most twenty. Advanced ones add a rule and a target group each
#: to their pool's, of which a load balancer takes a hundred and no more: so a pool holds at most
#: eighty of them, however many basic ones it holds.
PREMIUM_PER_GROUP: Final = 20
ADVANCED_PER_POOL: Final = 80
#: Of a pool's group: its producer and its consumer, for everybody.
_OF_A_POOL: Final = 2
_OF_A_PREMIUM: Final = 2
#: Roles and associations of the environment's controllers: of nodes, load balancers, DNS, secrets,
#: autoscaling, workflows. Assumed, with room.
CONTROLLERS: Final = 20


@dataclass(frozen=True, slots=True)
class Share:
    """How much of a quota is taken."""

    name: str
    taken: int
    quota: Quota

    def __str__(self) -> str:
        share = self.taken / self.quota.value
        return f"{self.name}: {self.taken:,} of {self.quota.value:,.0f} ({share:.0%})"


def shares(*, advanced: int, premium: int, roles: int, accounts: Mapping[str, int]) -> list[Share]:
    """What they take, the default quotas beside it.

    Args:
        advanced: Tenants of this tier, spread over as many pools as they need.
        premium: Tenants of this tier.
        roles: That `modules/identity` makes.
        accounts: Service accounts with an association, of a pool, an advanced, a premium tenant.
    """
    pools = max(1, ceil(advanced / ADVANCED_PER_POOL))
    groups = ceil(premium / PREMIUM_PER_GROUP)
    instances = pools + advanced + premium
    associations = (
        pools * accounts["pool"] + advanced * accounts["advanced"] + premium * accounts["premium"]
    )
    of_a_group = max(
        _OF_A_POOL + ceil(advanced / pools), _OF_A_PREMIUM * min(premium, PREMIUM_PER_GROUP)
    )
    return [
        Share("roles", roles + CONTROLLERS, quotas.ROLES),
        Share("Pod Identity associations", associations + CONTROLLERS, quotas.ASSOCIATIONS),
        Share("load balancers", pools + groups, quotas.ALBS),
        Share("target groups of one load balancer", of_a_group, quotas.TARGET_GROUPS),
        Share("rules of one load balancer", of_a_group, quotas.RULES),
        Share("tables", instances + 1, quotas.TABLES),
        Share("alarms", 2 * instances, quotas.ALARMS),
    ]
