"""Print the isolation matrix of the policies as they are: `python -m iam`.

Exit status: 0 when every cell is as it is to be, 1 when one is not, 2 when Terraform is missing.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from iam.platform_rendered import render_platform
from iam.rendered import render
from iam.report import is_platform_right, is_right, platform_report, report
from support import terraform


def main() -> int:
    """Render, print, judge."""
    tool = terraform.find("terraform")
    if tool is None:
        sys.stderr.write("python -m iam: terraform is not installed\n")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        roles = render(tool, Path(folder) / "module")["roles"]
        platform = render_platform(tool, Path(folder) / "platform")["platform"]
    sys.stdout.write(f"{report(roles)}\n\n{platform_report(platform)}\n")
    return 0 if is_right(roles) and is_platform_right(platform) else 1


if __name__ == "__main__":
    sys.exit(main())
