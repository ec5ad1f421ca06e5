"""The registry's table guards an environment: while AWS keeps it, a destroy removes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from cloud.environments import ROOT
from support import terraform

TABLE: Final = "aws_dynamodb_table.registry"
_NODE: Final = re.compile(r'^ +"((?:module\.\w+\.)?aws_\w+\.\w+)" \[', re.MULTILINE)
_EDGE: Final = re.compile(r'^ +"(\S+)" -> "(\S+)";', re.MULTILINE)


def test_the_table_is_the_last_to_be_made_and_the_first_to_go(tmp_path: Path) -> None:
    """It comes after every other resource; whoever adds one that nothing needs says so there."""
    tool = terraform.find("terraform")
    if tool is None:
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip("terraform is not there")
    tree = terraform.copy_module(ROOT / "platform" / "terraform", tmp_path / "all")
    folder = tree / "environment"
    (folder / "state_override.tf").write_text('terraform {\n  backend "local" {}\n}\n')
    root = terraform.open_root(tool, folder)
    root.run("init", "-input=false")
    graph = root.run("graph")
    resources = set(_NODE.findall(graph))

    assert {TABLE, "module.cluster.aws_eks_cluster.this"} <= resources
    assert set() == resources - _before(graph, TABLE) - {TABLE}


def _before(graph: str, name: str) -> set[str]:
    """All that is made before a resource, and so destroyed after it."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        new = {other for after, other in _EDGE.findall(graph) if after == one} - found
        found |= new
        waiting += new
    return found
