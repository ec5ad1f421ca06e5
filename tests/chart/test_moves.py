"""A tenant that moves or leaves: what is kept up, what may go, and what is refused."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any, Final

import pytest

from chart.kube_api_standin import kube_api
from chart.render import (
    ADVANCED,
    BASIC,
    CHART,
    KINDS,
    POOL,
    PREMIUM,
    SCHEMA,
    TIERS,
    Object,
    environment,
    moving,
    named,
    of_kind,
    render,
    values,
    who,
)

PHASES: Final = SCHEMA["properties"]["instance"]["properties"]["transition"]["properties"][
    "phase"
]["enum"]
UNION: Final = [phase for phase in PHASES if phase != "removing"]
#: Places of one tenant: what it is told besides its id.
PLACES: Final[dict[str, dict[str, str]]] = {
    "premium": {"tier": "premium"},
    "advanced": {"tier": "advanced", "pool": "pool-1"},
    "advanced elsewhere": {"tier": "advanced", "pool": "pool-2"},
    "basic": {"tier": "basic", "pool": "pool-1"},
    "basic elsewhere": {"tier": "basic", "pool": "pool-2"},
}
BUDGET: Final = "PodDisruptionBudget acme/consumer"
MOVES: Final = [(left, to) for left in PLACES for to in PLACES if left != to]


def at(place: str) -> dict[str, Any]:
    """Values of the tenant where it rests."""
    return values({"id": "acme", **PLACES[place]})


@cache
def resting(place: str) -> list[Object]:
    """What renders where it rests; shared, so nobody changes it."""
    return render(at(place))


@cache
def move(left: str, to: str, phase: str) -> list[Object]:
    """What renders on the way; shared, so nobody changes it."""
    return render(moving({"id": "acme", **PLACES[to]}, phase, **PLACES[left]))


def tier_of(place: str) -> str:
    """The tier of a place."""
    return PLACES[place]["tier"]


def names(objects: list[Object]) -> set[str]:
    """Kinds, namespaces and names; a budget comes and goes with the number of replicas."""
    return {who(each) for each in objects} - {BUDGET}


def offboarding(objects: list[Object]) -> set[str]:
    """The objects that may go."""
    return {
        who(each)
        for each in objects
        if each["metadata"]["labels"]["tenantry.dev/phase"] == "offboarding"
    } - {BUDGET}


@pytest.mark.parametrize(("left", "to"), MOVES)
@pytest.mark.parametrize("phase", UNION)
def test_a_move_keeps_up_both_places(left: str, to: str, phase: str) -> None:
    """All that either of them has, and nothing besides."""
    both = names(resting(left)) | names(resting(to))

    assert both == names(move(left, to, phase))


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_a_move_ends_in_its_place(left: str, to: str) -> None:
    """In `removing` the other one's are gone, but for the object by which Terraform removes."""
    rest = names(resting(to))
    still = {"Terraform tenant-infra/acme"} if tier_of(left) != "basic" else set()

    assert rest | still == names(move(left, to, "removing"))


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_what_goes_next_was_let_go_before(left: str, to: str) -> None:
    """From one phase to the next nothing disappears that the phase before did not mark.

    Admission refuses to delete what is not marked, and Helm keeps it.
    """
    path = [resting(left), *(move(left, to, phase) for phase in PHASES), resting(to)]
    for before, after in pairwise(path):
        gone = names(before) - names(after)
        assert gone <= offboarding(before), gone


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_nothing_is_let_go_before_all_is_drained(left: str, to: str) -> None:
    """And never what both places have."""
    for phase in ("provisioning", "copying", "switched"):
        assert not offboarding(move(left, to, phase))
    # Told by the target alone, whichever name both share stays.
    assert offboarding(move(left, to, "draining")).isdisjoint(names(resting(to)))


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_labels_and_sizes_follow_the_traffic(left: str, to: str) -> None:
    """Until `switched` the tenant is where it was: labels say so, and pods are sized for it."""
    for phase in PHASES:
        now = PLACES[left if phase in {"provisioning", "copying"} else to]
        found = move(left, to, phase)
        for each in found:
            labels = each["metadata"]["labels"]
            assert now["tier"] == labels["tenantry.dev/tier"]
            assert now.get("pool") == labels.get("tenantry.dev/pool")
        if of_kind(found, "Deployment"):
            own = {PLACES[place]["tier"] for place in (left, to)} - {"basic"}
            tier = now["tier"] if now["tier"] in own else min(own)
            assert tier == environment(found, "consumer")["TENANTRY_TIER"]
            pod = named(found, "Deployment", "consumer")["spec"]["template"]["spec"]
            cpu = pod["containers"][0]["resources"]["requests"]["cpu"]
            assert f"{TIERS['tiers'][tier]['consumer']['cpu']}m" == cpu


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_terraform_is_told_the_move_as_it_is(left: str, to: str) -> None:
    """The module builds both places itself, so it hears of both."""
    for phase in PHASES:
        for terraform in of_kind(move(left, to, phase), "Terraform"):
            told = {each["name"]: each["value"] for each in terraform["spec"]["vars"]}
            assert {
                "id": "acme",
                "kind": "tenant",
                "phase": "active",
                **PLACES[to],
                "transition": {"from": PLACES[left], "phase": phase},
            } == told["instance"]


def test_queue_and_table_are_destroyed_with_their_object_only_when_they_may_be() -> None:
    """In phase `offboarding`, and at the end of a move to where there is none of its own."""
    destroyed = {
        (left, to, phase)
        for left, to in MOVES
        for phase in PHASES
        for terraform in of_kind(move(left, to, phase), "Terraform")
        if terraform["spec"]["destroyResourcesOnDeletion"]
    }

    assert {
        (left, to, "removing")
        for left, to in MOVES
        if tier_of(left) != "basic" and tier_of(to) == "basic"
    } == destroyed
    for kind, instance in KINDS.items():
        if kind != "basic":
            for phase in ("active", "offboarding"):
                [terraform] = of_kind(render(values({**instance, "phase": phase})), "Terraform")
                wanted = phase == "offboarding"
                assert wanted == terraform["spec"]["destroyResourcesOnDeletion"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_instance_that_is_offboarding_lets_go_of_everything(kind: str) -> None:
    """And renders what it did before: it serves until its release is deleted."""
    before = render(values(KINDS[kind]))
    after = render(values({**KINDS[kind], "phase": "offboarding"}))

    assert names(before) == names(after) == offboarding(after)
    assert not offboarding(before)


@pytest.mark.parametrize(
    ("kind", "kinds"),
    [
        ("premium", {"Namespace", "Terraform"}),
        ("advanced", {"Namespace", "Terraform"}),
        ("pool", {"Namespace", "Terraform"}),
        ("basic", {"ConfigMap"}),
    ],
)
def test_helm_keeps_what_admission_would_not_let_go(kind: str, kinds: set[str]) -> None:
    """An uninstall by mistake would take state and outputs with the Terraform object.

    And an upgrade that is rolled back, in a move whose first phase fails, the record.
    """

    def kept(objects: list[Object]) -> set[str]:
        return {
            each["kind"]
            for each in objects
            if each["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
        }

    assert kinds == kept(render(values(KINDS[kind])))
    assert set() == kept(render(values({**KINDS[kind], "phase": "offboarding"})))


# Against what is in the cluster


def refusal_in(cluster: list[Object], given_values: dict[str, Any]) -> str:
    """What Helm says where this is there already; empty where it takes the values."""
    helm_python = pytest.importorskip("helm_python")
    with (
        kube_api(cluster) as kubeconfig,
        helm_python.Config(kubeconfig_content=kubeconfig, storage_driver="memory") as config,
        helm_python.Chart.load(str(CHART)) as chart,
    ):
        try:
            config.render(chart, given_values, name="acme", namespace="tenants")
        except helm_python.HelmError as error:
            return str(error)
    return ""


@pytest.mark.parametrize(("left", "to"), MOVES)
def test_a_tier_or_pool_that_changes_without_a_move_is_refused(left: str, to: str) -> None:
    """The namespace's or the record's labels say where the tenant is."""
    said = refusal_in(resting(left), at(to))

    assert "tier and pool change by instance.transition only" in said
    assert f"acme is {' '.join(PLACES[left].values())}" in said


@pytest.mark.parametrize(
    ("left", "to"),
    [("basic", "premium"), ("premium", "basic"), ("advanced", "advanced elsewhere")],
)
def test_each_phase_of_a_move_follows_the_one_before(left: str, to: str) -> None:
    """Also when it is turned round half-way."""
    steps = [
        at(left),
        *(moving({"id": "acme", **PLACES[to]}, phase, **PLACES[left]) for phase in PHASES),
        at(to),
    ]
    for before, after in pairwise(steps):
        assert not refusal_in(render(before), after)
    back = moving({"id": "acme", **PLACES[left]}, "draining", **PLACES[to])
    assert not refusal_in(render(steps[2]), back)


@pytest.mark.parametrize("phase", UNION)
def test_a_move_that_is_broken_off_is_refused(phase: str) -> None:
    """What one of the places has would be deleted at once."""
    there = move("basic", "premium", phase)
    now = at("basic" if phase in {"provisioning", "copying"} else "premium")

    assert f"the move of acme is at `{phase}`" in refusal_in(there, now)


def test_a_move_from_where_the_tenant_is_not_is_refused() -> None:
    """`from` is no guess."""
    wrong = moving({"id": "acme", **PLACES["premium"]}, "provisioning", "advanced", "pool-2")

    assert "acme is advanced pool-1" in refusal_in(resting("advanced"), wrong)


@pytest.mark.parametrize("instance", [PREMIUM, ADVANCED, BASIC, POOL], ids=lambda each: each["id"])
def test_what_stays_as_it_is_is_taken(instance: dict[str, Any]) -> None:
    """With nothing there yet, and again after it was installed."""
    assert not refusal_in([], values(instance))
    assert not refusal_in(render(values(instance)), values(instance))
