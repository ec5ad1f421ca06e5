"""What has to hold: `p99(accepted)<500ms, errors<1%, p99(stored)<5s`.

A condition is `figure < bound`, or a ratio of two figures and a bound. A figure is a name and, in
parentheses, what it is of: a kind of duration first, then tenants, tiers, groups or phases.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tenantry_loadtests.errors import UsageError
from tenantry_loadtests.measuring import rate_between
from tenantry_loadtests.recording import ACCEPTED, DUE, KINDS, RETRIED
from tenantry_loadtests.results import Result

_UNITS: Final = {
    "ms": ("seconds", 1e-3),
    "s": ("seconds", 1.0),
    "m": ("seconds", 60.0),
    "%": ("share", 1e-2),
    "/s": ("rate", 1.0),
    "x": ("ratio", 1.0),
    "×": ("ratio", 1.0),
    "": ("plain", 1.0),
}
_FIGURE: Final = r"([a-z][a-z0-9.]*)(?:\(([^()]*)\))?"
_CONDITION: Final = re.compile(
    rf"{_FIGURE}(?:\s*/\s*{_FIGURE})?\s*(<=|>=|<|>)\s*([0-9]+(?:\.[0-9]+)?)\s*(\S*)"
)
_PERCENTILE: Final = re.compile(r"p([0-9]{1,2}(?:\.[0-9]{1,3})?)")
#: A percentile of fewer durations than this beyond it is one of chance.
_BEYOND: Final = 1.0

_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": lambda value, bound: value < bound,
    "<=": lambda value, bound: value <= bound,
    ">": lambda value, bound: value > bound,
    ">=": lambda value, bound: value >= bound,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a run: its name, and what it is of."""

    name: str
    of: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition. `text` is what the user wrote."""

    text: str
    figure: Figure
    under: Figure | None
    operator: str
    bound: float


@dataclass(frozen=True, slots=True)
class Judged:
    """A condition and whether it holds.

    Attributes:
        value: Of the figure or ratio; None: there is none.
        measure: `seconds`, `share`, `rate`, `ratio` or `plain`.
        note: What its reader should know: how many durations it is of, or why there is no value.
    """

    condition: Condition
    holds: bool
    value: float | None
    measure: str
    note: str = ""


#: What each figure is measured in.
_MEASURES: Final = {
    "max": "seconds",
    "mean": "seconds",
    "age": "seconds",
    "recovery": "seconds",
    "errors": "share",
    "achieved": "share",
    "following": "share",
    "generator": "share",
    "retried": "share",
    "rate": "rate",
    "growth": "rate",
    "depth": "plain",
}
_OF_A_KIND: Final = frozenset({"max", "mean"})
_SHARES_OF_MESSAGES: Final = frozenset({"errors", "achieved", "retried"})
_RATES: Final = frozenset({"accepted", "stored", "due"})


def read_conditions(text: str) -> tuple[Condition, ...]:
    """The conditions of a text, or of a TOML file with a list `fail_on`.

    Raises:
        UsageError: It is not understood; with the place.
    """
    if text.strip().endswith(".toml"):
        return _read_file(Path(text.strip()))
    return tuple(parse(part) for part in _split(text) if part)


def parse(text: str) -> Condition:
    """One condition.

    Raises:
        UsageError: It is not one.
    """
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"FAIL_ON: {text.strip()!r} is not understood; as in p99(accepted)<500ms")
    name, of, under_name, under_of, operator, number, unit = match.groups()
    figure = _figure(name, of, text)
    under = _figure(under_name, under_of, text) if under_name else None
    if unit not in _UNITS:
        raise UsageError(f"FAIL_ON: {text.strip()!r}: no such unit: {unit!r}; ms, s, m, %, /s, x")
    measure, factor = _UNITS[unit]
    wanted = measure_of(figure)
    if under is not None:
        if measure_of(under) != wanted:
            raise UsageError(f"FAIL_ON: {text.strip()!r} divides unlike figures")
        wanted = "ratio"
    fits = measure == wanted or (measure == "plain" and wanted in {"ratio", "rate"})
    if not fits:
        raise UsageError(f"FAIL_ON: {text.strip()!r}: the bound is a {wanted}, {unit!r} is not")
    return Condition(text.strip(), figure, under, operator, float(number) * factor)


def measure_of(figure: Figure) -> str:
    """What a figure is measured in."""
    return "seconds" if _PERCENTILE.fullmatch(figure.name) else _MEASURES[figure.name]


def judge(conditions: Iterable[Condition], result: Result) -> list[Judged]:
    """Whether each holds. What was not measured does not hold: nothing says that it does."""
    return [_judge(condition, result) for condition in conditions]


def figure_of(figure: Figure, result: Result) -> tuple[float | None, str]:
    """The value of a figure, and what its reader should know of it."""
    percentile = _PERCENTILE.fullmatch(figure.name)
    if percentile or figure.name in _OF_A_KIND:
        kind, *of = figure.of
        return _duration(figure.name, percentile, kind, of, result)
    if figure.name == "rate":
        kind, *of = figure.of
        return _rate(kind, of, result)
    if figure.name in _SHARES_OF_MESSAGES:
        return _share(figure.name, figure.of, result)
    if figure.name in _OF_THE_RUN:
        return _OF_THE_RUN[figure.name](result)
    return _observed(figure.name, figure.of, result)


def _judge(condition: Condition, result: Result) -> Judged:
    measure = measure_of(condition.figure)
    value, note = figure_of(condition.figure, result)
    if condition.under is not None:
        measure = "ratio"
        under, note_under = figure_of(condition.under, result)
        note = "; ".join(filter(None, (note, note_under)))
        if value is not None and under is not None:
            value = value / under if under else None
        else:
            value = None
    holds = value is not None and _COMPARE[condition.operator](value, condition.bound)
    return Judged(condition, holds, value, measure, note or ("" if value is not None else "none"))


def _duration(
    name: str,
    percentile: re.Match[str] | None,
    kind: str,
    of: Sequence[str],
    result: Result,
) -> tuple[float | None, str]:
    tenants, phases = _select(of, result)
    histogram = result.span(phases=phases, tenants=tenants).histogram(kind)
    size = len(histogram)
    if not size:
        return None, f"no {kind} was measured"
    note = f"of {size}"
    if percentile is None:
        return histogram.maximum if name == "max" else histogram.mean(), note
    percent = float(percentile[1])
    if size * (100 - percent) / 100 < _BEYOND:
        note += ": too few for this percentile, it is the longest"
    return histogram.percentile(percent), note


def _rate(kind: str, of: Sequence[str], result: Result) -> tuple[float | None, str]:
    tenants, phases = _select(of, result)
    if kind == "stored":
        rate = rate_between(result.observed(phases), "stored")
        return rate, "" if rate is not None else "not observed"
    seconds = result.seconds(phases)
    name = DUE if kind == "due" else ACCEPTED
    times = result.span(phases=phases, tenants=tenants).count(name)
    return (times / seconds, "") if seconds else (None, "no such time")


def _share(name: str, of: Sequence[str], result: Result) -> tuple[float | None, str]:
    tenants, phases = _select(of, result)
    span = result.span(phases=phases, tenants=tenants)
    due = span.count(DUE)
    if not due:
        return None, "nothing was due"
    if name == "achieved":
        return result.achieved_share(span), ""
    times = span.count(RETRIED) if name == "retried" else result.failed(span)
    return times / due, f"{times} of {due}"


def _observed(name: str, of: Sequence[str], result: Result) -> tuple[float | None, str]:
    _, phases = _select(of, result)
    seen = result.observed(phases)
    if name == "growth":
        growth = rate_between(seen, "depth")
        return growth, "" if growth is not None else "not observed"
    values = [value for o in seen if (value := getattr(o, name)) is not None]
    return (float(max(values)), "") if values else (None, "not observed")


def _generator(result: Result) -> tuple[float | None, str]:
    busiest = result.busiest()
    return (None, "not observed") if busiest is None else (busiest / 100, "")


def recovery(result: Result) -> tuple[float | None, str]:
    """Seconds from a spike's end until the queue was as before it; and a note."""
    before, after = result.phase("before"), result.phase("after")
    if before is None or after is None:
        return None, "this shape has no spike"
    usual = [o.depth for o in result.observed(["before"]) if o.depth is not None]
    later = [o for o in result.observations if o.at >= after.started_at and o.depth is not None]
    if not usual or not later:
        return None, "not observed"
    bound = 2 * max(usual) + 10
    for observation in later:
        if observation.depth is not None and observation.depth <= bound:
            return observation.at - after.started_at, f"until {bound} in the queues or fewer"
    return None, f"the queues never came down to {bound} again"


_OF_THE_RUN: Final[dict[str, Callable[[Result], tuple[float | None, str]]]] = {
    "following": lambda result: (result.following_share(), ""),
    "generator": _generator,
    "recovery": recovery,
}


def _select(words: Iterable[str], result: Result) -> tuple[list[str] | None, list[str] | None]:
    """Tenants and phases that words name; None for all."""
    tenants: set[str] | None = None
    phases: list[str] = []
    names = {phase.name for phase in result.phases}
    for word in words:
        found: set[str] | None = None
        if word in result.groups:
            found = set(result.groups[word])
        elif word in result.tiers:
            found = set(result.tiers[word])
        elif word in result.tenants:
            found = {word}
        if found is not None:
            tenants = found if tenants is None else tenants & found
        elif word in names:
            phases.append(word)
        else:
            return [], [word]  # nothing: the condition then has no value, and does not hold
    return (None if tenants is None else sorted(tenants)), (phases or None)


def _figure(name: str, of: str | None, text: str) -> Figure:
    words = tuple(re.split(r"[\s,]+", of.strip())) if of and of.strip() else ()
    wants_kind = bool(_PERCENTILE.fullmatch(name)) or name in _OF_A_KIND
    if not wants_kind and name not in _MEASURES:
        known = "p50…p99.9, " + ", ".join(sorted(_MEASURES))
        raise UsageError(f"FAIL_ON: {text.strip()!r}: no such figure: {name!r}; {known}")
    kinds: Sequence[str] | frozenset[str] = _RATES if name == "rate" else KINDS
    if (wants_kind or name == "rate") and (not words or words[0] not in kinds):
        raise UsageError(
            f"FAIL_ON: {text.strip()!r}: {name} is of one of {', '.join(sorted(kinds))}"
        )
    return Figure(name, words)


def _split(text: str) -> list[str]:
    """At commas and line ends, but not in parentheses."""
    return [part.strip() for part in re.split(r"[,;\n](?![^()]*\))", text)]


def _read_file(path: Path) -> tuple[Condition, ...]:
    try:
        value = tomllib.loads(path.read_text("utf-8")).get("fail_on")
    except OSError as error:
        raise UsageError(f"FAIL_ON {path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"FAIL_ON {path}: {error}") from None
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise UsageError(f'FAIL_ON {path}: wanted fail_on = ["p99(accepted)<500ms", …]')
    return tuple(parse(part) for part in value)
