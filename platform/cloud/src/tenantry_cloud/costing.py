"""What an environment costs a month, by a table of list prices with its date.

What stands is counted in the resources that would be made. What is used (data, machines of
Karpenter's, hours at the workstation) nobody can plan: it is assumed, said, and the same for the
reference, which is priced by the same table from what it makes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from tenantry_cloud.errors import CloudError
from tenantry_cloud.model import Environment
from tenantry_cloud.offline import Resource

#: What a resource costs by standing there.
_STANDING: Final = {
    "aws_eks_cluster": "eks cluster, standard support",
    "aws_nat_gateway": "nat gateway",
    "aws_eip": "public IPv4 address",
    "aws_kms_key": "KMS key",
    "aws_route53_zone": "hosted zone",
    "aws_secretsmanager_secret": "secret",
    "aws_cloudwatch_metric_alarm": "alarm",
}
#: What costs by use alone: among what is assumed.
_BY_USE: Final = frozenset(
    {
        "aws_cloudwatch_event_bus",
        "aws_cloudwatch_log_group",
        "aws_dynamodb_table",
        "aws_flow_log",
        "aws_s3_bucket",
        "aws_sns_topic",
        "aws_sqs_queue",
        "aws_vpc_peering_connection",
    }
)
#: Priced by what they say, below.
_BY_THEIR_VALUES: Final = frozenset({"aws_eks_node_group", "aws_vpc_endpoint"})
#: Nothing is paid for these, by the beginning of their kind.
_FREE: Final = (
    "aws_budgets_budget",
    "aws_cloudwatch_event_rule",
    "aws_cloudwatch_event_target",
    "aws_default_",
    "aws_dynamodb_resource_policy",
    "aws_ec2_tag",
    "aws_eks_access_",
    "aws_eks_addon",
    "aws_eks_pod_identity_association",
    "aws_iam_",
    "aws_internet_gateway",
    "aws_kms_alias",
    "aws_launch_template",
    "aws_route",  # tables, routes, associations, and records of a zone
    "aws_s3_bucket_",
    "aws_security_group",
    "aws_sns_topic_",
    "aws_sqs_queue_",
    "aws_subnet",
    "aws_vpc_endpoint_",
    "aws_vpc_peering_connection_",
    "aws_vpc_security_group_",
)
_RESERVED: Final = frozenset({*_STANDING, *_BY_USE, *_BY_THEIR_VALUES, "aws_vpc"})


@dataclass(frozen=True, slots=True)
class Line:
    """An item of the bill; `is_assumed` where no plan says how much of it there will be."""

    what: str
    count: float
    usd: float
    is_assumed: bool = False


@dataclass(frozen=True, slots=True)
class Prices:
    """The table."""

    as_of: str
    region: str
    source: str
    monthly: Mapping[str, float]
    assumed: Mapping[str, float]

    def line(self, what: str, price: str, count: float, *, is_assumed: bool = False) -> Line:
        """An item of so many.

        Raises:
            CloudError: There is no such price.
        """
        if price not in self.monthly:
            raise CloudError(
                f"no price of {price} in tenantry_cloud/data/prices.json: add it, with its date."
            )
        return Line(what, count, count * self.monthly[price], is_assumed)

    def used(self, name: str, *, what: str = "") -> Line:
        """An item of which the table assumes how much there is."""
        return self.line(what or name, name, self.assumed[name], is_assumed=True)


@cache
def prices() -> Prices:
    """The table that is part of this distribution."""
    table = _data("prices.json")
    hours = table["hours_a_month"]
    return Prices(
        as_of=table["as_of"],
        region=table["region"],
        source=table["source"],
        monthly={
            name: one["usd"] * (hours if one["per"] == "hour" else 1)
            for name, one in table["prices"].items()
        },
        assumed={name: count for name, count in table["assumed"].items() if name != "why"},
    )


def is_free(kind: str) -> bool:
    """Whether nothing is paid for it."""
    return kind == "aws_vpc" or (kind not in _RESERVED and kind.startswith(_FREE))


def unpriced(resources: Iterable[Resource]) -> set[str]:
    """Kinds of which it is not said what they cost."""
    return {one.kind for one in resources if one.kind not in _RESERVED and not is_free(one.kind)}


def lines(said: Environment, resources: Sequence[Resource]) -> Iterator[Line]:
    """The bill of an environment.

    Raises:
        CloudError: Something in it has no price.
    """
    if unknown := unpriced(resources):
        raise CloudError(f"no price and not free: {', '.join(sorted(unknown))}; see costing.py.")
    table = prices()
    kinds = Counter(one.kind for one in resources)
    for kind, price in _STANDING.items():
        if kinds[kind]:
            yield table.line(price, price, kinds[kind])
    endpoints = [
        one
        for one in resources
        if one.kind == "aws_vpc_endpoint" and one.values.get("vpc_endpoint_type") == "Interface"
    ]
    if endpoints:
        zones = len(said.network.zones)
        yield table.line(
            f"interface endpoints, {len(endpoints)} in {zones} zones",
            "interface endpoint in a zone",
            len(endpoints) * zones,
        )
    nodes = said.system_nodes
    yield table.line(
        f"managed nodes, {nodes.instance_types[0]}", nodes.instance_types[0], nodes.minimum
    )
    yield table.line(
        "disks of the managed nodes, GiB", "gp3 GiB", nodes.minimum * nodes.volume_gib
    )
    yield from _workstation(said, table)
    yield from _used(said, table)


def _workstation(said: Environment, table: Prices) -> Iterator[Line]:
    machine = said.workstation
    if machine is None:
        return
    hours = table.assumed["hours a month at the workstation"]
    share = hours / _data("prices.json")["hours_a_month"]
    yield table.line(
        f"workstation, {machine.instance_type}, for {hours:.0f} hours",
        machine.instance_type,
        share,
        is_assumed=True,
    )
    yield table.line(
        "public address of the workstation", "public IPv4 address", share, is_assumed=True
    )
    yield table.line("disk of the workstation, GiB", "gp3 GiB", machine.volume_gib)


def _used(said: Environment, table: Prices) -> Iterator[Line]:
    machines = table.assumed["machines of Karpenter's"]
    kind = said.system_nodes.instance_types[0]
    yield table.line(
        f"machines of Karpenter's, as {kind} on demand", kind, machines, is_assumed=True
    )
    yield table.line(
        "their disks, GiB", "gp3 GiB", machines * table.assumed["GiB of each"], is_assumed=True
    )
    yield table.line(
        "volumes of add-ons, GiB",
        "gp3 GiB",
        table.assumed["GiB of add-ons' volumes"],
        is_assumed=True,
    )
    units = table.assumed["capacity units of each load balancer"]
    zones = table.assumed["zones of a load balancer"]
    yield table.line("load balancer of a pool", "load balancer", 1, is_assumed=True)
    yield table.line("its capacity units", "load balancer capacity unit", units, is_assumed=True)
    yield table.line("its public addresses", "public IPv4 address", zones, is_assumed=True)
    yield table.line(
        "GB through NAT gateways",
        "GB through a NAT gateway",
        table.assumed["GB through NAT gateways"],
        is_assumed=True,
    )
    for name in (
        "GB through endpoints",
        "GB of logs taken in",
        "GB in ECR",
        "GB in DynamoDB",
        "million writes of DynamoDB",
        "million requests of SQS",
    ):
        yield table.used(name)


def reference() -> tuple[str, list[Line], list[Line]]:
    """What the reference is, its bill, and what it has that ours has once an account."""
    table, data = prices(), _data("reference.json")
    own: list[Line] = []
    shared: list[Line] = []
    for item in data["items"]:
        assumed = item.get("assumed")
        count = table.assumed[assumed] if assumed else item["count"]
        line = table.line(item["what"], item["price"], count, is_assumed=bool(assumed))
        (shared if item.get("is_shared") else own).append(line)
    return data["name"], own, shared


def total(bill: Iterable[Line]) -> float:
    """US dollars a month."""
    return sum(line.usd for line in bill)


def _data(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        (files("tenantry_cloud") / "data" / name).read_text("utf-8")
    )
    return found
