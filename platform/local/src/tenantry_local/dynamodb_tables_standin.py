"""Stand-in for the tables of an account of DynamoDB: made, described, listed and deleted.

It honours key schemas, tags and the description of a time to live, by which nothing expires.
Tables are active at once and gone at once. Billing modes and the like are answered as they were
asked for, and mean nothing. Secondary indexes and streams are refused.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from tenantry_local.aws_error_standin import AwsError
from tenantry_local.dynamodb_standin import Table
from tenantry_local.model import REGION

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_LIST_MOST: Final = 100
_KEY_TYPES: Final = frozenset({"S", "N", "B"})
_SETTINGS: Final = frozenset(
    {"BillingMode", "ProvisionedThroughput", "DeletionProtectionEnabled", "TableClass"}
    | {"SSESpecification", "Tags"}
)

Answer = dict[str, Any]


class Tables:
    """Every table of the account, and the operations on tables as such."""

    def __init__(self, wall_clock: Callable[[], float]) -> None:
        self._wall_clock = wall_clock
        self._by_name: dict[str, Table] = {}
        self._expiries: dict[str, Answer] = {}
        self.operations: dict[str, Callable[[Mapping[str, Any]], Answer]] = {
            "CreateTable": self.create,
            "DescribeTable": self.describe,
            "ListTables": self.list,
            "UpdateTable": self.update,
            "DeleteTable": self.delete,
            "UpdateTimeToLive": self.set_expiry,
            "DescribeTimeToLive": self.describe_expiry,
            "TagResource": self.tag,
            "ListTagsOfResource": self.list_tags,
        }

    def named(self, name: str) -> Table | None:
        """The table of this name, if there is one."""
        return self._by_name.get(name)

    def find(self, request: Mapping[str, Any]) -> Table:
        """The table that a request names.

        Raises:
            AwsError: There is none.
        """
        table = self._by_name.get(request.get("TableName") or "")
        if table is None:
            raise AwsError("ResourceNotFoundException", "Requested resource not found")
        return table

    def create(self, request: Mapping[str, Any]) -> Answer:
        """CreateTable."""
        refuse_unknown(
            "CreateTable",
            request,
            _SETTINGS | {"TableName", "KeySchema", "AttributeDefinitions"},
        )
        name = request.get("TableName") or ""
        if not _NAME.fullmatch(name):
            raise validation(
                "TableName must be at least 3 characters long and at most 255 characters long, "
                "of a-z, A-Z, 0-9, '_', '-' and '.'"
            )
        if name in self._by_name:
            raise AwsError("ResourceInUseException", f"Table already exists: {name}")
        schema = request.get("KeySchema") or []
        types = {
            one["AttributeName"]: one["AttributeType"]
            for one in request.get("AttributeDefinitions") or []
        }
        keys = [one["AttributeName"] for one in schema]
        kinds = [one["KeyType"] for one in schema]
        if kinds not in (["HASH"], ["HASH", "RANGE"]):
            raise validation("Invalid KeySchema: it needs a HASH key, and perhaps a RANGE key")
        if set(keys) != set(types) or not set(types.values()) <= _KEY_TYPES:
            raise validation(
                "One or more parameter values were invalid: Some AttributeDefinitions are not "
                "used, or some index key attributes are not defined in AttributeDefinitions"
            )
        arn = f"arn:aws:dynamodb:{REGION}:000000000000:table/{name}"
        description = {
            "TableName": name,
            "TableArn": arn,
            "TableId": str(uuid.uuid4()),
            "TableStatus": "ACTIVE",
            "CreationDateTime": self._wall_clock(),
            "KeySchema": schema,
            "AttributeDefinitions": request["AttributeDefinitions"],
            "DeletionProtectionEnabled": bool(request.get("DeletionProtectionEnabled")),
            "BillingModeSummary": {"BillingMode": request.get("BillingMode", "PROVISIONED")},
        }
        tags = {one["Key"]: one["Value"] for one in request.get("Tags") or []}
        table = Table(name, {key: types[key] for key in keys}, description, tags)
        self._by_name[name] = table
        return {"TableDescription": self._described(table)}

    def describe(self, request: Mapping[str, Any]) -> Answer:
        """DescribeTable."""
        return {"Table": self._described(self.find(request))}

    def list(self, request: Mapping[str, Any]) -> Answer:
        """ListTables, a page of them."""
        most = request.get("Limit") or _LIST_MOST
        after = request.get("ExclusiveStartTableName") or ""
        names = [name for name in sorted(self._by_name) if name > after]
        answer: Answer = {"TableNames": names[:most]}
        if len(names) > most:
            answer["LastEvaluatedTableName"] = names[most - 1]
        return answer

    def update(self, request: Mapping[str, Any]) -> Answer:
        """UpdateTable: its deletion protection, and nothing else."""
        refuse_unknown(
            "UpdateTable", request, frozenset({"TableName", "DeletionProtectionEnabled"})
        )
        table = self.find(request)
        if "DeletionProtectionEnabled" not in request:
            raise validation("At least one of the parameters of UpdateTable is required")
        table.description["DeletionProtectionEnabled"] = bool(request["DeletionProtectionEnabled"])
        return {"TableDescription": self._described(table)}

    def delete(self, request: Mapping[str, Any]) -> Answer:
        """DeleteTable."""
        table = self.find(request)
        if table.description["DeletionProtectionEnabled"]:
            raise validation(
                "Resource cannot be deleted as it is currently protected against deletion. "
                "Disable deletion protection first."
            )
        del self._by_name[table.name]
        self._expiries.pop(table.name, None)
        return {"TableDescription": self._described(table) | {"TableStatus": "DELETING"}}

    def set_expiry(self, request: Mapping[str, Any]) -> Answer:
        """UpdateTimeToLive."""
        wanted = request["TimeToLiveSpecification"]
        self._expiries[self.find(request).name] = {
            "TimeToLiveStatus": "ENABLED" if wanted["Enabled"] else "DISABLED",
            "AttributeName": wanted["AttributeName"],
        }
        return {"TimeToLiveSpecification": wanted}

    def describe_expiry(self, request: Mapping[str, Any]) -> Answer:
        """DescribeTimeToLive."""
        name = self.find(request).name
        found = self._expiries.get(name, {"TimeToLiveStatus": "DISABLED"})
        return {"TimeToLiveDescription": found}

    def tag(self, request: Mapping[str, Any]) -> Answer:
        """TagResource."""
        table = self._by_arn(request)
        table.tags.update({one["Key"]: one["Value"] for one in request.get("Tags") or []})
        return {}

    def list_tags(self, request: Mapping[str, Any]) -> Answer:
        """ListTagsOfResource."""
        tags = self._by_arn(request).tags
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _by_arn(self, request: Mapping[str, Any]) -> Table:
        return self.find({"TableName": (request.get("ResourceArn") or "").rpartition("/")[2]})

    @staticmethod
    def _described(table: Table) -> Answer:
        return table.description | {"ItemCount": len(table), "TableSizeBytes": table.size}


def refuse_unknown(operation: str, request: Mapping[str, Any], known: frozenset[str]) -> None:
    """Never pass over what is not understood.

    Raises:
        AwsError: The request has a parameter that this stand-in does not know.
    """
    unknown = sorted(set(request) - known)
    if unknown:
        raise validation(
            f"This stand-in of DynamoDB does not do {', '.join(unknown)} of {operation}"
        )


def validation(message: str) -> AwsError:
    """A request that DynamoDB would not understand, or not take."""
    return AwsError("ValidationException", message)
