"""The table of values in the chart's README, made from the schema and the defaults."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml

from chart.render import CHART, SCHEMA

BEGIN: Final = "<!-- begin: values -->\n"
END: Final = "<!-- end: values -->\n"
DEFAULTS: Final[dict[str, Any]] = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))


def with_table(text: str) -> str:
    """The page with its table as the schema has it."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}{table()}{END}{after}"


def table() -> str:
    """A row for each key, and for each object what it is about."""
    rows = ["| value | default | takes | meaning |", "| --- | --- | --- | --- |"]
    rows += [f"| {' | '.join(cells)} |" for cells in _rows("", SCHEMA)]
    return "".join(f"{row}\n" for row in rows)


def _rows(path: str, node: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, found in node.get("properties", {}).items():
        inner = f"{path}.{key}" if path else key
        resolved = dict(found)
        for each in found.get("allOf", []):
            if "$ref" in each:
                resolved = SCHEMA["definitions"][each["$ref"].rpartition("/")[2]] | resolved
        if "properties" in resolved:
            if "description" in resolved:
                yield f"**`{inner}`**", "", "", resolved["description"]
            yield from _rows(inner, resolved)
        else:
            is_required = key in node.get("required", [])
            yield (
                f"`{inner}`",
                _default(inner, is_required),
                takes(resolved),
                resolved["description"],
            )


def _default(path: str, is_required: bool) -> str:
    inside: Any = DEFAULTS
    for key in path.split("."):
        if not isinstance(inside, dict) or key not in inside:
            return "required" if is_required else "-"
        inside = inside[key]
    return f"`{inside if isinstance(inside, str) and inside else json.dumps(inside)}`"


def takes(node: dict[str, Any]) -> str:
    """The kind of a value, and its bounds; a definition that has a title goes by that."""
    if "$ref" in node:
        node = SCHEMA["definitions"][node["$ref"].rpartition("/")[2]]
    if "title" in node:
        return str(node["title"])
    if "enum" in node:
        return ", ".join(f"`{each}`" for each in node["enum"])
    if node["type"] == "array":
        return f"list of {takes(node['items'])}"
    if "minimum" in node:
        kind = "whole number" if node["type"] == "integer" else "number"
        return f"{kind}, {node['minimum']:,} to {node['maximum']:,}"
    kind = {"string": "text", "boolean": "`true`, `false`", "object": "map of text"}[node["type"]]
    if "pattern" in node:
        pattern = node["pattern"].replace("|", "\\|")
        return f"`{pattern}`"
    return kind
