"""Tables that Terraform and we read alike, from the checkout in which both run."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.errors import CloudError

_HERE: Final = Path("platform/terraform/environment/compatibility.json")


@dataclass(frozen=True, slots=True)
class AddonTable:
    """An add-on of compatibility.json.

    Attributes:
        installed_by: `eks`, `bootstrap` or `flux`.
        needed: Whether every environment has it.
        needs: Other add-ons, without which it does not work.
        versions: By version of Kubernetes: from, and below.
    """

    installed_by: str
    needed: bool
    needs: tuple[str, ...]
    versions: Mapping[str, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Tables:
    """What goes with what, by the names of the variables file."""

    kubernetes: tuple[str, ...]
    addons: Mapping[str, AddonTable]
    endpoints: tuple[str, ...]


def checkout() -> Path:
    """The repository: TENANTRY_ROOT, or the first folder from here upwards that looks like it.

    Raises:
        CloudError: There is none.
    """
    named = os.environ.get("TENANTRY_ROOT")
    here = Path.cwd()
    for folder in [Path(named)] if named else [here, *here.parents]:
        if (folder / _HERE).is_file():
            return folder
    raise CloudError(
        f"{named or here}: no checkout of Tenantry here. Go into one, or name it by TENANTRY_ROOT."
    )


def read_tables(root: Path) -> Tables:
    """Those of a checkout."""
    return _read(root.resolve())


@cache
def _read(root: Path) -> Tables:
    table = json.loads((root / _HERE).read_text("utf-8"))
    endpoints: dict[str, Any] = json.loads(
        (root / "platform/terraform/modules/network/endpoints.json").read_text("utf-8")
    )
    return Tables(
        kubernetes=tuple(sorted(table["kubernetes"])),
        addons={
            name: AddonTable(
                installed_by=addon["installed_by"],
                needed=addon["needed"],
                needs=tuple(addon["needs"]),
                versions={
                    version: (low, below) for version, (low, below) in addon["versions"].items()
                },
            )
            for name, addon in sorted(table["addons"].items())
        },
        endpoints=tuple(sorted(endpoints)),
    )
