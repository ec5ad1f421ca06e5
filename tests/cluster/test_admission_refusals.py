"""Admission refuses each wrong object, by the policy that is there for it, and says why."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from cluster.admission import (
    POLICY,
    changed,
    documents,
    done,
    refused_by,
    tried,
    until,
)
from cluster.admission_cases import CASES, Case, guard
from support.cluster import Cluster

POLICIES = [found for found in documents() if found["kind"] == POLICY]
RULES = {
    found["metadata"]["name"]: [rule["message"] for rule in found["spec"]["validations"]]
    for found in POLICIES
}
IDS = [f"{number}-{case}" for number, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_what_is_wrong_is_refused_and_told(guarded: Cluster, case: Case) -> None:
    """By its own policy, with what is wrong, where, and what would be right; its twin passes."""
    done(tried(guarded, case, case.good))
    answer = tried(guarded, case, case.bad)

    assert refused_by(answer, case.policy), answer.message or "it was let through"
    assert case.told in answer.message
    # That text would stand alone where the longer one could not be made.
    assert case.rule not in answer.message


def test_every_rule_is_tried() -> None:
    """A rule without a case is a rule that nobody saw refuse."""
    rules = {(policy, rule) for policy, rules in RULES.items() for rule in rules}

    assert rules == {(case.policy, case.rule) for case in CASES}


@pytest.mark.parametrize("number", range(max(len(rules) for rules in RULES.values())))
def test_without_its_rule_what_is_wrong_passes(guarded: Cluster, number: int) -> None:
    """So no rule is there for nothing: neither another one nor the API server refuses the same."""
    touched = [found for found in POLICIES if number < len(found["spec"]["validations"])]
    without = [
        changed(found, (f"spec|validations|{number}|expression", "true")) for found in touched
    ]
    names = {found["metadata"]["name"] for found in touched}
    mine = [
        case for case in CASES if case.policy in names and case.rule == RULES[case.policy][number]
    ]
    done(guarded.apply(without, dry_run=False))
    try:
        until(guarded, mine, in_force=False)
        for case in mine:
            done(tried(guarded, case, case.bad))
    finally:
        done(guarded.apply(touched, dry_run=False))
        until(guarded, mine, in_force=True)
