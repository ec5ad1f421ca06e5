"""What holds of an environment's tenants, releases and add-ons, over one snapshot of the fleet.

All of it is looked at, and every finding told: a file that cannot be read hides no other one's.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from tenantctl.addons_check import wrong_addons
from tenantctl.errors import InvalidError
from tenantctl.files import MAX_LINES, parse, path_of, tenants_folder
from tenantctl.model import Home, Instance
from tenantctl.releases_check import wrong_releases
from tenantctl.snapshot import Snapshot
from tenantry.registry import Tier

#: Keeps a folder in Git that has no file yet.
PLACEHOLDER: Final = ".gitkeep"
#: Names that kustomize takes for its own in each folder: no tenant can have such a file.
_KUSTOMIZE: Final = ("kustomization", "Kustomization")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many tenants share something, at most.

    Attributes:
        basic_a_pool: What one queue and one table are shared by.
        advanced_a_pool: Each takes a target group and rules of the pool's load balancer, which
            has a hundred.
        premium_a_group: Each takes two target groups of the group's load balancer.
        load_balancers: Pools and groups together have one each; AWS gives an account fifty.
    """

    basic_a_pool: int = 100
    advanced_a_pool: int = 75
    premium_a_group: int = 20
    load_balancers: int = 50

    def of_pool(self, tier: Tier) -> int:
        """How many tenants of a tier a pool takes."""
        return self.basic_a_pool if tier == "basic" else self.advanced_a_pool


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something that is wrong, and where.

    Attributes:
        excess: By how much, where a bound is passed; no part of what makes two findings equal.
    """

    path: str
    text: str
    excess: int = field(default=0, compare=False)

    def __str__(self) -> str:
        path = self.path.encode("ascii", "backslashreplace").decode()
        return f"{path}: {self.text}" + (f" ({self.excess} too many)" if self.excess else "")


def check(snapshot: Snapshot, environment: str, bounds: Bounds) -> tuple[Finding, ...]:
    """All that is wrong with an environment's tenants, pools, releases and add-ons, by path."""
    findings = [
        Finding(path, text)
        for rules in (wrong_addons, wrong_releases)
        for path, text in rules(snapshot, environment)
    ]
    instances: dict[str, Instance] = {}
    for path in snapshot.paths(tenants_folder(environment)):
        if path in snapshot.irregular:
            findings.append(Finding(path, f"a {snapshot.irregular[path]} does not belong here"))
            continue
        if path.rpartition("/")[2] == PLACEHOLDER and not snapshot.files[path]:
            continue
        instance, text = _read(path, snapshot.files[path])
        if instance is None:
            findings.append(Finding(path, text))
            continue
        instances[path] = instance
        findings += _of_file(path, snapshot.files[path], instance, environment)
    findings += _twice(instances)
    findings += _homeless(instances)
    findings += _too_many(instances, environment, bounds)
    return tuple(sorted(findings))


def new_findings(
    before: Snapshot, after: Snapshot, environment: str, bounds: Bounds
) -> tuple[Finding, ...]:
    """What a change breaks, or leaves broken in a file that it touches.

    What somebody else broke holds nobody up; a bound that is passed already is not passed more.
    """
    known = {finding: finding.excess for finding in check(before, environment, bounds)}
    changed = {
        path
        for path in {*before.files, *after.files}
        if before.files.get(path) != after.files.get(path)
    }
    return tuple(
        finding
        for finding in check(after, environment, bounds)
        if finding not in known
        or finding.excess > known[finding]
        or (finding.path in changed and not finding.excess)
    )


def require(findings: Sequence[Finding]) -> None:
    """Refuse a fleet with findings.

    Raises:
        InvalidError: There are some; the text names all of them, a line each.
    """
    if findings:
        lines = "\n".join(f"  {finding}" for finding in findings)
        raise InvalidError(f"the fleet would not be valid:\n{lines}")


@lru_cache(maxsize=8_192)
def _read(path: str, data: bytes) -> tuple[Instance | None, str]:
    """The instance of a file, or why there is none."""
    try:
        return parse(path, data), ""
    except InvalidError as error:
        return None, str(error).removeprefix(f"{path}: ")


def _of_file(path: str, data: bytes, instance: Instance, environment: str) -> Iterator[Finding]:
    if instance.id in _KUSTOMIZE:
        yield Finding(path, "kustomize takes a file of this name for its own: choose another id")
    if path != (right := path_of(environment, instance)):
        yield Finding(path, f"it belongs at {right}")
    is_as_onboarded = instance.transition is None and not instance.more
    lines = len(data.splitlines())
    if is_as_onboarded and instance.phase == "active" and lines > MAX_LINES:
        yield Finding(path, f"it has more than {MAX_LINES} lines", lines - MAX_LINES)


def _twice(instances: Mapping[str, Instance]) -> Iterator[Finding]:
    paths = defaultdict(list)
    for path, instance in instances.items():
        paths[instance.id].append(path)
    for instance_id, places in paths.items():
        for path in places[1:]:
            yield Finding(path, f"{instance_id} has another file: {places[0]}")


def _homeless(instances: Mapping[str, Instance]) -> Iterator[Finding]:
    pools = {one.id: one for one in instances.values() if one.kind == "pool"}
    for path, instance in instances.items():
        if instance.kind == "pool":
            continue
        for home in places(instance):
            if home.pool is None:
                continue
            if home.pool not in pools:
                yield Finding(path, f"there is no pool {home.pool}")
            elif pools[home.pool].phase == "offboarding":
                yield Finding(path, f"its pool {home.pool} is being removed")
        if instance.group is not None and all(one.tier != "premium" for one in places(instance)):
            yield Finding(path, f"{instance.group} is a premium tenant's, and it is none")


def _too_many(
    instances: Mapping[str, Instance], environment: str, bounds: Bounds
) -> Iterator[Finding]:
    tenants = [one for one in instances.values() if one.kind == "tenant"]
    paths = {one.id: path for path, one in instances.items()}
    for (pool, tier), count in sorted(in_pools(tenants).items()):
        if count > (most := bounds.of_pool(tier)):
            yield Finding(
                paths.get(pool, tenants_folder(environment)),
                f"more than {most} {tier} tenants are in {pool}",
                count - most,
            )
    groups = in_groups(tenants)
    for group, count in sorted(groups.items()):
        if count > bounds.premium_a_group:
            yield Finding(
                tenants_folder(environment),
                f"more than {bounds.premium_a_group} premium tenants are in {group}",
                count - bounds.premium_a_group,
            )
    balancers = len(groups) + sum(one.kind == "pool" for one in instances.values())
    if balancers > bounds.load_balancers:
        yield Finding(
            tenants_folder(environment),
            f"more than {bounds.load_balancers} load balancers: each pool and group has one",
            balancers - bounds.load_balancers,
        )


#: The group of premium tenants that name none: the environment's facts say which it is.
DEFAULT_GROUP: Final = "the default group"


def places(instance: Instance) -> tuple[Home, ...]:
    """Every place that a tenant has something in: a move leaves the old one at its end only."""
    if instance.transition is None:
        return (instance.home,)
    return (instance.home, instance.transition.origin)


def in_pools(tenants: Sequence[Instance]) -> Counter[tuple[str, Tier]]:
    """How many tenants of each tier each pool has; one that moves counts in both places."""
    return Counter(
        (home.pool, home.tier) for one in tenants for home in places(one) if home.pool is not None
    )


def in_groups(tenants: Sequence[Instance]) -> Counter[str]:
    """How many premium tenants each group has."""
    return Counter(
        one.group or DEFAULT_GROUP
        for one in tenants
        if any(home.tier == "premium" for home in places(one))
    )
