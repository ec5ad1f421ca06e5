"""What a run used in place of the original, said at its end."""

from __future__ import annotations

from typing import Final

import pytest

_USED: Final = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def used(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report."""
    return pytestconfig.stash.setdefault(_USED, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what stood in for what."""
    for line in config.stash.get(_USED, []):
        terminalreporter.write_line(line)
