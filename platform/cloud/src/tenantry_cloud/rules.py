"""The rules of a variables file, in the words of platform/terraform/environment.

`of_values` are the conditions of variables.tf and variables_nodes.tf, in their order, `of_all`
those of rules.tf. A test gives both readers the same wrong files, and holds their words to each
other.
"""

# ruff: noqa: PLR2004 - the numbers are the rules, and stand in their words

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations
from typing import Final

from tenantry_cloud import rules_nodes
from tenantry_cloud.checks import (
    GRAVITON,
    INSTANCE_TYPE,
    REGION,
    RELEASE,
    fits,
    is_any_range,
    is_range,
    is_tag,
    listed,
    release,
    without,
)
from tenantry_cloud.model import Environment
from tenantry_cloud.tables import Tables

#: How long CloudWatch keeps logs.
_LOG_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
_PRINCIPAL: Final = r"arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[A-Za-z0-9+=,.@_/-]+"
_PRIVATE: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))


def faults(environment: Environment, tables: Tables) -> list[str]:
    """What is wrong: a line each; what does not go together only where each value is right."""
    return [*of_values(environment, tables)] or [*of_all(environment, tables)]


def of_values(environment: Environment, tables: Tables) -> Iterator[str]:
    """What is wrong with single values, or with a few that belong together."""
    yield from _names(environment)
    yield from _network(environment, tables)
    yield from _peers(environment)
    yield from _workstation(environment)
    yield from _kubernetes(environment, tables)
    yield from _addons(environment, tables)
    yield from rules_nodes.system_nodes(environment)
    yield from rules_nodes.node_class(environment)
    yield from rules_nodes.node_pools(environment.node_pools.values(), environment.node_pools)
    yield from rules_nodes.bounds(environment)
    yield from rules_nodes.domain(environment)
    yield from rules_nodes.identity(environment.identity)
    yield from rules_nodes.repositories(environment)
    yield from rules_nodes.limits(environment)


def of_all(environment: Environment, tables: Tables) -> Iterator[str]:
    """What does not go together. For values of which each is right."""
    overlaps = [
        f"{one} and {other}"
        for (one, left), (other, right) in combinations(sorted(ranges(environment).items()), 2)
        if left.overlaps(right)
    ]
    if overlaps:
        yield (
            f"Ranges overlap: {'; '.join(overlaps)}. "
            "Packets between them would not know where to go."
        )
    version = environment.kubernetes.version
    unsupported = []
    for name, addon in sorted(environment.addons.items()):
        low, below = tables.addons[name].versions[version]
        if not release(low) <= release(addon.version) < release(below):
            unsupported.append(f"{name} {addon.version} is not from {low} and below {below}")
    if unsupported:
        yield (
            f"addons: with Kubernetes {version}, {'; '.join(unsupported)}. "
            "compatibility.json has the pairs."
        )


def _names(said: Environment) -> Iterator[str]:
    if not fits(r"[a-z][a-z0-9]{0,19}", said.environment):
        yield (
            "environment: a lower-case letter, then at most 19 lower-case letters and digits; no "
            "hyphen, with which two environments could make the same name."
        )
    if said.environment == "shared":
        yield "environment: shared is what the account's environments share, and the name of none."
    if not fits(REGION, said.region):
        yield "region: the name of an AWS region, such as eu-central-1."
    if said.account is not None and not fits(r"[0-9]{12}", said.account):
        yield "account: twelve digits in quotes, or null."
    if any(key.lower().startswith(("tenantry:", "aws:")) for key in said.tags):
        yield (
            "tags: keys under tenantry: decide about access and are set by the modules; those "
            "under aws: are Amazon's."
        )
    if len(said.tags) > 40:
        yield "tags: at most 40, of the 50 that a resource can have."
    if not all(
        1 <= len(key) <= 128 and len(value) <= 256 and is_tag(key + value)
        for key, value in said.tags.items()
    ):
        yield (
            "tags: keys have 1 to 128 characters and values at most 256: letters, digits, spaces "
            "and _ . : / = + - @."
        )


def _network(said: Environment, tables: Tables) -> Iterator[str]:
    network = said.network
    if not is_range(network.cidr, 16, 18):
        yield (
            "network.cidr: an IPv4 range from /16 to /18, written by its first address, such as "
            "10.16.0.0/16."
        )
    if not len(network.zones) == len(set(network.zones)) == 3:
        yield "network.zones: exactly three, all different."
    if not all(fits(f"{re.escape(said.region)}[a-z]", zone) for zone in network.zones):
        yield (
            "network.zones: zones of the region, by its name and a letter, such as "
            f"{said.region}a."
        )
    if network.nat not in {"one", "zone"}:
        yield "network.nat: one, for the whole VPC, or zone, for one in each."
    if unknown := without(network.interface_endpoints, tables.endpoints):
        yield (
            f"network.interface_endpoints: unknown: {unknown}. "
            f"Known are {', '.join(tables.endpoints)}."
        )
    if without(("dynamodb", "sqs", "sts"), network.interface_endpoints):
        yield (
            "network.interface_endpoints: dynamodb, sqs and sts are needed: tenants' pods reach "
            "AWS at endpoints and nowhere else."
        )
    if network.flow_log_days not in _LOG_DAYS:
        yield f"network.flow_log_days: as many as CloudWatch knows: {listed(_LOG_DAYS)}."


def _peers(said: Environment) -> Iterator[str]:
    peers = said.network.peers
    taken = {"workstation", said.environment}
    if not all(fits(r"[a-z][a-z0-9-]{0,30}", name) and name not in taken for name in peers):
        yield (
            "network.peers: named by a lower-case letter, then at most 30 lower-case letters, "
            "digits and hyphens; the environment is no peer of its own, and the workstation is "
            "one already."
        )
    if not all(is_range(peer.cidr, 16, 28) for peer in peers.values()):
        yield (
            "network.peers: each cidr is an IPv4 range from /16 to /28, written by its first "
            "address."
        )
    if not all(
        peer.vpc_id is None or fits(r"vpc-[0-9a-f]{8,17}", peer.vpc_id) for peer in peers.values()
    ):
        yield (
            "network.peers: each vpc_id is vpc- and hexadecimal digits, or null: then the VPC is "
            "found by its tag tenantry:vpc."
        )


def _workstation(said: Environment) -> Iterator[str]:
    workstation = said.workstation
    if workstation is None:
        return
    if not is_range(workstation.cidr, 16, 27):
        yield ("workstation.cidr: an IPv4 range from /16 to /27, written by its first address.")
    if not fits(INSTANCE_TYPE, workstation.instance_type):
        yield "workstation.instance_type: an EC2 instance type, such as m7i.large."
    if fits(GRAVITON, workstation.instance_type):
        yield "workstation.instance_type: no Graviton: its programs are for x86-64."
    if not 30 <= workstation.volume_gib <= 1000:
        yield "workstation.volume_gib: a whole number from 30 to 1,000."
    if not 15 <= workstation.idle_minutes <= 1440:
        yield (
            "workstation.idle_minutes: a whole number from 15 to 1,440, after which it stops "
            "itself."
        )


def _kubernetes(said: Environment, tables: Tables) -> Iterator[str]:
    yield from _cluster(said, tables)
    yield from _people(said)
    kubernetes = said.kubernetes
    if said.workstation is not None and kubernetes.public_access_cidrs:
        yield (
            "kubernetes.public_access_cidrs: not with a workstation: where the API server is "
            "public its peers reach it by its public address, and the workstation's own is "
            "another after each start."
        )
    if (
        said.workstation is None
        and not kubernetes.public_access_cidrs
        and not any(peer.reaches_services for peer in said.network.peers.values())
    ):
        yield (
            "kubernetes: nobody would reach the API server: name a workstation, a peer that "
            "reaches_services, or public_access_cidrs."
        )


def _cluster(said: Environment, tables: Tables) -> Iterator[str]:
    kubernetes = said.kubernetes
    if kubernetes.version not in tables.kubernetes:
        yield (
            f"kubernetes.version: {kubernetes.version} is not supported. compatibility.json has "
            f"{', '.join(tables.kubernetes)}."
        )
    if not is_range(kubernetes.service_cidr, 12, 24) or not any(
        IPv4Network(kubernetes.service_cidr).subnet_of(private) for private in _PRIVATE
    ):
        yield (
            "kubernetes.service_cidr: a private IPv4 range from /12 to /24, written by its first "
            "address, such as 172.20.0.0/16."
        )
    if not all(
        is_any_range(one) and not one.endswith("/0") for one in kubernetes.public_access_cidrs
    ):
        yield (
            "kubernetes.public_access_cidrs: ranges of people whom you know, such as "
            "192.0.2.0/24; /0 is everybody. Empty: from the VPC and its peers only."
        )
    if len(kubernetes.public_access_cidrs) > 40:
        yield "kubernetes.public_access_cidrs: at most 40, as EKS has it."
    if kubernetes.log_days not in _LOG_DAYS:
        yield f"kubernetes.log_days: as many as CloudWatch knows: {listed(_LOG_DAYS)}."


def _people(said: Environment) -> Iterator[str]:
    kubernetes = said.kubernetes
    everybody = [*kubernetes.admins, *kubernetes.viewers, *kubernetes.operators]
    if not all(fits(_PRINCIPAL, who) for who in everybody):
        yield (
            "kubernetes: admins, viewers and operators are ARNs of IAM roles or users: "
            "arn:aws:iam::123456789012:role/name."
        )
    if len(",".join(kubernetes.admins)) + 2 * len(kubernetes.admins) > 1900:
        yield (
            "kubernetes.admins: too many: together they have at most 1,900 characters, as the "
            "trust policy of a role takes them; name a role that all of them assume."
        )
    if len(everybody) != len(set(everybody)):
        yield (
            "kubernetes: nobody stands twice in admins, viewers and operators: EKS has one access "
            "entry for each."
        )


def _addons(said: Environment, tables: Tables) -> Iterator[str]:
    addons, known = said.addons, tables.addons
    if unknown := without(addons, known):
        yield f"addons: unknown: {unknown}. compatibility.json has all."
    if silent := without(known, addons):
        yield f"addons: not said whether on or off: {silent}."
    amazons = {name for name, table in known.items() if table.installed_by == "eks"}
    if not all(
        fits(rf"v{RELEASE}-eksbuild[.][0-9]{{1,3}}" if name in amazons else RELEASE, addon.version)
        for name, addon in addons.items()
    ):
        yield (
            "addons: a version is exact: 1.2.3, and v1.2.3-eksbuild.1 of Amazon's own "
            f"({', '.join(sorted(amazons))})."
        )
    off = sorted(
        name for name in known.keys() & addons if known[name].needed and not addons[name].enabled
    )
    if off:
        yield f"addons: every environment needs {', '.join(off)}: it cannot be off."
    lacking = [
        f"{name} needs {other}, which is off"
        for name in sorted(known.keys() & addons)
        if addons[name].enabled
        for other in known[name].needs
        if other not in addons or not addons[other].enabled
    ]
    if lacking:
        yield f"addons: {'; '.join(lacking)}."
    if "external-dns" in addons and addons["external-dns"].enabled and said.domain.zone_id is None:
        yield "addons: external-dns needs domain.zone_id, the zone in which it makes names."


def common_peers(one: Environment, other: Environment) -> list[str]:
    """Peers that both have: in one region and, as far as that is known, in one account."""
    if one.region != other.region or len({one.account, other.account} - {None}) > 1:
        return []
    vpcs = {peer.vpc_id for peer in other.network.peers.values()} - {None}
    return sorted(
        name
        for name, peer in one.network.peers.items()
        if name in other.network.peers or peer.vpc_id in vpcs
    )


def own_ranges(said: Environment) -> dict[str, IPv4Network]:
    """Those that peers have routes to. Services are seen inside the cluster only."""
    return {
        name: network
        for name, network in ranges(said).items()
        if name in {"network.cidr", "workstation.cidr"}
    }


def ranges(said: Environment) -> dict[str, IPv4Network]:
    """Every range of addresses, by the name of its setting."""
    found = {
        "network.cidr": said.network.cidr,
        "kubernetes.service_cidr": said.kubernetes.service_cidr,
        **{f"network.peers.{name}": peer.cidr for name, peer in said.network.peers.items()},
    }
    if said.workstation is not None:
        found["workstation.cidr"] = said.workstation.cidr
    return {name: IPv4Network(cidr) for name, cidr in found.items()}
