"""A release goes the way that `tenantctl move` goes, and no other, whatever Flux saw of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import pairwise, permutations
from typing import Any

import pytest

from cluster.admission import POLICY, changed, documents, done, refused_by, release
from cluster.admission_cases import guard
from support.cluster import Cluster
from support.waiting import wait_for
from tenantctl.model import TRANSITION_PHASES, Home, Instance, Transition
from tenantctl.verbs.beginning import turned_round

PREMIUM = Home("premium")
ADVANCED = Home("advanced", "pool-1")
BASIC = Home("basic", "pool-1")


@pytest.fixture(scope="module")
def guarded(cluster: Cluster) -> Generator[Cluster]:
    """The API server with policies in force, and instances that stand."""
    with guard(cluster):
        yield cluster


def states(tenant: str, *homes: Home) -> list[Instance]:
    """A tenant at rest in each of these places, and at each phase of each move between them."""
    resting = [Instance(id=tenant, home=home) for home in homes]
    return resting + [
        Instance(id=tenant, home=there, transition=Transition(here, phase))
        for here, there in permutations(homes, 2)
        for phase in TRANSITION_PHASES
    ]


def advanced(there: Instance) -> Iterator[Instance]:
    """What is committed once the cluster has applied this."""
    if there.transition is None:
        return
    following = dict(pairwise(TRANSITION_PHASES)).get(there.transition.phase)
    origin = there.transition.origin
    yield there.but(transition=following and Transition(origin, following))


def at_once(there: Instance, homes: tuple[Home, ...]) -> Iterator[Instance]:
    """What is committed without a look at the cluster: a new move, or one that is turned round.

    A new one leads elsewhere, or here from where the registry has the tenant.
    """
    if there.transition is None:
        for home in homes:
            if home != there.home:
                yield there.but(home=home, transition=Transition(there.home, "provisioning"))
                yield there.but(transition=Transition(home, "provisioning"))
    elif there.transition.phase != "removing":
        yield from turned_round(there).write


def presented(there: Instance, homes: tuple[Home, ...]) -> list[Instance]:
    """All that Flux can come to see after this, however long it looked elsewhere."""
    found = [there]
    ahead = [*advanced(there), *at_once(there, homes)]
    while ahead:
        one = ahead.pop()
        if one not in found:
            found.append(one)
            ahead += at_once(one, homes)
    return found


@pytest.mark.parametrize("number", range(len(states("any", PREMIUM, ADVANCED))))
def test_a_release_goes_on_by_what_tenantctl_commits_and_by_nothing_else(
    guarded: Cluster, number: int
) -> None:
    """From each phase to each other, also when it was taken back twice between two looks at Git.

    Once any phase could follow any other: `removing` at once, before anything was copied.
    """
    homes = (PREMIUM, ADVANCED, BASIC)
    tenant = f"phase-{number}"
    here = states(tenant, PREMIUM, ADVANCED)[number]
    # Wherever it stands in Git: a cluster that is made anew begins there.
    done(guarded.apply(release(here.values()), dry_run=False))
    wrong = {}
    right = presented(here, homes)
    for there in states(tenant, *homes):
        answer = guarded.apply(release(there.values()))
        if not (answer.ok if there in right else refused_by(answer, "releases.tenantry.dev")):
            wrong[str(there)] = answer.message or "it was let through"

    assert {} == wrong
    assert 2 <= len(right) < len(states(tenant, *homes))


BROKEN: list[Any] = [
    {},
    None,
    "x",
    {"phase": "provisioning"},
    {"phase": "provisioning", "from": {"tier": "premium"}},
]


@pytest.fixture(scope="module")
def broken(guarded: Cluster) -> list[str]:
    """Tenants whose transition the chart refuses, from before admission did."""
    tenants = [f"broken-{number}" for number in range(len(BROKEN))]
    [policy] = [
        found
        for found in documents()
        if (found["kind"], found["metadata"]["name"]) == (POLICY, "releases.tenantry.dev")
    ]
    [number] = [
        number
        for number, rule in enumerate(policy["spec"]["validations"])
        if rule["expression"] == "variables.sound[0]"
    ]
    bad = [
        changed(
            release({"id": tenant, "tier": "premium"}),
            ("spec|values", {"instance": {"id": tenant, "tier": "premium", "transition": said}}),
        )
        for tenant, said in zip(tenants, BROKEN, strict=True)
    ]
    # What stands and stays as it is passes.
    unseen = changed(
        release({"id": "unseen", "tier": "premium"}), ("spec|values|instance|transition", {})
    )
    done(
        guarded.apply(
            changed(policy, (f"spec|validations|{number}|expression", "true")), dry_run=False
        )
    )
    try:
        wait_for(lambda: guarded.apply(bad).ok, what="the rule is off")
        done(guarded.apply(bad, dry_run=False))
    finally:
        done(guarded.apply(policy, dry_run=False))
        wait_for(lambda: not guarded.apply(unseen).ok, what="the rule is on")
    return tenants


@pytest.mark.parametrize("number", range(len(BROKEN)))
def test_a_transition_that_the_chart_refuses_is_left_by_any_that_it_takes(
    guarded: Cluster, broken: list[str], number: int
) -> None:
    """Once such a release was locked: it counted as moving, from nowhere, and no way led out."""
    tenant = broken[number]
    leaving = {"id": tenant, "tier": "premium", "phase": "offboarding"}

    for there in states(tenant, PREMIUM, ADVANCED):
        done(guarded.apply(release(there.values())))
    done(guarded.apply(release(leaving)))
