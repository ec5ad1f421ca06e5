"""A release goes the way that `tenantctl move` goes, and no other, whatever Flux saw of it."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import pairwise, permutations

import pytest

from cluster.admission import done, refused_by, release
from cluster.admission_cases import guard
from support.cluster import Cluster
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
