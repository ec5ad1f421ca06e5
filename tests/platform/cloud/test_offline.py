"""Each environment, made without AWS: its inventory, its names, and the facts that it tells."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud.environments import FILES, ROOT
from support import terraform
from support.once import once_a_run
from tenantctl import addons, facts
from tenantctl.contexts import Context
from tenantry import names
from tenantry_cloud.model import Subnets
from tenantry_cloud.offline import Offline, make_offline
from tenantry_cloud.reading import read_environment
from tenantry_cloud.tables import read_tables

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
Golden = Callable[[str, str], None]

NAMES: Final = tuple(file.stem for file in FILES)


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Offline]:
    """All, by name."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    env = terraform.environment(tool, tmp_path_factory.mktemp("environments") / "root")
    tables = read_tables(ROOT)

    def made(file: Path) -> Offline:
        return once_a_run(
            tmp_path_factory,
            f"offline-{file.stem}",
            lambda: make_offline(read_environment(file, tables), file, ROOT, env),
        )

    return {file.stem: made(file) for file in FILES}


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_what_an_environment_is_made_of(
    name: str, environments: dict[str, Offline], golden: Golden
) -> None:
    """Every resource, so that a change shows in its review what it adds and takes away."""
    text = "".join(f"{one.address}\n" for one in environments[name].resources)

    golden(f"tests/platform/cloud/inventories/{name}.txt", text)


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_facts_are_the_charts(name: str, environments: dict[str, Offline]) -> None:
    """As tenantctl takes them from `terraform output -json`; and they are the environment's."""
    outputs = {key: {"value": value} for key, value in environments[name].outputs.items()}

    told = facts.parse("outputs.json", facts.load("outputs.json", json.dumps(outputs)))

    environment = read_environment(ROOT / f"platform/environments/{name}.tfvars")
    subnets = Subnets.of(environment.network.cidr)
    assert (name, name) == (told["environment"], told["cluster"])
    assert names.registry_table_name(name) == told["registryTable"]
    assert list(subnets.public) == told["network"]["loadBalancerCidrs"]
    assert list(subnets.endpoint) == told["network"]["endpointCidrs"]
    assert environment.identity.model_dump() == told["identity"]
    assert environment.addons["keda"].enabled is told["addons"]["keda"]
    assert facts.render(told)


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_the_context_is_tenantctls(name: str, environments: dict[str, Offline]) -> None:
    """So that what runs in the cluster finds the fleet, the bus, the bounds."""
    context = Context.model_validate(tomllib.loads(environments[name].outputs["context"]))

    environment = read_environment(ROOT / f"platform/environments/{name}.tfvars")
    assert name == context.environment
    assert names.registry_table_name(name) == context.registry_table
    assert environment.bounds.model_dump() == context.bounds.model_dump()
    assert f"{name}-tenantry" == context.bus
    assert f"{environment.git.url}/{environment.git.fleet}.git" == context.fleet.url


@pytest.mark.terraform
def test_queues_are_those_that_the_fleet_reads(environments: dict[str, Offline]) -> None:
    """The EventSource has them by name."""
    source = yaml.safe_load(
        (ROOT / "platform/fleet/control-plane/base/named/events/source.yaml").read_text("utf-8")
    )
    read = {one["queue"].replace("environment-", "dev-") for one in source["spec"]["sqs"].values()}

    made = {
        one.values["name"]
        for one in environments["dev"].resources
        if one.address.startswith("aws_sqs_queue.control[")
    }
    assert read == made


#: What AWS knows by a name in the account or region, and the attribute that has it.
NAMED: Final = {
    "aws_budgets_budget": "name",
    "aws_cloudwatch_event_bus": "name",
    "aws_cloudwatch_event_rule": "name",
    "aws_cloudwatch_log_group": "name",
    "aws_cloudwatch_metric_alarm": "alarm_name",
    "aws_dynamodb_table": "name",
    "aws_eks_cluster": "name",
    "aws_iam_role": "name",
    "aws_kms_alias": "name",
    "aws_launch_template": "name",
    "aws_s3_bucket": "bucket",
    "aws_sns_topic": "name",
    "aws_sqs_queue": "name",
}
#: What is known by an id of AWS's making, or belongs to one of those above, or to the VPC.
NAMELESS: Final = frozenset(
    {
        "aws_cloudwatch_event_target",
        "aws_default_security_group",
        "aws_ec2_tag",
        "aws_eip",
        "aws_eks_access_entry",
        "aws_eks_access_policy_association",
        "aws_eks_addon",
        "aws_eks_node_group",
        "aws_eks_pod_identity_association",
        "aws_flow_log",
        "aws_iam_role_policy",
        "aws_iam_role_policy_attachment",
        "aws_internet_gateway",
        "aws_kms_key",
        "aws_nat_gateway",
        "aws_route",
        "aws_route53_record",
        "aws_route53_zone",
        "aws_route_table",
        "aws_route_table_association",
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
        "aws_security_group",
        "aws_sns_topic_policy",
        "aws_sns_topic_subscription",
        "aws_subnet",
        "aws_vpc",
        "aws_vpc_endpoint",
        "aws_vpc_peering_connection",
        "aws_vpc_security_group_ingress_rule",
    }
)


def _own_names(environment: Offline) -> dict[str, str]:
    """What AWS knows by a name in the account, by its address."""
    return {
        one.address: one.values[NAMED[one.kind]]
        for one in environment.resources
        if one.kind in NAMED
    }


@pytest.mark.terraform
def test_environments_share_no_name(environments: dict[str, Offline]) -> None:
    """Two live side by side in one account: every name has its environment's, and no other's."""
    all_names: dict[str, str] = {}
    for name, environment in environments.items():
        for address, own in _own_names(environment).items():
            assert re.search(rf"(^|/){name}(-|/|$)", own), (address, own)
            assert own not in all_names or all_names[own] == name
            all_names[own] = name
        unknown = {one.kind for one in environment.resources} - NAMED.keys() - NAMELESS
        assert set() == unknown, "say whether AWS knows it by a name"


def _statements(value: Any) -> list[Mapping[str, Any]]:
    document = json.loads(value)["Statement"]
    return document if isinstance(document, list) else [document]


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_no_role_may_do_everything(name: str, environments: dict[str, Offline]) -> None:
    """Neither by a policy of Amazon's for administrators, nor by one of ours."""
    for one in environments[name].resources:
        if one.kind == "aws_iam_role_policy_attachment":
            assert "Administrator" not in one.values["policy_arn"], one.address
            assert "PowerUser" not in one.values["policy_arn"], one.address
        if one.kind == "aws_iam_role_policy":
            for statement in _statements(one.values["policy"]):
                if statement["Effect"] == "Allow":
                    assert "*" not in statement["Action"], (one.address, statement)
                    assert "iam:*" not in statement["Action"], (one.address, statement)


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_every_role_is_within_the_boundary(name: str, environments: dict[str, Offline]) -> None:
    """The workstation may make no other: whoever applies from it could make himself anything."""
    boundary = f"arn:aws:iam::123456789012:policy/{name}-tenantry-boundary"
    roles = [one for one in environments[name].resources if one.kind == "aws_iam_role"]

    assert roles
    assert {boundary} == {role.values["permissions_boundary"] for role in roles}


@pytest.mark.terraform
@pytest.mark.parametrize("name", NAMES)
def test_add_ons_are_filled_in_by_the_file(
    name: str, environments: dict[str, Offline], golden: Golden
) -> None:
    """The fleet's files say what the variables file says; `unset` is what AWS will say."""
    outputs = environments[name].outputs
    told = addons.parse("outputs.json", outputs)
    assert told is not None
    on = {
        key
        for key, addon in read_environment(
            ROOT / f"platform/environments/{name}.tfvars"
        ).addons.items()
        if addon.enabled
    }
    assert on == told.addons.keys()

    files = addons.render(name, told.model_copy(update={"vpc_id": "unset"}))

    for path, text in files.items():
        golden(f"platform/fleet/{path}", text.decode())


def test_add_ons_of_the_fleet_are_those_of_the_table() -> None:
    """Which there are, which may be off, and what each needs, by the table of versions."""
    table = {
        name: addon
        for name, addon in read_tables(ROOT).addons.items()
        if addon.installed_by == "flux"
    }
    entries = list(
        yaml.safe_load_all(
            (ROOT / "platform/fleet/clusters/addons/entries.yaml").read_text("utf-8")
        )
    )
    addon_of = {e["metadata"]["name"]: e["metadata"]["labels"][addons.LABEL] for e in entries}
    needs: dict[str, set[str]] = {name: set() for name in table}
    for entry in entries:
        for need in entry["spec"].get("dependsOn", []):
            needs[addon_of[entry["metadata"]["name"]]].add(addon_of.get(need["name"], ""))

    assert sorted(addons.NEEDED) == sorted(name for name, each in table.items() if each.needed)
    assert sorted(addons.OPTIONAL) == sorted(
        name for name, each in table.items() if not each.needed
    )
    assert table.keys() == set(addon_of.values())
    for name, each in table.items():
        assert set(each.needs) & table.keys() <= _all(needs, name), name


def _all(needs: Mapping[str, set[str]], name: str) -> set[str]:
    found = needs.get(name, set()) - {name}
    return found.union(*(_all(needs, other) for other in found))
