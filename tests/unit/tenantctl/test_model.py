from __future__ import annotations

from typing import Any

import pytest

from tenantctl.errors import InvalidError
from tenantctl.model import (
    Home,
    Instance,
    Transition,
    TransitionPhase,
    one_of,
    parse_environment,
    parse_id,
    parse_pool,
    shard_of,
)

BASIC, PREMIUM = Home("basic", "pool-1"), Home("premium")


@pytest.mark.parametrize("value", ["../acme", "Acme", "a", "pool-1", "acme\n", 1, None, "a" * 33])
def test_an_id_that_is_none_is_refused(value: object) -> None:
    """Path tricks, reserved words, other types: each with its rule."""
    with pytest.raises(InvalidError, match="tenant id"):
        parse_id(value)


@pytest.mark.parametrize(
    "value", ["pool-", "pool", "acme", "pool-A", "pool-1\n", "pool-" + "a" * 32, 1]
)
def test_a_pool_that_is_none_is_refused(value: object) -> None:
    """pool- and more, and short enough for names made of it."""
    with pytest.raises(InvalidError, match="a pool's name"):
        parse_pool(value)


@pytest.mark.parametrize("value", ["dev-1", "Dev", "", "../dev", "dev\n", "1dev", None])
def test_an_environment_that_is_none_is_refused(value: object) -> None:
    """No hyphen, so that no two environments make the same names."""
    with pytest.raises(InvalidError, match="an environment's name"):
        parse_environment(value)


def test_a_value_in_a_message_is_short() -> None:
    """However long it came."""
    with pytest.raises(InvalidError) as caught:
        one_of("x" * 10_000, ("a", "b"), "letter")
    assert len(str(caught.value)) < 100


def test_a_home_has_a_pool_unless_it_is_premium() -> None:
    """What makes no sense cannot be made."""
    with pytest.raises(InvalidError, match="in no pool"):
        Home("premium", "pool-1")
    with pytest.raises(InvalidError, match="an advanced tenant is in a pool"):
        Home("advanced")


@pytest.mark.parametrize(
    ("phase", "lives", "homes"),
    [
        ("provisioning", BASIC, (BASIC, PREMIUM)),
        ("copying", BASIC, (BASIC, PREMIUM)),
        ("switched", PREMIUM, (PREMIUM, BASIC)),
        ("draining", PREMIUM, (PREMIUM, BASIC)),
        ("removing", PREMIUM, (PREMIUM,)),
    ],
)
def test_a_mover_lives_in_the_old_place_until_the_switch(
    phase: TransitionPhase, lives: Home, homes: tuple[Home, ...]
) -> None:
    """And both are kept up until the old one is removed."""
    moving = Instance(id="acme", home=PREMIUM, transition=Transition(BASIC, phase))
    assert moving.lives_in == lives
    assert moving.homes == homes


def test_a_tenant_follows_the_releases_of_its_tier_and_ring() -> None:
    """Pools have releases of their own."""
    assert Instance(id="acme", home=PREMIUM, ring="r0").release == "premium-r0"
    assert Instance(id="pool-1", kind="pool", home=BASIC).release == "pools-r2"


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"id": "acme"}, "is no tier"),
        ({"id": "acme", "tier": "gold"}, "'gold' is no tier: basic, advanced, premium"),
        ({"id": "acme", "tier": "basic"}, "instance.pool: a basic tenant is in a pool"),
        ({"id": "acme", "tier": "premium", "ring": "r3"}, "'r3' is no ring"),
        ({"id": "acme", "tier": "premium", "ring": ["r1"]}, "is no ring"),
        ({"id": "acme", "tier": "premium", "group": "g"}, "instance.group: 'g' is no group"),
        ({"id": "acme", "tier": "premium", "phase": "gone"}, "'gone' is no phase"),
        ({"id": "acme", "tier": "premium", "image": "x"}, "instance.image: there is no such key"),
        ({"id": "acme", "tier": "premium", "transition": {}}, "instance.transition: it holds"),
        ({"id": "acme", "tier": "premium", "transition": "x"}, "instance.transition: it holds"),
        (
            {
                "id": "acme",
                "tier": "premium",
                "transition": {"from": {"tier": "premium"}, "phase": "copying"},
            },
            "a transition leads to another",
        ),
        (
            {"id": "pool-1", "kind": "pool", "group": "premium-1"},
            "instance.group: a pool has none",
        ),
        ({"id": "acme", "kind": "pool"}, "a pool's name"),
        ({"id": "pool-1", "kind": "pool", "tier": "premium"}, "no tier of a pool"),
        ({"id": "acme", "kind": "queue"}, "'queue' is no kind"),
        ({}, "a tenant id is a string"),
    ],
)
def test_values_that_are_none_are_refused(values: dict[str, Any], text: str) -> None:
    """Each with its key and rule."""
    with pytest.raises(InvalidError) as caught:
        Instance.of_values(values)
    assert text in str(caught.value)


def test_a_shard_is_one_digit_and_never_changes() -> None:
    """These were computed once; another answer would move every tenant's file."""
    assert [shard_of(name) for name in ("acme", "globex", "initech")] == ["8", "5", "4"]
