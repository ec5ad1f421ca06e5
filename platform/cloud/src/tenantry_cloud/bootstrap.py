"""What is there before Terraform: the bucket of its state, and the workstation that applies it.

CloudFormation makes both, from platform/bootstrap and the environment's variables file.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from tenantry_cloud.errors import CloudError
from tenantry_cloud.model import Environment

STATE_STACK: Final = "tenantry-state"
#: What the workstation's own stack has to find: role first, then its rights.
_BEFORE_IT: Final = {
    "role": "the workstation's role, and the boundaries of what it makes",
    "rights": "what the workstation may do",
}


def workstation_stack(environment: str) -> str:
    """The name of its stack."""
    return f"{environment}-workstation"


def workstation_stacks(environment: str) -> list[str]:
    """The names of all its stacks, in the order in which they are made."""
    stack = workstation_stack(environment)
    return [*(f"{stack}-{part}" for part in _BEFORE_IT), stack]


def parameters(said: Environment) -> dict[str, str]:
    """Those of platform/bootstrap/workstation.yaml.

    Raises:
        CloudError: The environment has none.
    """
    machine = said.workstation
    if machine is None:
        raise CloudError(
            f"{said.environment}.tfvars: workstation is null: Terraform is applied from elsewhere."
        )
    return {
        "Environment": said.environment,
        "Cidr": machine.cidr,
        "Zone": said.network.zones[0],
        "InstanceType": machine.instance_type,
        "VolumeGib": str(machine.volume_gib),
        "IdleMinutes": str(machine.idle_minutes),
    }


def commands(said: Environment) -> list[tuple[str, str]]:
    """What a person runs, in this order: why, and the command."""
    stack, region = workstation_stack(said.environment), said.region
    bucket = (
        f"tenantry-state-$(aws sts get-caller-identity --query Account --output text)-{region}"
    )
    machine = (
        f"$(aws cloudformation describe-stacks --region {region} --stack-name {stack}"
        " --query \"Stacks[0].Outputs[?OutputKey=='Machine'].OutputValue\" --output text)"
    )
    session = f"aws ssm start-session --region {region} --target {machine}"
    tags = {**said.tags, "tenantry:environment": said.environment}
    port = shlex.quote('{"portNumber":["8080"],"localPortNumber":["8080"]}')
    show = shlex.quote('{"command":["sudo cat /srv/developer/.config/code-server/config.yaml"]}')
    return [
        (
            "the bucket of Terraform's state, once an account and region",
            _deploy(region, STATE_STACK, "state.yaml", {}, said.tags),
        ),
        (
            "the project, for the workstation to clone",
            f"git bundle create - HEAD | aws s3 cp - s3://{bucket}/source/{said.environment}.bundle",
        ),
        *(
            (
                why,
                _deploy(
                    *(region, f"{stack}-{part}", f"workstation-{part}.yaml"),
                    *({"Environment": said.environment}, tags),
                    makes_roles=True,
                ),
            )
            for part, why in _BEFORE_IT.items()
        ),
        ("the workstation", _deploy(region, stack, "workstation.yaml", parameters(said), tags)),
        (
            "start it, when it has stopped itself",
            f"aws ec2 start-instances --region {region} --instance-ids {machine}",
        ),
        (
            "its password",
            f"{session} --document-name AWS-StartNonInteractiveCommand --parameters {show}",
        ),
        (
            "its IDE, at http://localhost:8080 for as long as this runs",
            f"{session} --document-name AWS-StartPortForwardingSession --parameters {port}",
        ),
    ]


def _deploy(
    region: str,
    stack: str,
    template: str,
    given: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    makes_roles: bool = False,
) -> str:
    words = [
        *("aws", "cloudformation", "deploy", "--region", region, "--stack-name", stack),
        *("--template-file", f"platform/bootstrap/{template}", "--no-fail-on-empty-changeset"),
    ]
    if makes_roles:
        words += ["--capabilities", "CAPABILITY_NAMED_IAM"]
    if given:
        words += ["--parameter-overrides"]
        words += [f"{name}={value}" for name, value in given.items()]
    if tags:
        words += ["--tags", *(f"{name}={value}" for name, value in sorted(tags.items()))]
    return shlex.join(words)
