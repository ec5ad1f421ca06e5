"""The list of what engines get wrong: nothing in it is forgotten or misspelt."""

from __future__ import annotations

import ast
from pathlib import Path

from contract.engines import gaps

FOLDER = Path(__file__).parent
ENGINES = {"moto", "ministack", "elasticmq", "dynamodb-local"}


def needed() -> set[str]:
    """Every operation that a test of this folder says it needs."""
    found: set[str] = set()
    for path in FOLDER.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "needs"
                and isinstance(node.args[0], ast.Constant)
            ):
                found.add(str(node.args[0].value))
    return found


def test_every_gap_is_shown_by_a_test() -> None:
    """A line that no test looks at could stay for ever."""
    assert set() == {gap.operation for gap in gaps()} - needed()


def test_every_gap_is_of_an_engine_that_is_run() -> None:
    """Never of a fake: those are ours, and are repaired."""
    assert set() == {gap.engine for gap in gaps()} - ENGINES


def test_every_gap_stands_once() -> None:
    """With a reason."""
    pairs = [(gap.engine, gap.operation) for gap in gaps()]

    assert len(set(pairs)) == len(pairs)
    assert all(gap.reason for gap in gaps())
