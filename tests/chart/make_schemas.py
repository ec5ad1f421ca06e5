"""Writes schemas.json: what the API server and its CRDs take, without a network at test time.

Run by hand when a version in tests/tools changes, with PYTHONPATH=scripts. It needs Go, whose
module downloads hold the sources. Strict: a field that the source does not name is refused. What
only the API server can tell (CEL rules, admission, defaults) is left to `make test-cluster`.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

import tool

HERE: Final = Path(__file__).parent

KUBERNETES: Final = "k8s.io/kubernetes@" + tool.version("kubernetes", "k8s.io/kubernetes")
KINDS: Final = {
    "v1": "ConfigMap LimitRange Namespace Pod ResourceQuota Service ServiceAccount",
    "apps/v1": "Deployment",
    "autoscaling/v2": "HorizontalPodAutoscaler",
    "networking.k8s.io/v1": "Ingress NetworkPolicy",
    "policy/v1": "PodDisruptionBudget",
}
#: Custom resources, by the names of their files in tests/tools/crds, and the version that is used.
CUSTOM: Final = {
    "gateway.networking.k8s.io_httproutes": "v1",
    "infra.contrib.fluxcd.io_terraforms": "v1alpha2",
    "keda.sh_scaledobjects": "v1alpha1",
    "keda.sh_triggerauthentications": "v1alpha1",
    "monitoring.coreos.com_podmonitors": "v1",
    "monitoring.coreos.com_prometheusrules": "v1",
}
#: Large, and in no template: what has such a field is refused.
UNUSED: Final = frozenset(
    {
        "affinity",
        "initContainers",
        "ephemeralContainers",
        "managedFields",
        "ownerReferences",
        "status",
    }
)
#: Of the sources of a volume, and of a variable, what templates use.
VOLUMES: Final = frozenset({"name", "emptyDir", "configMap", "secret", "projected"})
KEPT: Final = [
    "$ref",
    "type",
    "format",
    "enum",
    "pattern",
    "items",
    "properties",
    "required",
    "additionalProperties",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "oneOf",
    "anyOf",
    "allOf",
    "not",
]


def main() -> None:
    """Write the file, and say how large it is."""
    kinds, definitions = kubernetes()
    kinds |= dict(custom())
    whole = {
        "$comment": f"Made by make_schemas.py from {KUBERNETES} and tests/tools/crds",
        "kinds": kinds,
        "definitions": definitions,
    }
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    # A line for each kind and each definition: a difference can be read.
    for name in (*kinds, *definitions):
        text = text.replace(f'"{name}":{{', f'\n"{name}":{{', 1)
    (HERE / "schemas.json").write_text(text + "\n", encoding="utf-8")
    print(f"schemas.json: {len(text):,} bytes, {len(kinds)} kinds")  # noqa: T201 - a command line


def kubernetes() -> tuple[dict[str, Any], dict[str, Any]]:
    """Schemas of the kinds, and the definitions that they reach."""
    source = json.loads((module(KUBERNETES) / "api/openapi-spec/swagger.json").read_bytes())
    found: dict[str, Any] = source["definitions"]
    kinds: dict[str, Any] = {}
    for name, schema in found.items():
        for known in schema.get("x-kubernetes-group-version-kind", ()):
            version = "/".join(filter(None, (known["group"], known["version"])))
            if known["kind"] in KINDS.get(version, "").split() and schema.get("properties"):
                kinds[f"{version} {known['kind']}"] = {"$ref": f"#/definitions/{short(name)}"}
    reached: dict[str, Any] = {}
    waiting = [schema["$ref"].rpartition("/")[2] for schema in kinds.values()]
    by_short = {short(name): name for name in found}
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached[name] = strict(found[by_short[name]])
            waiting += references(reached[name])
    return kinds, reached


def custom() -> Iterator[tuple[str, Any]]:
    """Schemas of custom resources, with the metadata of any object."""
    folder = tool.make(tool.CRDS) / tool.CRDS
    for name, version in CUSTOM.items():
        crd = yaml.safe_load((folder / f"{name}.yaml").read_text("utf-8"))["spec"]
        [served] = [each for each in crd["versions"] if each["name"] == version]
        schema = strict(served["schema"]["openAPIV3Schema"])
        schema["properties"]["metadata"] = {"$ref": "#/definitions/meta.v1.ObjectMeta"}
        yield f"{crd['group']}/{version} {crd['names']['kind']}", schema


def module(name: str) -> Path:
    """The folder of a Go module."""
    said = subprocess.run(
        ["go", "mod", "download", "-json", name], check=True, capture_output=True, text=True
    )
    return Path(json.loads(said.stdout)["Dir"])


def short(name: str) -> str:
    """`core.v1.Pod` of `io.k8s.api.core.v1.Pod`."""
    return ".".join(name.split(".")[-3:])


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """What a validator needs of a schema, refusing what it does not name."""
    kept = {key: schema[key] for key in KEPT if key in schema}
    if "$ref" in kept:
        return {"$ref": "#/definitions/" + short(kept["$ref"].rpartition("/")[2])}
    if schema.get("x-kubernetes-int-or-string") or kept.get("format") == "int-or-string":
        return {"type": ["string", "integer"]}
    kept.pop("format", None)
    if "properties" in kept:
        names = kept["properties"].keys() - UNUSED
        if "emptyDir" in names:
            names &= VOLUMES
        kept["properties"] = {name: strict(schema["properties"][name]) for name in sorted(names)}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            kept["additionalProperties"] = False
    for key in ("items", "additionalProperties", "not"):
        if isinstance(kept.get(key), dict):
            kept[key] = strict(kept[key])
    for key in ("oneOf", "anyOf", "allOf"):
        if key in kept:
            # Inside these, properties only say more about what is named outside.
            kept[key] = [loose(strict(each)) for each in kept[key]]
    return kept


def loose(schema: dict[str, Any]) -> dict[str, Any]:
    """The same, without refusing other fields."""
    return {key: value for key, value in schema.items() if key != "additionalProperties"}


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            if key == "$ref":
                yield value.rpartition("/")[2]
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


if __name__ == "__main__":
    main()
