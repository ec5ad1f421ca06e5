"""Engines for whole environments: moto has EC2, the embedded engine the rest.

The embedded engine's EC2 tells no names of endpoints, and moto has of EKS the cluster and its node
groups alone. So each does what it knows, and a stand-in joins the two where the cluster is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3

from support import eks_standin, moto_one_at_a_time
from support.chart_services import HOST
from tenantry_local.engine import start_engine
from tenantry_local.processes import Processes, free_port

REGION: Final = "eu-central-1"
#: The embedded engine's account.
ACCOUNT: Final = "000000000000"
SERVICES: Final = "sqs,dynamodb,sts,iam,route53,logs,eks,kms,events,s3,sns,monitoring,budgets"

#: What is listed to see that nothing is left: service, operation, list, and what names one.
_LISTS: Final = (
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
    ("sqs", "list_queues", "QueueUrls", ""),
    ("dynamodb", "list_tables", "TableNames", ""),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("route53", "list_hosted_zones", "HostedZones", "Name"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("eks", "list_clusters", "clusters", ""),
    ("kms", "list_aliases", "Aliases", "AliasName"),
    ("events", "list_rules", "Rules", "Name"),
    ("events", "list_event_buses", "EventBuses", "Name"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
)
#: What goes on being listed for a while after it was deleted, and its state then.
_FADING: Final = (
    ("describe_nat_gateways", "NatGateways", "NatGatewayId", "deleted"),
    ("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", "deleted"),
    ("describe_vpc_peering_connections", "VpcPeeringConnections", "VpcPeeringConnectionId", ""),
)


@dataclass(frozen=True, slots=True)
class CloudEngines:
    """The engines, and how Terraform finds them."""

    env: Mapping[str, str]

    def client(self, service: str) -> Any:
        """A boto3 client of whichever engine has the service."""
        url = self.env.get(f"AWS_ENDPOINT_URL_{service.upper()}", self.env["AWS_ENDPOINT_URL"])
        return boto3.client(
            service,
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def make_peer(self, tag: str, cidr: str) -> str:
        """A VPC that somebody else made, by the tag by which it is found."""
        ec2 = self.client("ec2")
        vpc: str = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        [table] = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])[
            "RouteTables"
        ]
        ec2.create_tags(
            Resources=[vpc, table["RouteTableId"]],
            Tags=[{"Key": "tenantry:vpc", "Value": tag}],
        )
        return vpc

    def routes(self, vpc: str) -> set[str]:
        """Where a VPC's route tables lead."""
        found = self.client("ec2").describe_route_tables(
            Filters=[{"Name": "vpc-id", "Values": [vpc]}]
        )["RouteTables"]
        return {route["DestinationCidrBlock"] for table in found for route in table["Routes"]}

    def everything(self) -> set[str]:
        """All that there is, as far as an environment makes some of it."""
        return {*self._listed(), *self._fading()}

    def _listed(self) -> Iterator[str]:
        for service, operation, where, name in _LISTS:
            client = self.client(service)
            pages = (
                client.get_paginator(operation).paginate()
                if client.can_paginate(operation)
                else [getattr(client, operation)()]
            )
            for page in pages:
                for one in page.get(where, []):
                    yield f"{service} {operation}: {one[name] if name else one}"

    def _fading(self) -> Iterator[str]:
        for operation, where, name, gone in _FADING:
            for one in getattr(self.client("ec2"), operation)()[where]:
                state = one.get("State") or one["Status"]["Code"]
                if state not in {gone, "deleted", "deleting"}:
                    yield f"ec2 {operation}: {one[name]}"


@contextmanager
def cloud_engines(folder: Path) -> Generator[CloudEngines, None, None]:
    """Both engines, empty, until the block ends; `folder` is for their files."""
    with ExitStack() as stack:
        ec2_url = stack.enter_context(moto_one_at_a_time.serve())
        processes, port = Processes(), free_port()
        stack.callback(processes.close)
        asyncio.run(start_engine(processes, port, folder, services=SERVICES))
        engine_url = f"http://{HOST}:{port}"
        joined = CloudEngines({"AWS_ENDPOINT_URL": engine_url, "AWS_ENDPOINT_URL_EC2": ec2_url})
        eks_url = stack.enter_context(eks_standin.serve(engine_url, joined.client("ec2")))
        yield CloudEngines({**joined.env, "AWS_ENDPOINT_URL_EKS": eks_url, "AWS_REGION": REGION})
