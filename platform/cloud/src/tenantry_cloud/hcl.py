"""Variables files are HCL, of which they use literals alone: nothing in them is worked out.

python-hcl2 gives the tree. Its own values are not taken: of two settings of one name it keeps the
last, and it tells `"${x}"` and `x` alike. Where its grammar takes more than Terraform's, as two
settings in a line, that is refused here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import hcl2
from lark import Token, Tree
from lark.exceptions import LarkError, UnexpectedInput

_LITERALS: Final[dict[str, Any]] = {"null": None, "true": True, "false": False}
#: What stands between values, and means nothing.
_FILLING: Final = frozenset({"new_line_or_comment"})
#: So long may a number be: as many digits are exact for Python as for Terraform.
_DIGITS: Final = 17
_BLOCK_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


class SyntaxFaultError(Exception):
    """The text is not what a variables file may be; says where, and why."""


def read_literals(text: str) -> dict[str, Any]:
    """The settings of a variables file, as Python's own values.

    Raises:
        SyntaxFaultError: It is no HCL, sets something twice, or has something to be worked out.
    """
    # As Terraform has it: a byte order mark is passed over, and lines may end as on Windows.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if "\r" in text:
        line = text[: text.index("\r")].count("\n") + 1
        raise SyntaxFaultError(f"line {line}: a carriage return that ends no line")
    try:
        return _settings(hcl2.parses_to_tree(text))
    except UnexpectedInput as error:
        raise SyntaxFaultError(f"line {error.line}: this is no HCL") from None
    except LarkError as error:
        raise SyntaxFaultError(f"this is no HCL: {error}") from None
    except RecursionError:
        raise SyntaxFaultError("this is nested too deep") from None


def _settings(tree: Tree[Token]) -> dict[str, Any]:
    (body,) = _parts(tree)
    _check_separators(body)
    found: dict[str, Any] = {}
    for setting in _parts(body):
        if setting.data != "attribute":
            raise SyntaxFaultError(f"{_line(setting)}a block: a variables file has settings only")
        name, value = _parts(setting)
        _put(found, _name(name), value)
    return found


def _put(into: dict[str, Any], name: str, value: Tree[Token]) -> None:
    if name in into:
        raise SyntaxFaultError(f"{_line(value)}{name} is set twice")
    into[name] = _value(value)


def _value(tree: Tree[Token]) -> Any:
    while tree.data == "expr_term" and len(_parts(tree)) == 1:
        (tree,) = _parts(tree)
    read = _READERS.get(tree.data)
    if read is None:
        raise _worked_out(tree)
    return read(tree)


def _literal(tree: Tree[Token]) -> Any:
    if _text(tree) not in _LITERALS:
        raise _worked_out(tree)
    return _LITERALS[_text(tree)]


def _negative(tree: Tree[Token]) -> Any:
    number = _value(_parts(tree)[0]) if tree.children[0] == "-" else None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise _worked_out(tree)
    return -number


def _check_separators(tree: Tree[Token]) -> None:
    """Between two settings is a new line, or in an object a comma, which ends its line."""
    is_open = is_line = False
    for child in tree.children:
        if child == ",":
            if is_line:
                raise SyntaxFaultError(f"{_line(tree)}a comma at the beginning of a line")
            is_open = False
        elif isinstance(child, Tree) and child.data in _FILLING:
            said = "".join(map(str, child.scan_values(lambda value: isinstance(value, Token))))
            if is_open and "\n" in _BLOCK_COMMENT.sub("", said):
                is_open, is_line = False, True
        elif isinstance(child, Tree):
            if is_open:
                raise SyntaxFaultError(f"{_line(child)}two settings in a line")
            is_open, is_line = True, False


def _number(tree: Tree[Token]) -> int | float:
    text = _text(tree)
    if len(text) > _DIGITS:
        raise SyntaxFaultError(f"{_line(tree)}a number has at most {_DIGITS} characters")
    if text.isdecimal():
        return int(text)
    # 40.0 is 40 to Terraform; 1e400 is more than Python knows, and too much for any rule.
    return int(number) if (number := float(text)).is_integer() else number


def _object(tree: Tree[Token]) -> dict[str, Any]:
    _check_separators(tree)
    found: dict[str, Any] = {}
    for element in _parts(tree):
        key, value = _parts(element)
        _put(found, _name(key), value)
    return found


def _string(tree: Tree[Token]) -> str:
    text = ""
    for part in _parts(tree):
        token = part.children[0]
        if (
            not isinstance(token, Token)
            or token.type != "STRING_CHARS"
            or not {"\\", "\n"}.isdisjoint(token)
        ):
            raise SyntaxFaultError(
                f"{_line(tree)}a text here has no ${{…}}, %{{…}}, $${{, backslash or line break"
            )
        text += token
    return unicodedata.normalize("NFC", text)  # as Terraform does


_READERS: Final[dict[str, Callable[[Tree[Token]], Any]]] = {
    "literal_value": _literal,
    "int_lit": _number,
    "float_lit": _number,
    "unary_op": _negative,
    "string": _string,
    "tuple": lambda tree: [_value(item) for item in _parts(tree)],
    "object": _object,
}


def _name(tree: Tree[Token]) -> str:
    # In parentheses it would be worked out: (x) is no name, but a variable.
    while tree.data in {"object_elem_key", "expr_term"} and len(tree.children) == 1:
        (tree,) = _parts(tree)
    if tree.data == "identifier":
        return _text(tree)
    if tree.data == "string":
        return _string(tree)
    raise SyntaxFaultError(
        f"{_line(tree)}a name is worked out: a variables file has plain ones only"
    )


def _parts(tree: Tree[Token]) -> list[Tree[Token]]:
    return [
        child for child in tree.children if isinstance(child, Tree) and child.data not in _FILLING
    ]


def _text(tree: Tree[Token]) -> str:
    return "".join(child for child in tree.children if isinstance(child, Token))


def _worked_out(tree: Tree[Token]) -> SyntaxFaultError:
    return SyntaxFaultError(
        f"{_line(tree)}it is worked out: a variables file has plain values only"
    )


def _line(tree: Tree[Token]) -> str:
    for token in tree.scan_values(lambda value: isinstance(value, Token)):
        return f"line {token.line}: "
    return ""
