"""Rules for what we make in AWS: checkov's, cfn-lint's, and a few for Terraform's language."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cloud.environments import ROOT
from cloud.templates import WORKSTATION

pytestmark = pytest.mark.slow

#: An environment of their own: their pins exclude ours. TENANTRY_LINT names another.
PROGRAMS: Final = Path(os.environ.get("TENANTRY_LINT") or ROOT / ".venv-lint" / "bin")
FOLDERS: Final = ("platform/terraform", "platform/bootstrap")
ROOTS: Final = sorted(
    {
        path.parent
        for path in (ROOT / "platform/terraform").rglob("*.tf")
        if "tests" not in path.parts
    }
)
EXCEPTIONS: Final = yaml.safe_load(
    (Path(__file__).parent / "lint_exceptions.yaml").read_text("utf-8")
)


def _program(name: str) -> Path:
    path = PROGRAMS / name
    if not path.exists():
        # On a person's machine only: in CI a skip is a failure.
        pytest.skip(f"{name} is not installed: `make lint`")
    return path


def _run(*words: str | Path, also: int = 0) -> str:
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in {0, also}, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _documents(text: str) -> Iterator[Mapping[str, Any]]:
    """Checkov writes one after the other, alone or in lists."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        found, end = decoder.raw_decode(rest)
        yield from found if isinstance(found, list) else [found]
        rest = rest[end:].strip()


@pytest.fixture(scope="module")
def found() -> set[tuple[str, str]]:
    """What checkov finds: the check, and the resource without the modules that call it."""
    folders = [word for folder in FOLDERS for word in ("--directory", folder)]
    said = _run(
        _program("checkov"),
        *folders,
        *("--framework", "terraform", "cloudformation", "--skip-download"),
        *("--quiet", "--compact", "--output", "json", "--soft-fail"),
    )
    failures = set()
    seen = 0
    for document in _documents(said):
        seen += document["summary"]["passed"]
        for one in document["results"]["failed_checks"]:
            address = one["resource"]
            while address.startswith("module."):
                address = address.split(".", 2)[2]
            failures.add((one["check_id"], address.partition("[")[0]))
    assert seen > 300, "checkov read nothing"
    return failures


def test_checkov_finds_nothing_but_what_is_meant(found: set[tuple[str, str]]) -> None:
    """Each exception has its reason, and one that is not needed any more is gone."""
    meant = {(one["check"], address) for one in EXCEPTIONS for address in one["of"]}

    assert sorted(found - meant) == []
    assert sorted(meant - found) == []
    assert all(one["reason"].endswith(".") for one in EXCEPTIONS)


def test_checkov_would_find_a_bucket_that_is_open(tmp_path: Path) -> None:
    """It looks, and does not only say that all is well."""
    (tmp_path / "main.tf").write_text(
        'resource "aws_s3_bucket" "open" {\n  bucket = "open"\n}\n', encoding="utf-8"
    )

    said = _run(
        _program("checkov"),
        *("--directory", tmp_path, "--framework", "terraform", "--skip-download"),
        *("--quiet", "--compact", "--output", "json", "--soft-fail"),
    )

    assert "CKV2_AWS_6" in said


@pytest.mark.parametrize("name", ["state.yaml", *WORKSTATION])
def test_cfn_lint_finds_nothing(name: str) -> None:
    """Not even something to inform about."""
    said = _run(
        _program("cfn-lint"),
        *("--include-checks", "I", "--regions", "eu-central-1", "us-east-1"),
        *("--template", ROOT / "platform/bootstrap" / name),
    )

    assert said == ""


def test_cfn_lint_would_find_a_property_that_nobody_knows(tmp_path: Path) -> None:
    """It looks, too."""
    template = tmp_path / "template.yaml"
    template.write_text(
        "Resources: {One: {Type: AWS::SQS::Queue, Properties: {Nmae: x}}}\n", encoding="utf-8"
    )

    assert "Nmae" in _run(_program("cfn-lint"), "--template", template, also=2)


def _terraform(folder: Path) -> str:
    """All files of a root or module, without comments."""
    texts = (path.read_text("utf-8") for path in sorted(folder.glob("*.tf")))
    return re.sub(r"^\s*#.*$", "", "\n".join(texts), flags=re.MULTILINE)


def unused_and_untold(text: str) -> list[str]:
    """Variables and locals that nothing reads, variables without a type, what has no description.

    What tflint's rules for the language find; tflint itself builds from a hundred modules.
    """
    wrong = []
    for kind, name, body in re.findall(
        r'^(variable|output) "([\w-]+)" \{\n(.*?)^\}', text, re.DOTALL | re.MULTILINE
    ):
        if not re.search(r"^  description\s+=", body, re.MULTILINE):
            wrong.append(f"{kind} {name} has no description")
        if kind == "variable" and not re.search(r"^  type\s+=", body, re.MULTILINE):
            wrong.append(f"variable {name} has no type")
        if kind == "variable" and not re.search(rf"\bvar\.{name}\b", text.replace(body, "")):
            wrong.append(f"variable {name} is read by nothing")
    for block in re.findall(r"^locals \{\n(.*?)^\}", text, re.DOTALL | re.MULTILINE):
        wrong += [
            f"local {name} is read by nothing"
            for name in re.findall(r"^  (\w+)\s+=", block, re.MULTILINE)
            if not re.search(rf"\blocal\.{name}\b", text)
        ]
    return wrong


@pytest.mark.parametrize("folder", ROOTS, ids=lambda folder: folder.name)
def test_nothing_in_terraform_is_unused_or_untold(folder: Path) -> None:
    """What is declared is read, has a type, and says what it is."""
    text = _terraform(folder)

    assert "variable" in text
    assert unused_and_untold(text) == []


def test_what_is_unused_or_untold_is_found() -> None:
    """Each of them, by its name."""
    text = """
variable "used" {
  description = "It is."
  type        = string
}
variable "bare" {
  default = null
}
locals {
  read   = var.used
  unread = local.read
}
output "mute" {
  value = local.read
}
"""

    assert unused_and_untold(text) == [
        "variable bare has no description",
        "variable bare has no type",
        "variable bare is read by nothing",
        "output mute has no description",
        "local unread is read by nothing",
    ]
