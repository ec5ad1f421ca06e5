"""The plots of a report: SVG files that need nothing else to be shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")  # before pyplot: no window, ever

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.patches import Patch

from tenantry_benchmarks.figures import Figure
from tenantry_benchmarks.report import number
from tenantry_benchmarks.subjects import FLOOR, GOOD, OURS, PLAIN
from tenantry_benchmarks.table import Table

COLOURS: Final = {OURS: "#0b6e4f", PLAIN: "#b23a48", GOOD: "#d98e04", FLOOR: "#8d99ae"}
LABELS: Final = {
    OURS: "Tenantry",
    PLAIN: "plain pair (Flask, boto3)",
    GOOD: "good pair (in batches)",
    FLOOR: "floor (no validation)",
    "sqs-consumer": "sqs-consumer (Node)",
    "taskiq": "taskiq-aio-sqs",
    "without": "without group id and lanes",
}
#: Of subjects that have none of their own.
_OTHERS: Final = ("#3d5a80", "#7f5539", "#6a4c93", "#457b9d")
_KINDS: Final = {
    "look-up": "#22223b",
    "send": "#4a4e69",
    "receive": "#7d8597",
    "write": "#5390d9",
    "delete": "#a9d6e5",
    "visibility": "#cdb4db",
    "other": "#ced4da",
}
_SERVICES: Final = ("producer", "consumer")
#: How figures of all that a message costs are called.
_BILL: Final = ": a million messages"
_STYLE: Final[Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e5e5e5",
    "figure.dpi": 100,
    "svg.fonttype": "none",
    "svg.hashsalt": "tenantry",  # the same figures make the same file
    "legend.frameon": False,
}


def draw(tables: Sequence[Table], output: Path, *, suffix: str = "svg") -> list[Path]:
    """A plot for each row that has figures; where they are."""
    written: list[Path] = []
    for table in tables:
        if not any(figure.samples for figure in table.figures):
            continue
        with plt.rc_context(_STYLE):
            plot = _DRAWERS.get(table.key, _bars)(table)
            path = output / f"{table.key}.{suffix}"
            # Without the date, for which no two files of the same figures would be the same.
            metadata: Any = {"Date": None} if suffix == "svg" else None
            plot.savefig(path, bbox_inches="tight", metadata=metadata)
            plt.close(plot)
        written.append(path)
    return written


def _bars(table: Table) -> Plot:
    """One panel for each unit, grouped bars in it; above each baseline how it compares."""
    units = list(dict.fromkeys(figure.unit for figure in table.figures))
    groups = [[w for w in table.whats() if _unit(table, w) == unit] for unit in units]
    plot, axes = plt.subplots(
        len(units), 1, figsize=(9.5, 3.6 * len(units)), squeeze=False, layout="constrained"
    )
    for panel, unit, whats in zip(axes[:, 0], units, groups, strict=True):
        _group(panel, table, whats)
        panel.set_ylabel(unit)
    _finish(plot, table)
    return plot


def _cpu(table: Table) -> Plot:
    """Producer above, consumer below."""
    return _panels(table, {f"{one}, ": f"{one}: µs CPU a message" for one in _SERVICES})


def _throughput(table: Table) -> Plot:
    """The stand-in above, ministack below."""
    return _panels(table, {f", {one}": f"messages/s, {one}" for one in ("stand-in", "ministack")})


def _neighbour(table: Table) -> Plot:
    """Percentiles alone: what the consumer can take is in the table."""
    return _panels(table, {"p": "ms from arrival to stored"}, strip=False)


def _panels(table: Table, panels: dict[str, str], *, strip: bool = True) -> Plot:
    """A panel for each part of a name, labelled so, with the figures that begin or end with it."""
    plot, axes = plt.subplots(
        len(panels), 1, figsize=(9.5, 3.6 * len(panels)), squeeze=False, layout="constrained"
    )
    for panel, (part, label) in zip(axes[:, 0], panels.items(), strict=True):
        whats = sorted(
            (what for what in table.whats() if what.startswith(part) or what.endswith(part)),
            key=lambda what: what.startswith("consumer"),
        )
        _group(panel, table, whats, strip=part if strip else "")
        panel.set_ylabel(label)
    _finish(plot, table)
    return plot


def _group(panel: Axes, table: Table, whats: Sequence[str], *, strip: str = "") -> None:
    subjects = table.subjects()
    width = 0.8 / max(1, len(subjects))
    top = 0.0
    for at, what in enumerate(whats):
        found = [(one, table.find(one, what)) for one in subjects]
        there = [(one, figure) for one, figure in found if figure is not None and figure.values]
        for place, (subject, figure) in enumerate(there):
            if figure.median is None:
                continue
            x = at + (place - (len(there) - 1) / 2) * width
            low, high = min(figure.values), max(figure.values)
            errors = [[figure.median - low], [high - figure.median]]
            panel.bar(
                x,
                figure.median,
                width * 0.92,
                color=colour(subject, subjects.index(subject)),
                yerr=errors,
                error_kw={"elinewidth": 0.8, "ecolor": "#444444"},
            )
            better = None if subject == OURS else table.ratio(what, subject, OURS)
            text = number(figure.median) + (f"\n{_times(better)}" if better else "")
            panel.annotate(
                text, (x, high), (0, 2), textcoords="offset points", ha="center", fontsize=7.5
            )
            top = max(top, high)
    panel.set_xticks(range(len(whats)), [_wrapped(what.replace(strip, "")) for what in whats])
    panel.set_ylim(0, top * 1.18 or 1)


def _calls(table: Table) -> Plot:
    """Calls by kind on top of each other; dollars beside them."""
    plot, (left, right) = plt.subplots(1, 2, figsize=(9.5, 4.2), layout="constrained")
    subjects = table.subjects()
    for at, subject in enumerate(subjects):
        bottom = 0.0
        for kind, shade in _KINDS.items():
            figure = table.find(subject, kind)
            if figure is not None and figure.median:
                left.bar(at, figure.median, 0.6, bottom=bottom, color=shade)
                bottom += figure.median
        left.annotate(
            number(bottom), (at, bottom), (0, 2), textcoords="offset points", ha="center"
        )
    left.set_xticks(range(len(subjects)), subjects)
    left.set_ylabel("AWS calls a message")
    left.legend(
        handles=[Patch(color=shade) for shade in _KINDS.values()],
        labels=list(_KINDS),
        fontsize=8,
    )
    bills = [what for what in table.whats() if what.endswith(_BILL)]
    _group(right, table, bills, strip=_BILL)
    right.set_ylabel("$ per million messages, all in all")
    _finish(plot, table)
    return plot


def _latency(table: Table) -> Plot:
    """p50 and p99 over the rate: from left to right 25, 50 and 75 % of each one's saturation."""
    plot, panels = plt.subplots(1, 2, figsize=(9.5, 4.4), sharey=True, layout="constrained")
    for panel, percent in zip(panels, (50, 99), strict=True):
        for place, subject in enumerate(table.subjects()):
            _curve(panel, table, subject, percent, colour(subject, place))
        # Logarithmic: what waits in a queue has no middle, and rates differ by tens.
        panel.set_xscale("log")
        panel.set_yscale("log")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_formatter(lambda value, _: number(value))
        panel.set_xlabel("arrivals, messages/s")
        panel.set_title(f"p{percent}", loc="left", fontsize=10)
        panel.grid(visible=True, axis="both", which="major")
    panels[0].set_ylabel("ms from arrival to stored")
    _finish(plot, table)
    return plot


def _curve(panel: Axes, table: Table, subject: str, percent: int, shade: str) -> None:
    saturation = table.find(subject, "saturation")
    if saturation is None or saturation.median is None:
        return
    xs: list[float] = []
    found: list[Figure] = []
    for load in (25, 50, 75):
        figure = table.find(subject, f"p{percent} at {load} %")
        if figure is not None and figure.median is not None:
            xs.append(saturation.median * load / 100)
            found.append(figure)
            panel.annotate(
                f"{load} %",
                (xs[-1], figure.median),
                (0, 7),
                textcoords="offset points",
                ha="center",
                fontsize=7.5,
                color=shade,
            )
    panel.plot(xs, [figure.median or 0.0 for figure in found], "o-", color=shade)
    low = [min(figure.values) for figure in found]
    high = [max(figure.values) for figure in found]
    panel.fill_between(xs, low, high, color=shade, alpha=0.15, linewidth=0)


_DRAWERS: Final[dict[str, Callable[[Table], Plot]]] = {
    "cpu": _cpu,
    "calls": _calls,
    "latency": _latency,
    "throughput": _throughput,
    "neighbour": _neighbour,
}


def colour(subject: str, place: int) -> str:
    """Of a subject, the same in every plot."""
    return COLOURS.get(subject, _OTHERS[place % len(_OTHERS)])


def _legend(subjects: Sequence[str]) -> dict[str, Any]:
    return {
        "handles": [Patch(color=colour(subject, place)) for place, subject in enumerate(subjects)],
        "labels": [LABELS.get(subject, subject) for subject in subjects],
    }


def _finish(plot: Plot, table: Table) -> None:
    subjects = table.subjects()
    plot.suptitle(table.title, x=0.01, ha="left", fontweight="bold")
    plot.legend(**_legend(subjects), loc="outside lower center", ncols=len(subjects))


def _times(ratio: float) -> str:
    """Two digits: there is no room for more above a bar."""
    return f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.2g}×"  # noqa: PLR2004 - two digits


def _unit(table: Table, what: str) -> str:
    return next(figure.unit for figure in table.figures if figure.what == what)


def _wrapped(text: str) -> str:
    return text.replace(", ", "\n")
