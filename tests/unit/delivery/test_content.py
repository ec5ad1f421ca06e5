"""What is pushed: the same bytes for the same files, whoever packs them."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tenantry_delivery.artefacts import Named
from tenantry_delivery.commits import Change
from tenantry_delivery.content import (
    INDEX,
    MANIFEST,
    about,
    artefact,
    digest_of,
    from_layout,
    index,
    packed,
    size_of,
)
from tenantry_delivery.errors import FailedError

TIME = 1_700_000_000
NAMES = st.text("abc/", min_size=1, max_size=6).filter(lambda name: name.strip("/") == name)
FILES = st.dictionaries(NAMES, st.binary(max_size=50), max_size=5)


@given(files=FILES, order=st.randoms())
def test_an_archive_is_of_its_files_and_of_nothing_else(
    files: dict[str, bytes], order: random.Random
) -> None:
    """Not of the order in which they come, of who packs them, or of when."""
    names = list(files)
    order.shuffle(names)

    data = packed({name: files[name] for name in names}, TIME)

    assert data == packed(files, TIME)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = tar.getmembers()
        assert sorted(files) == [member.name for member in members]
        for member in members:
            file = tar.extractfile(member)
            assert file is not None
            assert files[member.name] == file.read()
            assert (TIME, 0, 0, "", "") == (
                member.mtime,
                member.uid,
                member.gid,
                member.uname,
                member.gname,
            )


def test_an_archive_says_nothing_of_the_machine() -> None:
    """Its head has the commit's time and no name; a changed byte is another digest."""
    data = packed({"a": b"1"}, TIME)

    assert TIME.to_bytes(4, "little") == data[4:8]
    assert 0 == data[3]  # no name, no comment
    assert gzip.decompress(data) != gzip.decompress(packed({"a": b"2"}, TIME))


def test_a_manifest_names_what_it_holds() -> None:
    """By digest and size; its own digest is of its bytes."""
    found = artefact(b"layer", "application/x", b"{}", "application/y", {"k": "v"})

    said = json.loads(found.manifest)
    assert (MANIFEST, {"k": "v"}) == (found.media_type, said["annotations"])
    for each, data, kind in (
        (said["config"], b"{}", "application/y"),
        (said["layers"][0], b"layer", "application/x"),
    ):
        assert {"mediaType": kind, "digest": digest_of(data), "size": len(data)} == each
        assert data == found.blobs[each["digest"]]
    assert found.digest == f"sha256:{hashlib.sha256(found.manifest).hexdigest()}"


def test_an_index_says_which_machine_a_part_is_for() -> None:
    """In the order in which platforms were asked for."""
    one, two = (artefact(bytes([n]), "x", b"{}", "y", {}) for n in (1, 2))

    found = index({"linux/arm64": one, "linux/amd64": two}, {})

    said = json.loads(found.manifest)
    assert INDEX == found.media_type == said["mediaType"]
    assert [
        (one.digest, len(one.manifest), "arm64"),
        (two.digest, len(two.manifest), "amd64"),
    ] == [
        (each["digest"], each["size"], each["platform"]["architecture"])
        for each in said["manifests"]
    ]
    assert (one, two) == found.parts


def test_a_layout_is_read_without_its_layers(tmp_path: Path) -> None:
    """They stay files: an image is larger than what one would hold in memory."""
    blobs = tmp_path / "blobs/sha256"
    blobs.mkdir(parents=True)
    wanted = artefact(b"layer", "x", b"{}", "y", {})
    for data in (wanted.manifest, *wanted.blobs.values()):
        assert isinstance(data, bytes)
        (blobs / digest_of(data).removeprefix("sha256:")).write_bytes(data)
    listed = {"manifests": [{"digest": wanted.digest}]}
    (tmp_path / "index.json").write_text(json.dumps(listed), "utf-8")

    found = from_layout(tmp_path)

    assert wanted.digest == found.digest
    assert {*wanted.blobs} == {*found.blobs}
    for digest, path in found.blobs.items():
        assert isinstance(path, Path)
        assert (digest, path.stat().st_size) == (digest_of(path), size_of(path))
    (tmp_path / "index.json").write_text('{"manifests": []}', "utf-8")
    with pytest.raises(FailedError, match="0 images in the place of one"):
        from_layout(tmp_path)


def test_annotations_are_the_commits() -> None:
    """So that they are the same wherever it is built."""
    named = Named("tenantry/producer", "0.1.0-main.7.g0", Change("c" * 40, 7, TIME))

    said = about(named, "Takes messages.", "https://git/x")

    assert {
        "title": "producer",
        "description": "Takes messages.",
        "version": "0.1.0-main.7.g0",
        "revision": "c" * 40,
        "created": "2023-11-14T22:13:20Z",
        "source": "https://git/x",
        "licenses": "Apache-2.0",
    } == {name.removeprefix("org.opencontainers.image."): value for name, value in said.items()}
