"""Figures as people read them."""

from __future__ import annotations

from typing import Final

#: Where there is no figure.
NOTHING: Final = "—"


def seconds_text(seconds: float | None) -> str:
    """A duration: `4.2 ms`, `310 ms`, `2.41 s`, `75 s`; a dash for None."""
    if seconds is None:
        return NOTHING
    if seconds == 0:
        return "0"
    milliseconds = seconds * 1_000
    if milliseconds < 10:  # noqa: PLR2004 - two digits that say something, here and below
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1_000:  # noqa: PLR2004
        return f"{milliseconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


def number_text(value: float | None) -> str:
    """A count or a rate: `0.4`, `37.5`, `1,204`; a dash for None."""
    if value is None:
        return NOTHING
    if value == int(value) or abs(value) >= 100:  # noqa: PLR2004 - then nobody reads a fraction
        return f"{value:,.0f}"
    return f"{value:,.1f}"


def share_text(value: float | None) -> str:
    """A share: `0 %`, `0.03 %`, `4.2 %`, `100 %`."""
    if value is None:
        return NOTHING
    percent = value * 100
    if percent == 0 or percent >= 10:  # noqa: PLR2004 - as above
        return f"{percent:.0f} %" if percent in {0.0, 100.0} else f"{percent:.1f} %"
    return f"{percent:.2g} %"


def value_text(value: float | None, measure: str) -> str:
    """A threshold's value, in its measure."""
    if value is None:
        return NOTHING
    if measure == "seconds":
        return seconds_text(value)
    if measure == "share":
        return share_text(value)
    if measure == "ratio":
        return f"{value:.2f}×" if value < 10 else f"{value:,.0f}×"  # noqa: PLR2004 - as above
    return f"{number_text(value)}{'/s' if measure == 'rate' else ''}"
