"""Stand-in for DynamoDB's values: which are taken, how large they are, how they compare.

It honours all ten types, numbers of up to 38 digits in their canonical form, 32 levels of
nesting, and the size of an item as DynamoDB counts it (names and values in UTF-8, a byte for
each two digits). Values stay in the form in which they came, `{"S": "text"}`.
"""

from __future__ import annotations

import binascii
import functools
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

ITEM_MOST_BYTES: Final = 409_600
_MOST_LEVELS: Final = 32
_MOST_DIGITS: Final = 38
_LARGEST_EXPONENT: Final = 125
_SMALLEST_EXPONENT: Final = -130
#: Of a list or a map, and of each thing in it.
_CONTAINER_BYTES: Final = 3
_ELEMENT_BYTES: Final = 1
_SETS: Final = frozenset({"SS", "NS", "BS"})
#: What a value of each type is in JSON.
_INNER: Final[dict[str, Any]] = {
    **dict.fromkeys(("S", "N", "B"), str),
    **dict.fromkeys(("BOOL", "NULL"), bool),
    **dict.fromkeys(("L", *_SETS), list),
    "M": dict,
}

Value = dict[str, Any]
Item = dict[str, Value]


class RefusedValueError(Exception):
    """A value is none that DynamoDB takes; the text says why."""


def measure(item: Mapping[str, Value]) -> int:
    """Bytes of an item, whose values are checked and whose numbers become canonical.

    Raises:
        RefusedValueError: A value is none.
    """
    size = 0
    for name, value in item.items():
        size += len(name) if name.isascii() else len(name.encode())
        size += measure_value(value)
    return size


def measure_value(value: Value, level: int = 1) -> int:
    """Bytes of one value, which is checked.

    Raises:
        RefusedValueError: It is none.
    """
    if type(value) is not dict or len(value) != 1:
        raise RefusedValueError(
            "Supplied AttributeValue is empty or has more than one datatypes set, must contain "
            "exactly one of the supported datatypes"
        )
    ((kind, inner),) = value.items()
    if kind not in _INNER or not isinstance(inner, _INNER[kind]):
        raise RefusedValueError(f"The value is no {kind}")
    match kind:
        case "S":
            return len(inner) if inner.isascii() else len(inner.encode())
        case "N":
            value["N"] = number = canonical(inner)
            return _measure_number(number)
        case "B":
            return len(binary(inner))
        case "M" | "L":
            return _measure_container(inner, level)
        case "NULL" if not inner:
            raise RefusedValueError("Null attribute value types must have the value of true")
        case "BOOL" | "NULL":
            return 1
        case _:
            return _measure_set(kind, inner)


@functools.lru_cache(maxsize=4_096)  # mostly they are few
def _measure_number(number: str) -> int:
    """A byte for each two digits, one for the exponent, one for a minus."""
    digits = number.lstrip("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + number.startswith("-")


def _measure_container(inner: list[Value] | dict[str, Value], level: int) -> int:
    if inner and level >= _MOST_LEVELS:
        raise RefusedValueError(
            "Nesting Levels have exceeded supported limits: Attributes with nested levels "
            f"greater than {_MOST_LEVELS} are not supported"
        )
    size = _CONTAINER_BYTES + _ELEMENT_BYTES * len(inner)
    if isinstance(inner, dict):
        size += sum(len(name.encode()) for name in inner)
        inner = list(inner.values())
    return size + sum(measure_value(value, level + 1) for value in inner)


def _measure_set(kind: str, inner: list[Any]) -> int:
    if not inner:
        raise RefusedValueError("An attribute value may not contain an empty set")
    values = [{kind[0]: element} for element in inner]
    size = sum(measure_value(value) for value in values)
    inner[:] = [value[kind[0]] for value in values]
    if len(set(inner)) < len(inner):
        raise RefusedValueError("Input collection contains duplicates")
    return size


@functools.lru_cache(maxsize=4_096)
def canonical(number: str) -> str:
    """A number as DynamoDB keeps it.

    Raises:
        RefusedValueError: It is none, or beyond what DynamoDB holds.
    """
    if len(number) <= _MOST_DIGITS and number.isdecimal() and number.isascii():
        return number.lstrip("0") or "0"
    try:
        parsed = Decimal(number)
    except InvalidOperation:
        parsed = Decimal("nan")
    if not parsed.is_finite() or number != number.strip() or "_" in number:
        raise RefusedValueError(f"The parameter cannot be converted to a numeric value: {number}")
    if not parsed:
        return "0"
    sign, digits, exponent = parsed.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - it is finite
    text = "".join(map(str, digits)).lstrip("0")
    exponent += len(text) - len(text.rstrip("0"))
    text = text.rstrip("0")
    if len(text) > _MOST_DIGITS:
        raise RefusedValueError("Attempting to store more than 38 significant digits in a Number")
    magnitude = exponent + len(text) - 1
    if magnitude > _LARGEST_EXPONENT:
        raise RefusedValueError(
            "Number overflow. Attempting to store a number with magnitude larger than supported "
            "range"
        )
    if magnitude < _SMALLEST_EXPONENT:
        raise RefusedValueError(
            "Number underflow. Attempting to store a number with magnitude smaller than "
            "supported range"
        )
    return format(Decimal((sign, tuple(map(int, text)), exponent)), "f")


def binary(text: str) -> bytes:
    """The bytes of a binary value.

    Raises:
        RefusedValueError: It is not base64.
    """
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        raise RefusedValueError("The value is no base64") from None


def comparable(value: Value) -> tuple[str, Any]:
    """Its type, and what values of that type are compared by.

    Strings in Python are in the order of code points, as UTF-8 is in that of bytes.
    """
    ((kind, inner),) = value.items()
    if kind == "N":
        return kind, Decimal(inner)
    if kind == "B":
        return kind, binary(inner)
    if kind in _SETS:
        return kind, frozenset(inner)
    return kind, inner
