"""What the cluster's own software might ask for: ours, others', and what is wrong in one way each.

The environment is `local` of the cluster `laptop`, as in `world`; `staging` is another one of the
same account. The registry is in another account and region.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from iam import world
from iam.world import ACCOUNT, REGION, instance_tags, queue_arn, role_arn, table_arn

OTHER_ACCOUNT: Final = "222222222222"
OTHER_REGION: Final = "us-east-1"
ELB_TAG: Final = "elbv2.k8s.aws/cluster"
OWNED: Final = "kubernetes.io/cluster/laptop"
NODEPOOL: Final = "karpenter.sh/nodepool"
DISCOVERY: Final = "karpenter.sh/discovery"
NODECLASS: Final = "karpenter.k8s.aws/ec2nodeclass"
PROFILE_REGION: Final = "topology.kubernetes.io/region"


@dataclass(frozen=True, slots=True)
class Thing:
    """Something with an ARN, its tags, and the type that the documentation gives it."""

    label: str
    arn: str
    kind: str
    tags: Mapping[str, str] = field(default_factory=dict)

    def context(self) -> dict[str, str | tuple[str, ...]]:
        """What a request on it says of it."""
        return {f"aws:ResourceTag/{key}": value for key, value in self.tags.items()}


def things() -> dict[str, Thing]:
    """All of them, by label."""
    found = [
        *_queues_and_tables(),
        *_of_ec2(),
        *_of_elb(),
        *_of_iam(),
        *_others(),
        Thing("everything", "*", ""),
    ]
    labels = [one.label for one in found]
    assert len(set(labels)) == len(labels)
    return {one.label: one for one in found}


def _arn(service: str, resource: str, *, region: str = REGION, account: str = ACCOUNT) -> str:
    return f"arn:aws:{service}:{region}:{account}:{resource}"


def _queues_and_tables() -> Iterator[Thing]:
    for what, kind, make, suffix in (
        ("queue", "queue", queue_arn, "messages"),
        ("dead letters", "queue", queue_arn, "messages-dead-letters"),
        ("table", "table", table_arn, "messages"),
    ):
        for who, instance in (("tenant", "acme"), ("pool", "pool-1")):
            tags = instance_tags(instance)
            arn = make(f"local-{instance}-{suffix}")
            yield Thing(f"{what} of a {who}", arn, kind, tags)
            name = f"local-misfiled-{suffix}"
            for key, words in (("environment", "environment"), ("consumer-namespace", "owner")):
                less = {tag: value for tag, value in tags.items() if not tag.endswith(key)}
                yield Thing(
                    f"{what} of a {who}, no {words}", make(f"local-half-{suffix}"), kind, less
                )
            theirs = instance_tags(instance, "staging")
            yield Thing(f"{what} of a {who}, tagged as staging's", make(name), kind, theirs)
            yield Thing(
                f"{what} of a {who} of staging", make(f"staging-{instance}-{suffix}"), kind, theirs
            )
            yield Thing(f"{what} of a {who}, named otherwise", make("billing"), kind, tags)
            for words, other in (
                ("region", arn.replace(REGION, OTHER_REGION)),
                ("account", arn.replace(ACCOUNT, OTHER_ACCOUNT)),
            ):
                yield Thing(f"{what} of a {who} in another {words}", other, kind, tags)
        yield Thing(f"{what} that is not there", make(f"local-gone-{suffix}"), kind)
    ours = {"tenantry:environment": "local"}
    theirs = {"tenantry:environment": "staging"}
    yield Thing("the registry", table_arn("local-tenants"), "table", ours)
    yield Thing("staging's registry", table_arn("staging-tenants"), "table", theirs)
    for name in (
        "control",
        "control-onboarding",
        "control-offboarding",
        "control-deployment",
        "karpenter",
    ):
        yield Thing(f"queue {name}", queue_arn(f"local-{name}"), "queue", ours)
        yield Thing(f"staging's queue {name}", queue_arn(f"staging-{name}"), "queue", theirs)
    yield Thing("dead requests", queue_arn("local-control-dead-letters"), "queue", ours)


def _of_ec2() -> Iterator[Thing]:
    def made(kind: str, name: str, words: str, tags: Mapping[str, str]) -> Iterator[Thing]:
        yield Thing(f"{kind} {words}", _arn("ec2", f"{kind}/{name}"), kind, tags)
        if tags:
            there = _arn("ec2", f"{kind}/{name}", region=OTHER_REGION)
            yield Thing(f"{kind} {words}, in another region", there, kind, tags)
            theirs = _arn("ec2", f"{kind}/{name}", account=OTHER_ACCOUNT)
            yield Thing(f"{kind} {words}, in another account", theirs, kind, tags)

    for kind in ("image", "snapshot"):
        yield Thing(f"public {kind}", f"arn:aws:ec2:{REGION}::{kind}/1", kind)
        yield Thing(
            f"public {kind} in another region", f"arn:aws:ec2:{OTHER_REGION}::{kind}/1", kind
        )
        yield Thing(f"{kind} of this account", _arn("ec2", f"{kind}/1"), kind)
    for kind in ("instance", "launch-template"):
        yield from made(kind, "1", "of Karpenter", {OWNED: "owned", NODEPOOL: "basic"})
        yield from made(kind, "2", "of no pool", {OWNED: "owned"})
        yield from made(kind, "3", "of no cluster", {NODEPOOL: "basic"})
        yield from made(kind, "4", "of two clusters", {OWNED: "shared", NODEPOOL: "basic"})
        staging = {"kubernetes.io/cluster/staging": "owned", NODEPOOL: "basic"}
        yield from made(kind, "5", "of staging", staging)
    for kind in (
        "fleet",
        "instance",
        "launch-template",
        "network-interface",
        "spot-instances-request",
        "volume",
    ):
        yield Thing(f"new {kind}", _arn("ec2", f"{kind}/new"), kind)
        yield Thing(
            f"new {kind} in another region", _arn("ec2", f"{kind}/new", region=OTHER_REGION), kind
        )
        yield Thing(
            f"new {kind} in another account",
            _arn("ec2", f"{kind}/new", account=OTHER_ACCOUNT),
            kind,
        )
    # Tags of another use on something else.
    yield from made("launch-template", "6", "for nodes", {DISCOVERY: "laptop"})
    yield from made("instance", "6", "of load balancers", {ELB_TAG: "laptop"})
    for kind in ("subnet", "security-group"):
        yield from made(kind, "1", "for nodes", {DISCOVERY: "laptop"})
        yield from made(kind, "2", "of staging's nodes", {DISCOVERY: "staging"})
        yield from made(kind, "3", "without tags", {})
    yield from made("security-group", "4", "of the cluster", {OWNED: "owned"})
    yield from made("security-group", "5", "of two clusters", {OWNED: "shared"})
    yield from made("security-group", "6", "of load balancers", {ELB_TAG: "laptop"})
    yield from made("security-group", "7", "of staging's load balancers", {ELB_TAG: "staging"})
    yield Thing("new security-group", _arn("ec2", "security-group/new"), "security-group")
    yield Thing(
        "new security-group in another region",
        _arn("ec2", "security-group/new", region=OTHER_REGION),
        "security-group",
    )
    yield Thing("the VPC", _arn("ec2", "vpc/vpc-0123456789abcdef0"), "vpc")
    yield Thing("another VPC", _arn("ec2", "vpc/vpc-00000000000000000"), "vpc")
    yield Thing("a key pair", _arn("ec2", "key-pair/1"), "key-pair")


#: By type, the ARN's resource: an Application Load Balancer, and what belongs to one.
ELB_KINDS: Final = {
    "loadbalancer/app/": "loadbalancer/app/{}/1",
    "listener/app": "listener/app/{}/1/2",
    "listener-rule/app": "listener-rule/app/{}/1/2/3",
    "targetgroup": "targetgroup/{}/1",
}


def _of_elb() -> Iterator[Thing]:
    for kind, resource in ELB_KINDS.items():
        for words, tags in (
            ("of ours", {ELB_TAG: "laptop"}),
            ("of staging", {ELB_TAG: "staging"}),
            ("of somebody", {}),
        ):
            arn = _arn("elasticloadbalancing", resource.format(words[3:]))
            yield Thing(f"{kind} {words}", arn, kind, tags)
            yield Thing(
                f"{kind} {words}, in another region", arn.replace(REGION, OTHER_REGION), kind, tags
            )
        yield Thing(f"new {kind}", _arn("elasticloadbalancing", resource.format("new")), kind)
        there = _arn("elasticloadbalancing", resource.format("new"), region=OTHER_REGION)
        yield Thing(f"new {kind} in another region", there, kind)
    arn = _arn("elasticloadbalancing", "loadbalancer/net/ours/1")
    yield Thing("a network load balancer", arn, "loadbalancer/net/", {ELB_TAG: "laptop"})
    arn = _arn("elasticloadbalancing", "loadbalancer/net/new/1")
    yield Thing("new network load balancer", arn, "loadbalancer/net/")


def _of_iam() -> Iterator[Thing]:
    for name in ("karpenter-node", "karpenter", "producer", "tf-runner", "cluster-admin"):
        yield Thing(f"role {name}", role_arn(f"local-tenantry-{name}"), "role")
    yield Thing("staging's nodes' role", role_arn("staging-tenantry-karpenter-node"), "role")
    for service, name in (("elasticloadbalancing", "ElasticLoadBalancing"), ("spot", "EC2Spot")):
        path = f"aws-service-role/{service}.amazonaws.com/AWSServiceRoleFor{name}"
        yield Thing(f"the role of {service}", role_arn(path), "role")
    own = {OWNED: "owned", NODECLASS: "default", PROFILE_REGION: REGION}
    where = f"arn:aws:iam::{ACCOUNT}:instance-profile"
    path = f"karpenter/{REGION}/laptop/1"
    for words, name, tags in (
        ("of ours", f"{path}/laptop_1", own),
        ("of ours, found by name", "laptop_1", own),
        ("of ours, of no cluster", f"{path}/laptop_2", own | {OWNED: "shared"}),
        ("of ours, of another region", f"{path}/laptop_3", own | {PROFILE_REGION: OTHER_REGION}),
        (
            "of ours, of no node class",
            f"{path}/laptop_4",
            {OWNED: "owned", PROFILE_REGION: REGION},
        ),
        ("of ours, without a region", f"{path}/laptop_5", {OWNED: "owned", NODECLASS: "default"}),
        ("of ours, of nobody", f"{path}/laptop_7", {NODECLASS: "default", PROFILE_REGION: REGION}),
        ("of ours, untagged", f"{path}/laptop_6", {}),
        ("named otherwise", "billing", own),
        ("of staging", f"karpenter/{REGION}/staging/1/staging_1", own),
        ("new", f"{path}/laptop_9", {}),
        ("new, named otherwise", "other", {}),
    ):
        yield Thing(f"profile {words}", f"{where}/{name}", "instance-profile", tags)


def _others() -> Iterator[Thing]:
    yield Thing("the cluster", world.CLUSTER_ARN, "cluster")
    yield Thing("staging's cluster", world.CLUSTER_ARN.replace("/laptop", "/staging"), "cluster")
    there = world.CLUSTER_ARN.replace(REGION, OTHER_REGION)
    yield Thing("a cluster of this name in another region", there, "cluster")
    for words, name in (
        ("Bottlerocket's", "bottlerocket/aws-k8s-1.35/x86_64/latest/image_id"),
        ("EKS's", "eks/optimized-ami/1.35/amazon-linux-2023/x86_64/standard/recommended"),
        ("ECS's", "ecs/optimized-ami/amazon-linux-2023/recommended"),
    ):
        arn = f"arn:aws:ssm:{REGION}::parameter/aws/service/{name}"
        yield Thing(f"{words} images", arn, "parameter")
    yield Thing("a parameter of this account", _arn("ssm", "parameter/password"), "parameter")
    for words, account, region, name in (
        ("of ours", "111111111111", "eu-central-1", "tenantry/tenant-template"),
        ("of another name", "111111111111", "eu-central-1", "billing/chart"),
        ("in another region", "111111111111", OTHER_REGION, "tenantry/tenant-template"),
        ("in another account", OTHER_ACCOUNT, "eu-central-1", "tenantry/tenant-template"),
        ("of EKS", "602401143452", REGION, "eks/coredns"),
        ("of the VPC CNI", "602401143452", REGION, "amazon-k8s-cni-init"),
        ("of the network policy agent", "602401143452", REGION, "amazon/aws-network-policy-agent"),
        ("of EKS, in another region", "602401143452", OTHER_REGION, "eks/coredns"),
        ("of AWS, of another name", "602401143452", REGION, "other/coredns"),
    ):
        arn = _arn("ecr", f"repository/{name}", region=region, account=account)
        yield Thing(f"repository {words}", arn, "repository")
    for words, name, region in (
        ("of ours", "local/fleet-a1b2c3", REGION),
        ("of staging", "staging/fleet-a1b2c3", REGION),
        ("of an environment whose name begins like ours", "local2/fleet-a1b2c3", REGION),
        ("of nobody", "database", REGION),
        ("of ours, in another region", "local/fleet-a1b2c3", OTHER_REGION),
    ):
        yield Thing(
            f"secret {words}", _arn("secretsmanager", f"secret:{name}", region=region), "Secret"
        )
    yield Thing("the zone", "arn:aws:route53:::hostedzone/Z0123456789ABCDEFGHIJ", "hostedzone")
    yield Thing("another zone", "arn:aws:route53:::hostedzone/Z9999999999ABCDEFGHIJ", "hostedzone")
    yield Thing("the bus", _arn("events", "event-bus/local-tenantry"), "event-bus")
    yield Thing("staging's bus", _arn("events", "event-bus/staging-tenantry"), "event-bus")
    yield Thing("the account's bus", _arn("events", "event-bus/default"), "event-bus")
    for words, name in (
        ("the bucket of exports", "local-tenantry-exports"),
        ("staging's bucket", "staging-tenantry-exports"),
    ):
        yield Thing(words, f"arn:aws:s3:::{name}-{ACCOUNT}", "bucket")
        of = "an export" if name.startswith("local") else "an export of staging"
        yield Thing(of, f"arn:aws:s3:::{name}-{ACCOUNT}/acme/items.jsonl", "object")
    for words, name in (
        ("the bucket of copies", "local-tenantry-tfstate"),
        ("staging's bucket of copies", "staging-tenantry-tfstate"),
    ):
        yield Thing(words, f"arn:aws:s3:::{name}-{ACCOUNT}", "bucket")
        of = "a copy" if name.startswith("local") else "a copy of staging"
        yield Thing(of, f"arn:aws:s3:::{name}-{ACCOUNT}/tfstate-default-acme-state", "object")
    own = "key/11111111-2222-3333-4444-555555555555"
    for words, arn in (
        ("the key of copies", _arn("kms", own)),
        ("the key of copies, in another region", _arn("kms", own, region=OTHER_REGION)),
        ("the key of copies, in another account", _arn("kms", own, account=OTHER_ACCOUNT)),
        ("another key", _arn("kms", "key/99999999-8888-7777-6666-555555555555")),
    ):
        yield Thing(words, arn, "key")
    yield Thing("a certificate", _arn("acm", "certificate/1"), "certificate")
    arn = _arn("acm", "certificate/1", region=OTHER_REGION)
    yield Thing("a certificate in another region", arn, "certificate")
