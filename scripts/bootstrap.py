"""Makes the environments that targets need: `python3 scripts/bootstrap.py dev engine`.

This file only turns away a Python that is too old, in one line, so it keeps to syntax that every
Python can read. The work is in `environments.py` beside it.
"""

import os
import sys


def refuse_old_python():
    """Leave with status 2 when this Python is older than 3.11, naming a newer one if there is."""
    if sys.version_info >= (3, 11):
        return
    folders = os.environ.get("PATH", "").split(os.pathsep)
    found = [
        name
        for name in ("python3.13", "python3.12", "python3.11")
        if any(os.access(os.path.join(folder, name), os.X_OK) for folder in folders)
    ]
    advice = (
        "run `make PYTHON=%s ...`" % found[0] if found else "install one, then `make PYTHON=...`"
    )
    sys.stderr.write(
        "Python 3.11 or later is needed, and %s is %d.%d: %s\n"
        % (sys.executable, sys.version_info[0], sys.version_info[1], advice)
    )
    sys.exit(2)


if __name__ == "__main__":
    refuse_old_python()
    from environments import main

    sys.exit(main(sys.argv[1:]))
