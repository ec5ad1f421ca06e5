"""All templates, deployed on the embedded engine: what CloudFormation makes of them there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from botocore.exceptions import ClientError

from cloud import templates
from cloud.environments import ROOT
from iam.engine import Engine, open_engine
from tenantry_cloud import bootstrap
from tenantry_cloud.reading import read_environment
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

pytestmark = pytest.mark.slow

#: What ministack 1.5.33's CloudFormation does not know, and is left out.
LACKS: Final = ["AWS::EC2::Instance"]
SERVICES: Final = ("cloudformation", "ec2", "iam", "s3")
DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncGenerator[Engine]:
    """The embedded engine with what the templates need."""
    processes, port = Processes(), free_port()
    try:
        await start_engine(
            processes, port, tmp_path, services=",".join((*SERVICES, "ssm", "logs"))
        )
        async with open_engine(
            f"http://127.0.0.1:{port}", region="eu-central-1", services=SERVICES
        ) as opened:
            yield opened
    finally:
        processes.close()


async def _deploy(engine: Engine, stack: str, template: dict[str, Any], **given: str) -> str:
    client = engine.client("cloudformation")
    await client.create_stack(
        StackName=stack,
        TemplateBody=yaml.safe_dump(template),
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": given[key]} for key in given],
    )
    return await _settled(engine, stack)


async def _settled(engine: Engine, stack: str) -> str:
    client = engine.client("cloudformation")
    async with asyncio.timeout(60):
        while True:
            try:
                [found] = (await client.describe_stacks(StackName=stack))["Stacks"]
            except ClientError:
                return "DELETE_COMPLETE"
            status: str = found["StackStatus"]
            if not status.endswith("IN_PROGRESS"):
                return status
            await asyncio.sleep(0.1)


async def test_state_outlives_its_stack(engine: Engine) -> None:
    """Deleted with its stack, the bucket is still there, versioned and private."""
    status = await _deploy(engine, "tenantry-state", templates.load("state.yaml"))
    await engine.client("cloudformation").delete_stack(StackName="tenantry-state")
    gone = await _settled(engine, "tenantry-state")
    s3 = engine.client("s3")
    [bucket] = [one["Name"] for one in (await s3.list_buckets())["Buckets"]]

    assert (status, gone) == ("CREATE_COMPLETE", "DELETE_COMPLETE")
    assert bucket == "tenantry-state-000000000000-eu-central-1"
    assert (await s3.get_bucket_versioning(Bucket=bucket))["Status"] == "Enabled"


async def test_workstation_is_made_without_a_way_in(engine: Engine) -> None:
    """Network, group, roles and policies; what the engine does not know is left out, and named."""
    before = [
        await _deploy(
            engine, stack, templates.load(f"{stack.removeprefix('dev-')}.yaml"), Environment="dev"
        )
        for stack in bootstrap.workstation_stacks("dev")[:-1]
    ]
    template = templates.load("workstation.yaml")
    kinds = {one["Type"] for one in template["Resources"].values()}
    template["Resources"] = {
        name: one for name, one in template["Resources"].items() if one["Type"] not in LACKS
    }
    del template["Outputs"]["Machine"]

    status = await _deploy(engine, "dev-workstation", template, **bootstrap.parameters(DEV))

    assert [*before, status] == ["CREATE_COMPLETE"] * 3
    groups = await engine.client("ec2").describe_security_groups(
        Filters=[{"Name": "group-name", "Values": ["dev-workstation"]}]
    )
    [group] = groups["SecurityGroups"]
    assert group["IpPermissions"] == []
    attached = await engine.client("iam").list_attached_role_policies(RoleName="dev-workstation")
    assert len(attached["AttachedPolicies"]) == 4
    assert set(LACKS) <= kinds
    # A gap that closed is a resource that is left out for nothing.
    for kind in LACKS:
        with pytest.raises(ClientError, match=f"Unrecognized resource types: .*{kind}"):
            await _deploy(engine, "gap", {"Resources": {"One": {"Type": kind, "Properties": {}}}})
