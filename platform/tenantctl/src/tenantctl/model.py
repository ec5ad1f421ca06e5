"""What the fleet says of an instance, as values.

The words are the chart's (`instance` in its values), and each value stands in a tenant's file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, Self, TypeVar, get_args

from tenantctl.errors import InvalidError
from tenantry.registry import Tier
from tenantry.tenant_id import parse_tenant_id

Kind = Literal["tenant", "pool"]
Ring = Literal["r0", "r1", "r2"]
#: How far a move is. Both places are kept up until `removing`; from `switched` on the tenant is
#: in the new one.
TransitionPhase = Literal["provisioning", "copying", "switched", "draining", "removing"]
Phase = Literal["active", "offboarding"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
TIERS: Final[tuple[Tier, ...]] = get_args(Tier)
RINGS: Final[tuple[Ring, ...]] = get_args(Ring)
TRANSITION_PHASES: Final[tuple[TransitionPhase, ...]] = get_args(TransitionPhase)
PHASES: Final[tuple[Phase, ...]] = get_args(Phase)

_Choice = TypeVar("_Choice", bound=str)

_POOL: Final = re.compile(r"pool-[a-z0-9]+(-[a-z0-9]+)*")
_GROUP: Final = re.compile(r"premium-[a-z0-9]+(-[a-z0-9]+)*")
_ENVIRONMENT: Final = re.compile(r"[a-z][a-z0-9]*")
_INSTANCE_CHARACTERS: Final = 32


def parse_id(value: object) -> str:
    """A tenant's id.

    Raises:
        InvalidError: It is not one, and the rule.
    """
    try:
        return parse_tenant_id(value)
    except ValueError as error:
        raise InvalidError(f"{_shown(value)}: {error}") from None


def parse_pool(value: object) -> str:
    """A pool's name: `pool-` and more.

    Raises:
        InvalidError: It is not one, and the rule.
    """
    if (
        not isinstance(value, str)
        or not _POOL.fullmatch(value)
        or len(value) > _INSTANCE_CHARACTERS
    ):
        raise InvalidError(
            f"{_shown(value)}: a pool's name is pool- and lower-case letters, digits and single "
            f"hyphens, at most {_INSTANCE_CHARACTERS} characters"
        )
    return value


def parse_environment(value: object) -> str:
    """An environment's name: no hyphen, so that no two make the same names.

    Raises:
        InvalidError: It is not one, and the rule.
    """
    if not isinstance(value, str) or not _ENVIRONMENT.fullmatch(value):
        raise InvalidError(
            f"{_shown(value)}: an environment's name is lower-case letters and digits"
        )
    return value


def one_of(value: object, choices: tuple[_Choice, ...], what: str) -> _Choice:
    """The value, which is one of the choices.

    Raises:
        InvalidError: It is none of them, and which there are.
    """
    for choice in choices:
        if value == choice:
            return choice
    raise InvalidError(f"{_shown(value)} is no {what}: {', '.join(choices)}")


def _shown(value: object) -> str:
    """A value from outside in a message: short, and on one line."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"  # noqa: PLR2004 - what fits a line


@dataclass(frozen=True, slots=True)
class Home:
    """Where a tenant lives, in the fleet's words: its tier and, but for premium, its pool."""

    tier: Tier
    pool: str | None = None

    def __post_init__(self) -> None:
        if self.tier == "premium" and self.pool is not None:
            raise InvalidError("a premium tenant is in no pool")
        if self.tier != "premium" and self.pool is None:
            raise InvalidError(f"{_article(self.tier)} tenant is in a pool: name it")

    def __str__(self) -> str:
        return self.tier if self.pool is None else f"{self.tier} in {self.pool}"

    def owner(self, tenant_id: str) -> str:
        """The instance that owns queue and table: the pool, or the tenant itself."""
        return self.pool if self.tier == "basic" and self.pool else tenant_id

    @property
    def is_dedicated(self) -> bool:
        """Whether queue and table are the tenant's own."""
        return self.tier != "basic"


def _article(tier: str) -> str:
    return f"an {tier}" if tier[0] in "aeiou" else f"a {tier}"


@dataclass(frozen=True, slots=True)
class Transition:
    """A move on its way: the place that is left, and how far it is."""

    origin: Home
    phase: TransitionPhase


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """One instance as the fleet wants it: a tenant's or a pool's file.

    Attributes:
        ring: Which releases it gets first.
        group: The load balancer of a premium tenant; None for others.
        phase: `offboarding` lets go of everything.
        transition: While it moves; `home` is where it goes.
        is_suspended: Its requests are refused; what was accepted is stored.
        more: What else stands under `instance` (overrides, terraform), kept as it is.
    """

    id: str
    kind: Kind = "tenant"
    home: Home
    ring: Ring = "r2"
    group: str | None = None
    phase: Phase = "active"
    transition: Transition | None = None
    is_suspended: bool = False
    more: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def lives_in(self) -> Home:
        """Where its traffic is now: while it moves, what it leaves until the switch."""
        if self.transition and self.transition.phase in {"provisioning", "copying"}:
            return self.transition.origin
        return self.home

    @property
    def homes(self) -> tuple[Home, ...]:
        """Every place that is kept up for it, the present one first."""
        if self.transition is None or self.transition.phase == "removing":
            return (self.home,)
        here = self.lives_in
        return (here, self.transition.origin if here == self.home else self.home)

    @property
    def release(self) -> str:
        """The chart's source that it follows: one for each tier (and `pools`) and ring."""
        return f"{'pools' if self.kind == 'pool' else self.home.tier}-{self.ring}"

    def but(self, **changes: Any) -> Self:
        """The same with other values."""
        return replace(self, **changes)

    def values(self) -> dict[str, Any]:
        """What stands under `instance` in the chart's values."""
        values: dict[str, Any] = {"id": self.id}
        if self.kind == "pool":
            values["kind"] = "pool"
        else:
            values |= _home_values(self.home)
        values["ring"] = self.ring
        if self.group is not None:
            values["group"] = self.group
        if self.phase != "active":
            values["phase"] = self.phase
        if self.transition is not None:
            values["transition"] = {
                "from": _home_values(self.transition.origin),
                "phase": self.transition.phase,
            }
        return values | dict(self.more)

    @classmethod
    def of_values(cls, values: Mapping[str, Any], *, is_suspended: bool = False) -> Self:
        """The instance of what stands under `instance`.

        Raises:
            InvalidError: A key is missing, not known, or holds what it may not.
        """
        known = {"id", "kind", "tier", "pool", "ring", "group", "phase", "transition"}
        more = {key: value for key, value in values.items() if key not in known}
        if unknown := more.keys() - {"overrides", "terraform"}:
            raise InvalidError(f"instance.{min(map(str, unknown))}: there is no such key")
        kind = one_of(values.get("kind", "tenant"), KINDS, "kind")
        if kind == "pool":
            name = parse_pool(values.get("id"))
            for key in ("pool", "group", "transition"):
                if key in values:
                    raise InvalidError(f"instance.{key}: a pool has none")
            one_of(values.get("tier", "basic"), ("basic",), "tier of a pool")
            home = Home("basic", name)
        else:
            name = parse_id(values.get("id"))
            home = _home_of(values, "instance")
        return cls(
            id=name,
            kind=kind,
            home=home,
            ring=one_of(values.get("ring", "r2"), RINGS, "ring"),
            group=_group_of(values),
            phase=one_of(values.get("phase", "active"), PHASES, "phase"),
            transition=_transition_of(values.get("transition"), home),
            is_suspended=is_suspended,
            more=MappingProxyType(more),
        )


def _home_values(home: Home) -> dict[str, Any]:
    return {"tier": home.tier} | ({} if home.pool is None else {"pool": home.pool})


def _home_of(values: Mapping[str, Any], where: str) -> Home:
    tier = one_of(values.get("tier"), TIERS, "tier")
    pool = values.get("pool")
    try:
        return Home(tier, None if pool is None else parse_pool(pool))
    except InvalidError as error:
        raise InvalidError(f"{where}.pool: {error}") from None


def _group_of(values: Mapping[str, Any]) -> str | None:
    group = values.get("group")
    if group is None:
        return None
    if not isinstance(group, str) or not _GROUP.fullmatch(group):
        raise InvalidError(f"instance.group: {_shown(group)} is no group: premium- and more")
    return group


def _transition_of(value: object, home: Home) -> Transition | None:
    if value is None:
        return None
    where = "instance.transition"
    if (
        not isinstance(value, Mapping)
        or value.keys() != {"from", "phase"}
        or not isinstance(value["from"], Mapping)
        or value["from"].keys() - {"tier", "pool"}
    ):
        raise InvalidError(f"{where}: it holds `from` (tier, pool) and `phase`, and nothing else")
    origin = _home_of(value["from"], f"{where}.from")
    if origin == home:
        raise InvalidError(f"{where}.from: a transition leads to another tier or pool")
    return Transition(origin, one_of(value["phase"], TRANSITION_PHASES, "phase of a transition"))


def shard_of(instance_id: str) -> str:
    """The shard of a tenant: one hexadecimal digit, for ever the same."""
    return hashlib.sha256(instance_id.encode()).hexdigest()[0]
