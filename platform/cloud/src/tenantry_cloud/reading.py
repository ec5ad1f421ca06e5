"""The one reader of variables files outside Terraform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from tenantry_cloud import rules
from tenantry_cloud.errors import InvalidError
from tenantry_cloud.hcl import SyntaxFaultError, read_literals
from tenantry_cloud.model import Environment
from tenantry_cloud.tables import Tables, checkout, read_tables

FOLDER: Final = Path("platform/environments")
#: What the account's environments share: read by the root `shared`, and no environment.
SHARED: Final = "shared"


def environment_files(root: Path) -> list[Path]:
    """Every environment's variables file of a checkout, by name."""
    return [path for path in sorted((root / FOLDER).glob("*.tfvars")) if path.stem != SHARED]


def read_environment(path: Path, tables: Tables | None = None) -> Environment:
    """What a variables file says, all of it valid.

    Args:
        path: The file, which is named after its environment.
        tables: What goes with what; those of the checkout, if not given.

    Raises:
        InvalidError: It is not valid: a line for each fault, as Terraform words it.
    """
    tables = tables or read_tables(checkout())
    environment = _read(path, tables)
    if crossing := [*_crossing(path, environment, tables)]:
        raise InvalidError(path.name, crossing)
    return environment


def _read(path: Path, tables: Tables) -> Environment:
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise InvalidError(path.name, ["there is no such file"]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(path.name, [f"it cannot be read: {error}"]) from None
    try:
        values = read_literals(text)
    except SyntaxFaultError as fault:
        raise InvalidError(path.name, [str(fault)]) from None
    environment = _shaped(path.name, values)
    faults = rules.faults(environment, tables)
    if environment.environment != path.stem:
        faults.append(
            f"environment: {environment.environment} stands in {path.name}: "
            "a file is named after its environment."
        )
    if faults:
        raise InvalidError(path.name, faults)
    return environment


def _crossing(path: Path, ours: Environment, tables: Tables) -> Iterator[str]:
    """Ranges that another environment has, too, of which a peer of both could reach one only.

    Terraform sees one file. What is wrong with another is said when that one is read.
    """
    for other in sorted(path.parent.glob("*.tfvars")):
        if other.stem in {path.stem, SHARED}:
            continue
        try:
            theirs = _read(other, tables)
        except InvalidError:
            continue
        if peers := rules.common_peers(ours, theirs):
            for name, left in rules.own_ranges(ours).items():
                for their_name, right in rules.own_ranges(theirs).items():
                    if left.overlaps(right):
                        yield (
                            f"{name}: {left} overlaps with {right}, {their_name} of {other.name}: "
                            f"{', '.join(peers)}, a peer of both, could reach one of them only."
                        )


def _shaped(name: str, values: dict[str, Any]) -> Environment:
    try:
        return Environment.model_validate(values)
    except ValidationError as error:
        raise InvalidError(
            name,
            [
                _words(".".join(map(str, one["loc"])), one["type"], one["msg"])
                for one in error.errors()
            ],
        ) from None


def _words(where: str, kind: str, said: str) -> str:
    match kind:
        case "missing":
            return f"{where}: it is not there; what may be left out is written as null"
        case "extra_forbidden":
            return f"{where}: there is no such setting"
    return f"{where}: {said[0].lower()}{said[1:]}"
