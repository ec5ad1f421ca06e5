"""What a run leaves that the kernel does not take away: a folder, and control groups."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from e2e.cluster import groups
from support.waiting import wait_for


def main(folder: Path) -> int:
    """Remove it; nothing there is as good."""
    wait_for(groups.is_gone, what=f"the end of processes in control groups {groups.NAME}")
    if folder.exists():
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
