"""What each ring runs, as the fleet says: `releases/<environment>/<train>.yaml`, one line a ring.

A train is a tier, or `pools`. The file is read strictly and written one way, so that a release is
one line of a diff; it also says what the ring had before, so that anybody can put it back.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from tenantctl.errors import InvalidError, NotFoundError, RefusedError
from tenantctl.fleet import Change, Fleet, Snapshot, message
from tenantctl.model import RINGS, Ring

Train = Literal["basic", "advanced", "premium", "pools"]
TRAINS: Final[tuple[Train, ...]] = get_args(Train)
#: What has rings: the chart of each train, and the Terraform module of them all.
Line = Literal["basic", "advanced", "premium", "pools", "tenant-module"]
MODULE: Final[Line] = "tenant-module"

_VERSION: Final = (
    r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z]+(?:[.-][0-9A-Za-z]+)*)?"
)
_DIGEST: Final = r"sha256:[0-9a-f]{64}"
_RELEASE: Final = re.compile(rf"({_VERSION})@({_DIGEST})")
_VERSION_CHARACTERS: Final = 64

_NONE: Final = "none"
_NO_RELEASE: Final = "  suspend: true # no release yet"
_LINE: Final = re.compile(
    rf'  ref: {{tag: "({_VERSION})", digest: "({_DIGEST})"}}'
    rf"(?: # before: ({_NONE}|{_VERSION}@{_DIGEST}))?"
)
_HEAD: Final = "# yamllint disable rule:line-length"
_LOG_ENTRIES: Final = 50


@dataclass(frozen=True, slots=True)
class Release:
    """A chart that was packaged and signed: what people call it, and what it is."""

    version: str
    digest: str

    def __str__(self) -> str:
        return f"{self.version}@{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Release:
        """The release of `VERSION@sha256:…`.

        Raises:
            InvalidError: It is not of this form; a tag alone can be moved, and names nothing.
        """
        found = _RELEASE.fullmatch(text)
        if found is None or len(found[1]) > _VERSION_CHARACTERS:
            shown = text if len(text) <= 80 else f"{text[:77]}…"  # noqa: PLR2004 - fits a line
            raise InvalidError(
                f"{shown!r} is no release: it is VERSION@sha256:DIGEST, as 1.4.0@sha256:… with 64 "
                "hexadecimal digits"
            )
        return cls(found[1], found[2])


@dataclass(frozen=True, slots=True)
class Held:
    """What a ring's line says.

    Attributes:
        release: None where it has none yet, and fetches nothing.
        before: What it had before; None where it had none.
        knows_before: Whether the line says what it had.
    """

    release: Release | None = None
    before: Release | None = None
    knows_before: bool = False


Rings = Mapping[Ring, Held]


def path_of_train(environment: str, train: Line) -> str:
    """Where the rings of a train are."""
    return f"releases/{environment}/{train}.yaml"


def render_rings(train: Line, rings: Rings) -> bytes:
    """The file of a train."""
    namespace = "tenant-infra" if train == MODULE else "tenants"
    documents = (
        "apiVersion: source.toolkit.fluxcd.io/v1\n"
        "kind: OCIRepository\n"
        f"metadata: {{name: {train}-{ring}, namespace: {namespace}}}\n"
        "spec:\n"
        f"{_line_of(rings[ring])}\n"
        for ring in RINGS
    )
    return f"{_HEAD}\n".encode() + "---\n".join(documents).encode()


def _line_of(held: Held) -> str:
    if held.release is None:
        return _NO_RELEASE
    line = f'  ref: {{tag: "{held.release.version}", digest: "{held.release.digest}"}}'
    return f"{line} # before: {held.before or _NONE}" if held.knows_before else line


def parse_rings(path: str, train: Line, data: bytes) -> dict[Ring, Held]:
    """What the file of a train says.

    Raises:
        InvalidError: It says something else, or in another way.
    """
    lines = [
        line
        for line in data.decode(errors="replace").splitlines()
        if line.startswith(("  ref:", "  suspend:"))
    ]
    if len(lines) != len(RINGS):
        raise InvalidError(f"{path}: {len(lines)} rings have a line, and {len(RINGS)} have to")
    rings = {ring: _held(path, line) for ring, line in zip(RINGS, lines, strict=True)}
    if render_rings(train, rings) != data:
        raise InvalidError(
            f"{path}: it holds more than a line a ring, or in another form: tenantctl writes it, "
            "and what all rings share is in releases/base"
        )
    return rings


def _held(path: str, line: str) -> Held:
    if line == _NO_RELEASE:
        return Held()
    found = _LINE.fullmatch(line)
    if found is None:
        raise InvalidError(
            f"{path}: {line.strip()[:80]!r} is neither `ref` with version and digest nor "
            f"{_NO_RELEASE.strip()!r}"
        )
    release = Release(found[1], found[2])
    if found[3] is None:
        return Held(release)
    before = None if found[3] == _NONE else Release.parse(found[3])
    return Held(release, before, knows_before=True)


class RingFiles:
    """Reads and writes the rings of one environment."""

    def __init__(self, fleet: Fleet, environment: str) -> None:
        self._fleet = fleet
        self._environment = environment

    async def rings(self, train: Line) -> dict[Ring, Held]:
        """What each ring has, as main says now.

        Raises:
            NotFoundError: The fleet has no releases of this environment.
            InvalidError: The file is not as it is written here.
            GitError: The fleet cannot be read.
        """
        return self._read(await self._fleet.snapshot(), train)

    async def put(
        self,
        train: Line,
        ring: Ring,
        held: Held,
        *,
        over: Release | None,
        subject: str,
        request_id: str | None = None,
        dry_run: bool = False,
    ) -> Change | None:
        """Write a ring's line, where it says `over` now; None where it says this already.

        Raises:
            RefusedError: It says something else: somebody deploys at the same time.
            InvalidError, GitError: As `rings`; or the fleet cannot be written.
        """
        path = path_of_train(self._environment, train)

        def edit(snapshot: Snapshot) -> Mapping[str, bytes | None]:
            rings = self._read(snapshot, train)
            there = rings[ring].release
            if there == held.release:
                return {}
            if there != over:
                raise RefusedError(
                    f"{train} {ring} has {there or 'no release'} by now, and not "
                    f"{over or 'none'}: somebody else deploys. Nothing was changed"
                )
            return {path: render_rings(train, {**rings, ring: held})}

        return await self._fleet.change(
            edit,
            message(subject, verb="deploy", request_id=request_id),
            dry_run=dry_run,
        )

    async def committed_at(self, train: Line, subject: str) -> dt.datetime | None:
        """When the newest commit of this subject was made; None where it is long ago, or nobody's.

        As of the last look at main.
        """
        path = path_of_train(self._environment, train)
        for entry in await self._fleet.log(path, limit=_LOG_ENTRIES):
            if entry.subject == subject:
                return entry.time
        return None

    def _read(self, snapshot: Snapshot, train: Line) -> dict[Ring, Held]:
        path = path_of_train(self._environment, train)
        data = snapshot.read(path)
        if data is None:
            raise NotFoundError(f"the fleet has no {path}: releases of {train} are nowhere")
        return parse_rings(path, train, data)
