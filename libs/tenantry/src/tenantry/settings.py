"""What both services are told by the environment. Frozen; units are in the names.

Prefix `TENANTRY_` for what is ours; `AWS_*` and `OTEL_*` mean what they mean everywhere.
`docs/settings.md` is made from these classes.
"""

from __future__ import annotations

import re
import sys
from math import ceil
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tenantry.registry import TTL_SECONDS, Tier
from tenantry.tenant_id import parse_tenant_id
from tenantry.transport import Transport

#: Signatures that a published key can verify: a shared secret is none.
ASYMMETRIC_ALGORITHMS = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

#: No hyphen: it ends at the first one of a name, so that no two environments of an account can
#: make the same name of a queue or a table (`dev` + `a-b`, `dev-a` + `b`).
ENVIRONMENT_PATTERN = r"^[a-z][a-z0-9]*$"
POOL_PATTERN = r"^pool-[a-z0-9]+(-[a-z0-9]+)*$"

Port = Annotated[int, Field(ge=0, le=65_535)]


class ServiceSettings(BaseSettings):
    """Who this process is, whom it believes, and how it ends."""

    model_config = SettingsConfigDict(
        env_prefix="TENANTRY_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    environment: str = Field(
        pattern=ENVIRONMENT_PATTERN, max_length=20, description="The environment's name."
    )
    instance: str = Field(
        max_length=32, description="The pool or the tenant that this process serves."
    )
    tier: Tier = Field(description="`basic` for a pool, otherwise the tenant's tier.")
    host: str = Field(default="0.0.0.0", description="Address of both ports.")  # noqa: S104 - in a pod
    port: Port = Field(default=8080, description="Public port; 0 takes a free one.")
    private_port: Port = Field(
        default=9090, description="Port of /livez, /readyz and /metrics; no route reaches it."
    )
    registry_table: str = Field(description="The registry: the table of all placements.")
    transport: Transport = Field(
        default="lean",
        description="Which way sends, receives, deletes and writes take: `lean`, or `botocore`, "
        "at several times the CPU, as all other calls.",
    )
    placement_max_age_seconds: float = Field(
        default=300,
        ge=TTL_SECONDS,
        le=3_600,
        description="How old a placement may be while the registry fails.",
    )

    identity: Literal["jwt", "header"] = Field(
        default="jwt",
        description="Where the tenant comes from. `header` believes the tenantID header: only "
        "behind a mesh that sets it and strips the client's.",
    )
    jwks: str | None = Field(default=None, description="Path or http(s) address of the JWKS.")
    jwt_issuer: str | None = Field(default=None, description="What `iss` must be.")
    jwt_audience: str | None = Field(default=None, description="What `aud` must hold.")
    jwt_algorithms: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("RS256",), description="Signatures that are taken, separated by commas."
    )
    tenant_claim: str = Field(
        default="tenant_id", min_length=1, description="The claim that names the tenant."
    )

    shutdown_delay_seconds: float = Field(
        default=15,
        ge=0,
        le=120,
        description="How long requests are taken after SIGTERM: the load balancer's lag.",
    )
    request_seconds: float = Field(
        default=10, gt=0, le=60, description="How long one request may take."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least level that is logged."
    )
    version: str = Field(default="0.1.0", description="What `/producer` and `/consumer` say.")

    @field_validator("jwt_algorithms", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("jwt_algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not ASYMMETRIC_ALGORITHMS.issuperset(value):
            msg = f"must be of {', '.join(sorted(ASYMMETRIC_ALGORITHMS))}"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _token_can_be_verified(self) -> Self:
        if self.identity == "jwt":
            wanted = {
                "TENANTRY_JWKS": self.jwks,
                "TENANTRY_JWT_ISSUER": self.jwt_issuer,
                "TENANTRY_JWT_AUDIENCE": self.jwt_audience,
            }
            if missing := [name for name, value in wanted.items() if not value]:
                msg = f"TENANTRY_IDENTITY=jwt needs {', '.join(missing)}"
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _instance_fits_its_tier(self) -> Self:
        if self.is_pool:
            if not re.fullmatch(POOL_PATTERN, self.instance):
                msg = f"TENANTRY_INSTANCE is no pool's name: it matches {POOL_PATTERN}"
                raise ValueError(msg)
            if self.tier != "basic":
                msg = f"TENANTRY_INSTANCE={self.instance} is a pool, so TENANTRY_TIER is basic"
                raise ValueError(msg)
        elif self.tier == "basic":
            msg = "TENANTRY_TIER=basic is a pool's, so TENANTRY_INSTANCE is pool-…"
            raise ValueError(msg)
        else:
            try:
                parse_tenant_id(self.instance)
            except ValueError as error:
                msg = f"TENANTRY_INSTANCE is no tenant's id: {error}"
                raise ValueError(msg) from None
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        if self.port == self.private_port != 0:
            msg = "TENANTRY_PORT and TENANTRY_PRIVATE_PORT are the same"
            raise ValueError(msg)
        return self

    @property
    def is_pool(self) -> bool:
        """Whether many tenants are served."""
        return self.instance.startswith("pool-")

    @property
    def pool(self) -> str | None:
        """The pool's name; None for a dedicated tenant."""
        return self.instance if self.is_pool else None


#: What is added to every grace period, in seconds: the last spans, and a slow node.
FLUSH_SECONDS = 5.0
MARGIN_SECONDS = 5.0


def grace_seconds(
    *,
    shutdown_delay_seconds: float,
    request_seconds: float,
    wait_seconds: float = 0,
    drain_seconds: float = 0,
) -> int:
    """The terminationGracePeriodSeconds that a service needs, in whole seconds.

    Requests are taken during the load balancer's lag, and finished after it. Meanwhile a
    consumer lets its polls end (they cannot be aborted without stranding messages) and settles
    what it holds; while that takes longer than the lag it goes on serving reads.
    """
    work = wait_seconds + 2 + drain_seconds if wait_seconds or drain_seconds else 0
    serving = max(shutdown_delay_seconds, work)
    return ceil(serving + request_seconds + FLUSH_SECONDS + MARGIN_SECONDS)


SettingsT = TypeVar("SettingsT", bound=BaseSettings)


def load(settings: type[SettingsT]) -> SettingsT:
    """The settings, or an end of the process with one line for each that is wrong.

    Raises:
        SystemExit: 2, after the lines were written to standard error.
    """
    try:
        return settings()
    except ValidationError as error:
        prefix = settings.model_config.get("env_prefix", "")
        for problem in error.errors(include_url=False, include_input=False):
            name = "".join(str(part) for part in problem["loc"][:1])
            where = f"{prefix}{name}".upper() if name else "settings"
            what = "is not set" if problem["type"] == "missing" else problem["msg"]
            sys.stderr.write(f"{where}: {what.removeprefix('Value error, ')}\n")
        raise SystemExit(2) from None
