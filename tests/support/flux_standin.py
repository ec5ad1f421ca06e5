"""Flux's kustomize-controller, as far as it builds: a folder and a Kustomization become objects.

Honours, as kustomize-controller 1.9 does: a folder without a kustomization.yaml gets one that
names each YAML file in it, an empty folder builds to nothing, `targetNamespace`, `patches` and
`commonMetadata` of the Kustomization; a file that is no object fails the whole folder, and so
does a folder that is not there. Values of ConfigMaps are put in the place of `${…}`, object by
object, and one that is not there fails as with `StrictPostBuildSubstitutions`. The labels by which
Flux knows its own are left out.
Does not: apply, prune, wait, ignore, decrypt; `${name:=default}` and its like.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

import tool
from chart.render import ROOT, Object

FLEET: Final = ROOT / "platform" / "fleet"
ENVIRONMENTS: Final = ("dev", "staging", "production")
_SECONDS: Final = 60
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_API: Final = "kustomize.config.k8s.io/v1beta1"


class BuildError(Exception):
    """A folder does not build. The text is kustomize's."""


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
    command = kubectl()
    assert command is not None, "`make tools` builds it"
    ran = subprocess.run(
        [command, "kustomize", folder],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )
    if ran.returncode:
        raise BuildError(ran.stderr)
    return [found for found in yaml.safe_load_all(ran.stdout) if found]


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
    spec = kustomization["spec"]
    folder = fleet / spec["path"]
    if not folder.is_dir():
        raise BuildError(f"kustomization path not found: {spec['path']}")
    file = folder / "kustomization.yaml"
    before = file.read_text("utf-8") if file.exists() else None
    said: dict[str, Any] = (
        {"apiVersion": _API, "kind": "Kustomization", "resources": _files(folder)}
        if before is None
        else yaml.safe_load(before)
    )
    if "targetNamespace" in spec:
        said["namespace"] = spec["targetNamespace"]
    said["patches"] = [*said.get("patches", []), *spec.get("patches", [])]
    if not said["resources"] and not said["patches"]:
        return []
    file.write_text(yaml.safe_dump(said), encoding="utf-8")
    try:
        objects = [_with(found, spec.get("commonMetadata", {})) for found in kustomize(folder)]
        return _substituted(objects, kustomization, maps or {})
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before, encoding="utf-8")


def config_maps(objects: list[Object]) -> dict[str, dict[str, str]]:
    """Data of the ConfigMaps that Flux's Kustomizations can name, by name."""
    return {
        each["metadata"]["name"]: each["data"]
        for each in objects
        if each["kind"] == "ConfigMap" and each["metadata"].get("namespace") == "flux-system"
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
    return [yaml.safe_load(_VARIABLE.sub(value, text)) for text in texts]


def _files(folder: Path) -> list[str]:
    """Each file of a folder, of which Flux reads each before kustomize does."""
    found = sorted(path for path in folder.rglob("*") if path.suffix in {".yaml", ".yml"})
    for path in found:
        try:
            list(yaml.safe_load_all(path.read_text("utf-8")))
        except yaml.YAMLError as error:
            raise BuildError(f"failed to decode Kubernetes YAML from {path}: {error}") from None
    return [str(path.relative_to(folder)) for path in found]


def _with(found: Object, common: Mapping[str, Mapping[str, str]]) -> Object:
    metadata = dict(found["metadata"])
    for key, values in common.items():
        metadata[key] = {**metadata.get(key, {}), **values}
    return {**found, "metadata": metadata}
