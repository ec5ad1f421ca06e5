from __future__ import annotations

import json
from pathlib import Path

import pytest

from tenantry_loadtests.catalogue import spread
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.tenants import TenantEntry, read_tenants, with_host


def write(tmp_path: Path, text: str, name: str = "tenants.json") -> Path:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_json_and_csv_say_the_same(tmp_path: Path) -> None:
    """An array, an object with `tenants`, and a table with a header line."""
    rows = [
        {"tenant": "acme", "tier": "basic", "token_file": "/t/acme", "weight": 2},
        {"tenant": "umbrella", "tier": "premium", "token_command": "vault read 'a b'"},
    ]
    array = read_tenants(write(tmp_path, json.dumps(rows)))
    wrapped = read_tenants(write(tmp_path, json.dumps({"tenants": rows})))
    table = read_tenants(
        write(
            tmp_path,
            "tenant,tier,token_file,token_command,weight\n"
            "acme,basic,/t/acme,,2\n"
            "umbrella,premium,,vault read 'a b',\n",
            "tenants.csv",
        )
    )
    assert array == wrapped == table
    assert array[1].token_command == ("vault", "read", "a b")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "is no JSON"),
        ("[]", "names no tenants"),
        ('"acme"', "wanted an array"),
        ("[1]", "tenant 1: not an object"),
        ('[{"tenant": "Acme", "token_file": "x"}]', "is no tenant's id"),
        ('[{"tenant": "acme\\n", "token_file": "x"}]', "is no tenant's id"),
        ('[{"tenant": "acme"}]', "neither token_file nor token_command"),
        ('[{"tenant": "acme", "token_file": "x", "tier": "gold"}]', "no such tier"),
        ('[{"tenant": "acme", "token_file": "x", "wieght": 2}]', "unknown field 'wieght'"),
        ('[{"tenant": "acme", "token_file": "x", "weight": 0}]', "weight is a whole number"),
        ('[{"tenant": "acme", "token_file": "x", "post_url": "acme.example"}]', "no address"),
        ('[{"tenant": "acme", "token_file": 7}]', "token_file is a text"),
        (
            '[{"tenant": "acme", "token_file": "x"}, {"tenant": "acme", "token_file": "x"}]',
            "twice",
        ),
    ],
)
def test_a_list_that_is_wrong_is_told_in_one_line(tmp_path: Path, text: str, what: str) -> None:
    """With the place, before anything is sent."""
    with pytest.raises(UsageError, match=what) as caught:
        read_tenants(write(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("field", ["token", "token_file", "token_command"])
def test_a_list_that_holds_a_token_is_refused_without_quoting_it(
    tmp_path: Path, field: str
) -> None:
    """Whatever the field is called."""
    secret = "eyJhbGciOiJSUzI1NiJ9.eyJleHAiOjF9.c2ln"
    with pytest.raises(UsageError) as caught:
        read_tenants(write(tmp_path, json.dumps([{"tenant": "acme", field: secret}])))
    assert secret not in str(caught.value)


def test_a_list_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    """Not with a traceback."""
    with pytest.raises(UsageError, match="No such file"):
        read_tenants(tmp_path / "missing.json")


def test_a_host_may_name_the_tenant() -> None:
    """`{tenant}` in it; a tenant's own URLs win."""
    entries = with_host(
        [
            TenantEntry(tenant="acme", token_file="x"),
            TenantEntry(
                tenant="globex", token_file="x", post_url="http://p:1/", get_url="http://g"
            ),
        ],
        "https://{tenant}.example.com/",
    )
    assert entries[0].post_url == entries[0].get_url == "https://acme.example.com"
    assert (entries[1].post_url, entries[1].get_url) == ("http://p:1", "http://g")


@pytest.mark.parametrize(
    "host", ["example.com", "ftp://x", "http://", "http://u:p@x", "http://x?token=1", "http://x:0"]
)
def test_a_host_that_is_no_plain_address_is_refused(host: str) -> None:
    """Above all one with a password or a token in it."""
    with pytest.raises(UsageError):
        with_host([], host)


def test_weights_are_spread() -> None:
    """A tenant of weight three is there three times, and not in a row."""
    entries = [
        TenantEntry(tenant="acme", token_file="x", weight=3),
        TenantEntry(tenant="globex", token_file="x"),
        TenantEntry(tenant="hooli", token_file="x"),
    ]
    assert spread(entries) == ("acme", "acme", "globex", "hooli", "acme")


def test_where_tokens_are_is_told_to_nobody_else() -> None:
    """A plan that goes to workers names no file and no command."""
    entry = TenantEntry(tenant="acme", token_file="/secret/acme", token_command=("vault",))
    wire = entry.to_wire(with_tokens=False)
    assert "secret" not in str(wire)
    assert "vault" not in str(wire)
    assert TenantEntry.from_wire(entry.to_wire(with_tokens=True)) == entry
