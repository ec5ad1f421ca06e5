"""What is wrong with an environment's add-ons: facts that are missing or nobody's, needs left out.

Flux finds it too, one entry point after another, on the cluster; here it is found before a push.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import yaml

from tenantctl.addons import LABEL
from tenantctl.snapshot import Snapshot

_ENTRIES: Final = "clusters/addons/entries.yaml"
#: Others that facts fill in: in every environment, and in one that follows main.
_BASE, _FOLLOWING = "clusters/base", "clusters/following"
_VARIABLE: Final = re.compile(rb"\$\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry point that facts fill in.

    Attributes:
        addon: Whose it is; empty where it is no add-on's.
    """

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
        there = list(_entries(entries))
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
    everywhere, following = _others(snapshot, _BASE), _others(snapshot, _FOLLOWING)
    others = (*everywhere, *following)
    on += others if _follows(snapshot, environment) else everywhere
    yield from ((switches_path, text) for text in _without_need(there, on))
    yield from _of_facts(snapshot, facts_path, _data(facts[0]), [*there, *others], on)


def _of_facts(
    snapshot: Snapshot,
    path: str,
    facts: Mapping[str, Any],
    there: list[_Entry],
    on: list[_Entry],
) -> Iterator[tuple[str, str]]:
    asked = {entry.name: _asked(snapshot, entry.folder) for entry in there}
    for entry in on:
        for name in sorted(asked[entry.name] - facts.keys()):
            yield path, f"{name} is missing: {entry.folder} asks for it"
    known = set().union(*asked.values())
    for name in sorted(facts.keys() - known):
        yield path, f"{name!r} is nobody's: no add-on asks for it"
    for name, value in sorted(facts.items()):
        if not isinstance(value, str) or "\n" in value or "${" in value:
            yield path, f"{name}: a fact is one line of text, without ${{…}}"


def _without_need(there: list[_Entry], on: list[_Entry]) -> Iterator[str]:
    addons = {entry.name: entry.addon for entry in there}
    names = {entry.name for entry in on}
    for entry in on:
        for need in entry.needs:
            if need in addons and need not in names:
                who = entry.addon or entry.name
                yield f"{who} is on, and needs {addons[need]}, which is off"


def _others(snapshot: Snapshot, folder: str) -> list[_Entry]:
    """Entry points elsewhere. What is not even one is refused where it is built."""
    found: list[_Entry] = []
    for path in snapshot.paths(folder):
        for one in _read(snapshot.files.get(path)) or ():
            with suppress(AttributeError, KeyError, TypeError):
                if "postBuild" in one["spec"]:
                    found.append(_entry(one, ""))
    return found


def _follows(snapshot: Snapshot, environment: str) -> bool:
    """Whether an environment gets what was published last."""
    read = _read(snapshot.files.get(f"clusters/{environment}/kustomization.yaml"))
    components = read[0].get("components") if read and isinstance(read[0], Mapping) else None
    return isinstance(components, list) and "../following" in components


def _entries(objects: tuple[Any, ...]) -> Iterator[_Entry]:
    for one in objects:
        yield _entry(one, one["metadata"]["labels"][LABEL])


def _entry(one: Mapping[str, Any], addon: str) -> _Entry:
    spec = one["spec"]
    return _Entry(
        name=one["metadata"]["name"],
        addon=addon,
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
