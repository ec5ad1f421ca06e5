"""The documents say what the code says, and name nothing that is not there."""

from __future__ import annotations

import ast
import re
import uuid
from pathlib import Path

import pytest

import docs
from tenantry.contract import IDEMPOTENCY_NAMESPACE, decode, idempotent_message_id, item_bytes
from tenantry.problems import INTERNAL, KINDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
#: Paths of the repository in backticks, but for those with a pattern or a name left open.
_PATH = re.compile(r"`((?:docs|libs|platform|requirements|scripts|services|tests)/[\w./-]*[\w/])`")


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _blocks(page: str, language: str) -> list[str]:
    found = _FENCED.findall((ROOT / page).read_text("utf-8"))
    return [text for kind, text in found if kind == language]


def _anchors(page: Path) -> set[str]:
    headings = _HEADING.findall(page.read_text("utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_generated_pages_are_what_the_code_says() -> None:
    """Settings and metrics cannot change without their pages."""
    assert docs.main(["--check"]) == 0, "run `python scripts/docs.py`"


def test_a_stale_page_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check exits 1 and writes nothing; writing makes it pass."""
    monkeypatch.setattr(docs, "ROOT", tmp_path)
    (tmp_path / "docs").mkdir()
    stale = tmp_path / "docs" / "settings.md"
    stale.write_text("old")

    assert docs.main(["--check"]) == 1
    assert "docs/settings.md" in capsys.readouterr().err
    assert stale.read_text() == "old"
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0


def test_every_setting_is_documented() -> None:
    """A variable has a row with its default and bounds."""
    page = docs.settings_page()

    assert "| `TENANTRY_QUEUE_URL` | required | text | The instance's queue. |" in page
    assert "| `TENANTRY_WAIT_SECONDS` | `20` | whole number, ≥ 1, ≤ 20 |" in page
    assert "| `TENANTRY_JWT_ALGORITHMS` | `RS256` | list, by commas |" in page


def test_every_problem_is_explained() -> None:
    """Each type that a client can get has a section with its status."""
    text = (ROOT / "docs" / "problems.md").read_text("utf-8")
    for kind in (*KINDS.values(), INTERNAL):
        assert re.search(rf"^### {kind.slug}\n\n{kind.status}[.,]", text, re.MULTILINE), kind.slug


def test_no_problem_is_explained_that_does_not_exist() -> None:
    """A section whose type is gone is found."""
    text = (ROOT / "docs" / "problems.md").read_text("utf-8")
    sections = set(re.findall(r"^### (.+)$", text, re.MULTILINE))

    assert {kind.slug for kind in KINDS.values()} | {INTERNAL.slug, "about:blank"} == sections


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    """Every relative link, anchor, and path of the repository that a page names is there."""
    text = page.read_text("utf-8")
    missing = [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    for link in _LINK.findall(text):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = page.parent / target if target else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            missing.append(link)

    assert not missing


def test_pages_name_no_test_and_no_metric_that_is_not_there() -> None:
    """A defence is held by a test that exists, an alert looks at a metric that exists."""
    tests = {
        name
        for file in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", file.read_text("utf-8"))
    }
    metrics = set(re.findall(r"^\| `(tenantry_\w+)`", docs.metrics_page(), re.MULTILINE))
    for page in PAGES:
        text = page.read_text("utf-8")
        assert tests.issuperset(re.findall(r"`(test_\w+)`", text)), page
        if page.name in {"operations.md", "problems.md"}:
            named = set(re.findall(r"\btenantry_(?!local)\w+", text))
            assert metrics.issuperset(named), page


@pytest.mark.parametrize("page", ["docs/contract.md", "docs/api.md"])
def test_python_examples_are_python_and_not_ours(page: str) -> None:
    """What a foreign program copies parses, and imports none of our modules."""
    for example in _blocks(page, "python"):
        imported = {
            alias.name.partition(".")[0]
            for node in ast.walk(ast.parse(example))
            if isinstance(node, ast.Import)
            for alias in node.names
        }
        assert imported.isdisjoint({"tenantry", "producer", "consumer", "tenantry_local"})


def test_the_example_of_an_envelope_is_one() -> None:
    """The contract's envelope decodes, and its id is the one of the key beside it."""
    [envelope] = _blocks("docs/contract.md", "json")
    message = decode(envelope.encode())

    assert message.message_id == idempotent_message_id("acme", "hello")
    assert message.message_id == str(uuid.uuid5(IDEMPOTENCY_NAMESPACE, "acme\nhello"))


def test_the_numbers_of_the_contract_are_the_code_s() -> None:
    """What an item counts beside tenant, type and payload, and the namespace of ids."""
    text = (ROOT / "docs" / "contract.md").read_text("utf-8")
    [envelope] = _blocks("docs/contract.md", "json")
    message = decode(envelope.encode())
    own = len(message.tenant_id) + len(message.type) + len(message.payload)

    assert f"payload as stored, and {item_bytes(message) - own} |" in text
    assert f"namespace `{IDEMPOTENCY_NAMESPACE}`" in text
