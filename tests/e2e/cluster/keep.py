"""A cluster that stays until somebody ends it, and how to look at it."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from e2e.cluster.whole import opened

_HOW = """\
The cluster is there, in namespaces of its own. To look at it, as root:

  nsenter --all --target="$(pgrep --newest --full e2e.cluster.keep)" \\
    env KUBECONFIG={config} PATH={path}:$PATH bash
  kubectl get pods --all-namespaces

Logs are below {folder}. Ctrl-C ends it.
"""


def main(folder: Path) -> int:
    """Bring it up, say how to look, and wait for an end."""
    with opened(folder) as whole:
        told = _HOW.format(
            config=whole.cluster.kubeconfig("operator", "system:masters"),
            path=whole.tools,
            folder=folder,
        )
        sys.stdout.write(told)
        sys.stdout.flush()
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
