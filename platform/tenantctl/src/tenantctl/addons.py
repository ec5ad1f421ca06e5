"""What fills in an environment's add-ons: what Terraform says of the cluster, as the fleet has it.

Two files in `clusters/<environment>/addons`: a ConfigMap whose values Flux puts in the place of
`${…}` in `addons/`, and a kustomization that leaves out the add-ons that are off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tenantctl.errors import InvalidError

#: The label of an entry point that is left out with its add-on.
LABEL: Final = "tenantry.dev/addon"
#: Where Flux looks for values.
NAMESPACE, NAME = "flux-system", "cluster-facts"
#: What Flux installs, and may be off. What EKS installs is no matter of the fleet's.
OPTIONAL: Final = (
    "argo-events",
    "argo-workflows",
    "external-dns",
    "flux-ui",
    "keda",
    "monitoring",
    "opencost",
    "opentelemetry-collector",
)
#: What no environment is without.
NEEDED: Final = (
    "aws-load-balancer-controller",
    "external-secrets",
    "karpenter",
    "tofu-controller",
)
#: An entry point that took a commit before its facts comes again at once, not an interval later.
_WATCHED: Final = {"reconcile.fluxcd.io/watch": "Enabled"}
_GIB: Final = "Gi"
_HEAD: Final = (
    "# Of this environment's cluster, by `tenantctl facts`: not by hand.\n"
    "# yamllint disable rule:line-length\n"
)

_Text = Annotated[str, Field(min_length=1, pattern=r"^[^\s$]+$")]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class NodeClass(_Said):
    """The machines that Karpenter makes.

    Attributes:
        volume_gib: Of the disk for images, logs and what pods write.
    """

    image: Literal["bottlerocket", "al2023"]
    image_version: _Text
    volume_gib: Annotated[int, Field(ge=20, le=1000)]

    @property
    def disks(self) -> list[dict[str, Any]]:
        """Bottlerocket has its system on a disk of its own, which nobody writes."""
        data = f"{self.volume_gib}{_GIB}"
        sizes = (
            {"/dev/xvda": f"4{_GIB}", "/dev/xvdb": data}
            if self.image == "bottlerocket"
            else {"/dev/xvda": data}
        )
        return [
            {
                "deviceName": name,
                "ebs": {
                    "volumeSize": size,
                    "volumeType": "gp3",
                    "encrypted": True,
                    "deleteOnTermination": True,
                },
            }
            for name, size in sizes.items()
        ]


class NodePool(_Said):
    """A tier's nodes.

    Attributes:
        cpu: Of all its nodes together, in cores.
        memory_gib: Of all its nodes together.
    """

    architectures: Annotated[tuple[Literal["amd64", "arm64"], ...], Field(min_length=1)]
    categories: Annotated[tuple[_Text, ...], Field(min_length=1)]
    capacity: Annotated[tuple[Literal["spot", "on-demand"], ...], Field(min_length=1)]
    cpu: Annotated[int, Field(ge=4)]
    memory_gib: Annotated[int, Field(ge=8)]


class NodePools(_Said):
    """One a tier."""

    basic: NodePool
    advanced: NodePool
    premium: NodePool


class Domain(_Said):
    """Where tenants are."""

    name: _Text
    zone_id: _Text | None
    certificate_arn: _Text


class Git(_Said):
    """Where the fleet is.

    Attributes:
        fleet: Its address in Gitea, without `.git`.
        cidr: From where Gitea tells of pushes.
    """

    fleet: _Text
    branch: _Text
    cidr: _Text


class Cluster(_Said):
    """Terraform's output `cluster`.

    Attributes:
        addons: The version of each add-on that is on.
        cidr: The VPC's.
        registry: The host where charts and modules are.
        runbooks: The page that says what to do about an alert.
    """

    name: _Text
    region: _Text
    vpc_id: _Text
    interruption_queue: _Text
    node_role: _Text
    addons: Mapping[str, _Text]
    node_class: NodeClass
    node_pools: NodePools
    domain: Domain
    cidr: _Text
    registry: _Text
    runbooks: _Text
    git: Git


def parse(name: str, outputs: Mapping[str, Any]) -> Cluster | None:
    """The output `cluster` of Terraform's, as `facts.load` gives them; None where there is none.

    Raises:
        InvalidError: It is not as the fleet takes it; the text names file, key and rule.
    """
    told = outputs.get("cluster")
    if not isinstance(told, Mapping):  # of facts alone it is the cluster's name
        return None
    try:
        cluster = Cluster.model_validate_json(json.dumps(told))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("cluster", *map(str, first["loc"])))
        raise InvalidError(f"{name}: {where}: {first['msg']}") from None
    for addon in NEEDED:
        if addon not in cluster.addons:
            raise InvalidError(
                f"{name}: cluster.addons: {addon} is off, which no fleet is without"
            )
    return cluster


def render(environment: str, cluster: Cluster) -> dict[str, bytes]:
    """The files of the fleet, by path."""
    folder = f"clusters/{environment}/addons"
    return {
        f"{folder}/facts.yaml": _facts(environment, cluster),
        f"{folder}/kustomization.yaml": _switches(cluster),
    }


def _facts(environment: str, cluster: Cluster) -> bytes:
    return _text(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": dict(_WATCHED)},
            "data": values(environment, cluster),
        }
    )


def values(environment: str, cluster: Cluster) -> dict[str, str]:
    """What stands for each `${…}`; a list is YAML of one line."""
    pools = cluster.node_pools
    found = {
        "environment": environment,
        "region": cluster.region,
        "cluster_name": cluster.name,
        "vpc_id": cluster.vpc_id,
        "interruption_queue": cluster.interruption_queue,
        "domain": cluster.domain.name,
        "zone_id": cluster.domain.zone_id or "",
        "certificate_arn": cluster.domain.certificate_arn,
        "vpc_cidr": cluster.cidr,
        "registry": cluster.registry,
        "runbooks": cluster.runbooks,
        "fleet_url": cluster.git.fleet,
        "fleet_branch": cluster.git.branch,
        "git_cidr": cluster.git.cidr,
        "node_role": cluster.node_role,
        "node_image": f"{cluster.node_class.image}@{cluster.node_class.image_version}",
        "node_disks": json.dumps(cluster.node_class.disks),
    }
    for tier, pool in (
        ("basic", pools.basic),
        ("advanced", pools.advanced),
        ("premium", pools.premium),
    ):
        found |= {
            f"node_pool_{tier}_architectures": json.dumps(pool.architectures),
            f"node_pool_{tier}_categories": json.dumps(pool.categories),
            f"node_pool_{tier}_capacity": json.dumps(pool.capacity),
            f"node_pool_{tier}_cpu": str(pool.cpu),
            f"node_pool_{tier}_memory": f"{pool.memory_gib}{_GIB}",
        }
    ours = {*OPTIONAL, *NEEDED}
    for name, version in sorted(cluster.addons.items()):
        if name in ours:
            found[f"{name.replace('-', '_')}_version"] = version
    return {key: value for key, value in found.items() if value}


def _switches(cluster: Cluster) -> bytes:
    off = [name for name in OPTIONAL if name not in cluster.addons]
    return _text(
        {
            "apiVersion": "kustomize.config.k8s.io/v1alpha1",
            "kind": "Component",
            "resources": ["../../addons", "facts.yaml"],
            **({"patches": [_left_out(name) for name in off]} if off else {}),
        }
    )


def _left_out(addon: str) -> dict[str, Any]:
    patch = {
        "$patch": "delete",
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {"name": "any"},
    }
    return {
        "target": {"kind": "Kustomization", "labelSelector": f"{LABEL}={addon}"},
        "patch": json.dumps(patch),
    }


def _text(thing: Mapping[str, Any]) -> bytes:
    text: str = yaml.dump(thing, Dumper=_Dumper, sort_keys=False, width=1_000)
    return (_HEAD + text).encode()


class _Dumper(yaml.SafeDumper):
    """Lists are indented, as everywhere in the fleet."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:  # noqa: ARG002, FBT001, FBT002 - PyYAML's signature
        return super().increase_indent(flow, indentless=False)
