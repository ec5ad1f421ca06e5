"""What is made once a run, whichever of the workers of pytest-xdist asks for it first."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def once_a_run(folders: pytest.TempPathFactory, name: str, make: Callable[[], Made]) -> Made:
    """What `make` returns; other workers of this run wait for it, and get a copy.

    Args:
        folders: This run's.
        name: Of what is made, within the run.
        make: Returns something that can be pickled. Where it raises, the next one tries again.
    """
    base = folders.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's is in the run's
    kept = base / f"{name}.pickle"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            data = pickle.dumps(make())
            kept.write_bytes(data)
        found: Made = pickle.loads(kept.read_bytes())
    return found
