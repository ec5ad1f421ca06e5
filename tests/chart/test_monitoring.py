"""Alerts and dashboard: of metrics and with runbooks that exist, where they are wanted."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import pytest
from prometheus_client import CollectorRegistry

from chart.render import (
    EXAMPLES,
    KINDS,
    PREMIUM,
    ROOT,
    Object,
    named,
    of_kind,
    render,
    rendered,
    values,
)
from tenantry import problems
from tenantry.metrics import ConsumerMetrics, ProducerMetrics

OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text("utf-8")
OF_MONITORING: Final = {"PodMonitor", "PrometheusRule", "ConfigMap"}
#: What PromQL and its functions are written with, besides names and labels of metrics.
WORDS: Final = frozenset(
    [
        "sum",
        "by",
        "rate",
        "max",
        "absent",
        "delta",
        "increase",
        "unless",
        "and",
        "histogram_quantile",
        "le",
    ]
)
#: Labels that Prometheus adds.
ADDED: Final = {"namespace", "pod", "le"}


def declared() -> dict[str, set[str]]:
    """Series by their name, with the labels that the services give them."""
    found: dict[str, set[str]] = {}
    for metrics in (ProducerMetrics, ConsumerMetrics):
        for metric in vars(metrics(CollectorRegistry())).values():
            if not hasattr(metric, "describe"):
                continue
            [family] = metric.describe()
            ends = {
                "counter": ("_total",),
                "histogram": ("_bucket", "_sum", "_count"),
            }.get(family.type, ("",))
            for end in ends:
                found[f"{family.name}{end}"] = set(metric._labelnames)
    return found


def rules(objects: list[Object]) -> list[dict[str, Any]]:
    """Every alert."""
    return [
        rule
        for each in of_kind(objects, "PrometheusRule")
        for group in each["spec"]["groups"]
        for rule in group["rules"]
    ]


def dashboards(objects: list[Object]) -> list[dict[str, Any]]:
    """Every dashboard."""
    return [
        json.loads(text)
        for each in of_kind(objects, "ConfigMap")
        if "grafana_dashboard" in each["metadata"]["labels"]
        for text in each["data"].values()
    ]


def expressions(objects: list[Object]) -> list[str]:
    """What Prometheus is asked, by alerts and panels."""
    return [rule["expr"] for rule in rules(objects)] + [
        target["expr"]
        for dashboard in dashboards(objects)
        for panel in dashboard["panels"]
        for target in panel["targets"]
    ]


@pytest.mark.parametrize("kind", ["premium", "advanced", "pool"])
def test_what_is_asked_is_declared(kind: str) -> None:
    """Each name of a metric, each label that is asked of it or grouped by, each word of PromQL."""
    known = declared()
    asked = expressions(render(values(KINDS[kind])))
    assert asked
    for expression in asked:
        bare = re.sub(r'"[^"]*"', '""', expression)
        series = re.findall(r"(\w+)\{([^}]*)\}", bare)
        assert series, expression
        allowed = set(ADDED)
        for name, selectors in series:
            assert name in known, expression
            labels = set(re.findall(r"(\w+)\s*(?:=~|!=|=)", selectors))
            assert labels <= known[name] | ADDED, expression
            allowed |= known[name]
        for grouped in re.findall(r"by \(([^)]*)\)", bare):
            assert {each.strip() for each in grouped.split(",")} <= allowed, expression
        rest = re.sub(r"\w+\{[^}]*\}|by \([^)]*\)|\[[^\]]*\]", "", bare)
        words = set(re.findall(r"[A-Za-z_]\w*", rest))
        assert words <= WORDS, expression
        for opening, closing in ("()", "{}", "[]"):
            assert expression.count(opening) == expression.count(closing)


def test_every_declared_metric_of_interest_is_on_the_dashboard() -> None:
    """What a service counts and nobody sees is counted in vain; look-ups and sizes aside."""
    seen = {
        name
        for expression in expressions(render(values(PREMIUM)))
        for name in re.findall(r"(tenantry_\w+)\{", expression)
    }
    stems = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in seen}
    all_stems = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in declared()}

    assert {
        "tenantry_registry_lookups",
        "tenantry_send_seconds",
        "tenantry_messages_received",
        "tenantry_write_batch_messages",
        "tenantry_hand_bytes",
    } == all_stems - stems


@pytest.mark.parametrize("kind", ["premium", "advanced", "pool"])
def test_everything_that_is_asked_is_of_the_instance(kind: str) -> None:
    """An alert of one tenant never fires for another."""
    instance = KINDS[kind]
    for expression in expressions(render(values(instance))):
        for selectors in re.findall(r"\{([^}]*)\}", expression):
            assert f'namespace="{instance["id"]}"' in selectors
        assert "$is" not in expression


def test_the_problems_that_page_are_problems() -> None:
    """A misspelt one would never fire."""
    slugs = {kind.slug for kind in problems.KINDS.values()} | {problems.INTERNAL.slug}
    found = {
        slug
        for rule in rules(render(values(PREMIUM)))
        for listed in re.findall(r'(?:problem|outcome)=~"([^"]*)"', rule["expr"])
        for slug in listed.split("|")
    }

    assert found - slugs == {"partial", "throttled"}
    assert {"internal", "store-unavailable", "registry-unavailable"} <= found


@pytest.mark.parametrize("kind", ["premium", "advanced", "pool"])
def test_an_alert_tells_what_to_do(kind: str) -> None:
    """Severity, whose it is, a summary, and a heading of docs/operations.md."""
    headings = re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", each).lower().replace(" ", "-") for each in headings}
    instance = KINDS[kind]
    found = rules(render(values(instance)))
    assert len(found) == len({rule["alert"] for rule in found})
    for rule in found:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert (instance["id"], "dev") == (
            rule["labels"]["instance_id"],
            rule["labels"]["environment"],
        )
        address, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert address.endswith("/docs/operations.md")
        assert anchor in anchors
        assert rule["annotations"]["summary"].startswith(f"{instance['id']}: ")
        assert rule["annotations"]["description"]
        assert re.fullmatch(r"[0-9]+[mh]", rule["for"])


def test_the_expressions_of_the_page_of_operations_are_alerts() -> None:
    """What its table says deserves a page does page."""
    by_metric = {
        re.findall(r"(tenantry_\w+)\{", rule["expr"])[0]: rule["labels"]["severity"]
        for rule in rules(render(values(PREMIUM)))
    }
    table = OPERATIONS.split("## Alerts")[1].split("## ")[0]
    wanted = re.findall(r"^\| `[^|]*?(tenantry_\w+)", table, re.MULTILINE)

    assert len(wanted) >= 4
    assert set(wanted) <= by_metric.keys()
    for paged in (
        "tenantry_messages_refused_total",
        "tenantry_consumer_blocked",
        "tenantry_oldest_message_seconds",
    ):
        assert "page" == by_metric[paged]


def test_an_advanced_tenant_is_not_asked_for_a_producer() -> None:
    """Its pool's is watched there: else the absence would page for ever."""
    alerts = {rule["alert"] for rule in rules(render(values(KINDS["advanced"])))}
    [dashboard] = dashboards(render(values(KINDS["advanced"])))

    assert "TenantryNoConsumer" in alerts
    assert "TenantryNoProducer" not in alerts
    assert "Accepted" not in {panel["title"] for panel in dashboard["panels"]}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_dashboard_is_one(name: str) -> None:
    """Panels with ids and places of their own, of a source that is chosen in Grafana."""
    for dashboard in dashboards(rendered(name)):
        panels = dashboard["panels"]
        assert len(panels) == len({panel["id"] for panel in panels})
        places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
        assert len(places) == len(set(places))
        assert len(dashboard["uid"]) <= 40
        for panel in panels:
            assert panel["description"]
            refs = [target["refId"] for target in panel["targets"]]
            assert sorted(set(refs)) == refs
            for target in panel["targets"]:
                assert "${datasource}" == target["datasource"]["uid"]


def test_monitors_are_rendered_where_they_are_wanted_alone() -> None:
    """With the labels by which Prometheus selects them, on the private port."""
    off = render(values(PREMIUM, addons={"monitoring": False}))
    on = render(values(PREMIUM, monitoring={"labels": {"release": "stack"}}))

    assert not {each["kind"] for each in off} & OF_MONITORING
    for kind in ("PodMonitor", "PrometheusRule"):
        assert "stack" == named(on, kind, "services")["metadata"]["labels"]["release"]
    [endpoint] = named(on, "PodMonitor", "services")["spec"]["podMetricsEndpoints"]
    assert ("private", "/metrics") == (endpoint["port"], endpoint["path"])
