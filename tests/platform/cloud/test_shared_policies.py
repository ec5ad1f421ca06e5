"""What the machines of `shared` may do, who becomes their roles, and who signs releases."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from cloud.shared_root import Resource, forget, made, open_part
from iam.evaluator import Principal, Request, assume, decide
from iam.policies import Policy, parse
from iam.quotas import ROLE_POLICIES_CHARACTERS, TRUST_POLICY_CHARACTERS
from support import terraform

#: A provider that starts needs seconds of CPU, of which a busy machine has few.
pytestmark = pytest.mark.terraform

ACCOUNT: Final = "000000000000"
HERE: Final = f"eu-central-1:{ACCOUNT}"
REPOSITORY: Final = f"arn:aws:ecr:{HERE}:repository"
KEY: Final = f"arn:aws:kms:{HERE}:key"
SIGNING_KEY: Final = f"{KEY}/66666666-7777-8888-9999-000000000000"
GITEA_KEY: Final = f"{KEY}/11111111-2222-3333-4444-555555555555"
OTHER_KEY: Final = f"{KEY}/00000000-0000-0000-0000-000000000000"
SECRET: Final = f"arn:aws:secretsmanager:{HERE}:secret:shared/gitea"
MACHINE: Final = f"arn:aws:ec2:{HERE}:instance/i-0123456789abcdef0"
VOLUME: Final = f"arn:aws:ec2:{HERE}:volume/vol-0123456789abcdef0"
SNAPSHOT: Final = "arn:aws:ec2:eu-central-1::snapshot/snap-0123456789abcdef0"

#: Service Authorization Reference: of these no single resource can be named.
WITHOUT_RESOURCE: Final = frozenset(
    {
        "ec2:DescribeIamInstanceProfileAssociations",
        "ec2:DescribeInstances",
        "ec2:DescribeSnapshots",
        "ec2:DescribeVolumes",
        "ecr:GetAuthorizationToken",
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    }
)

ROLES: Final = ("gitea", "gitea-snapshots", "runner-ci", "runner-release")


@dataclass(frozen=True, slots=True)
class Cell:
    """Whether a role may do something."""

    role: str
    action: str
    resource: str
    allowed: bool
    told: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        may = "may" if self.allowed else "may not"
        return f"{self.role} {may} {self.action} {self.resource.rpartition(':')[2]} {self.told}"

    def decides(self, policy: Policy) -> bool:
        """Whether this policy allows it."""
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/shared-tenantry-{self.role}/i-0"
        principal = Principal(arn, f"arn:aws:iam::{ACCOUNT}:role/shared-tenantry-{self.role}")
        request = Request(principal, self.action, self.resource, dict(self.told))
        return decide(request, identity=[policy]).allowed


def cells() -> Iterator[Cell]:
    """Every role with every thing."""
    secrets = {
        name: f"{SECRET}/{name}-AbCdEf" for name in ("admin", "runner-ci", "runner-release")
    }
    for role in ROLES:
        for name, secret in secrets.items():
            reads = role in ("gitea", name)
            yield Cell(role, "secretsmanager:GetSecretValue", secret, reads)
            yield Cell(role, "secretsmanager:PutSecretValue", secret, role == "gitea")
            yield Cell(role, "secretsmanager:DeleteSecret", secret, allowed=False)
        for action in ("GetSecretValue", "PutSecretValue"):
            yield Cell(role, f"secretsmanager:{action}", f"{SECRET}/another-AbCdEf", allowed=False)
        yield from _keys(role)
        yield from _registry(role)
        yield from _machines(role)
        yield from _snapshots(role)
        for action in ("iam:PassRole", "iam:CreateRole", "sts:AssumeRole"):
            yield Cell(role, action, f"arn:aws:iam::{ACCOUNT}:role/any", allowed=False)
        yield Cell(role, "ssm:GetParameter", f"arn:aws:ssm:{HERE}:parameter/any", allowed=False)
        yield Cell(
            role, "s3:GetObject", "arn:aws:s3:::tenantry-state/shared.tfstate", allowed=False
        )


def _keys(role: str) -> Iterator[Cell]:
    releases = role == "runner-release"
    for action in ("Sign", "GetPublicKey", "DescribeKey"):
        yield Cell(role, f"kms:{action}", SIGNING_KEY, releases)
        yield Cell(role, f"kms:{action}", OTHER_KEY, allowed=False)
    for action in ("PutKeyPolicy", "ScheduleKeyDeletion", "CreateGrant"):
        for key in (SIGNING_KEY, GITEA_KEY):
            yield Cell(role, f"kms:{action}", key, allowed=False)
    for key in (GITEA_KEY, OTHER_KEY):
        own = key == GITEA_KEY
        yield Cell(role, "kms:Decrypt", key, own and role != "gitea-snapshots")
        yield Cell(role, "kms:GenerateDataKey", key, own and role == "gitea")


def _registry(role: str) -> Iterator[Cell]:
    releases = role == "runner-release"
    yield Cell(role, "ecr:GetAuthorizationToken", "*", releases)
    for name in (
        "producer",
        "consumer",
        "tenantctl",
        "tf-runner",
        "tenant-template",
        "tenant-module",
    ):
        yield Cell(role, "ecr:PutImage", f"{REPOSITORY}/tenantry/{name}", releases)
    for action in (
        "InitiateLayerUpload",
        "UploadLayerPart",
        "CompleteLayerUpload",
        "BatchGetImage",
    ):
        yield Cell(role, f"ecr:{action}", f"{REPOSITORY}/tenantry/producer", releases)
    for action in ("BatchCheckLayerAvailability", "GetDownloadUrlForLayer"):
        yield Cell(role, f"ecr:{action}", f"{REPOSITORY}/tenantry/producer", releases)
    # What is there is asked for by name: by digest, by tag, by what it refers to.
    for action in ("ListImages", "DescribeImages", "DescribeRepositories"):
        yield Cell(role, f"ecr:{action}", f"{REPOSITORY}/tenantry/producer", allowed=False)
    for other in ("other", "tenantry/other", "tenantry/producer-2"):
        yield Cell(role, "ecr:PutImage", f"{REPOSITORY}/{other}", allowed=False)
    for action in (
        "BatchDeleteImage",
        "DeleteRepository",
        "PutImageTagMutability",
        "SetRepositoryPolicy",
    ):
        yield Cell(role, f"ecr:{action}", f"{REPOSITORY}/tenantry/producer", allowed=False)


def _machines(role: str) -> Iterator[Cell]:
    reached = role == "gitea"  # whoever could log in to the other would sign
    yield Cell(role, "ssmmessages:OpenDataChannel", "*", reached)
    yield Cell(role, "ssm:UpdateInstanceInformation", MACHINE, reached)
    elsewhere = f"arn:aws:ssm:{HERE}:managed-instance/mi-1"
    yield Cell(role, "ssm:UpdateInstanceInformation", elsewhere, allowed=False)
    yield Cell(role, "ssm:SendCommand", MACHINE, allowed=False)
    yield Cell(role, "ec2:DescribeIamInstanceProfileAssociations", "*", role == "runner-ci")
    for action in ("DisassociateIamInstanceProfile", "ModifyInstanceMetadataOptions"):
        for kind in ("ci", "release", None):
            told = {"aws:ResourceTag/tenantry:runner": f"shared-{kind}"} if kind else {}
            own = (role, kind) == ("runner-ci", "ci")
            yield Cell(role, f"ec2:{action}", MACHINE, allowed=own, told=told)
    told = {"aws:ResourceTag/tenantry:runner": "shared-ci"}
    yield Cell(role, "ec2:DisassociateIamInstanceProfile", VOLUME, allowed=False, told=told)
    for action in ("AssociateIamInstanceProfile", "RunInstances", "TerminateInstances"):
        yield Cell(role, f"ec2:{action}", MACHINE, allowed=False, told=told)


def _snapshots(role: str) -> Iterator[Cell]:
    makes = role == "gitea-snapshots"
    yield Cell(role, "ec2:DescribeSnapshots", "*", makes)
    for of in ("shared-gitea", "other", None):
        there = {"aws:ResourceTag/tenantry:snapshots": of} if of else {}
        asked = {"aws:RequestTag/tenantry:snapshots": of} if of else {}
        own = makes and of == "shared-gitea"
        yield Cell(role, "ec2:CreateSnapshot", VOLUME, allowed=own, told=there)
        # With its tags or without, which come in a call of their own then: AWS says neither.
        yield Cell(role, "ec2:CreateSnapshot", SNAPSHOT, allowed=makes, told=asked)
        whose = makes and of != "other"
        yield Cell(role, "ec2:CreateTags", SNAPSHOT, allowed=whose, told=asked)
        yield Cell(role, "ec2:CreateTags", SNAPSHOT, allowed=whose, told=there)
        yield Cell(role, "ec2:DeleteSnapshot", SNAPSHOT, allowed=own, told=there)
        for action in ("CreateTags", "DeleteSnapshot"):
            yield Cell(role, f"ec2:{action}", VOLUME, allowed=False, told=there | asked)
        yield Cell(role, "ec2:CreateSnapshot", MACHINE, allowed=False, told=there | asked)
        # Of another region, whose machines are not here.
        elsewhere = SNAPSHOT.replace("central", "west")
        yield Cell(role, "ec2:DeleteSnapshot", elsewhere, allowed=False, told=there)
        yield Cell(role, "ec2:CreateTags", elsewhere, allowed=False, told=asked)
    told = {"aws:RequestTag/tenantry:snapshots": "shared-gitea"}
    yield Cell(role, "ec2:ModifySnapshotAttribute", SNAPSHOT, allowed=False, told=told)
    told = {"aws:ResourceTag/tenantry:snapshots": "shared-gitea"}
    yield Cell(role, "ec2:ModifySnapshotAttribute", SNAPSHOT, allowed=False, told=told)
    yield Cell(role, "ec2:DeleteVolume", VOLUME, allowed=False, told=told)


CELLS: Final = tuple(cells())


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Resource]:
    """All of `shared` by address, as Terraform renders it."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not installed")
    folder = tmp_path_factory.mktemp("shared") / "terraform"
    found = made(open_part(tool, folder, "shared"), "shared")["made"]
    forget(folder)
    return {one.address: one for one in found}


@pytest.fixture(scope="module")
def access(resources: dict[str, Resource]) -> dict[str, dict[str, Any]]:
    """What each role may, as the document."""
    at = {"gitea": "server", "gitea-snapshots": "snapshots"}
    places = {role: at.get(role, f'runner["{role.partition("-")[2]}"]') for role in ROLES}
    return {
        role: json.loads(resources[f"module.gitea.aws_iam_role_policy.{place}"].values["policy"])
        for role, place in places.items()
    }


@pytest.fixture(scope="module")
def trust(resources: dict[str, Resource]) -> dict[str, Policy]:
    """Who becomes each role, by the role's name."""
    return {
        one.values["name"].removeprefix("shared-tenantry-"): parse(
            one.values["assume_role_policy"]
        )
        for one in resources.values()
        if one.kind == "aws_iam_role"
    }


def wrong(role: str, document: Mapping[str, Any]) -> list[str]:
    """The cells of a role that a policy decides otherwise than it is to."""
    policy = parse(document)
    return [
        str(cell) for cell in CELLS if cell.role == role and cell.decides(policy) != cell.allowed
    ]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_what_it_is_for_and_nothing_else(
    role: str, access: dict[str, dict[str, Any]]
) -> None:
    """Its own secret; Gitea all three; `release` to push and sign; `ci` to be without a role."""
    assert [] == wrong(role, access[role])


@pytest.mark.parametrize("role", ROLES)
def test_a_statement_that_is_wider_is_seen(role: str, access: dict[str, dict[str, Any]]) -> None:
    """Without its condition, on any resource, or with any action of its service."""
    for place, statement in enumerate(access[role]["Statement"]):
        service = listed(statement["Action"])[0].partition(":")[0]
        wider = [
            {key: value for key, value in statement.items() if key != "Condition"},
            {**statement, "Resource": "*"},
            # All that Session Manager's channels know is allowed.
            statement if service == "ssmmessages" else {**statement, "Action": f"{service}:*"},
        ]
        for one in wider:
            if one != statement:
                document = copy.deepcopy(access[role])
                document["Statement"][place] = one
                assert wrong(role, document), f"{statement['Sid']} as {one}"


def test_documents_are_within_what_iam_takes(
    access: dict[str, dict[str, Any]], resources: dict[str, Resource]
) -> None:
    """Each role has one policy of its own; names are as long as they get."""
    policies = [one for one in resources.values() if one.kind == "aws_iam_role_policy"]
    roles = [one for one in resources.values() if one.kind == "aws_iam_role"]
    assert len(policies) == len(roles) == len(access) + 1, "and one for flow logs"
    for one in (*policies, *roles):
        document = one.values.get("policy") or one.values["assume_role_policy"]
        length = len(json.dumps(json.loads(document), separators=(",", ":")))
        most = ROLE_POLICIES_CHARACTERS if one in policies else TRUST_POLICY_CHARACTERS
        assert length <= most, one.address


def test_a_resource_is_named_where_one_can_be(access: dict[str, dict[str, Any]]) -> None:
    """And no action by a pattern."""
    for role, document in access.items():
        for statement in document["Statement"]:
            actions = set(listed(statement["Action"]))
            assert not [action for action in actions if "*" in action], role
            if "*" in listed(statement["Resource"]):
                assert actions <= WITHOUT_RESOURCE, f"{role} {statement['Sid']}"


def test_only_machines_become_machines(trust: dict[str, Policy]) -> None:
    """No pod, no other service, nobody with every permission of their own, no other role."""
    everything = parse(
        {
            "Version": "2012-10-17",
            "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"},
        }
    )
    callers = {
        **{
            service: Principal(f"{service}.amazonaws.com")
            for service in ("ec2", "dlm", "vpc-flow-logs", "pods.eks", "lambda", "ssm")
        },
        "administrator": Principal(f"arn:aws:iam::{ACCOUNT}:user/administrator"),
        "runner-ci": Principal(
            f"arn:aws:sts::{ACCOUNT}:assumed-role/shared-tenantry-runner-ci/i-0",
            f"arn:aws:iam::{ACCOUNT}:role/shared-tenantry-runner-ci",
        ),
    }
    let_in = {
        (role, caller, account)
        for role, policy in trust.items()
        for caller, principal in callers.items()
        for account in (ACCOUNT, "999999999999")
        if assume(
            principal,
            f"arn:aws:iam::{ACCOUNT}:role/shared-tenantry-{role}",
            policy,
            session_name="s",
            identity=[] if principal.is_service else [everything],
            context={"aws:SourceAccount": account} if principal.is_service else {},
        )
    }

    assert let_in == {
        # EC2 tells no account: it gives a role to a machine by its profile.
        *((role, "ec2", ACCOUNT) for role in ("gitea", "runner-ci", "runner-release")),
        *((role, "ec2", "999999999999") for role in ("gitea", "runner-ci", "runner-release")),
        ("gitea-snapshots", "dlm", ACCOUNT),
        ("flow-logs", "vpc-flow-logs", ACCOUNT),
    }


def test_releases_alone_sign(resources: dict[str, Resource]) -> None:
    """Whatever an identity policy says: the key's own has to allow it, and allows no grant."""
    policy = parse(resources["aws_kms_key.signing"].values["policy"])

    def by_the_key(role: str, action: str) -> bool:
        arn = f"arn:aws:iam::{ACCOUNT}:role/shared-tenantry-{role}"
        session = f"arn:aws:sts::{ACCOUNT}:assumed-role/shared-tenantry-{role}/i-0"
        request = Request(Principal(session, arn), action, SIGNING_KEY)
        return decide(request, resource=policy).allowed

    # What the account's root may not, no identity policy of the account can give.
    root = Principal(f"arn:aws:iam::{ACCOUNT}:root")

    def delegated(action: str) -> bool:
        return decide(Request(root, action, SIGNING_KEY), resource=policy).allowed

    assert by_the_key("runner-release", "kms:Sign")
    assert not by_the_key("runner-release", "kms:PutKeyPolicy")
    assert [] == [role for role in ROLES[:-1] if by_the_key(role, "kms:Sign")]
    assert delegated("kms:PutKeyPolicy")
    assert delegated("kms:GetPublicKey")
    assert not delegated("kms:Sign")
    assert not delegated("kms:CreateGrant")


def test_no_secret_has_a_value_that_terraform_knows(resources: dict[str, Resource]) -> None:
    """They are made on the machine: neither the state nor user data holds one."""
    kinds = {one.kind for one in resources.values()}

    assert "aws_secretsmanager_secret" in kinds
    assert not kinds & {"aws_secretsmanager_secret_version", "random_password", "tls_private_key"}
