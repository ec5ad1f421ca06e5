"""An environment's facts in the fleet."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

import make_facts
from cluster.admission import facts as told_by_the_chart
from support.cluster_outputs import FACTS
from tenantctl.errors import InvalidError
from tenantctl.facts import facts_path, load, parse, plain, render


def test_they_are_what_the_chart_takes() -> None:
    """Schema and defaults that tenantctl carries are the chart's, to the letter."""
    assert json.loads(make_facts.TARGET.read_text()) == make_facts.facts_of_the_chart()


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(FACTS),
        yaml.safe_dump(FACTS),
        json.dumps({"facts": FACTS}),
        json.dumps({"facts": {"value": FACTS, "type": "object", "sensitive": False}}),
    ],
)
def test_they_are_read_as_terraform_and_people_write_them(text: str) -> None:
    """Themselves, under their name, and as an output of a Terraform root."""
    assert parse("facts.json", load("facts.json", text)) == FACTS


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"environment": "a-b"}, "facts.environment"),
        ({"acount": "1"}, "acount"),
        ({"nodePools": {"gold": "x"}}, "facts.nodePools"),
        ({"account": 123456789012}, "facts.account"),
        ({"maxMessageBytes": 1}, "facts.maxMessageBytes"),
    ],
)
def test_what_the_chart_would_refuse_is_refused_before_it_is_pushed(
    change: dict[str, Any], said: str
) -> None:
    """By key and rule."""
    with pytest.raises(InvalidError, match=said):
        parse("facts.json", {**FACTS, **change})


@pytest.mark.parametrize("text", ["[]", "{", "acme", ""])
def test_what_is_no_mapping_is_named(text: str) -> None:
    """With the file's name."""
    with pytest.raises(InvalidError, match=r"^facts\.json: "):
        parse("facts.json", load("facts.json", text))


def test_admission_is_told_what_the_chart_renders_by() -> None:
    """Under the names that the policies ask for."""
    for facts in (FACTS, {**FACTS, "roles": {"producer": "arn:aws:iam::1:role/x"}}):
        assert plain(facts) == told_by_the_chart({"facts": facts})


def test_the_file_is_a_config_map_that_says_both() -> None:
    """Written twice it is the same, and what others keep in it stays."""
    first = render(FACTS, b"data: {tenantctl-image: an-image, cluster: old, kubeconfig: gone}")
    assert yaml.safe_load(first)["metadata"]["annotations"] == {
        "kustomize.toolkit.fluxcd.io/prune": "disabled"
    }
    data = yaml.safe_load(first)["data"]
    assert data["tenantctl-image"] == "an-image"
    assert data["cluster"] == "dev"
    assert "kubeconfig" not in data
    assert yaml.safe_load(data["values.yaml"]) == {"facts": FACTS}
    assert render(FACTS, first) == first
    assert facts_path("dev") == "facts/dev/facts.yaml"
