"""What a person meets who has not everything, or goes away."""

from __future__ import annotations

from pathlib import Path

import pytest

from tenantry_cloud.errors import TerraformFailedError
from tenantry_cloud.providers import _registry_host
from tenantry_cloud.steps import Terminal


def test_without_terraform_it_is_asked_for_by_name(tmp_path: Path) -> None:
    """And no traceback is shown."""
    with pytest.raises(TerraformFailedError, match="no-such-tool is not on the PATH"):
        _registry_host(Path("no-such-tool"), tmp_path)


def test_who_ends_the_input_has_not_agreed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-D at a question is an answer: no."""

    def ended(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)

    assert Terminal(tmp_path, asks=True).ask("Apply this?") == ""
