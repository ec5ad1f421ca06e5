"""`shared` on local engines: applied, applied again, upgraded in a plan, and gone without a trace.

Route 53 is the embedded engine's, all else moto's. Left out of what is applied: the snapshots, as
neither knows Data Lifecycle Manager; and detailed monitoring of the machine, which neither can do.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
import yaml
from moto import backend_index
from moto.backends import get_backend
from moto.core.models import DEFAULT_ACCOUNT_ID

from cloud.shared_root import VARIABLES, copy
from support import terraform
from support.cloud_engines import REGION, CloudEngines, cloud_engines
from support.tenant_flows import Plan, plan
from tenantry_cloud.hcl import read_literals

#: The first test waits for all: an apply of a hundred resources, two plans, and their end.
pytestmark = pytest.mark.terraform

GAPS: Final = yaml.safe_load(
    (Path(__file__).parent / "shared_engine_gaps.yaml").read_text("utf-8")
)
#: Much of an apply is waiting: thirty seconds for a record to be everywhere.
AT_ONCE: Final = "-parallelism=20"

#: What is left out, in the words of an override file.
WITHOUT_MONITORING: Final = 'resource "aws_instance" "server" {\n  monitoring = false\n}\n'

#: What is listed to see that nothing is left: service, operation, list, and what names one.
LISTS: Final = (
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_volumes", "Volumes", "VolumeId"),
    ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateName"),
    ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", "AutoScalingGroupName"),
    ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
    ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupName"),
    ("ecr", "describe_repositories", "repositories", "repositoryName"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    ("acm", "list_certificates", "CertificateSummaryList", "CertificateArn"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
)


@dataclass(frozen=True, slots=True)
class Life:
    """What was seen of it, from its beginning to its end."""

    addresses: set[str]
    outputs: Mapping[str, Any]
    second: Plan
    upgrade: Plan
    key: Mapping[str, Any]
    secrets_with_a_value: list[str]
    before: set[str]
    while_there: set[str]
    after: set[str]
    left_in_state: str


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Generator[Life, None, None]:
    """As its file says, but for the zone, which is made here, and for the protection."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("shared")
    with cloud_engines(folder) as engines:
        yield _live(tool, folder, engines)


def _live(tool: Path, folder: Path, engines: CloudEngines) -> Life:
    moto = engines.env["AWS_ENDPOINT_URL_EC2"]
    zone = engines.client("route53").create_hosted_zone(Name="example.com", CallerReference="1")
    zone_id = zone["HostedZone"]["Id"].rpartition("/")[2]
    values = read_literals(VARIABLES.read_text("utf-8"))
    values["address"]["zone_id"] = zone_id
    values["protected"] = False

    tree = copy(folder / "terraform")
    (tree / "modules/gitea/snapshots.tf").unlink()
    override = tree / "modules/gitea/engine_override.tf"
    override.write_text(WITHOUT_MONITORING, encoding="utf-8")
    _add_debian(moto, values["runners"]["release"]["image"])
    root = terraform.open_root(
        tool,
        tree / "shared",
        AWS_ENDPOINT_URL=moto,
        AWS_ENDPOINT_URL_ROUTE_53=engines.env["AWS_ENDPOINT_URL"],
        AWS_REGION=REGION,
    )
    before = _everything(moto)
    root.write(values)
    root.run("apply", "-input=false", "-auto-approve", AT_ONCE)
    addresses = set(root.run("state", "list").splitlines())
    outputs = {name: one["value"] for name, one in json.loads(root.run("output", "-json")).items()}
    second, while_there = plan(root), _everything(moto)
    root.write({**values, "gitea": {**values["gitea"], "version": "1.26.2"}})
    upgrade = plan(root)
    root.write(values)
    kms, secrets = _client(moto, "kms"), _client(moto, "secretsmanager")
    key = kms.describe_key(KeyId=outputs["signing_key"]["alias"])["KeyMetadata"]
    listed = secrets.list_secrets()["SecretList"]
    root.run("destroy", "-input=false", "-auto-approve", AT_ONCE)
    return Life(
        addresses=addresses,
        outputs=outputs,
        second=second,
        upgrade=upgrade,
        key=key,
        secrets_with_a_value=[one["Name"] for one in listed if one.get("SecretVersionsToStages")],
        before=before,
        while_there=while_there,
        after=_everything(moto),
        left_in_state=root.run("state", "list"),
    )


def _add_debian(moto: str, name: str) -> None:
    """An image of Debian's account: moto knows those of Amazon's."""
    image = _client(moto, "ec2").register_image(Name=name)["ImageId"]
    made = get_backend("ec2")[DEFAULT_ACCOUNT_ID][REGION].amis[image]
    made.owner_id, made.root_device_name = "136693071363", "/dev/xvda"


def _client(url: str, service: str) -> Any:
    return boto3.client(
        service,
        endpoint_url=url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _everything(url: str) -> set[str]:
    return {
        f"{service} {operation}: {one[name]}"
        for service, operation, where, name in LISTS
        for one in getattr(_client(url, service), operation)().get(where, [])
    }


def test_all_of_the_inventory_is_made(life: Life) -> None:
    """But for the snapshots, which no engine knows."""
    inventory = Path(__file__).parent / "inventories" / "shared.txt"
    said = set(inventory.read_text("utf-8").splitlines())

    snapshots = {one for one in said if "snapshots" in one or "aws_dlm" in one}
    assert 3 == len(snapshots)
    assert said - snapshots == {one for one in life.addresses if "data.aws_" not in one}


def test_a_second_plan_changes_nothing(life: Life) -> None:
    """But for what the engine answers otherwise than AWS, which is listed with its reason."""
    assert {gap["resource"]: set(gap["attributes"]) for gap in GAPS} == life.second.differences
    assert set(life.second.actions) == life.second.of("update"), life.second.actions
    assert all(gap["engine"] and gap["reason"] for gap in GAPS)


def test_an_upgrade_is_another_machine_with_the_same_volume(life: Life) -> None:
    """Which is attached to it; the load balancer leads there, and all else stays."""
    changed = set(life.upgrade.actions) - set(life.second.actions)

    assert changed == {
        "module.gitea.aws_instance.server",
        "module.gitea.aws_lb_target_group_attachment.this",
        "module.gitea.aws_volume_attachment.data",
    }
    assert {life.upgrade.actions[address] for address in changed} == {"delete+create"}


def test_releases_are_signed_as_flux_verifies(life: Life) -> None:
    """By the key that the alias leads to, as cosign finds it."""
    assert (life.key["KeyUsage"], life.key["KeySpec"]) == ("SIGN_VERIFY", "ECC_NIST_P256")
    assert life.key["SigningAlgorithms"] == ["ECDSA_SHA_256"]
    assert life.outputs["signing_key"]["cosign"] == "awskms:///alias/tenantry-signing"


def test_no_secret_has_a_value(life: Life) -> None:
    """Before Gitea's machine puts one there."""
    assert [] == life.secrets_with_a_value
    assert {"admin", "runner-ci", "runner-release"} == set(life.outputs["gitea"]["secrets"])


def test_the_engine_knows_no_lifecycle_manager() -> None:
    """When it learns it, the snapshots are applied, too."""
    assert "dlm" not in {name for name, _ in backend_index.backend_url_patterns}


def test_what_is_destroyed_leaves_no_trace(life: Life) -> None:
    """Neither in the state nor in AWS, where all of it was seen before."""
    assert "" == life.left_in_state
    assert {service for service, *_ in LISTS} == {
        one.split()[0] for one in life.while_there - life.before
    }
    assert life.before == life.after
