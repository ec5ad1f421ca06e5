"""What AWS would ask of IAM for a call as it is on the wire: actions, resources, context.

One call may need several permissions (a table that is made with tags), and the name of a call is
not always the action's (`SendMessageBatch` needs `sqs:SendMessage`, a statement of
`BatchExecuteStatement` needs `dynamodb:PartiQLInsert`). A call that is not known here raises: it
is never let through by mistake.

Sources: Service Authorization Reference for each service; SQS, "Amazon SQS batch actions" and
`CreateQueue`; DynamoDB, "IAM security policies with PartiQL for DynamoDB" and "Using IAM policy
conditions for fine-grained access control"; CloudWatch, `PutMetricAlarm`; EKS, "Create IAM role
with trust policy required by EKS Pod Identity".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

#: The service that pods' roles are passed to.
PODS: Final = "pods.eks.amazonaws.com"
#: The partition key of every table of ours.
PARTITION_KEY: Final = "tenant_id"

_SINGLE: Final = {
    "SendMessageBatch": "SendMessage",
    "DeleteMessageBatch": "DeleteMessage",
    "ChangeMessageVisibilityBatch": "ChangeMessageVisibility",
}
_ON_A_QUEUE: Final = frozenset(
    {"SendMessage", "ReceiveMessage", "DeleteMessage", "ChangeMessageVisibility", "PurgeQueue"}
    | {"DeleteQueue", "GetQueueAttributes", "SetQueueAttributes", "ListQueueTags"}
    | {"TagQueue", "UntagQueue"}
)
_ON_A_TABLE: Final = frozenset(
    {"DescribeTable", "UpdateTable", "DeleteTable", "DescribeContinuousBackups", "Scan"}
    | {"UpdateContinuousBackups", "DescribeTimeToLive", "UpdateTimeToLive"}
)
_WRITES: Final = frozenset({"PutItem", "DeleteItem"})
_ON_ITEMS: Final = _WRITES | {"GetItem", "Query", "BatchGetItem", "BatchExecuteStatement"}
_TAGGING: Final = frozenset({"TagResource", "UntagResource", "ListTagsOfResource"})
_ASSOCIATIONS: Final = re.compile(r"/clusters/([^/]+)/pod-identity-associations(?:/([^/]+))?/?")
_INSERT: Final = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_EQUALS: Final = re.compile(r"([\w#]+) = (:\w+)")

Context = dict[str, str | tuple[str, ...]]


class UnknownCallError(ValueError):
    """A call that this module cannot say the permissions of."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call as it came.

    Attributes:
        service: As it is signed for: `sqs`, `dynamodb`, `sts`, `monitoring`, `eks`, `tagging`.
        operation: Of AWS's API; empty where method and path say it.
    """

    service: str
    region: str
    account: str
    operation: str = ""
    body: bytes = b""
    method: str = "POST"
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Needed:
    """One permission. `entry` is the place in a batch whose entries are decided one by one."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)
    entry: int | None = None

    def __str__(self) -> str:
        return f"{self.action} on resource: {self.resource}"


def needed(call: Call) -> list[Needed]:
    """What a call needs; all of it, but for the entries of a batch, each of which fails alone.

    `AssumeRole` is not here: a trust policy decides.

    Raises:
        UnknownCallError: It is not known.
    """
    match call.service:
        case "sqs":
            found = _sqs(call, json.loads(call.body or b"{}"))
        case "dynamodb":
            found = _dynamodb(call, json.loads(call.body or b"{}"))
        case "monitoring":
            found = _cloudwatch(call, query(call.body))
        case "eks":
            found = _eks(call)
        case "tagging" if call.operation == "GetResources":
            found = iter([Needed("tag:GetResources", "*")])
        case _:
            found = _unknown(call)
    return list(found)


def query(body: bytes) -> dict[str, str]:
    """The parameters of a call of the query protocol."""
    return {name: values[0] for name, values in parse_qs(body.decode("latin-1")).items()}


def numbered(parameters: Mapping[str, str], prefix: str) -> Iterator[dict[str, str]]:
    """The members of a list of the query protocol: `Tags.member.1.Key=…`."""
    number = 1
    while found := {
        name.rpartition(".")[2]: value
        for name, value in parameters.items()
        if name.startswith(f"{prefix}.member.{number}.") or name == f"{prefix}.member.{number}"
    }:
        yield found
        number += 1


def _unknown(call: Call) -> Iterator[Needed]:
    raise UnknownCallError(
        f"{call.service} {call.operation or call.method + ' ' + call.path} is not known here"
    )


def _arn(call: Call, service: str, resource: str) -> str:
    return f"arn:aws:{service}:{call.region}:{call.account}:{resource}"


def _request_tags(tags: Mapping[str, str]) -> Context:
    told: Context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
    if tags:
        told["aws:TagKeys"] = tuple(tags)
    return told


# SQS


def _sqs(call: Call, body: dict[str, Any]) -> Iterator[Needed]:
    operation = _SINGLE.get(call.operation, call.operation)
    tags = body.get("tags") or body.get("Tags") or {}
    if operation == "ListQueues":
        yield Needed("sqs:ListQueues", "*")
    elif operation in ("CreateQueue", "GetQueueUrl"):
        queue = _arn(call, "sqs", body["QueueName"])
        yield Needed(f"sqs:{operation}", queue, _request_tags(tags))
        if tags:
            yield Needed("sqs:TagQueue", queue, _request_tags(tags))
    elif operation in _ON_A_QUEUE:
        account, name = urlsplit(body["QueueUrl"]).path.strip("/").split("/")
        told = _request_tags(tags)
        if operation == "UntagQueue":
            told["aws:TagKeys"] = tuple(body["TagKeys"])
        yield Needed(f"sqs:{operation}", f"arn:aws:sqs:{call.region}:{account}:{name}", told)
    else:
        yield from _unknown(call)


# DynamoDB


def _dynamodb(call: Call, body: dict[str, Any]) -> Iterator[Needed]:
    return _items(call, body) if call.operation in _ON_ITEMS else _tables(call, body)


def _tables(call: Call, body: dict[str, Any]) -> Iterator[Needed]:
    operation = call.operation
    if operation == "ListTables":
        yield Needed("dynamodb:ListTables", "*")
    elif operation in _TAGGING:
        told = _request_tags({tag["Key"]: tag["Value"] for tag in body.get("Tags", [])})
        if operation == "UntagResource":
            told["aws:TagKeys"] = tuple(body["TagKeys"])
        yield Needed(f"dynamodb:{operation}", body["ResourceArn"], told)
    elif operation == "CreateTable":
        told = _request_tags({tag["Key"]: tag["Value"] for tag in body.get("Tags", [])})
        yield Needed("dynamodb:CreateTable", _table(call, body["TableName"]), told)
        if told:
            yield Needed("dynamodb:TagResource", _table(call, body["TableName"]), told)
    elif operation in _ON_A_TABLE:
        yield Needed(f"dynamodb:{operation}", _table(call, body["TableName"]))
    else:
        yield from _unknown(call)


def _items(call: Call, body: dict[str, Any]) -> Iterator[Needed]:
    operation = call.operation
    if operation == "BatchExecuteStatement":
        for entry, statement in enumerate(body["Statements"]):
            yield _insert(call, statement, entry)
    elif operation == "BatchGetItem":
        for table, asked in body["RequestItems"].items():
            told = _read(asked, [_value(key[PARTITION_KEY]) for key in asked["Keys"]])
            yield Needed("dynamodb:BatchGetItem", _table(call, table), told)
    elif operation in _WRITES:
        leading = _value((body.get("Item") or body["Key"])[PARTITION_KEY])
        told = {"dynamodb:LeadingKeys": (leading,)}
        yield Needed(f"dynamodb:{operation}", _table(call, body["TableName"]), told)
    else:
        leading = _key_of(body) if operation == "GetItem" else _partition_of(body)
        told = _read(body, [leading])
        yield Needed(f"dynamodb:{operation}", _table(call, body["TableName"]), told)


def _table(call: Call, name: str) -> str:
    return _arn(call, "dynamodb", f"table/{name}")


def _value(attribute: Mapping[str, Any]) -> str:
    [value] = attribute.values()
    return str(value)


def _key_of(body: Mapping[str, Any]) -> str:
    return _value(body["Key"][PARTITION_KEY])


def _partition_of(body: Mapping[str, Any]) -> str:
    names = body.get("ExpressionAttributeNames", {})
    for name, value in _EQUALS.findall(body["KeyConditionExpression"]):
        if names.get(name, name) == PARTITION_KEY:
            return _value(body["ExpressionAttributeValues"][value])
    raise UnknownCallError("a query that names no partition")


def _read(asked: Mapping[str, Any], leading: list[str]) -> Context:
    projection = asked.get("ProjectionExpression")
    names = asked.get("ExpressionAttributeNames", {})
    listed = [names.get(one.strip(), one.strip()) for one in (projection or "").split(",")]
    if any(re.search(r"[.\[#]", one) for one in listed):
        raise UnknownCallError(f"a projection of {projection}")
    keys = [PARTITION_KEY, *(["message_id"] if "message_id" in json.dumps(asked) else [])]
    return {
        "dynamodb:LeadingKeys": tuple(dict.fromkeys(leading)),
        # "The Select parameter always has a value": this one where no attributes are named.
        "dynamodb:Select": "SPECIFIC_ATTRIBUTES" if projection else "ALL_ATTRIBUTES",
        "dynamodb:Attributes": tuple(dict.fromkeys([*keys, *(one for one in listed if one)])),
    }


def _insert(call: Call, statement: Mapping[str, Any], entry: int) -> Needed:
    text = _INSERT.fullmatch(statement["Statement"])
    if text is None:
        raise UnknownCallError("a PartiQL statement that is no INSERT of a whole item")
    table, members = text.groups()
    names = re.findall(r"'(\w+)': \?", members)
    values = dict(zip(names, statement["Parameters"], strict=True))
    told: Context = {
        "dynamodb:LeadingKeys": (_value(values[PARTITION_KEY]),),
        "dynamodb:Attributes": tuple(names),
    }
    return Needed("dynamodb:PartiQLInsert", _table(call, table), told, entry)


# The rest


def _cloudwatch(call: Call, parameters: Mapping[str, str]) -> Iterator[Needed]:
    tags = {tag["Key"]: tag["Value"] for tag in numbered(parameters, "Tags")}
    match call.operation:
        case "PutMetricAlarm":
            alarm = _arn(call, "cloudwatch", f"alarm:{parameters['AlarmName']}")
            yield Needed("cloudwatch:PutMetricAlarm", alarm, _request_tags(tags))
            if tags:
                yield Needed("cloudwatch:TagResource", alarm, _request_tags(tags))
        case "DescribeAlarms":
            yield Needed("cloudwatch:DescribeAlarms", _arn(call, "cloudwatch", "alarm:*"))
        case "DeleteAlarms":
            for named in numbered(parameters, "AlarmNames"):
                [name] = named.values()
                yield Needed("cloudwatch:DeleteAlarms", _arn(call, "cloudwatch", f"alarm:{name}"))
        case "TagResource" | "UntagResource" | "ListTagsForResource":
            told = _request_tags(tags)
            keys = tuple(
                value for one in numbered(parameters, "TagKeys") for value in one.values()
            )
            if keys:
                told["aws:TagKeys"] = keys
            yield Needed(f"cloudwatch:{call.operation}", parameters["ResourceARN"], told)
        case _:
            yield from _unknown(call)


def _eks(call: Call) -> Iterator[Needed]:
    path, _, asked = call.path.partition("?")
    body: dict[str, Any] = json.loads(call.body or b"{}")
    if path.startswith("/tags/"):
        actions = {"POST": "TagResource", "DELETE": "UntagResource", "GET": "ListTagsForResource"}
        told = _request_tags(body.get("tags", {}))
        if keys := parse_qs(asked).get("tagKeys"):
            told["aws:TagKeys"] = tuple(keys)
        arn = unquote(path.removeprefix("/tags/"))
        yield Needed(f"eks:{actions[call.method]}", arn, told)
        return
    found = _ASSOCIATIONS.fullmatch(path)
    if found is None:
        yield from _unknown(call)
        return
    cluster, association = found.groups()
    if association is None and call.method == "GET":
        yield Needed("eks:ListPodIdentityAssociations", _arn(call, "eks", f"cluster/{cluster}"))
        return
    told = _request_tags(body.get("tags", {}))
    arn = _arn(call, "eks", f"podidentityassociation/{cluster}/{association or 'a-new'}")
    if association is None:
        yield Needed(
            "eks:CreatePodIdentityAssociation", _arn(call, "eks", f"cluster/{cluster}"), told
        )
        if told:
            yield Needed("eks:TagResource", arn, told)
    else:
        verb = {"GET": "Describe", "POST": "Update", "DELETE": "Delete"}[call.method]
        yield Needed(f"eks:{verb}PodIdentityAssociation", arn)
    for name in ("roleArn", "targetRoleArn"):
        if name in body:
            yield Needed("iam:PassRole", body[name], {"iam:PassedToService": PODS})
            # As CloudFormation's schema of the association has it.
            yield Needed("iam:GetRole", body[name])
