"""What clients send: parsed once, strictly, and refused with the place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from producer.schemas import BatchSubmission, Submission, parse
from tenantry.errors import InvalidMessageError, MalformedBodyError

GOOD = {"type": "order.created", "payload": {"order": 1}}


def refused(body: bytes, model: Any) -> InvalidMessageError:
    with pytest.raises(InvalidMessageError) as error:
        parse(body, model)
    return error.value


KEYS = st.text(st.characters(codec="utf-8"), max_size=20)
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | KEYS
PAYLOADS = st.dictionaries(
    KEYS, st.recursive(LEAVES, lambda x: st.lists(x) | st.dictionaries(KEYS, x), max_leaves=10)
)


@settings(max_examples=25, deadline=None)
@given(PAYLOADS)
def test_any_object_is_a_payload(payload: dict[str, Any]) -> None:
    """A payload is any JSON object, and comes through equal."""
    body = json.dumps({"type": "a", "payload": payload}).encode()
    assert payload == parse(body, Submission).payload


@pytest.mark.parametrize("type_", ["a", "A.b_c:d/e-9", "x" * 128])
def test_types_that_are_taken(type_: str) -> None:
    """1 to 128 of letters, digits and `. _ : / -`."""
    assert type_ == parse(json.dumps(GOOD | {"type": type_}).encode(), Submission).type


@pytest.mark.parametrize(
    "type_", ["", "x" * 129, "a b", "é", "a\n", "\na", "a\u0000", 'a"', 7, None, ["a"], True]
)
def test_types_that_are_refused(type_: object) -> None:
    """Anything else is refused at /type: the envelope is written without escaping it."""
    assert "/type" == refused(json.dumps(GOOD | {"type": type_}).encode(), Submission).pointer


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"payload": {}}, "/type"),
        ({"type": "a"}, "/payload"),
        ({"type": "a", "payload": []}, "/payload"),
        ({"type": "a", "payload": "{}"}, "/payload"),
        ({"type": "a", "payload": None}, "/payload"),
        (GOOD | {"tenant_id": "globex"}, "/tenant_id"),
        (GOOD | {"message_id": "1"}, "/message_id"),
        (GOOD | {"idempotency_key": "1"}, "/idempotency_key"),
        (GOOD | {"a/b~c": 1}, "/a~1b~0c"),
        ([], ""),
        ("text", ""),
        (None, ""),
        (7, ""),
    ],
)
def test_what_is_no_message_is_refused_with_its_place(body: object, pointer: str) -> None:
    """Missing, wrong and unknown fields have a JSON pointer; the tenant is no field."""
    assert pointer == refused(json.dumps(body).encode(), Submission).pointer


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        (GOOD | {"idempotency_key": ""}, "/idempotency_key"),
        (GOOD | {"idempotency_key": "a b"}, "/idempotency_key"),
        (GOOD | {"idempotency_key": "a\n"}, "/idempotency_key"),
        (GOOD | {"idempotency_key": "é"}, "/idempotency_key"),
        (GOOD | {"idempotency_key": "k" * 256}, "/idempotency_key"),
        (GOOD | {"idempotency_key": 7}, "/idempotency_key"),
        (GOOD | {"payload": 7}, "/payload"),
        (7, ""),
    ],
)
def test_an_entry_that_is_refused_has_its_number(entry: object, pointer: str) -> None:
    """The pointer leads to the entry of the batch."""
    body = json.dumps({"messages": [GOOD, GOOD, entry]}).encode()
    assert f"/messages/2{pointer}" == refused(body, BatchSubmission).pointer


@pytest.mark.parametrize("key", [None, "k", "!~" * 127 + "!"])
def test_keys_of_entries(key: str | None) -> None:
    """A key is 1 to 255 visible ASCII characters; null is none."""
    body = json.dumps({"messages": [GOOD | {"idempotency_key": key}]}).encode()
    assert key == parse(body, BatchSubmission).messages[0].idempotency_key


@pytest.mark.parametrize(("count", "good"), [(0, False), (1, True), (100, True), (101, False)])
def test_a_batch_holds_1_to_100(count: int, good: bool) -> None:
    """None is no batch, and the 101st is one too many."""
    body = json.dumps({"messages": [GOOD] * count}).encode()
    if good:
        assert count == len(parse(body, BatchSubmission).messages)
    else:
        assert "/messages" == refused(body, BatchSubmission).pointer


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"{'type': 1}", b'{"type":"a",}'])
def test_what_is_not_json_is_told_apart(body: bytes) -> None:
    """Not JSON is another error than JSON that is no message."""
    with pytest.raises(MalformedBodyError):
        parse(body, Submission)


@pytest.mark.parametrize(
    "payload",
    ['{"a":1,"a":2}', '{"a":NaN}', '{"a":18446744073709551616}', '{"a":1e999}', '{"a":"\\ud800"}'],
)
def test_what_cannot_be_kept_unchanged_is_refused(payload: str) -> None:
    """Duplicate keys, NaN, numbers that do not fit and lone surrogates are no message."""
    refused(b'{"type":"a","payload":%s}' % payload.encode(), Submission)


def test_errors_do_not_quote_the_body() -> None:
    """No part of a value is in the text of an error: it goes into answers and logs."""
    for body in (
        {"type": "se cret", "payload": {}},
        {"type": "a", "payload": "secret"},
        {"type": "a", "payload": ["secret"]},
    ):
        error = refused(json.dumps(body).encode(), Submission)
        assert "cret" not in f"{error.detail}{error.pointer}"
