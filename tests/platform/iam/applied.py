"""The environment's roles applied to an engine, and the gate that enforces what arrived there.

For `make test-terraform`: what runs behind it may do what the engine's policies allow, and what
was refused is in `Gate.refused`.

    with applied_gate(tool, folder, engine_url, environment="dev", region=REGION) as gate:
        root = open_root(tool, copy, **runner(gate, "dev", region=REGION))
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from iam.engine import open_engine
from iam.gate import Gate, RolePolicies, gate_in_thread
from iam.rendered import MODULE
from support import terraform


@contextmanager
def applied_gate(
    tool: Path,
    folder: Path,
    engine_url: str,
    *,
    environment: str,
    region: str,
    account: str = "000000000000",
    elsewhere: Mapping[str, str] | None = None,
) -> Generator[Gate, None, None]:
    """Apply `modules/identity`, read the policies back, and start the gate in front of the engine.

    The cluster has the environment's name.

    Args:
        tool: Terraform or OpenTofu.
        folder: For the root of the roles, which is not destroyed: the engine ends with the test.
        engine_url: Of an engine with IAM, EKS and STS.
        environment: Whose roles, and whose cluster.
        region: Of the cluster.
        account: The engine's.
        elsewhere: Addresses of services that the engine lacks, by their signing name (`tagging`).
    """
    root = terraform.open_root(
        tool,
        terraform.copy_module(MODULE, folder / "identity"),
        AWS_ENDPOINT_URL=engine_url,
        AWS_REGION=region,
    )
    root.write({"environment": environment, "cluster_name": environment})
    root.run("apply", "-input=false", "-auto-approve")

    async def roles() -> list[RolePolicies]:
        async with open_engine(engine_url, region=region) as engine:
            return await engine.roles(environment)

    async def tags(arn: str) -> Mapping[str, str]:
        # Each time anew: what is applied changes them.
        async with open_engine(engine_url, region=region, services={arn.split(":")[2]}) as engine:
            return await engine.tags(arn)

    found = asyncio.run(roles())
    with gate_in_thread(
        engine_url, found, tags=tags, account=account, elsewhere=elsewhere
    ) as gate:
        yield gate


def pod(
    gate: Gate, environment: str, role: str, *, namespace: str, account: str, region: str
) -> dict[str, str]:
    """The environment variables of a pod of the environment's cluster, behind the gate."""
    return gate.pod(
        f"{environment}-tenantry-{role}",
        cluster_arn=f"arn:aws:eks:{region}:{gate.account}:cluster/{environment}",
        namespace=namespace,
        account=account,
    )


def runner(gate: Gate, environment: str, *, region: str) -> dict[str, str]:
    """Those of what runs the tenants' Terraform."""
    return pod(
        gate,
        environment,
        "tf-runner",
        namespace="tenant-infra",
        account="tf-runner",
        region=region,
    )
