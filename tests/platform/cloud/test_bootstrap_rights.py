"""What the workstation may do, and what roles may do that it makes: by the tests' evaluator."""

from __future__ import annotations

from typing import Any, Final

import pytest

from cloud import templates
from cloud.environments import ROOT
from cloud.templates import ACCOUNT
from iam.evaluator import Principal, Request, decide
from iam.policies import Policy, parse
from tenantry_cloud import bootstrap
from tenantry_cloud.reading import read_environment

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
RESOURCES: Final = templates.workstation(bootstrap.parameters(DEV))
ROLES: Final = f"arn:aws:iam::{ACCOUNT}:role"
ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/dev-workstation"
BOUNDARY: Final = f"arn:aws:iam::{ACCOUNT}:policy/dev-tenantry-boundary"
ITSELF: Final = Principal(
    arn=f"arn:aws:sts::{ACCOUNT}:assumed-role/dev-workstation/i-1", role_arn=ROLE
)
HERE: Final = f"eu-central-1:{ACCOUNT}"
GROUP: Final = f"arn:aws:ec2:{HERE}:security-group/sg-1"
OURS: Final = {"aws:ResourceTag/tenantry:environment": "dev"}
THEIRS: Final = {"aws:ResourceTag/tenantry:environment": "production"}
BOUND: Final = {"iam:PermissionsBoundary": BOUNDARY}
STATE: Final = f"arn:aws:s3:::tenantry-state-{ACCOUNT}-eu-central-1"


def _policy(logical: str) -> Policy:
    return parse(RESOURCES[logical]["Properties"]["PolicyDocument"])


def _granted() -> list[Policy]:
    attached = [
        _policy(name)
        for name, one in RESOURCES.items()
        if one["Type"] == "AWS::IAM::ManagedPolicy" and "Roles" in one["Properties"]
    ]
    inline = RESOURCES["Role"]["Properties"]["Policies"]
    return [*attached, *(parse(one["PolicyDocument"]) for one in inline)]


def _may(action: str, resource: str, **context: str) -> bool:
    request = Request(ITSELF, action, resource, context)
    return decide(request, identity=_granted(), boundary=_policy("OwnBoundary")).allowed


ALLOWED: Final[list[tuple[str, str, dict[str, str]]]] = [
    ("ec2:CreateVpc", f"arn:aws:ec2:{HERE}:vpc/*", {"aws:RequestedRegion": "eu-central-1"}),
    ("ec2:DeleteVpc", f"arn:aws:ec2:{HERE}:vpc/vpc-1", OURS),
    (
        "ec2:CreateRoute",
        f"arn:aws:ec2:{HERE}:route-table/rtb-1",
        {"aws:ResourceTag/tenantry:vpc": "shared"},
    ),
    (
        "ec2:CreateTags",
        f"arn:aws:ec2:{HERE}:vpc/vpc-1",
        {"aws:RequestTag/tenantry:environment": "dev", "ec2:CreateAction": "CreateVpc"},
    ),
    ("eks:CreateCluster", "*", {"aws:RequestTag/tenantry:environment": "dev"}),
    ("eks:CreateAccessEntry", f"arn:aws:eks:{HERE}:cluster/dev", {}),
    ("eks:DeleteNodegroup", f"arn:aws:eks:{HERE}:nodegroup/dev/system/1", {}),
    ("sqs:CreateQueue", f"arn:aws:sqs:{HERE}:dev-control", {}),
    ("dynamodb:Scan", f"arn:aws:dynamodb:{HERE}:table/dev-tenants", {}),
    ("iam:CreateRole", f"{ROLES}/dev-tenantry-karpenter", BOUND),
    ("iam:PutRolePolicy", f"{ROLES}/dev-tenantry-karpenter", BOUND),
    (
        "iam:PassRole",
        f"{ROLES}/dev-tenantry-control-plane",
        {"iam:PassedToService": "eks.amazonaws.com"},
    ),
    ("s3:PutObject", f"{STATE}/environments/dev.tfstate", {}),
    ("s3:PutObject", f"{STATE}/environments/dev.tfstate.tflock", {}),
    ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:dev/flux/git-1", {}),
    ("ssmmessages:OpenDataChannel", "*", {}),
    ("ec2:DescribeVpcs", "*", {}),
    ("ec2:CreateTags", GROUP, {"aws:ResourceTag/aws:eks:cluster-name": "dev"}),
    ("ec2:AuthorizeSecurityGroupIngress", GROUP, {"aws:ResourceTag/aws:eks:cluster-name": "dev"}),
    ("ec2:RevokeSecurityGroupEgress", GROUP, {}),
    ("route53:CreateHostedZone", "*", {}),
    ("route53:ChangeResourceRecordSets", "arn:aws:route53:::hostedzone/Z1", {}),
    ("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:{HERE}:alarm:*", {}),
    ("kms:TagResource", "*", {"aws:RequestTag/tenantry:environment": "dev"}),
    ("kms:TagResource", f"arn:aws:kms:{HERE}:key/1", OURS),
    ("eks:DescribeAddonVersions", "*", {}),
    ("kms:DescribeKey", f"arn:aws:kms:{HERE}:key/1", OURS),
    ("kms:CreateAlias", f"arn:aws:kms:{HERE}:alias/dev-tenantry-cluster", {}),
    ("dynamodb:CreateTable", f"arn:aws:dynamodb:{HERE}:table/dev-tenants", {}),
    ("sqs:ListQueues", "*", {}),
    ("sns:CreateTopic", f"arn:aws:sns:{HERE}:dev-alerts", {}),
    ("sns:Subscribe", f"arn:aws:sns:{HERE}:dev-alerts", {}),
    ("budgets:ModifyBudget", f"arn:aws:budgets::{ACCOUNT}:budget/dev-monthly", {}),
    ("s3:DeleteObjectVersion", f"arn:aws:s3:::dev-tenantry-tfstate-{ACCOUNT}/x", {}),
    ("s3:CreateBucket", "arn:aws:s3:::dev-tenantry-exports-1", {}),
    ("s3:GetBucketVersioning", "arn:aws:s3:::dev-tenantry-exports-1", {}),
    ("s3:GetEncryptionConfiguration", "arn:aws:s3:::dev-tenantry-exports-1", {}),
    ("s3:GetObject", f"{STATE}/source/dev.bundle", {}),
    ("s3:ListBucket", STATE, {}),
    ("logs:CreateLogGroup", f"arn:aws:logs:{HERE}:log-group:/aws/eks/dev/cluster", {}),
    ("logs:CreateLogDelivery", "*", {}),
    ("events:PutRule", f"arn:aws:events:{HERE}:rule/dev-karpenter-spot", {}),
    ("secretsmanager:CreateSecret", f"arn:aws:secretsmanager:{HERE}:secret:dev/flux/git-1", {}),
    ("iam:GetRole", f"{ROLES}/dev-tenantry-karpenter", {}),
    ("iam:DeleteRole", f"{ROLES}/dev-tenantry-karpenter", {}),
    ("iam:CreateInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/dev-x", {}),
    (
        "iam:CreateServiceLinkedRole",
        f"{ROLES}/aws-service-role/eks.amazonaws.com/x",
        {"iam:AWSServiceName": "eks.amazonaws.com"},
    ),
]
DENIED: Final[list[tuple[str, str, dict[str, str]]]] = [
    ("ec2:CreateVpc", f"arn:aws:ec2:{HERE}:vpc/*", {"aws:RequestedRegion": "us-east-1"}),
    ("ec2:DeleteVpc", f"arn:aws:ec2:{HERE}:vpc/vpc-1", THEIRS),
    ("ec2:DeleteVpc", f"arn:aws:ec2:{HERE}:vpc/vpc-1", {}),
    ("ec2:TerminateInstances", f"arn:aws:ec2:{HERE}:instance/i-1", THEIRS),
    (
        "ec2:CreateTags",
        f"arn:aws:ec2:{HERE}:vpc/vpc-1",
        {"aws:RequestTag/tenantry:environment": "dev"},
    ),
    ("eks:DeleteCluster", f"arn:aws:eks:{HERE}:cluster/production", {}),
    ("eks:CreateCluster", "*", {"aws:RequestTag/tenantry:environment": "production"}),
    ("sqs:DeleteQueue", f"arn:aws:sqs:{HERE}:production-control", {}),
    ("sqs:ReceiveMessage", f"arn:aws:sqs:{HERE}:dev-control", {}),
    ("dynamodb:Scan", f"arn:aws:dynamodb:{HERE}:table/dev-acme-messages", {}),
    ("dynamodb:DeleteTable", f"arn:aws:dynamodb:{HERE}:table/production-tenants", {}),
    ("iam:CreateRole", f"{ROLES}/dev-tenantry-karpenter", {}),
    ("iam:CreateRole", f"{ROLES}/admin", BOUND),
    ("iam:AttachRolePolicy", ROLE, BOUND),
    ("iam:PutRolePolicy", f"{ROLES}/dev-tenantry-karpenter", {}),
    (
        "iam:DeleteRolePermissionsBoundary",
        f"{ROLES}/dev-tenantry-x",
        BOUND,
    ),
    ("iam:CreatePolicyVersion", BOUNDARY, {}),
    ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/me", {}),
    (
        "iam:PassRole",
        f"{ROLES}/dev-tenantry-control-plane",
        {"iam:PassedToService": "lambda.amazonaws.com"},
    ),
    (
        "iam:PassRole",
        f"{ROLES}/admin",
        {"iam:PassedToService": "ec2.amazonaws.com"},
    ),
    ("sts:AssumeRole", f"{ROLES}/dev-tenantry-cluster-admin", {}),
    ("s3:PutObject", f"{STATE}/environments/production.tfstate", {}),
    ("s3:DeleteObjectVersion", f"{STATE}/environments/dev.tfstate", {}),
    ("s3:PutObject", f"{STATE}/source/dev.bundle", {}),
    (
        "secretsmanager:GetSecretValue",
        f"arn:aws:secretsmanager:{HERE}:secret:dev/tenantctl/fleet-1",
        {},
    ),
    ("ssm:StartSession", f"arn:aws:ec2:{HERE}:instance/i-1", {}),
    (
        "ec2:CreateTags",
        f"arn:aws:ec2:us-east-1:{ACCOUNT}:vpc/vpc-1",
        {"aws:RequestTag/tenantry:environment": "dev", "ec2:CreateAction": "CreateVpc"},
    ),
    ("ec2:CreateRoute", f"arn:aws:ec2:{HERE}:route-table/rtb-1", {}),
    ("ec2:AuthorizeSecurityGroupIngress", GROUP, {}),
    ("ec2:AuthorizeSecurityGroupIngress", GROUP, {"aws:ResourceTag/aws:eks:cluster-name": "x"}),
    ("ec2:RevokeSecurityGroupEgress", GROUP, THEIRS),
    ("ec2:RevokeSecurityGroupEgress", GROUP, {"aws:ResourceTag/Name": "somebody's"}),
    ("ec2:RevokeSecurityGroupEgress", f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-1", {}),
    (
        "ec2:DeleteTags",
        f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-1",
        {"aws:ResourceTag/aws:eks:cluster-name": "dev"},
    ),
    ("route53:ChangeTagsForResource", "arn:aws:route53:::healthcheck/1", {}),
    ("kms:ScheduleKeyDeletion", f"arn:aws:kms:{HERE}:key/1", THEIRS),
    ("kms:TagResource", "*", {"aws:RequestTag/tenantry:environment": "production"}),
    (
        "kms:TagResource",
        f"arn:aws:kms:{HERE}:key/1",
        {**THEIRS, "aws:RequestTag/tenantry:environment": "dev"},
    ),
    ("kms:TagResource", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1", OURS),
    ("cloudwatch:DescribeAlarms", f"arn:aws:cloudwatch:us-east-1:{ACCOUNT}:alarm:*", {}),
    ("kms:ScheduleKeyDeletion", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1", OURS),
    ("kms:DeleteAlias", f"arn:aws:kms:{HERE}:alias/production-tenantry-cluster", {}),
    ("s3:DeleteBucket", STATE, {}),
    ("sns:DeleteTopic", f"arn:aws:sns:{HERE}:production-alerts", {}),
    ("sns:Publish", f"arn:aws:sns:{HERE}:dev-alerts", {}),
    ("budgets:ModifyBudget", f"arn:aws:budgets::{ACCOUNT}:budget/production-monthly", {}),
    ("s3:DeleteObjectVersion", f"arn:aws:s3:::production-tenantry-tfstate-{ACCOUNT}/x", {}),
    ("s3:DeleteObjectVersion", f"arn:aws:s3:::dev-tenantry-exports-{ACCOUNT}/x", {}),
    ("s3:GetObject", f"arn:aws:s3:::dev-tenantry-tfstate-{ACCOUNT}/x", {}),
    ("s3:GetObject", f"arn:aws:s3:::dev-tenantry-exports-{ACCOUNT}/acme/items.jsonl", {}),
    ("s3:GetObject", f"{STATE}/environments/production.tfstate", {}),
    ("s3:ListBucket", "arn:aws:s3:::tenantry-state-elsewhere", {}),
    ("logs:DeleteLogGroup", f"arn:aws:logs:{HERE}:log-group:/aws/eks/production/cluster", {}),
    ("events:DeleteRule", f"arn:aws:events:{HERE}:rule/production-karpenter-spot", {}),
    ("secretsmanager:PutSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:production/x", {}),
    ("iam:DeleteRole", f"{ROLES}/admin", {}),
    ("iam:DeleteInstanceProfile", f"arn:aws:iam::{ACCOUNT}:instance-profile/production-x", {}),
    (
        "iam:CreateServiceLinkedRole",
        f"{ROLES}/aws-service-role/x.amazonaws.com/x",
        {"iam:AWSServiceName": "x.amazonaws.com"},
    ),
    (
        "iam:CreateServiceLinkedRole",
        f"{ROLES}/any",
        {"iam:AWSServiceName": "eks.amazonaws.com"},
    ),
]


@pytest.mark.parametrize(("action", "resource", "context"), ALLOWED)
def test_workstation_may(action: str, resource: str, context: dict[str, str]) -> None:
    """What Terraform asks for its own environment."""
    assert _may(action, resource, **context)


@pytest.mark.parametrize(("action", "resource", "context"), DENIED)
def test_workstation_may_not(action: str, resource: str, context: dict[str, str]) -> None:
    """Another environment's, another region's, what is not the project's, and its own limits."""
    assert not _may(action, resource, **context)


@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("iam:CreateRole", f"{ROLES}/dev-tenantry-x"),
        ("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/me"),
        ("iam:CreateAccessKey", f"arn:aws:iam::{ACCOUNT}:user/me"),
        ("iam:PassRole", f"{ROLES}/admin"),
        ("dynamodb:GetItem", f"arn:aws:dynamodb:{HERE}:table/production-acme-messages"),
        ("sqs:ReceiveMessage", f"arn:aws:sqs:{HERE}:production-acme-messages"),
        ("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{HERE}:secret:production/x"),
        ("s3:GetObject", f"{STATE}/environments/dev.tfstate"),
        ("organizations:LeaveOrganization", "*"),
        ("ssm:SendCommand", f"arn:aws:ec2:{HERE}:instance/i-1"),
        ("eks:CreateAccessEntry", f"arn:aws:eks:{HERE}:cluster/production"),
        ("eks:UpdateAddon", f"arn:aws:eks:{HERE}:addon/production/vpc-cni/1"),
        ("ecr:BatchDeleteImage", f"arn:aws:ecr:{HERE}:repository/tenantry/producer"),
        ("ecr:PutImage", f"arn:aws:ecr:{HERE}:repository/tenantry/producer"),
        ("kms:DisableKey", f"arn:aws:kms:{HERE}:key/1"),
    ],
)
def test_no_role_that_it_makes_leads_further(action: str, resource: str) -> None:
    """A role that Terraform makes can do nothing beyond its boundary, whatever its policy says."""
    everything = parse({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    request = Request(ITSELF, action, resource)

    assert not decide(request, identity=[everything], boundary=_policy("Boundary")).allowed


@pytest.mark.parametrize(
    "tags", [{"aws:ResourceTag/tenantry:shared": "true"}, THEIRS], ids=["shared", "another's"]
)
@pytest.mark.parametrize(
    ("action", "resource"),
    [
        ("ec2:AttachVolume", f"arn:aws:ec2:{HERE}:volume/vol-1"),
        ("ec2:TerminateInstances", f"arn:aws:ec2:{HERE}:instance/i-1"),
        ("kms:Decrypt", f"arn:aws:kms:{HERE}:key/1"),
    ],
)
def test_no_role_that_it_makes_reaches_others_machines_and_keys(
    action: str, resource: str, tags: dict[str, str]
) -> None:
    """Of another environment, or of what the account's environments share."""
    everything = parse({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    boundary = _policy("Boundary")

    theirs = Request(ITSELF, action, resource, tags)
    ours = Request(ITSELF, action, resource, OURS)

    assert not decide(theirs, identity=[everything], boundary=boundary).allowed
    assert decide(ours, identity=[everything], boundary=boundary).allowed


@pytest.mark.parametrize("action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy"])
def test_more_rights_would_not_get_it_past_its_own_boundary(action: str) -> None:
    """Somebody who attaches AdministratorAccess to it lets it make no unbounded role."""
    everything = parse({"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}})
    request = Request(ITSELF, action, f"{ROLES}/any")

    assert not decide(request, identity=[everything], boundary=_policy("OwnBoundary")).allowed


def _statements() -> list[tuple[str, int, dict[str, Any]]]:
    """What grants: policy, number and statement."""
    found = []
    for name, one in RESOURCES.items():
        if one["Type"] == "AWS::IAM::ManagedPolicy" and "Roles" in one["Properties"]:
            document = one["Properties"]["PolicyDocument"]
            found += [(name, number, said) for number, said in enumerate(document["Statement"])]
    return found


STATEMENTS: Final = _statements()


def _decided(changed: tuple[str, int, dict[str, Any] | None]) -> list[str]:
    """What comes out otherwise than it should, with one statement changed, or taken away."""
    policies = []
    for name, one in RESOURCES.items():
        if one["Type"] == "AWS::IAM::ManagedPolicy" and "Roles" in one["Properties"]:
            statements = [
                changed[2] if (name, number) == changed[:2] else said
                for number, said in enumerate(one["Properties"]["PolicyDocument"]["Statement"])
            ]
            policies.append(
                parse({"Version": "2012-10-17", "Statement": [one for one in statements if one]})
            )
    policies += [
        parse(one["PolicyDocument"]) for one in RESOURCES["Role"]["Properties"]["Policies"]
    ]
    wrong = []
    for cases, expected in ((ALLOWED, True), (DENIED, False)):
        for action, resource, context in cases:
            request = Request(ITSELF, action, resource, context)
            # Its own boundary is another line of defence, and tested above.
            if decide(request, identity=policies).allowed is not expected:
                wrong.append(f"{action} {resource}")
    return wrong


@pytest.mark.parametrize(
    ("name", "number", "said"),
    STATEMENTS,
    ids=lambda value: value.get("Sid") if isinstance(value, dict) else str(value),
)
def test_each_statement_is_asked(name: str, number: int, said: dict[str, Any]) -> None:
    """Without it something is denied that Terraform needs; wider, something is let through."""
    assert _decided((name, number, None)), "nothing needs it"
    if said["Resource"] != "*":
        assert _decided((name, number, {**said, "Resource": "*"})), "its resources do not count"
    if "Condition" in said:
        bare = {key: value for key, value in said.items() if key != "Condition"}
        assert _decided((name, number, bare)), "its condition does not count"
