"""The tenant module: its form, rules and names, and its own tests with the provider mocked."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support import terraform
from support.terraform import TENANT_MODULE, variables
from tenantry import names
from tenantry.tenant_id import parse_tenant_id

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = json.loads((ROOT / "tests" / "contract" / "names.json").read_text("utf-8"))

HCL = sorted(TENANT_MODULE.glob("*.tf"))


@pytest.fixture(
    scope="module",
    params=["terraform", pytest.param("tofu", marks=pytest.mark.terraform)],
)
def tool(request: pytest.FixtureRequest) -> Path:
    """Terraform; in `make test-terraform` OpenTofu, too, which the controller runs."""
    found = terraform.find(request.param)
    if found is None:
        how = {"terraform": "is not installed", "tofu": "is not built: `make tools`"}
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{request.param} {how[request.param]}")
    return found


@pytest.fixture(scope="module")
def module(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> terraform.Root:
    """A copy of the module with its provider."""
    folder = tmp_path_factory.mktemp("terraform") / "tenant"
    return terraform.open_root(tool, terraform.copy_module(TENANT_MODULE, folder))


def test_the_files_are_formatted(module: terraform.Root) -> None:
    """As `terraform fmt` writes them."""
    module.run("fmt", "-check", "-diff", "-recursive", str(TENANT_MODULE))


def test_the_configuration_is_valid(module: terraform.Root) -> None:
    """For the tool, with the provider that is installed."""
    said = json.loads(module.run("validate", "-json"))

    assert (said["error_count"], said["warning_count"], said["diagnostics"]) == (0, 0, [])


@pytest.mark.slow
def test_its_own_tests_pass(module: terraform.Root) -> None:
    """Every run of tests/*.tftest.hcl, and none is left out."""
    runs = sum(
        len(re.findall(r'^run "', path.read_text("utf-8"), re.MULTILINE))
        for path in TENANT_MODULE.glob("tests/*.tftest.hcl")
    )

    assert f"Success! {runs} passed, 0 failed." in module.run("test")


def test_the_rule_of_ids_is_the_services(tool: Path) -> None:
    """A module is a folder of its own, so that it has a copy of the one data file."""
    rule = ROOT / "libs" / "tenantry" / "src" / "tenantry" / "data" / "tenant_id.json"

    assert rule.read_bytes() == (TENANT_MODULE / "tenant_id.json").read_bytes()


def test_names_are_those_of_the_services(tool: Path, tmp_path: Path) -> None:
    """Long ones cut and hashed: the same table of examples as `tenantry.names` passes."""
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "names.tf").write_bytes((TENANT_MODULE / "names.tf").read_bytes())
    (folder / "rest.tf").write_text(
        'variable "environment" { type = string }\n'
        'variable "instance" { type = object({ id = string }) }\n'
        'output "names" { value = local.names }\n',
        encoding="utf-8",
    )
    cases = [
        {"environment": example["environment"], "instance": {"id": example["instance"]}}
        for example in EXAMPLES
    ]

    root = terraform.open_calls(tool, tmp_path, cases, "names")
    root.run("apply", "-input=false", "-auto-approve")
    outputs = json.loads(root.run("output", "-json"))

    for number, example in enumerate(EXAMPLES):
        wanted = {what: example[what] for what in ("queue", "dead_letter_queue", "table")}
        assert wanted == outputs[f"case_{number}"]["value"], example["why"]


#: Ids on both sides of each part of the rule.
IDS = (
    *(
        "acme",
        "a2c",
        "a" * 32,
        "acme-2-west",
        "poolside",
        "pool",
        "argyle",
        "system-1",
        "kubernetes",
    ),
    *("defaults", "flux", "tenant-infra-2", "my-pool-1", "z9-9z"),
    *("", "a", "ab", "a" * 33, "2acme", "-acme", "acme-", "acme--west", "Acme", "acme_west"),
    *(
        "acme.west",
        "acme/west",
        "../acme",
        "acme/..",
        "acme west",
        " acme",
        "acme ",
        "acme\n",
        "\nacme",
    ),
    *(
        "acme\twest",
        "${acme}",
        "${path.module}",
        "%{acme}",
        "$${acme}",
        "acme$",
        "äcme",
        "acmé",
        "\u0430cme",
    ),
    *("acme\u0000", "acme#1", "acme*", 'ac"me', "ac'me", "ac\\me", "acme\r\n", "acme\u2028"),
    *(
        "default",
        "tenants",
        "tenant-infra",
        "system",
        "pool-1",
        "pool-x",
        "kube-system",
        "flux-system",
    ),
    *("argo", "argo-events", "argocd", "kube-", "pool-"),
)


def _is_an_id(value: str) -> bool:
    try:
        parse_tenant_id(value)
    except ValueError:
        return False
    return True


def test_ids_are_taken_and_refused_as_by_the_services(tool: Path, tmp_path: Path) -> None:
    """One rule everywhere: what services refuse, no plan is made for."""
    said = terraform.refusals(
        tool, tmp_path, {id_: variables({"id": id_, "tier": "premium"}) for id_ in IDS}
    )

    verdicts = {id_: not said[id_] for id_ in IDS}
    assert {id_: _is_an_id(id_) for id_ in IDS} == verdicts
    assert {True, False} == set(verdicts.values())


PREMIUM: dict[str, Any] = {"id": "acme", "tier": "premium"}
POOL: dict[str, Any] = {"id": "pool-1", "kind": "pool"}
MOVE: dict[str, Any] = {"from": {"tier": "basic", "pool": "pool-1"}, "phase": "copying"}

#: Wrong values, and what the message says: the key, and the rule.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "environment with a hyphen": (variables(PREMIUM, environment="dev-1"), "no hyphen"),
    "environment too long": (variables(PREMIUM, environment="e" * 21), "environment is 1 to 20"),
    "environment in upper case": (variables(PREMIUM, environment="Dev"), "environment is 1 to 20"),
    "environment of a template": (
        variables(PREMIUM, environment="${x}"),
        "environment is 1 to 20",
    ),
    "kind unknown": (variables(PREMIUM | {"kind": "silo"}), "instance.kind is pool or tenant"),
    "id reserved": (variables(PREMIUM | {"id": "kube-x"}), "this tenant id is reserved"),
    "id too long": (variables(PREMIUM | {"id": "a" * 33}), "has 3 to 32 characters"),
    "id of two lines": (variables(PREMIUM | {"id": "ac\nme"}), "a tenant id matches ^[a-z]"),
    "pool's name not one": (variables(POOL | {"id": "puddle-1"}), "the name of a pool matches"),
    "pool's name too long": (
        variables(POOL | {"id": "pool-" + "1" * 28}),
        "at most 32 characters",
    ),
    "pool that is premium": (variables(POOL | {"tier": "premium"}), "a pool is of tier basic"),
    "pool that moves": (variables(POOL | {"transition": MOVE}), "has no transition"),
    "tier unknown": (
        variables(PREMIUM | {"tier": "gold", "pool": "pool-1"}),
        "a tier is basic, advanced or premium",
    ),
    "tier unknown that it comes from": (
        variables(
            PREMIUM
            | {"transition": {"from": {"tier": "gold", "pool": "pool-1"}, "phase": "copying"}}
        ),
        "a tier is basic, advanced or premium",
    ),
    "advanced without a pool": (variables({"id": "acme", "tier": "advanced"}), "is in a pool"),
    "advanced in what is no pool": (
        variables({"id": "acme", "tier": "advanced", "pool": "acme"}),
        "the name of a pool matches",
    ),
    "basic": (
        variables({"id": "acme", "tier": "basic", "pool": "pool-1"}),
        "has nothing of its own",
    ),
    "no tier": (variables({"id": "acme", "pool": "pool-1"}), "has nothing of its own"),
    "basic to basic": (
        variables(
            {
                "id": "acme",
                "tier": "basic",
                "pool": "pool-2",
                "transition": MOVE,
            }
        ),
        "has nothing of its own",
    ),
    "from a pool without its name": (
        variables(PREMIUM | {"transition": {"from": {"tier": "basic"}, "phase": "copying"}}),
        "instance.transition.from.pool",
    ),
    "to where it is": (
        variables(PREMIUM | {"transition": {"from": {"tier": "premium"}, "phase": "copying"}}),
        "leads to another tier or pool",
    ),
    "phase of a transition unknown": (
        variables(PREMIUM | {"transition": MOVE | {"phase": "moving"}}),
        "instance.transition.phase is provisioning",
    ),
    "phase unknown": (
        variables(PREMIUM | {"phase": "gone"}),
        "instance.phase is active or offboarding",
    ),
    "offboarded while it moves": (
        variables(PREMIUM | {"phase": "offboarding", "transition": MOVE}),
        "Finish the transition",
    ),
    "cluster's name": (
        variables(PREMIUM, cluster_name="dev cluster"),
        "the name of an EKS cluster",
    ),
    "role missing": (
        variables(PREMIUM, roles={"producer": terraform.ROLES["producer"]}),
        "roles names producer, consumer",
    ),
    "role that is none": (
        variables(PREMIUM, roles=terraform.ROLES | {"consumer": "arn:aws:iam::1:user/x"}),
        "roles are ARNs of IAM roles",
    ),
    "visibility zero": (variables(PREMIUM, visibility_seconds=0), "from 2 to 43,200"),
    "visibility a fraction": (variables(PREMIUM, visibility_seconds=30.5), "a whole number"),
    "message too large": (
        variables(PREMIUM, max_message_bytes=1048577),
        "from 1,024 to 1,048,576",
    ),
    "message too small": (variables(PREMIUM, max_message_bytes=1023), "from 1,024 to 1,048,576"),
    "ceiling zero": (variables(PREMIUM, table_ceiling={"write_units": 0}), "from 1 to 40,000"),
    "tag of ours": (variables(PREMIUM, tags={"tenantry:tier": "x"}), "decide about access"),
    "tag of ours in capitals": (
        variables(PREMIUM, tags={"TENANTRY:tenant": "x"}),
        "decide about access",
    ),
    "tag of Amazon's": (variables(PREMIUM, tags={"AWS:x": "x"}), "are Amazon's"),
    "tags too many": (variables(PREMIUM, tags={f"t{n}": "x" for n in range(41)}), "at most 40"),
}


def test_wrong_values_are_refused_in_words(tool: Path, tmp_path: Path) -> None:
    """The message names the key and the rule, before anything is asked of AWS."""
    said = terraform.refusals(tool, tmp_path, {name: case for name, (case, _) in REFUSED.items()})

    for name, (_, words) in REFUSED.items():
        flat = " ".join(said[name].split())
        assert words in flat, f"{name}: {flat or 'it was taken'}"
    # One rule for each case, or a reader would be told what is not wrong.
    twice = {name: text for name, text in said.items() if text.count("This was checked by") > 1}
    assert {} == twice


def test_a_missing_or_null_value_is_refused(tool: Path, tmp_path: Path) -> None:
    """Nothing that is needed has a default, and null is none."""
    needed = {name for name, (_, has_default) in declared("variable").items() if not has_default}
    assert {"environment", "instance", "cluster_name", "roles"} == needed

    cases = {name: variables(PREMIUM) | {name: None} for name in declared("variable")}
    said = terraform.refusals(tool, tmp_path, cases)

    assert all("null" in said[name] for name in needed), said


TIERS = ("basic", "advanced", "premium")
PHASES = ("provisioning", "copying", "switched", "draining", "removing")
PLACES = [
    {"tier": tier} | ({"pool": pool} if pool else {})
    for tier, pool in [
        *(("basic", pool) for pool in ("pool-1", "pool-2")),
        *(("advanced", pool) for pool in ("pool-1", "pool-2")),
        ("premium", None),
    ]
]
#: Every move that the module has to do with: each pair of places, one of which owns something.
MOVES = {
    f"{origin['tier']} {origin.get('pool', '')} to {target['tier']} {target.get('pool', '')}, "
    f"{phase}": (origin, target, phase)
    for origin in PLACES
    for target in PLACES
    if origin != target and {origin["tier"], target["tier"]} != {"basic"}
    for phase in PHASES
}


@pytest.fixture(scope="module")
def moves(tool: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the module makes of every move in every phase."""
    cases = {
        name: variables({"id": "nova", **target, "transition": {"from": origin, "phase": phase}})
        for name, (origin, target, phase) in MOVES.items()
    }
    return terraform.rules(tool, tmp_path_factory.mktemp("moves"), cases)


def test_both_places_of_a_move_are_built_until_the_last_phase(moves: dict[str, Any]) -> None:
    """Then what only the old one had is gone, and never earlier."""
    for name, (origin, target, phase) in MOVES.items():
        tiers = {target["tier"]} | ({origin["tier"]} if phase != "removing" else set())
        accounts = set()
        if tiers != {"basic"}:
            accounts.add("consumer")
        if "premium" in tiers:
            accounts.add("producer")

        assert ("consumer" in accounts) is moves[name]["is_built"], name
        wanted = {account: terraform.ROLES[account] for account in accounts}
        assert wanted == moves[name]["service_accounts"], name


def test_tags_of_a_move_say_where_its_traffic_goes(moves: dict[str, Any]) -> None:
    """Up to `copying` a move that is given up leaves no trace in them."""
    for name, (origin, target, phase) in MOVES.items():
        tags = moves[name]["tags"]
        placed = origin if phase in {"provisioning", "copying"} else target
        other = target if placed is origin else origin
        tier = placed["tier"] if placed["tier"] != "basic" else other["tier"]
        ours = {
            "environment": "dev",
            "tenant": "nova",
            "tier": tier,
            "pool": placed.get("pool"),
            "moving-to": target.get("pool") if target["tier"] == "basic" else None,
            "consumer-namespace": "nova",
        }
        wanted = {f"tenantry:{key}": value for key, value in ours.items() if value is not None}
        sender = tags.pop("tenantry:producer-namespace", None)

        assert wanted == tags, name
        if "producer" in moves[name]["service_accounts"]:
            assert "nova" == sender, name
        elif moves[name]["is_built"]:
            assert sender in {origin.get("pool"), target.get("pool")}, name


def declared(kind: str) -> dict[str, tuple[str, bool]]:
    """Description of each variable or output, and whether it has a default."""
    text = "\n".join(path.read_text("utf-8") for path in HCL)
    found: dict[str, tuple[str, bool]] = {}
    for name, body in re.findall(
        rf'^{kind} "(\w+)" \{{\n(.*?)^\}}', text, re.MULTILINE | re.DOTALL
    ):
        description = re.search(r'^  description = "(.*)"$', body, re.MULTILINE)
        assert description is not None, f"{kind} {name} has no description"
        found[name] = (description[1], re.search(r"^  default +=", body, re.MULTILINE) is not None)
    return found


def test_there_are_at_most_eight_variables() -> None:
    """One tenant has one shape: what could differ is in the chart."""
    assert len(declared("variable")) <= 8


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_the_readme_lists_all(kind: str) -> None:
    """In the module's own words, in its own order, and what has no default as needed."""
    readme = (TENANT_MODULE / "README.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|$", readme, re.MULTILINE)
    listed = [(name, rest) for name, rest in rows if name in declared(kind)]

    wanted = [
        (name, f"{'no' if has_default else 'yes'} | {text}" if kind == "variable" else text)
        for name, (text, has_default) in declared(kind).items()
    ]
    assert wanted == listed


def test_it_makes_no_role_no_policy_and_no_item() -> None:
    """Roles are the environment's, and the registry has one writer, which is not Terraform."""
    text = "\n".join(path.read_text("utf-8") for path in HCL)

    assert {
        "aws_cloudwatch_metric_alarm",
        "aws_dynamodb_table",
        "aws_eks_pod_identity_association",
        "aws_sqs_queue",
    } == set(re.findall(r'^resource "(\w+)"', text, re.MULTILINE))
    assert not re.search(r"^\s+policy +=", text, re.MULTILINE)


def test_it_needs_one_provider() -> None:
    """Every other one would have to be installed wherever this runs."""
    text = "\n".join(path.read_text("utf-8") for path in HCL)

    assert ["hashicorp/aws"] == re.findall(r'source += "(.*)"', text)
    assert [">= 5.100, < 7"] == re.findall(r'^ +version += "(.*)"', text, re.MULTILINE)
    assert "ignore_changes" not in text


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    environment=st.from_regex(r"[a-z][a-z0-9]{0,19}", fullmatch=True),
    instance=st.from_regex(r"[a-z][a-z0-9]{0,31}", fullmatch=True),
)
def test_names_within_the_bounds_are_never_cut(environment: str, instance: str) -> None:
    """So that a person, a policy's pattern and the chart know them without a digest."""
    assert names.queue_name(environment, instance) == f"{environment}-{instance}-messages"
    assert names.dead_letter_queue_name(environment, instance).endswith("-messages-dead-letters")
    assert names.table_name(environment, instance) == f"{environment}-{instance}-messages"
