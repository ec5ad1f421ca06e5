"""Each way in which a policy could be a little wider than it is, one at a time.

Of what is allowed: another action, any resource, any principal, a condition less, a condition that
lets pass what lacks the key. Of what is denied: the statement gone, or one action, or one value.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from iam.matrix import service_authorization
from iam.rendered import Document

#: Conditions that `IfExists` would not change: of keys that every request has ("the Select
#: parameter always has a value"), that are asked for twice, or that may be missing already.
_ALWAYS_THERE: Final = frozenset({"dynamodb:Select", "iam:PassedToService"})


@dataclass(frozen=True, slots=True)
class Widened:
    """A document with one statement changed, and how."""

    sid: str
    how: str
    document: Document

    def __str__(self) -> str:
        return f"{self.sid}: {self.how}"


def widened(document: Document) -> Iterator[Widened]:
    """Every wider document."""
    for number, statement in enumerate(document["Statement"]):
        others = [one for one in document["Statement"] if one is not statement]
        is_allow = statement["Effect"] == "Allow"
        changes = _of_an_allow(statement, others) if is_allow else _of_a_deny(statement)
        for how, changed in changes:
            wider = copy.deepcopy(document)
            wider["Statement"][number : number + 1] = [changed] if changed else []
            if is_allow and changed:
                _let_by(wider, _listed(changed["Action"]))
            yield Widened(statement["Sid"], how, wider)


def _let_by(document: Document, actions: list[str]) -> None:
    """The module denies what no statement of the role allows: what one allows more is kept."""
    for statement in document["Statement"]:
        if "NotAction" in statement:
            kept = statement["NotAction"]
            statement["NotAction"] = [*kept, *(one for one in actions if one not in kept)]


def _of_an_allow(
    statement: dict[str, Any], others: list[dict[str, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    actions = _listed(statement["Action"])
    for wildcard in sorted({f"{action.partition(':')[0]}:*" for action in actions} | {"*"}):
        if _adds_something(wildcard, statement, others):
            yield f"action {wildcard}", statement | {"Action": [*actions, wildcard]}
    if "Resource" in statement and statement["Resource"] != "*":
        yield "resource *", statement | {"Resource": "*"}
        resources = _listed(statement["Resource"])
        for one in resources:
            # All of a kind is all that the actions can be on; roles are named one by one.
            if not one.endswith(":*") and not one.startswith("arn:aws:iam:"):
                rest = [other for other in resources if other != one]
                service = ":".join(one.split(":")[:5])
                yield f"resource {service}:*", statement | {"Resource": [*rest, f"{service}:*"]}
    if "Principal" in statement:
        yield "principal *", statement | {"Principal": {"AWS": "*", "Service": _SERVICES}}
    for operator, keys in statement.get("Condition", {}).items():
        for key in keys:
            yield f"without {operator} {key}", without(statement, operator, key)
            if _is_changed_by_if_exists(operator, key):
                less = without(statement, operator, key)
                less.setdefault("Condition", {}).setdefault(f"{operator}IfExists", {})
                less["Condition"][f"{operator}IfExists"][key] = keys[key]
                yield f"{operator}IfExists {key}", less


#: Other services that might ask for a role.
_SERVICES: Final = ["pods.eks.amazonaws.com", "ec2.amazonaws.com"]


def _of_a_deny(statement: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any] | None]]:
    yield "gone", None
    yield from _of_denied_actions(statement)
    for operator, keys in statement.get("Condition", {}).items():
        if operator.endswith("IgnoreCase"):
            others = {one: of for one, of in statement["Condition"].items() if one != operator}
            exact = others | {operator.removesuffix("IgnoreCase"): keys}
            yield f"{operator} in one case", statement | {"Condition": exact}
        for key, values in keys.items():
            listed = _listed(values)
            for one in listed if len(listed) > 1 else []:
                less = copy.deepcopy(statement)
                less["Condition"][operator][key] = [other for other in listed if other != one]
                yield f"without {one} in {operator} {key}", less
        if _is_negation(operator) and not operator.endswith("IfExists"):
            # A session without the tag would pass.
            less = copy.deepcopy(statement)
            less["Condition"].setdefault("Null", {}).update(dict.fromkeys(keys, "false"))
            if less != statement:
                yield f"{operator} only where there is something to compare", less


def _of_denied_actions(statement: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    actions = _listed(statement.get("Action", []))
    for one in actions if len(actions) > 1 else []:
        rest = [action for action in actions if action != one]
        yield f"without action {one}", statement | {"Action": rest}
    if "NotAction" in statement:
        kept = statement["NotAction"]
        for one in _opened_elsewhere():
            if one not in kept:
                yield f"not {one}", statement | {"NotAction": [*kept, one]}


def _opened_elsewhere() -> Iterator[str]:
    """What a policy of a queue or a table can open: every action on one."""
    for service, kind in (("sqs", "queue"), ("dynamodb", "table")):
        for name, one in service_authorization()[service]["actions"].items():
            if kind in one["on"]:
                yield f"{service}:{name}"


def _adds_something(
    wildcard: str, statement: dict[str, Any], others: list[dict[str, Any]]
) -> bool:
    """Whether there is an action more that can be on its resources and fulfil its conditions.

    AWS fills in a key of a request for the actions that have it alone: with a condition on the
    tags of a request, `sqs:*` is no more than what takes tags.
    """
    asked = {
        key.partition("/")[0]
        for keys in statement.get("Condition", {}).values()
        for key in keys
        if not key.startswith(_OF_ANY_REQUEST)
    }
    for service, facts in service_authorization().items():
        if wildcard not in ("*", f"{service}:*"):
            continue
        for name, one in facts["actions"].items():
            action = f"{service}:{name}"
            keys = {key.partition("/")[0] for key in one["keys"]}
            where = _can_be_on(one["on"], service, statement)
            if not where or action in _listed(statement["Action"]) or not asked <= keys:
                continue
            if not any(_allows_as_much(other, action, where, statement) for other in others):
                return True
    return False


def _allows_as_much(
    other: dict[str, Any], action: str, where: set[str], statement: dict[str, Any]
) -> bool:
    """Whether another statement allows an action there already, on no other conditions."""
    return (
        other["Effect"] == "Allow"
        and action in _listed(other["Action"])
        and where <= set(_listed(other.get("Resource")))
        and all(
            statement.get("Condition", {}).get(operator, {}).get(key) == value
            for operator, keys in other.get("Condition", {}).items()
            for key, value in keys.items()
        )
    )


#: Keys that any request may have: of who asks, and of what it is on.
_OF_ANY_REQUEST: Final = ("aws:PrincipalTag/", "aws:ResourceTag/")


def _can_be_on(kinds: list[str], service: str, statement: dict[str, Any]) -> set[str]:
    """The resources of a statement that an action on such kinds can be on."""
    found: set[str] = set()
    named = service_authorization()[service]["resources"]
    for resource in _listed(statement.get("Resource", "*")):
        head = resource.split(":", 5)
        for kind in kinds:
            # What tells the kind: "table/" of "…:table/${TableName}", nothing of a queue.
            written = named[kind]["arn"].split(":", 5)
            part = written[-1].partition("$")[0]
            is_of = resource == "*" or (
                head[2] == written[2]
                and (head[-1].startswith(part) if part else "/" not in head[-1])
            )
            if is_of:
                found.add(resource)
        if not kinds and resource == "*":
            found.add(resource)
    return found


def _is_changed_by_if_exists(operator: str, key: str) -> bool:
    return not (
        key in _ALWAYS_THERE
        or operator == "Null"
        or operator.endswith("IfExists")
        or operator.startswith("ForAllValues")
        or _is_negation(operator)
    )


def without(statement: dict[str, Any], operator: str, key: str) -> dict[str, Any]:
    """A statement with a condition less."""
    less = copy.deepcopy(statement)
    del less["Condition"][operator][key]
    if not less["Condition"][operator]:
        del less["Condition"][operator]
    if not less["Condition"]:
        del less["Condition"]
    return less


def _is_negation(operator: str) -> bool:
    return "Not" in operator


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
