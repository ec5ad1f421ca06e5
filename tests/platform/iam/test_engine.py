"""The policies and tags that an engine holds, as they are read back."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from iam.engine import SERVICES, Engine, open_engine
from iam.evaluator import Principal, Request, assume, decide
from iam.rendered import Roles
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

REGION = "eu-west-1"
CLUSTER = "laptop"


@asynccontextmanager
async def engine_up(folder: Path) -> AsyncGenerator[Engine, None]:
    """The embedded engine, empty."""
    processes = Processes()
    port = free_port()
    services = "sqs,dynamodb,sts,iam,eks,cloudwatch"
    try:
        await start_engine(processes, port, folder, services=services)
        async with open_engine(f"http://127.0.0.1:{port}", region=REGION) as engine:
            yield engine
    finally:
        processes.close()


async def make_role(iam: Any, name: str, trust: Any, access: Any) -> None:
    """A role with one inline policy."""
    await iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust))
    await iam.put_role_policy(
        RoleName=name, PolicyName="access", PolicyDocument=json.dumps(access)
    )


@pytest.mark.slow
async def test_what_was_put_in_comes_out(tmp_path: Path, roles: Roles) -> None:
    """Trust, inline and attached policies, the boundary; queues', tables' and others' tags."""
    more = {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "More", "Effect": "Allow", "Action": "sqs:ListQueues", "Resource": "*"}
        ],
    }
    less = {
        "Version": "2012-10-17",
        "Statement": [{"Sid": "Less", "Effect": "Allow", "Action": "sqs:*", "Resource": "*"}],
    }
    async with engine_up(tmp_path) as engine:
        iam = engine.client("iam")
        for name in ("producer", "consumer"):
            role = roles[name]
            await make_role(iam, role.name, role.trust, role.access)
        await make_role(iam, "another-role", roles["producer"].trust, more)
        written = await engine.documents("local")
        assert {name: roles[name].access for name in written} == {
            name: role.access for name, role in written.items()
        }
        assert {name: roles[name].trust for name in written} == {
            name: role.trust for name, role in written.items()
        }
        producer = roles["producer"].name
        arns = [
            (await iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(document)))[
                "Policy"
            ]["Arn"]
            for name, document in (("more", more), ("less", less))
        ]
        await iam.attach_role_policy(RoleName=producer, PolicyArn=arns[0])
        with pytest.raises(ValueError, match="too many values"):
            await engine.documents("local")
        await iam.put_role_permissions_boundary(RoleName=producer, PermissionsBoundary=arns[1])

        found = {role.name: role for role in await engine.roles("local")}

        assert {roles["producer"].name, roles["consumer"].name} == set(found)
        held = found[producer]
        who = Principal(f"arn:aws:sts::000000000000:assumed-role/{producer}/s", held.arn)
        listing = Request(who, "sqs:ListQueues", "*")
        denied = decide(listing, identity=held.identity, boundary=held.boundary)
        # The session has no tag of a cluster.
        assert ("explicit deny", "OnlyThisCluster") == (denied.outcome, denied.sid)
        tags = {"eks-cluster-name": CLUSTER}
        known = Principal(who.arn, who.role_arn, tags)
        allowed = decide(
            Request(known, "sqs:ListQueues", "*"), identity=held.identity, boundary=held.boundary
        )
        assert "More" == allowed.sid
        assert held.boundary is not None
        assert assume(who, held.arn, held.trust, session_name="s") is None

        await look_at_tags(engine)


async def look_at_tags(engine: Engine) -> None:
    """Of each kind of resource that a policy asks about."""
    tags = {"tenantry:environment": "local", "tenantry:tier": "premium"}
    listed: Any = [{"Key": key, "Value": value} for key, value in tags.items()]
    sqs, dynamodb, eks, alarms = (
        engine.client(service) for service in ("sqs", "dynamodb", "eks", "cloudwatch")
    )
    await sqs.create_queue(QueueName="q", tags=tags)
    await dynamodb.create_table(
        TableName="ttt",
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
        Tags=listed,
    )
    await alarms.put_metric_alarm(
        AlarmName="a",
        Namespace="AWS/SQS",
        MetricName="M",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        Statistic="Sum",
        Tags=listed,
    )
    await eks.create_cluster(
        name=CLUSTER,
        roleArn="arn:aws:iam::000000000000:role/cluster",
        resourcesVpcConfig={"subnetIds": ["subnet-1"]},
    )
    association = await eks.create_pod_identity_association(
        clusterName=CLUSTER,
        namespace="acme",
        serviceAccount="consumer",
        roleArn="arn:aws:iam::000000000000:role/r",
        tags=tags,
    )
    prefix = f"{REGION}:000000000000"
    for arn in (
        f"arn:aws:sqs:{prefix}:q",
        f"arn:aws:dynamodb:{prefix}:table/ttt",
        f"arn:aws:cloudwatch:{prefix}:alarm:a",
        association["association"]["associationArn"],
    ):
        assert tags == await engine.tags(arn), arn
    assert {} == await engine.tags(f"arn:aws:sqs:{prefix}:not-there")
    # What is applied changes them: they are asked for each time.
    await sqs.untag_queue(QueueUrl=f"{engine.url}/000000000000/q", TagKeys=["tenantry:tier"])
    assert "tenantry:tier" not in await engine.tags(f"arn:aws:sqs:{prefix}:q")
    assert len(SERVICES) == 5
