"""What an account has once: form, own tests and inventory of `shared`, `registry` and `gitea`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud.environments import FILES
from cloud.shared_root import PARTS, TERRAFORM, VARIABLES, made, open_part, runs
from support import terraform
from tenantry_cloud.hcl import read_literals
from tenantry_cloud.reading import read_environment

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
Golden = Callable[[str, str], None]

SHARED: Final[dict[str, Any]] = read_literals(VARIABLES.read_text("utf-8"))


@pytest.fixture(
    scope="module",
    params=["terraform", pytest.param("tofu", marks=pytest.mark.terraform)],
)
def tool(request: pytest.FixtureRequest) -> Path:
    """Terraform; in `make test-terraform` OpenTofu, too."""
    found = terraform.find(request.param)
    if found is None:
        how = {"terraform": "is not installed", "tofu": "is not built: `make tools`"}
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{request.param} {how[request.param]}")
    return found


@pytest.mark.terraform
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_formatted_and_valid_and_passes_its_own_tests(
    part: str, tool: Path, tmp_path: Path, golden: Golden
) -> None:
    """Every run, on a mocked provider; `shared` by the committed variables file.

    The first run is everything that is made: its inventory is committed, so that a change shows in
    its review what it adds and takes away.
    """
    root = open_part(tool, tmp_path / "terraform", part)
    root.run("fmt", "-check", "-diff", "-recursive", str(TERRAFORM / part))
    said = json.loads(root.run("validate", "-json"))
    assert (said["error_count"], said["warning_count"], said["diagnostics"]) == (0, 0, [])

    inventories = made(root, part)

    first = runs(part)[0]
    text = "".join(f"{address}\n" for address in sorted(one.address for one in inventories[first]))
    golden(f"tests/platform/cloud/inventories/{part.replace('/', '-')}.txt", text)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_needs_one_provider_and_makes_no_policy_by_a_data_source(part: str) -> None:
    """Every other provider would have to be installed; a mocked data source is a random text."""
    text = "\n".join(path.read_text("utf-8") for path in (TERRAFORM / part).glob("*.tf"))

    assert ["hashicorp/aws"] == re.findall(r'source += "(hashicorp/.*)"', text)
    # A root is pinned: no lock file is kept.
    version = ">= 5.100, < 7" if part.startswith("modules/") else "= 5.100.0"
    assert [version] == re.findall(r'^ +version += "(.*)"', text, re.MULTILINE)
    assert "aws_iam_policy_document" not in text


@pytest.mark.parametrize("part", PARTS)
def test_every_variable_says_what_it_means(part: str) -> None:
    """And takes no null by accident, and has no default but where a module's README names one."""
    text = (TERRAFORM / part / "variables.tf").read_text("utf-8")

    blocks = re.findall(r'^variable "(\w+)" \{\n(.*?)^\}', text, re.MULTILINE | re.DOTALL)
    assert blocks
    for name, block in blocks:
        assert "description = " in block, name
        assert name == "account" or re.search(r"nullable += false", block), name
        assert "default" not in block or (part, name) == ("modules/registry", "reader_accounts")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_environments_and_shared_agree(file: Path) -> None:
    """Who peers with whom, who reaches Gitea and by which name, and where releases lie."""
    environment = read_environment(file)

    peer = environment.network.peers["shared"]
    assert SHARED["network"]["cidr"] == peer.cidr
    assert environment.network.cidr in SHARED["clients"]
    if environment.workstation is not None:
        assert environment.workstation.cidr in SHARED["clients"]
    assert f"https://{SHARED['address']['host']}" == environment.git.url
    owner = SHARED["git"]["organization"]
    known = [f"{owner}/{name}" for name in SHARED["git"]["repositories"]]
    assert {environment.git.fleet, environment.git.source} <= set(known)
    assert SHARED["registry"]["prefix"] == environment.registry.prefix
    assert SHARED["region"] == environment.region


def test_runners_have_the_versions_that_are_tested() -> None:
    """Terraform and kubectl as workstations have them, cosign and the provider as tests do."""
    root = terraform.REPOSITORY
    runners = SHARED["runners"]
    versions = {name: program["version"] for name, program in runners["programs"].items()}

    workstation = (root / "platform/bootstrap/workstation.yaml").read_text("utf-8")
    assert f"/terraform/{versions['terraform']}/" in workstation
    assert f"/release/v{versions['kubectl']}/" in workstation
    cosign = (root / "tests/tools/cosign/go.mod").read_text("utf-8")
    assert f"github.com/sigstore/cosign/v3 v{versions['cosign']}\n" in cosign
    pinned = (TERRAFORM / "shared/versions.tf").read_text("utf-8")
    assert f'version = "= {runners["provider"]["version"]}"' in pinned


@pytest.mark.parametrize(
    ("path", "kind", "others"),
    [
        (".gitea/workflows/ci.yaml", "ci", {"gcc"}),
        ("platform/fleet/.gitea/workflows/fleet.yaml", "ci", set()),
        ("platform/release/.gitea/workflows/release.yaml", "release", {"awscli", "buildah"}),
    ],
)
def test_runners_have_the_packages_that_workflows_call(
    path: str, kind: str, others: set[str]
) -> None:
    """The Python that a workflow names, with what makes environments of it; make; and its own."""
    workflow = yaml.load((terraform.REPOSITORY / path).read_text("utf-8"), yaml.BaseLoader)
    python = workflow["env"]["PYTHON"]
    pip = {"ci": f"{python}-pip", "release": f"{python}-venv"}[kind]

    assert [kind] == [job["runs-on"] for job in workflow["jobs"].values()]
    assert {python, pip, "make", *others} <= set(SHARED["runners"][kind]["packages"])


def test_no_two_vpcs_of_the_account_overlap() -> None:
    """All environments peer with `shared`, whose routes lead to each of them."""
    ranges = [ip_network(SHARED["network"]["cidr"]), *map(ip_network, SHARED["clients"])]

    for place, one in enumerate(ranges):
        for other in ranges[place + 1 :]:
            assert not one.overlaps(other), (one, other)


@pytest.mark.parametrize("part", PARTS)
def test_the_readme_says_every_input_and_output(part: str) -> None:
    """In the words of their descriptions, and no other."""
    readme = (TERRAFORM / part / "README.md").read_text("utf-8")

    for kind, file in (("input", "variables"), ("output", "outputs")):
        text = (TERRAFORM / part / f"{file}.tf").read_text("utf-8")
        found = re.findall(r'^\w+ "(\w+)" \{\n  description = "(.*)"$', text, re.MULTILINE)
        rows = "".join(f"| `{name}` | {meaning} |\n" for name, meaning in found)
        assert f"| {kind} | meaning |\n| --- | --- |\n{rows}\n" in readme, kind
