"""The isolation matrix: own allowed, others denied, and every condition of every policy is needed.

The policies are those that Terraform renders. The matrix is printed at the end of the run.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iam import runner, trust
from iam.matrix import ALLOWED, LETTERS, WHOLE, Cell, cells, recorded_calls, wrong
from iam.policies import Policy, parse
from iam.rendered import Roles
from iam.runner import Ask
from iam.trust import Entry
from iam.widening import Widened, widened

#: Roles whose sessions the matrix asks about; the runner has one of its own.
SERVICES = ("producer", "consumer", "pool-producer", "pool-consumer", "tenant-reader")
RUNNER = "tf-runner"


@pytest.fixture(scope="module")
def matrix(roles: Roles) -> list[Cell]:
    """Every session, every resource, every action."""
    return cells(roles)


@pytest.fixture(scope="module")
def entries(roles: Roles) -> list[Entry]:
    """Every caller, every role."""
    return trust.entries(roles)


@pytest.fixture(scope="module")
def asks(roles: Roles) -> list[Ask]:
    """Everything that Terraform might do."""
    return runner.asks(roles)


def test_own_is_allowed_and_all_else_is_denied(roles: Roles, matrix: list[Cell]) -> None:
    """Each service's role in each tier, on queues, dead letters, tables, partitions, registry."""
    policies = {role: [roles[role].access_policy()] for role in SERVICES}

    assert [] == [str(cell) for cell in wrong(matrix, policies)]


def test_the_matrix_has_no_hole(matrix: list[Cell]) -> None:
    """What is expected is asked, letter by letter, of sessions and resources that there are."""
    asked = {(cell.session.label, cell.resource.label, cell.letter) for cell in matrix}
    expected = {
        (session, resource, letter)
        for session, lines in ALLOWED.items()
        for resource, letters in lines.items()
        for letter in letters
    }
    assert expected <= asked
    kinds = {cell.resource.service: set[str]() for cell in matrix}
    for cell in matrix:
        kinds[cell.resource.service].add(cell.letter)
    sessions = {cell.session.label for cell in matrix}
    resources = {cell.resource.label for cell in matrix}
    for service, letters in kinds.items():
        made = {letter for action, letter in LETTERS.items() if action.startswith(service)}
        assert made <= letters
    assert len(sessions) * len(resources) == len({(one, other) for one, other, _ in asked})


def test_every_call_that_services_make_is_a_column(matrix: list[Cell]) -> None:
    """And nothing is allowed to a role that its service was never seen to do."""
    for role in SERVICES:
        made = {call["action"] for call in recorded_calls()[role]} - {"sts:AssumeRole"}
        allowed = {
            cell.request.action for cell in matrix if cell.session.role == role and cell.expected
        }
        assert made == allowed
        assert made <= set(LETTERS)


def test_a_pools_consumer_reads_nothing_that_was_sent(matrix: list[Cell]) -> None:
    """Its own role compares digests; what tenants sent is read by the tenant's session alone."""
    read = {"G", "Q", WHOLE}
    seen = {
        cell.letter
        for cell in matrix
        if cell.session.role == "pool-consumer"
        and cell.expected
        and cell.resource.label.startswith("table")
    }
    assert not seen & read


def test_who_may_become_a_role(roles: Roles, entries: list[Entry]) -> None:
    """Pods of this cluster by account and namespace; the reader: consumers of pools, for one."""
    found = [
        str(entry)
        for name, role in roles.items()
        for entry in trust.wrong(entries, name, role.trust_policy(), role.arn)
    ]

    assert [] == found
    assert set(roles) == {entry.role for entry in entries if entry.expected}


def test_terraform_may_what_the_module_needs(roles: Roles, asks: list[Ask]) -> None:
    """On the environment's instances alone; it sees no message, and makes nobody a role."""
    assert [] == [str(ask) for ask in runner.wrong(asks, roles[RUNNER].access_policy())]


def test_a_queues_own_policy_lets_the_runner_see_no_message(roles: Roles, asks: list[Ask]) -> None:
    """It may write such a policy: without the denial of all else it could let itself receive."""
    access = roles[RUNNER].access
    less = [one for one in access["Statement"] if one["Sid"] != "NothingElseByAnyPolicy"]
    opened = [ask for ask in asks if ask.thing.is_open]

    assert not any(ask.is_allowed(parse(access)) for ask in opened)
    let_in = {
        ask.request.action for ask in opened if ask.is_allowed(parse(access | {"Statement": less}))
    }
    assert {"sqs:ReceiveMessage", "sqs:SendMessage", "sqs:PurgeQueue"} <= let_in
    assert {"dynamodb:GetItem", "dynamodb:PartiQLDelete", "dynamodb:Scan"} <= let_in


def survivors(document: dict[str, object], judge: Callable[[Policy], object]) -> list[Widened]:
    """The wider policies that nothing noticed."""
    assert judge(parse(document)) is None, "as it is"
    found = list(widened(document))
    assert found
    return [wider for wider in found if judge(parse(wider.document)) is None]


@pytest.mark.parametrize("role", SERVICES)
def test_each_widened_statement_turns_a_cell_red(
    role: str, roles: Roles, matrix: list[Cell]
) -> None:
    """Another action, any resource, a condition less: each condition of each statement."""
    own = [cell for cell in matrix if cell.session.role == role]

    left = survivors(roles[role].access, lambda policy: next(wrong(own, {role: [policy]}), None))

    assert [] == [str(one) for one in left]


def test_each_widened_statement_of_the_runner_turns_a_cell_red(
    roles: Roles, asks: list[Ask]
) -> None:
    """Of what it may, and of what is forbidden it."""
    left = survivors(roles[RUNNER].access, lambda policy: next(runner.wrong(asks, policy), None))

    assert [] == [str(one) for one in left]


@pytest.mark.parametrize("role", [*SERVICES, RUNNER])
def test_each_widened_trust_turns_a_cell_red(
    role: str, roles: Roles, entries: list[Entry]
) -> None:
    """Anybody, another cluster, another account, another namespace, no tenant."""
    arn = roles[role].arn

    left = survivors(
        roles[role].trust, lambda policy: next(trust.wrong(entries, role, policy, arn), None)
    )

    assert [] == [str(one) for one in left]


def test_a_policy_that_allows_nothing_turns_cells_red_too(
    roles: Roles, matrix: list[Cell]
) -> None:
    """Each session that there is may do something: a positive twin of what is denied."""
    nothing = parse({"Version": "2012-10-17", "Statement": []})
    found = list(wrong(matrix, {role: [nothing] for role in SERVICES}))

    assert set(ALLOWED) == {cell.session.label for cell in found}
