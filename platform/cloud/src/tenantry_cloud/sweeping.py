"""What still bears an environment's tag once Terraform has destroyed it.

Swept is what controllers leave when their cluster goes before them, and what nobody can have put
data on for good: the rest is reported, and a person's business.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from tenantry_cloud.bootstrap import workstation_stacks
from tenantry_cloud.model import Environment
from tenantry_cloud.steps import Commands, output

#: By a part of the ARN: the command that deletes it. In this order, as one holds the other.
_SWEPT: Final[tuple[tuple[re.Pattern[str], Callable[[str], tuple[str, ...]]], ...]] = (
    (
        re.compile(r":elasticloadbalancing:.*:loadbalancer/"),
        lambda arn: ("elbv2", "delete-load-balancer", "--load-balancer-arn", arn),
    ),
    (
        re.compile(r":elasticloadbalancing:.*:targetgroup/"),
        lambda arn: ("elbv2", "delete-target-group", "--target-group-arn", arn),
    ),
    (
        re.compile(r":ec2:.*:network-interface/"),
        lambda arn: ("ec2", "delete-network-interface", "--network-interface-id", _id(arn)),
    ),
    (
        re.compile(r":ec2:.*:security-group/"),
        lambda arn: ("ec2", "delete-security-group", "--group-id", _id(arn)),
    ),
    (
        re.compile(r":ec2:.*:launch-template/"),
        lambda arn: ("ec2", "delete-launch-template", "--launch-template-id", _id(arn)),
    ),
)
_STACK: Final = "aws:cloudformation:stack-name"


def sweep(commands: Commands, said: Environment) -> Iterator[str]:
    """Delete what can be swept; a line for each, also where AWS would not."""
    arns = _tagged(commands, said)
    for pattern, words in _SWEPT:
        for arn in arns:
            if pattern.search(arn):
                done = commands.run(("aws", *words(arn), "--region", said.region))
                yield f"{'deleted' if done.status == 0 else 'not deleted'}: {arn}"


def leftovers(commands: Commands, said: Environment) -> list[str]:
    """ARNs of what is still there, but for keys that wait for their deletion."""
    return [arn for arn in _tagged(commands, said) if not _is_going(commands, said, arn)]


def _tagged(commands: Commands, said: Environment) -> list[str]:
    words = (
        *("aws", "resourcegroupstaggingapi", "get-resources", "--region", said.region),
        *("--tag-filters", f"Key=tenantry:environment,Values={said.environment}"),
        "--output=json",
    )
    found = json.loads(output(commands, *words))["ResourceTagMappingList"]
    stacks = workstation_stacks(said.environment)
    return sorted(one["ResourceARN"] for one in found if _tags(one).get(_STACK) not in stacks)


def _tags(one: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in one.get("Tags", [])}


def _is_going(commands: Commands, said: Environment, arn: str) -> bool:
    if ":kms:" in arn:
        key = ("aws", "kms", "describe-key", "--key-id", arn, "--region", said.region)
        done = commands.run((*key, "--query", "KeyMetadata.KeyState", "--output", "text"))
        return "NotFound" in done.err or done.out.strip() == "PendingDeletion"
    if re.search(r":ec2:.*:(instance|natgateway|vpc-endpoint)/", arn):
        # Their tags stay for an hour after they are gone.
        kind = arn.rsplit(":", 1)[1].partition("/")[0]
        return _state(commands, said, kind, _id(arn)) in {"terminated", "deleted", "deleting"}
    return False


def _state(commands: Commands, said: Environment, kind: str, name: str) -> str:
    asked = {
        "instance": (
            "describe-instances",
            "--instance-ids",
            "Reservations[].Instances[].State.Name",
        ),
        "natgateway": ("describe-nat-gateways", "--nat-gateway-ids", "NatGateways[].State"),
        "vpc-endpoint": ("describe-vpc-endpoints", "--vpc-endpoint-ids", "VpcEndpoints[].State"),
    }
    command, option, query = asked[kind]
    done = commands.run(
        (
            *("aws", "ec2", command, option, name, "--region", said.region),
            *("--query", query, "--output", "text"),
        )
    )
    # An answer that is none is no answer: it is reported, and a person looks.
    return "deleted" if "NotFound" in done.err else done.out.strip()


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
