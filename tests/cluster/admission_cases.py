"""What admission refuses, with the instances that it is tried on."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from chart.render import Object, named, of_kind, render, values
from cluster.admission import changed, packaged, release, standing
from support.cluster import Cluster

FILES: Final = tuple(
    f"admission_cases{part}.yaml" for part in ("", "_routes", "_terraforms", "_releases")
)
#: What `$…` stands for in them.
WORDS: Final = {
    "$registry": "000000000000.dkr.ecr.eu-central-1.amazonaws.com",
    "$digest": f"sha256:{'d' * 64}",
}
#: Instances that stand in the cluster, by what each is there for; `new` does not stand.
INSTANCES: Final[dict[str, dict[str, Any]]] = {
    "premium": {"id": "acme", "tier": "premium"},
    "advanced": {"id": "globex", "tier": "advanced", "pool": "pool-1"},
    "basic": {"id": "initech", "tier": "basic", "pool": "pool-1"},
    "pool": {"kind": "pool", "id": "pool-1"},
    "leaving": {"id": "umbrella", "tier": "premium", "phase": "offboarding"},
    "leaving basic": {"id": "vandelay", "tier": "basic", "pool": "pool-1", "phase": "offboarding"},
    "suspended": {"id": "sleepy", "tier": "premium", "phase": "offboarding"},
    "moving": {
        "id": "mover",
        "tier": "advanced",
        "pool": "pool-1",
        "transition": {"from": {"tier": "premium"}, "phase": "switched"},
    },
    "new": {"id": "newco", "tier": "premium"},
}


@cache
def world() -> dict[str, list[Object]]:
    """The objects of each instance, its release among them; shared, so nobody changes them."""
    found = {}
    for name, instance in INSTANCES.items():
        mine = [*render(packaged(values(instance))), release(instance)]
        if name == "suspended":
            mine = [
                changed(each, ("spec|suspend", True))
                if each["kind"] in {"HelmRelease", "Terraform"}
                else each
                for each in mine
            ]
        found[name] = mine
    gateway = render(packaged(values(INSTANCES["premium"], routes={"kind": "httproute"})))
    found["premium"] += of_kind(gateway, "HTTPRoute")
    return found


@dataclass(frozen=True)
class Case:
    """One object that a policy refuses, and the same one without the mistake.

    Attributes:
        policy: The policy's name.
        rule: The fixed text of the rule.
        told: A part of what a person reads.
        deletes: Whether it is deleted, and not applied.
    """

    policy: str
    rule: str
    told: str
    deletes: bool
    said: dict[str, Any]

    def __str__(self) -> str:
        """The test's id: policy, object, and where it is wrong."""
        key = next(iter(self.said.get("edit", ())), "deleted").rpartition("|")[2]
        what = self.said.get("what") or self.said.get("delete")
        return f"{self.policy.partition('.')[0]}-{what}-{key}".replace(" ", "-")

    @property
    def good(self) -> Object:
        """What is let through."""
        return self._find(self.said["instead"]) if self.deletes else self._find(self.said)

    @property
    def bad(self) -> Object:
        """What is refused."""
        if self.deletes:
            return self._find({"of": self.said["of"], "what": self.said["delete"]})
        return changed(self.good, *self.said["edit"].items())

    def _find(self, said: dict[str, Any]) -> Object:
        kind, _, name = said["what"].partition(" ")
        return named(world()[said["of"]], kind, name)


def _cases() -> list[Case]:
    found = []
    for name in FILES:
        text = (Path(__file__).parent / name).read_text("utf-8")
        for word, meaning in WORDS.items():
            text = text.replace(word, meaning)
        for group in yaml.safe_load(text):
            found += [
                Case(
                    f"{group['policy']}.tenantry.dev",
                    group["rule"],
                    said["told"],
                    "delete" in said,
                    said,
                )
                for said in group["cases"]
            ]
    return found


CASES: Final = _cases()


@contextlib.contextmanager
def guard(cluster: Cluster) -> Generator[None]:
    """The policies in force, with the instances that stand, while this lasts."""
    instances = {name: found for name, found in world().items() if name != "new"}
    # One that no tenant has, and that a tenant's id could name.
    cluster.namespace("elsewhere")
    first = {(case.policy, case.rule): case for case in reversed(CASES)}.values()
    with standing(cluster, values(INSTANCES["premium"]), instances, list(first)):
        yield
