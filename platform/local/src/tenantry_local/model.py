"""What a laptop is made of, as values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from tenantry.registry import Tier

ENVIRONMENT: Final = "local"
#: Any: nothing here reaches AWS. The credentials are as false as they look.
REGION: Final = "eu-west-1"
ACCESS_KEY_ID: Final = "local"
SECRET_ACCESS_KEY: Final = "local"  # noqa: S105 - the engine takes any

HOST: Final = "127.0.0.1"

#: What SQS and DynamoDB are on the laptop: an engine of somebody else's, or our own stand-in,
#: which is fast and a model of a fair queue.
EngineKind = Literal["embedded", "standin"]

DEFAULT_POOL: Final = "pool-1"

PRODUCER: Final = "producer"
CONSUMER: Final = "consumer"


class LaptopError(Exception):
    """Something that its reader can act on. `status` is what the process exits with.

    2: what was asked for cannot be done, and nothing was tried. 1: it was tried, and failed.
    """

    def __init__(self, detail: str, *, status: int = 1) -> None:
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True, slots=True)
class TenantSpec:
    """A tenant that is wanted. `pool` is None for a premium tenant, which owns everything."""

    tenant_id: str
    tier: Tier
    pool: str | None = DEFAULT_POOL


#: One pool with two basic tenants, one advanced, one premium: every placement there is.
DEFAULT_TENANTS: Final = (
    TenantSpec("acme", "basic"),
    TenantSpec("globex", "basic"),
    TenantSpec("initech", "advanced"),
    TenantSpec("umbrella", "premium", None),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a laptop is set up. Port 0 is a free one.

    Attributes:
        run_dir: Where keys, tokens and logs are while it runs; None takes `.tenantry/run`, or
            another beside it when a laptop runs there.
        engine: What stands for AWS: `embedded`, or `standin` (`tenantry_local.aws_standin`).
        wait_seconds: Of one long poll, and so about the longest that stopping takes.
        visibility_seconds: How long a received message stays hidden.
        max_receive_count: Receives before a message moves to the dead-letter queue.
        rate: Write units a second of each tenant in each producer. Production's by far, so
            that a demo is not limited.
        max_message_bytes: Of one message with its attributes.
        endpoint_url: What services call instead of the engine: a proxy that counts, say.
        extra_env: Environment by service (`producer`, `consumer`): faults and settings.
        producer_command: Started instead of `python -m producer`.
        consumer_command: Started instead of `python -m consumer`.
        ready_seconds: How long a process may take to be ready.
        fleet: Whether it follows a fleet of its own, which tenantctl changes, and writes the
            context `laptop` for it.
        placement_max_age_seconds: How old a placement may be that a service still uses.
    """

    run_dir: Path | None = None
    engine: EngineKind = "embedded"
    engine_port: int = 0
    router_port: int = 0
    wait_seconds: int = 2
    visibility_seconds: int = 30
    max_receive_count: int = 10
    rate: int = 100_000
    max_message_bytes: int = 262_144
    endpoint_url: str | None = None
    extra_env: Mapping[str, Mapping[str, str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    producer_command: tuple[str, ...] | None = None
    consumer_command: tuple[str, ...] | None = None
    ready_seconds: float = 30.0
    fleet: bool = False
    placement_max_age_seconds: float = 300


@dataclass(frozen=True, slots=True)
class Resources:
    """Queue, dead-letter queue and table of one instance."""

    queue_url: str
    dead_letter_queue_url: str
    table_name: str


@dataclass(frozen=True, slots=True)
class Tenant:
    """A tenant that is placed.

    Attributes:
        producer: Instance whose producer serves it: its pool, or itself.
        consumer: Instance whose consumer serves it.
        token_file: A header line `Authorization: Bearer …`, readable to its owner only; what
            `curl -H @file` takes.
    """

    tenant_id: str
    tier: Tier
    pool: str | None
    producer: str
    consumer: str
    queue_url: str
    dead_letter_queue_url: str
    table_name: str
    token_file: Path


@dataclass(frozen=True, slots=True)
class Pool:
    """A shared deployment, and who lives in it now."""

    name: str
    resources: Resources
    tenants: tuple[str, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class Instance:
    """One service process, as it stands now. `pid` is None when it does not run."""

    instance: str
    service: str
    port: int
    private_port: int
    pid: int | None
    log: Path

    @property
    def url(self) -> str:
        """Where it listens for requests."""
        return f"http://{HOST}:{self.port}"

    @property
    def private_url(self) -> str:
        """Where /livez, /readyz and /metrics are."""
        return f"http://{HOST}:{self.private_port}"
