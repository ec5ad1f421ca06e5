"""A stand-in of what puts NetworkPolicies in force on the nodes, by the machine's own rules.

Honours: a pod that a policy selects may only what some policy allows it, for each direction by
itself; peers by pod, by namespace and by block with exceptions; ports by number, range and name;
answers of what is allowed; a Service is judged by the pod that it leads to; the node itself, and
so its probes and what stands in a load balancer's place, always comes in. Does not: policies by
protocol other than TCP and UDP, admin policies, or a refusal that is silent: here it is told, so
that nobody waits for it.

What changed is in force within a second.
"""

from __future__ import annotations

import ipaddress
import subprocess
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any, Final

from support.cluster import Cluster
from support.kube_api import Object

NAME: Final = "stand-in (e2e.network_standin)"
_NETWORKING: Final = "networking.k8s.io/v1"
_SECONDS: Final = 0.5
_CHAIN: Final = "E2E-POLICY"
_REFUSED: Final = "REJECT --reject-with icmp-admin-prohibited"
#: How a policy calls the others of a direction, and which side of a packet the pod is.
_WAYS: Final = {"Ingress": ("from", "-d"), "Egress": ("to", "-s")}


def rules(
    pods: Sequence[Object], spaces: Mapping[str, Mapping[str, str]], policies: Sequence[Object]
) -> str:
    """What iptables-restore is told: a chain for each direction of each pod that is selected.

    Args:
        pods: With addresses of their own.
        spaces: Namespaces' labels, by name.
        policies: All there are.
    """
    chains: list[str] = [f":{_CHAIN} - [0:0]"]
    heads = [f"-A {_CHAIN} -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN"]
    bodies: list[str] = []
    everybody = _Everybody(pods, spaces)
    for number, pod in enumerate(pods):
        labels, space = pod["metadata"].get("labels", {}), pod["metadata"]["namespace"]
        mine = [
            each["spec"]
            for each in policies
            if each["metadata"]["namespace"] == space
            and _selects(each["spec"]["podSelector"], labels)
        ]
        for way, (peers, own) in _WAYS.items():
            held = [each for each in mine if way in each["policyTypes"]]
            if not held:
                continue
            chain = f"E2E-{way[:2].upper()}-{number}"
            chains.append(f":{chain} - [0:0]")
            heads.append(f"-A {_CHAIN} {own} {pod['status']['podIP']}/32 -j {chain}")
            for spec in held:
                for allowed in spec.get(way.lower()) or ():
                    bodies += [
                        f"-A {chain} {match} -j RETURN"
                        for match in _matches(allowed, peers, pod, everybody)
                    ]
            bodies.append(f"-A {chain} -j {_REFUSED}")
    return "\n".join(["*filter", *chains, *heads, *bodies, "COMMIT", ""])


def _matches(
    allowed: Mapping[str, Any], peers: str, pod: Object, everybody: _Everybody
) -> Iterator[str]:
    """What one entry of a pod's policy lets through, as iptables writes it."""
    side = "-s" if peers == "from" else "-d"
    whose = [pod] if peers == "from" else []  # ports by name are those of who is called
    if peers not in allowed:
        yield from _ports(allowed, whose)
        return
    for peer in allowed[peers] or ():
        if "ipBlock" in peer:
            for network in _block(peer["ipBlock"]):
                for port in _ports(allowed, whose):
                    yield f"{side} {network} {port}"
            continue
        for other in everybody.meant(peer, pod["metadata"]["namespace"]):
            for port in _ports(allowed, whose or [other]):
                yield f"{side} {other['status']['podIP']}/32 {port}"


@dataclass(frozen=True, slots=True)
class _Everybody:
    """Pods, and the labels of their namespaces."""

    pods: Sequence[Object]
    spaces: Mapping[str, Mapping[str, str]]

    def meant(self, peer: Object, space: str) -> Iterator[Object]:
        """Pods that a peer of a policy in this namespace means."""
        for pod in self.pods:
            where = pod["metadata"]["namespace"]
            if "namespaceSelector" in peer:
                is_there = _selects(peer["namespaceSelector"], self.spaces.get(where, {}))
            else:
                is_there = where == space
            labels = pod["metadata"].get("labels", {})
            if is_there and _selects(peer.get("podSelector", {}), labels):
                yield pod


def _ports(allowed: Mapping[str, Any], named: Sequence[Object]) -> Iterator[str]:
    """`named` is whose names of ports count; one that it has not matches nothing."""
    if not allowed.get("ports"):
        yield ""
        return
    for each in allowed["ports"]:
        protocol = each.get("protocol", "TCP").lower()
        port = each.get("port")
        numbers: Iterable[Any] = (port,)
        if isinstance(port, str):
            numbers = [
                one["containerPort"]
                for pod in named
                for container in pod["spec"]["containers"]
                for one in container.get("ports", ())
                if one.get("name") == port
            ]
        for number in numbers:
            if number is None:
                yield f"-p {protocol}"
            else:
                yield f"-p {protocol} --dport {number}" + (
                    f":{each['endPort']}" if "endPort" in each else ""
                )


def _block(block: Mapping[str, Any]) -> list[ipaddress.IPv4Network]:
    """A block without its exceptions; nothing of version 6, which pods here have not."""
    if ":" in block["cidr"]:
        return []
    found = [ipaddress.IPv4Network(block["cidr"])]
    for each in map(ipaddress.IPv4Network, block.get("except", ())):
        left: list[ipaddress.IPv4Network] = []
        for network in found:
            if each.supernet_of(network):
                continue
            left += network.address_exclude(each) if network.supernet_of(each) else [network]
        found = left
    return sorted(found)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    return all(
        labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()
    ) and all(
        _holds(each["operator"], labels.get(each["key"]), each.get("values", ()))
        for each in selector.get("matchExpressions", ())
    )


def _holds(operator: str, value: str | None, values: Sequence[str]) -> bool:
    if operator in {"In", "NotIn"}:
        return (value in values) is (operator == "In")
    assert operator in {"Exists", "DoesNotExist"}, operator
    return (value is None) is (operator == "DoesNotExist")


@contextmanager
def in_force(cluster: Cluster) -> Generator[list[str]]:
    """Policies hold until the block ends; gives what went wrong."""
    ends = Event()
    wrong: list[str] = []

    def hold() -> None:
        told = ""
        with cluster.beside() as api:
            while not ends.wait(_SECONDS):
                try:
                    said = _said(api)
                    if said != told:
                        _run("iptables-restore", "--noflush", stdin=said)
                        told = said
                except Exception as error:  # noqa: BLE001 - the story tells it
                    wrong.append(repr(error))
                    return

    _run("iptables", "-N", _CHAIN)
    for hook in ("FORWARD", "INPUT"):
        _run("iptables", "-I", hook, "1", "-j", _CHAIN)
    thread = Thread(target=hold, name="network policies")
    thread.start()
    try:
        yield wrong
    finally:
        ends.set()
        thread.join()


def _said(api: Cluster) -> str:
    pods = [
        each
        for each in api.list("v1", "Pod").body["items"]
        if each["status"].get("podIP")
        and not each["spec"].get("hostNetwork")
        and each["status"]["phase"] in {"Pending", "Running"}
    ]
    spaces = {
        each["metadata"]["name"]: each["metadata"].get("labels", {})
        for each in api.list("v1", "Namespace").body["items"]
    }
    return rules(pods, spaces, api.list(_NETWORKING, "NetworkPolicy").body["items"])


def _run(*words: str, stdin: str = "") -> None:
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, f"{words}: {done.stderr}"
