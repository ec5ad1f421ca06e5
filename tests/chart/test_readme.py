"""The README says what the chart is."""

from __future__ import annotations

import re

import yaml

from chart import readme
from chart.render import CHART, EXAMPLES, SCHEMA, TIERS, of_kind, rendered
from conftest import Golden


def test_every_value_has_a_row(golden: Golden) -> None:
    """Made from the schema's descriptions and bounds, and the defaults of values.yaml."""
    text = (CHART / "README.md").read_text("utf-8")

    golden("charts/tenant-template/README.md", readme.with_table(text))


def test_a_row_is_what_a_reader_looks_for() -> None:
    """Default, bounds and meaning; what is required says so."""
    table = readme.table()

    assert (
        "| `facts.environment` | required | `^[a-z][a-z0-9]*$` | The environment's name." in table
    )
    assert "| `instance.ring` | `r2` | `r0`, `r1`, `r2` |" in table
    assert (
        "| `instance.overrides.consumer.settings.waitSeconds` | - | whole number, 1 to 20 |"
        in table
    )
    assert '| `facts.identity.cidrs` | `["0.0.0.0/0"]` | list of CIDR blocks of IPv4 or' in table


def test_every_default_is_in_the_schema() -> None:
    """A default that nobody describes would be refused, or is a slip."""

    def paths(node: object, path: str = "") -> set[str]:
        if not isinstance(node, dict) or not node:
            return {path}
        return {each for key, value in node.items() for each in paths(value, f"{path}.{key}")}

    rows = set(re.findall(r"^\| `([\w.]+)` \|", readme.table(), re.MULTILINE))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
    assert {each.lstrip(".") for each in paths(defaults)} <= rows


def test_the_readme_lists_the_labels_that_there_are() -> None:
    """Ours, and no other."""
    text = (CHART / "README.md").read_text("utf-8")
    listed = set(
        re.findall(r"`(tenantry\.dev/[a-z-]+)`", text.split("## Labels")[1].split("## ")[0])
    )
    found = {
        key
        for name in EXAMPLES
        for each in rendered(name)
        for key in each["metadata"]["labels"]
        if key.startswith("tenantry.dev/")
    }

    assert found == listed


def test_the_readme_lists_what_must_be_there_beforehand() -> None:
    """Priority classes are the tiers', and custom resources those of the add-ons."""
    text = (CHART / "README.md").read_text("utf-8")
    for tier in TIERS["tiers"].values():
        assert f"`{tier['priorityClass']}`" in text
    addons = SCHEMA["properties"]["facts"]["properties"]["addons"]["properties"]
    for name in ("keda", "monitoring"):
        assert f"`facts.addons.{name}`" in text
        assert name in addons
    assert of_kind(rendered("premium"), "Terraform")


def test_links_lead_somewhere() -> None:
    """To files of the chart and of the repository."""
    text = re.sub(r"`[^`]*`", "", (CHART / "README.md").read_text("utf-8"))
    links = re.findall(r"\]\(([^)#\s]+)\)", text)

    assert links
    assert not [each for each in links if "://" not in each and not (CHART / each).exists()]
