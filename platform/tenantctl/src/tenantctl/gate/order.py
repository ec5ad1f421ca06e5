"""Entry points that wait for each other: for nobody that is not there, and none for itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from tenantctl.check import Finding
from tenantctl.gate.building import Object


def wrong_order(path: str, entries: Mapping[str, Object]) -> Iterator[Finding]:
    """What is wrong with `dependsOn`."""
    graph = {
        name: [need["name"] for need in entry["spec"].get("dependsOn", [])]
        for name, entry in entries.items()
    }
    for name, needs in sorted(graph.items()):
        for need in needs:
            if need not in entries:
                yield Finding(
                    path, f"{name} waits for {need}, which is not there: it never begins"
                )
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield Finding(path, f"they wait for each other: {' → '.join(reversed(error.args[1]))}")
