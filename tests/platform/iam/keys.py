"""The condition keys that this evaluator knows, and how many values each may have.

Sources: IAM User Guide, "AWS global condition context keys" and "IAM and AWS STS condition
context keys"; Service Authorization Reference, the table "Condition keys" of each service: a key
whose type begins with `ArrayOf` has several values.
"""

from __future__ import annotations

from functools import cache
from typing import Final


class PolicyError(ValueError):
    """A policy that IAM would not take, or that holds what this evaluator does not know."""


#: With a part after the slash that the account's owner chooses: a tag's key.
_WITH_A_TAG: Final = (
    "aws:PrincipalTag/",
    "aws:RequestTag/",
    "aws:ResourceTag/",
    "ec2:ResourceTag/",
    "iam:ResourceTag/",
    "s3:ExistingObjectTag/",
)
_OF_ONE_VALUE: Final = (
    "aws:CurrentTime",
    "aws:MultiFactorAuthPresent",
    "aws:PrincipalAccount",
    "aws:PrincipalArn",
    "aws:RequestedRegion",
    "aws:SecureTransport",
    "aws:SourceAccount",
    "aws:SourceArn",
    "aws:SourceIp",
    "aws:TokenIssueTime",
    "aws:userid",
    "aws:username",
    "dynamodb:EnclosingOperation",
    "dynamodb:FullTableScan",
    "dynamodb:ReturnConsumedCapacity",
    "dynamodb:ReturnValues",
    "dynamodb:Select",
    "ec2:CreateAction",
    "ec2:InstanceType",
    "elasticloadbalancing:CreateAction",
    "graph.facebook.com:id",
    "iam:AWSServiceName",
    "iam:AssociatedResourceArn",
    "iam:PassedToService",
    "iam:PermissionsBoundary",
    "kms:ViaService",
    "s3:max-keys",
    "s3:prefix",
    "sts:ExternalId",
    "sts:RoleSessionName",
    "www.amazon.com:user_id",
)
_OF_SEVERAL_VALUES: Final = (
    "aws:TagKeys",
    "dynamodb:Attributes",
    "dynamodb:LeadingKeys",
    "events:detail-type",
    "events:source",
    "route53:ChangeResourceRecordSetsRecordTypes",
    "sts:TransitiveTagKeys",
)

_TAGGED: Final = tuple(prefix.lower() for prefix in _WITH_A_TAG)
_ONE: Final = frozenset(key.lower() for key in _OF_ONE_VALUE)
_SEVERAL: Final = frozenset(key.lower() for key in _OF_SEVERAL_VALUES)


@cache
def is_multivalued(key: str) -> bool:
    """Whether a request may have several values of this key."""
    return key.lower() in _SEVERAL


@cache
def check_key(key: str) -> None:
    """Whether the key is known. The case of a key does not matter.

    Raises:
        PolicyError: It is not.
    """
    lower = key.lower()
    tagged = any(lower.startswith(prefix) and lower != prefix for prefix in _TAGGED)
    if not tagged and lower not in _ONE and lower not in _SEVERAL:
        raise PolicyError(f"condition key: {key}")
