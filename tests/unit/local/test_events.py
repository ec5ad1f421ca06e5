from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from tenantry_local.events import Event, read_events, strict_json
from tenantry_local.model import LaptopError

ROOT = Path(__file__).resolve().parents[3]
TENANTS = ("acme", "globex", "initech")
GOOD = b'{"type":"a.b","payload":{}}'


def read(tmp_path: Path, content: bytes) -> list[Event]:
    path = tmp_path / "events.jsonl"
    path.write_bytes(content)
    return read_events(path, TENANTS)


def test_events_without_a_tenant_are_dealt_in_turn(tmp_path: Path) -> None:
    """Events that name no tenant go round the tenants, whatever stands between them."""
    named = b'{"type":"a","payload":{},"tenant_id":"initech"}'
    events = read(tmp_path, b"\n".join([GOOD, named, GOOD, GOOD, GOOD]))
    assert [event.tenant_id for event in events] == [
        "acme",
        "initech",
        "globex",
        "initech",
        "acme",
    ]


def test_blank_lines_and_windows_line_ends_are_skipped_but_counted(tmp_path: Path) -> None:
    """Line numbers are those of an editor."""
    events = read(tmp_path, b"\n" + GOOD + b"\r\n  \n" + GOOD)
    assert [event.line for event in events] == [2, 4]


def test_line_separators_of_unicode_end_no_line(tmp_path: Path) -> None:
    """U+2028 and U+0085 are characters of a payload."""
    payload = {"text": "a\u2028b\u0085c"}
    line = json.dumps({"type": "a", "payload": payload}, ensure_ascii=False)
    (event,) = read(tmp_path, line.encode())
    assert event.payload() == payload


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param(b"{", "not JSON: Expecting property name", id="json"),
        pytest.param(b"\xff{}", "not UTF-8 at byte 0", id="utf-8"),
        pytest.param(b"\xef\xbb\xbf" + GOOD, "byte order mark", id="bom"),
        pytest.param(b"[1]", "not an object", id="array"),
        pytest.param(b'{"type":"a","type":"b","payload":{}}', "'type' stands twice", id="twice"),
        pytest.param(b'{"type":"a","payload":{"x":{"y":1,"y":1}}}', "'y' stands twice", id="deep"),
        pytest.param(b'{"type":"a","payload":{"x":NaN}}', "NaN is not JSON", id="nan"),
        pytest.param(b'{"type":"a","payload":{"x":-Infinity}}', "-Infinity is not", id="inf"),
        pytest.param(b'{"type":"a","payload":{"x":1e400}}', "1e400 is too large", id="overflow"),
        pytest.param(b'{"type":"a","payload":' + b"[" * 10**5, "nested too deeply", id="nested"),
        pytest.param(b'{"type":"a","payload":[]}', "payload is not an object", id="payload"),
        pytest.param(b'{"type":"a"}', "payload is not an object", id="no-payload"),
        pytest.param(b'{"payload":{}}', "type is 1 to 128", id="no-type"),
        pytest.param(b'{"type":"a b","payload":{}}', "type is 1 to 128", id="type"),
        pytest.param(b'{"type":"a","payload":{},"id":1}', "unknown key 'id'", id="key"),
        pytest.param(
            b'{"type":"a","payload":{},"tenant_id":"nobody"}', "unknown tenant 'nobody'", id="who"
        ),
        pytest.param(b'{"type":"a","payload":{},"tenant_id":null}', "unknown tenant", id="null"),
        pytest.param(b'{"type":"a","payload":{},"tenant_id":[]}', "unknown tenant", id="list"),
    ],
)
def test_a_bad_line_stops_with_its_number_and_the_reason(
    tmp_path: Path, line: bytes, reason: str
) -> None:
    """One bad line refuses the whole file, before anything is sent."""
    with pytest.raises(LaptopError, match=r"events\.jsonl, line 3: ") as caught:
        read(tmp_path, GOOD + b"\n\n" + line + b"\n" + GOOD)
    assert reason in str(caught.value)
    assert str(caught.value).endswith("nothing was sent")
    assert caught.value.status == 2


def test_a_file_without_events_or_none_at_all_is_refused(tmp_path: Path) -> None:
    """An empty file proves nothing."""
    with pytest.raises(LaptopError, match="holds no messages"):
        read(tmp_path, b"\n \n")
    with pytest.raises(LaptopError, match="cannot be read: No such file") as caught:
        read_events(tmp_path / "none", TENANTS)
    assert caught.value.status == 2


def test_what_is_posted_parses_to_what_was_read(tmp_path: Path) -> None:
    """Numbers at the edges, empty keys and every plane of Unicode survive being sent."""
    payload = {"": [2**64 - 1, -(2**63), 5e-324, -0.0, 1.0, 1], "é😀": None, "\ufffe": "\u0000"}
    (event,) = read(tmp_path, json.dumps({"type": "a", "payload": payload}).encode())
    sent = strict_json(event.body())
    assert repr(sent) == repr({"type": "a", "payload": payload})


def test_a_lone_surrogate_is_sent_as_an_escape(tmp_path: Path) -> None:
    """What cannot be UTF-8 still reaches the service, which refuses it with its reason."""
    (event,) = read(tmp_path, b'{"type":"a","payload":{"x":"\\ud800"}}')
    assert b"\\ud800" in event.body()


def test_the_bundled_sample_is_varied() -> None:
    """The sample has at least 300 events, the smallest payload, large ones, and every tenant."""
    events = read_events(None, (*TENANTS, "umbrella"))
    sizes = sorted(len(json.dumps(event.payload(), ensure_ascii=False)) for event in events)
    assert len(events) >= 300
    assert sizes[0] == 2
    assert sizes[-2] > 100_000
    assert len({event.type for event in events}) >= 10
    assert len({event.tenant_id for event in events}) == 4


def test_the_bundled_sample_is_what_its_script_makes() -> None:
    """Nobody edits the sample by hand."""
    script = runpy.run_path(str(ROOT / "platform" / "local" / "make_sample.py"))
    committed = script["OUTPUT"].read_text("utf-8").splitlines()
    assert [json.loads(line) for line in committed] == list(script["events"]())
