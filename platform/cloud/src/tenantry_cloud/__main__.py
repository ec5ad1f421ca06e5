"""`python -m tenantry_cloud`: what can be done with an environment's variables file."""

from __future__ import annotations

import argparse
import io
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tenantry_cloud import cli
from tenantry_cloud.errors import CloudError
from tenantry_cloud.reading import FOLDER, environment_files, read_environment
from tenantry_cloud.steps import Shell, TerminatedError
from tenantry_cloud.tables import checkout


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors are lines on standard error and a status."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked))
    except CloudError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt as error:
        sys.stderr.write("interrupted: the same command goes on from there\n")
        return 143 if isinstance(error, TerminatedError) else 130


def _check(asked: argparse.Namespace) -> int:
    root = checkout()
    paths = [_path(root, name) for name in asked.environment] or environment_files(root)
    faults = []
    for path in paths:
        try:
            read_environment(path)
        except CloudError as error:
            faults.append(error)
        else:
            sys.stdout.write(f"{path.name}: valid\n")
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return max((fault.exit_code for fault in faults), default=0)


def _path(root: Path, name: str) -> Path:
    """An environment by its name, or any file by its path."""
    return Path(name) if name.endswith(".tfvars") else root / FOLDER / f"{name}.tfvars"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tenantry_cloud", description="An environment, from its variables file."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    check = commands.add_parser("check", help="say whether variables files are valid")
    check.add_argument("environment", nargs="*", help="name, or path of a .tfvars file; else all")
    check.set_defaults(run=_check)
    cli.register(commands)
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, Shell.terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a locale may lack what we say
            stream.reconfigure(errors="replace")
    sys.exit(main())
