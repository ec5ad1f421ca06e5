"""Golden samples of what is on the wire and at rest: a sample that changes is a new version.

`golden/envelope-v1` holds what a producer sends, byte for byte; `golden/item-v1` what the table
holds of each, with binary values in base 64; `golden/foreign` what other producers may send and
what it means; `golden/refused.json` what no consumer takes; `golden/placement-v1` the registry.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from consumer import repository
from tenantry import errors, registry
from tenantry.contract import (
    Message,
    StoredMessage,
    decode,
    dump_json,
    idempotent_message_id,
    partition,
)
from tenantry.registry import Left, Place, Placement
from tenantry.tenant_id import TenantId

FOLDER = "tests/contract/golden"
ROOT = Path(__file__).parents[2]
STORED_AT = "2026-01-02T03:04:06.000001Z"

PAYLOADS: dict[str, dict[str, Any]] = {
    "empty": {},
    "plain": {"order": 42, "paid": True, "note": None, "lines": [{"sku": "a-1", "count": 2}]},
    "numbers": {
        "largest": 2**64 - 1,
        "smallest": -(2**63),
        "zero": 0,
        "minus_zero": -0.0,
        "whole_float": 1.0,
        "tenth": 0.1,
        "largest_float": 1.7976931348623157e308,
        "smallest_float": 5e-324,
        "exponent": 1e16,
        "beyond_2_53": 2**53 + 1,
    },
    "text": {
        "umlaut": "äöü",
        "emoji": "\U0001f600",
        "escaped": '"\\/\b\f\n\r\t',
        "controls": "\x00\x01\x1f\x7f\x80",
        "separators": "\u2028\u2029",
        "noncharacters": "\ufffe\uffff\U0001ffff",
        "looks_escaped": "\\uffff",
    },
    "keys": {"": {"": 0}, "a/b~c": 1, "\uffff": 2, "tenant_id": "other", "version": 9},
    "deep": {"a": json.loads('{"a":' * 61 + "{}" + "}" * 61)},
}


def a_message(name: str, **changes: Any) -> Message:
    """The sample with this payload."""
    values: dict[str, Any] = {
        "message_id": "019b7b2e-5c00-7abc-8def-0123456789ab",
        "tenant_id": "acme",
        "type": "order.created",
        "payload": dump_json(PAYLOADS[name]),
        "accepted_at": "2026-01-02T03:04:05.678901Z",
    }
    return Message(**(values | changes))


MESSAGES: dict[str, Message] = {name: a_message(name) for name in PAYLOADS} | {
    "idempotent": a_message("plain", message_id=idempotent_message_id("acme", "order-42")),
    "longest-fields": a_message("plain", tenant_id="t" * 32, type="A" * 64 + "z9._:/-" + "0" * 57),
    "in-4-shards": a_message("plain", message_id="019b7b2e-5c00-7abc-8def-0123456789ad"),
}
SHARDS = {"in-4-shards": 4}

PLACEMENTS: dict[str, Placement] = {
    "basic": Placement(
        tenant_id=TenantId("acme"),
        tier="basic",
        pool="pool-1",
        queue_url="https://sqs.eu-central-1.amazonaws.com/000000000000/dev-pool-1-messages",
        table_name="dev-pool-1-messages",
    ),
    "moving-to-premium": Placement(
        tenant_id=TenantId("globex"),
        tier="premium",
        status="moving",
        queue_url="https://sqs.eu-central-1.amazonaws.com/000000000000/dev-globex-messages",
        table_name="dev-globex-messages",
        max_message_bytes=1_048_576,
        shards=4,
        rate=1_000,
        generation=7,
        previous=Place(
            "https://sqs.eu-central-1.amazonaws.com/000000000000/dev-pool-1-messages",
            "dev-pool-1-messages",
        ),
    ),
    "left-a-pool": Placement(
        tenant_id=TenantId("initech"),
        tier="advanced",
        pool="pool-1",
        queue_url="https://sqs.eu-central-1.amazonaws.com/000000000000/dev-initech-messages",
        table_name="dev-initech-messages",
        rate=200,
        generation=4,
        changed_at=1_763_900_000,
        registered_at=1_763_800_000,
        left=(Left("pool-1", 1_763_900_000),),
    ),
}

Golden = Callable[[str, str], None]


def sample(kind: str, name: str) -> bytes:
    """A file without the line feed that ends it."""
    return (ROOT / FOLDER / kind / f"{name}.json").read_bytes().removesuffix(b"\n")


def as_json(item: dict[str, Any]) -> str:
    """An item as JSON, as AWS's command line shows it."""

    def binary(value: bytes) -> str:
        return base64.b64encode(value).decode()

    return json.dumps(item, indent=2, ensure_ascii=False, default=binary) + "\n"


def from_json(raw: bytes) -> dict[str, Any]:
    """The item of such JSON."""
    item: dict[str, Any] = json.loads(raw)
    for value in item.values():
        if "B" in value:
            value["B"] = base64.b64decode(value["B"])
    return item


def row(name: str) -> repository.Row:
    """The sample's row in its table."""
    message = MESSAGES[name]
    where = partition(message.tenant_id, message.message_id, SHARDS.get(name, 1))
    return repository.Row(where, message)


@pytest.mark.parametrize("name", MESSAGES)
def test_an_envelope_is_written_as_the_sample(name: str, golden: Golden) -> None:
    """Byte for byte: field order, spacing, escapes, numbers."""
    golden(f"{FOLDER}/envelope-v1/{name}.json", MESSAGES[name].body() + "\n")


@pytest.mark.parametrize("name", MESSAGES)
def test_the_sample_envelope_is_read_as_the_message(name: str) -> None:
    """And gives the same bytes again."""
    found = decode(sample("envelope-v1", name))

    assert MESSAGES[name] == found
    assert sample("envelope-v1", name) == found.body().encode()


@pytest.mark.parametrize("name", PAYLOADS)
def test_the_samples_payload_is_what_any_parser_reads(name: str) -> None:
    """The standard library finds the value that went in."""
    assert repr(PAYLOADS[name]) == repr(json.loads(sample("envelope-v1", name))["payload"])


@pytest.mark.parametrize("name", MESSAGES)
def test_an_item_is_written_as_the_sample(name: str, golden: Golden) -> None:
    """Names, types and values of every attribute."""
    item = repository.to_item(row(name), STORED_AT)

    golden(f"{FOLDER}/item-v1/{name}.json", as_json(item))


@pytest.mark.parametrize("name", MESSAGES)
def test_the_sample_item_is_read_as_the_message(name: str) -> None:
    """Whole, with its digest, and without the shard in the tenant's id."""
    message = MESSAGES[name]
    found = repository.from_item(from_json(sample("item-v1", name)))

    assert StoredMessage(message, message.payload_sha256(), STORED_AT) == found
    digested = f"{message.type}\n{message.payload}".encode()
    assert hashlib.sha256(digested).digest() == found.payload_sha256


@pytest.mark.parametrize("name", PLACEMENTS)
def test_a_placement_is_written_as_the_sample(name: str, golden: Golden) -> None:
    """What `tenantctl` writes and services read."""
    golden(f"{FOLDER}/placement-v1/{name}.json", as_json(registry.to_item(PLACEMENTS[name])))


@pytest.mark.parametrize("name", PLACEMENTS)
def test_the_sample_placement_is_read_as_the_placement(name: str) -> None:
    """Every field."""
    assert PLACEMENTS[name] == registry.from_item(from_json(sample("placement-v1", name)))


FOREIGN = sorted(path.stem for path in (ROOT / FOLDER / "foreign").glob("*.json"))


@pytest.mark.parametrize("name", FOREIGN)
def test_another_producers_envelope_means_the_plain_one(name: str) -> None:
    """Other order, spacing, escapes, or fields that we do not know: the same message."""
    assert MESSAGES["plain"] == decode(sample("foreign", name))


def test_there_are_envelopes_of_others() -> None:
    """The test above looks at something."""
    assert ["ascii", "other-order", "pretty", "unknown-fields"] == FOREIGN


REFUSED: list[dict[str, str | None]] = json.loads((ROOT / FOLDER / "refused.json").read_bytes())


@pytest.mark.parametrize("example", REFUSED, ids=[str(each["why"]) for each in REFUSED])
def test_what_is_no_envelope_is_refused(example: dict[str, str | None]) -> None:
    """With the error and the place that the sample names."""
    kind: type[errors.TenantryError] = getattr(errors, str(example["error"]))
    with pytest.raises(errors.TenantryError) as caught:
        decode(str(example["body"]).encode())

    assert kind is type(caught.value)
    assert example["pointer"] == getattr(caught.value, "pointer", None)


def test_every_sample_belongs_to_a_test() -> None:
    """No file is left of a sample that is gone."""
    known = {
        *(f"{kind}/{name}" for kind in ("envelope-v1", "item-v1") for name in MESSAGES),
        *(f"placement-v1/{name}" for name in PLACEMENTS),
        *(f"foreign/{name}" for name in FOREIGN),
        "refused",
    }
    folder = ROOT / FOLDER
    found = {str(path.relative_to(folder).with_suffix("")) for path in folder.rglob("*.json")}

    assert known == found
