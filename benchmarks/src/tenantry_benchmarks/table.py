"""A row of the issue's table as it was measured: figures, their baselines, and verdicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tenantry_benchmarks.figures import Figure, ratio


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a bound holds.

    Attributes:
        is_hard: Missing it fails the run.
        holds: None where it could not be judged.
    """

    text: str
    holds: bool | None
    is_hard: bool = True

    @property
    def fails(self) -> bool:
        """Whether the run fails by it."""
        return self.is_hard and self.holds is False


@dataclass(slots=True)
class Table:
    """One row, whole.

    Attributes:
        key: What `--only` names.
        how: How it was measured: what a reader must know before a figure.
        missing: Baselines that could not run, and why.
    """

    key: str
    title: str
    how: str
    figures: list[Figure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def require(self, text: str, holds: bool) -> None:  # noqa: FBT001 - the outcome of a check
        """A check without which the figures mean nothing."""
        self.verdicts.append(Verdict(text, holds))

    def give_up(self, subject: str, reason: str) -> None:
        """A baseline could not be measured to its end: it gets no figure and no ratio."""
        self.missing[subject] = reason
        for figure in self.figures:
            if figure.subject == subject:
                figure.missing = reason

    def figure(self, subject: str, what: str, unit: str, *, is_rate: bool = False) -> Figure:
        """The figure of this name; a new one, if there is none."""
        for one in self.figures:
            if (one.subject, one.what) == (subject, what):
                return one
        one = Figure(subject, what, unit, is_rate=is_rate)
        self.figures.append(one)
        return one

    def find(self, subject: str, what: str) -> Figure | None:
        """The figure of this name."""
        return next(
            (one for one in self.figures if (one.subject, one.what) == (subject, what)), None
        )

    def whats(self) -> list[str]:
        """Everything that was measured, in order."""
        return list(dict.fromkeys(one.what for one in self.figures))

    def subjects(self) -> list[str]:
        """Everybody who was measured, in order."""
        return list(dict.fromkeys(one.subject for one in self.figures))

    def ratio(self, what: str, subject: str, ours: str) -> float | None:
        """How many times ours is in a baseline's figure."""
        own, other = self.find(ours, what), self.find(subject, what)
        return ratio(own, other) if own and other else None

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "key": self.key,
            "title": self.title,
            "how": self.how,
            "missing": self.missing,
            "figures": [one.as_json() for one in self.figures],
            "verdicts": [
                {"text": one.text, "holds": one.holds, "is_hard": one.is_hard}
                for one in self.verdicts
            ],
        }


def failures(tables: Sequence[Table]) -> list[str]:
    """The bounds that fail the run."""
    return [verdict.text for table in tables for verdict in table.verdicts if verdict.fails]
