"""Variables files that must be refused: by Terraform and by our reader, in the same words."""

from __future__ import annotations

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud.environments import FILES, GONE, ROOT, changed, write
from support import terraform
from tenantry_cloud import rules
from tenantry_cloud.errors import InvalidError
from tenantry_cloud.model import Environment
from tenantry_cloud.reading import read_environment
from tenantry_cloud.tables import read_tables

#: Files of the root that ask no provider.
RULES: Final = ("variables.tf", "variables_nodes.tf", "rules.tf", "compatibility.json")
SOURCE: Final = ROOT / "platform" / "terraform" / "environment"
TABLES: Final = read_tables(ROOT)


def _cases() -> dict[str, dict[str, Any]]:
    found = {}
    cases = yaml.safe_load((Path(__file__).parent / "wrong_files.yaml").read_text("utf-8"))
    for case in cases:
        change = {
            path: GONE if value == "GONE" else value for path, value in case["change"].items()
        }
        name = ", ".join(f"{path}={value}"[:60] for path, value in case["change"].items())
        found[name] = {"says": case["says"], "values": changed(change, case.get("of", "dev"))}
    assert len(found) == len(cases), "two cases change the same"
    return found


CASES: Final = _cases()


@pytest.fixture(
    scope="module",
    params=["terraform", pytest.param("tofu", marks=pytest.mark.terraform)],
)
def root(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> terraform.Root:
    """The variables and rules alone, in Terraform; in `make test-terraform` in OpenTofu, too."""
    tool = terraform.find(request.param)
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{request.param} is not there")
    folder = tmp_path_factory.mktemp("rules")
    for name in RULES:
        (folder / "environment").mkdir(exist_ok=True)
        shutil.copy2(SOURCE / name, folder / "environment")
    tables = folder / "modules" / "network"
    tables.mkdir(parents=True)
    shutil.copy2(SOURCE.parent / "modules" / "network" / "endpoints.json", tables)
    return terraform.open_root(tool, folder / "environment")


def _refusals(root: terraform.Root, file: Path) -> list[str]:
    """What Terraform says of a variables file: nothing where it is taken."""
    said = root.run(
        *("plan", "-input=false", "-lock=false", "-json", f"-var-file={file}"), also=(1,)
    )
    events = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [
        re.sub(r"\s+", " ", event["diagnostic"]["detail"].partition("\n\nThis was checked")[0])
        for event in events
        if event.get("@level") == "error"
    ]


@pytest.fixture(scope="module")
def refusals(
    root: terraform.Root, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[str]]:
    """Of every case, by its name."""
    folder = tmp_path_factory.mktemp("files")
    files = [
        write(folder / f"{number}.tfvars", case["values"])
        for number, case in enumerate(CASES.values())
    ]
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda file: _refusals(root, file), files)
        return dict(zip(CASES, said, strict=True))


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_every_environment_is_valid_for_both_readers(file: Path, root: terraform.Root) -> None:
    """Ours, and Terraform's."""
    assert read_environment(file, TABLES).environment == file.stem
    assert [] == _refusals(root, file)


def test_both_readers_refuse_the_same_in_the_same_words(refusals: dict[str, list[str]]) -> None:
    """Each wrong file by one rule, which names the variable; so nobody reads what is not wrong."""
    for name, case in CASES.items():
        environment = Environment.model_validate(case["values"])
        ours = rules.faults(environment, TABLES)

        assert ours == refusals[name], name
        assert len(ours) == 1, (name, ours)
        assert ours[0].startswith(case["says"]), (name, ours)


def test_every_rule_has_a_file_that_breaks_it() -> None:
    """A rule that nothing breaks may be one that refuses nothing."""
    text = "".join((SOURCE / name).read_text("utf-8") for name in RULES if name.endswith(".tf"))
    # Up to what differs from file to file.
    words = [one.split("${")[0] for one in re.findall(r'error_message = "((?:[^"\\]|\\.)*)', text)]
    assert len(words) > 60
    said = [
        fault
        for case in CASES.values()
        for fault in rules.faults(Environment.model_validate(case["values"]), TABLES)
    ]

    unbroken = [one for one in words if not any(fault.startswith(one) for fault in said)]
    assert [] == unbroken


#: What has another type, or no place: named by both, each in its own words.
MISSHAPEN: Final[dict[str, dict[str, Any]]] = {
    "network.zones": {"network/zones": "eu-central-1a"},
    "network.nat": {"network/nat": GONE},
    "kubernetes.log_days": {"kubernetes/log_days": "long"},
    "addons.keda.enabled": {"addons/keda/enabled": "perhaps"},
    "node_pools.basic.cpu": {"node_pools/basic/cpu": "many"},
    "environment": {"environment": None},
    "system_nodes.volume_gib": {"system_nodes/volume_gib": 40.5},
    "workstation.idle_minutes": {"workstation/idle_minutes": GONE},
}


@pytest.mark.parametrize("where", MISSHAPEN)
def test_a_value_of_another_type_is_refused_by_both(
    where: str, root: terraform.Root, tmp_path: Path
) -> None:
    """And named: the setting by us, its variable by Terraform."""
    file = write(tmp_path / "dev.tfvars", changed(MISSHAPEN[where]))

    with pytest.raises(InvalidError) as error:
        read_environment(file, TABLES)
    assert error.value.faults[0].startswith(f"{where}: ")
    said = " ".join(_refusals(root, file))
    assert where.partition(".")[0] in said, said


def test_a_misspelt_setting_is_refused(tmp_path: Path) -> None:
    """Terraform takes what it does not know in an object, and goes without: so we must not."""
    file = write(tmp_path / "dev.tfvars", changed({"network/natt": "one", "regio": "x"}))

    with pytest.raises(
        InvalidError, match=r"dev\.tfvars: network\.natt: there is no such setting"
    ):
        read_environment(file, TABLES)


def test_environments_stand_side_by_side() -> None:
    """None of their ranges is another's, and what they name is their own."""
    read = [read_environment(file, TABLES) for file in FILES]
    ranges = [
        (one.environment, network)
        for one in read
        for name, network in rules.ranges(one).items()
        # Services are seen inside a cluster only, and the shared VPC is the same for all.
        if name in {"network.cidr", "workstation.cidr"}
    ]

    assert len({one.environment for one in read}) == len(read) == 3
    overlaps = [
        (left, right)
        for number, left in enumerate(ranges)
        for right in ranges[number + 1 :]
        if left[1].overlaps(right[1])
    ]
    assert [] == overlaps
