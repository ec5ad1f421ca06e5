"""The environment's roles applied to an engine, and the gate that enforces what arrived there.

For `make test-terraform`: what runs behind it may do what the engine's policies allow, and what
was refused is in `Gate.refused`.

    roles = apply_roles(tool, folder, engine_url, environment="dev", cluster="dev", region=REGION)
    with in_thread(gate_of_applied(engine_url, environment="dev", region=REGION)) as gate:
        root = open_root(tool, copy, **runner(gate, "dev", cluster="dev", region=REGION))
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from iam.engine import open_engine
from iam.gate import HOST, Gate, gate_up
from iam.rendered import MODULE, Roles
from support import terraform


def apply_roles(
    tool: Path,
    folder: Path,
    engine_url: str,
    *,
    environment: str,
    cluster: str,
    region: str,
    variables: Mapping[str, Any] | None = None,
) -> Roles:
    """Apply `modules/identity`, and read the roles back.

    Args:
        tool: Terraform or OpenTofu.
        folder: For the root of the roles, which is not destroyed: the engine ends with the test.
        engine_url: Of an engine with IAM, EKS and STS.
        environment: Whose roles.
        cluster: The environment's.
        region: Of the cluster.
        variables: What else the module is told.
    """
    root = terraform.open_root(
        tool,
        terraform.copy_module(MODULE, folder / "identity"),
        AWS_ENDPOINT_URL=engine_url,
        AWS_REGION=region,
    )
    root.write({"environment": environment, "cluster_name": cluster, **(variables or {})})
    root.run("apply", "-input=false", "-auto-approve")

    async def read() -> Roles:
        async with open_engine(engine_url, region=region) as engine:
            return await engine.documents(environment)

    return asyncio.run(read())


@asynccontextmanager
async def gate_of_applied(
    engine_url: str,
    *,
    environment: str,
    region: str,
    account: str = "000000000000",
    elsewhere: Mapping[str, str] | None = None,
    host: str = HOST,
) -> AsyncGenerator[Gate, None]:
    """A gate that decides by the policies that the engine holds now, and by tags as they change.

    Args:
        engine_url: Of the engine.
        environment: Whose roles.
        region: Of its resources.
        account: The engine's.
        elsewhere: Addresses of services that the engine lacks, by their signing name (`tagging`).
        host: The address that it listens at.
    """
    async with open_engine(engine_url, region=region) as engine:
        roles = await engine.roles(environment)
        async with gate_up(
            engine_url,
            roles,
            tags=engine.tags,
            account=account,
            elsewhere=elsewhere,
            host=host,
        ) as gate:
            yield gate


def pod(
    gate: Gate,
    environment: str,
    role: str,
    *,
    cluster: str,
    namespace: str,
    account: str,
    region: str,
) -> dict[str, str]:
    """The environment variables of a pod of the environment's cluster, behind the gate."""
    return gate.pod(
        f"{environment}-tenantry-{role}",
        cluster_arn=f"arn:aws:eks:{region}:{gate.account}:cluster/{cluster}",
        namespace=namespace,
        account=account,
    )


def runner(gate: Gate, environment: str, *, cluster: str, region: str) -> dict[str, str]:
    """Those of what runs the tenants' Terraform."""
    return pod(
        gate,
        environment,
        "tf-runner",
        cluster=cluster,
        namespace="tenant-infra",
        account="tf-runner",
        region=region,
    )
