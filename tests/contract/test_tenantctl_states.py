"""Copies of Terraform states in a bucket of moto's that keeps versions; and by the commands."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from contract.engines import CREDENTIALS, REGION, _session
from fakes.states import FakeStateSecrets, a_state
from tenantctl import cli
from tenantctl.app import App
from tenantctl.contexts import Context
from tenantctl.errors import NotFoundError, UnavailableError
from tenantctl.places import Bucket
from tenantctl.states import copy, restore, versions
from tenantctl.states_versions import BucketVersions

ACME: Final = "tfstate-default-acme-state"
TWO: Final = "tfstate-default-acme-two-state"
PREFIX: Final = "states"


@pytest.fixture
async def s3(moto_url: str) -> AsyncGenerator[Any]:
    """A client of S3 on moto."""
    options: dict[str, Any] = {"region_name": REGION, "endpoint_url": moto_url, **CREDENTIALS}
    async with _session().create_client("s3", **options) as client:
        yield client


@pytest.fixture
async def bucket(s3: Any) -> str:
    """As Terraform makes it: with versions."""
    name = f"states-{uuid.uuid4()}"
    await s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    await s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


class OneAPage:
    """S3 as it is with a thousand copies: a page ends before the list does."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self.pages = 0

    async def list_object_versions(self, **request: Any) -> Any:
        self.pages += 1
        return await self._s3.list_object_versions(**request, MaxKeys=1)

    async def get_object(self, **request: Any) -> Any:
        return await self._s3.get_object(**request)


async def filled(s3: Any, bucket: str) -> FakeStateSecrets:
    """Two tenants, of which one was copied three times."""
    place = Bucket(s3, bucket, PREFIX)
    secrets = FakeStateSecrets(a_state(ACME), a_state(TWO))
    for serial in (1, 2, 3):
        secrets.held[ACME] = a_state(ACME, serial)
        assert ACME in (await copy(secrets, place)).written
    return secrets


async def test_what_did_not_change_makes_no_version(s3: Any, bucket: str) -> None:
    """An hour without a change costs a read, and the list says what changed when."""
    secrets = await filled(s3, bucket)
    kept = BucketVersions(s3, bucket, PREFIX)
    before = await versions(kept, "acme")

    done = await copy(secrets, Bucket(s3, bucket, PREFIX))

    assert ((), 2) == (done.written, done.same)
    assert before == await versions(kept, "acme")
    assert [True, False, False] == [each.is_latest for each in before]
    assert {ACME} == {each.state for each in before}
    assert all(re.fullmatch(r"\d{4}-.*T.*\+00:00", each.copied_at) for each in before)
    assert [ACME, TWO] == [each.state for each in await versions(kept, None)]


async def test_an_older_version_is_put_back(s3: Any, bucket: str) -> None:
    """By the name that the list gives it."""
    secrets = await filled(s3, bucket)
    kept = BucketVersions(s3, bucket, PREFIX)
    *_, first = await versions(kept, "acme")
    del secrets.held[ACME]

    done = await restore(secrets, kept.at(first.version), "acme")

    assert (1, a_state(ACME, 1)) == (done.serial, secrets.held[ACME])


async def test_a_list_of_many_pages_is_whole(s3: Any, bucket: str) -> None:
    """Each version once."""
    await filled(s3, bucket)
    slow = OneAPage(s3)

    found = await versions(BucketVersions(slow, bucket, PREFIX), "acme")

    assert found == await versions(BucketVersions(s3, bucket, PREFIX), "acme")
    assert slow.pages >= 3


async def test_a_version_that_is_not_there_is_named(s3: Any, bucket: str) -> None:
    """One of nobody, one of another tenant, and one that cannot be a name."""
    secrets = await filled(s3, bucket)
    kept = BucketVersions(s3, bucket, PREFIX)
    [other] = await versions(kept, "acme-two")
    del secrets.held[ACME]
    for version in (str(uuid.uuid4()), other.version):
        with pytest.raises(NotFoundError, match=f"version {version} .*no copy of {ACME}"):
            await restore(secrets, kept.at(version), "acme")

    with pytest.raises(UnavailableError, match="nobody-here"):
        await versions(BucketVersions(s3, "nobody-here", PREFIX), "acme")


# --- the commands -----------------------------------------------------------------------------


@pytest.fixture
def call(moto_url: str, bucket: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Calls tenantctl; its cluster is a fake, its bucket moto's."""
    context = Context.model_validate(
        {
            "environment": "dev",
            "fleet": {"url": "file:///fleet"},
            "cluster": {"kind": "kubernetes"},
            "aws": {"region": REGION, "endpoint_url": moto_url},
            "states": f"s3://{bucket}/{PREFIX}",
        }
    )
    secrets = FakeStateSecrets(a_state(ACME), a_state(TWO))

    @asynccontextmanager
    async def opened(name: str, found: Context, _: Any) -> AsyncGenerator[App]:
        nobody: Any = None
        async with AsyncExitStack() as stack:
            yield App(name, found, nobody, nobody, nobody, stack)

    async def states(self: App, wanted: str | None = None) -> Any:
        return secrets, await self._place(wanted or f"s3://{bucket}/{PREFIX}")

    for key, value in CREDENTIALS.items():
        monkeypatch.setenv(key.upper(), value)
    monkeypatch.setattr(cli.common, "load", lambda _: ("test", context))
    monkeypatch.setattr(cli.common, "opened", opened)
    monkeypatch.setattr(App, "states", states)
    runner = CliRunner()

    def invoke(line: str) -> Result:
        return runner.invoke(cli.app, line.split())

    invoke.secrets = secrets  # type: ignore[attr-defined]
    return invoke


def said(result: Result) -> str:
    """What a person reads, in one line of words."""
    return re.sub(r"\s+", " ", result.stdout + result.stderr)


def test_states_are_copied_listed_and_put_back_by_commands(call: Any) -> None:
    """Each says what it did; the last one, what is next."""
    held = call.secrets.held
    assert "2 copied to s3://" in said(call("states copy"))
    held[ACME] = a_state(ACME, 2)
    assert "1 copied to" in said(call("states copy"))
    found = json.loads(call("states list acme --output json").stdout)
    assert [True, False] == [each["is_latest"] for each in found]
    assert found[1]["version"] in said(call("states list acme"))
    assert "acme-two" in said(call("states list"))

    for arguments, status, words in (
        (f"--version {found[1]['version']}", 3, "--replace"),
        (f"--version {found[1]['version']} --replace", 3, "--older"),
        (f"--version {found[1]['version']} --replace --older", 0, "state of serial 1 is back"),
        ("", 3, "with serial 1; the copy has 2"),
        ("--replace", 0, "flux resume helmrelease acme -n tenants"),
        ("", 0, "the cluster has this state already, serial 2"),
        ("--version nobodys", 4, "no copy of"),
    ):
        result = call(f"states restore acme {arguments}")
        assert (status, words in said(result)) == (result.exit_code, True), said(result)


def test_a_state_that_was_not_copied_is_named_and_fails_the_job(call: Any) -> None:
    """The others are copied; what is in them is never printed."""
    call("states copy")
    broken = a_state(ACME, 9, resources=("p4ss-word",))
    call.secrets.held[ACME] = broken.__class__(
        **{**{key: getattr(broken, key) for key in broken.__slots__}, "data": {"tfstate": "AA"}}
    )
    call.secrets.held[TWO] = a_state(TWO, 2, lineage="two")

    result = call("states copy")

    assert result.exit_code == 6
    assert f"{ACME}: {ACME} holds no state of Terraform's" in said(result)
    assert f"{TWO}: another state than its copy was" in said(result)
    assert "1 states have no copy of now" in said(result)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("list acme --from here", "no bucket, which alone keeps versions"),
        ("list ../acme", "'../acme'"),
        ("restore pool-x/..", "a pool's name is"),
        ("restore acme --from s3://", "it names no bucket"),
    ],
)
def test_what_names_nothing_is_refused(call: Any, line: str, words: str) -> None:
    """With the status of bad input."""
    result = call(f"states {line}")
    assert (2, words in said(result)) == (result.exit_code, True), said(result)
