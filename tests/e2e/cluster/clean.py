"""What a run leaves that the kernel does not take away: a folder, and control groups."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from e2e.cluster import groups
from e2e.cluster.whole import OURS
from support.waiting import wait_for


def main(folder: Path) -> int:
    """Remove it; nothing there is as good. The status is 1 where something is not ours."""
    wait_for(groups.is_gone, what=f"the end of processes in control groups {groups.NAME}")
    if folder.exists():
        if not (folder / OURS).exists():
            sys.stderr.write(f"make e2e-clean: {folder} was not made by e2e, and stays\n")
            return 1
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
