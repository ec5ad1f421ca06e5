"""Texts of a policy: wildcards, and variables that a request fills in.

Sources: IAM User Guide, "IAM policy elements: Variables and tags", "IAM JSON policy elements:
Resource" (wildcards), "Condition operators" (StringLike, ArnLike).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from iam.keys import PolicyError, check_key, is_multivalued

__all__ = ["PolicyError", "Template", "parse_template"]

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_WITH_DEFAULT: Final = re.compile(r"([^,']+), '([^']*)'")
#: "Special predefined policy variables": each stands for itself.
_LITERALS: Final = frozenset({"*", "?", "$"})
_ARN_PARTS: Final = 6

Context = Mapping[str, str | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a text: literal, a wildcard (`*`, `?`), or a variable with its default."""

    kind: Literal["literal", "wildcard", "variable"]
    text: str
    default: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """A text with wildcards and variables. `written` is how it stands in the policy."""

    written: str
    pieces: tuple[Piece, ...]

    def fill(self, context: Context) -> tuple[Piece, ...] | None:
        """Without variables; None if one of them has neither a value nor a default.

        What a request fills in is text, never a wildcard.
        """
        filled: list[Piece] = []
        for piece in self.pieces:
            if piece.kind != "variable":
                filled.append(piece)
                continue
            value = context.get(piece.text.lower(), piece.default)
            if value is None or not isinstance(value, str):
                return None
            filled.append(Piece("literal", value))
        return tuple(filled)


def parse_template(text: str, *, has_variables: bool) -> Template:
    """The parts of a text.

    Raises:
        PolicyError: A variable that is none, or of a key that nobody knows.
    """
    pieces: list[Piece] = []
    at = 0
    if has_variables:
        for found in _VARIABLE.finditer(text):
            pieces += _wildcards(text[at : found.start()])
            pieces.append(_variable(found[1]))
            at = found.end()
    rest = text[at:]
    if has_variables and "${" in rest:
        raise PolicyError(f"a variable without an end: {text}")
    return Template(text, (*pieces, *_wildcards(rest)))


def _variable(written: str) -> Piece:
    if written in _LITERALS:
        return Piece("literal", written)
    default: str | None = None
    if (both := _WITH_DEFAULT.fullmatch(written)) is not None:
        written, default = both[1], both[2]
    check_key(written)
    if is_multivalued(written):
        raise PolicyError(f"${{{written}}} has several values")
    return Piece("variable", written, default)


def _wildcards(text: str) -> list[Piece]:
    return [
        Piece("wildcard" if part in ("*", "?") else "literal", part)
        for part in re.split(r"([*?])", text)
        if part
    ]


def equals(pieces: tuple[Piece, ...], value: str, *, ignore_case: bool = False) -> bool:
    """The same text; wildcards mean nothing."""
    text = "".join(piece.text for piece in pieces)
    return text.lower() == value.lower() if ignore_case else text == value


def like(pieces: tuple[Piece, ...], value: str, *, ignore_case: bool = False) -> bool:
    """The text, where `*` stands for any characters and `?` for one."""
    return _pattern(pieces, ignore_case).fullmatch(value) is not None


def arn_like(pieces: tuple[Piece, ...], value: str) -> bool:
    """Each of the six parts of an ARN alike: no wildcard reaches beyond its part."""
    wanted, given = _parts(pieces), value.split(":", _ARN_PARTS - 1)
    if len(wanted) != _ARN_PARTS or len(given) != _ARN_PARTS:
        return False
    return all(like(part, text) for part, text in zip(wanted, given, strict=True))


@lru_cache(maxsize=4096)
def _parts(pieces: tuple[Piece, ...]) -> tuple[tuple[Piece, ...], ...]:
    parts: list[list[Piece]] = [[]]
    for piece in pieces:
        if piece.kind == "wildcard" or len(parts) == _ARN_PARTS:
            parts[-1].append(piece)
            continue
        first, *rest = piece.text.split(":", _ARN_PARTS - len(parts))
        parts[-1].append(Piece("literal", first))
        parts += [[Piece("literal", text)] for text in rest]
    return tuple(tuple(part) for part in parts)


@lru_cache(maxsize=4096)
def _pattern(pieces: tuple[Piece, ...], ignore_case: bool) -> re.Pattern[str]:
    of = {"*": ".*", "?": "."}
    written = (
        of[piece.text] if piece.kind == "wildcard" else re.escape(piece.text) for piece in pieces
    )
    return re.compile("".join(written), re.DOTALL | (re.IGNORECASE if ignore_case else 0))
