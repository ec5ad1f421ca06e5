"""An environment's facts: what Terraform says of it, as the ConfigMap that the fleet has.

In `values.yaml` for the chart, and under plain names for admission, since CEL reads no YAML.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Final

import jsonschema_rs
import yaml

from tenantctl.errors import InvalidError

_CHART: Final = json.loads((files("tenantctl") / "data" / "facts.json").read_text("utf-8"))
_SCHEMA: Final = jsonschema_rs.validator_for(_CHART["schema"])
_DEFAULTS: Final[dict[str, Any]] = _CHART["defaults"]
#: Roles by the chart's names, and by those of Terraform and admission.
_ROLES: Final = {
    "producer": "producer",
    "consumer": "consumer",
    "poolProducer": "pool-producer",
    "poolConsumer": "pool-consumer",
}
#: What `terraform output -json` says of each.
_OUTPUT: Final = frozenset({"value", "type", "sensitive"})
_HEAD: Final = (
    "# The environment's facts: values.yaml is for the chart, the others for admission and Flux.\n"
    "# Written by `tenantctl facts`.\n"
)


def facts_path(environment: str) -> str:
    """Where the fleet has them."""
    return f"facts/{environment}/facts.yaml"


def load(name: str, text: str) -> dict[str, Any]:
    """What a file says in JSON or YAML: facts alone, or outputs of Terraform's, each its value.

    Raises:
        InvalidError: It is neither, or no mapping; the text names the file.
    """
    try:
        said = _value(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise InvalidError(
            f"{name}: it is no JSON or YAML: {' '.join(str(error).split())}"
        ) from None
    if not isinstance(said, Mapping):
        raise InvalidError(f"{name}: facts are a mapping")
    return {key: _value(value) for key, value in said.items()}


def _value(said: Any) -> Any:
    """What Terraform says of an output, without its type."""
    is_output = isinstance(said, Mapping) and "value" in said
    return said["value"] if is_output and said.keys() <= _OUTPUT else said


def parse(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """The chart's facts: under `facts`, or all that is said.

    Raises:
        InvalidError: They are not the chart's; the text names file, key and rule.
    """
    told = said.get("facts")
    said = told if isinstance(told, Mapping) else said
    found = dict(said)
    whole = _merged(_DEFAULTS, found)
    for wrong in _SCHEMA.iter_errors(whole):
        where = ".".join(("facts", *map(str, wrong.instance_path)))
        raise InvalidError(f"{name}: {where}: {wrong.message}")
    return found


def render(
    facts: Mapping[str, Any], before: bytes | None = None, context: str | None = None
) -> bytes:
    """The file of the fleet. Plain keys that are not told from facts stay as they were."""
    kept: dict[str, str] = {}
    if before is not None:
        kept = yaml.safe_load(before).get("data", {})
    if context is not None:
        kept["context"] = _Block(context)
    values = yaml.safe_dump({"facts": dict(facts)}, sort_keys=False, width=200)
    data = {**kept, **plain(facts), "values.yaml": _Block(values)}
    for gone in {"aws-endpoint-url", "kubeconfig"} - plain(facts).keys():
        data.pop(gone, None)
    thing = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "facts",
            "namespace": "tenants",
            # Without them nothing of a tenant is let in.
            "annotations": {"kustomize.toolkit.fluxcd.io/prune": "disabled"},
        },
        "data": data,
    }
    text: str = yaml.dump(thing, Dumper=_Dumper, sort_keys=False, width=200)
    return (_HEAD + text).encode()


def plain(facts: Mapping[str, Any]) -> dict[str, str]:
    """What admission asks for, by its names; what follows from others as the chart has it."""
    whole = _merged(_DEFAULTS, facts)
    account, environment = whole["account"], whole["environment"]
    roles = whole.get("roles", {})
    found = {
        "environment": environment,
        "cluster": whole.get("cluster", environment),
        "region": whole["region"],
        "domain": whole["domain"],
        "registry": whole.get(
            "registry", f"{account}.dkr.ecr.{whole['region']}.amazonaws.com"
        ).rstrip("/"),
        "module-source": whole["module"]["source"],
        "ingress-class": whole["routes"]["className"],
        "gateway-namespace": whole["routes"]["gatewayNamespace"],
        "by-header": str(whole["routes"]["byHeader"]).lower(),
        "namespaces": " ".join(
            sorted(
                {
                    whole["routes"]["gatewayNamespace"],
                    whole["monitoring"]["namespace"],
                    whole["telemetry"]["namespace"],
                }
            )
        ),
        "aws-endpoint-url": whole["local"]["awsEndpointUrl"],
        "kubeconfig": whole["local"]["kubeconfig"],
        **{f"node-pool.{tier}": pool for tier, pool in whole["nodePools"].items()},
        **{
            f"role.{name}": roles.get(
                key, f"arn:aws:iam::{account}:role/{environment}-tenantry-{name}"
            )
            for key, name in _ROLES.items()
        },
    }
    return {key: value for key, value in found.items() if value}


def _merged(under: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """As Helm merges values: maps by key, all else as a whole."""
    found = dict(under)
    for key, value in over.items():
        below = found.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        found[key] = _merged(below, value) if both else value  # type: ignore[arg-type]
    return found


class _Block(str):
    """Text that is written as lines."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """Never an alias: a file is read by people."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_representer(
    _Block,
    lambda dumper, data: dumper.represent_scalar("tag:yaml.org,2002:str", str(data), style="|"),
)
