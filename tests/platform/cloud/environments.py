"""Variables files of tests: good ones, and what is changed in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from tenantry_cloud.hcl import read_literals
from tenantry_cloud.reading import environment_files

ROOT: Final = Path(__file__).resolve().parents[3]
FILES: Final = environment_files(ROOT)

#: Marks a setting that is taken away.
GONE: Final = object()


def values(name: str = "dev") -> dict[str, Any]:
    """What an environment's file says."""
    return copy.deepcopy(_read(name))


@cache
def _read(name: str) -> dict[str, Any]:
    return read_literals((ROOT / f"platform/environments/{name}.tfvars").read_text("utf-8"))


def changed(changes: Mapping[str, Any], name: str = "dev") -> dict[str, Any]:
    """An environment's values with others in their place, by their path: `network.zones`."""
    found = values(name)
    for path, value in changes.items():
        *above, last = path.split("/")
        place = found
        for key in above:
            place = place[key]
        if value is GONE:
            del place[last]
        else:
            place[last] = value
    return found


def write(path: Path, settings: Mapping[str, Any]) -> Path:
    """A variables file that says these."""
    text = "".join(f"{name} = {_hcl(value)}\n" for name, value in settings.items())
    path.write_text(text, encoding="utf-8")
    return path


def _hcl(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{json.dumps(key)} = {_hcl(item)}" for key, item in value.items())
        return f"{{{inside}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_hcl, value))}]"
    return json.dumps(value, ensure_ascii=False)
