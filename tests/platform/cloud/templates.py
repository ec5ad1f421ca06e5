"""CloudFormation's templates as their tests read them: functions worked out, where they can be."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import yaml

from cloud.environments import ROOT

#: Of the workstation, in the order in which they are deployed: a stack each.
WORKSTATION: Final = ("workstation-role.yaml", "workstation-rights.yaml", "workstation.yaml")
FOLDER: Final = ROOT / "platform" / "bootstrap"
ACCOUNT: Final = "123456789012"
_ALWAYS: Final = {
    "AWS::AccountId": ACCOUNT,
    "AWS::Partition": "aws",
    "AWS::Region": "eu-central-1",
    "AWS::StackName": "stack",
}


class _Loader(yaml.SafeLoader):
    """Short forms of functions, too."""


def _function(loader: _Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    key = "Ref" if name == "Ref" else f"Fn::{name}"
    value: Any = loader.construct_scalar(node) if isinstance(node, yaml.ScalarNode) else None
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    return {key: value}


_Loader.add_multi_constructor("!", _function)


def load(name: str) -> dict[str, Any]:
    """A template as it is written, with the long forms of functions."""
    found = yaml.load((FOLDER / name).read_text("utf-8"), _Loader)
    assert isinstance(found, dict)
    return found


def resources(name: str, parameters: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Its resources with these parameters; a managed policy's reference is its ARN."""
    template = load(name)["Resources"]
    known = {**_ALWAYS, **parameters}
    for logical, one in template.items():
        known[logical] = logical
        if one["Type"] == "AWS::IAM::ManagedPolicy":
            said = _worked_out(one["Properties"]["ManagedPolicyName"], known)
            known[logical] = f"arn:aws:iam::{ACCOUNT}:policy/{said}"
    found: dict[str, dict[str, Any]] = _worked_out(template, known)
    return found


def workstation(parameters: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """All of the workstation: what its stacks make together."""
    found: dict[str, dict[str, Any]] = {}
    for name in WORKSTATION:
        made = resources(name, parameters)
        assert not found.keys() & made.keys()
        found |= made
    return found


def _worked_out(value: Any, known: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return [_worked_out(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": str(name)}:
            return known.get(name, name)
        case {"Fn::Sub": str(text)}:
            return re.sub(
                r"\$\{([\w:]+)\}", lambda found: str(known.get(found[1], found[0])), text
            )
        case {"Fn::Base64": text}:
            return _worked_out(text, known)
    return {key: _worked_out(item, known) for key, item in value.items()}
