"""Copies of Terraform states as they were once: versions of objects in a bucket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from datetime import UTC
from typing import Any, Final, Protocol

from tenantctl.awsfailures import AWS_ERRORS, failure
from tenantctl.states import Version

_MISSING: Final = frozenset({"NoSuchKey", "NoSuchVersion", "404", "NotFound"})
#: What S3 answers where a version's name cannot be one.
_NO_VERSION: Final = frozenset({"InvalidArgument", "400"})


class VersionCalls(Protocol):
    """What this needs of S3: aiobotocore's client, which has no types here."""

    async def list_object_versions(self, *args: Any, **request: Any) -> Any:
        """`ListObjectVersions`."""
        ...

    async def get_object(self, *args: Any, **request: Any) -> Any:
        """`GetObject`."""
        ...


class BucketVersions:
    """The port `Versions` on a prefix in a bucket that keeps them."""

    def __init__(self, s3: VersionCalls, bucket: str, prefix: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    async def of(self, begins: str) -> list[Version]:
        found: list[Version] = []
        more: dict[str, str] = {}
        while True:
            page = await self._page(f"{self._prefix}{begins}", more)
            found += [self._version(each) for each in page.get("Versions", [])]
            if not page.get("IsTruncated"):
                return found
            more = {
                "KeyMarker": page["NextKeyMarker"],
                "VersionIdMarker": page["NextVersionIdMarker"],
            }

    def at(self, version: str) -> OneVersion:
        return OneVersion(self._s3, self._bucket, self._prefix, version)

    async def _page(self, key: str, more: dict[str, str]) -> Any:
        try:
            return await self._s3.list_object_versions(Bucket=self._bucket, Prefix=key, **more)
        except AWS_ERRORS as error:
            where = f"s3://{self._bucket}/{key}"
            raise failure(error, "ListObjectVersions", where) from error

    def _version(self, said: Any) -> Version:
        return Version(
            state=said["Key"].removeprefix(self._prefix).removesuffix(".json"),
            version=said["VersionId"],
            copied_at=said["LastModified"].astimezone(UTC).isoformat(timespec="seconds"),
            is_latest=said["IsLatest"],
        )


class OneVersion:
    """The port `Copies`: what one version holds."""

    def __init__(self, s3: VersionCalls, bucket: str, prefix: str, version: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._prefix = prefix
        self._version = version

    def __str__(self) -> str:
        return f"version {self._version} in s3://{self._bucket}/{self._prefix}"

    async def read(self, name: str) -> AsyncGenerator[bytes]:
        key = f"{self._prefix}{name}"
        try:
            answer = await self._s3.get_object(
                Bucket=self._bucket, Key=key, VersionId=self._version
            )
            async with answer["Body"] as body:
                yield await body.read()
        except AWS_ERRORS as error:
            code = getattr(error, "response", {}).get("Error", {}).get("Code")
            if code in _MISSING | _NO_VERSION:
                raise FileNotFoundError(f"s3://{self._bucket}/{key}") from error
            where = f"version {self._version} of s3://{self._bucket}/{key}"
            raise failure(error, "GetObjectVersion", where) from error
