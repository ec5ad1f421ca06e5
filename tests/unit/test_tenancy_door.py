"""A tenant's identity has one door: only `tenantry.tenancy` reads the headers that carry it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOOR = ROOT / "libs" / "tenantry" / "src" / "tenantry" / "tenancy.py"
HEADERS = {"authorization", "tenantid"}


def readers(source: str) -> Iterator[str]:
    """What a module says that only the door may: line, and why.

    A header's name as text or bytes, in any case and place, for a constant can be used
    anywhere; as a parameter that FastAPI fills from a header; or FastAPI's own readers. The
    documentation of OpenAPI, `{"name": "tenantID", …}`, and the name of the type `TenantId`
    read nothing.
    """
    tree = ast.parse(source)
    harmless = {
        id(node.args[0])
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"NewType", "cast"}
    } | {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value == "name"
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in harmless:
            text = node.value.decode("latin-1") if isinstance(node.value, bytes) else node.value
            if isinstance(text, str) and text.strip().lower() in HEADERS:
                yield f"{node.lineno}: names the header {text}"
        elif isinstance(node, ast.arg | ast.AnnAssign):
            name = node.arg if isinstance(node, ast.arg) else ast.unparse(node.target)
            if name.lower() in HEADERS:
                yield f"{node.lineno}: a parameter {name} can be filled from the header"
        elif isinstance(node, ast.ImportFrom | ast.Attribute):
            module = node.module if isinstance(node, ast.ImportFrom) else ast.unparse(node)
            if module == "fastapi.security":
                yield f"{node.lineno}: fastapi.security reads the header"


def modules() -> list[Path]:
    """Every module of the library and the services but the door."""
    found = [*ROOT.glob("libs/*/src/**/*.py"), *ROOT.glob("services/*/src/**/*.py")]
    return sorted(path for path in found if path != DOOR)


def test_nothing_but_the_door_reads_identity() -> None:
    """A tenant comes from `Identity.tenant` and from nowhere else."""
    found = [
        f"{path.relative_to(ROOT)}:{reason}"
        for path in modules()
        for reason in readers(path.read_text("utf-8"))
    ]

    assert [] == found


def test_the_search_covers_library_and_services() -> None:
    """The test above looks at something."""
    names = {path.relative_to(ROOT).parts[1] for path in modules()}

    assert {"tenantry", "producer", "consumer"} <= names


def test_the_door_itself_would_be_found() -> None:
    """The search finds the one module that does read the headers."""
    found = list(readers(DOOR.read_text("utf-8")))

    assert any("names the header authorization" in reason for reason in found)
    assert any("names the header tenantid" in reason for reason in found)


@pytest.mark.parametrize(
    "source",
    [
        'request.headers["Authorization"]',
        'request.headers.get("tenantID")',
        'next(v for k, v in scope["headers"] if k == b"authorization")',
        'name = "TENANTID"; request.headers[name]',
        'dict(headers)[b"tenantid"]',
        'def f(x: str = Header(alias="tenantID")): ...',
        "def f(authorization: Annotated[str, Header()]): ...",
        "class Headers(BaseModel):\n    tenantid: str",
        'match key:\n    case b"authorization": ...',
        "from fastapi.security import HTTPBearer",
        "import fastapi\nfastapi.security.HTTPBearer()",
    ],
)
def test_every_way_to_read_is_found(source: str) -> None:
    """Text, bytes, any case, by a variable, by FastAPI."""
    assert list(readers(source))


@pytest.mark.parametrize(
    "source",
    [
        '"""The Authorization header is not read here."""',
        '{"name": "tenantID", "in": "header", "required": False}',
        'request.headers.get("idempotency-key")',
        'log.info("x", tenant_id=tenant_id)',
        'TenantId = NewType("TenantId", str)',
        'x = cast("TenantId", y)',
        "# authorization",
    ],
)
def test_what_reads_nothing_passes(source: str) -> None:
    """Documentation, other headers and the id that the door gave."""
    assert not list(readers(source))
