"""What a variables file says: the types of platform/terraform/environment/variables.tf, frozen.

Types only, as Terraform has them; what values may be is in `rules`. Nothing has a default, and
what is `| None` is written as `null`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from pydantic import BaseModel, ConfigDict


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Peer(_Section):
    """A VPC that routes to the environment's, and back."""

    cidr: str
    vpc_id: str | None
    reaches_services: bool


class Network(_Section):
    """The VPC."""

    cidr: str
    zones: list[str]
    nat: str
    interface_endpoints: list[str]
    flow_log_days: int
    peers: Mapping[str, Peer]


class Workstation(_Section):
    """The machine that applies Terraform."""

    cidr: str
    instance_type: str
    volume_gib: int
    idle_minutes: int


class Kubernetes(_Section):
    """The cluster."""

    version: str
    service_cidr: str
    public_access_cidrs: list[str]
    log_days: int
    admins: list[str]
    viewers: list[str]
    operators: list[str]


class Addon(_Section):
    """What the cluster has beside Kubernetes."""

    version: str
    enabled: bool


class SystemNodes(_Section):
    """The managed node group."""

    image: str
    instance_types: list[str]
    minimum: int
    maximum: int
    volume_gib: int


class NodeClass(_Section):
    """Karpenter's machines."""

    image: str
    image_version: str
    volume_gib: int


class NodePool(_Section):
    """Karpenter's pool of one tier; `cpu` in cores."""

    architectures: list[str]
    categories: list[str]
    capacity: list[str]
    cpu: int
    memory_gib: int


class Bounds(_Section):
    """How many tenants share something, at most."""

    basic_a_pool: int
    advanced_a_pool: int
    premium_a_group: int
    load_balancers: int


class Domain(_Section):
    """Where tenants are reached."""

    name: str
    zone_id: str | None
    certificate_arn: str | None


class Identity(_Section):
    """The identity provider."""

    mode: str
    issuer: str
    audience: str
    jwks: str
    claim: str
    algorithms: list[str]
    cidrs: list[str]


class Git(_Section):
    """The repositories."""

    url: str
    fleet: str
    source: str
    branch: str


class Registry(_Section):
    """The ECR of images and charts."""

    account: str | None
    region: str | None
    prefix: str


class Limits(_Section):
    """Bytes of a message, dollars of a month."""

    max_message_bytes: int
    monthly_usd: int | float


class Alerts(_Section):
    """Who is told."""

    emails: list[str]


class Telemetry(_Section):
    """Traces."""

    sample_ratio: int | float


class Environment(_Section):
    """A variables file."""

    environment: str
    region: str
    account: str | None
    protected: bool
    tags: Mapping[str, str]
    network: Network
    workstation: Workstation | None
    kubernetes: Kubernetes
    addons: Mapping[str, Addon]
    system_nodes: SystemNodes
    node_class: NodeClass
    node_pools: Mapping[str, NodePool]
    bounds: Bounds
    domain: Domain
    identity: Identity
    git: Git
    registry: Registry
    limits: Limits
    alerts: Alerts
    telemetry: Telemetry


@dataclass(frozen=True, slots=True)
class Subnets:
    """The VPC's parts, by zone: as modules/network has them.

    Attributes:
        private: Nodes and pods: a quarter of the VPC each.
        public: Load balancers and NAT.
        endpoint: Interface endpoints and the control plane's interfaces.
    """

    private: tuple[str, ...]
    public: tuple[str, ...]
    endpoint: tuple[str, ...]

    @classmethod
    def of(cls, cidr: str) -> Subnets:
        """Of a VPC's range."""
        quarters = list(IPv4Network(cidr).subnets(2))
        public = list(quarters[3].subnets(4))
        endpoint = list(public[3].subnets(2))
        kinds = (quarters, public, endpoint)
        return cls(*(tuple(str(subnet) for subnet in kind[:3]) for kind in kinds))
