"""The estimate: what it counts, what it says of itself, and what it compares with."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from cloud.environments import FILES, ROOT, changed, write
from support import terraform
from tenantry_cloud import costing, showing
from tenantry_cloud.errors import CloudError
from tenantry_cloud.model import Environment
from tenantry_cloud.offline import Resource
from tenantry_cloud.reading import read_environment

NAMES: Final = tuple(file.stem for file in FILES)
DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")


def _resources(name: str) -> list[Resource]:
    """What an environment is made of, by the inventory that another test holds to Terraform."""
    addresses = (ROOT / f"tests/platform/cloud/inventories/{name}.txt").read_text("utf-8")
    found = []
    for address in addresses.splitlines():
        kind = re.sub(r"\[.*?\]", "", address).split(".")[-2]
        is_interface = kind == "aws_vpc_endpoint" and ".interface[" in address
        found.append(
            Resource(
                address, kind, {"vpc_endpoint_type": "Interface" if is_interface else "Gateway"}
            )
        )
    return found


def _bill(said: Environment, resources: list[Resource]) -> dict[str, costing.Line]:
    return {line.what: line for line in costing.lines(said, resources)}


@pytest.mark.parametrize("name", NAMES)
def test_everything_that_is_made_is_priced_or_free(name: str) -> None:
    """A kind of resource that nobody thought of is no zero."""
    assert costing.unpriced(_resources(name)) == set()


def test_an_unknown_kind_is_an_error() -> None:
    """As is a machine that the table does not have."""
    with pytest.raises(CloudError, match="aws_msk_cluster"):
        list(costing.lines(DEV, [Resource("aws_msk_cluster.this", "aws_msk_cluster", {})]))


def test_a_machine_without_a_price_is_an_error(tmp_path: Path) -> None:
    """It is named, and where its price belongs."""
    file = write(tmp_path / "dev.tfvars", changed({"system_nodes/instance_types": ["m9g.large"]}))

    with pytest.raises(CloudError, match=r"no price of m9g\.large in .*prices\.json"):
        list(costing.lines(read_environment(file), []))


def test_what_stands_is_counted_by_the_plan() -> None:
    """By hand, of dev: six endpoints in three zones at 0.012 dollars an hour, of 730 hours."""
    bill = _bill(DEV, _resources("dev"))

    endpoints = bill["interface endpoints, 6 in 3 zones"]
    assert (endpoints.count, round(endpoints.usd, 2)) == (18, 157.68)
    assert round(bill["eks cluster, standard support"].usd, 2) == 73.00
    assert round(bill["nat gateway"].usd, 2) == 37.96
    assert bill["managed nodes, m7g.large"].count == 2


def test_production_has_what_its_file_asks_for() -> None:
    """A NAT gateway in each zone, and more endpoints: it costs more than dev."""
    production = read_environment(ROOT / "platform/environments/production.tfvars")
    bill = _bill(production, _resources("production"))

    assert bill["nat gateway"].count == 3
    assert bill["interface endpoints, 15 in 3 zones"].count == 45
    assert costing.total(bill.values()) > costing.total(costing.lines(DEV, _resources("dev")))


def test_one_gateway_more_costs_one_gateway_more() -> None:
    """What is counted is the plan, and not what was written down once."""
    resources = _resources("dev")
    more = [*resources, Resource("aws_nat_gateway.more", "aws_nat_gateway", {})]

    difference = costing.total(costing.lines(DEV, more)) - costing.total(
        costing.lines(DEV, resources)
    )
    assert round(difference, 2) == 37.96


@pytest.mark.parametrize("name", NAMES)
def test_each_environment_is_within_its_limit(name: str) -> None:
    """`limits.monthly_usd` of its own file, as it is estimated."""
    said = read_environment(ROOT / f"platform/environments/{name}.tfvars")
    resources = _resources(name)

    assert costing.total(costing.lines(said, resources)) <= said.limits.monthly_usd
    assert "within limits.monthly_usd" in showing.report(said, resources)


def test_more_than_the_limit_is_said() -> None:
    """In capitals."""
    tight = DEV.model_copy(update={"limits": DEV.limits.model_copy(update={"monthly_usd": 10})})

    assert "dev, ABOVE limits.monthly_usd (10)" in showing.report(tight, _resources("dev"))


def test_the_table_says_its_date_and_that_it_has_to_be_looked_at() -> None:
    """Nobody takes a written-down price for today's."""
    said = showing.report(DEV, _resources("dev"))

    assert re.search(r"list prices of eu-central-1, 20[0-9]{2}-[0-9]{2}", said)
    assert "look them up again before a decision" in said
    assert "reference (aws-samples/eks-saas-gitops" in said


def test_prices_of_another_region_are_said_to_be(tmp_path: Path) -> None:
    """The table is of one region."""
    elsewhere = DEV.model_copy(update={"region": "eu-west-1"})

    assert "Prices are those of eu-central-1, not of eu-west-1." in showing.report(
        elsewhere, _resources("dev")
    )
    assert "Prices are those of" not in showing.report(DEV, _resources("dev"))


def test_the_reference_is_priced_by_the_same_table() -> None:
    """From what it makes; what is assumed is the same for both, so that neither gains by it."""
    _, own, shared = costing.reference()
    bill = {line.what: line for line in own}
    ours = _bill(DEV, _resources("dev"))

    assert bill["managed nodes, three m5.large"].usd == pytest.approx(3 * 0.115 * 730)
    assert [line.what for line in shared] == [
        "Gitea and its runner, one m5.large",
        "public address of Gitea",
    ]
    for theirs, mine in (
        ("logs of the control plane", "GB of logs taken in"),
        ("machines of Karpenter's, as assumed", "machines of Karpenter's, as m7g.large on demand"),
        ("writes", "million writes of DynamoDB"),
    ):
        assert bill[theirs].count == ours[mine].count
        assert bill[theirs].is_assumed
        assert ours[mine].is_assumed


def test_resources_are_shown_by_their_part() -> None:
    """Network, cluster, identity, and what puts them together; with the add-ons that are on."""
    resources = _resources("dev")
    said = showing.report(DEV, resources)
    counts = {
        part: int(count) for part, count in re.findall(r"^(\w+) \((\d+)\)$", said, re.MULTILINE)
    }

    assert list(counts)[:3] == ["network", "cluster", "identity"]
    assert sum(counts.values()) == len(resources)
    assert f"{len(resources)} resources, none of them made now" in said
    assert "karpenter" in said
    assert "flux-ui" not in said


def test_a_part_that_is_gone_is_not_shown() -> None:
    """Groups come from what is planned."""
    only = [one for one in _resources("dev") if one.part == "network"]
    moved = [replace(one, address=f"module.other.{one.kind}.x") for one in only[:1]]

    said = showing.report(DEV, [*only, *moved])
    assert "cluster (" not in said
    assert "other (1)" in said


@pytest.mark.slow
def test_dry_run_needs_no_network_and_no_account(tmp_path: Path) -> None:
    """The whole of it, from the variables file to the last line, by the command that make runs."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    env = terraform.environment(tool, tmp_path / "root")
    nobody = {name: value for name, value in env.items() if not name.startswith("AWS_")}
    dead = "http://127.0.0.1:9"

    done = subprocess.run(
        [sys.executable, "-m", "tenantry_cloud", "cost", "dev"],
        cwd=ROOT,
        env={
            **nobody,
            "PATH": os.environ["PATH"],
            **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), dead),
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == ""
    assert done.returncode == 0
    resources = _resources("dev")
    assert f"dev in eu-central-1: {len(resources)} resources" in done.stdout
    assert done.stdout == showing.report(DEV, resources)
