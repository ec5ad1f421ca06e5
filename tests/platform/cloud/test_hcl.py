"""The literals of variables files: what is read, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud.environments import ROOT, values, write
from tenantry_cloud.hcl import SyntaxFaultError, read_literals


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", {}),
        ("# a comment\n\n", {}),
        ('a = "x"', {"a": "x"}),
        ("a = -2", {"a": -2}),
        ("a = 1.5", {"a": 1.5}),
        ("a = true\nb = null", {"a": True, "b": None}),
        ("a = [\n  1, # one\n  2,\n]", {"a": [1, 2]}),
        ('a = { x = 1, "y-z": [] }', {"a": {"x": 1, "y-z": []}}),
        ('a = "$ and % äö"', {"a": "$ and % äö"}),
        ("a-b = 1", {"a-b": 1}),
        ("a = [40.0, 1e2, 1e-3]", {"a": [40, 100, 0.001]}),
        ("\ufeffa = 1\r\nb = 2\r\n", {"a": 1, "b": 2}),
    ],
)
def test_literals_are_read(text: str, wanted: dict[str, Any]) -> None:
    """As Python's own values, of the same types."""
    assert json.dumps(wanted) == json.dumps(read_literals(text))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a = 1\na = 2", "line 2: a is set twice"),
        ("a = {\n x = 1\n x = 2\n}", "line 3: x is set twice"),
        ("a = b", "line 1: it is worked out"),
        ("\na = 1 + 2", "line 2: it is worked out"),
        ('a = upper("x")', "line 1: it is worked out"),
        ("a = [for x in y: x]", "line 1: it is worked out"),
        ("a = !true", "line 1: it is worked out"),
        ("a = <<E\nx\nE\n", "line 1: it is worked out"),
        ('a = "${b}"', "line 1: a text here has no ${"),
        ('a = "$${b}"', "line 1: a text here has no ${"),
        ('a = "x\\n"', "line 1: a text here has no ${"),
        ('b "x" {}', "line 1: a block"),
        ("a = {", "line 1: this is no HCL"),
        ("a", "line 1: this is no HCL"),
        ("a = 'x'", "line 1: this is no HCL"),
        (f"\na = {'9' * 5_000}", "line 2: a number has at most 17 characters"),
        (f"a = {'[' * 2_000}{']' * 2_000}", "this is nested too deep"),
        (f"a = {'{a=' * 2_000}1{'}' * 2_000}", "this is nested too deep"),
    ],
)
def test_what_is_worked_out_is_refused(text: str, why: str) -> None:
    """By the line where it stands: a variables file is the same for every reader."""
    with pytest.raises(SyntaxFaultError) as error:
        read_literals(text)

    assert str(error.value).startswith(why), error.value


_TEXTS = st.text(st.characters(exclude_characters='\\"$%', exclude_categories=["C", "Z"])).map(
    partial(unicodedata.normalize, "NFC")
)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXTS,
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.from_regex(r"[a-z]+", fullmatch=True), inner)
    ),
    max_leaves=8,
)


@given(settings=st.dictionaries(st.from_regex(r"k[a-z]{0,5}", fullmatch=True), _VALUES))
def test_what_is_written_is_read_again(
    settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever the values."""
    path = write(tmp_path_factory.mktemp("hcl") / "x.tfvars", settings)

    assert settings == read_literals(path.read_text("utf-8"))


def _command(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tenantry_cloud", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_says_every_fault(tmp_path: Path) -> None:
    """A line each on standard error, with the file's name; and status 2."""
    wrong = write(
        tmp_path / "dev.tfvars", values() | {"region": "here", "account": "1", "environment": "x"}
    )

    done = _command("check", "production", str(wrong), cwd=ROOT / "docs")

    assert 2 == done.returncode
    assert "production.tfvars: valid\n" == done.stdout
    lines = done.stderr.splitlines()
    assert all(line.startswith("dev.tfvars: ") for line in lines), lines
    told = {line.split(": ")[1] for line in lines}
    of_the_region = {"region", "network.zones", "domain.certificate_arn"}
    assert {*of_the_region, "account", "environment"} == told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["check", "nowhere"], "nowhere.tfvars: there is no such file"),
        (["check", "broken.tfvars"], "broken.tfvars: line 1: it is worked out"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    arguments: list[str], why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what is wrong, and no traceback."""
    (tmp_path / "broken.tfvars").write_text("environment = x\n", encoding="utf-8")
    monkeypatch.setenv("TENANTRY_ROOT", str(ROOT))

    done = _command(*arguments, cwd=tmp_path)

    assert (2, "") == (done.returncode, done.stdout)
    assert done.stderr.startswith(why), done.stderr


def test_outside_of_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables and files are those of the checkout that one is in."""
    monkeypatch.delenv("TENANTRY_ROOT", raising=False)

    done = _command("check", cwd=tmp_path)

    assert 1 == done.returncode
    assert "no checkout of Tenantry here" in done.stderr
