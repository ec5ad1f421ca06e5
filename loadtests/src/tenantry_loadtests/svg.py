"""Charts as inline SVG: no script, no file, colours from the page's style sheet.

A chart's colours are CSS variables, so it reads on a light and on a dark page. Pointing at an
instant shows what all lines were there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

Point = tuple[float, float | None]

WIDTH: Final = 720
HEIGHT: Final = 236
_LEFT: Final = 62
_RIGHT: Final = 12
_TOP: Final = 26
_BOTTOM: Final = 30
_TICKS: Final = 5
#: What is less is 0 to an eye.
_NOTHING: Final = 1e-9
_COLUMNS: Final = 90


@dataclass(frozen=True, slots=True)
class Line:
    """One line. `colour` is a number of the style sheet's palette; `dashed` for what is wanted."""

    name: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the horizontal axis with a name."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart of lines over time, or over another number.

    Attributes:
        text: How a value is written.
        across: How a place on the horizontal axis is written.
        logarithmic: For durations that span decades.
        mark: A place on the horizontal axis to point out, and its name.
    """

    title: str
    lines: Sequence[Line]
    text: Callable[[float | None], str]
    across: Callable[[float], str]
    bands: Sequence[Band] = ()
    logarithmic: bool = False
    mark: tuple[float, str] | None = None


def render(chart: Chart) -> str:
    """The chart as an `svg` element; an empty text if there is nothing to draw."""
    known = [
        (x, y) for line in chart.lines for x, y in line.points if y is not None and _fits(y, chart)
    ]
    if not known:
        return ""
    left, right = min(x for x, _ in known), max(x for x, _ in known)
    if chart.bands:
        left = min(left, chart.bands[0].start)
        right = max(right, chart.bands[-1].end)
    across = _Scale(left, max(right, left + 1e-9), _LEFT, WIDTH - _RIGHT)
    ticks = _ticks([y for _, y in known], logarithmic=chart.logarithmic)
    up = _Scale(ticks[0], ticks[-1], HEIGHT - _BOTTOM, _TOP, logarithmic=chart.logarithmic)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(chart.title)}">',
        *_bands(chart.bands, across),
        *_grid(chart, ticks, across, up),
        *(_path(line, chart, across, up) for line in chart.lines),
        *_mark(chart, across),
        *_columns(chart, across),
        "</svg>",
    ]
    return "\n".join(parts)


class _Scale:
    def __init__(
        self, low: float, high: float, start: float, end: float, *, logarithmic: bool = False
    ) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end
        self._log = logarithmic

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self._log:
            value, low, high = (math.log10(max(v, 1e-12)) for v in (value, low, high))
        share = (value - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)


def _fits(value: float, chart: Chart) -> bool:
    return value > 0 or not chart.logarithmic


def _ticks(values: Sequence[float], *, logarithmic: bool) -> list[float]:
    """Round numbers from below the least to above the most."""
    low, high = min(values), max(values)
    if logarithmic:
        return _ticks_of_decades(low, high)
    high = high if high > _NOTHING else 1.0
    raw = high / (_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step_size = next(m for m in (1, 2, 2.5, 5, 10) if m * magnitude >= raw) * magnitude
    if high >= _TICKS:
        step_size = max(1.0, step_size)
    return [step_size * n for n in range(math.ceil(high / step_size) + 1)]


def _ticks_of_decades(low: float, high: float) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 2:  # noqa: PLR2004 - then decades alone are too few lines
        numbers = [m * 10.0**power for power in range(first, last + 1) for m in (1, 2, 5)]
        below = max(number for number in numbers if number <= low * (1 + 1e-9))
        above = min(number for number in numbers if number >= high * (1 - 1e-9))
        if above > below:
            return [number for number in numbers if below <= number <= above]
        return [below, 2.5 * below]
    step = math.ceil((last - first) / _TICKS)
    powers = range(first, last + step, step)
    return [10.0**power for power in powers]


def _grid(chart: Chart, ticks: Sequence[float], across: _Scale, up: _Scale) -> list[str]:
    parts = []
    for tick in ticks:
        y = up(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<text class="tick" x="{_LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">'
            f"{escape(chart.text(tick))}</text>"
        )
    for tick in _ticks_across(across):
        x = across(tick)
        parts.append(
            f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 9}" text-anchor="middle">'
            f"{escape(chart.across(tick))}</text>"
        )
    return parts


def _ticks_across(across: _Scale) -> list[float]:
    length = across.high - across.low
    raw = length / 7
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(m for m in (1, 2, 5, 10) if m * magnitude >= raw) * magnitude
    first = math.ceil(across.low / step)
    return [step * n for n in range(first, math.floor(across.high / step) + 1)]


def _bands(bands: Sequence[Band], across: _Scale) -> list[str]:
    parts = []
    for number, band in enumerate(bands):
        x, end = across(band.start), across(band.end)
        parts.append(
            f'<rect class="band band{number % 2}" x="{x:.1f}" y="{_TOP}" '
            f'width="{max(0, end - x):.1f}" height="{HEIGHT - _TOP - _BOTTOM}"/>'
        )
        if end - x > 6.2 * len(band.name):
            parts.append(
                f'<text class="phase" x="{(x + end) / 2:.1f}" y="{_TOP - 8}" '
                f'text-anchor="middle">{escape(band.name)}</text>'
            )
    return parts


def _path(line: Line, chart: Chart, across: _Scale, up: _Scale) -> str:
    """The line; where a value is missing it is broken."""
    commands: list[str] = []
    dots: list[str] = []
    pen = "M"
    points = list(line.points)
    for number, (x, y) in enumerate(points):
        if y is None or not _fits(y, chart):
            pen = "M"
            continue
        place = f"{across(x):.1f} {up(y):.1f}"
        commands.append(f"{pen}{place}")
        following = points[number + 1][1] if number + 1 < len(points) else None
        if pen == "M" and following is None:  # alone: a line of no length is not seen
            cx, cy = place.split()
            dots.append(f'<circle class="dot c{line.colour}" cx="{cx}" cy="{cy}" r="2.2"/>')
        pen = "L"
    dash = " dashed" if line.dashed else ""
    return f'<path class="line c{line.colour}{dash}" d="{"".join(commands)}"/>{"".join(dots)}'


def _mark(chart: Chart, across: _Scale) -> list[str]:
    if chart.mark is None:
        return []
    place, name = chart.mark
    x = across(place)
    return [
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>',
        f'<text class="phase strong" x="{x:.1f}" y="{_TOP - 8}" text-anchor="middle">',
        f"{escape(name)}</text>",
    ]


def _columns(chart: Chart, across: _Scale) -> list[str]:
    """Invisible columns that tell, when pointed at, what all lines are there."""
    places = sorted({x for line in chart.lines for x, y in line.points if y is not None})
    step = max(1, len(places) // _COLUMNS)
    places = places[::step]
    values = [dict(line.points) for line in chart.lines]
    parts = []
    for number, place in enumerate(places):
        before = places[number - 1] if number else place
        after = places[number + 1] if number + 1 < len(places) else place
        x, end = across((before + place) / 2), across((place + after) / 2)
        told = [
            f"{line.name}: {chart.text(near)}"
            for line, known in zip(chart.lines, values, strict=True)
            if (near := _near(known, place, (after - before) / 2)) is not None
        ]
        title = escape("\n".join([chart.across(place), *told]))
        parts.append(
            f'<rect class="column" x="{x:.1f}" y="{_TOP}" width="{max(1.0, end - x):.1f}" '
            f'height="{HEIGHT - _TOP - _BOTTOM}"><title>{title}</title></rect>'
        )
    return parts


def _near(known: dict[float, float | None], place: float, reach: float) -> float | None:
    if place in known:
        return known[place]
    near = min(known, key=lambda x: abs(x - place), default=None)
    return known[near] if near is not None and abs(near - place) <= max(reach, 1e-9) else None
