"""Whether a condition holds for a request.

Source: IAM User Guide, "IAM JSON policy elements: Condition operators" and "Creating a condition
with multiple keys or values".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from iam.policies import Condition
from iam.wildcards import Context, Piece, PolicyError, Template, arn_like, equals, like

_Matches = Callable[[tuple[Piece, ...], str], bool]

_ORDER: Final[dict[str, Callable[[float, float], bool]]] = {
    "Equals": lambda given, bound: given == bound,
    "LessThan": lambda given, bound: given < bound,
    "LessThanEquals": lambda given, bound: given <= bound,
    "GreaterThan": lambda given, bound: given > bound,
    "GreaterThanEquals": lambda given, bound: given >= bound,
}


def holds(condition: Condition, context: Context) -> bool:
    """Whether it does, with what the request says of the key."""
    given = context.get(condition.key.lower(), ())
    values = (given,) if isinstance(given, str) else given
    if condition.operator == "Null":
        return any((template.written == "true") == (not values) for template in condition.values)
    if not values and condition.if_exists:
        return True
    if condition.quantifier == "ForAllValues":
        # "Also returns true if there are no keys in the request, or if the key values resolve to
        # a null data set, such as an empty string."
        return all(_fits(condition, value, context) for value in values if value)
    if condition.quantifier == "ForAnyValue":
        return any(_fits(condition, value, context) for value in values)
    if not values:
        # "If the policy condition requires that the key is not matched … the condition is true."
        return _is_negated(condition.operator)
    [value] = values
    return _fits(condition, value, context)


def _is_negated(operator: str) -> bool:
    return "Not" in operator


def _fits(condition: Condition, value: str, context: Context) -> bool:
    positive = condition.operator.replace("Not", "")
    matches = _matcher(positive)
    found = any(_one_fits(matches, template, value, context) for template in condition.values)
    # Of several values a negation wants none: "the effective permissions work like a logical AND".
    return found != _is_negated(condition.operator)


def _one_fits(matches: _Matches, template: Template, value: str, context: Context) -> bool:
    filled = template.fill(context)
    # "There is no equal or like value" to a variable that has none.
    return filled is not None and matches(filled, value)


def _matcher(operator: str) -> _Matches:
    if (found := _MATCHERS.get(operator)) is not None:
        return found
    for kind, number in (("Numeric", float), ("Date", _instant)):
        if operator.startswith(kind):
            compare = _ORDER[operator.removeprefix(kind)]
            return lambda pieces, value: compare(number(value), number(_text(pieces)))
    raise PolicyError(f"operator: {operator}")


def _ignoring_case(pieces: tuple[Piece, ...], value: str) -> bool:
    return equals(pieces, value, ignore_case=True)


def _text(pieces: tuple[Piece, ...]) -> str:
    return "".join(piece.text for piece in pieces)


def _in_network(address: str, network: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(network)


def _instant(text: str) -> float:
    """Seconds since the epoch, of an ISO 8601 date or of such a number."""
    if text.isdigit():
        return float(text)
    found = datetime.fromisoformat(text)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


_MATCHERS: Final[dict[str, _Matches]] = {
    "StringEquals": equals,
    "StringEqualsIgnoreCase": _ignoring_case,
    "StringLike": like,
    # "The ArnEquals and ArnLike condition operators behave identically."
    "ArnEquals": arn_like,
    "ArnLike": arn_like,
    "Bool": _ignoring_case,
    "IpAddress": lambda pieces, value: _in_network(value, _text(pieces)),
}
