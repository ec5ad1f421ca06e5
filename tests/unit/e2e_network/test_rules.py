"""The network's stand-in: which rules of the machine a policy comes to."""

from __future__ import annotations

from typing import Any, Final

import pytest

from e2e.network_standin import rules
from support.kube_api import Object

ACME: Final = "10.90.0.1"
GLOBEX: Final = "10.90.0.2"
NAMES: Final = "10.90.0.3"
SPACES: Final = {
    "acme": {"kubernetes.io/metadata.name": "acme", "tier": "premium"},
    "globex": {"kubernetes.io/metadata.name": "globex"},
    "kube-system": {"kubernetes.io/metadata.name": "kube-system"},
}
REFUSED: Final = "-j REJECT --reject-with icmp-admin-prohibited"


def pod(space: str, address: str, *ports: dict[str, Any], **labels: str) -> Object:
    return {
        "metadata": {"namespace": space, "labels": labels},
        "spec": {"containers": [{"ports": list(ports)}]},
        "status": {"podIP": address},
    }


PODS: Final = (
    pod("acme", ACME, {"name": "http", "containerPort": 8080}, app="consumer"),
    pod("globex", GLOBEX, {"name": "http", "containerPort": 9999}, app="consumer"),
    pod("kube-system", NAMES, dns="yes"),
)


def policy(way: str, *allowed: Object, space: str = "acme", **selects: str) -> Object:
    return {
        "metadata": {"namespace": space},
        "spec": {
            "podSelector": {"matchLabels": selects},
            "policyTypes": [way],
            way.lower(): list(allowed),
        },
    }


def chain(name: str, *policies: Object) -> list[str]:
    """What a chain says, in order."""
    lines = rules(PODS, SPACES, policies).splitlines()
    return [line.removeprefix(f"-A {name} ") for line in lines if line.startswith(f"-A {name} ")]


def test_who_no_policy_selects_is_free() -> None:
    """There is no rule but that answers go through."""
    assert ["-m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"] == chain("E2E-POLICY")


@pytest.mark.parametrize(
    ("way", "side", "name"), [("Ingress", "-d", "E2E-IN-0"), ("Egress", "-s", "E2E-EG-0")]
)
def test_who_is_selected_may_nothing_that_is_not_allowed(way: str, side: str, name: str) -> None:
    """In that direction; others of the namespace and the other direction stay as they are."""
    only = policy(way)
    assert f"{side} {ACME}/32 -j {name}" == chain("E2E-POLICY", only)[-1]
    assert 2 == len(chain("E2E-POLICY", only))
    assert [REFUSED] == chain(name, only)


def test_a_policy_selects_by_labels_and_in_its_own_namespace() -> None:
    """One that selects nobody, or stands elsewhere, refuses nothing."""
    assert [] == chain("E2E-IN-0", policy("Ingress", app="producer"))
    assert [] == chain("E2E-IN-0", policy("Ingress", space="globex"))
    assert [REFUSED] == chain("E2E-IN-0", policy("Ingress", app="consumer"))


def test_policies_add_up() -> None:
    """What one of them allows, the others do not take back."""
    first = policy("Egress", {"to": [{"ipBlock": {"cidr": "192.0.2.1/32"}}]})
    second = policy("Egress", {"to": [{"ipBlock": {"cidr": "192.0.2.2/32"}}]})
    found = ["-d 192.0.2.1/32  -j RETURN", "-d 192.0.2.2/32  -j RETURN", REFUSED]
    assert found == chain("E2E-EG-0", first, second)


def test_pods_of_another_namespace_are_named_by_both_selectors() -> None:
    """And are held to the port that the pod itself has, whatever its Service says."""
    peer = {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}},
        "podSelector": {"matchLabels": {"dns": "yes"}},
    }
    allowed = {"to": [peer], "ports": [{"protocol": "UDP", "port": 53}]}
    found = [f"-d {NAMES}/32 -p udp --dport 53 -j RETURN", REFUSED]
    assert found == chain("E2E-EG-0", policy("Egress", allowed))


def test_a_pod_selector_alone_means_ones_own_namespace() -> None:
    """A consumer elsewhere is not meant."""
    peer = {"podSelector": {"matchLabels": {"app": "consumer"}}}
    found = [f"-s {ACME}/32  -j RETURN", REFUSED]
    assert found == chain("E2E-IN-0", policy("Ingress", {"from": [peer]}))


@pytest.mark.parametrize(("way", "port"), [("Ingress", 8080), ("Egress", 9999)])
def test_a_port_by_name_is_of_who_is_called(way: str, port: int) -> None:
    """Of the pod itself for what comes in, of the other for what goes out."""
    key = "from" if way == "Ingress" else "to"
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "globex"}}}
    allowed = {key: [peer], "ports": [{"port": "http"}]}
    [match, _] = chain(f"E2E-{way[:2].upper()}-0", policy(way, allowed))
    assert f"--dport {port} " in match


def test_a_name_that_nobody_has_opens_nothing() -> None:
    """It is no port at all."""
    allowed = {"ports": [{"port": "metrics"}]}
    assert [REFUSED] == chain("E2E-IN-0", policy("Ingress", allowed))


def test_without_peers_everybody_is_meant_and_with_an_empty_list_of_them_nobody() -> None:
    """As the kind says of both."""
    ports = [{"port": 1, "endPort": 5}]
    everybody = policy("Ingress", {"ports": ports})
    assert ["-p tcp --dport 1:5 -j RETURN", REFUSED] == chain("E2E-IN-0", everybody)
    assert ["-j RETURN", REFUSED] == [
        each.strip() for each in chain("E2E-IN-0", policy("Ingress", {}))
    ]


def test_a_block_has_exceptions() -> None:
    """What is left of it is named in pieces; one of version 6 is for nobody here."""
    block = {"cidr": "10.0.0.0/30", "except": ["10.0.0.2/32"]}
    allowed = {"to": [{"ipBlock": block}, {"ipBlock": {"cidr": "::/0"}}]}
    found = ["-d 10.0.0.0/31  -j RETURN", "-d 10.0.0.3/32  -j RETURN", REFUSED]
    assert found == chain("E2E-EG-0", policy("Egress", allowed))


@pytest.mark.parametrize(
    ("operator", "values", "is_meant"),
    [
        ("In", ["premium"], True),
        ("NotIn", ["premium"], False),
        ("Exists", [], True),
        ("DoesNotExist", [], False),
    ],
)
def test_expressions_of_selectors(operator: str, values: list[str], is_meant: bool) -> None:
    """All four operators, of namespaces' labels."""
    one = {"key": "tier", "operator": operator, "values": values}
    peer = {"namespaceSelector": {"matchExpressions": [one]}}
    found = chain("E2E-IN-0", policy("Ingress", {"from": [peer]}))
    assert is_meant is (f"-s {ACME}/32  -j RETURN" in found)
