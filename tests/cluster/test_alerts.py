"""Alerts as Prometheus evaluates them: promtool, from Prometheus' own source, plays each."""

from __future__ import annotations

import json
import subprocess
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

import tool
from chart.render import PREMIUM, Object, of_kind, render, values
from support.cluster import Cluster
from support.flux_standin import FLEET

pytestmark = pytest.mark.cluster

HERE: Final = Path(__file__).parent
MONITORING: Final = FLEET / "addons" / "monitoring"
RUNBOOKS: Final = "https://gitea.example.com/docs/operations.md"


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The command that plays rules."""
    found = tool.built("promtool")
    if found is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("promtool is not built: `make test-cluster` does that")
    return found / "promtool"


@cache
def groups(of: str) -> list[dict[str, Any]]:
    """Groups of rules, of the `platform` or of an instance of the `chart`."""
    if of == "chart":
        return [
            group
            for each in of_kind(render(values(PREMIUM)), "PrometheusRule")
            for group in each["spec"]["groups"]
        ]
    text = (MONITORING / "rules.yaml").read_text("utf-8").replace("${runbooks}", RUNBOOKS)
    said = yaml.safe_load(text)["spec"]["values"]["additionalPrometheusRulesMap"]
    return [group for each in said.values() for group in each["groups"]]


@cache
def cases(of: str) -> dict[str, dict[str, Any]]:
    """What each alert is shown."""
    name = {"platform": "alert_cases.yaml", "chart": "alert_cases_chart.yaml"}[of]
    text = (HERE / name).read_text("utf-8").replace("…", 'namespace="acme"')
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)
    return found


def alerts(of: str) -> dict[str, dict[str, Any]]:
    """Rules by their name."""
    return {rule["alert"]: rule for group in groups(of) for rule in group["rules"]}


def run(promtool: Path, *arguments: str | Path) -> None:
    """What promtool says is wrong fails the test."""
    ran = subprocess.run(
        [promtool, *arguments], capture_output=True, text=True, check=False, timeout=50
    )
    assert not ran.returncode, ran.stdout + ran.stderr


def shown(rule: dict[str, Any], case: dict[str, Any], *quiet: str) -> dict[str, Any]:
    """A test of promtool's: what `ALERTS` holds of a rule in a case, and when it holds nothing."""
    name = rule["alert"]
    expected = []
    if "labels" in case:
        labels = {"alertname": name, "alertstate": "firing", **rule["labels"], **case["labels"]}
        pairs = ", ".join(f"{label}={json.dumps(text)}" for label, text in labels.items())
        expected = [{"labels": f"ALERTS{{{pairs}}}", "value": 1}]
    return {
        "interval": "1m",
        "input_series": [
            {"series": series, "values": values} for series, values in case["series"].items()
        ],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{name}", alertstate="firing"}}',
                "eval_time": at,
                "exp_samples": samples,
            }
            for at, samples in [(case["after"], expected), *((at, []) for at in quiet)]
        ],
    }


@pytest.mark.parametrize("of", ["platform", "chart"])
def test_each_alert_is_shown_when_to_fire_and_when_not(of: str) -> None:
    """One that is shown nothing may be wrong for ever."""
    assert alerts(of).keys() == cases(of).keys()
    for case in cases(of).values():
        assert case["fires"]
        assert case["quiet"]
        assert all("labels" in each for each in case["fires"])
        assert not any("labels" in each for each in case["quiet"])
        for each in (*case["fires"], *case["quiet"]):
            # Without quotes 0x20 is thirty-two.
            assert {str} == {type(values) for values in each["series"].values()}


@pytest.mark.parametrize("of", ["platform", "chart"])
def test_prometheus_takes_the_rules(promtool: Path, tmp_path: Path, of: str) -> None:
    """Expressions, durations and the templates of what is said."""
    rules = tmp_path / "rules.yaml"
    rules.write_text(yaml.safe_dump({"groups": groups(of)}), encoding="utf-8")

    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", rules)


@pytest.mark.parametrize(
    ("of", "name"), [(of, name) for of in ("platform", "chart") for name in cases(of)]
)
def test_an_alert_fires_when_it_should(promtool: Path, tmp_path: Path, of: str, name: str) -> None:
    """With its labels, after its time, and never in the cases that are no matter of it."""
    rule = alerts(of)[name]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": groups(of)}), encoding="utf-8")
    case = cases(of)[name]
    first, *others = case["fires"]
    tests = [
        shown(rule, first, case["soon"]),
        *(shown(rule, each) for each in (*others, *case["quiet"])),
    ]
    said = {"rule_files": ["rules.yaml"], "evaluation_interval": "1m", "tests": tests}
    (tmp_path / "tests.yaml").write_text(yaml.safe_dump(said), encoding="utf-8")

    run(promtool, "test", "rules", tmp_path / "tests.yaml")


def test_the_operator_takes_rules_and_monitors(cluster: Cluster) -> None:
    """As the chart of Prometheus makes objects of them."""
    said = yaml.safe_load((MONITORING / "monitors.yaml").read_text("utf-8"))
    monitors = said["spec"]["values"]["prometheus"]["additionalPodMonitors"]
    objects: list[Object] = [
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
        for kind, name, spec in [
            ("PrometheusRule", "platform", {"groups": groups("platform")}),
            *(
                ("PodMonitor", each["name"], {k: v for k, v in each.items() if k != "name"})
                for each in monitors
            ),
        ]
    ]

    answer = cluster.apply(objects)

    assert answer.ok, answer.message
