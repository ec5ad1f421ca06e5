"""A tenant's items and dead letters as files: JSON lines, counted and checksummed.

`items.jsonl` has an item a line: its attributes by name, `payload` as the text that is stored,
bytes in base64. `dead-letters.jsonl` has a letter a line: its body as it lies on the queue.
`manifest.json` says what both hold, and is written last: without it there is no export.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

import orjson

from tenantctl.errors import RefusedError, UnfinishedError
from tenantctl.items import Item, to_json
from tenantctl.letters import Letter
from tenantctl.places import ExportPlace, Writing, written
from tenantry.contract import now

#: Of the files' format.
VERSION: Final = 1
ITEMS: Final = "items.jsonl"
DEAD_LETTERS: Final = "dead-letters.jsonl"
MANIFEST: Final = "manifest.json"


@dataclass(frozen=True, slots=True)
class FileOf:
    """What one file holds."""

    lines: int
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What an export holds, and of what.

    Attributes:
        queue: The dead-letter queues' URLs; empty where there was none.
        begun_at: RFC 3339 in UTC, as `ended_at`.
        files: By name.
    """

    version: int
    tenant_id: str
    environment: str
    table: str
    queue: str
    begun_at: str
    ended_at: str
    files: Mapping[str, FileOf]

    @property
    def items(self) -> int:
        """How many items."""
        return self.files[ITEMS].lines

    @property
    def dead_letters(self) -> int:
        """How many dead letters."""
        return self.files[DEAD_LETTERS].lines


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that is there.

    Attributes:
        letters: SQS's ids of the dead letters in it: these may be deleted.
    """

    manifest: Manifest
    letters: frozenset[str]


async def export(
    place: ExportPlace,
    *,
    tenant_id: str,
    environment: str,
    table: str,
    items: AsyncIterable[Item],
    queue: str = "",
    letters: AsyncIterable[Letter] | None = None,
    clock: Callable[[], str] = now,
    require_ours: Callable[[], Awaitable[None]] | None = None,
) -> Exported:
    """Write everything; an older export of this tenant there is replaced.

    Args:
        place: Where to.
        tenant_id: Whose.
        environment: Where it lives.
        table: Of the items, for the manifest.
        items: In the order of their keys (`Tables.items`).
        queue: Of the letters, for the manifest.
        letters: With their bodies (`Queues.letters`, which the caller closes); None: there is no
            such queue.
        clock: RFC 3339 in UTC.
        require_ours: Raises where somebody else has gone on with this tenant meanwhile.

    Raises:
        RefusedError: There is an export of another tenant, or one that holds more than there is
            now: an offboarding that went on must not replace it by what is left.
        UnavailableError: Something could not be read or written; done again, it starts anew.
    """
    begun_at = clock()
    before = await _manifest_of(place)
    if before is not None and (before.tenant_id, before.environment) != (tenant_id, environment):
        raise RefusedError(
            f"{place}: here is the export of {before.tenant_id} of {before.environment}, which "
            f"stays: name another place for {tenant_id}"
        )
    ids: set[str] = set()
    async with AsyncExitStack() as stack:
        # Both are closed, and so replace what is there, after both are whole.
        of_items = await stack.enter_async_context(written(place.file(ITEMS)))
        of_letters = await stack.enter_async_context(written(place.file(DEAD_LETTERS)))
        async for item in items:
            await of_items.line(to_json(item))
        if letters is not None:
            async for letter in letters:
                await of_letters.line(_letter(letter))
                ids.add(letter.sqs_id)
        files = {ITEMS: _file_of(of_items), DEAD_LETTERS: _file_of(of_letters)}
        # Anew: another run may have ended, and deleted what it exported.
        before = await _manifest_of(place)
        if before is not None:
            _refuse_less(place, before, files)
        if require_ours is not None:
            await require_ours()
    manifest = Manifest(
        version=VERSION,
        tenant_id=tenant_id,
        environment=environment,
        table=table,
        queue=queue,
        begun_at=begun_at,
        ended_at=clock(),
        files=files,
    )
    text = orjson.dumps(asdict(manifest), option=orjson.OPT_INDENT_2)
    async with written(place.file(MANIFEST)) as of_manifest:
        await of_manifest.line(text)
    return Exported(manifest, frozenset(ids))


async def verify(place: ExportPlace) -> Exported:
    """Read an export back, and compare it with its manifest.

    Raises:
        UnfinishedError: There is no manifest: it did not end.
        RefusedError: A file is not what the manifest says.
        UnavailableError: It cannot be read.
    """
    manifest = await _manifest_of(place)
    if manifest is None:
        raise UnfinishedError(f"{place}: there is no {MANIFEST}, the export did not end")
    ids: set[str] = set()
    for name, wanted in manifest.files.items():
        found = await _read_back(place, name, ids)
        if found != wanted:
            raise RefusedError(
                f"{place}: {name} holds {found.lines} lines of {found.bytes} bytes, SHA-256 "
                f"{found.sha256[:12]}…, and by its manifest {wanted.lines} of {wanted.bytes}, "
                f"{wanted.sha256[:12]}…: export again"
            )
    return Exported(manifest, frozenset(ids))


async def finished(
    place: ExportPlace, *, tenant_id: str, environment: str, since: str
) -> Exported | None:
    """The whole export of this tenant that was begun after an instant; None: there is none.

    For who goes on after it: by then items and letters may be deleted, and an export anew would
    hold less, and is refused. `since` is when the tenant was shut out and its queue seen empty,
    RFC 3339 in UTC: nothing has come after that.

    Raises:
        UnavailableError: It cannot be read.
    """
    try:
        found = await verify(place)
    except (UnfinishedError, RefusedError):
        return None  # an export anew replaces it, or says what stands there
    manifest = found.manifest
    is_ours = (manifest.tenant_id, manifest.environment) == (tenant_id, environment)
    begun_at = datetime.fromisoformat(manifest.begun_at)
    return found if is_ours and begun_at >= datetime.fromisoformat(since) else None


async def exported_items(place: ExportPlace) -> AsyncGenerator[bytes]:
    """The lines of the exported items, in the order of their keys.

    Raises:
        UnavailableError: They cannot be read.
    """
    rest = b""
    async for data in place.read(ITEMS):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            yield line


async def _read_back(place: ExportPlace, name: str, ids: set[str]) -> FileOf:
    digest = hashlib.sha256()
    lines = size = 0
    rest = b""
    try:
        async for data in place.read(name):
            digest.update(data)
            size += len(data)
            lines += data.count(b"\n")
            if name == DEAD_LETTERS:
                *whole, rest = (rest + data).split(b"\n")
                ids.update(_id_of(line) for line in whole)
    except FileNotFoundError:
        raise RefusedError(f"{place}: {name} is not there: export again") from None
    return FileOf(lines, size, digest.hexdigest())


def _id_of(line: bytes) -> str:
    try:
        return str(orjson.loads(line)["sqs_id"])
    except (ValueError, KeyError, TypeError):
        return ""  # the checksum tells


async def _manifest_of(place: ExportPlace) -> Manifest | None:
    """None: there is none.

    Raises:
        RefusedError: It is not one of ours.
    """
    try:
        text = b"".join([data async for data in place.read(MANIFEST)])
    except FileNotFoundError:
        return None
    try:
        found: dict[str, Any] = orjson.loads(text)
        files = {name: FileOf(**one) for name, one in found.pop("files").items()}
        manifest = Manifest(**found, files=files)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RefusedError(f"{place}: {MANIFEST} is not one of an export") from None
    if manifest.version != VERSION or files.keys() != {ITEMS, DEAD_LETTERS}:
        raise RefusedError(f"{place}: {MANIFEST} is of another version, {manifest.version}")
    return manifest


def _refuse_less(place: ExportPlace, before: Manifest, files: Mapping[str, FileOf]) -> None:
    for name, held in before.files.items():
        if files[name].lines < held.lines:
            raise RefusedError(
                f"{place}: {name} of {before.ended_at} holds {held.lines}, and now there are "
                f"{files[name].lines}: it stays; name another place for what is left"
            )


def _file_of(writing: Writing) -> FileOf:
    return FileOf(writing.lines, writing.bytes, writing.sha256)


def _letter(letter: Letter) -> bytes:
    if letter.body is None:
        raise ValueError("a letter is exported with its body")
    return orjson.dumps(
        {
            "sqs_id": letter.sqs_id,
            "message_id": letter.message_id,
            "tenant_id": letter.tenant_id,
            "type": letter.type,
            "problem": letter.problem,
            "receive_count": letter.receive_count,
            "sent_at": letter.sent_at,
            "group_id": letter.group_id,
            "attributes": letter.attributes,
            "body": letter.body,
        },
        default=_base64,
    )


def _base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(type(value).__name__)
