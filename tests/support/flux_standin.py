"""Flux's kustomize-controller, as far as it builds: a folder and a Kustomization become objects.

Honours and does not honour what `tenantctl.gate.building` says, which it is. Beside that it does
not apply, prune, wait, ignore or decrypt.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import tool
from chart.render import ROOT, Object
from tenantctl.gate.building import Builder, BuildError, config_maps

__all__ = [
    "ENVIRONMENTS",
    "FLEET",
    "BuildError",
    "config_maps",
    "flux_build",
    "kubectl",
    "kustomize",
]

FLEET: Final = ROOT / "platform" / "fleet"
ENVIRONMENTS: Final = ("dev", "staging", "production")


def kubectl() -> Path | None:
    """The command whose kustomize is used; None where there is none."""
    found = shutil.which("kubectl")
    if found:
        return Path(found)
    built = tool.built("kubernetes", "kubectl")
    return None if built is None else built / "kubectl"


def kustomize(folder: Path) -> list[Object]:
    """What a folder with a kustomization.yaml builds to.

    Raises:
        BuildError: It does not build.
    """
    return _builder(folder).kustomize(".")


def flux_build(
    fleet: Path, kustomization: Object, maps: Mapping[str, Mapping[str, str]] | None = None
) -> list[Object]:
    """What Flux would apply for a Kustomization, of a fleet that is this test's own.

    Args:
        fleet: Where it is.
        kustomization: What Flux follows.
        maps: Data of the ConfigMaps in the Kustomization's namespace, by name.

    Raises:
        BuildError: It would apply nothing, and say so.
    """
    return _builder(fleet).build(kustomization, maps)


def _builder(fleet: Path) -> Builder:
    command = kubectl()
    assert command is not None, "`make tools` builds it"
    return Builder(fleet, command)
