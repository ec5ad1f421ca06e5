"""The programs that do the work: Git, pip, buildah, cosign."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tenantry_delivery.errors import DeliveryError, FailedError

_LAST_LINES: Final = 15


def run(
    *words: str,
    folder: Path | None = None,
    env: Mapping[str, str] | None = None,
    data: bytes | None = None,
) -> bytes:
    """What a program says on standard output. What is secret is never among its words.

    Raises:
        DeliveryError: It is not installed.
        FailedError: It failed; the text has the end of what it said.
    """
    try:
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **(env or {})},
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise DeliveryError(f"{words[0]} is not on the PATH") from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        told = "\n".join(f"  {line}" for line in said[-_LAST_LINES:])
        raise FailedError(f"{' '.join(words[:3])} … failed with {done.returncode}:\n{told}")
    return done.stdout
