"""docs/coverage.md: what it names is there, and no row claims more than its tests can show."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from typing import Final

import pytest

from cloud.environments import ROOT

PAGE: Final = ROOT / "docs" / "coverage.md"
#: Sentences of the guidance, by diagram and number; letters where a number has several.
SENTENCES: Final = (
    *("1.0", "1.1a", "1.1b", "1.2", "1.3a", "1.3b", "1.4", "1.5a", "1.5b", "1.6", "1.7"),
    *("2.0", "2.1", "2.2", "2.3", "2.4", "2.5a", "2.5b", "2.6a", "2.6b", "2.6c"),
    *("3.0", "3.1a", "3.1b", "3.2", "3.3a", "3.3b", "3.4a", "3.4b", "3.5", "3.6a", "3.6b"),
)
#: What a test's file has to have, for its row to claim the verb: by a pattern in it, or its place.
SHOWN_BY: Final = {
    "rendered": re.compile(r""),
    "dry-run": re.compile(r"pytest\.mark\.cluster"),
    "reconciled": re.compile(r"pytest\.mark\.cluster"),
    "executed": re.compile(
        r"pytest\.mark\.terraform|start_engine|tenantry_local|GitServer|pytest\.mark\.delivery"
    ),
    "seen": re.compile(r"TENANTRY_TOFU_CONTROLLER"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A sentence of the guidance."""

    number: str
    begins: str
    asks: str
    files: tuple[str, ...]
    verb: str
    held: str

    @property
    def tests(self) -> list[tuple[str, str]]:
        """File and name of each test."""
        return [(path, name) for path, name in re.findall(r"`([^`]+?)::(\w+)`", self.held)]


def _rows() -> list[Row]:
    found = []
    for line in PAGE.read_text("utf-8").splitlines():
        if re.match(r"\| [123]\.", line):
            number, begins, asks, where, verb, held = line.strip("| ").split(" | ")
            files = tuple(re.findall(r"`([^`]+)`", where))
            found.append(Row(number, begins, asks, files, verb, held))
    return found


ROWS: Final = _rows()


def _has(path: str, name: str) -> bool:
    """Whether a file has a test of this name; Terraform's call theirs runs."""
    text = (ROOT / path).read_text("utf-8")
    if path.endswith(".tftest.hcl"):
        return re.search(rf'^run "{name}" ', text, re.MULTILINE) is not None
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name
        for node in ast.parse(text).body
    )


def test_every_sentence_has_a_row() -> None:
    """Each once, in the order of the guidance."""
    assert [row.number for row in ROWS] == list(SENTENCES)
    assert all(re.fullmatch(r'".+ …"', row.begins) for row in ROWS)
    assert all(row.asks.endswith((".", ").")) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_what_a_row_names_is_there(row: Row) -> None:
    """Files and folders, and tests by their names."""
    assert row.files
    for path in row.files:
        assert (ROOT / path).exists(), path
    for path, name in row.tests:
        assert (ROOT / path).is_file(), path
        assert _has(path, name), f"{path} has no {name}"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_a_row_claims_what_its_tests_can_show(row: Row) -> None:
    """One of them at least; what is open names the issue, and claims no test."""
    if row.verb == "open":
        assert re.match(r"issue ([89]|1[01]): ", row.held)
        assert not row.tests
        return
    assert row.tests, "a row without a test"
    texts = [(ROOT / path).read_text("utf-8") for path, _ in row.tests]
    assert any(SHOWN_BY[row.verb].search(text) for text in texts)


def test_every_verb_is_explained() -> None:
    """In the table at the page's beginning, and no other."""
    explained = re.findall(r"^\| ([a-z-]+) \|", PAGE.read_text("utf-8"), re.MULTILINE)

    assert set(explained) - {"verb", "id", "---"} == {*SHOWN_BY, "open"}


def test_what_is_not_there_is_found() -> None:
    """A test that was renamed, and a run that never was."""
    assert not _has("tests/platform/cloud/test_coverage.py", "test_no_such")
    assert not _has("platform/terraform/modules/network/tests/network.tftest.hcl", "no_such")
    assert _has("platform/terraform/modules/network/tests/network.tftest.hcl", "alone")
