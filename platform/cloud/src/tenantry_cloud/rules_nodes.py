"""The rules of machines, and of what runs on them: those of variables_nodes.tf, in their words."""

# ruff: noqa: PLR2004 - the numbers are the rules, and stand in their words

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from typing import Final

from tenantry_cloud.checks import (
    GRAVITON,
    INSTANCE_TYPE,
    REGION,
    RELEASE,
    are_known,
    fits,
    is_any_range,
)
from tenantry_cloud.model import Environment, Identity, NodePool

_ALGORITHMS: Final = (
    *(f"{family}{bits}" for family in ("RS", "PS", "ES") for bits in (256, 384, 512)),
    "EdDSA",
)
#: Characters of a branch's name.
_BRANCH: Final = 100
_HTTPS: Final = r"https://[A-Za-z0-9.-]+(:[0-9]+)?"
_IMAGES: Final = ("bottlerocket", "al2023")


def system_nodes(said: Environment) -> Iterator[str]:
    """The managed node group."""
    nodes = said.system_nodes
    if nodes.image not in _IMAGES:
        yield "system_nodes.image: bottlerocket or al2023."
    if not nodes.instance_types or not all(
        fits(INSTANCE_TYPE, one) for one in nodes.instance_types
    ):
        yield "system_nodes.instance_types: at least one EC2 instance type, such as m7g.large."
    if len({fits(GRAVITON, one) for one in nodes.instance_types}) > 1:
        yield (
            "system_nodes.instance_types: all Graviton or none: a node group has one architecture."
        )
    if not 2 <= nodes.minimum <= nodes.maximum <= 20:
        yield "system_nodes: minimum and maximum are whole numbers, 2 ≤ minimum ≤ maximum ≤ 20."
    if not 20 <= nodes.volume_gib <= 1000:
        yield "system_nodes.volume_gib: a whole number from 20 to 1,000."


def node_class(said: Environment) -> Iterator[str]:
    """Karpenter's machines."""
    machine = said.node_class
    if machine.image not in _IMAGES:
        yield "node_class.image: bottlerocket or al2023."
    version = r"v20[0-9]{6}" if machine.image == "al2023" else f"v{RELEASE}"
    if machine.image_version != "latest" and not fits(version, machine.image_version):
        yield (
            "node_class.image_version: as Karpenter's alias has it: v1.57.0 of bottlerocket, "
            "v20261101 of al2023, or latest."
        )
    if machine.image_version == "latest" and said.environment != "dev":
        yield (
            "node_class.image_version: latest replaces nodes whenever Amazon publishes an image: "
            "in dev only."
        )
    if not 20 <= machine.volume_gib <= 1000:
        yield "node_class.volume_gib: a whole number from 20 to 1,000."


def node_pools(pools: Collection[NodePool], names: Iterable[str]) -> Iterator[str]:
    """Karpenter's pools."""
    if sorted(names) != ["advanced", "basic", "premium"]:
        yield "node_pools: one for each of basic, advanced and premium."
    if not all(are_known(pool.architectures, ("amd64", "arm64")) for pool in pools):
        yield "node_pools: architectures are amd64, arm64 or both."
    if not all(
        pool.categories and all(fits(r"[a-z]{1,4}", one) for one in pool.categories)
        for pool in pools
    ):
        yield "node_pools: categories are at least one of EC2's, such as c, m and r."
    if not all(are_known(pool.capacity, ("spot", "on-demand")) for pool in pools):
        yield "node_pools: capacity is spot, on-demand or both; of both, spot is taken first."
    if not all(4 <= pool.cpu <= 10_000 and 8 <= pool.memory_gib <= 40_000 for pool in pools):
        yield (
            "node_pools: cpu is a whole number from 4 to 10,000, memory_gib one from 8 to 40,000."
        )


def bounds(said: Environment) -> Iterator[str]:
    """How many tenants share something."""
    bounds = said.bounds
    if any(bound < 1 for _, bound in bounds):
        yield "bounds: whole numbers from 1."
    if bounds.advanced_a_pool > 75 or bounds.premium_a_group > 20:
        yield (
            "bounds: at most 75 advanced tenants a pool and 20 premium tenants a group: a load "
            "balancer has 100 target groups and 100 rules."
        )
    if bounds.load_balancers > 50:
        yield "bounds.load_balancers: at most 50, which a region has unless AWS raised it."


def domain(said: Environment) -> Iterator[str]:
    """Where tenants are reached."""
    domain = said.domain
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if not fits(rf"({label}[.])+[a-z]{{2,63}}", domain.name) or len(domain.name) > 95:
        yield (
            "domain.name: a domain of lower-case letters, digits, hyphens and dots, at most 63 "
            "characters between two dots and 95 in all: with a tenant's 32 before it a load "
            "balancer's rules still take it."
        )
    if domain.zone_id is not None and not fits(r"Z[A-Z0-9]{5,31}", domain.zone_id):
        yield "domain.zone_id: Z and capital letters and digits, or null."
    certificate = (
        rf"arn:aws[a-z-]*:acm:{re.escape(said.region)}:[0-9]{{12}}:certificate/[0-9a-f-]{{36}}"
    )
    if domain.certificate_arn is None or not fits(certificate, domain.certificate_arn):
        yield (
            f"domain.certificate_arn: the ARN of a certificate of ACM in {said.region} for the "
            "domain's *: tenants' load balancers speak TLS alone."
        )


def identity(identity: Identity) -> Iterator[str]:
    """The identity provider."""
    if identity.mode not in {"jwt", "header"}:
        yield "identity.mode: jwt, or header, which believes a mesh."
    if not all(fits(rf"{_HTTPS}(/[^\s]*)?", url) for url in (identity.issuer, identity.jwks)):
        yield "identity: issuer and jwks are https addresses."
    if not all(text and text == text.strip() for text in (identity.audience, identity.claim)):
        yield "identity: audience and claim are not empty, and no space is around them."
    if not are_known(identity.algorithms, _ALGORITHMS):
        yield f"identity.algorithms: at least one of {', '.join(_ALGORITHMS)}."
    if not all(map(is_any_range, identity.cidrs)):
        yield (
            "identity.cidrs: ranges in which the keys' address lies, such as 0.0.0.0/0 for the "
            "internet."
        )


def repositories(said: Environment) -> Iterator[str]:
    """Git, and the registry of images."""
    git, registry = said.git, said.registry
    if not fits(_HTTPS, git.url):
        yield "git.url: an https address without a path, such as https://gitea.example.com."
    name = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}"
    if git.fleet == git.source or not all(
        fits(f"{name}/{name}", one) for one in (git.fleet, git.source)
    ):
        yield (
            "git: fleet and source are two repositories, each as owner/name, of at most 100 "
            "characters each."
        )
    words = r"[A-Za-z0-9][A-Za-z0-9_-]*([./][A-Za-z0-9_-]+)*"
    if len(git.branch) > _BRANCH or not fits(words, git.branch) or ".lock" in git.branch:
        yield (
            "git.branch: the name of a branch: letters, digits, hyphens and underscores, with "
            "single dots or slashes between them, at most 100, and no .lock."
        )
    if registry.account is not None and not fits(r"[0-9]{12}", registry.account):
        yield "registry.account: twelve digits in quotes, or null."
    if registry.region is not None and not fits(REGION, registry.region):
        yield "registry.region: the name of an AWS region, or null."
    if registry.prefix != "tenantry":
        yield (
            "registry.prefix: tenantry, as chart, admission and Flux's sources name their "
            "repositories; another needs a change there, too."
        )


def limits(said: Environment) -> Iterator[str]:
    """Limits, who is told, and telemetry."""
    if not 1024 <= said.limits.max_message_bytes <= 1_048_576:
        yield "limits.max_message_bytes: a whole number from 1,024 to 1,048,576."
    if not 1 <= said.limits.monthly_usd <= 1_000_000_000:
        yield "limits.monthly_usd: from 1 to 1,000,000,000."
    emails = said.alerts.emails
    address = r"[^@\s]{1,64}@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+"
    if len(set(emails)) != len(emails) or not all(
        fits(address, one) and len(one) <= 254 for one in emails
    ):
        yield (
            "alerts.emails: e-mail addresses such as operations@example.com, none of them twice."
        )
    if not 0 <= said.telemetry.sample_ratio <= 1:
        yield "telemetry.sample_ratio: from 0 to 1."
