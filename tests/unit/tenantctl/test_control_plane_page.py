"""docs/control-plane.md: what it shows is what is read."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Final

from tenantctl.contexts import Context
from tenantctl.events import MAX_BYTES, SOURCES, VERBS, Onboard, parse_event
from tenantctl.outcomes import Outcome
from tenantctl.releases import Held, Release, render_rings

_ROOT: Final = Path(__file__).resolve().parents[3]
PAGE: Final = (_ROOT / "docs" / "control-plane.md").read_text("utf-8")


def shown(language: str) -> str:
    """The one example in a language."""
    [found] = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_context_is_one() -> None:
    """Every key that it shows is known."""
    context = Context.model_validate(tomllib.loads(shown("toml")))

    assert context.charts is not None
    assert context.cluster.kind == "kubernetes"


def test_the_request_is_one() -> None:
    """And its bound is the module's."""
    assert isinstance(parse_event(shown("json").encode()), Onboard)
    assert f"{MAX_BYTES:,} bytes" in PAGE


def test_the_line_of_a_ring_is_one() -> None:
    """But for the digests, which nobody reads."""
    old, new = (Release(version, f"sha256:{'a' * 64}") for version in ("1.3.0", "1.4.0"))
    rings = {"r0": Held(new, old, knows_before=True), "r1": Held(), "r2": Held()}
    text = render_rings("basic", rings).decode().replace("a" * 64, "…")  # type: ignore[arg-type]

    assert shown("yaml") in text


def test_every_verb_queue_and_event_is_told() -> None:
    """In words that can be searched for."""
    for verb in VERBS:
        assert f"`{verb}`" in PAGE
        name = Outcome(verb=verb, succeeded=True, request_id="r", environment="dev").detail_type
        assert f"`{name}`" in PAGE
    for source in SOURCES:
        assert source in PAGE
