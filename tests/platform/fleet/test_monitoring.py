"""The platform's alerts and dashboards: of metrics that there are, with runbooks that exist."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).resolve().parents[3]
ADDONS: Final = ROOT / "platform" / "fleet" / "addons"
MONITORING: Final = ADDONS / "monitoring"
DASHBOARDS: Final = sorted(path.name for path in (MONITORING / "dashboards").glob("*.json"))
#: What PromQL is written with, besides names and labels of metrics.
WORDS: Final = frozenset(
    [
        *("absent", "and", "clamp_min", "count", "histogram_quantile", "increase", "max"),
        *("or", "rate", "sum", "time", "topk", "unless", "vector"),
    ]
)
#: Labels that Prometheus adds to what the services say.
ADDED: Final = frozenset(["namespace", "pod"])


def values(name: str) -> dict[str, Any]:
    """What a patch adds to the chart's values."""
    said = yaml.safe_load((MONITORING / name).read_text("utf-8"))
    found: dict[str, Any] = said["spec"]["values"]
    return found


def rules() -> list[dict[str, Any]]:
    """Every alert of the platform."""
    return [
        rule
        for said in values("rules.yaml")["additionalPrometheusRulesMap"].values()
        for group in said["groups"]
        for rule in group["rules"]
    ]


def dashboard(name: str) -> dict[str, Any]:
    """One dashboard."""
    found: dict[str, Any] = json.loads((MONITORING / "dashboards" / name).read_text("utf-8"))
    return found


def expressions() -> Iterator[str]:
    """What Prometheus is asked."""
    for rule in rules():
        yield rule["expr"]
    for name in DASHBOARDS:
        for panel in dashboard(name)["panels"]:
            for target in panel["targets"]:
                yield target["expr"]
        for variable in dashboard(name)["templating"]["list"]:
            if found := re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]):
                yield f"sum by ({found[2]}) ({found[1]})"


def of_others() -> dict[str, set[str]]:
    """Metrics of other components, with their labels."""
    said = yaml.safe_load((MONITORING / "metrics.yaml").read_text("utf-8"))
    return {
        name: set(labels) for component in said for name, labels in component["metrics"].items()
    }


def of_the_services() -> dict[str, set[str]]:
    """Series of docs/metrics.md, which is made from the code, with their labels."""
    found: dict[str, set[str]] = {}
    text = (ROOT / "docs" / "metrics.md").read_text("utf-8")
    for name, kind, labels in re.findall(
        r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", text, re.MULTILINE
    ):
        own = {*re.findall(r"`(\w+)`", labels), *ADDED}
        if kind == "histogram":
            found |= {f"{name}_sum": own, f"{name}_count": own, f"{name}_bucket": {*own, "le"}}
        else:
            found[name] = own
    return found


def asked(expression: str) -> tuple[dict[str, set[str]], set[str]]:
    """Metrics of an expression with the labels that select them, and labels it groups by."""
    bare = re.sub(r'"[^"]*"', '""', expression)
    grouped = {
        label.strip()
        for listed in re.findall(r"by \(([^)]*)\)", bare)
        for label in listed.split(",")
    }
    rest = re.sub(r"by \([^)]*\)|\[[^\]]*\]|offset \w+", "", bare)
    metrics = dict[str, set[str]]()
    for name, selectors in re.findall(r"\b([A-Za-z_]\w*)(\{[^}]*\})?", rest):
        if name not in WORDS:
            selected = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selectors)
            metrics.setdefault(name, set()).update(selected)
    return metrics, grouped


def test_what_is_asked_is_declared() -> None:
    """Each metric is a service's or a listed one, with the labels that are asked of it."""
    known = of_the_services() | of_others()
    for expression in expressions():
        metrics, grouped = asked(expression)
        assert metrics, expression
        assert metrics.keys() <= known.keys(), expression
        for name, labels in metrics.items():
            assert labels <= known[name], expression
        assert grouped <= set().union(*(known[name] for name in metrics)), expression


def test_what_is_listed_is_asked() -> None:
    """A list of names that nobody needs is not kept up to date."""
    wanted = {name for expression in expressions() for name in asked(expression)[0]}

    assert set() == of_others().keys() - wanted


def test_each_list_says_where_it_was_read() -> None:
    """A name without a version cannot be looked up again."""
    for component in yaml.safe_load((MONITORING / "metrics.yaml").read_text("utf-8")):
        assert component.keys() == {"component", "version", "read", "metrics"}
        assert all(component.values())


def test_an_alert_tells_what_to_do() -> None:
    """Severity, what is the matter, and a heading of docs/operations.md; each is led to."""
    page = (
        (ROOT / "docs" / "operations.md").read_text("utf-8").split("## The platform's alerts")[1]
    )
    headings = re.findall(r"^### (.+)$", page.split("\n## ")[0], re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", each).lower().replace(" ", "-") for each in headings}
    led_to = set()
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert re.fullmatch(r"[0-9]+[mh]", rule["for"])
        said = rule["annotations"]
        assert said.keys() == {"summary", "description", "runbook_url"}
        address, _, anchor = said["runbook_url"].partition("#")
        assert "${runbooks}" == address
        led_to.add(anchor)

    assert anchors == led_to
    assert len(rules()) == len({rule["alert"] for rule in rules()})


def test_few_alerts_page() -> None:
    """Causes wait for the morning: who is woken by everything hears nothing."""
    assert ["TenantryPodsWithoutNode"] == [
        rule["alert"] for rule in rules() if rule["labels"]["severity"] == "page"
    ]


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_dashboard_is_one(name: str) -> None:
    """Panels with ids and places of their own, of a source that is chosen in Grafana."""
    found = dashboard(name)
    panels = found["panels"]
    assert len(found["uid"]) <= 40
    assert [panel["id"] for panel in panels] == list(range(1, len(panels) + 1))
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    assert len(places) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"]
        assert "$datasource" == panel["datasource"]["uid"]
        refs = [target["refId"] for target in panel["targets"]]
        assert sorted(set(refs)) == refs


def test_dashboards_reach_grafana_as_they_are() -> None:
    """Each is listed, with the label that Grafana looks for; Flux would fill in a `${…}`."""
    said = yaml.safe_load((MONITORING / "kustomization.yaml").read_text("utf-8"))
    [generated] = said["configMapGenerator"]

    assert DASHBOARDS
    assert [f"dashboards/{name}" for name in DASHBOARDS] == generated["files"]
    assert {"grafana_dashboard": "1"} == generated["options"]["labels"]
    for name in DASHBOARDS:
        assert "${" not in (MONITORING / "dashboards" / name).read_text("utf-8")


def test_what_is_scraped_is_there() -> None:
    """Each monitor looks into a namespace that an add-on is installed in, or Flux."""
    installed = {"flux-system"}
    for path in ADDONS.glob("*/release.yaml"):
        installed.add(yaml.safe_load(path.read_text("utf-8"))["spec"].get("targetNamespace"))
    monitors = values("monitors.yaml")["prometheus"]["additionalPodMonitors"]

    for monitor in monitors:
        assert set(monitor["namespaceSelector"]["matchNames"]) <= installed
        assert monitor["selector"]
        # Labels of what is told, not of who tells it.
        assert all(each["honorLabels"] for each in monitor["podMetricsEndpoints"])
    assert len(monitors) == len({monitor["name"] for monitor in monitors})


def test_objects_that_are_watched_may_be_read() -> None:
    """Kube-state-metrics has the right to list each kind that it is told to describe."""
    said = values("flux-state.yaml")["kube-state-metrics"]
    [rule] = said["rbac"]["extraRules"]
    kinds = [
        each["groupVersionKind"]
        for each in said["customResourceState"]["config"]["spec"]["resources"]
    ]

    assert {kind["group"] for kind in kinds} == set(rule["apiGroups"])
    plurals = {re.sub(r"ys$", "ies", f"{kind['kind'].lower()}s") for kind in kinds}
    assert plurals == set(rule["resources"])
    assert ["list", "watch"] == rule["verbs"]


def test_nothing_reads_all_secrets_to_draw_pictures() -> None:
    """Grafana and kube-state-metrics would, by their charts' defaults."""
    said = values("release.yaml")

    assert "secrets" not in said["kube-state-metrics"]["collectors"]
    role = said["grafana"]["rbac"]["useExistingClusterRole"]
    objects = yaml.safe_load_all((MONITORING / "grafana.yaml").read_text("utf-8"))
    [found] = [each for each in objects if each["metadata"]["name"] == role]
    assert [["configmaps"]] == [rule["resources"] for rule in found["rules"]]
    sidecars = said["grafana"]["sidecar"]
    assert {"configmap"} == {sidecars[each]["resource"] for each in ("dashboards", "datasources")}
