"""A whole environment on local engines: applied, applied again, and gone without a trace."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud.environments import ROOT
from support import eks_standin, terraform
from support.cloud_engines import ACCOUNT, CloudEngines, cloud_engines
from support.tenant_flows import Plan, plan
from tenantctl import addons, facts
from tenantry_cloud.reading import read_environment
from tenantry_cloud.tables import read_tables

#: The first test waits for all: an apply of two hundred resources, two plans, and their end.
pytestmark = pytest.mark.terraform

FILE: Final = ROOT / "platform" / "environments" / "dev.tfvars"
GAPS: Final = yaml.safe_load((Path(__file__).parent / "engine_gaps.yaml").read_text("utf-8"))
#: Much of an apply is waiting: thirty seconds for a zone or a queue to be everywhere.
AT_ONCE: Final = "-parallelism=20"


@dataclass(frozen=True, slots=True)
class Life:
    """What was seen of an environment, from its beginning to its end."""

    state: dict[str, Any]
    outputs: dict[str, Any]
    second: Plan
    while_there: set[str]
    peer_routes: set[str]
    peer_routes_after: set[str]
    before: set[str]
    after: set[str]
    left_in_state: str


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory, used: list[str]) -> Generator[Life, None, None]:
    """dev, as its file says."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    used.append(f"EKS remembers what it was told by a {eks_standin.NAME}; EC2 is moto's")
    folder = tmp_path_factory.mktemp("environment")
    with cloud_engines(folder) as engines:
        yield _live(tool, folder, engines)


def _live(tool: Path, folder: Path, engines: CloudEngines) -> Life:
    dev = read_environment(FILE, read_tables(ROOT))
    assert dev.workstation is not None
    workstation = engines.make_peer("dev-workstation", dev.workstation.cidr)
    for name, peer in dev.network.peers.items():
        engines.make_peer(name, peer.cidr)
    before = engines.everything()

    tree = terraform.copy_module(ROOT / "platform" / "terraform", folder / "terraform")
    (tree / "environment" / "backend.tf").unlink()  # the state is beside it
    shutil.copy2(FILE, tree / "environment" / "dev.auto.tfvars")
    root = terraform.open_root(tool, tree / "environment", **engines.env)
    _apply(root)
    state = json.loads(root.run("show", "-json"))["values"]
    outputs = json.loads(root.run("output", "-json"))
    second = plan(root)
    while_there, peer_routes = engines.everything(), engines.routes(workstation)
    root.run("destroy", "-input=false", "-auto-approve", AT_ONCE)
    return Life(
        state=state,
        outputs=outputs,
        second=second,
        while_there=while_there,
        peer_routes=peer_routes,
        peer_routes_after=engines.routes(workstation),
        before=before,
        after=engines.everything(),
        left_in_state=root.run("state", "list"),
    )


def _apply(root: terraform.Root) -> None:
    """Apply; again, where ministack refuses what it has done.

    A call whose answer is late is tried again by the provider, and ministack then says of a zone's
    own network that another zone of that name has it (`ConflictingDomainExists`).
    """
    for is_last in (False, False, True):
        try:
            root.run("apply", "-input=false", "-auto-approve", AT_ONCE)
        except terraform.TerraformError as error:
            if is_last or "ConflictingDomainExists" not in str(error):
                raise
        else:
            return


def _resources(module: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one for one in module.get("resources", []) if one["mode"] == "managed"]
    for child in module.get("child_modules", []):
        found += _resources(child)
    return found


def test_all_of_the_inventory_is_made(life: Life) -> None:
    """As the offline run says that it would be."""
    said = (ROOT / "tests/platform/cloud/inventories/dev.txt").read_text("utf-8").splitlines()

    # Ways back are named by the peers' route tables, which AWS names.
    made = {one["address"] for one in _resources(life.state["root_module"])}
    assert {_nameless(line) for line in said} == {_nameless(address) for address in made}


def _nameless(address: str) -> str:
    return re.sub(r"rtb-[0-9a-f]+", "rtb", address)


def test_a_second_plan_changes_nothing(life: Life) -> None:
    """But for what an engine answers otherwise than AWS, which is listed with its reason."""
    assert {gap["address"]: gap["action"] for gap in GAPS} == life.second.actions
    assert all(gap["engine"] and gap["reason"] for gap in GAPS)


def test_everything_says_whose_it_is(life: Life) -> None:
    """By a tag that the sweep at the end goes by, and cost is told by."""
    untagged = [
        one["address"]
        for one in _resources(life.state["root_module"])
        if "tags_all" in one["values"]
        and (one["values"]["tags_all"] or {}).get("tenantry:environment") != "dev"
    ]
    assert [] == untagged


def test_nothing_says_a_tier(life: Life) -> None:
    """What does, the runner of the tenants' module may change."""
    assert [] == [
        one["address"]
        for one in _resources(life.state["root_module"])
        if "tenantry:tier" in (one["values"].get("tags_all") or {})
    ]


def test_its_outputs_are_facts(life: Life) -> None:
    """Of the account in which it was made."""
    said = facts.load("outputs.json", json.dumps(life.outputs))
    told, cluster = facts.parse("outputs.json", said), addons.parse("outputs.json", said)

    assert ("dev", ACCOUNT) == (told["environment"], told["account"])
    assert told["roles"]["poolConsumer"].endswith(f"{ACCOUNT}:role/dev-tenantry-pool-consumer")
    assert cluster is not None
    assert cluster.vpc_id.startswith("vpc-")


def test_peers_are_routed_both_ways(life: Life) -> None:
    """As long as it is there, and no longer."""
    dev = read_environment(FILE, read_tables(ROOT))

    assert dev.network.cidr in life.peer_routes
    assert dev.network.cidr not in life.peer_routes_after


def test_what_is_destroyed_leaves_no_trace(life: Life) -> None:
    """Neither in the state nor in AWS, where all of it was seen before."""
    assert "" == life.left_in_state
    made = life.while_there - life.before
    assert {one.split()[0] for one in made} == {
        *("ec2", "sqs", "dynamodb", "iam", "route53", "logs", "eks", "kms", "events", "s3"),
        *("sns", "cloudwatch"),
    }
    assert life.before == life.after
