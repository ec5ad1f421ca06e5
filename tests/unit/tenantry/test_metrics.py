"""Metrics: names that hold, meanings for each, and labels that cannot grow without bound."""

from __future__ import annotations

import re

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics import MetricWrapperBase

from tenantry.metrics import ConsumerMetrics, ProducerMetrics, TenantLabels

SERVICES = [ProducerMetrics, ConsumerMetrics]


def metrics_of(service: type) -> dict[str, MetricWrapperBase]:
    """The metrics of a service by attribute."""
    found = vars(service(CollectorRegistry()))
    return {name: value for name, value in found.items() if isinstance(value, MetricWrapperBase)}


@pytest.mark.parametrize("service", SERVICES)
def test_every_metric_has_a_name_a_unit_and_a_meaning(service: type) -> None:
    """`tenantry_…`, base units, and a sentence."""
    for metric in metrics_of(service).values():
        described = next(iter(metric.describe()))
        assert re.fullmatch(r"tenantry_[a-z_]+", described.name)
        assert not re.search(r"_(ms|millis|minutes|kb|mb|total)$", described.name)
        assert described.documentation.endswith(".")
        if described.type == "histogram":
            assert re.search(r"_(seconds|bytes|messages)$", described.name)


def test_one_name_means_one_thing() -> None:
    """Names are apart within a service; one that both have means the same in both."""
    both: dict[str, str] = {}
    for service in SERVICES:
        described = [next(iter(m.describe())) for m in metrics_of(service).values()]
        assert len(described) == len({each.name for each in described})
        for each in described:
            assert both.setdefault(each.name, each.documentation) == each.documentation


@pytest.mark.parametrize("service", SERVICES)
def test_labels_are_few_and_bounded(service: type) -> None:
    """No label holds an id, a type or a text that clients choose; the tenant's is bounded."""
    labels = {label for metric in metrics_of(service).values() for label in metric._labelnames}

    assert labels <= {"tenant", "problem", "route", "outcome", "operation", "reason", "cause"}
    assert isinstance(service(CollectorRegistry()).tenants, TenantLabels)


@pytest.mark.parametrize("service", SERVICES)
def test_histograms_have_growing_buckets(service: type) -> None:
    """Sorted, and each once."""
    for metric in metrics_of(service).values():
        bounds = getattr(metric, "_upper_bounds", [])
        assert sorted(set(bounds)) == list(bounds)


@pytest.mark.parametrize("service", SERVICES)
def test_two_services_in_one_process_do_not_share(service: type) -> None:
    """Metrics belong to the registry that was given, not to the process."""
    one, other = CollectorRegistry(), CollectorRegistry()
    service(one)
    service(other)

    assert generate_latest(one).splitlines()[0] == generate_latest(other).splitlines()[0]


def test_the_first_tenants_keep_their_label() -> None:
    """Those after the last share `other`; a label never changes while the process lives."""
    labels = TenantLabels(most=2)
    found = [labels.of(tenant) for tenant in ("a", "b", "c", "a", "d", "b")]

    assert ["a", "b", "other", "a", "other", "b"] == found


def test_a_thousand_tenants_make_201_series() -> None:
    """The bound holds where it matters."""
    registry = CollectorRegistry()
    metrics = ProducerMetrics(registry)
    for number in range(1_000):
        metrics.accepted.labels(metrics.tenants.of(f"tenant-{number}")).inc()
    lines = [
        line
        for line in generate_latest(registry).decode().splitlines()
        if line.startswith("tenantry_messages_accepted_total{")
    ]

    assert len(lines) == 201
    assert 'tenantry_messages_accepted_total{tenant="other"} 800.0' in lines
