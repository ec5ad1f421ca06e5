"""What is wrong with an environment's releases and their keys, as far as files alone say it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, get_args

import yaml

from tenantctl.candidates import parse_candidate, path_of_candidate
from tenantctl.errors import InvalidError
from tenantctl.releases import MODULE, Line, Release, parse_rings, path_of_train
from tenantctl.signatures import KEY_SUFFIX, SECRET, keys_folder, read_key
from tenantctl.snapshot import Snapshot

_LINES: Final[tuple[Line, ...]] = get_args(Line)
#: Whose `OCIRepository` objects verify with the Secret, which is in their namespace.
_NAMESPACES: Final = ("tenants", "tenant-infra")


def wrong_releases(snapshot: Snapshot, environment: str) -> Iterator[tuple[str, str]]:
    """Paths, and what is wrong there. A fleet without releases has nothing wrong."""
    folder = f"releases/{environment}"
    known = {path_of_train(environment, line) for line in _LINES}
    known |= {path_of_candidate(environment), f"{folder}/kustomization.yaml"}
    for path in snapshot.paths(folder):
        if path in snapshot.irregular:
            yield path, f"a {snapshot.irregular[path]} does not belong here"
        elif path not in known:
            yield path, "nothing of this name is a release"
    named, wrong = read_releases(snapshot, environment)
    yield from wrong
    yield from _two_of_a_version(named)
    keys, wrong_keys = _keys(snapshot, environment)
    yield from wrong_keys
    if named and not keys:
        yield keys_folder(environment), "no key is here, and a release is verified with one"


def read_releases(
    snapshot: Snapshot, environment: str
) -> tuple[list[tuple[str, Line, Release]], list[tuple[str, str]]]:
    """What rings and the candidate name, each with path and line; and files that cannot be read.

    The candidate's chart counts as the pools'. What a ring had before is history.
    """
    named: list[tuple[str, Line, Release]] = []
    wrong: list[tuple[str, str]] = []
    for line in _LINES:
        path = path_of_train(environment, line)
        if (data := snapshot.files.get(path)) is None:
            continue
        try:
            held = parse_rings(path, line, data).values()
        except InvalidError as error:
            wrong.append((path, str(error).removeprefix(f"{path}: ")))
            continue
        named += [(path, line, each.release) for each in held if each.release is not None]
    path = path_of_candidate(environment)
    if (data := snapshot.files.get(path)) is not None:
        try:
            candidate = parse_candidate(path, data)
        except InvalidError as error:
            wrong.append((path, str(error).removeprefix(f"{path}: ")))
        else:
            both: tuple[tuple[Line, Release | None], ...] = (
                ("pools", candidate.chart),
                (MODULE, candidate.module),
            )
            named += [(path, line, each) for line, each in both if each is not None]
    return named, wrong


def _two_of_a_version(named: Sequence[tuple[str, Line, Release]]) -> Iterator[tuple[str, str]]:
    digests: dict[tuple[bool, str], str] = {}
    for path, line, release in named:
        there = digests.setdefault((line == MODULE, release.version), release.digest)
        if there != release.digest:
            yield path, f"{release.version} is {there} elsewhere, and {release.digest} here"


def _keys(snapshot: Snapshot, environment: str) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of an environment's keys, and what is wrong with them."""
    folder = keys_folder(environment)
    listing = f"{folder}/kustomization.yaml"
    names: list[str] = []
    wrong: list[tuple[str, str]] = []
    for path in snapshot.paths(folder):
        name = path.removeprefix(f"{folder}/")
        if path in snapshot.irregular:
            wrong.append((path, f"a {snapshot.irregular[path]} does not belong here"))
        elif path != listing:
            try:
                names.append(read_key(name, snapshot.files[path]).name)
            except InvalidError as error:
                wrong.append((path, str(error)))
    wanted = dict.fromkeys(_NAMESPACES, sorted(names))
    if listing in snapshot.files and _listed(snapshot.files[listing]) != wanted:
        text = (
            f"the Secret {SECRET} in {' and '.join(_NAMESPACES)} lists the files "
            f"*{KEY_SUFFIX} beside it: {', '.join(sorted(names)) or 'none'}"
        )
        wrong.append((listing, text))
    return names, wrong


def _listed(data: bytes) -> Mapping[str, Any]:
    """The files of each Secret of the keys' name, by namespace."""
    try:
        made = yaml.safe_load(data)["secretGenerator"]
        return {
            each["namespace"]: sorted(each["files"]) for each in made if each["name"] == SECRET
        }
    except (yaml.YAMLError, KeyError, TypeError):
        return {}
