"""Stand-in for DynamoDB's expressions: conditions, key conditions, projections, updates.

It honours comparisons, AND, OR, NOT, parentheses, `attribute_exists`, `attribute_not_exists` and
`begins_with`, and in updates `SET name = :value` and `REMOVE name`; names and values by
placeholders, each of which must be used. Everything else that DynamoDB knows (paths into maps
and lists, BETWEEN, IN, other functions, arithmetic, ADD and DELETE) is refused, and so is what
is no expression. Reserved words are taken as names, which DynamoDB refuses.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tenantry_local.dynamodb_values_standin import Item, Value, comparable

_TOKEN: Final = re.compile(r"\s*(<>|<=|>=|[=<>(),]|[:#]?[A-Za-z0-9_]+|\S)")
_NAME: Final = re.compile(r"#\w+|[A-Za-z_]\w*", re.ASCII)
_COMPARISONS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_BEGINS: Final = "begins_with"
_EXISTS: Final = {"attribute_exists": True, "attribute_not_exists": False}
#: Types that have an order.
_ORDERED: Final = frozenset({"S", "N", "B"})

Condition = Callable[[Item], bool]
_Operand = Callable[[Item], Value | None]


class RefusedExpressionError(Exception):
    """An expression is none, or none that this stand-in knows; the text says why."""


@dataclass(slots=True)
class Placeholders:
    """Names and values that a request's expressions refer to."""

    names: Mapping[str, str]
    values: Mapping[str, Value]
    _unused: set[str] = field(init=False)

    def __post_init__(self) -> None:
        self._unused = {*self.names, *self.values}

    def name(self, token: str) -> str:
        """An attribute's name."""
        if not token.startswith("#"):
            return token
        self._unused.discard(token)
        if token not in self.names:
            raise RefusedExpressionError(
                "An expression attribute name used in the document path is not defined; "
                f"attribute name: {token}"
            )
        return self.names[token]

    def value(self, token: str) -> Value:
        """A value."""
        self._unused.discard(token)
        if token not in self.values:
            raise RefusedExpressionError(
                "An expression attribute value used in expression is not defined; "
                f"attribute value: {token}"
            )
        return self.values[token]

    def check_used(self) -> None:
        """Refuse what no expression refers to.

        Raises:
            RefusedExpressionError: There is such a thing.
        """
        if self._unused:
            raise RefusedExpressionError(
                "Value provided in ExpressionAttributeNames or ExpressionAttributeValues unused "
                f"in expressions: keys: {{{', '.join(sorted(self._unused))}}}"
            )


def condition(text: str, placeholders: Placeholders) -> Condition:
    """A condition or a filter.

    Raises:
        RefusedExpressionError: It is none that is known here.
    """
    parser = _Parser(text, placeholders)
    found = parser.disjunction()
    parser.end()
    return found


def key_condition(
    text: str, placeholders: Placeholders, keys: tuple[str, ...]
) -> tuple[Value, Condition | None]:
    """What a query asks for: a partition key, and perhaps a range of sort keys.

    Raises:
        RefusedExpressionError: It names no single partition, or anything else beside the key.
    """
    parser = _Parser(text, placeholders)
    terms = [parser.term()]
    while parser.took("AND"):
        terms.append(parser.term())
    parser.end()
    by_name = {term.name: term for term in terms if term.value is not None}
    partition = by_name.pop(keys[0], None)
    sort = by_name.pop(keys[1], None) if len(keys) > 1 else None
    if partition is None or partition.value is None or partition.verb != "=":
        raise RefusedExpressionError(f"Query condition missed key schema element: {keys[0]}")
    if len(terms) != 1 + (sort is not None) or (sort is not None and sort.verb == "<>"):
        raise RefusedExpressionError("Query key condition not supported")
    return partition.value, None if sort is None else sort.test


def projection(text: str, placeholders: Placeholders) -> Callable[[Item], Item]:
    """A projection.

    Raises:
        RefusedExpressionError: It is none that is known here.
    """
    parser = _Parser(text, placeholders)
    names = [parser.name()]
    while parser.took(","):
        names.append(parser.name())
    parser.end()
    return lambda item: {name: item[name] for name in names if name in item}


def update(text: str, placeholders: Placeholders) -> dict[str, Value | None]:
    """What an update sets, by name; None is removed.

    Raises:
        RefusedExpressionError: It is none that is known here.
    """
    parser = _Parser(text, placeholders)
    changes: dict[str, Value | None] = {}
    while True:
        verb = parser.take().upper()
        if verb not in {"SET", "REMOVE"}:
            raise parser.unknown(verb)
        while True:
            name = parser.name()
            if name in changes:
                raise RefusedExpressionError("Two document paths overlap with each other")
            changes[name] = None
            if verb == "SET":
                parser.expect("=")
                changes[name] = parser.value()
            if not parser.took(","):
                break
        if parser.is_at_end():
            return changes


@dataclass(frozen=True, slots=True)
class _Term:
    """A comparison or a function; `value` where it compares a name with one."""

    test: Condition
    verb: str = ""
    name: str = ""
    value: Value | None = None


class _Parser:
    """Reads an expression from left to right."""

    def __init__(self, text: str, placeholders: Placeholders) -> None:
        self._placeholders = placeholders
        self._tokens = [found[1] for found in _TOKEN.finditer(text)]
        self._place = 0

    def is_at_end(self) -> bool:
        return self._place == len(self._tokens)

    def end(self) -> None:
        if not self.is_at_end():
            raise self.unknown(self._tokens[self._place])

    def take(self) -> str:
        if self.is_at_end():
            raise RefusedExpressionError('Syntax error; token: "<EOF>"')
        self._place += 1
        return self._tokens[self._place - 1]

    def took(self, token: str) -> bool:
        is_next = not self.is_at_end() and self._tokens[self._place].upper() == token
        self._place += is_next
        return is_next

    def expect(self, token: str) -> None:
        if (found := self.take()) != token:
            raise self.unknown(found)

    @staticmethod
    def unknown(token: str) -> RefusedExpressionError:
        return RefusedExpressionError(
            f'Syntax error; token: "{token}", or this stand-in does not know it there'
        )

    def disjunction(self) -> Condition:
        parts = [self._conjunction()]
        while self.took("OR"):
            parts.append(self._conjunction())
        return lambda item: any(part(item) for part in parts)

    def _conjunction(self) -> Condition:
        parts = [self._negation()]
        while self.took("AND"):
            parts.append(self._negation())
        return lambda item: all(part(item) for part in parts)

    def _negation(self) -> Condition:
        if self.took("NOT"):
            inner = self._negation()
            return lambda item: not inner(item)
        if self.took("("):
            inner = self.disjunction()
            self.expect(")")
            return inner
        return self.term().test

    def term(self) -> _Term:
        function = self.take()
        if not self.took("("):
            self._place -= 1
            return self._comparison()
        if function not in {_BEGINS, *_EXISTS}:
            raise RefusedExpressionError(f"This stand-in does not know the function {function}")
        name = self.name()
        if function == _BEGINS:
            self.expect(",")
            prefix = self.value()
            self.expect(")")
            return _Term(lambda item: _begins(item.get(name), prefix), function, name, prefix)
        self.expect(")")
        return _Term(lambda item: (name in item) is _EXISTS[function], function, name)

    def _comparison(self) -> _Term:
        name, left, _ = self._operand()
        verb = self.take()
        if verb not in _COMPARISONS:
            raise self.unknown(verb)
        _, right, value = self._operand()
        return _Term(lambda item: _compares(verb, left(item), right(item)), verb, name, value)

    def name(self) -> str:
        token = self.take()
        if _NAME.fullmatch(token) is None:
            raise self.unknown(token)
        return self._placeholders.name(token)

    def value(self) -> Value:
        token = self.take()
        if not token.startswith(":"):
            raise self.unknown(token)
        return self._placeholders.value(token)

    def _operand(self) -> tuple[str, _Operand, Value | None]:
        """Of a comparison: the name, what it is of an item, the value."""
        if not self.is_at_end() and self._tokens[self._place].startswith(":"):
            value = self.value()
            return "", lambda _: value, value
        name = self.name()
        return name, lambda item: item.get(name), None


def _compares(verb: str, left: Value | None, right: Value | None) -> bool:
    if left is None or right is None:
        return verb == "<>" and left is not right  # what is not there differs from all there is
    (kind, one), (other_kind, other) = comparable(left), comparable(right)
    if kind != other_kind:
        return verb == "<>"
    if verb not in {"=", "<>"} and kind not in _ORDERED:
        return False
    return _COMPARISONS[verb](one, other)


def _begins(value: Value | None, prefix: Value) -> bool:
    if value is None:
        return False
    (kind, text), (prefix_kind, start) = comparable(value), comparable(prefix)
    return kind == prefix_kind and kind in {"S", "B"} and bool(text.startswith(start))
