"""The context `laptop`, by which `tenantctl` finds what runs on this machine."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tenantry_local.model import ENVIRONMENT, REGION, Options
from tenantry_local.paths import HOME, RUN_DIR
from tenantry_local.resources import REGISTRY_TABLE

#: In the run's own folder: what a killed laptop leaves is swept with it.
CONTEXTS: Final = "contexts"


@contextmanager
def written(
    options: Options, *, run_dir: Path, repository: Path, state: Path, engine: str, router: str
) -> Generator[Path, None, None]:
    """A context while the block runs; `laptop`, or `laptop-<run>` of one beside the first.

    tenantctl finds those of `.tenantry/run*`; of another folder by TENANTCTL_CONTEXTS.
    """
    name = "laptop" if run_dir == RUN_DIR.resolve() else f"laptop-{run_dir.name}"
    sections: dict[str, dict[str, object]] = {
        "fleet": {"url": repository.as_uri(), "cache": str(run_dir / "fleet-clones")},
        "cluster": {"kind": "laptop", "state": str(state)},
        "aws": {"region": REGION, "endpoint_url": engine, "is_local": True},
        "routes": {"url": router, "tokens": str(run_dir)},
        "timing": {
            "placement_max_age": options.placement_max_age_seconds,
            "visibility": options.visibility_seconds,
            "poll": 0.5,
            "settle": 1,
        },
    }
    lines = [
        "# Written by the laptop that runs, and gone when it ends.",
        f"environment = {_toml(ENVIRONMENT)}",
        f"registry_table = {_toml(REGISTRY_TABLE)}",
        f"exports = {_toml(str(HOME / 'exports'))}",
    ]
    for section, values in sections.items():
        lines += ["", f"[{section}]", *(f"{key} = {_toml(v)}" for key, v in values.items())]
    path = run_dir / CONTEXTS / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _toml(value: object) -> str:
    """A string, number or truth value; JSON writes each as TOML reads it."""
    return json.dumps(value)
