"""Attacks on whatever reads what others wrote: each file of tests/corpus, and changes of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.corpus import (
    CORPUS,
    INVALID,
    KEPT,
    MALFORMED,
    REFUSED,
    Verifier,
    check_envelope,
    check_json,
    files,
)

VERDICTS = (KEPT, INVALID, MALFORMED)
VERIFIER = Verifier()
JSON = files("json")
ENVELOPES = files("envelopes")
TOKENS = files("tokens")


def name(path: Path) -> str:
    return "-".join(path.with_suffix("").parts[-3:])


@pytest.mark.parametrize("path", JSON, ids=name)
def test_a_json_text_is_kept_unchanged_or_refused_as_it_should(path: Path) -> None:
    """Its folder says what becomes of it; what is kept equals the standard library's reading."""
    assert path.parent.name == check_json(path.read_bytes())


@pytest.mark.parametrize("path", [*JSON, *ENVELOPES], ids=name)
def test_an_envelope_is_taken_or_refused_as_it_should(path: Path) -> None:
    """JSON that is no envelope is invalid, what is no JSON malformed; nothing else is raised."""
    verdict = check_envelope(path.read_bytes())

    if path.parent.parent.name == "envelopes":
        assert path.parent.name == verdict
    else:
        assert {KEPT: INVALID}.get(path.parent.name, path.parent.name) == verdict


@pytest.mark.parametrize("path", TOKENS, ids=name)
def test_a_token_verifies_or_is_refused(path: Path) -> None:
    """Each attack on the verifier is a 401 that quotes nothing; the good ones beside them pass."""
    assert path.parent.name == VERIFIER.check(path.read_bytes())


@pytest.mark.parametrize("path", [*JSON, *ENVELOPES], ids=name)
def test_what_is_no_header_of_a_token_is_refused(path: Path) -> None:
    """Any bytes where a token has its header are a 401."""
    assert VERIFIER.check_header(path.read_bytes()) == REFUSED


def test_the_corpus_holds_every_verdict() -> None:
    """A folder that is lost, or whose files are not found, makes no test pass by itself."""
    counts = {
        folder.relative_to(CORPUS).as_posix(): len(list(folder.iterdir()))
        for folder in CORPUS.glob("*/*")
        if folder.is_dir() and folder.name != "__pycache__"
    }

    assert set(counts) == {
        *(f"{kind}/{verdict}" for kind in ("json", "envelopes") for verdict in VERDICTS),
        f"tokens/{KEPT}",
        f"tokens/{REFUSED}",
    }
    assert min(counts.values()) >= 10
    assert len([*JSON, *ENVELOPES, *TOKENS]) == sum(counts.values())


@st.composite
def mutations(draw: st.DrawFn, paths: list[Path]) -> bytes:
    """A file of the corpus after up to four changes: as a careless or a hostile sender makes."""
    body = draw(st.sampled_from(paths)).read_bytes()[:4_096]
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = min(len(body), start + draw(st.integers(0, 8)))
        other = draw(st.sampled_from(paths)).read_bytes()[:256]
        body = draw(
            st.sampled_from(
                [
                    body[:start] + body[end:],
                    body[:start] + body[start:end] * 2 + body[end:],
                    body[:start] + other + body[end:],
                    body[:start] + draw(st.binary(max_size=4)) + body[end:],
                    body[:start] + draw(TOKENS_OF_JSON) + body[end:],
                    bytes(byte ^ 32 for byte in body[start:end]).join([body[:start], body[end:]]),
                ]
            )
        )
    return body


TOKENS_OF_JSON = st.sampled_from(
    [
        *rb'{ } [ ] " "": : , \ - . 0 9999999999999999999 e309 E+ NaN null \ud800 \u0000'.split(),
        *(b"\xef\xbf\xbf", b"\xed\xa0\x80", b"\xff"),
    ]
)

CHECKS: list[tuple[Callable[[bytes], str], list[Path]]] = [
    (check_json, JSON),
    (check_envelope, ENVELOPES),
    (VERIFIER.check, TOKENS),
    (VERIFIER.check_header, ENVELOPES),
]


@pytest.mark.parametrize(
    ("check", "paths"), CHECKS, ids=["json", "envelopes", "tokens", "headers"]
)
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_a_changed_attack_raises_nothing_else(
    check: Callable[[bytes], str], paths: list[Path], data: st.DataObject
) -> None:
    """Cut, doubled, spliced: kept unchanged, or one of the documented errors."""
    assert check(data.draw(mutations(paths))) in {*VERDICTS, REFUSED}
