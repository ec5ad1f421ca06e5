"""The modules of the cloud: their form, and their own tests with the provider mocked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Final

import pytest

from cloud.environments import ROOT
from support import terraform
from tenantry_cloud.model import Subnets

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
SOURCE: Final = ROOT / "platform" / "terraform"
#: Roots and modules that are tested here, with what their tests are told.
TESTED: Final[dict[str, tuple[str, ...]]] = {
    "modules/network": (),
    "modules/cluster": (),
    "environment": (f"-var-file={ROOT}/platform/environments/dev.tfvars",),
}
#: Modules that a table of README says the variables of, in these words.
DOCUMENTED: Final = ("modules/network", "modules/cluster")


@pytest.fixture(
    scope="module",
    params=["terraform", pytest.param("tofu", marks=pytest.mark.terraform)],
)
def tool(request: pytest.FixtureRequest) -> Path:
    """Terraform; in `make test-terraform` OpenTofu, too."""
    found = terraform.find(request.param)
    if found is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{request.param} is not there")
    return found


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all roots and modules, which call each other by path, without their tests.

    OpenTofu reads tests wherever it reads a module, and takes no override of a single instance.
    """
    folder = tmp_path_factory.mktemp("terraform") / "all"
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".terraform*", "tests"))
    return folder


def test_all_files_are_formatted(tool: Path, tree: Path) -> None:
    """As `terraform fmt` writes them, variables files included."""
    root = terraform.Root(tool, tree, terraform.environment(tool, tree))

    root.run("fmt", "-check", "-diff", "-recursive", str(SOURCE))
    root.run("fmt", "-check", "-diff", "-recursive", str(ROOT / "platform" / "environments"))


@pytest.mark.terraform
@pytest.mark.parametrize("part", TESTED)
def test_the_configuration_is_valid(part: str, tool: Path, tree: Path) -> None:
    """For both tools, with the provider that is installed."""
    said = json.loads(terraform.open_root(tool, tree / part).run("validate", "-json"))

    assert (said["error_count"], said["warning_count"], said["diagnostics"]) == (0, 0, [])


@pytest.mark.terraform
@pytest.mark.parametrize("part", TESTED)
def test_its_own_tests_pass(part: str, tmp_path: Path) -> None:
    """Every run of tests/*.tftest.hcl, and none is left out. By Terraform alone: see above."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not there")
    runs = sum(
        len(re.findall(r'^run "', path.read_text("utf-8"), re.MULTILINE))
        for path in (SOURCE / part).glob("tests/*.tftest.hcl")
    )
    copy = terraform.copy_module(SOURCE, tmp_path / "all")

    assert 0 < runs
    said = terraform.open_root(tool, copy / part).run("test", *TESTED[part])
    assert f"Success! {runs} passed, 0 failed." in said


def _declared(part: str, kind: str) -> dict[str, str]:
    text = "".join(path.read_text("utf-8") for path in sorted((SOURCE / part).glob("*.tf")))
    return dict(re.findall(rf'^{kind} "(\w+)" \{{\n  description = "(.*)"$', text, re.MULTILINE))


@pytest.mark.parametrize("part", DOCUMENTED)
@pytest.mark.parametrize("kind", ["variable", "output"])
def test_the_readme_lists_all(part: str, kind: str) -> None:
    """Variables and outputs, in the module's own words."""
    readme = (SOURCE / part / "README.md").read_text("utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \| (.*?) \|$", readme, re.MULTILINE))
    declared = _declared(part, kind)

    assert declared
    assert set() == set(declared.items()) - rows


@pytest.mark.parametrize("part", TESTED)
def test_one_provider_is_enough(part: str) -> None:
    """Every other one would have to be installed wherever this runs."""
    text = "".join(path.read_text("utf-8") for path in sorted((SOURCE / part).glob("*.tf")))

    assert ["hashicorp/aws"] == re.findall(r'source += "([a-z]+/[a-z]+)"', text)
    # A root is pinned: no lock file is kept.
    version = ">= 5.100, < 7" if part.startswith("modules/") else "= 5.100.0"
    assert [version] == re.findall(r'^ +version += "([^"]*[<>=][^"]*)"', text, re.MULTILINE)
    # What changes by itself is not hidden: it is said, or not asked for.
    assert "ignore_changes" not in text


@pytest.mark.parametrize("cidr", ["10.16.0.0/16", "172.20.128.0/17", "192.168.64.0/18"])
def test_subnets_are_counted_alike(cidr: str, tmp_path: Path) -> None:
    """By the module and by us: network policies, prices and facts are made of these."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not there")
    text = (SOURCE / "modules/network/main.tf").read_text("utf-8")
    counted = re.search(r"cidrs = cidrsubnets\(var\.cidr, ([0-9, ]+)\)", text)
    assert counted is not None
    (tmp_path / "main.tf").write_text(
        f'output "cidrs" {{ value = cidrsubnets("{cidr}", {counted[1]}) }}\n', encoding="utf-8"
    )
    root = terraform.open_root(tool, tmp_path)
    root.run("apply", "-input=false", "-auto-approve")

    subnets = Subnets.of(cidr)
    assert [*subnets.private, *subnets.public, *subnets.endpoint] == json.loads(
        root.run("output", "-json", "cidrs")
    )
