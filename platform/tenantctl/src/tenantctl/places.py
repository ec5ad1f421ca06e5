"""Where an export goes: a folder of one's own, or a prefix in a bucket of S3.

A file is there when it is closed, whole, or not at all; a killed export leaves what was there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import structlog

from tenantctl.awsfailures import AWS_ERRORS, failure
from tenantctl.errors import InvalidError, RefusedError, UnavailableError

log = structlog.get_logger()

#: Bytes of one part of an upload: S3 takes ten thousand, of 5 MiB at least.
PART_BYTES: Final = 16 * 1_048_576
_CHUNK_BYTES: Final = 1_048_576
_S3: Final = "s3://"
_MISSING: Final = frozenset({"NoSuchKey", "404", "NotFound"})


class S3Calls(Protocol):
    """What an export needs of S3: aiobotocore's client, which has no types here."""

    async def put_object(self, *args: Any, **request: Any) -> Any:
        """`PutObject`."""
        ...

    async def create_multipart_upload(self, *args: Any, **request: Any) -> Any:
        """`CreateMultipartUpload`."""
        ...

    async def upload_part(self, *args: Any, **request: Any) -> Any:
        """`UploadPart`."""
        ...

    async def complete_multipart_upload(self, *args: Any, **request: Any) -> Any:
        """`CompleteMultipartUpload`."""
        ...

    async def abort_multipart_upload(self, *args: Any, **request: Any) -> Any:
        """`AbortMultipartUpload`."""
        ...

    async def get_object(self, *args: Any, **request: Any) -> Any:
        """`GetObject`."""
        ...


class Sink(Protocol):
    """A file that is being written."""

    async def write(self, data: bytes) -> None: ...
    async def close(self) -> None: ...
    async def abandon(self) -> None: ...


class ExportPlace(Protocol):
    """Named files."""

    def file(self, name: str) -> Sink:
        """A file to write, that replaces one of this name once it is closed."""
        ...

    def read(self, name: str) -> AsyncGenerator[bytes]:
        """A file's bytes, piece by piece; raises FileNotFoundError."""
        ...

    def within(self, name: str) -> ExportPlace:
        """A place inside this one."""
        ...


class Writing:
    """Counts and digests what is written, a line at a time."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._hash = hashlib.sha256()
        self.lines = 0
        self.bytes = 0

    async def line(self, data: bytes) -> None:
        """One line; the line feed is added."""
        self._hash.update(data)
        self._hash.update(b"\n")
        self.lines += 1
        self.bytes += len(data) + 1
        await self._sink.write(data + b"\n")

    @property
    def sha256(self) -> str:
        """In hex, of all that was written."""
        return self._hash.hexdigest()


@asynccontextmanager
async def written(sink: Sink) -> AsyncIterator[Writing]:
    """The file is there when the block ends, and not when it raises."""
    try:
        yield Writing(sink)
        await sink.close()
    except BaseException:
        await sink.abandon()
        raise


class Folder:
    """A local folder, for its owner's eyes alone."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __str__(self) -> str:
        return str(self._path)

    def within(self, name: str) -> Folder:
        return Folder(self._path / name)

    def file(self, name: str) -> Sink:
        return _LocalFile(self._path, name)

    async def read(self, name: str) -> AsyncGenerator[bytes]:
        path = self._path / name
        try:
            with path.open("rb") as file:
                while data := file.read(_CHUNK_BYTES):
                    yield data
        except FileNotFoundError:
            raise
        except OSError as error:
            raise UnavailableError(f"{path}: {error.strerror}") from error


class _LocalFile:
    """Written under a temporary name, which a later export takes again."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._path = folder / name
        self._partial = folder / f".{name}.partial"
        self._descriptor: int | None = None
        self._buffer = bytearray()

    async def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= _CHUNK_BYTES:
            self._do(self._flush)

    async def close(self) -> None:
        self._do(self._finish)

    async def abandon(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            with contextlib.suppress(OSError):
                self._partial.unlink()

    def _do(self, what: Callable[[], None]) -> None:
        # Not in a thread that a cancellation would leave writing after `abandon`.
        try:
            what()
        except OSError as error:
            raise UnavailableError(f"{self._path}: {error.strerror}") from error

    def _open(self) -> int:
        if self._descriptor is None:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW
            descriptor = os.open(self._partial, flags, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                raise RefusedError(
                    f"{self._path}: another export writes it just now: let that end"
                ) from None
            os.fchmod(descriptor, 0o600)  # also where an older one was left
            os.ftruncate(descriptor, 0)
            self._descriptor = descriptor
        return self._descriptor

    def _flush(self) -> None:
        descriptor = self._open()
        left = memoryview(bytes(self._buffer))
        while left:
            left = left[os.write(descriptor, left) :]
        self._buffer.clear()

    def _finish(self) -> None:
        self._flush()
        descriptor = self._open()
        os.fsync(descriptor)
        # Under its lock until it has its name.
        self._partial.replace(self._path)
        os.close(descriptor)
        self._descriptor = None
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Bucket:
    """A prefix in a bucket. What encrypts is the bucket's own setting."""

    def __init__(self, s3: S3Calls, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix.strip("/")

    def __str__(self) -> str:
        return f"{_S3}{self._bucket}/{self._prefix}"

    def within(self, name: str) -> Bucket:
        return Bucket(self._s3, self._bucket, self._key(name))

    def file(self, name: str) -> Sink:
        return _S3File(self._s3, self._bucket, self._key(name))

    async def read(self, name: str) -> AsyncGenerator[bytes]:
        key = self._key(name)
        try:
            answer = await self._s3.get_object(Bucket=self._bucket, Key=key)
            body = answer["Body"]
            async with body:  # as which it would give aiohttp's response, which has no pieces
                while data := await body.read(_CHUNK_BYTES):
                    yield data
        except AWS_ERRORS as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") in _MISSING:
                raise FileNotFoundError(f"{_S3}{self._bucket}/{key}") from error
            raise failure(error, "GetObject", f"{_S3}{self._bucket}/{key}") from error

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


class _S3File:
    """An object, uploaded in parts while it grows."""

    def __init__(self, s3: S3Calls, bucket: str, key: str) -> None:
        self._s3 = s3
        self._place: dict[str, Any] = {"Bucket": bucket, "Key": key}
        self._name = f"{_S3}{bucket}/{key}"
        self._buffer = bytearray()
        self._upload: dict[str, Any] | None = None
        self._parts: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        self._buffer += data
        if len(self._buffer) >= PART_BYTES:
            await self._send_part()

    async def close(self) -> None:
        if self._upload is None:
            await self._call("PutObject", self._s3.put_object, Body=bytes(self._buffer))
            return
        if self._buffer:
            await self._send_part()
        await self._call(
            "CompleteMultipartUpload",
            self._s3.complete_multipart_upload,
            **self._upload,
            MultipartUpload={"Parts": self._parts},
        )
        self._upload = None

    async def abandon(self) -> None:
        if self._upload is None:
            return
        try:
            await self._s3.abort_multipart_upload(**self._place, **self._upload)
        except AWS_ERRORS as error:
            # The bucket's rule for parts that nobody completes takes them away.
            log.warning("export.parts_left", object=self._name, error=repr(error))
        self._upload = None

    async def _send_part(self) -> None:
        if self._upload is None:
            begun = await self._call("CreateMultipartUpload", self._s3.create_multipart_upload)
            self._upload = {"UploadId": begun["UploadId"]}
        number = len(self._parts) + 1
        part = await self._call(
            "UploadPart",
            self._s3.upload_part,
            **self._upload,
            PartNumber=number,
            Body=bytes(self._buffer),
        )
        self._parts.append({"PartNumber": number, "ETag": part["ETag"]})
        self._buffer.clear()

    async def _call(self, operation: str, call: Any, **request: Any) -> Any:
        try:
            return await call(**self._place, **request)
        except AWS_ERRORS as error:
            raise failure(error, operation, self._name) from error


def place_of(target: str, s3: S3Calls | None = None) -> Folder | Bucket:
    """The place that a command line names: `s3://bucket/prefix`, or a folder.

    Raises:
        InvalidError: It names no bucket, or nothing.
        RefusedError: It is a bucket, and there is no client of S3.
    """
    if not target.startswith(_S3):
        if not target:
            raise InvalidError("an export goes to a folder, or to s3://bucket/prefix")
        return Folder(Path(target))
    bucket, _, prefix = target.removeprefix(_S3).partition("/")
    if not bucket:
        raise InvalidError(f"{target}: it names no bucket")
    if s3 is None:
        raise RefusedError(f"{target}: there is no access to S3 here")
    return Bucket(s3, bucket, prefix)
