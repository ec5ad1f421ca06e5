"""Network policies: what gets through, told by reading them as Kubernetes documents them."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any, Final

import pytest

from chart.render import (
    ADVANCED,
    EXAMPLES,
    PREMIUM,
    Object,
    named,
    of_kind,
    render,
    rendered,
    values,
)

TENANT: Final = render(values(PREMIUM, telemetry={"endpoint": "http://otel.monitoring:4318"}))
OF_A_POOL: Final = render(values(ADVANCED))
POOL: Final = render(values({"kind": "pool", "id": "pool-1"}))


@dataclass(frozen=True)
class Peer:
    """Somebody at the other end: a pod, or an address."""

    address: str = ""
    namespace: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def pod(component: str, space: str = "acme", **labels: str) -> Peer:
    """A pod of a tenant's namespace."""
    namespace = {"kubernetes.io/metadata.name": space, **labels}
    return Peer(namespace=namespace, labels={"app.kubernetes.io/component": component})


def elsewhere(space: str, **labels: str) -> Peer:
    """A pod of another namespace."""
    names = {key.replace("_", "-"): value for key, value in labels.items()}
    return Peer(namespace={"kubernetes.io/metadata.name": space}, labels=names)


def matches(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector chooses these labels; an empty one does."""
    for key, value in selector.get("matchLabels", {}).items():
        if labels.get(key) != value:
            return False
    for each in selector.get("matchExpressions", []):
        assert "In" == each["operator"]
        if labels.get(each["key"]) not in each["values"]:
            return False
    return True


def is_peer(rule: dict[str, Any], peer: Peer, space: str) -> bool:
    """Whether one entry of `from` or `to` means this peer."""
    if "ipBlock" in rule:
        if not peer.address:
            return False
        block, address = rule["ipBlock"], ip_address(peer.address)

        def inside(cidr: str) -> bool:
            network = ip_network(cidr)
            return network.version == address.version and address in network

        return inside(block["cidr"]) and not any(map(inside, block.get("except", [])))
    if peer.address:
        return False
    if "namespaceSelector" in rule:
        if not matches(rule["namespaceSelector"], peer.namespace):
            return False
    elif peer.namespace.get("kubernetes.io/metadata.name") != space:
        return False
    return matches(rule.get("podSelector", {}), peer.labels)


def allowed(objects: list[Object], direction: str, component: str, peer: Peer, port: int) -> bool:
    """Whether a connection of a pod gets through; all does where no policy chooses the pod."""
    ours = {"app.kubernetes.io/component": component}
    policies = [
        each
        for each in of_kind(objects, "NetworkPolicy")
        if direction in each["spec"]["policyTypes"] and matches(each["spec"]["podSelector"], ours)
    ]
    entries = [rule for each in policies for rule in each["spec"].get(direction.lower(), [])]
    way = "to" if direction == "Egress" else "from"
    space = named(objects, "NetworkPolicy", "default-deny")["metadata"]["namespace"]
    protocol = "UDP" if port == 53 else "TCP"
    return not policies or any(
        (protocol, port) in [(each["protocol"], each["port"]) for each in rule["ports"]]
        and any(is_peer(each, peer, space) for each in rule[way])
        for rule in entries
    )


DNS = elsewhere("kube-system", k8s_app="kube-dns")
INTERNET = Peer("93.184.216.34")
BALANCER = Peer("10.0.1.7")
ENDPOINT = Peer("10.0.4.7")
#: Of a pod or a database, by its address alone.
NEIGHBOUR = Peer("10.0.77.1")

OUT: Final[dict[str, tuple[str, Peer, int, bool]]] = {
    "names by UDP": ("producer", DNS, 53, True),
    "the cluster's other services": (
        "producer",
        elsewhere("kube-system", k8s_app="metrics"),
        53,
        False,
    ),
    "DNS on another port": ("consumer", DNS, 443, False),
    "Pod Identity": ("consumer", Peer("169.254.170.23"), 80, True),
    "Pod Identity by IPv6": ("consumer", Peer("fd00:ec2::23"), 80, True),
    "the node's metadata": ("consumer", Peer("169.254.169.254"), 80, False),
    "the node's metadata, as HTTPS": ("consumer", Peer("169.254.169.254"), 443, False),
    "AWS by the VPC's endpoints": ("consumer", ENDPOINT, 443, True),
    "a database in the VPC": ("consumer", NEIGHBOUR, 5432, False),
    "an endpoint, on another port": ("consumer", ENDPOINT, 5432, False),
    "whatever else is in the VPC": ("consumer", NEIGHBOUR, 443, False),
    "another network that is private": ("producer", Peer("10.1.0.1"), 443, False),
    "a network for tests, as some VPCs have": ("producer", Peer("198.19.0.1"), 443, False),
    "the identity provider": ("producer", INTERNET, 443, True),
    "the internet, not as HTTPS": ("producer", INTERNET, 80, False),
    "telemetry": ("producer", elsewhere("monitoring", app="otel"), 4318, True),
    "telemetry of somebody else": ("producer", elsewhere("default", app="otel"), 4318, False),
    "the neighbour's consumer": ("producer", pod("consumer"), 8080, False),
    "another tenant": ("consumer", pod("consumer", "globex"), 8080, False),
    "the API server": ("consumer", Peer("172.20.0.1"), 443, False),
    "a test, of its services": ("test", pod("consumer"), 8080, True),
    "a test, of AWS": ("test", ENDPOINT, 443, True),
    "a test, of the internet": ("test", INTERNET, 443, False),
    "a pod of nobody's": ("other", DNS, 53, False),
}
IN: Final[dict[str, tuple[str, Peer, int, bool]]] = {
    "the load balancer": ("producer", BALANCER, 8080, True),
    "the load balancer, on the private port": ("producer", BALANCER, 9090, False),
    "a pod, by its address": ("producer", NEIGHBOUR, 8080, False),
    "the internet": ("producer", INTERNET, 8080, False),
    "Prometheus": ("consumer", elsewhere("monitoring", app="prometheus"), 9090, True),
    "Prometheus, on the public port": (
        "consumer",
        elsewhere("monitoring", app="prometheus"),
        8080,
        False,
    ),
    "another tenant": ("consumer", pod("consumer", "globex"), 8080, False),
    "another tenant, on the private port": ("consumer", pod("consumer", "globex"), 9090, False),
    "its own producer": ("consumer", pod("producer"), 8080, False),
    "its own test": ("consumer", pod("test"), 8080, True),
    "its own test, on the private port": ("consumer", pod("test"), 9090, False),
    "another tenant's test": ("consumer", pod("test", "globex"), 8080, False),
    "whoever, to a test": ("test", pod("producer"), 8080, False),
}


@pytest.mark.parametrize("name", OUT)
def test_out_goes_what_is_needed_alone(name: str) -> None:
    """DNS, credentials, AWS by its endpoints, keys, traces; from a test, its services."""
    component, peer, port, wanted = OUT[name]

    assert wanted == allowed(TENANT, "Egress", component, peer, port)


@pytest.mark.parametrize("name", IN)
def test_in_comes_what_is_needed_alone(name: str) -> None:
    """The load balancer to the public port, Prometheus to the private one, its own test."""
    component, peer, port, wanted = IN[name]

    assert wanted == allowed(TENANT, "Ingress", component, peer, port)


@pytest.mark.parametrize(
    "name", [each for each in EXAMPLES if of_kind(rendered(each), "Namespace")]
)
def test_nothing_gets_through_that_no_policy_names(name: str) -> None:
    """Every namespace has one policy for all its pods, in both directions, that allows nothing."""
    spec = named(rendered(name), "NetworkPolicy", "default-deny")["spec"]

    assert {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]} == spec


def test_an_advanced_tenants_test_reaches_its_pools_producer() -> None:
    """Both ends say so; no other tenant's test does."""
    away = pod("producer", "pool-1", **{"tenantry.dev/pool": "pool-1"})
    other = pod("producer", "pool-2", **{"tenantry.dev/pool": "pool-2"})
    asker = pod("test", "globex", **{"tenantry.dev/pool": "pool-1"})
    stranger = pod("test", "acme")

    assert allowed(OF_A_POOL, "Egress", "test", away, 8080)
    assert not allowed(OF_A_POOL, "Egress", "test", other, 8080)
    assert not allowed(OF_A_POOL, "Egress", "consumer", away, 8080)
    assert allowed(POOL, "Ingress", "producer", asker, 8080)
    assert not allowed(POOL, "Ingress", "producer", stranger, 8080)
    labels = named(OF_A_POOL, "Namespace", "globex")["metadata"]["labels"]
    assert "pool-1" == labels["tenantry.dev/pool"]


def test_what_is_off_opens_nothing() -> None:
    """No keys to fetch, no Prometheus, no traces: no policy for them."""
    objects = render(values(PREMIUM, identity={"mode": "header"}, addons={"monitoring": False}))

    assert not allowed(objects, "Egress", "producer", INTERNET, 443)
    prometheus = elsewhere("monitoring", app="prometheus")
    assert not allowed(objects, "Ingress", "producer", prometheus, 9090)
    assert not allowed(objects, "Egress", "producer", elsewhere("monitoring"), 4318)


def test_keys_come_from_where_facts_say() -> None:
    """An address of one's own in place of the internet, on the port of the keys' address."""
    objects = render(
        values(
            PREMIUM,
            identity={"jwks": "https://id.corp:8443/keys", "cidrs": ["10.9.0.0/24"]},
        )
    )

    assert allowed(objects, "Egress", "producer", Peer("10.9.0.7"), 8443)
    assert not allowed(objects, "Egress", "producer", Peer("10.9.0.7"), 443)
    assert not allowed(objects, "Egress", "producer", INTERNET, 8443)


def test_a_gateway_in_the_cluster_comes_in() -> None:
    """By its namespace, where routes are a Gateway's; else it does not."""
    gateway = elsewhere("gateways", app="envoy")
    by_route = render(values(PREMIUM, routes={"kind": "httproute"}))

    assert allowed(by_route, "Ingress", "producer", gateway, 8080)
    assert not allowed(TENANT, "Ingress", "producer", gateway, 8080)


def test_an_engine_on_this_machine_is_reached_on_its_port() -> None:
    """Where facts name one, and nowhere else."""
    objects = render(values(PREMIUM, local={"awsEndpointUrl": "http://10.0.4.9:4566"}))

    assert allowed(objects, "Egress", "consumer", Peer("10.0.4.9"), 4566)
    assert not allowed(TENANT, "Egress", "consumer", Peer("10.0.4.9"), 4566)
