"""Mistakes in an environment's add-ons, found before they are pushed."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

import pytest
import yaml

from chart.render import ROOT
from tenantctl.addons_check import wrong_addons
from tenantctl.check import Bounds, new_findings
from tenantctl.snapshot import Snapshot

FLEET: Final = ROOT / "platform" / "fleet"
FILES: Final = {
    str(path.relative_to(FLEET)): path.read_bytes()
    for part in ("addons", "automation", "clusters", "notifications")
    for path in (FLEET / part).rglob("*.yaml")
}
FACTS: Final = "clusters/dev/addons/facts.yaml"
SWITCHES: Final = "clusters/dev/addons/kustomization.yaml"
Change = Callable[[dict[str, Any]], object]


def wrong(files: dict[str, bytes], environment: str = "dev") -> list[tuple[str, str]]:
    """What is found in a fleet of these files."""
    return list(wrong_addons(Snapshot("c0ffee", MappingProxyType(files)), environment))


def changed(path: str, change: Change) -> dict[str, bytes]:
    """The fleet's files, one of them changed."""
    said = yaml.safe_load(FILES[path])
    change(said)
    return {**FILES, path: yaml.safe_dump(said).encode()}


@pytest.mark.parametrize("environment", ["dev", "staging", "production"])
def test_the_fleet_has_none(environment: str) -> None:
    """As it is committed here."""
    assert [] == wrong(FILES, environment)


def test_a_fleet_without_add_ons_has_none() -> None:
    """As a laptop's."""
    assert [] == wrong({"README.md": b"A fleet."})


def test_what_follows_nothing_needs_no_fact_of_automations() -> None:
    """Staging and production; a fact that they have nevertheless is no mistake."""
    facts = FACTS.replace("dev", "staging")
    files = changed(facts, lambda said: said["data"].pop("registry"))

    assert [] == wrong(files, "staging")


def off(addon: str) -> Change:
    """Leaves an add-on out."""
    patch = {"target": {"labelSelector": f"tenantry.dev/addon={addon}"}, "patch": "{}"}
    return lambda said: said["patches"].append(patch)


@pytest.mark.parametrize(
    ("path", "change", "says"),
    [
        (FACTS, lambda said: said["data"].pop("cluster_name"), "cluster_name is missing: addons/"),
        (FACTS, lambda said: said["data"].pop("keda_version"), "keda_version is missing"),
        (FACTS, lambda said: said["data"].pop("git_cidr"), "git_cidr is missing: notifications"),
        (FACTS, lambda said: said["data"].pop("registry"), "registry is missing: automation"),
        (FACTS, lambda said: said["data"].update(clustername="dev"), "'clustername' is nobody's"),
        (FACTS, lambda said: said.pop("data"), "karpenter_version is missing"),
        (
            FACTS,
            lambda said: said["data"].update(region="${domain}"),
            "region: a fact is one line",
        ),
        (FACTS, lambda said: said["data"].update(region="a\nb: c"), "a fact is one line of text"),
        (FACTS, lambda said: said["data"].update({1: "x"}), "'1' is nobody's"),
        (FACTS, lambda said: said.update(data=[]), "vpc_id is missing"),
        (SWITCHES, lambda said: said["patches"].append("x"), "it leaves out '', which is no"),
        (SWITCHES, lambda said: said["patches"].append({"target": 1}), "it leaves out '', which"),
        (FACTS, lambda said: said["data"].update(region=1), "region: a fact is one line of text"),
        (SWITCHES, off("karpentr"), "it leaves out 'karpentr', which is no add-on"),
        (SWITCHES, off("argo-workflows"), "argo-events is on, and needs argo-workflows"),
        (SWITCHES, off("karpenter"), "tofu-controller is on, and needs karpenter, which is off"),
        (SWITCHES, lambda said: said.pop("patches"), "zone_id is missing: addons/external-dns"),
        (
            SWITCHES,
            lambda said: said["patches"][0]["target"].update(labelSelector="app=keda"),
            "it leaves out 'app=keda', which is no add-on",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(path: str, change: Change, says: str) -> None:
    """By the file that is wrong, and what would be right there."""
    found = wrong(changed(path, change))

    assert any(says in text for _, text in found), found
    assert {FACTS, SWITCHES} >= {where for where, _ in found}


@pytest.mark.parametrize("path", [FACTS, SWITCHES])
@pytest.mark.parametrize("text", [None, b"a: [", b""])
def test_a_file_that_is_not_there_or_no_yaml_is_named(path: str, text: bytes | None) -> None:
    """As what it is, without a traceback."""
    files = {key: data for key, data in FILES.items() if key != path}
    if text is not None:
        files[path] = text

    assert [(path, "it is not there, or no YAML: `tenantctl facts` writes it")] == wrong(files)


@pytest.mark.parametrize(
    "text", [b"- a", b"kind: Kustomization", b"metadata: {name: x}\nspec: {path: ./addons/x}"]
)
def test_an_entry_point_that_is_none_is_named(text: bytes) -> None:
    """Without a traceback."""
    entries = "clusters/addons/entries.yaml"

    [(path, says)] = wrong({**FILES, entries: text})

    assert (entries, True) == (path, "metadata.name" in says)


def test_nothing_is_pushed_that_breaks_an_add_on() -> None:
    """What was broken before, and in another file, holds nobody up."""
    broken = changed(FACTS, lambda said: said["data"].pop("cluster_name"))
    before, after = (Snapshot("c0ffee", MappingProxyType(files)) for files in (FILES, broken))
    other = Snapshot("c0ffee", MappingProxyType({**broken, "README.md": b"Other."}))

    assert {FACTS} == {each.path for each in new_findings(before, after, "dev", Bounds())}
    assert () == new_findings(after, other, "dev", Bounds())
