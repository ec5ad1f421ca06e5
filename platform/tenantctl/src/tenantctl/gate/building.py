"""What Flux's kustomize-controller makes of a folder, as far as it can be known without a cluster.

As kustomize-controller 1.9 does: a folder without a kustomization.yaml gets one that names each
YAML file in it, an empty folder builds to nothing; `targetNamespace`, `patches` and
`commonMetadata` of the Kustomization; a file that is no object fails the whole folder, and so does
a folder that is not there. Values of ConfigMaps are put in the place of `${…}`, object by object,
and one that is not there fails as with `StrictPostBuildSubstitutions`. `${name:=default}` and its
like are not known, and no file of the fleet's is to have them; nor is a `.sourceignore`.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml

Object = dict[str, Any]

#: What is looked at here of a Kustomization of Flux's; all else is the API server's to refuse.
_SHAPE: Final = jsonschema_rs.validator_for(
    {
        "type": "object",
        "required": ["path"],
        "properties": {
            "path": {"type": "string"},
            "targetNamespace": {"type": "string"},
            "dependsOn": {"type": "array", "items": {"required": ["name"], "type": "object"}},
            "patches": {"type": "array"},
            "commonMetadata": {"type": "object", "additionalProperties": {"type": "object"}},
            "postBuild": {
                "type": "object",
                "properties": {
                    "substituteFrom": {
                        "type": "array",
                        "items": {"required": ["kind", "name"], "type": "object"},
                    }
                },
            },
        },
    }
)

_API: Final = "kustomize.config.k8s.io/v1beta1"
_FLUX: Final = "kustomize.toolkit.fluxcd.io/"
_NAMESPACE: Final = "flux-system"
_SECONDS: Final = 60
#: What kubectl puts before what kustomize says.
_LOG_HEAD: Final = re.compile(r'^E\d{4} [^\]]+\] "command failed" err=', re.MULTILINE)
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class BuildError(Exception):
    """A folder does not build. The text is kustomize's, or Flux's, without the folder's place."""


@dataclass(frozen=True, slots=True)
class Builder:
    """Builds folders of one fleet.

    Attributes:
        fleet: A copy of the caller's own: a build writes beside what it builds, for a moment.
        kubectl: Whose kustomize is used.
    """

    fleet: Path
    kubectl: Path

    def kustomize(self, folder: str) -> list[Object]:
        """What a folder with a kustomization.yaml builds to.

        Raises:
            BuildError: It does not build.
        """
        try:
            ran = subprocess.run(
                [self.kubectl, "kustomize", self.fleet / folder],
                capture_output=True,
                text=True,
                encoding="utf-8",
                check=False,
                timeout=_SECONDS,
                env={"PATH": os.environ.get("PATH", ""), "HOME": str(self.fleet)},
            )
        except subprocess.TimeoutExpired:
            raise BuildError(f"it does not build within {_SECONDS} s") from None
        if ran.returncode:
            text = _LOG_HEAD.sub("", ran.stderr.replace(f"{self.fleet}/", "")).strip()
            raise BuildError(text.removeprefix("error: "))
        return [found for found in yaml.safe_load_all(ran.stdout) if found]

    def build(
        self, kustomization: Object, maps: Mapping[str, Mapping[str, str]] | None = None
    ) -> list[Object]:
        """What Flux would apply for one of its Kustomizations.

        Args:
            kustomization: What Flux follows.
            maps: Data of the ConfigMaps in the Kustomization's namespace, by name.

        Raises:
            BuildError: It would apply nothing, and say so.
        """
        spec = kustomization["spec"]
        folder = self.fleet / spec["path"]
        if not folder.is_dir():
            raise BuildError(f"kustomization path not found: {spec['path']}")
        file = folder / "kustomization.yaml"
        before = file.read_text("utf-8") if file.exists() else None
        said = _generated(folder) if before is None else _read(spec["path"], before)
        if before is None and not said["resources"]:
            return []
        if "targetNamespace" in spec:
            said["namespace"] = spec["targetNamespace"]
        said["patches"] = [*said.get("patches", []), *spec.get("patches", [])]
        file.write_text(yaml.safe_dump(said), encoding="utf-8")
        try:
            built = self.kustomize(spec["path"])
        finally:
            if before is None:
                file.unlink()
            else:
                file.write_text(before, encoding="utf-8")
        objects = [_with(found, spec.get("commonMetadata", {})) for found in built]
        return _substituted(objects, kustomization, maps or {})


def entry_points(objects: Sequence[Object]) -> dict[str, Object]:
    """What Flux follows from here on, by name."""
    return {
        found["metadata"]["name"]: found
        for found in objects
        if found["kind"] == "Kustomization" and found["apiVersion"].startswith(_FLUX)
    }


def misshapen(entry: Object) -> str:
    """Why Flux would not take an entry point; empty if it would."""
    for error in _SHAPE.iter_errors(entry.get("spec")):
        where = ".".join(("spec", *(str(part) for part in error.instance_path)))
        return f"{where}: {error.message}"
    return ""


def config_maps(objects: Sequence[Object]) -> dict[str, dict[str, str]]:
    """Data of the ConfigMaps that Flux's Kustomizations can name, by name."""
    return {
        found["metadata"]["name"]: {
            key: value for key, value in found["data"].items() if isinstance(value, str)
        }
        for found in objects
        if found["kind"] == "ConfigMap"
        and found["metadata"].get("namespace") == _NAMESPACE
        and isinstance(found.get("data"), Mapping)
    }


def _substituted(
    objects: list[Object], kustomization: Object, maps: Mapping[str, Mapping[str, str]]
) -> list[Object]:
    sources = kustomization["spec"].get("postBuild", {}).get("substituteFrom", [])
    if not sources:
        return objects
    values: dict[str, str] = {}
    for source in sources:
        if source["name"] not in maps:
            raise BuildError(
                f"substitute from '{source['kind']}/{source['name']}' error: not found"
            )
        values |= maps[source["name"]]

    def value(found: re.Match[str]) -> str:
        if found[1] not in values:
            name = kustomization["metadata"]["name"]
            raise BuildError(
                f"post build failed for '{name}': variable not set (strict mode): {found[1]!r}"
            )
        return values[found[1]]

    texts = (yaml.safe_dump(each, width=1_000_000) for each in objects)
    try:
        return [yaml.safe_load(_VARIABLE.sub(value, text)) for text in texts]
    except yaml.YAMLError as error:
        raise BuildError(f"filled in it is no YAML: {' '.join(str(error).split())}") from None


def _generated(folder: Path) -> dict[str, Any]:
    return {"apiVersion": _API, "kind": "Kustomization", "resources": _files(folder)}


def _read(path: str, text: str) -> dict[str, Any]:
    try:
        said = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise BuildError(f"{path}/kustomization.yaml is no YAML: {why}") from None
    if not isinstance(said, dict):
        raise BuildError(f"{path}/kustomization.yaml is no Kustomization")
    return said


def _files(folder: Path) -> list[str]:
    """Each file of a folder, of which Flux reads each before kustomize does."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"})
    for path in found:
        try:
            list(yaml.safe_load_all(path.read_text("utf-8")))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            name = path.relative_to(folder)
            raise BuildError(f"failed to decode Kubernetes YAML from {name}: {error}") from None
    return [str(path.relative_to(folder)) for path in found]


def _with(found: Object, common: Mapping[str, Mapping[str, str]]) -> Object:
    metadata = dict(found["metadata"])
    for key, values in common.items():
        metadata[key] = {**metadata.get(key, {}), **values}
    return {**found, "metadata": metadata}
