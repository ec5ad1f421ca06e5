"""What the fleet's objects may be, wherever they come from."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from tenantctl.check import Finding
from tenantctl.errors import InvalidError
from tenantctl.gate.building import Object
from tenantctl.signatures import SECRET, read_key

#: What Kubernetes and the fleet's definitions serve and call deprecated in no version.
_SERVED: Final[Mapping[str, Sequence[str]]] = json.loads(
    (files("tenantctl") / "data" / "apis.json").read_text("utf-8")
)["served"]
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_VERSION: Final = re.compile(r"v?\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?")
#: Until facts name one; then its Kustomization is suspended.
_NO_IMAGE: Final = "unset.invalid/"
_REFERENCES: Final = ("sourceRef", "chartRef", "imageRepositoryRef", "providerRef", "secretRef")
#: Who does something on somebody's behalf: with the controller's own rights where none is named.
_ACTS: Final = frozenset({"HelmRelease", "Kustomization"})

Rule = Callable[[Object], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Built:
    """What an entry point applies.

    Attributes:
        path: Where it was built.
        owner: Who applies it.
    """

    path: str
    owner: str
    objects: Sequence[Object]


def wrong_objects(built: Iterable[Built]) -> Iterator[Finding]:
    """What is wrong with any of them, by where it was built."""
    owners: dict[tuple[str, ...], str] = {}
    for part in built:
        for found in part.objects:
            who = f"{found['kind']} {found['metadata'].get('name')}"
            yield from (Finding(part.path, f"{who}: {text}") for text in _wrong(found))
            other = owners.setdefault(_identity(found), part.owner)
            if other != part.owner:
                text = f"{who}: {other} has it, too, and both would write it"
                yield Finding(part.path, text)


def _wrong(found: Object) -> Iterator[str]:
    for rule in _RULES:
        try:
            yield from rule(found)
        except (AttributeError, KeyError, TypeError):
            yield "it is not of the form of its kind"
            return


def _identity(found: Object) -> tuple[str, ...]:
    metadata = found["metadata"]
    group = found["apiVersion"].rpartition("/")[0]
    return (group, found["kind"], metadata.get("namespace", ""), metadata["name"])


def _is_served(found: Object) -> Iterator[str]:
    version, kind = found["apiVersion"], found["kind"]
    if kind in _SERVED.get(version, ()):
        return
    group = version.rpartition("/")[0]
    others = [
        each
        for each, kinds in _SERVED.items()
        if each.rpartition("/")[0] == group and kind in kinds
    ]
    instead = f"; {' or '.join(others)} is" if others else ""
    yield f"{version} is removed, deprecated or unknown{instead}"


def _is_no_secret(found: Object) -> Iterator[str]:
    if found["kind"] == "Secret" and not _holds_public_keys(found):
        yield "a Secret is never in Git: external-secrets brings it"


def _holds_public_keys(found: Object) -> bool:
    """Whether it is the one that Flux wants to be a Secret, and that holds none."""
    if found["metadata"].get("name") != SECRET or "stringData" in found:
        return False
    try:
        for name, text in (found.get("data") or {}).items():
            read_key(name, base64.b64decode(text))
    except (InvalidError, ValueError, TypeError):
        return False
    return True


def _stays_in_its_namespace(found: Object) -> Iterator[str]:
    namespace = found["metadata"].get("namespace")
    for name, reference in _references(found.get("spec")):
        other = reference.get("namespace")
        if other is not None and other != namespace:
            yield f"{name} is in the namespace {other}, and Flux lets nobody refer across"


def _references(spec: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(spec, Mapping):
        return
    for name in _REFERENCES:
        if isinstance(spec.get(name), Mapping):
            yield name, spec[name]
    chart = spec.get("chart")
    if isinstance(chart, Mapping):
        yield from _references(chart.get("spec"))


def _acts_as_somebody(found: Object) -> Iterator[str]:
    is_flux = "toolkit.fluxcd.io/" in found["apiVersion"]
    if is_flux and found["kind"] in _ACTS and not found["spec"].get("serviceAccountName"):
        yield "it names no serviceAccountName, and would act with no rights"


def _is_pinned(found: Object) -> Iterator[str]:
    spec = found.get("spec", {})
    if found["kind"] == "OCIRepository" and not spec.get("suspend"):
        ref = spec.get("ref", {})
        is_ours = found["metadata"].get("namespace") != "flux-system"
        if is_ours and not _DIGEST.fullmatch(str(ref.get("digest", ""))):
            yield "a release is named by its digest"
        if not is_ours and "digest" not in ref and not _VERSION.fullmatch(str(ref.get("tag", ""))):
            yield "it names one version: no range, and not the latest"
    if found["kind"] == "HelmRelease" and "chart" in spec:
        version = str(spec["chart"]["spec"].get("version", ""))
        if not _VERSION.fullmatch(version):
            yield f"its chart is of one version, and {version!r} is none"


def _is_verified(found: Object) -> Iterator[str]:
    if found["kind"] != "OCIRepository" or found["metadata"].get("namespace") == "flux-system":
        return
    verify = found["spec"].get("verify", {})
    if verify.get("provider") != "cosign" or verify.get("secretRef") != {"name": SECRET}:
        yield "a release is verified: verify.provider is cosign, with the keys' Secret"


def _images_are_pinned(found: Object) -> Iterator[str]:
    for image in _images(found.get("spec")):
        if not image.startswith(_NO_IMAGE) and not _DIGEST.search(image):
            yield f"{image} is named by no digest"


def _images(spec: Any) -> Iterator[str]:
    """Of all containers in pods and workflows, wherever their template is."""
    if isinstance(spec, Mapping):
        for key, value in spec.items():
            if key in {"container", "script"}:
                value = [value]  # noqa: PLW2901 - a workflow's template has one
            if key in {"container", "script", "containers", "initContainers"}:
                yield from (str(each["image"]) for each in value if "image" in each)
            else:
                yield from _images(value)
    elif isinstance(spec, list):
        for each in spec:
            yield from _images(each)


_RULES: Final[tuple[Rule, ...]] = (
    _is_served,
    _is_no_secret,
    _stays_in_its_namespace,
    _acts_as_somebody,
    _is_pinned,
    _is_verified,
    _images_are_pinned,
)
