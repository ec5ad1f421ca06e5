"""`tenantctl`: the verbs as commands. What each does is under `tenantctl.verbs`."""

from __future__ import annotations

import os
import sys

# The order is that of the help.
from tenantctl.cli import lives, looking, cost, releasing, fleet, requests, states  # isort: skip
from tenantctl.cli.common import app

__all__ = ["app", "cost", "fleet", "lives", "looking", "main", "releasing", "requests", "states"]

_BUG = 1


def main() -> None:
    """Run one command."""
    # A pipe that is closed early, `tenantctl list | head`, is nobody's error.
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BUG)
