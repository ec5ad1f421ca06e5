"""What each role of the cluster's own software may do, by hand and from the design.

A line says actions, what they may be on, and what a request has to say: with one of that wrong, or
missing, it is denied. So is every action of the same services that no line has, and every line of
the others' on anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from iam.platform_things import ELB_KINDS, ELB_TAG, NODECLASS, NODEPOOL, OWNED, PROFILE_REGION
from iam.world import REGION

Value = str | tuple[str, ...]
_REGISTRY_REGION: Final = "eu-central-1"


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        actions: With their service, separated by blanks.
        on: Labels of things.
        told: What a request says, with what is allowed.
        wrong: By key, what it may not say; else something else, and a further value.
        optional: Keys that may be missing.
        new: It is about what is being made: nothing else can be asked for like this.
    """

    actions: str
    on: tuple[str, ...]
    told: Mapping[str, Value] = field(default_factory=dict)
    wrong: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    new: bool = False

    def wrongs(self, key: str) -> Iterable[Value | None]:
        """Values of a key with which it is denied; None: not told."""
        right = self.told[key]
        if key in self.wrong:
            yield from self.wrong[key]
        elif isinstance(right, tuple):
            yield ("something-else",)
            yield (*right, "something-else")
        elif right not in _ANY:
            yield "something-else"
        if key not in self.optional:
            yield None


#: Values of which any would do: there has to be one.
_ANY: Final = frozenset({"a-pool", "a-class"})
_HERE: Final = {"aws:RequestedRegion": REGION}


def _named(what: str) -> tuple[str, ...]:
    """By name alone: whatever the tags, or where there is nothing."""
    found = [
        f"{what} of a {who}{of}"
        for who in ("tenant", "pool")
        for of in ("", ", no environment", ", no owner", ", tagged as staging's")
    ]
    return (*found, f"{what} that is not there")


def _ours(what: str) -> tuple[str, ...]:
    """By the environment's tag."""
    return tuple(
        f"{what} of a {who}{of}" for who in ("tenant", "pool") for of in ("", ", no owner")
    )


def _elb(words: str) -> tuple[str, ...]:
    return tuple(f"{kind} {words}" if words != "new" else f"new {kind}" for kind in ELB_KINDS)


# By verb


_PLACEMENTS: Final = Line("dynamodb:GetItem dynamodb:PutItem", ("the registry",))
_TAKE: Final = "sqs:ReceiveMessage sqs:DeleteMessage sqs:ChangeMessageVisibility"
_FIND: Final = Line(
    "sqs:GetQueueUrl sqs:GetQueueAttributes", (*_named("queue"), *_named("dead letters"))
)
_SEND: Final = Line("sqs:SendMessage", _ours("queue"))
_SIGN_IN: Final = Line(
    "ecr:GetAuthorizationToken", ("everything",), {"aws:RequestedRegion": _REGISTRY_REGION}
)
#: What events are called that say what came of a verb.
EVENTS: Final = {
    "deploy": "deployment",
    "move": "move",
    "offboard": "offboarding",
    "onboard": "onboarding",
    "reconcile": "reconcile",
    "redrive": "redrive",
    "reject": "request",
    "resume": "activate",
    "suspend": "deactivate",
}
_VERBS: Final[Mapping[str, tuple[Line, ...]]] = {
    "deploy": (
        Line("sqs:GetQueueUrl sqs:GetQueueAttributes", _named("dead letters")),
        _SIGN_IN,
        Line("ecr:BatchGetImage ecr:GetDownloadUrlForLayer", ("repository of ours",)),
    ),
    "move": (
        _PLACEMENTS,
        _FIND,
        _SEND,
        Line(_TAKE, ("queue of a tenant", *_ours("dead letters"))),
        Line("dynamodb:DescribeTable", _named("table")),
        Line(
            "dynamodb:BatchGetItem dynamodb:DeleteItem dynamodb:PartiQLInsert dynamodb:PutItem "
            "dynamodb:Query",
            _ours("table"),
        ),
        Line("dynamodb:UpdateTable", ("table of a tenant",)),
        Line(
            "dynamodb:Scan",
            (
                "table of a tenant",
                "table of a tenant, no environment",
                "table of a tenant, no owner",
                "table of a pool, no owner",
                "table that is not there",
            ),
        ),
    ),
    "offboard": (
        _PLACEMENTS,
        _FIND,
        Line("sqs:ReceiveMessage sqs:ChangeMessageVisibility", _ours("dead letters")),
        Line("sqs:DeleteMessage", ("dead letters of a pool",)),
        Line("dynamodb:DescribeTable", _named("table")),
        Line("dynamodb:Query", _ours("table")),
        Line("dynamodb:DeleteItem", ("table of a pool",)),
        Line("cloudwatch:GetMetricStatistics", ("everything",), _HERE),
        Line("s3:PutObject s3:GetObject s3:AbortMultipartUpload", ("an export",)),
        Line("s3:ListBucket", ("the bucket of exports",)),
    ),
    "onboard": (_PLACEMENTS, Line("sqs:GetQueueAttributes", _named("queue"))),
    "reconcile": (
        _PLACEMENTS,
        Line("sqs:GetQueueAttributes", _named("queue")),
        Line("dynamodb:Scan", ("the registry",)),
        Line("sqs:ListQueues dynamodb:ListTables", ("everything",), _HERE),
    ),
    "redrive": (
        Line("dynamodb:GetItem", ("the registry",)),
        Line("sqs:GetQueueUrl", _named("dead letters")),
        Line(_TAKE, _ours("dead letters")),
        _SEND,
    ),
    "reject": (),
    "resume": (_PLACEMENTS,),
    "suspend": (_PLACEMENTS,),
}


def _tells(verb: str) -> Line:
    """What came of it, as tenantctl and of this verb."""
    others = [f"{name}Success" for name in EVENTS.values() if name != EVENTS[verb]]
    told: dict[str, Value] = {
        "events:source": ("tenantry.controlPlane",),
        "events:detail-type": (f"{EVENTS[verb]}Success", f"{EVENTS[verb]}Failure"),
    }
    wrong: dict[str, tuple[Value, ...]] = {
        "events:detail-type": tuple((one,) for one in others),
    }
    return Line("events:PutEvents", ("the bus",), told, wrong)


# By add-on

_MADE_BY_KARPENTER: Final = {
    f"aws:RequestTag/{OWNED}": "owned",
    "aws:RequestTag/eks:eks-cluster-name": "laptop",
    f"aws:RequestTag/{NODEPOOL}": "a-pool",
}
_PROFILE: Final = {
    f"aws:RequestTag/{OWNED}": "owned",
    "aws:RequestTag/eks:eks-cluster-name": "laptop",
    f"aws:RequestTag/{PROFILE_REGION}": REGION,
    f"aws:RequestTag/{NODECLASS}": "a-class",
}
_STARTED: Final = tuple(
    f"new {kind}"
    for kind in ("fleet", "instance", "network-interface", "spot-instances-request", "volume")
)
_START: Final = "ec2:RunInstances ec2:CreateFleet"
_OWN_PROFILES: Final = ("profile of ours", "profile of ours, found by name")

_KARPENTER: Final = (
    Line(_START, ("public image", "public snapshot")),
    Line(_START, ("subnet for nodes", "security-group for nodes")),
    Line(_START, ("launch-template of Karpenter",)),
    Line(_START, _STARTED, _MADE_BY_KARPENTER, new=True),
    Line("ec2:CreateLaunchTemplate", ("new launch-template",), _MADE_BY_KARPENTER, new=True),
    *(
        Line(
            "ec2:CreateTags",
            (*_STARTED, "new launch-template"),
            {**_MADE_BY_KARPENTER, "ec2:CreateAction": action},
            new=True,
        )
        for action in ("RunInstances", "CreateFleet", "CreateLaunchTemplate")
    ),
    Line(
        "ec2:CreateTags",
        ("instance of Karpenter",),
        {
            "aws:RequestTag/eks:eks-cluster-name": "laptop",
            "aws:TagKeys": ("Name", "eks:eks-cluster-name", "karpenter.sh/nodeclaim"),
        },
        wrong={"aws:TagKeys": ((OWNED,), ("Name", NODEPOOL))},
        optional=("aws:RequestTag/eks:eks-cluster-name",),
    ),
    Line("ec2:TerminateInstances", ("instance of Karpenter",)),
    Line("ec2:DeleteLaunchTemplate", ("launch-template of Karpenter",)),
    Line(
        "ec2:DescribeCapacityReservations ec2:DescribeImages ec2:DescribeInstanceStatus "
        "ec2:DescribeInstanceTypeOfferings ec2:DescribeInstanceTypes ec2:DescribeInstances "
        "ec2:DescribeLaunchTemplates ec2:DescribePlacementGroups ec2:DescribeSecurityGroups "
        "ec2:DescribeSpotPriceHistory ec2:DescribeSubnets",
        ("everything",),
        _HERE,
    ),
    Line("ssm:GetParameter", ("Bottlerocket's images", "EKS's images")),
    Line("pricing:GetProducts iam:ListInstanceProfiles", ("everything",)),
    Line("eks:DescribeCluster", ("the cluster",)),
    Line("sqs:GetQueueUrl sqs:ReceiveMessage sqs:DeleteMessage", ("queue karpenter",)),
    Line("iam:PassRole", ("role karpenter-node",), {"iam:PassedToService": "ec2.amazonaws.com"}),
    Line("iam:CreateInstanceProfile", ("profile new",), _PROFILE, new=True),
    Line("iam:TagInstanceProfile", _OWN_PROFILES, _PROFILE),
    Line(
        "iam:AddRoleToInstanceProfile iam:RemoveRoleFromInstanceProfile iam:DeleteInstanceProfile",
        _OWN_PROFILES,
    ),
    Line(
        "iam:GetInstanceProfile",
        (
            *_OWN_PROFILES,
            "profile of ours, of no cluster",
            "profile of ours, of another region",
            "profile of ours, of no node class",
            "profile of ours, without a region",
            "profile of ours, of nobody",
            "profile of ours, untagged",
            "profile new",
        ),
    ),
)

_ELB_TAGS: Final = {f"aws:RequestTag/{ELB_TAG}": "laptop"}
#: Tags of one's own change, but for the one that says whose it is.
_OTHER_TAGS: Final = {"aws:TagKeys": ("Name", "team")}
_ITS_TAG: Final[Mapping[str, tuple[Value, ...]]] = {
    "aws:TagKeys": ((ELB_TAG,), ("Name", ELB_TAG)),
}
_LOAD_BALANCERS: Final = (
    Line(
        "ec2:DescribeAccountAttributes ec2:DescribeAddresses ec2:DescribeAvailabilityZones "
        "ec2:DescribeInstances ec2:DescribeInternetGateways ec2:DescribeNetworkInterfaces "
        "ec2:DescribeRouteTables ec2:DescribeSecurityGroups ec2:DescribeSubnets ec2:DescribeTags "
        "ec2:DescribeVpcPeeringConnections ec2:DescribeVpcs "
        "elasticloadbalancing:DescribeCapacityReservation "
        "elasticloadbalancing:DescribeListenerAttributes "
        "elasticloadbalancing:DescribeListenerCertificates elasticloadbalancing:DescribeListeners "
        "elasticloadbalancing:DescribeLoadBalancerAttributes "
        "elasticloadbalancing:DescribeLoadBalancers elasticloadbalancing:DescribeRules "
        "elasticloadbalancing:DescribeSSLPolicies elasticloadbalancing:DescribeTags "
        "elasticloadbalancing:DescribeTargetGroupAttributes "
        "elasticloadbalancing:DescribeTargetGroups elasticloadbalancing:DescribeTargetHealth "
        "acm:ListCertificates",
        ("everything",),
        _HERE,
    ),
    Line("acm:DescribeCertificate", ("a certificate",)),
    Line(
        "iam:CreateServiceLinkedRole",
        ("the role of elasticloadbalancing",),
        {"iam:AWSServiceName": "elasticloadbalancing.amazonaws.com"},
    ),
    Line("ec2:GetSecurityGroupsForVpc ec2:CreateSecurityGroup", ("the VPC",)),
    Line("ec2:CreateSecurityGroup", ("new security-group",), _ELB_TAGS, new=True),
    Line(
        "ec2:CreateTags",
        ("new security-group",),
        {**_ELB_TAGS, "ec2:CreateAction": "CreateSecurityGroup"},
        new=True,
    ),
    Line(
        "ec2:CreateTags ec2:DeleteTags",
        ("security-group of load balancers",),
        _OTHER_TAGS,
        _ITS_TAG,
    ),
    Line(
        "ec2:AuthorizeSecurityGroupIngress ec2:RevokeSecurityGroupIngress",
        ("security-group of load balancers", "security-group of the cluster"),
    ),
    Line("ec2:DeleteSecurityGroup", ("security-group of load balancers",)),
    Line(
        "elasticloadbalancing:CreateLoadBalancer elasticloadbalancing:CreateTargetGroup",
        _elb("new"),
        _ELB_TAGS,
        new=True,
    ),
    Line(
        "elasticloadbalancing:CreateListener elasticloadbalancing:CreateRule",
        _elb("of ours"),
        _ELB_TAGS,
    ),
    *(
        Line(
            "elasticloadbalancing:AddTags",
            _elb("new"),
            {**_ELB_TAGS, "elasticloadbalancing:CreateAction": action},
            new=True,
        )
        for action in ("CreateLoadBalancer", "CreateListener", "CreateRule", "CreateTargetGroup")
    ),
    Line(
        "elasticloadbalancing:AddTags elasticloadbalancing:RemoveTags",
        _elb("of ours"),
        _OTHER_TAGS,
        _ITS_TAG,
    ),
    Line(
        " ".join(
            f"elasticloadbalancing:{name}"
            for name in (
                *("AddListenerCertificates", "DeleteListener", "DeleteLoadBalancer", "DeleteRule"),
                *("DeleteTargetGroup", "DeregisterTargets", "ModifyListener", "ModifyRule"),
                *("ModifyListenerAttributes", "ModifyLoadBalancerAttributes"),
                *("ModifyTargetGroup", "ModifyTargetGroupAttributes", "RegisterTargets"),
                *("RemoveListenerCertificates", "SetIpAddressType", "SetRulePriorities"),
                *("SetSecurityGroups", "SetSubnets"),
            )
        ),
        _elb("of ours"),
    ),
)

#: By role.
TABLE: Final[Mapping[str, tuple[Line, ...]]] = {
    **{f"argo-workflows-{verb}": (*lines, _tells(verb)) for verb, lines in _VERBS.items()},
    "argo-events": (
        Line(
            "sqs:GetQueueUrl sqs:ReceiveMessage sqs:DeleteMessage",
            (
                "queue control",
                *tuple(
                    f"queue control-{of}" for of in ("onboarding", "offboarding", "deployment")
                ),
            ),
        ),
    ),
    "cluster-admin": (Line("eks:AccessKubernetesApi eks:DescribeCluster", ("the cluster",)),),
    "external-dns": (
        Line(
            "route53:ChangeResourceRecordSets",
            ("the zone",),
            {"route53:ChangeResourceRecordSetsRecordTypes": ("A", "AAAA", "CNAME", "TXT")},
            {"route53:ChangeResourceRecordSetsRecordTypes": (("NS",), ("A", "MX"))},
        ),
        Line("route53:ListResourceRecordSets", ("the zone",)),
        Line("route53:ListHostedZones", ("everything",)),
    ),
    "external-secrets": (
        Line("secretsmanager:DescribeSecret secretsmanager:GetSecretValue", ("secret of ours",)),
    ),
    "flux": (
        _SIGN_IN,
        Line(
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer "
            "ecr:ListImages",
            ("repository of ours",),
        ),
    ),
    "karpenter": _KARPENTER,
    "karpenter-node": (
        Line("eks:DescribeCluster eks-auth:AssumeRoleForPodIdentity", ("the cluster",)),
        Line("ec2:DescribeInstances ec2:DescribeInstanceTypes", ("everything",), _HERE),
        *(
            Line(
                "ecr:GetAuthorizationToken",
                ("everything",),
                {"aws:RequestedRegion": region},
            )
            for region in (REGION, _REGISTRY_REGION)
        ),
        Line(
            "ecr:BatchCheckLayerAvailability ecr:BatchGetImage ecr:GetDownloadUrlForLayer",
            (
                "repository of ours",
                "repository of EKS",
                "repository of the VPC CNI",
                "repository of the network policy agent",
            ),
        ),
    ),
    "keda": (Line("sqs:GetQueueAttributes", _ours("queue")),),
    "load-balancer-controller": _LOAD_BALANCERS,
    "tfstate-backup": (
        Line("s3:PutObject s3:GetObject", ("a copy",)),
        Line("s3:ListBucket", ("the bucket of copies",)),
        Line(
            "kms:Decrypt kms:GenerateDataKey",
            ("the key of copies",),
            {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
        ),
    ),
}
#: Namespace and service accounts of those that are pods'.
ACCOUNTS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    **{f"argo-workflows-{verb}": ("argo-control", (verb,)) for verb in _VERBS},
    "argo-events": ("argo-control", ("source",)),
    "external-dns": ("external-dns", ("external-dns",)),
    "external-secrets": ("external-secrets", ("external-secrets",)),
    "flux": ("flux-system", ("source-controller", "image-reflector-controller")),
    "karpenter": ("karpenter", ("karpenter",)),
    "keda": ("keda", ("keda-operator",)),
    "load-balancer-controller": ("kube-system", ("aws-load-balancer-controller",)),
    "tfstate-backup": ("tenant-infra", ("tfstate-backup",)),
}
