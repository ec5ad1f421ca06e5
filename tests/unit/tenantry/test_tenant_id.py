"""The rule of tenants' ids, and that everybody who asks can use it."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter

from tenantry.tenant_id import parse_tenant_id

RULE: dict[str, Any] = json.loads((files("tenantry") / "data" / "tenant_id.json").read_text())


@pytest.mark.parametrize(
    "value",
    ["abc", "a1b", "acme", "acme-2", "a-b-c", "a" * 32, "pool", "kube", "systems", "flux", "arg"],
)
def test_ids_are_taken(value: str) -> None:
    """Lower-case letters and digits in groups joined by single hyphens, 3 to 32 of them."""
    assert value == parse_tenant_id(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("", id="empty"),
        pytest.param("ab", id="2-characters"),
        pytest.param("a" * 33, id="33-characters"),
        pytest.param("Acme", id="upper-case"),
        pytest.param("1acme", id="digit-first"),
        pytest.param("-acme", id="hyphen-first"),
        pytest.param("acme-", id="hyphen-last"),
        pytest.param("ac--me", id="two-hyphens"),
        pytest.param("ac_me", id="underscore"),
        pytest.param("ac.me", id="dot"),
        pytest.param("ac me", id="blank"),
        pytest.param("acme\n", id="newline-last"),
        pytest.param("acme\x00", id="nul"),
        pytest.param("äcme", id="not-ascii"),
        pytest.param("acme\u0661", id="other-digit"),
        pytest.param("acme#1", id="partition-sign"),
        pytest.param("acme/..", id="path"),
    ],
)
def test_other_text_is_refused(value: str) -> None:
    """Everything else is refused, a trailing newline included, which `$` would let through."""
    with pytest.raises(ValueError, match="a tenant id"):
        parse_tenant_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "default",
        "tenants",
        "tenant-infra",
        "system",
        "pool-1",
        "pool-x",
        "kube-system",
        "flux-system",
        "argo",
        "argocd",
        "argo-events",
    ],
)
def test_reserved_ids_are_refused(value: str) -> None:
    """What names pools and the platform's own namespaces is no tenant."""
    with pytest.raises(ValueError, match="reserved"):
        parse_tenant_id(value)


@pytest.mark.parametrize("value", [None, 1, b"acme", ["acme"], {"a": 1}, True])
def test_what_is_no_text_is_refused(value: object) -> None:
    """A claim can hold any JSON."""
    with pytest.raises(ValueError, match="a string"):
        parse_tenant_id(value)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.from_regex(RULE["pattern"]))
def test_an_id_is_safe_wherever_it_stands(value: str) -> None:
    """What is taken needs no escaping in JSON, URLs, host names, paths or keys."""
    try:
        found = parse_tenant_id(value)
    except ValueError:
        return
    assert re.fullmatch("[a-z0-9-]{3,32}", found)
    assert "--" not in found


@pytest.mark.parametrize("value", ["secret-value\n", "SECRET-VALUE", "secret-value" * 4])
def test_the_refusal_never_quotes_the_value(value: str) -> None:
    """The text goes to logs and answers; the value may be anything."""
    with pytest.raises(ValueError, match="tenant id") as caught:
        parse_tenant_id(value)

    assert "secret" not in str(caught.value).lower()


def test_every_reader_can_compile_the_pattern() -> None:
    """No look-around, back-reference or possessive quantifier: RE2 has none of them.

    Rust's expressions, which pydantic compiles, have the same limits, so this is a compiler.
    """
    adapter = TypeAdapter(Annotated[str, Field(pattern=RULE["pattern"])])

    assert adapter.validate_python("acme-2") == "acme-2"
    assert not re.search(r"\(\?|\\[0-9AZzbBdDsSwW]|[*+?}]\+", RULE["pattern"])
    assert RULE["pattern"].startswith("^")
    assert RULE["pattern"].endswith("$")


def test_the_compiler_refuses_what_re2_refuses() -> None:
    """The test above can fail: a look-ahead does not compile."""
    with pytest.raises(Exception, match="look-around"):
        TypeAdapter(Annotated[str, Field(pattern="^(?!pool-)[a-z]+$")])


def test_the_data_file_holds_the_designs_rule() -> None:
    """Charts, Terraform and policies read this file: changing it changes all of them."""
    assert {
        "pattern": "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
        "min_length": 3,
        "max_length": 32,
        "reserved": ["default", "tenants", "tenant-infra", "system"],
        "reserved_prefixes": ["pool-", "kube-", "flux-", "argo"],
    } == RULE
