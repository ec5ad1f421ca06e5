"""Policy documents, parsed strictly: what is not known is refused, never guessed.

Sources are pages of the IAM User Guide, "IAM JSON policy elements reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from iam.keys import check_key, is_multivalued
from iam.wildcards import PolicyError, Template, parse_template

Effect = Literal["Allow", "Deny"]
Quantifier = Literal["ForAllValues", "ForAnyValue"]

_ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
_OF_A_STATEMENT: Final = frozenset(
    {"Sid", "Effect", "Principal"}
    | {"Action", "NotAction", "Resource", "NotResource", "Condition"}
)
_QUANTIFIERS: Final[dict[str, Quantifier]] = {
    "ForAllValues": "ForAllValues",
    "ForAnyValue": "ForAnyValue",
}
#: Operators whose values may hold variables ("Variables and tags", Condition element).
_WITH_VARIABLES: Final = frozenset({"String", "Arn"})
OPERATORS: Final = frozenset(
    {f"String{how}" for how in ("Equals", "NotEquals", "Like", "NotLike")}
    | {"StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"}
    | {f"Arn{how}" for how in ("Equals", "NotEquals", "Like", "NotLike")}
    | {
        f"{kind}{how}"
        for kind in ("Numeric", "Date")
        for how in (
            "Equals",
            "NotEquals",
            "LessThan",
            "LessThanEquals",
            "GreaterThan",
            "GreaterThanEquals",
        )
    }
    | {"Bool", "IpAddress", "NotIpAddress", "Null"}
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One key of one operator.

    Attributes:
        operator: Without quantifier and `IfExists`.
        values: One of them is enough; none of them must fit, if the operator is a negation.
    """

    operator: str
    key: str
    values: tuple[Template, ...]
    quantifier: Quantifier | None = None
    if_exists: bool = False


@dataclass(frozen=True, slots=True)
class Named:
    """One principal of a statement: of a kind (`AWS`, `Service`, `Federated`), or `*`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement. Of actions and of resources there is one list, the other is None."""

    sid: str
    effect: Effect
    actions: tuple[str, ...] | None
    not_actions: tuple[str, ...] | None
    resources: tuple[Template, ...] | None
    not_resources: tuple[Template, ...] | None
    principals: tuple[Named, ...] | None
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A parsed document."""

    statements: tuple[Statement, ...]


def parse(document: str | Mapping[str, Any]) -> Policy:
    """The policy of a document.

    Raises:
        PolicyError: IAM would not take it, or this evaluator does not know what it holds.
    """
    if isinstance(document, str):
        document = json.loads(document)
    assert isinstance(document, Mapping)
    _refuse_unknown("a policy", document, _ELEMENTS)
    version = document.get("Version", "2008-10-17")
    if version not in ("2012-10-17", "2008-10-17"):
        raise PolicyError(f"Version: {version}")
    # "Variables were introduced in version 2012-10-17": before, they are text.
    has_variables = version == "2012-10-17"
    statements = document.get("Statement")
    if not isinstance(statements, list):
        statements = [statements]
    return Policy(tuple(_statement(one, has_variables=has_variables) for one in statements))


def _statement(raw: Any, *, has_variables: bool) -> Statement:
    if not isinstance(raw, Mapping):
        raise PolicyError("a statement is an object")
    _refuse_unknown("a statement", raw, _OF_A_STATEMENT)
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise PolicyError(f"Effect: {effect}")
    if ("Action" in raw) == ("NotAction" in raw):
        raise PolicyError("a statement has Action or NotAction")
    is_trust = "Principal" in raw and "Resource" not in raw and "NotResource" not in raw
    if not is_trust and ("Resource" in raw) == ("NotResource" in raw):
        raise PolicyError("a statement has Resource or NotResource")
    return Statement(
        sid=raw.get("Sid", ""),
        effect=effect,
        actions=_actions(raw, "Action"),
        not_actions=_actions(raw, "NotAction"),
        resources=_resources(raw, "Resource", has_variables=has_variables),
        not_resources=_resources(raw, "NotResource", has_variables=has_variables),
        principals=_principals(raw.get("Principal")),
        conditions=tuple(_conditions(raw.get("Condition", {}), has_variables=has_variables)),
    )


def _actions(raw: Mapping[str, Any], element: str) -> tuple[str, ...] | None:
    if element not in raw:
        return None
    actions = _texts(raw[element], element)
    for action in actions:
        if not re.fullmatch(r"\*|[a-z0-9-]+:[A-Za-z0-9*?]+", action):
            raise PolicyError(f"{element}: {action}")
    return actions


def _resources(
    raw: Mapping[str, Any], element: str, *, has_variables: bool
) -> tuple[Template, ...] | None:
    if element not in raw:
        return None
    texts = _texts(raw[element], element)
    for text in texts:
        head = text.split(":", 5)
        if text != "*" and (head[0] != "arn" or len(head) < len("abcdef")):
            raise PolicyError(f"{element}: {text} is no ARN")
        # "In the Resource element … only in the resource portion of the ARN."
        if "${" in ":".join(head[:5]) and has_variables:
            raise PolicyError(f"{element}: a variable before the fifth colon of {text}")
        if text != "*" and {"*", "?"} & set(head[2]):
            raise PolicyError(f"{element}: a wildcard in the service of {text}")
    return tuple(parse_template(text, has_variables=has_variables) for text in texts)


def _principals(raw: Any) -> tuple[Named, ...] | None:
    if raw is None:
        return None
    if raw == "*":
        return (Named("*", "*"),)
    if not isinstance(raw, Mapping):
        raise PolicyError("Principal")
    _refuse_unknown("Principal", raw, {"AWS", "Service", "Federated"})
    found = [
        Named(kind, value) for kind in raw for value in _texts(raw[kind], f"Principal.{kind}")
    ]
    for one in found:
        # 'You cannot use a wildcard to match part of a principal name or ARN.'
        if "*" in one.value and one.value != "*":
            raise PolicyError(f"Principal: a wildcard in {one.value}")
    return tuple(found)


def _conditions(raw: Any, *, has_variables: bool) -> Iterable[Condition]:
    if not isinstance(raw, Mapping):
        raise PolicyError("Condition is an object")
    for written, keys in raw.items():
        prefix, colon, name = written.rpartition(":")
        if colon and prefix not in _QUANTIFIERS:
            raise PolicyError(f"operator: {written}")
        if_exists = name.endswith("IfExists") and name != "NullIfExists"
        operator = name.removesuffix("IfExists") if if_exists else name
        if operator not in OPERATORS or (operator == "Null" and colon):
            raise PolicyError(f"operator: {written}")
        if not isinstance(keys, Mapping) or not keys:
            raise PolicyError(f"{written} without keys")
        for key, values in keys.items():
            check_key(key)
            if operator != "Null" and is_multivalued(key) != bool(colon):
                # "You must use set operators with multivalued condition keys. Do not use set
                # operators with single-valued condition keys."
                raise PolicyError(f"{written} on {key}")
            takes_variables = operator.startswith(tuple(_WITH_VARIABLES))
            texts = _texts(values, key)
            if has_variables and not takes_variables and any("${" in text for text in texts):
                raise PolicyError(f"{written}: a variable")
            yield Condition(
                operator=operator,
                key=key,
                values=tuple(
                    parse_template(text, has_variables=has_variables and takes_variables)
                    for text in texts
                ),
                quantifier=_QUANTIFIERS.get(prefix),
                if_exists=if_exists,
            )


def _texts(raw: Any, where: str) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        raise PolicyError(f"{where} is empty")
    texts: list[str] = []
    for value in values:
        if isinstance(value, bool):
            texts.append(str(value).lower())
        elif isinstance(value, (str, int, float)):
            texts.append(str(value))
        else:
            raise PolicyError(f"{where}: {value!r}")
    return tuple(texts)


def _refuse_unknown(what: str, raw: Mapping[str, Any], known: Iterable[str]) -> None:
    if unknown := sorted(set(raw) - set(known)):
        raise PolicyError(f"{what} with {', '.join(unknown)}")
