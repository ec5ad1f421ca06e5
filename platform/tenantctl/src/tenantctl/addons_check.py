"""What is wrong with an environment's add-ons: facts that are missing or nobody's, needs left out.

Flux finds it too, one entry point after another, on the cluster; here it is found before a push.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml

from tenantctl.addons import LABEL
from tenantctl.snapshot import Snapshot

_ENTRIES: Final = "clusters/addons/entries.yaml"
_VARIABLE: Final = re.compile(rb"\$\{(\w+)\}")
#: Facts that nothing asks for yet, of what copies tenants' Terraform states.
_AHEAD: Final = frozenset({"state_bucket", "state_key"})


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry point of `clusters/addons`."""

    name: str
    addon: str
    folder: str
    needs: tuple[str, ...]


def wrong_addons(snapshot: Snapshot, environment: str) -> Iterator[tuple[str, str]]:
    """Paths, and what is wrong there. A fleet without add-ons has nothing wrong."""
    folder = f"clusters/{environment}/addons"
    facts_path, switches_path = f"{folder}/facts.yaml", f"{folder}/kustomization.yaml"
    entries, switches, facts = (
        _read(snapshot.files.get(path)) for path in (_ENTRIES, switches_path, facts_path)
    )
    if entries is None:
        return
    try:
        there = tuple(_entries(entries))
    except (AttributeError, KeyError, TypeError):
        yield _ENTRIES, f"each has metadata.name, the label {LABEL}, and spec.path"
        return
    if switches is None or facts is None:
        missing = switches_path if switches is None else facts_path
        yield missing, "it is not there, or no YAML: `tenantctl facts` writes it"
        return
    off = set(_off(switches[0]))
    for name in sorted(off - {entry.addon for entry in there}):
        yield switches_path, f"it leaves out {name!r}, which is no add-on"
    on = [entry for entry in there if entry.addon not in off]
    yield from ((switches_path, text) for text in _without_need(there, on))
    yield from _of_facts(snapshot, facts_path, _data(facts[0]), there, on)


def _of_facts(
    snapshot: Snapshot,
    path: str,
    facts: Mapping[str, Any],
    there: tuple[_Entry, ...],
    on: list[_Entry],
) -> Iterator[tuple[str, str]]:
    asked = {entry.name: _asked(snapshot, entry.folder) for entry in there}
    for entry in on:
        for name in sorted(asked[entry.name] - facts.keys()):
            yield path, f"{name} is missing: {entry.folder} asks for it"
    known = set().union(*asked.values(), _AHEAD)
    for name in sorted(facts.keys() - known):
        yield path, f"{name!r} is nobody's: no add-on asks for it"
    for name, value in sorted(facts.items()):
        if not isinstance(value, str) or "\n" in value or "${" in value:
            yield path, f"{name}: a fact is one line of text, without ${{…}}"


def _without_need(there: tuple[_Entry, ...], on: list[_Entry]) -> Iterator[str]:
    addons = {entry.name: entry.addon for entry in there}
    names = {entry.name for entry in on}
    for entry in on:
        for need in entry.needs:
            if need in addons and need not in names:
                yield f"{entry.addon} is on, and needs {addons[need]}, which is off"


def _entries(objects: tuple[Any, ...]) -> Iterator[_Entry]:
    for one in objects:
        metadata, spec = one["metadata"], one["spec"]
        yield _Entry(
            name=metadata["name"],
            addon=metadata["labels"][LABEL],
            folder=spec["path"].removeprefix("./"),
            needs=tuple(each["name"] for each in spec.get("dependsOn", [])),
        )


def _off(switches: Any) -> Iterator[str]:
    patches = switches.get("patches") if isinstance(switches, Mapping) else None
    for patch in patches if isinstance(patches, list) else ():
        target = patch.get("target") if isinstance(patch, Mapping) else None
        selector = str(target.get("labelSelector", "")) if isinstance(target, Mapping) else ""
        label, _, addon = selector.partition("=")
        yield addon if label == LABEL else selector


def _data(facts: Any) -> Mapping[str, Any]:
    found = facts.get("data") if isinstance(facts, Mapping) else None
    return {str(key): value for key, value in found.items()} if isinstance(found, Mapping) else {}


def _asked(snapshot: Snapshot, folder: str) -> set[str]:
    return {
        name.decode()
        for path in snapshot.paths(folder)
        for name in _VARIABLE.findall(snapshot.files.get(path, b""))
    }


@lru_cache(maxsize=64)
def _read(data: bytes | None) -> tuple[Any, ...] | None:
    """The objects of a file; None where there is none, or no YAML."""
    if data is None:
        return None
    try:
        return tuple(found for found in yaml.safe_load_all(data) if found) or None
    except yaml.YAMLError:
        return None
