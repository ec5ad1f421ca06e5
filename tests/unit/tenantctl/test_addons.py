"""What fills in an environment's add-ons."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from support.cluster_outputs import CLUSTER, POOL
from tenantctl.addons import NEEDED, OPTIONAL, parse, render, values
from tenantctl.errors import InvalidError
from tenantctl.facts import load


def said(**change: Any) -> dict[str, Any]:
    """Terraform's output, with a change."""
    return {"cluster": {**CLUSTER, **change}}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(said()),
        json.dumps({"cluster": {"value": CLUSTER, "type": "object", "sensitive": False}}),
    ],
)
def test_they_are_read_as_terraform_and_people_write_them(text: str) -> None:
    """As an output of a Terraform root, and by themselves."""
    told = parse("outputs.json", load("outputs.json", text))

    assert told is not None
    assert "vpc-1" == told.vpc_id


@pytest.mark.parametrize("text", ["{}", '{"cluster": "dev"}', '{"facts": {}}'])
def test_facts_alone_leave_add_ons_as_they_are(text: str) -> None:
    """Of a file without them nothing is written."""
    assert parse("facts.json", load("facts.json", text)) is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"vpcid": "vpc-1"}, "cluster.vpcid"),
        ({"vpc_id": ""}, "cluster.vpc_id"),
        ({"vpc_id": "${region}"}, "cluster.vpc_id"),
        ({"vpc_id": "vpc-1\nother: key"}, "cluster.vpc_id"),
        ({"node_class": {**CLUSTER["node_class"], "image": "ubuntu"}}, "cluster.node_class.image"),
        ({"node_pools": {"basic": POOL}}, "cluster.node_pools.advanced"),
        (
            {"node_pools": {**CLUSTER["node_pools"], "premium": {**POOL, "capacity": ["cheap"]}}},
            "cluster.node_pools.premium.capacity.0",
        ),
        (
            {"addons": {"karpenter": "1.2.3"}},
            "cluster.addons: aws-load-balancer-controller is off",
        ),
    ],
)
def test_what_the_fleet_does_not_take_is_named(change: dict[str, Any], where: str) -> None:
    """By file, key and rule, before anything is pushed."""
    with pytest.raises(InvalidError, match=rf"^outputs\.json: {where}"):
        parse("outputs.json", said(**change))


def test_a_key_that_is_missing_is_named() -> None:
    """Not filled in by a guess."""
    less = {key: value for key, value in CLUSTER.items() if key != "interruption_queue"}

    with pytest.raises(InvalidError, match=r"cluster\.interruption_queue: Field required"):
        parse("outputs.json", {"cluster": less})


def test_lists_are_yaml_of_one_line() -> None:
    """They stand where Flux puts text into text."""
    told = parse("outputs.json", said())
    assert told is not None

    filled = values("dev", told)

    assert ["spot", "on-demand"] == yaml.safe_load(filled["node_pool_basic_capacity"])
    assert not [key for key, value in filled.items() if "\n" in value]
    assert "bottlerocket@v1.57.0" == filled["node_image"]
    # Without a zone there is no such fact: what asks for it is off.
    assert "zone_id" not in filled
    assert "vpc_cni_version" not in filled


@pytest.mark.parametrize(
    ("image", "disks"), [("bottlerocket", ["/dev/xvda", "/dev/xvdb"]), ("al2023", ["/dev/xvda"])]
)
def test_disks_are_those_of_the_image(image: str, disks: list[str]) -> None:
    """What pods write is on the last; all are encrypted."""
    told = parse("outputs.json", said(node_class={**CLUSTER["node_class"], "image": image}))
    assert told is not None

    found = told.node_class.disks

    assert disks == [each["deviceName"] for each in found]
    assert "60Gi" == found[-1]["ebs"]["volumeSize"]
    assert all(each["ebs"]["encrypted"] for each in found)


def test_what_is_off_is_left_out() -> None:
    """By the label of its entry point; with all switched on there is nothing to leave out."""
    told = parse("outputs.json", said())
    everything = parse("o", said(addons=dict.fromkeys((*NEEDED, *OPTIONAL), "1.2.3")))
    assert told is not None
    assert everything is not None

    switches = yaml.safe_load(render("dev", told)["clusters/dev/addons/kustomization.yaml"])
    none = yaml.safe_load(render("dev", everything)["clusters/dev/addons/kustomization.yaml"])

    assert {f"tenantry.dev/addon={name}" for name in {*OPTIONAL} - {"keda"}} == {
        each["target"]["labelSelector"] for each in switches["patches"]
    }
    assert "patches" not in none
