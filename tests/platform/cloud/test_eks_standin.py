"""The stand-in in front of the engine's EKS: what it remembers, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError

from support.cloud_engines import ACCOUNT, CloudEngines, cloud_engines

pytestmark = pytest.mark.slow

ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/a-role"


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Generator[CloudEngines, None, None]:
    """Both engines, empty."""
    with cloud_engines(tmp_path_factory.mktemp("engines")) as joined:
        yield joined


def _cluster(engines: CloudEngines, name: str) -> dict[str, Any]:
    ec2 = engines.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    eks = engines.client("eks")
    eks.create_cluster(
        name=name,
        roleArn=ROLE,
        resourcesVpcConfig={"subnetIds": [subnet]},
        upgradePolicy={"supportType": "STANDARD"},
    )
    found: dict[str, Any] = eks.describe_cluster(name=name)["cluster"]
    assert vpc == found["resourcesVpcConfig"]["vpcId"]
    return found


def test_a_cluster_is_what_it_was_asked_to_be(engines: CloudEngines) -> None:
    """And the engine's own fields stay."""
    found = _cluster(engines, "one")

    assert "STANDARD" == found["upgradePolicy"]["supportType"]
    assert ROLE == found["roleArn"]
    assert found["endpoint"]


def test_a_clusters_security_group_is_there_as_long_as_it_is(engines: CloudEngines) -> None:
    """In the engine that has EC2, with the original's tag."""
    group = _cluster(engines, "two")["resourcesVpcConfig"]["clusterSecurityGroupId"]
    ec2 = engines.client("ec2")

    told = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]
    assert [{"Key": "aws:eks:cluster-name", "Value": "two"}] == told["Tags"]

    engines.client("eks").delete_cluster(name="two")
    with pytest.raises(ClientError, match="does not exist"):
        ec2.describe_security_groups(GroupIds=[group])


def test_a_node_group_is_what_it_was_asked_to_be(engines: CloudEngines) -> None:
    """Its template and how it is updated, of its own cluster's group alone."""
    _cluster(engines, "three")
    eks = engines.client("eks")
    for name, unavailable in (("a", 1), ("b", 2)):
        eks.create_nodegroup(
            clusterName="three",
            nodegroupName=name,
            subnets=["subnet-1"],
            nodeRole=ROLE,
            launchTemplate={"id": "lt-1", "version": "1"},
            updateConfig={"maxUnavailable": unavailable},
        )

    found = eks.describe_nodegroup(clusterName="three", nodegroupName="a")["nodegroup"]
    assert ({"id": "lt-1", "version": "1"}, {"maxUnavailable": 1}) == (
        found["launchTemplate"],
        found["updateConfig"],
    )


def test_what_the_engine_refuses_is_refused(engines: CloudEngines) -> None:
    """With its own words."""
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        engines.client("eks").describe_cluster(name="nobody")


def test_everything_shows_what_is_there(engines: CloudEngines) -> None:
    """What leaves no trace is told by this list: so it must show what comes."""
    before = engines.everything()
    vpc = engines.make_peer("peer", "10.9.0.0/16")
    engines.client("sqs").create_queue(QueueName="seen")

    come = engines.everything() - before
    assert f"ec2 describe_vpcs: {vpc}" in come
    assert any(one.endswith("/seen") for one in come)
