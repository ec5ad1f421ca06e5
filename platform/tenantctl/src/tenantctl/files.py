"""A tenant's file: one HelmRelease of at most fifteen lines, read strictly, written one way.

What all tenants share (namespace, interval, strategy, facts, account) is not here: the shard's
Kustomization patches it in, see `platform/fleet`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from tenantctl.errors import InvalidError
from tenantctl.model import Instance, shard_of

API_VERSION: Final = "helm.toolkit.fluxcd.io/v2"
#: Says in the file, and so in the cluster, that a tenant is suspended: the registry is told by
#: tenantctl, and held to this by `reconcile`.
STATUS_ANNOTATION: Final = "tenantry.dev/status"
SUSPENDED: Final = "suspended"
MAX_LINES: Final = 15
#: A tenant's file with all overrides that there are is a tenth of this.
MAX_BYTES: Final = 65_536
#: So many mappings and lists one in the other; a tenant's file has five. PyYAML takes seconds to
#: give up on a file that is nothing else.
MAX_DEPTH: Final = 32
#: libyaml's, where PyYAML was built with it: ten times as fast.
_EVENTS: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def tenants_folder(environment: str) -> str:
    """Everything that Flux reads of an environment's tenants and pools."""
    return f"tenants/{environment}"


def path_of(environment: str, instance: Instance) -> str:
    """Where an instance's file is, from its first day to its last."""
    folder = "pools" if instance.kind == "pool" else shard_of(instance.id)
    return f"{tenants_folder(environment)}/{folder}/{instance.id}.yaml"


def tenant_path(environment: str, tenant_id: str) -> str:
    """Where a tenant's file is."""
    return f"{tenants_folder(environment)}/{shard_of(tenant_id)}/{tenant_id}.yaml"


def pool_path(environment: str, pool: str) -> str:
    """Where a pool's file is."""
    return f"{tenants_folder(environment)}/pools/{pool}.yaml"


def render(instance: Instance) -> bytes:
    """The file of an instance."""
    metadata: dict[str, Any] = {"name": instance.id}
    if instance.is_suspended:
        metadata["annotations"] = _Flow({STATUS_ANNOTATION: SUSPENDED})
    values = instance.values()
    if "transition" in values:
        values["transition"] = _Flow(
            {**values["transition"], "from": _Flow(values["transition"]["from"])}
        )
    release = {
        "apiVersion": API_VERSION,
        "kind": "HelmRelease",
        "metadata": metadata,
        "spec": {
            "chartRef": {"kind": "OCIRepository", "name": instance.release},
            "values": {"instance": values},
        },
    }
    text: str = yaml.dump(
        release, Dumper=_Dumper, sort_keys=False, width=200, default_flow_style=False
    )
    return text.encode()


def parse(path: str, data: bytes) -> Instance:
    """The instance of a file.

    Raises:
        InvalidError: It is not such a file; the text names path, key and rule.
    """
    try:
        _refuse_strange(path, data)
        return _parse(path, data)
    except InvalidError as error:
        raise InvalidError(f"{path}: {error}") from None


def _refuse_strange(path: str, data: bytes) -> None:
    """Refuse what PyYAML would take and a reader, kustomize or Flux would take differently.

    Raises:
        InvalidError: It is too large, or more than plain YAML.
    """
    if not path.endswith(".yaml"):
        raise InvalidError("this file does not belong here: tenants and pools are .yaml files")
    if len(data) > MAX_BYTES:
        raise InvalidError(f"it holds {len(data)} bytes, and may hold {MAX_BYTES}")
    for character, name in ((b"\r", "a carriage return"), (b"\0", "a zero byte")):
        if character in data:
            raise InvalidError(f"it holds {name}")
    if b"${" in data:
        raise InvalidError("it holds ${: nothing is filled in here")
    try:
        _refuse_events(data)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):
        return  # who reads it whole says it better


def _refuse_events(data: bytes) -> None:
    depth = 0
    for event in yaml.parse(data.decode(), Loader=_EVENTS):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if getattr(event, "anchor", None):  # an alias has one as well
            raise InvalidError(f"line {line}: anchors and aliases are not for this file")
        if getattr(event, "tag", None):
            raise InvalidError(f"line {line}: a tag is not for this file")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidError(
                f"it is no YAML of a tenant: line {line} is deeper than {MAX_DEPTH} levels"
            )


def _parse(path: str, data: bytes) -> Instance:
    try:
        documents = list(yaml.load_all(data.decode(), Loader=_Loader))
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise InvalidError(f"it is no YAML: {reason[:200]}") from None
    if len(documents) != 1:
        raise InvalidError(f"it holds {len(documents)} documents, and has to hold one")
    release = _mapping(documents[0], "the file", {"apiVersion", "kind", "metadata", "spec"})
    if (release["apiVersion"], release["kind"]) != (API_VERSION, "HelmRelease"):
        raise InvalidError(f"it is no HelmRelease of {API_VERSION}")
    metadata = _mapping(release["metadata"], "metadata", {"name"}, {"annotations"})
    annotations = metadata.get("annotations", {STATUS_ANNOTATION: "active"})
    status = _mapping(annotations, "metadata.annotations", {STATUS_ANNOTATION})[STATUS_ANNOTATION]
    if status not in {"active", SUSPENDED}:
        raise InvalidError(f"metadata.annotations.{STATUS_ANNOTATION} is active or {SUSPENDED}")
    spec = _mapping(release["spec"], "spec", {"chartRef", "values"})
    chart = _mapping(spec["chartRef"], "spec.chartRef", {"kind", "name"})
    values = _mapping(spec["values"], "spec.values", {"instance"})
    keys = values["instance"]
    if not isinstance(keys, Mapping):
        raise InvalidError("spec.values.instance is a mapping")
    instance = Instance.of_values(keys, is_suspended=status == SUSPENDED)
    if metadata["name"] != instance.id:
        raise InvalidError(f"metadata.name is not instance.id, {instance.id}")
    if chart != {"kind": "OCIRepository", "name": instance.release}:
        raise InvalidError(f"spec.chartRef is not the OCIRepository {instance.release}")
    if not path.endswith(f"/{instance.id}.yaml"):
        raise InvalidError(f"its name is not {instance.id}.yaml")
    return instance


def _mapping(
    value: object, where: str, needed: set[str], optional: set[str] | None = None
) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InvalidError(f"{where} is a mapping")
    if missing := needed - value.keys():
        raise InvalidError(f"{where}: {min(missing)} is missing")
    if unknown := value.keys() - needed - (optional or set()):
        raise InvalidError(f"{where}: {min(map(str, unknown))} does not belong here")
    return value


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    """Never an alias: a file is read by people."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_mapping(
        "tag:yaml.org,2002:map", data.items(), flow_style=True
    ),
)


class _Loader(yaml.SafeLoader):
    """A key twice is a mistake, not the later one's right."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            try:
                is_twice = key in seen
                seen.add(key)
            except TypeError:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: no key") from None
            if is_twice:
                raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: {key} stands twice")
        return super().construct_mapping(node, deep=deep)
