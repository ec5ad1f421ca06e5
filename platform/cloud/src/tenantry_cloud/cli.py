"""What `python -m tenantry_cloud` does beside checking: workstation, make, destroy."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenantry_cloud import bootstrap, showing
from tenantry_cloud.destroying import Destroying
from tenantry_cloud.making import Making
from tenantry_cloud.model import Environment
from tenantry_cloud.offline import make_offline
from tenantry_cloud.reading import FOLDER, read_environment
from tenantry_cloud.seeding import credentials_file
from tenantry_cloud.steps import Terminal
from tenantry_cloud.tables import checkout

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

#: Contexts and kubeconfigs of this checkout.
HOME: Final = Path(".tenantry")


def register(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Add the commands of this file; each says by `run` what it does."""
    for name, run, text in (
        ("workstation", _workstation, "print how the bucket and the workstation are deployed"),
        ("make", _make, "make an environment, or go on making it"),
        ("destroy", _destroy, "destroy an environment that has no tenant's data"),
        ("cost", _cost, "say offline what it is made of, and what that costs a month"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("environment", help="its name")
        command.set_defaults(run=run)
        if name == "make":
            command.add_argument("--yes", action="store_true", help="apply what is planned")
        if name == "destroy":
            command.add_argument("--confirm", default="", help="the environment's name")


def _read(asked: Namespace) -> Environment:
    return read_environment(_file(asked))


def _file(asked: argparse.Namespace) -> Path:
    return checkout() / FOLDER / f"{asked.environment}.tfvars"


def _workstation(asked: Namespace) -> int:
    for why, command in bootstrap.commands(_read(asked)):
        sys.stdout.write(f"# {why}\n{command}\n\n")
    return 0


def _make(asked: Namespace) -> int:
    said, folder = _read(asked), checkout().resolve()
    Making(
        Terminal(folder, asks=sys.stdin.isatty()),
        said,
        lambda: credentials_file(os.environ.get("TENANTRY_GIT_CREDENTIALS")),
        folder / HOME,
        asked.yes,
    ).run()
    return 0


def _destroy(asked: Namespace) -> int:
    said, folder = _read(asked), checkout().resolve()
    world = Terminal(folder, asks=sys.stdin.isatty())
    Destroying(world, said, folder / HOME, asked.confirm).run()
    return 0


def _cost(asked: Namespace) -> int:
    said, folder = _read(asked), checkout()
    offline = make_offline(said, _file(asked), folder)
    sys.stdout.write(showing.report(said, offline.resources))
    return 0
