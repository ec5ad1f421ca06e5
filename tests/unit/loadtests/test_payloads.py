from __future__ import annotations

import json
import random
from collections import Counter
from importlib.resources import files
from pathlib import Path

import pytest

from producer.schemas import BatchSubmission, Submission, parse
from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.payloads import (
    DEFAULT_SIZES,
    DEFAULT_TYPES,
    PREFIX,
    MadeUp,
    Message,
    RealEvents,
    read_events,
)


def drawn(messages: MadeUp, count: int) -> list[Message]:
    generator = random.Random(1)
    return [messages.next("acme", generator) for _ in range(count)]


def test_made_up_messages_are_taken_by_the_api() -> None:
    """Singly and in a batch, as the producer itself reads them."""
    for message in drawn(MadeUp(DEFAULT_SIZES, DEFAULT_TYPES), 50):
        assert parse(message.body(), Submission).type.startswith(PREFIX)
        body = b'{"messages":[' + message.in_batch("key-1") + b"]}"
        [entry] = parse(body, BatchSubmission).messages
        assert entry.idempotency_key == "key-1"


@pytest.mark.parametrize("size", [64, 256, 600, 2_048, 10_240, 200_000])
def test_a_payload_has_the_size_that_was_asked_for(size: int) -> None:
    """In bytes of its JSON text, UTF-8."""
    for message in drawn(MadeUp(str(size), "a"), 8):
        payload = json.loads(message.body())["payload"]
        text = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode()
        assert abs(len(text) - size) <= 1


def test_sizes_and_types_are_drawn_by_their_weights() -> None:
    """Three of four are small; types with a colon are types."""
    messages = drawn(MadeUp("100:3,1000:1", "order:created:9,paid:1"), 4_000)
    small = sum(len(message.body()) < 500 for message in messages)
    assert small == pytest.approx(3_000, rel=0.05)
    types = Counter(json.loads(message.body())["type"] for message in messages)
    assert set(types) == {f"{PREFIX}order:created", f"{PREFIX}paid"}
    assert types[f"{PREFIX}order:created"] > types[f"{PREFIX}paid"]


def test_every_process_makes_the_same_bodies() -> None:
    """By the seed: workers of one run load alike."""
    one, other, third = (MadeUp("600", "a", seed=seed) for seed in (7, 7, 8))
    assert drawn(one, 20) == drawn(other, 20)
    assert drawn(one, 20) != drawn(third, 20)


@pytest.mark.parametrize(
    ("sizes", "types"),
    [
        ("", "a"),
        ("big", "a"),
        ("10", "a"),
        ("999999", "a"),
        ("600:0", "a"),
        ("600:-1", "a"),
        ("600", ""),
        ("600", "no blanks"),
        ("600", "x" * 128),
    ],
)
def test_distributions_that_are_wrong_are_refused(sizes: str, types: str) -> None:
    """In one line."""
    with pytest.raises(UsageError, match=r"SIZES|TYPES"):
        MadeUp(sizes, types)


def test_real_events_are_sent_in_their_order_to_their_tenant() -> None:
    """Each tenant goes through its own, over and over; the others share what is nobody's."""
    events = RealEvents(
        [Message(b"1", "acme"), Message(b"2"), Message(b"3", "acme"), Message(b"4")]
    )
    chance = random.Random(1)
    assert [events.next("acme", chance).inner for _ in range(3)] == [b"1", b"3", b"1"]
    assert [events.next("globex", chance).inner for _ in range(3)] == [b"2", b"4", b"2"]


def test_the_demos_sample_is_a_file_of_events() -> None:
    """The same form; every line of it is taken, unchanged."""
    path = Path(str(files("tenantry_local") / "data" / "events.jsonl"))
    messages = read_events(path, ["acme"])
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n") if line.strip()]
    assert len(messages) == len(lines)
    for message, line in zip(messages, lines, strict=True):
        sent = json.loads(message.body())
        assert sent == {"type": line["type"], "payload": line["payload"]}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "holds no messages"),
        ("{", "line 1: no JSON"),
        ('\n{"type": "a"}', "line 2: wanted"),
        ('{"type": "a", "payload": []}', "wanted"),
        ('{"type": "no blanks", "payload": {}}', "is no type"),
        ('{"type": "a", "payload": {}, "id": 1}', "unknown key 'id'"),
        ('{"type": "a", "payload": {}, "tenant_id": 7}', "tenant_id is a text"),
        ('{"type": "a", "payload": {}, "tenant_id": "globex"}', "no message for acme"),
    ],
)
def test_a_file_that_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, what: str) -> None:
    """Before anything is sent."""
    path = tmp_path / "events.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=what):
        read_events(path, ["acme"])


def test_a_file_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    """Not with a traceback."""
    with pytest.raises(UsageError, match="No such file"):
        read_events(tmp_path / "missing", ["acme"])
