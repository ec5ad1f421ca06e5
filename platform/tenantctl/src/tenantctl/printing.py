"""What the command line says: for people on a terminal, or as JSON for machines.

The result goes to standard output, and nothing else does; what happens meanwhile goes to standard
error, a line for each step, as JSON with `--output json`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

_WIDEST: Final = 200
_NUMBERS: Final = re.compile(r"[0-9.]+")


class Printer:
    """Prints, one way or the other. It is the verbs' observer, too."""

    def __init__(self, *, as_json: bool, quiet: bool = False) -> None:
        self.as_json = as_json
        self._quiet = quiet
        self._out = Console(file=sys.stdout, soft_wrap=True, highlight=False)
        self._err = Console(file=sys.stderr, soft_wrap=True, highlight=False)
        self._waiting = ""

    def step(self, name: str, detail: str = "") -> None:
        self._waiting = ""
        if self.as_json:
            self._event({"step": name, "detail": detail})
        elif not self._quiet:
            self._err.print(f"[green]✓[/] {name}{f': {detail}' if detail else ''}", markup=True)

    def waiting(self, what: str) -> None:
        # Numbers in it count down: one line for each thing that is waited for.
        kind = _NUMBERS.sub("", what)
        if kind == self._waiting:
            return
        self._waiting = kind
        if self.as_json:
            self._event({"waiting": what})
        elif not self._quiet:
            self._err.print(f"[dim]… {what}[/]", markup=True)

    def _event(self, event: Mapping[str, str]) -> None:
        sys.stderr.write(json.dumps(event) + "\n")
        sys.stderr.flush()

    def say(self, text: str) -> None:
        """A line for people; machines have the result."""
        if not self.as_json:
            self._out.print(text, markup=False)

    def result(self, value: Any) -> None:
        """The result for machines; people have been told."""
        if self.as_json:
            sys.stdout.write(json.dumps(plain(value), indent=1) + "\n")

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
        """A table for people; nothing where there is no row."""
        lines = list(rows)
        if self.as_json or not lines:
            return
        table = Table(*columns, box=None, pad_edge=False, header_style="bold")
        for row in lines:
            table.add_row(*row)
        width = None if self._out.is_terminal else _WIDEST
        self._out.print(table, markup=False, width=width)

    def error(self, error: BaseException, code: int) -> None:
        """What went wrong, for both."""
        if self.as_json:
            self._event({"error": str(error), "kind": type(error).__name__, "status": str(code)})
        else:
            self._err.print(f"tenantctl: {error}", markup=False)


def plain(value: Any) -> Any:  # noqa: PLR0911 - a case for each kind of value
    """A value of ours as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(one) for one in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, Path):
        return str(value)
    return value
