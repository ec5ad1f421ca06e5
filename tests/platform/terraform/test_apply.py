"""Real applies of the tenant module on the embedded engine; `make test-terraform` runs them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from iam import report
from iam.applied import apply_roles, gate_of_applied
from iam.crossing import ATTEMPTS
from iam.gate import Seen, in_thread
from iam.world import ACCOUNT, CLUSTER, ENVIRONMENT, REGION
from support import tagging_standin, tenant_flows, terraform
from support.chart_services import HOST
from support.file_server import served
from support.tenant_flows import AdvancedLife, MovingLife, Plan, PoolLife, PremiumLife
from support.tenant_world import ENGINE_SERVICES, Aws, World
from tenantry_local.engine import start_engine
from tenantry_local.issuer import Issuer
from tenantry_local.processes import Processes, free_port

#: The first test waits for all flows.
pytestmark = pytest.mark.terraform

FLOWS: dict[str, Callable[[World], Any]] = {
    "premium": tenant_flows.premium,
    "pool": tenant_flows.pool,
    "advanced": tenant_flows.advanced,
    "moving": tenant_flows.moving,
}
GAPS = yaml.safe_load((Path(__file__).parent / "engine_gaps.yaml").read_text("utf-8")) or []


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, used: list[str]
) -> Generator[World, None, None]:
    """The engine with an empty cluster, and what it lacks."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    tofu = terraform.find("tofu") or tool
    used.append(f"associations are found by a {tagging_standin.NAME}")
    used.append("IAM is our evaluator's (iam.gate), by the policies that the engine holds")
    used.append(f"the advanced tenant's runs are by {tofu.name}, the others' by {tool.name}")
    folder = tmp_path_factory.mktemp("applied")
    issuer = Issuer.create(folder)
    with ExitStack() as stack:
        processes = Processes()
        stack.callback(processes.close)
        port = free_port()
        asyncio.run(start_engine(processes, port, folder, services=ENGINE_SERVICES))
        aws = Aws.connect(f"http://{HOST}:{port}")
        aws.make_environment()
        roles = apply_roles(
            tool, folder, aws.url, environment=ENVIRONMENT, cluster=CLUSTER, region=REGION
        )
        tagging_url = stack.enter_context(tagging_standin.serve(aws.eks))
        gated = gate_of_applied(
            aws.url, environment=ENVIRONMENT, region=REGION, elsewhere={"tagging": tagging_url}
        )
        gate = stack.enter_context(in_thread(gated))
        keys = stack.enter_context(served(issuer.jwks.parent))
        jwks_url = f"{keys}/{issuer.jwks.name}"
        yield World(tool, tofu, aws, roles, gate, folder, issuer, jwks_url)


@pytest.fixture(scope="module")
def lives(world: World) -> Generator[dict[str, Future[Any]], None, None]:
    """Every flow, all at once: an apply mostly waits."""
    with ThreadPoolExecutor(len(FLOWS)) as pool:
        yield {name: pool.submit(flow, world) for name, flow in FLOWS.items()}


@pytest.fixture
def premium(lives: dict[str, Future[Any]]) -> PremiumLife:
    """A premium tenant: used, then attacked."""
    life: PremiumLife = lives["premium"].result()
    return life


@pytest.fixture
def pool(lives: dict[str, Future[Any]]) -> PoolLife:
    """A pool whose first apply was killed."""
    life: PoolLife = lives["pool"].result()
    return life


@pytest.fixture
def advanced(lives: dict[str, Future[Any]]) -> AdvancedLife:
    """An advanced tenant whose state was lost."""
    life: AdvancedLife = lives["advanced"].result()
    return life


@pytest.fixture
def moving(lives: dict[str, Future[Any]]) -> MovingLife:
    """A tenant that moves out of its pool and back."""
    life: MovingLife = lives["moving"].result()
    return life


def everything(instance: str, *service_accounts: str) -> set[str]:
    """All that an instance of its own has."""
    name = f"{ENVIRONMENT}-{instance}-messages"
    return {
        f"queue {name}",
        f"queue {name}-dead-letters",
        f"table {name}",
        f"alarm {name}-oldest-message",
        f"alarm {name}-dead-letters-waiting",
        *(f"association {account}" for account in service_accounts),
    }


def test_a_premium_tenant_gets_all_of_its_own(premium: PremiumLife) -> None:
    """Queue, dead-letter queue, table, both associations, both alarms, and no more."""
    assert everything("acme", "producer", "consumer") == premium.made


def test_an_advanced_tenant_gets_no_producer(advanced: AdvancedLife) -> None:
    """Its pool's sends for it."""
    assert everything("globex", "consumer") == advanced.made


def test_a_tenant_on_its_way_to_premium_gets_all_before_it_arrives(moving: MovingLife) -> None:
    """While its traffic goes to the pool still."""
    assert everything("nova", "producer", "consumer") == moving.made


@pytest.mark.parametrize("name", FLOWS)
def test_a_second_plan_changes_nothing(name: str, lives: dict[str, Future[Any]]) -> None:
    """But for what the engine answers otherwise than AWS, which is listed with its reason."""
    second: Plan = lives[name].result().ended.second

    gaps = {gap["resource"]: set(gap["attributes"]) for gap in GAPS}
    assert gaps == second.differences
    assert second.of("update") == set(second.actions), second.actions


def test_every_gap_has_its_reason() -> None:
    """And stands once."""
    assert len({gap["resource"] for gap in GAPS}) == len(GAPS)
    assert all(gap["engine"] == "ministack" and gap["reason"] for gap in GAPS)


def test_services_with_the_charts_settings_store_a_message(premium: PremiumLife) -> None:
    """Whose queue and table the chart knows without being told: they are the module's."""
    consumer = premium.served.settings["consumer"]
    assert premium.outputs["queue_url"] == consumer["TENANTRY_QUEUE_URL"]
    assert premium.outputs["table_name"] == consumer["TENANTRY_TABLE_NAME"]

    assert {"S": "order.placed"} == premium.served.stored["type"]
    assert {"n": 1} == premium.served.read["payload"]


def test_a_basic_tenants_message_is_read_by_its_own_session(pool: PoolLife, world: World) -> None:
    """The pool's consumer stores it, and becomes the tenant's reader to answer."""
    assert {"S": "wayne"} == pool.served.stored["tenant_id"]
    assert {"n": 1} == pool.served.read["payload"]

    read = {
        (one.role, one.resource.rpartition("/")[2])
        for one in world.gate.seen
        if one.action == "dynamodb:GetItem" and ("wayne",) == one.context["dynamodb:LeadingKeys"]
    }
    reader = f"{ENVIRONMENT}-tenantry-tenant-reader", f"{ENVIRONMENT}-pool-1-messages"
    assert [reader] == [one for one in read if not one[1].endswith("-tenants")]


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_anothers_pods_are_refused_what_ones_own_may(attempt: str, premium: PremiumLife) -> None:
    """By the policies that the engine holds: the same call, from another namespace."""
    assert "" == premium.crossed.own[attempt]
    assert premium.crossed.other[attempt] in {"AccessDenied", "AccessDeniedException"}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_condition_less_in_the_engine_lets_anothers_pods_in(
    attempt: str, premium: PremiumLife
) -> None:
    """So it is this condition, applied, that refused them; and it guards nothing else of these."""
    assert {attempt} == premium.crossed.when_widened[attempt]


def test_the_matrix_is_right_for_what_was_applied(world: World) -> None:
    """Cell by cell, of services, Terraform and who becomes a role: nothing was lost on the way."""
    assert report.is_right(world.roles)


def test_terraform_is_refused_nothing_that_it_asks_for(
    lives: dict[str, Future[Any]], world: World
) -> None:
    """Nor is anything asked that the gate does not know; other environments' names apart."""
    for life in lives.values():
        life.result()
    assert [] == world.gate.lost
    asked = [one for one in world.gate.seen if one.role == f"{ENVIRONMENT}-tenantry-tf-runner"]
    assert {"sqs", "dynamodb", "cloudwatch", "eks", "iam", "tag"} == {
        one.action.partition(":")[0] for one in asked
    }
    assert [] == [str(one) for one in asked if not one.allowed and not _is_of_staging(one)]


def _is_of_staging(one: Seen) -> bool:
    told = one.context.get("aws:RequestTag/tenantry:environment")
    return told == "staging" or "staging-" in one.resource


def test_an_apply_that_the_runner_may_not_fails_by_name(premium: PremiumLife) -> None:
    """Of what was to be done, and on what; nothing is made."""
    said = premium.refused["another environment"]
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:staging-acme-messages-dead-letters"

    assert f"not authorized to perform: sqs:CreateQueue on resource: {queue}" in said


@pytest.mark.parametrize("plan", ["destroyed while active", "another id"])
def test_what_would_remove_an_active_tenant_removes_nothing(
    plan: str, premium: PremiumLife
) -> None:
    """The protected table is the first to go, and does not; nor is anything made."""
    assert "protected against deletion" in premium.refused[plan]
    assert everything("acme", "producer", "consumer") == premium.after_refusals


def test_a_tier_that_changes_without_a_transition_is_refused(premium: PremiumLife) -> None:
    """By what the table that is there says."""
    words = "acme is of tier premium and is to be advanced: a tier changes by a transition only"

    assert words in premium.refused["tier without a transition"]


def test_an_apply_that_was_killed_is_completed(pool: PoolLife) -> None:
    """The next one adopts what the first had made and did not live to write down."""
    name = f"{ENVIRONMENT}-pool-1-messages"
    assert {f"queue {name}-dead-letters", "association producer"} <= pool.when_killed
    assert {f"queue {name}", f"table {name}"}.isdisjoint(pool.when_killed)
    assert "aws_sqs_queue.dead_letters" not in pool.known_when_killed

    assert everything("pool-1", "producer", "consumer") == pool.made


def test_a_lost_state_is_found_again(advanced: AdvancedLife) -> None:
    """Queues, table and association are imported by name; alarms are put as they are."""
    assert {
        "aws_sqs_queue.messages[0]",
        "aws_sqs_queue.dead_letters[0]",
        "aws_dynamodb_table.messages[0]",
        'aws_eks_pod_identity_association.services["consumer"]',
    } == advanced.without_state.of("import")
    assert {
        "aws_cloudwatch_metric_alarm.dead_letters[0]",
        "aws_cloudwatch_metric_alarm.oldest_message[0]",
    } == set(advanced.without_state.actions) - advanced.without_state.of("import")

    assert advanced.made == advanced.after
    assert advanced.kept is not None


def test_an_arrived_tenant_keeps_queue_and_table(moving: MovingLife) -> None:
    """The last phase changes tags and nothing else, and its end nothing at all."""
    assert set(moving.arriving.actions) == moving.arriving.of("update"), moving.arriving.actions
    assert moving.ended.second.differences == moving.arrived.differences


def test_tags_follow_the_traffic(moving: MovingLife) -> None:
    """The pool that a tenant came from, none, and the pool that may read what it leaves."""
    assert "pool-1" == moving.tags["copying"]["tenantry:pool"]
    assert "tenantry:pool" not in moving.tags["arrived"]
    assert "pool-1" == moving.tags["draining back"]["tenantry:moving-to"]
    assert {"premium"} == {tags["tenantry:tier"] for tags in moving.tags.values()}


def test_a_plan_that_deletes_what_holds_something_is_refused(moving: MovingLife) -> None:
    """A message waits and an item is stored: nobody can have said that there is nothing."""
    assert "is protected from deletion, and this plan would delete it" in moving.refused
    assert everything("nova", "producer", "consumer") == moving.after_refusal
    assert ["left", "tenant_id", "message_id"] == moving.kept


@pytest.mark.parametrize("name", FLOWS)
def test_what_has_ended_leaves_no_trace(name: str, lives: dict[str, Future[Any]]) -> None:
    """Neither in AWS nor in the state."""
    ended = lives[name].result().ended

    assert set() == ended.left_in_aws
    assert "" == ended.left_in_state
