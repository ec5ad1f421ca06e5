"""Writes `tenantctl/data/facts.json`: what the chart takes as facts, so that tenantctl knows it.

A test holds the two to each other; `make goldens` runs this.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml

_ROOT: Final = Path(__file__).resolve().parent.parent
_CHART: Final = _ROOT / "charts" / "tenant-template"
TARGET: Final = _ROOT / "platform" / "tenantctl" / "src" / "tenantctl" / "data" / "facts.json"


def facts_of_the_chart() -> dict[str, Any]:
    """Schema and defaults of the chart's facts."""
    schema = json.loads((_CHART / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((_CHART / "values.yaml").read_text("utf-8"))
    return {
        "schema": {
            "$schema": schema["$schema"],
            **schema["properties"]["facts"],
            "definitions": schema["definitions"],
        },
        "defaults": values["facts"],
    }


def main() -> None:
    """Write the file."""
    TARGET.write_text(json.dumps(facts_of_the_chart(), indent=1, sort_keys=True) + "\n", "utf-8")


if __name__ == "__main__":
    main()
