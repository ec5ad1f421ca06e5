"""What AWS and Kubernetes allow, each with its source and whether it can be raised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Quota:
    """A bound that is not ours.

    Attributes:
        value: The default.
        of: What it counts, and for what.
        most: What it can be raised to; `value` where it cannot, `None` where AWS names none.
    """

    value: float
    of: str
    source: str
    can_be_raised: bool = False
    most: float | None = None
    is_documented: bool = True

    @property
    def hard(self) -> float | None:
        """Where asking does not help any more; None if AWS names no such number."""
        return self.most if self.can_be_raised else self.value


SQS_IN_FLIGHT: Final = Quota(
    120_000,
    "messages in flight in one standard queue",
    "SQS developer guide: Quotas, How fair queues work",
    can_be_raised=True,
)
FAIR_IN_FLIGHT: Final = Quota(
    30,
    "own messages in flight from which a tenant can be noisy",
    "SQS developer guide: Quotas, How fair queues work",
)
FAIR_SHARE: Final = Quota(
    0.10,
    "of all in flight, or of recent processing time, above which it is",
    "SQS developer guide: Quotas, How fair queues work",
)
PARTITION_WRITES: Final = Quota(
    1_000,
    "write units a second to one partition key value",
    "DynamoDB developer guide: Quotas, Partition keys, On-demand capacity",
)
TABLE_WRITES: Final = Quota(
    40_000,
    "write units a second to one on-demand table",
    "DynamoDB developer guide: Quotas, Partition keys, On-demand capacity",
    can_be_raised=True,
)
NEW_TABLE_WRITES: Final = Quota(
    4_000,
    "write units a second that a new on-demand table takes at once",
    "DynamoDB developer guide: Quotas, Partition keys, On-demand capacity",
    can_be_raised=True,
)
TABLES: Final = Quota(
    2_500,
    "tables in an account and region",
    "DynamoDB developer guide: Quotas, Partition keys, On-demand capacity",
    can_be_raised=True,
    most=10_000,
)
ASSOCIATIONS: Final = Quota(
    5_000, "Pod Identity associations in a cluster", "EKS user guide: Pod Identity, Clusters"
)
ROLES: Final = Quota(
    1_000, "IAM roles in an account", "IAM user guide, Quotas", can_be_raised=True
)
TARGET_GROUPS: Final = Quota(
    100, "target groups of one ALB", "Elastic Load Balancing, Quotas for ALBs"
)
RULES: Final = Quota(
    100, "rules of one ALB", "Elastic Load Balancing, Quotas for ALBs", can_be_raised=True
)
TARGETS: Final = Quota(
    1_000, "targets of one ALB", "Elastic Load Balancing, Quotas for ALBs", can_be_raised=True
)
ALBS: Final = Quota(
    50, "ALBs in a region", "Elastic Load Balancing, Quotas for ALBs", can_be_raised=True
)
NODES: Final = Quota(
    5_000, "nodes in a cluster", "Kubernetes documentation, Considerations for large clusters"
)
PODS: Final = Quota(
    150_000, "pods in a cluster", "Kubernetes documentation, Considerations for large clusters"
)
NODE_PODS: Final = Quota(
    29, "pods on an m7g.large", "Karpenter documentation, Instance types (VPC CNI, no prefixes)"
)
VCPUS: Final = Quota(
    5,
    "vCPUs of running on-demand standard instances",
    "EC2 user guide, Quotas of on-demand instances",
    can_be_raised=True,
)
ALARMS: Final = Quota(
    5_000,
    "alarms in an account and region",
    "CloudWatch user guide, Common features of alarms",
    can_be_raised=True,
)
ASSUMED_ROLES: Final = Quota(
    600,
    "STS calls a second in an account and region",
    "IAM user guide, Quotas",
    can_be_raised=True,
)
KMS_REQUESTS: Final = Quota(
    100_000,
    "symmetric operations a second of KMS in us-east-1, us-west-2 and eu-west-1",
    "KMS developer guide, Request quotas",
    can_be_raised=True,
)
SSM_REQUESTS: Final = Quota(
    40,
    "GetParameter calls a second without a charge",
    "Systems Manager, Service quotas",
    can_be_raised=True,
)
ENDPOINT_BITS: Final = Quota(
    10e9,
    "bit/s through one interface endpoint in one zone; it grows by itself",
    "AWS PrivateLink, Considerations",
    can_be_raised=True,
    most=100e9,
)
DNS_RECORDS: Final = Quota(
    10_000, "records in a hosted zone", "Route 53 developer guide, Quotas", can_be_raised=True
)
ETCD_BYTES: Final = Quota(
    8 * 2**30, "of etcd behind one cluster", "EKS user guide: Pod Identity, Clusters"
)
TERRAFORM_OBJECTS: Final = Quota(
    1_500,
    "Terraform objects that one tofu-controller was seen to hold",
    "issue 467 of tofu-controller, a user's report",
    can_be_raised=True,
    is_documented=False,
)
