"""What can be wrong with a run, as its reader is told."""

from __future__ import annotations


class UsageError(Exception):
    """What was asked for cannot be done, and nothing was tried: one line, exit 2."""


class GeneratorError(Exception):
    """The load generator broke: one line, exit 1; its log says more."""
