"""Envelope and JSON: what is taken, what is refused, and that nothing changes on the way."""

from __future__ import annotations

import gc
import json
import math
import os
import re
import subprocess
import sys
import time
import tracemalloc
import uuid
from contextlib import suppress
from typing import Any

import jiter
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tenantry import contract
from tenantry.contract import (
    Message,
    decode,
    dump_json,
    idempotent_message_id,
    instant,
    is_message_id,
    item_bytes,
    new_message_id,
    parse_json,
    partition,
    partitions,
    write_units,
)
from tenantry.errors import InvalidMessageError, MalformedBodyError
from tenantry.limits import JSON_LEVELS

SQS_TAKES = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")

NUMBERS = st.one_of(
    st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True),
    st.integers(-(2**65), 2**65).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.sampled_from(["NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e309", "9" * 400]),
    st.sampled_from([str(2**64 - 1), str(2**64), str(-(2**63)), str(-(2**63) - 1), "-0", "-0.0"]),
)
STRINGS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=8).map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8).map(
        lambda text: json.dumps(text, ensure_ascii=False)
    ),
    st.sampled_from([r'"\ud800"', r'"\udc00\ud800"', r'"\ud83d\ude00"', '"a"', r'"\u0061"', '""']),
)
# Text that is JSON, nearly JSON, or JSON that cannot be kept.
DOCUMENTS = st.recursive(
    st.one_of(NUMBERS, STRINGS, st.sampled_from(["true", "false", "null", "nul", ""])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=4).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
        st.tuples(st.integers(1, 70), inner).map(lambda n: "[" * n[0] + n[1] + "]" * n[0]),
    ),
    max_leaves=12,
).map(lambda text: text.encode("utf-8", "surrogatepass"))

VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.sampled_from(["\ufffe", "\uffff", "\x00", "\x7f", "\u2028", "\U0001fffe", "\\ufffe"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4),
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=5)


def strictly(value: Any) -> Any:
    """Something that is equal only for equal values of the same types, -0.0 and 0.0 apart."""
    if isinstance(value, dict):
        return ("object", {key: strictly(inner) for key, inner in value.items()})
    if isinstance(value, list):
        return ("array", [strictly(inner) for inner in value])
    return (type(value), value.hex() if isinstance(value, float) else value)


def depth(value: Any) -> int:
    """Levels of arrays and objects."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return 1 + max((depth(each) for each in inner), default=0)
    return 0


def by_the_standard_library(body: bytes) -> Any:
    """What the design says of a body, from a parser of its own; ValueError if it is refused."""

    def refuse(what: object) -> Any:
        raise ValueError(what)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        return found if len(found) == len(pairs) else refuse("duplicate")

    def integer(text: str) -> int:
        return int(text) if -(2**63) <= float(text) <= 2**64 and in_64_bits(text) else refuse(text)

    def in_64_bits(text: str) -> bool:
        return -(2**63) <= int(text) <= 2**64 - 1

    def number(text: str) -> float:
        return found if math.isfinite(found := float(text)) else refuse(text)

    value = json.loads(
        body.decode(),
        object_pairs_hook=unique,
        parse_constant=refuse,
        parse_int=integer,
        parse_float=number,
    )
    json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is a UnicodeEncodeError
    return value if depth(value) <= JSON_LEVELS else refuse("too deep")


def outcome(body: bytes, *, walk_always: bool = False) -> Any:
    """The value or the refusal, comparable."""
    try:
        value = parse_json(body)
        if walk_always:
            contract._refuse_what_cannot_be_kept(value)
    except (MalformedBodyError, InvalidMessageError) as error:
        return type(error)
    return strictly(value)


@settings(max_examples=200, deadline=None)
@given(DOCUMENTS)
def test_parses_as_the_standard_library_under_the_designs_rules(body: bytes) -> None:
    """What is taken, and its value, are what an independent reading of the rules says."""
    try:
        expected = strictly(by_the_standard_library(body))
    except (ValueError, RecursionError):
        assert outcome(body) in {MalformedBodyError, InvalidMessageError}
    else:
        assert expected == outcome(body)


@settings(max_examples=150, deadline=None)
@given(DOCUMENTS)
@example(b"[" * 64 + b"]" * 64)
@example(b"[1e999]")
@example(b"[1E+0309]")
@example(b"[" + b"9" * 309 + b"]")
@example(b"[18446744073709551616]")
@example(b"[-9223372036854775809]")
@example(b"[9.9e99]")
def test_the_prefilter_misses_nothing(body: bytes) -> None:
    """A body that the walk is spared for is one that the walk would have taken."""
    assert outcome(body) == outcome(body, walk_always=True)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=64) | st.text(max_size=32).map(str.encode))
def test_no_bytes_raise_anything_else(body: bytes) -> None:
    """Any bytes are a value, or one of the two refusals."""
    outcome(body)


@settings(max_examples=150, deadline=None)
@given(NUMBERS.filter(lambda text: text[-1].isdigit() and len(text) < 300))
@example("179769313486231580793e289")
@example("2.2250738585072011e-308")
@example("4.9e-324")
@example("2.4703282292062327208e-324")
@example("9007199254740993.0")
@example("0.1000000000000000055511151231257827021181583404541015625")
def test_floats_are_the_standard_librarys(number: str) -> None:
    """A float parses to the same 64 bits as with Python's own parser."""
    assert strictly(json.loads(number)) == strictly(jiter.from_json(number.encode()))


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_what_is_dumped_parses_to_the_same_value(value: Any) -> None:
    """The standard library reads back the same value of the same types, and so do we."""
    text = dump_json(value)

    assert strictly(value) == strictly(json.loads(text)) == strictly(parse_json(text.encode()))


@settings(max_examples=150, deadline=None)
@given(VALUES)
def test_what_is_dumped_holds_only_what_sqs_takes(value: Any) -> None:
    """No character outside of the ones that SQS allows is ever written."""
    assert SQS_TAKES.fullmatch(dump_json(value))


@settings(max_examples=100, deadline=None)
@given(
    OBJECTS,
    st.from_regex(contract.TYPE_PATTERN, fullmatch=True),
    st.from_regex(r"t[a-z0-9]{2,15}(-[a-z0-9]{1,7})?", fullmatch=True).filter(
        lambda tenant: tenant not in {"tenants", "tenant-infra"}
    ),
    st.uuids(),
    st.datetimes(),
)
def test_an_envelope_comes_back_as_it_was(
    payload: dict[str, Any], kind: str, tenant: str, identity: uuid.UUID, at: Any
) -> None:
    """Decoding a body gives the message that made it, and the same body again."""
    accepted_at = at.strftime("%Y").rjust(4, "0") + at.strftime("-%m-%dT%H:%M:%S.%fZ")
    message = Message(str(identity), tenant, kind, dump_json(payload), accepted_at)

    found = decode(message.body().encode())

    assert message == found
    assert message.body() == found.body()
    assert SQS_TAKES.fullmatch(message.body())
    assert strictly(payload) == strictly(json.loads(message.body())["payload"])


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b" \n", id="blank"),
        pytest.param(b"{}x", id="trailing-data"),
        pytest.param(b"{} {}", id="two-values"),
        pytest.param(b'{"a":1', id="cut"),
        pytest.param(b'["\xff"]', id="invalid-utf-8"),
        pytest.param(b'["\xc0\xaf"]', id="overlong-utf-8"),
        pytest.param(b'["\x00"]', id="raw-control-character"),
        pytest.param(b"[1,]", id="trailing-comma"),
        pytest.param(b"[01]", id="leading-zero"),
        pytest.param(b"{'a':1}", id="single-quotes"),
        pytest.param(b'{"a":NaN,', id="cut-after-nan"),
        pytest.param(b"\x0b[]", id="not-json-whitespace"),
    ],
)
def test_what_is_not_json_is_malformed(body: bytes) -> None:
    """What no JSON parser takes is refused as malformed, with the place."""
    with pytest.raises(MalformedBodyError, match=r"not JSON: .* at line \d+ column \d+"):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b'{"a":1,"a":2}', 'duplicate key "a"', id="duplicate-key"),
        pytest.param(b'{"a":[{"b":1,"\\u0062":2}]}', 'duplicate key "b"', id="escaped-duplicate"),
        pytest.param(b'{"a":NaN}', "expected value", id="nan"),
        pytest.param(b"[Infinity]", "expected value", id="infinity"),
        pytest.param(b"[-Infinity]", "invalid number", id="minus-infinity"),
        pytest.param(b'["\\ud800"]', "hex escape", id="high-surrogate"),
        pytest.param(b'["\\udc00"]', "surrogate", id="low-surrogate"),
        pytest.param(b'{"\\ud800x":1}', "hex escape|surrogate", id="surrogate-in-a-key"),
        pytest.param(b'"\xed\xa0\x80"', "unicode", id="raw-surrogate"),
        pytest.param(b"[" + b"1" * 5_000 + b"]", "out of range", id="integer-of-5000-digits"),
        pytest.param(b"\xef\xbb\xbf{}", "expected value", id="byte-order-mark"),
        pytest.param('{"a":1}'.encode("utf-16"), "expected value", id="utf-16"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "64 levels", id="200000-brackets"),
    ],
)
def test_json_that_cannot_be_kept_unchanged_is_invalid(body: bytes, reason: str) -> None:
    """What lenient parsers take, but would change or lose, is invalid rather than malformed."""
    with pytest.raises(InvalidMessageError, match=reason):
        parse_json(body)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param(b"1e400", "", id="root"),
        pytest.param(b'{"a":{"b":1e400}}', "/a/b", id="overflow"),
        pytest.param(b'{"a":[0,-1e400]}', "/a/1", id="minus-overflow"),
        pytest.param(b'{"a":{"c":[1]},"b":[[0],1e400]}', "/b/1", id="after-a-closed-branch"),
        pytest.param(b"[" + b"1" * 30 + b"]", "/0", id="30-digits"),
        pytest.param(b'{"a/b":{"~":18446744073709551616}}', "/a~1b/~0", id="escaped-keys"),
        pytest.param(b'{"":-9223372036854775809}', "/", id="empty-key"),
        pytest.param(b"[" + b"9" * 309 + b".0]", "/0", id="309-digits-and-a-fraction"),
        pytest.param(b"[" * 65 + b"]" * 65, "/0" * 64, id="65-arrays"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "/a" * 64, id="65-objects"),
    ],
)
def test_the_place_of_what_cannot_be_kept_is_named(body: bytes, pointer: str) -> None:
    """The refusal carries an RFC 6901 pointer to the value."""
    with pytest.raises(InvalidMessageError) as caught:
        parse_json(body)

    assert pointer == caught.value.pointer


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"[18446744073709551615,-9223372036854775808]", [2**64 - 1, -(2**63)]),
        (b"[1.7976931348623157e308,5e-324]", [1.7976931348623157e308, 5e-324]),
        (b"[1e-400]", [0.0]),
        (b'["\\u0000\\ud83d\\ude00\xef\xbf\xbf"]', ["\x00\U0001f600\uffff"]),
        (b'{"":{"":[]}}', {"": {"": []}}),
        (b" [ 1 ] \r\n", [1]),
    ],
)
def test_the_edges_of_what_is_kept(body: bytes, value: Any) -> None:
    """The largest integers and floats, empty keys, pairs of surrogates: all are taken."""
    assert strictly(value) == strictly(parse_json(body))


@pytest.mark.parametrize(("opener", "closer"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_64_levels_are_taken(opener: bytes, closer: bytes) -> None:
    """Exactly as many levels as the limit says."""
    inner = b"1"

    assert JSON_LEVELS == depth(parse_json(opener * 64 + inner + closer * 64))


def test_many_siblings_are_no_levels() -> None:
    """A body with many more brackets than levels is taken, if it is flat."""
    assert [[]] * 1_000 == parse_json(b"[" + b",".join([b"[]"] * 1_000) + b"]")


_BRACKETS = """
import gc, time, jiter
from contextlib import suppress
from tenantry.contract import parse_json
from tenantry.errors import InvalidMessageError

def seconds(work):
    took = []
    for _ in range(3):
        started = time.process_time()
        with suppress(InvalidMessageError):
            work(body)
        took.append(time.process_time() - started)
    return min(took)

gc.disable()
body = b"[" + b"[]," * 349_000 + LAST + b"]"
print(seconds(parse_json) / seconds(jiter.from_json))
"""


@pytest.mark.parametrize("last", [b"[]", b"1e400"])
def test_a_megabyte_of_brackets_blocks_the_others_no_longer_than_parsing(last: bytes) -> None:
    """It used to take more than twenty times as long as the parser, on everybody's loop."""
    program = _BRACKETS.replace("LAST", repr(last))
    # A process of its own: coverage would count every line of the walk, and be measured.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    ratio = subprocess.run(
        [sys.executable, "-c", program], env=env, check=True, capture_output=True, timeout=50
    ).stdout

    assert float(ratio) < 10


@pytest.mark.parametrize("last", [b"[]", b"1e400", b"x"])
def test_a_large_body_does_not_set_off_the_collector(last: bytes) -> None:
    """It used to go through the whole process dozens of times: 0.2 s of everybody's."""
    body = b"[" + b"[]," * 100_000 + last + b"]"
    runs: list[str] = []

    def on_collection(phase: str, _: dict[str, int]) -> None:
        runs.append(phase)

    gc.collect()
    gc.callbacks.append(on_collection)
    try:
        with suppress(InvalidMessageError, MalformedBodyError):
            parse_json(body)
    finally:
        gc.callbacks.remove(on_collection)

    assert len(runs) <= 2  # one, when it may run again: it begins and ends
    assert gc.isenabled()


def test_a_long_key_above_many_values_costs_no_memory() -> None:
    """The walk holds one way, not one for each value: 200 kB of body must not take gigabytes."""
    body = b'{"' + b"k" * 100_000 + b'":[' + b"0," * 50_000 + b"1e400]}"
    tracemalloc.start()
    try:
        with pytest.raises(InvalidMessageError):
            parse_json(body)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert 10_000_000 > peak


def an_envelope(**changes: Any) -> dict[str, Any]:
    """A good envelope, changed; `...` removes a field."""
    good = {
        "version": 1,
        "message_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        "tenant_id": "acme",
        "type": "order.created",
        "payload": {"n": 1},
        "accepted_at": "2026-01-02T03:04:05.678901Z",
    }
    return {name: value for name, value in (good | changes).items() if value is not ...}


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"version": ...}, "/version"),
        ({"version": 2}, "/version"),
        ({"version": 0}, "/version"),
        ({"version": "1"}, "/version"),
        ({"version": 1.0}, "/version"),
        ({"version": True}, "/version"),
        ({"message_id": ...}, "/message_id"),
        ({"message_id": "01890A5D-AC96-774B-BCCE-B302099A8057"}, "/message_id"),
        ({"message_id": "01890a5d-ac96-774b-bcce-b302099a8057\n"}, "/message_id"),
        ({"message_id": "01890a5dac96774bbcceb302099a8057"}, "/message_id"),
        ({"message_id": 1}, "/message_id"),
        ({"tenant_id": ...}, "/tenant_id"),
        ({"tenant_id": "acme\n"}, "/tenant_id"),
        ({"tenant_id": "pool-1"}, "/tenant_id"),
        ({"tenant_id": ["acme"]}, "/tenant_id"),
        ({"type": ...}, "/type"),
        ({"type": ""}, "/type"),
        ({"type": "a" * 129}, "/type"),
        ({"type": "a b"}, "/type"),
        ({"type": 'a"b'}, "/type"),
        ({"type": "a\n"}, "/type"),
        ({"type": "ä"}, "/type"),
        ({"payload": ...}, "/payload"),
        ({"payload": None}, "/payload"),
        ({"payload": []}, "/payload"),
        ({"payload": "{}"}, "/payload"),
        ({"accepted_at": ...}, "/accepted_at"),
        ({"accepted_at": 1}, "/accepted_at"),
    ],
)
def test_what_is_no_envelope_is_refused_with_the_field(
    changes: dict[str, Any], pointer: str
) -> None:
    """A missing or wrong field is named; nothing is guessed."""
    with pytest.raises(InvalidMessageError) as caught:
        decode(json.dumps(an_envelope(**changes)).encode())

    assert pointer == caught.value.pointer


@pytest.mark.parametrize("body", [b"[]", b"1", b"null", b'"x"'])
def test_an_envelope_is_an_object(body: bytes) -> None:
    """JSON that is no object is invalid."""
    with pytest.raises(InvalidMessageError):
        decode(body)


def test_unknown_fields_are_ignored() -> None:
    """A later producer may add fields: the message is the same without them."""
    plain = decode(json.dumps(an_envelope()).encode())

    assert plain == decode(json.dumps(an_envelope(later={"x": [1]})).encode())


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.6Z",
        "2026-01-02T03:04:05.678901Z",
        "2028-02-29T23:59:59.999999Z",
    ],
)
def test_instants_in_utc_are_taken_as_they_are(value: str) -> None:
    """What another producer wrote is kept, not rewritten."""
    assert value == instant(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-01-02T03:04:05z",
        "2026-01-02T03:04:05+00:00",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:05.1234567Z",
        "2026-01-02T03:04:05Z\n",
        "2026-02-30T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:60Z",
        "\uff12026-01-01T00:00:00Z",
        "2026-01-01T00:00:00.\uff11Z",
        None,
        0,
    ],
)
def test_other_instants_are_refused(value: object) -> None:
    """No zone but Z, no day that does not exist, no digit that is not ASCII."""
    with pytest.raises(InvalidMessageError):
        instant(value)


def test_now_is_an_instant() -> None:
    """What the producer writes, the consumer takes."""
    assert instant(contract.now())


def test_new_ids_are_uuid_7_and_ordered() -> None:
    """Version 7, variant 10, of this millisecond; ids of later milliseconds sort later."""
    before = time.time_ns() // 1_000_000
    ids = [uuid.UUID(new_message_id()) for _ in range(1_000)]
    after = time.time_ns() // 1_000_000

    stamps = [value.int >> 80 for value in ids]

    assert {7} == {value.version for value in ids}
    assert {uuid.RFC_4122} == {value.variant for value in ids}
    assert before <= min(stamps)
    assert after >= max(stamps)
    assert sorted(stamps) == stamps
    assert len(ids) == len(set(ids))


def test_new_ids_use_all_their_random_bits() -> None:
    """Version and variant are the only fixed bits after the time."""
    ones = zeros = 0
    for _ in range(500):
        value = uuid.UUID(new_message_id()).int
        ones |= value
        zeros |= ~value
    varying = ones & zeros & (2**80 - 1)

    assert (2**80 - 1) & ~(0xF << 76) & ~(0x3 << 62) == varying


def test_an_idempotency_key_gives_one_id_for_ever() -> None:
    """UUIDv5 of tenant and key: another tenant or key is another id, and it says so itself."""
    found = idempotent_message_id("acme", "order-42")

    assert found == idempotent_message_id("acme", "order-42")
    assert found != idempotent_message_id("acme", "order-43")
    assert found != idempotent_message_id("globex", "order-42")
    assert is_message_id(found)
    assert Message(found, "acme", "t", "{}", contract.now()).is_idempotent
    assert not Message(new_message_id(), "acme", "t", "{}", contract.now()).is_idempotent


@pytest.mark.parametrize("value", ["", "x", "01890A5D-AC96-774B-BCCE-B302099A8057", "\n"])
def test_other_text_is_no_message_id(value: str) -> None:
    """Only the canonical lower-case form is an id."""
    assert not is_message_id(value)


@settings(max_examples=100, deadline=None)
@given(st.uuids().map(str), st.integers(1, 16))
def test_a_message_has_one_partition_of_its_tenants(message_id: str, shards: int) -> None:
    """The partition is a function of the id, and one of those that are read."""
    found = partition("acme", message_id, shards)

    assert found == partition("acme", message_id, shards)
    assert found in partitions("acme", shards)
    assert shards == len(set(partitions("acme", shards)))


def test_one_shard_is_the_tenant_itself() -> None:
    """Without shards, the partition key is the tenant's id."""
    assert ("acme",) == partitions("acme", 1)
    assert partition("acme", new_message_id(), 1) == "acme"


def test_shards_share_evenly() -> None:
    """No shard is left out."""
    found = {partition("acme", new_message_id(), 4) for _ in range(200)}

    assert set(partitions("acme", 4)) == found


def test_the_digest_tells_type_and_payload_apart() -> None:
    """Type and payload both count, and cannot be shifted into each other."""
    one = Message(new_message_id(), "acme", "t", '{"a":1}', contract.now())
    other = Message(one.message_id, "acme", "u", '{"a":1}', contract.now())
    third = Message(one.message_id, "acme", "t", '{"a":2}', contract.now())
    digests = {message.payload_sha256() for message in (one, other, third)}

    assert len(digests) == 3
    assert {32} == {len(digest) for digest in digests}


@pytest.mark.parametrize(("payload", "bytes_"), [('{"a":"x"}', 9), ('{"a":"é"}', 10)])
def test_an_item_is_counted_in_utf_8(payload: str, bytes_: int) -> None:
    """Names and values, in bytes rather than characters."""
    message = Message(new_message_id(), "acme", "tt", payload, contract.now())
    names = "tenant_idmessage_idtypepayloadpayload_sha256accepted_atstored_atversion"

    # Ids, digest, two instants; a number of at most 21 bytes; room for `#n` in the partition.
    fixed = len(names) + 36 + 32 + 27 + 27 + 21 + 4

    assert fixed + len("acme") + len("tt") + bytes_ == item_bytes(message)


def test_write_units_round_up() -> None:
    """One unit for each kilobyte begun."""
    message = Message(new_message_id(), "acme", "t", "{}", contract.now())
    padding = 1_024 - item_bytes(message)
    full = Message(message.message_id, "acme", "t", "{}" + " " * padding, contract.now())
    over = Message(message.message_id, "acme", "t", "{}" + " " * (padding + 1), contract.now())

    assert (1, 1, 2) == tuple(write_units(item_bytes(one)) for one in (message, full, over))
