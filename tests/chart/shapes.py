"""Where the chart's schema takes text, and what shape it is to have: `files/shapes.json`.

Helm's templates cannot read the schema, and whoever installs can skip it; so the shapes stand in
a file of their own, made from it. Of a path, `[]` is each value of a list or map and `{}` each key
of a map; what follows `@` is the kind of instance that it is for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from chart.render import SCHEMA

Node = dict[str, Any]

_SHORT: Final = {"minLength": "min", "maxLength": "max", "isRequired": "required"}


def texts() -> Iterator[tuple[str, Node]]:
    """Every place that takes text, and its schema; `isRequired` where it must be there."""
    for path, node in _texts("", SCHEMA):
        if path == "instance.id":
            yield "instance.id@pool", node | SCHEMA["definitions"]["pool"]
            yield "instance.id@tenant", node | SCHEMA["definitions"]["tenantId"]
        else:
            yield path, node


def _texts(path: str, node: Node) -> Iterator[tuple[str, Node]]:
    for each in (node, *node.get("allOf", ())):
        if "$ref" in each:
            node = node | SCHEMA["definitions"][each["$ref"].rpartition("/")[2]]
    if node.get("type") == "string" or "enum" in node:
        yield path, node
    if "items" in node:
        yield from _texts(f"{path}.[]", node["items"])
    if "propertyNames" in node:
        yield f"{path}.{{}}", node["propertyNames"]
        yield from _texts(f"{path}.[]", node["additionalProperties"])
    if path.endswith(".settings"):
        # Each becomes a variable of a pod: another would be one that the chart itself sets.
        yield f"{path}.{{}}", {"enum": list(node["properties"])}
    for key, found in node.get("properties", {}).items():
        is_required = {"isRequired": True} if key in node.get("required", ()) else {}
        yield from _texts(f"{path}.{key}".lstrip("."), found | is_required)


def shape(node: Node) -> Node | None:
    """Pattern, bounds, what is reserved, and whether it must be there; None for any text."""
    if "enum" in node:
        node = node | {"pattern": f"^({'|'.join(node['enum'])})$"}
    if "pattern" not in node:
        return None
    found = {"pattern": node["pattern"]}
    found |= {short: node[key] for key, short in _SHORT.items() if key in node}
    # Where there are exceptions the pattern says it, too: the schema's `if` has the words.
    if "if" in node and "not" not in node["if"]:
        reserved = node["if"].get("anyOf", [node["if"]])
        found["reserved"] = "|".join(
            each["pattern"] if "pattern" in each else f"^({'|'.join(each['enum'])})$"
            for each in reserved
        )
    return found


def shapes() -> dict[str, Node]:
    """The shape of every text that has one, by its path."""
    return {path: found for path, node in texts() if (found := shape(node)) is not None}


def as_file() -> str:
    """The file, a line a path."""
    lines = [
        f"{json.dumps(path)}: {json.dumps(found)}" for path, found in sorted(shapes().items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"
