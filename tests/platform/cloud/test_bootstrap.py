"""CloudFormation's part: the bucket of the state, and the workstation with what it may."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Final

import pytest

from cloud import templates
from cloud.environments import FILES, ROOT, changed, write
from iam.evaluator import Principal, Request, decide
from iam.policies import parse
from iam.quotas import MANAGED_POLICIES, MANAGED_POLICY_CHARACTERS
from tenantry_cloud import bootstrap
from tenantry_cloud.errors import CloudError
from tenantry_cloud.reading import read_environment

DEV: Final = read_environment(ROOT / "platform/environments/dev.tfvars")
RESOURCES: Final = templates.workstation(bootstrap.parameters(DEV))
ITSELF: Final = Principal(
    arn=f"arn:aws:sts::{templates.ACCOUNT}:assumed-role/dev-workstation/i-1",
    role_arn=f"arn:aws:iam::{templates.ACCOUNT}:role/dev-workstation",
)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_parameters_of_every_environment_are_the_templates_own(file: Path) -> None:
    """Each has a value that its pattern takes; what has none has a default."""
    given = bootstrap.parameters(read_environment(file))
    declared = templates.load("workstation.yaml")["Parameters"]
    before = [templates.load(name)["Parameters"] for name in templates.WORKSTATION[:-1]]

    assert given.keys() <= declared.keys()
    assert [{"Environment": declared["Environment"]}] * 2 == before
    for name, one in declared.items():
        assert name in given or "Default" in one, name
        if "AllowedPattern" in one:
            assert re.fullmatch(one["AllowedPattern"], given[name])
        if one["Type"] == "Number":
            assert one["MinValue"] <= int(given[name]) <= one["MaxValue"]


def test_commands_name_the_templates_and_the_environment() -> None:
    """What a person runs is one line each, and holds no secret."""
    said = dict(bootstrap.commands(DEV))
    deploys = [line for line in said.values() if "cloudformation deploy" in line]

    files = ["state.yaml", *templates.WORKSTATION]
    for file, line in zip(files, deploys, strict=True):
        assert f"--template-file platform/bootstrap/{file} " in line
        makes_roles = any(
            one["Type"].startswith("AWS::IAM::")
            for one in templates.load(file)["Resources"].values()
        )
        assert ("CAPABILITY_NAMED_IAM" in line) is makes_roles
    stacks = [re.search(r"--stack-name (\S+)", line) for line in deploys]
    assert bootstrap.workstation_stacks("dev") == [found[1] for found in stacks[1:] if found]
    assert "Cidr=10.15.0.0/24" in said["the workstation"]
    assert all("\n" not in line for line in said.values())


def test_an_environment_without_a_machine_is_told_so(tmp_path: Path) -> None:
    """Before anything is deployed."""
    none = {"workstation": None, "kubernetes/public_access_cidrs": ["192.0.2.0/24"]}
    said = read_environment(write(tmp_path / "dev.tfvars", changed(none)))

    with pytest.raises(CloudError, match="is null"):
        bootstrap.parameters(said)


def test_nothing_comes_in() -> None:
    """No rule lets anything in, and there is no key to come in with."""
    group = RESOURCES["SecurityGroup"]["Properties"]

    assert group["SecurityGroupIngress"] == []
    assert not [name for name, one in RESOURCES.items() if one["Type"].endswith("Ingress")]
    assert "KeyName" not in json.dumps(RESOURCES)
    assert [443] == [rule["ToPort"] for rule in group["SecurityGroupEgress"]]


def test_disk_is_encrypted_and_metadata_need_a_token() -> None:
    """IMDSv2, one hop; and the machine that stops itself is stopped, not terminated."""
    machine = RESOURCES["Machine"]["Properties"]
    metadata = RESOURCES["LaunchTemplate"]["Properties"]["LaunchTemplateData"]["MetadataOptions"]

    assert all(one["Ebs"]["Encrypted"] for one in machine["BlockDeviceMappings"])
    assert metadata["HttpTokens"] == "required"
    assert metadata["HttpPutResponseHopLimit"] == 1
    assert machine["InstanceInitiatedShutdownBehavior"] == "stop"
    assert machine["LaunchTemplate"]["LaunchTemplateId"] == "LaunchTemplate"


def test_state_is_kept_versioned_encrypted_and_private() -> None:
    """The bucket stays when its stack goes, and whoever asks without TLS gets nothing."""
    found = templates.resources("state.yaml", {})
    bucket = found["State"]["Properties"]
    policy = parse(found["StatePolicy"]["Properties"]["PolicyDocument"])

    assert {"Retain"} == {
        one[key] for one in found.values() for key in ("DeletionPolicy", "UpdateReplacePolicy")
    }
    assert bucket["VersioningConfiguration"]["Status"] == "Enabled"
    assert bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    for secure, expected in (("false", "explicit deny"), ("true", "allow")):
        request = Request(
            ITSELF,
            "s3:GetObject",
            "arn:aws:s3:::State/environments/dev.tfstate",
            {"aws:SecureTransport": secure},
        )
        everything = parse({"Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
        assert decide(request, identity=[everything], resource=policy).outcome == expected


def test_policies_are_no_longer_than_iam_takes() -> None:
    """White space not counted, with the longest names; boundaries are managed policies, too."""
    longest = {"Environment": "e" * 20, "AWS::Region": "ap-southeast-1"}
    policies = {
        name: one["Properties"]
        for name, one in templates.workstation({**bootstrap.parameters(DEV), **longest}).items()
        if one["Type"] == "AWS::IAM::ManagedPolicy"
    }
    sizes = {
        name: len(json.dumps(policy["PolicyDocument"], separators=(",", ":")))
        for name, policy in policies.items()
    }

    assert {n: size for n, size in sizes.items() if size > MANAGED_POLICY_CHARACTERS} == {}
    attached = [name for name, policy in policies.items() if "Roles" in policy]
    assert 4 <= len(attached) <= MANAGED_POLICIES
    assert {"Boundary", "OwnBoundary"} <= sizes.keys()


def test_its_role_is_for_ec2_and_bounded() -> None:
    """No AdministratorAccess, and nobody but the machine becomes it."""
    role = RESOURCES["Role"]["Properties"]

    assert role["PermissionsBoundary"].endswith(":policy/dev-workstation-boundary")
    assert "ManagedPolicyArns" not in role
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
