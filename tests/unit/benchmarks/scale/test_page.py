"""docs/scale.md says what the models say, and the command line helps."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tenantry_benchmarks.scale.__main__ import main
from tenantry_benchmarks.scale.tables import BLOCKS, blocks_of, filled

ROOT = Path(__file__).resolve().parents[4]
PAGE = ROOT / "docs" / "scale.md"


def test_the_page_is_what_the_models_say() -> None:
    """Every table is there, and none is stale."""
    text = PAGE.read_text("utf-8")

    assert list(blocks_of(text)) == list(BLOCKS)
    assert filled(text) == text, f"run `python -m tenantry_benchmarks.scale --write {PAGE.name}`"


def test_the_page_is_short() -> None:
    """Four pages, as a printer counts them: 64 lines of 120 characters."""
    shown = re.sub(r"<!--.*-->\n", "", PAGE.read_text("utf-8"))
    lines = [-(-len(line) // 120) or 1 for line in shown.splitlines()]

    assert sum(lines) <= 4 * 64


def test_a_reader_finds_a_thousand_tenants_at_ten_thousand_messages() -> None:
    """Pods, nodes, calls, partitions, dollars and the first limit are in the first table."""
    plan = blocks_of(PAGE.read_text("utf-8"))["plan"]

    assert "10,000 messages/s of 1,000 tenants" in plan
    for wanted in ("pods", "nodes", "calls/s", "partition keys", "$ a month", "over the default"):
        assert wanted in plan


def test_a_stale_page_is_named_and_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--check` writes nothing and exits 1, `--write` writes, and then the check passes."""
    page = tmp_path / "scale.md"
    stale = "# Scale\n\n<!-- begin: idle -->\nold\n<!-- end: idle -->\n\nEnd.\n"
    page.write_text(stale)

    assert main(["--check", str(page)]) == 1
    assert page.read_text() == stale
    assert "not what the models say" in capsys.readouterr().err
    assert main(["--write", str(page)]) == 0
    assert main(["--check", str(page)]) == 0
    assert page.read_text().endswith("\nEnd.\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--check", "not-there.md"], "not-there.md: No such file"),
        (["plan", "--messages", "-1"], "must be 1 or more, not -1"),
        (["plan", "--tenants", "some"], "invalid number value: 'some'"),
        (["plan", "--messages", "inf"], "must be 1 or more, not inf"),
        (["unheard-of"], "invalid choice"),
    ],
)
def test_wrong_input_is_answered_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """On standard error, with status 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    [line] = capsys.readouterr().err.splitlines()

    assert ended.value.code == 2
    assert says in line


def test_a_block_that_nobody_makes_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page with a slip in its marker is not written."""
    page = tmp_path / "scale.md"
    page.write_text("<!-- begin: idel -->\n<!-- end: idel -->\n")

    with pytest.raises(SystemExit):
        main(["--write", str(page)])
    assert "idel" in capsys.readouterr().err


def test_a_plan_answers_for_any_load(capsys: pytest.CaptureFixture[str]) -> None:
    """What is given is what is planned for."""
    options = ["--messages", "500", "--tenants", "30", "--payload", "2000", "--producer-us", "150"]

    assert main(["plan", *options]) == 0
    text = capsys.readouterr().out
    assert "500 messages/s of 30 tenants | 150 and 350 µs" in text
    assert "| write units/s: all, busiest table, loudest tenant | 1,500," in text


def test_it_runs_as_a_module() -> None:
    """`python -m tenantry_benchmarks.scale` prints every table."""
    done = subprocess.run(
        [sys.executable, "-m", "tenantry_benchmarks.scale"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert [f"## {name}" for name in BLOCKS] == [
        line for line in done.stdout.splitlines() if line.startswith("## ")
    ]
