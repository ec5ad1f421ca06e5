"""The verbs as commands: what they print, what they refuse, and with which status."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from support.cli_calls import Call, calling, said
from support.cluster_outputs import CLUSTER, FACTS
from support.control_world import World, dead_letters_of
from support.fleets import a_pool
from tenantctl.app import App
from tenantctl.check import Bounds
from tenantctl.contexts import Context
from tenantctl.errors import GitError

SMALL = Bounds(basic_a_pool=1, advanced_a_pool=1, premium_a_group=1, load_balancers=2)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """One pool, and room for one tenant of each tier."""
    return asyncio.run(World(tmp_path, a_pool(), bounds=SMALL).begin())


@pytest.fixture
def call(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls tenantctl in that environment."""
    context = Context.model_validate(
        {
            "environment": "dev",
            "fleet": {"url": "file:///fleet"},
            "cluster": {"kind": "laptop", "state": str(tmp_path)},
            "aws": {"region": "eu-west-1"},
            "exports": str(tmp_path / "exports"),
        }
    )

    return calling(world, context, monkeypatch)


BAD = (
    ("onboard acme --tier gold", 2, "gold"),
    ("onboard pool-9 --tier basic", 2, "pool-"),
    ("onboard Acme --tier basic", 2, "'Acme'"),
    ("onboard ../acme --tier basic", 2, "'../acme'"),
    ("onboard tenants --tier basic", 2, "reserved"),
    ("onboard acme --tier basic --pool Pool", 2, "a pool's name is"),
    ("onboard acme --tier basic --pool pool-1/../x", 2, "a pool's name is"),
    ("onboard acme --tier basic --pool pool-7", 3, "there is no pool pool-7"),
    ("onboard acme --tier premium --pool pool-1", 3, "a premium tenant is in no pool"),
    ("onboard here --tier premium", 3, "`tenantctl move here --tier premium`"),
    ("onboard acme --tier basic --pool pool-1", 3, "pool-1 is full"),
    ("onboard acme --tier basic", 3, "the environment is full"),
    ("move nobody --tier basic", 4, "there is no tenant nobody"),
    ("move here", 2, "where to?"),
    ("move here --rollback", 3, "here is not moving"),
    ("move here --rollback --tier basic", 2, "leave --tier and --pool out"),
    ("move ../here --tier basic", 2, "'../here'"),
    ("suspend nobody", 4, "there is no tenant nobody"),
    ("resume nobody", 4, "there is no tenant nobody"),
    ("offboard nobody", 4, "there is no tenant nobody"),
    ("offboard ..", 2, "'..'"),
    ("status nobody", 4, "there is no tenant nobody"),
    ("describe nobody", 4, "there is no tenant nobody"),
    ("dead-letters nobody", 4, "nobody is not registered"),
    ("redrive nobody", 4, "nobody is not registered"),
    ("token here", 2, "is not ours"),
)


@pytest.mark.parametrize(("line", "status", "words"), BAD, ids=[line for line, _, _ in BAD])
def test_bad_input_is_named_and_changes_nothing(
    line: str, status: int, words: str, call: Call, world: World
) -> None:
    """One line that says what is wrong, and a status of its own kind; also as JSON."""
    assert call("onboard", "here", "--tier", "basic", "--wait").exit_code == 0
    assert call("onboard", "other", "--tier", "premium", "--wait").exit_code == 0
    before = world.fleet.head.commit, world.placement("here")
    result = call(*line.split())

    assert (result.exit_code, words in said(result)) == (status, True), said(result)
    assert (world.fleet.head.commit, world.placement("here")) == before
    if words == "gold":
        return  # typer's own
    as_json = call(*line.split(), "--output", "json")
    error = json.loads(as_json.stderr.splitlines()[-1])
    assert (error["status"], words in error["error"], as_json.stdout) == (str(status), True, "")


def test_each_verb_says_what_it_did_and_that_it_was_done(call: Call, world: World) -> None:
    """The first time, and the second."""
    lines = (
        ("onboard acme --tier basic --wait", "acme is here, basic in pool-1"),
        ("onboard acme --tier basic --wait", "here already, basic in pool-1: nothing was changed"),
        ("move acme --tier premium", "acme is now premium"),
        ("move acme --tier premium", "acme is premium already"),
        ("reconcile", "registry, Git, cluster and cloud agree"),
        ("suspend acme", "acme is suspended"),
        ("status acme", "suspended"),
        ("resume acme", "acme is active"),
        ("list", "acme premium"),
        ("describe acme", "tier: premium"),
        ("pools", "pool-1"),
        ("dead-letters acme", "acme has no dead letters"),
        ("redrive acme", "0 moved back, 0 left"),
        ("check", "every file is valid"),
        ("offboard acme --keep-data", "acme is shut out, and its data is kept"),
        ("offboard acme", "acme is gone"),
        ("offboard acme", "acme left before: nothing was to do"),
    )
    for line, words in lines:
        result = call(*line.split())
        assert result.exit_code == 0, said(result)
        assert words in said(result), (line, said(result))
    refused = call("onboard", "acme", "--tier", "basic")
    assert (refused.exit_code, "its id is free again on" in said(refused)) == (3, True)


def test_the_result_is_json_and_each_step_a_line(call: Call) -> None:
    """The result alone on standard output, what happens meanwhile on standard error."""
    result = call(*["onboard", "acme", "--tier", "advanced", "--wait", "--output", "json"])

    done = json.loads(result.stdout)
    assert done["placement"]["tenant_id"] == "acme"
    assert done["instance"]["home"] == {"tier": "advanced", "pool": "pool-1"}
    events = [json.loads(line) for line in result.stderr.splitlines()]
    steps = [event["step"] for event in events if "step" in event]
    assert steps[:3] == ["committed", "provisioned", "registered"]
    for line in ("list", "pools", "reconcile", "check", "status acme", "describe acme"):
        json.loads(call(*line.split(), "--output", "json").stdout)


def test_a_dry_run_prints_the_diff(call: Call, world: World) -> None:
    """And that there is none."""
    result = call(*["onboard", "acme", "--tier", "basic", "--dry-run"])
    assert (result.exit_code, "+      tier: basic" in result.stdout) == (0, True)
    assert world.fleet.commits == []
    call(*["onboard", "acme", "--tier", "basic"])
    assert "nothing to change" in call(*["onboard", "acme", "--tier", "basic", "--dry-run"]).stdout


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["suspend", "acme"], "+  annotations: {tenantry.dev/status: suspended}"),
        (["move", "acme", "--tier", "premium"], "phase: provisioning"),
        (["offboard", "acme"], "+      phase: offboarding"),
        (["resume", "acme"], "nothing to commit"),
    ],
)
def test_any_verb_shows_its_first_commit_and_does_nothing(
    call: Call, world: World, arguments: list[str], line: str
) -> None:
    """Neither in Git nor in the registry, and also where there is nothing to commit."""
    call(*["onboard", "acme", "--tier", "basic", "--wait"])
    commits, placement = list(world.fleet.commits), world.placement("acme")
    result = call(*arguments, "--dry-run")
    assert (result.exit_code, line in result.stdout) == (0, True)
    assert (list(world.fleet.commits), world.placement("acme")) == (commits, placement)


def test_differences_end_with_a_status_of_their_own(call: Call) -> None:
    """Until `--fix` has put them right."""
    call(*["onboard", "acme", "--tier", "basic"])
    for _ in range(3):
        call("list")
    result = call("reconcile")
    assert (result.exit_code, "acme" in said(result)) == (9, True)


def test_a_fleet_that_does_not_answer_is_named(call: Call, world: World) -> None:
    """By every verb that needs it, and nothing is tried after it."""
    world.fleet.error = GitError("file:///fleet did not answer within 20 s")
    for line in ("onboard acme --tier basic", "list", "offboard acme", "reconcile", "check"):
        result = call(*line.split())
        assert (result.exit_code, "did not answer" in said(result)) == (5, True), said(result)


def test_a_dry_run_of_redrive_moves_nothing(world: World, call: Call) -> None:
    """Bug: there was none; it names what would go, of all and of those that are asked for."""
    assert call("onboard", "acme", "--tier", "basic", "--wait").exit_code == 0
    url = dead_letters_of(world, "pool-1")
    for _ in range(2):
        asyncio.run(world.services.bury("acme", url))
    all_of_it = call("redrive", "acme", "--dry-run")
    one = call("redrive", "acme", "--dry-run", f"--message={min(world.services.accepted['acme'])}")

    assert "2 would be moved back" in said(all_of_it)
    assert "1 would be moved back" in said(one)
    assert asyncio.run(world.control.queues.depth(url)).total == 2
    assert "2 moved back, 0 left" in said(call("redrive", "acme"))


def test_facts_and_what_fills_in_add_ons_are_one_commit(
    call: Call, world: World, tmp_path: Path
) -> None:
    """As Terraform tells them; told again nothing changes, and a wrong one is never pushed."""
    cluster = dict(CLUSTER)
    outputs = {
        "facts": {"value": FACTS},
        "context": {"value": 'environment = "dev"\n'},
        "cluster": {"value": cluster},
    }
    file = tmp_path / "outputs.json"
    file.write_text(json.dumps(outputs), encoding="utf-8")

    assert call("facts", str(file)).exit_code == 0

    told = world.fleet.head
    assert {
        "clusters/dev/addons/facts.yaml",
        "clusters/dev/addons/kustomization.yaml",
        "facts/dev/facts.yaml",
    } <= told.files.keys()
    assert (
        'environment = "dev"\n'
        == yaml.safe_load(told.files["facts/dev/facts.yaml"])["data"]["context"]
    )
    assert "nothing to change" in said(call("facts", str(file)))

    cluster["name"] = "staging"
    file.write_text(json.dumps(outputs), encoding="utf-8")
    assert "is of staging, and this context of dev" in said(call("facts", str(file)))

    del cluster["vpc_id"]
    file.write_text(json.dumps(outputs), encoding="utf-8")
    refused = call("facts", str(file))

    assert (2, True) == (refused.exit_code, "cluster.vpc_id" in said(refused))
    assert world.fleet.head.commit == told.commit


def test_facts_are_proposed_where_main_takes_no_push(
    call: Call, world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull request of them, and none where main says it all; that is told before it is tried."""
    opened: list[str] = []

    class Forge:
        async def open(self, branch: str, title: str) -> str:
            opened.append(f"{branch}: {title}")
            return "https://gitea.example.com/platform/fleet/pulls/1"

    file = tmp_path / "outputs.json"
    file.write_text(json.dumps({"facts": FACTS}), encoding="utf-8")
    before = world.fleet.head.commit
    refused = call("facts", str(file), "--pull-request")
    assert (2, True) == (refused.exit_code, "fleet.gitea in the context" in said(refused))

    monkeypatch.setattr(App, "pull_requests", lambda _: Forge())
    proposed = call("facts", str(file), "--pull-request")

    assert "facts/dev/facts.yaml is proposed: https://gitea.example.com" in said(proposed)
    assert ["tenantctl/dev-facts: Facts of dev"] == opened
    assert before == world.fleet.head.commit
    assert 0 == call("facts", str(file)).exit_code
    assert "nothing to change" in said(call("facts", str(file), "--pull-request"))
    assert 1 == len(opened)
