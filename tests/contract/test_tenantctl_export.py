"""The export of a tenant: in a folder, and in a bucket of moto's."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from consumer.repository import to_item
from contract.engines import CREDENTIALS, REGION, _session
from contract.tables import STORED_AT, a_row
from fakes.dying import KilledError, Watched
from tenantctl import places
from tenantctl.errors import InvalidError, RefusedError, UnavailableError, UnfinishedError
from tenantctl.export import Exported, export, finished, verify
from tenantctl.items import Item
from tenantctl.letters import Letter, received
from tenantctl.places import Bucket, ExportPlace, Folder, place_of

PAYLOAD = '{"b":1.0,"a":"\U0001f600 \\u0000"}'
NAMES = ("items.jsonl", "dead-letters.jsonl", "manifest.json")

_T = TypeVar("_T")


@pytest.fixture
async def s3(moto_url: str) -> AsyncGenerator[Any]:
    """A client of S3 on moto."""
    options: dict[str, Any] = {"region_name": REGION, "endpoint_url": moto_url, **CREDENTIALS}
    async with _session().create_client("s3", **options) as client:
        yield client


@pytest.fixture(params=["folder", "bucket"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, s3: Any) -> ExportPlace:
    """Where to."""
    if request.param == "folder":
        return Folder(tmp_path / "exports" / "acme")
    return await a_bucket(s3)


async def a_bucket(s3: Any, client: Any = None) -> Bucket:
    """A prefix in a new bucket; through another client, perhaps."""
    name = f"exports-{uuid.uuid4()}"
    await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return Bucket(client or s3, name, "dev/acme")


async def each(values: Iterable[_T], error: BaseException | None = None) -> AsyncIterator[_T]:
    """One after the other, and perhaps an end."""
    for value in values:
        yield value
    if error is not None:
        raise error


def items(count: int, payload: str = PAYLOAD) -> list[Item]:
    """Items of acme."""
    return [to_item(a_row(n, payload), STORED_AT) for n in range(count)]


def letters(count: int) -> list[Letter]:
    """Dead letters, with their bodies."""
    found = []
    for n in range(count):
        body = a_row(n, PAYLOAD).message.body() if n else "{"
        attributes = {"raw": {"DataType": "Binary", "BinaryValue": b"\xff"}}
        wire = {"MessageId": f"sqs-{n}", "Body": body, "ReceiptHandle": "h"}
        one = received(wire | {"MessageAttributes": attributes})
        found.append(Letter(**{**fields(one.letter), "body": body}))
    return found


def fields(letter: Letter) -> dict[str, Any]:
    """What a letter is made of."""
    return {name: getattr(letter, name) for name in Letter.__dataclass_fields__}


async def exported(
    place: ExportPlace,
    of_items: AsyncIterator[Item] | None = None,
    of_letters: AsyncIterator[Letter] | None = None,
    **changes: Any,
) -> Exported:
    """Export three items and two letters of acme."""
    about = {"tenant_id": "acme", "environment": "dev", "table": "t", "queue": "q"} | changes
    return await export(
        place,
        items=each(items(3)) if of_items is None else of_items,
        letters=each(letters(2)) if of_letters is None else of_letters,
        **about,
    )


async def text(place: ExportPlace, name: str) -> bytes:
    """A whole file."""
    return b"".join([data async for data in place.read(name)])


async def test_an_export_holds_every_item_and_letter(place: ExportPlace) -> None:
    """Payload and body as they were; the manifest counts them, and it reads back the same."""
    done = await exported(place)

    lines = (await text(place, "items.jsonl")).splitlines()
    assert [PAYLOAD] * 3 == [json.loads(line)["payload"] for line in lines]
    assert json.loads(lines[1])["message_id"] == a_row(1).message.message_id
    dead = [json.loads(line) for line in (await text(place, "dead-letters.jsonl")).splitlines()]
    assert [letter.body for letter in letters(2)] == [one["body"] for one in dead]
    assert dead[0]["attributes"]["raw"]["BinaryValue"] == "/w=="
    assert (done.manifest.items, done.manifest.dead_letters) == (3, 2)
    assert done.letters == {"sqs-0", "sqs-1"}
    assert await verify(place) == done
    manifest = json.loads(await text(place, "manifest.json"))
    assert (manifest["tenant_id"], manifest["table"], manifest["queue"]) == ("acme", "t", "q")


async def test_an_export_of_nothing_is_one(place: ExportPlace) -> None:
    """Two empty files."""
    done = await exported(place, each([]), each([]))

    assert (done.manifest.items, await text(place, "items.jsonl")) == (0, b"")
    assert await verify(place) == done


async def test_an_export_again_replaces(place: ExportPlace) -> None:
    """What came meanwhile is in it."""
    await exported(place)
    more = await exported(place, each(items(5)))

    assert (await verify(place)).manifest == more.manifest
    assert more.manifest.items == 5


async def test_what_is_left_does_not_replace_what_was_whole(place: ExportPlace) -> None:
    """An offboarding that went on after the items were deleted keeps the export of them."""
    whole = await exported(place)
    with pytest.raises(RefusedError, match="holds 3, and now there are 0"):
        await exported(place, each([]))
    with pytest.raises(RefusedError, match="the export of acme of dev"):
        await exported(place, each(items(9)), tenant_id="globex")

    assert await verify(place) == whole


async def test_who_goes_on_finds_the_export_that_is_whole(place: ExportPlace) -> None:
    """Of this tenant, and not one of its life before; nor one that was spoilt."""
    about = {"tenant_id": "acme", "environment": "dev"}
    assert await finished(place, **about, since="2026-01-01T00:00:00Z") is None
    done = await exported(place, clock=lambda: "2026-01-02T00:00:00.5Z")

    assert await finished(place, **about, since="2026-01-02T00:00:00Z") == done
    assert await finished(place, **about, since="2026-01-02T00:00:01Z") is None
    other = about | {"tenant_id": "globex"}
    assert await finished(place, **other, since="2026-01-01T00:00:00Z") is None
    async with places.written(place.file("items.jsonl")) as writing:
        await writing.line(b"{}")
    assert await finished(place, **about, since="2026-01-01T00:00:00Z") is None


async def test_an_export_that_broke_off_is_none(place: ExportPlace) -> None:
    """And leaves the one before it."""
    broken = UnavailableError("table t does not answer")
    with pytest.raises(UnavailableError, match="does not answer"):
        await exported(place, each(items(2), broken))
    with pytest.raises(UnfinishedError, match=r"no manifest\.json"):
        await verify(place)
    whole = await exported(place)
    with pytest.raises(KilledError):
        await exported(place, each(items(9)), each(letters(1), KilledError()))

    assert await verify(place) == whole


@pytest.mark.parametrize("name", NAMES[:2])
async def test_a_file_that_was_changed_is_found(place: ExportPlace, name: str) -> None:
    """One byte less, one line more, or no file."""
    await exported(place)
    before = await text(place, name)
    for data in (before[:-2] + b"\n", before + before, b""):
        async with places.written(place.file(name)) as writing:
            await writing._sink.write(data)
        with pytest.raises(RefusedError, match=f"{name} holds"):
            await verify(place)
    async with places.written(place.file(name)) as writing:
        await writing._sink.write(before)
    assert (await verify(place)).manifest.items == 3


async def test_a_manifest_of_something_else_is_not_overwritten(place: ExportPlace) -> None:
    """Somebody keeps something there."""
    async with places.written(place.file("manifest.json")) as writing:
        await writing.line(b'{"name": "an app"}')

    with pytest.raises(RefusedError, match="is not one of an export"):
        await exported(place)


async def test_a_folder_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else reads, also where an older try left its file open to all; nothing is left."""
    folder = tmp_path / "acme"
    folder.mkdir(mode=0o755)
    leftover = folder / ".items.jsonl.partial"
    leftover.write_text("old")
    leftover.chmod(0o644)
    await exported(Folder(folder))
    await exported(Folder(tmp_path / "new" / "acme"))

    assert stat.S_IMODE((tmp_path / "new" / "acme").stat().st_mode) == 0o700
    for one in (folder, tmp_path / "new" / "acme"):
        assert sorted(NAMES) == sorted(path.name for path in one.iterdir())
        assert {0o600} == {stat.S_IMODE(path.stat().st_mode) for path in one.iterdir()}


async def test_a_large_export_goes_up_in_parts(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than a part is held; an upload that broke off leaves no parts to pay for."""
    monkeypatch.setattr(places, "PART_BYTES", 5 * 1_048_576)
    watched = Watched(s3)
    place = await a_bucket(s3, watched)
    large = items(40, '{"a":"%s"}' % ("x" * 300_000))
    done = await exported(place, each(large))

    assert watched.calls["upload_part"] == 3
    assert watched.calls["put_object"] == 2
    assert await verify(place) == done
    with pytest.raises(KilledError):
        await exported(place, each(large), each([], KilledError()))
    assert watched.calls["abort_multipart_upload"] == 1
    bucket = place._bucket
    assert "Uploads" not in await s3.list_multipart_uploads(Bucket=bucket)
    assert await verify(place) == done


async def test_a_bucket_that_is_not_there_is_named(s3: Any) -> None:
    """Before anything is deleted anywhere."""
    with pytest.raises(UnavailableError, match=r"s3://nobody-here/acme/manifest\.json"):
        await exported(Bucket(s3, "nobody-here", "acme"))


def test_a_place_is_named_by_a_path_or_a_bucket(tmp_path: Path) -> None:
    """And refused before it is used, where it is none."""
    assert str(place_of(str(tmp_path))) == str(tmp_path)
    assert str(place_of("s3://b/x/y/", Watched(None))) == "s3://b/x/y"
    for target in ("", "s3://", "s3:///x"):
        with pytest.raises(InvalidError):
            place_of(target, Watched(None))
    with pytest.raises(RefusedError, match="no access to S3"):
        place_of("s3://b/x")
