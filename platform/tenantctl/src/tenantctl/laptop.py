"""The laptop as a cluster: what its stand-in for Flux writes, and tenantctl reads.

A folder with one JSON file for each instance. `tenantry_local.fleet_standin` writes there what it
has made of the fleet; nothing else of a cluster is played.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from tenantctl.errors import UnavailableError
from tenantctl.model import Instance
from tenantctl.ports import Applied, Outputs

#: Says whose the folder is: the process that applies the fleet.
_PID: Final = "pid"


def announce(folder: Path) -> None:
    """Say that this process applies the fleet into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _PID).write_text(str(os.getpid()))


def write_state(folder: Path, instance_id: str, applied: Applied) -> None:
    """Say how far an instance is; readers see the old state or the new one."""
    state = {
        "instance": None if applied.instance is None else applied.instance.values(),
        "suspended": applied.instance is not None and applied.instance.is_suspended,
        "ready": applied.is_ready,
        "failed": applied.has_failed,
        "detail": applied.detail,
        "outputs": None if applied.outputs is None else asdict(applied.outputs),
    }
    temporary = folder / f".{instance_id}.json"
    temporary.write_text(json.dumps(state, indent=1))
    temporary.replace(folder / f"{instance_id}.json")


def forget_state(folder: Path, instance_id: str) -> None:
    """Say that nothing is left of an instance."""
    (folder / f"{instance_id}.json").unlink(missing_ok=True)


class LaptopCluster:
    """Reads what the stand-in wrote."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def applied(self, instance_id: str) -> Applied:
        self._require_running()
        try:
            text = (self._folder / f"{instance_id}.json").read_text()
        except FileNotFoundError:
            return Applied()
        return _applied(json.loads(text))

    async def instances(self) -> dict[str, Applied]:
        self._require_running()
        return {
            path.stem: await self.applied(path.stem)
            for path in sorted(self._folder.glob("[!.]*.json"))
        }

    async def strays(self) -> dict[str, tuple[str, ...]]:
        """There is nothing beside releases here."""
        return {}

    async def remains(self, instance_id: str) -> tuple[str, ...]:
        state = await self.applied(instance_id)
        if not state.exists:
            return ()
        why = f" ({state.detail})" if state.detail else ""
        return (f"release {instance_id}{why}",)

    async def sweep(self, instance_id: str) -> None:
        """Nothing is left behind here."""

    async def nudge(self) -> None:
        """It looks twice a second by itself."""

    def _require_running(self) -> None:
        try:
            os.kill(int((self._folder / _PID).read_text()), 0)
        except (OSError, ValueError):
            raise UnavailableError(
                f"no laptop writes to {self._folder}: `make demo` or `make up` starts one"
            ) from None


def _applied(state: Mapping[str, Any]) -> Applied:
    values, outputs = state["instance"], state["outputs"]
    return Applied(
        exists=True,
        instance=None
        if values is None
        else Instance.of_values(values, is_suspended=state["suspended"]),
        is_ready=state["ready"],
        has_failed=state["failed"],
        detail=state["detail"],
        outputs=None if outputs is None else Outputs(**outputs),
    )
