from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from support.fleets import MakeFleet, a_pool, a_tenant, as_files, writing
from support.git_server import Fault, GitServer, Origin
from tenantctl.errors import GitError, InvalidError
from tenantctl.files import render, tenant_path
from tenantctl.fleet import Fleet, Snapshot, message
from tenantctl.remote import Remote

ACME = tenant_path("dev", "acme")
MESSAGE = message("Onboard acme", verb="onboard", tenant="acme", request_id="r-1")


async def test_a_change_is_one_commit_that_touches_one_file(
    origin: Origin, fleet: MakeFleet
) -> None:
    """What an edit says is on main, in a commit with its author, subject and trailers."""
    change = await fleet().change(writing(a_tenant()), MESSAGE)
    assert change is not None
    assert change.commit == origin.head
    assert origin.commits()[0] == ("Onboard acme", [ACME])
    assert origin.read(ACME) == render(a_tenant()).decode().rstrip("\n")
    assert "+    name: basic-r2" in change.diff
    trailers = origin.git("log", "-1", "--format=%an <%ae>%n%(trailers:only)", "main")
    assert trailers.split("\n") == [
        "tenantctl <tenantctl@localhost>",
        "Tenant: acme",
        "Verb: onboard",
        "Request-Id: r-1",
    ]


async def test_a_change_that_is_there_already_makes_no_commit(
    origin: Origin, fleet: MakeFleet
) -> None:
    """The same change again says that there was nothing to do."""
    await fleet().change(writing(a_tenant()), MESSAGE)
    head = origin.head
    assert await fleet().change(writing(a_tenant()), MESSAGE) is None
    assert origin.head == head


async def test_a_dry_run_shows_the_diff_and_changes_nothing(
    origin: Origin, fleet: MakeFleet
) -> None:
    """The diff of a dry run is that of the change after it."""
    head = origin.head
    dry = await fleet().change(writing(a_tenant()), MESSAGE, dry_run=True)
    assert dry is not None
    assert (dry.commit, origin.head) == ("", head)
    wet = await fleet().change(writing(a_tenant()), MESSAGE)
    assert wet is not None
    assert wet.diff == dry.diff
    assert f"+++ b/{ACME}" in dry.diff


async def test_a_file_is_removed_and_the_others_stay(origin: Origin, fleet: MakeFleet) -> None:
    """None removes exactly the file that it is said of."""
    await fleet().change(writing(a_tenant()), MESSAGE)
    before = origin.files()
    await fleet().change(lambda _: {ACME: None}, "Offboard acme")
    assert set(before) - set(origin.files()) == {ACME}


async def test_validation_sees_what_would_come_out_and_can_refuse(
    origin: Origin, fleet: MakeFleet
) -> None:
    """What `validate` raises ends the change, and main stays as it was."""
    head = origin.head
    seen: list[Snapshot] = []

    def refuse(after: Snapshot) -> None:
        seen.append(after)
        raise InvalidError("no")

    with pytest.raises(InvalidError, match="no"):
        await fleet().change(writing(a_tenant()), MESSAGE, validate=refuse)
    assert origin.head == head
    assert seen[0].read(ACME) == render(a_tenant())
    assert seen[0].changed == {ACME}
    assert seen[0].before is not None
    assert seen[0].before.read(ACME) is None


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("tenants/dev/../prod/a.yaml", "no path"),
        ("/etc/passwd", "no path"),
        ("tenants/dev//a.yaml", "no path"),
        ("tenants/dev/./a.yaml", "no path"),
        ("tenants/dev/a\n.yaml", "no path"),
        ("tenants/dev/.git/config", "no path"),
        ("tenants\\dev\\a.yaml", "no path"),
        ("tenants/dev/" + "a" * 400, "no path"),
        ("", "no path"),
        ("tenants/production/a/acme.yaml", "may not be changed"),
        ("tenants/developer/a.yaml", "may not be changed"),
        ("tenants/dev", "may not be changed"),
        ("clusters/dev/facts.yaml", "may not be changed"),
        ("tenants/dev/link/a.yaml", "link is a symbolic link"),
        ("tenants/dev/link", "is a symbolic link"),
        ("tenants/dev/pools/pool-1.yaml/a.yaml", "pool-1.yaml is a file"),
        ("tenants/dev/pools", "is a folder"),
    ],
)
async def test_an_edit_touches_only_what_it_may(
    path: str, text: str, origin: Origin, fleet: MakeFleet
) -> None:
    """Another folder, a trick, or a way through a link: refused, and main stays as it was."""
    head = origin.commit({"tenants/dev/link": b"../../README.md"}, "Link", mode="120000")
    edits: list[dict[str, bytes | None]] = [{path: b"x"}, {path: None}]
    one = fleet()
    for edit in edits:
        with pytest.raises(InvalidError, match=text):
            await one.change(lambda _, edit=edit: edit, MESSAGE)  # type: ignore[misc] # of a default
    assert origin.head == head


async def test_a_snapshot_stays_what_it_was(origin: Origin, fleet: MakeFleet) -> None:
    """It is in memory, and of one commit; links are no files."""
    origin.commit({"tenants/dev/link": b"../../README.md"}, "Link", mode="120000")
    snapshot = await fleet().snapshot()
    head = origin.head
    origin.commit({"README.md": b"Other.\n"}, "Change")
    assert snapshot.commit == head
    assert snapshot.read("README.md") == b"A fleet.\n"
    assert snapshot.read("nowhere") is None
    assert snapshot.paths("tenants/dev") == ("tenants/dev/link", "tenants/dev/pools/pool-1.yaml")
    assert snapshot.paths("tenants/de") == ()
    with pytest.raises(InvalidError, match="symbolic link"):
        snapshot.read("tenants/dev/link")


async def test_who_was_faster_keeps_what_they_did(origin: Origin, fleet: MakeFleet) -> None:
    """An edit that was overtaken is made and validated again on what main holds then."""
    bases: list[str] = []
    validated: list[str] = []

    def edit(snapshot: Snapshot) -> dict[str, bytes | None]:
        bases.append(snapshot.commit)
        if len(bases) <= 2:
            other = a_tenant(f"other-{len(bases)}")
            origin.commit(dict(as_files(other)), "Somebody else")
        return dict(as_files(a_tenant()))

    change = await fleet().change(
        edit, MESSAGE, validate=lambda after: validated.append(after.commit)
    )
    assert change is not None
    assert len(bases) == 3
    assert validated == bases
    assert [subject for subject, _ in origin.commits()] == [
        "Onboard acme",
        "Somebody else",
        "Somebody else",
        "Begin",
    ]
    for name in ("acme", "other-1", "other-2"):
        assert tenant_path("dev", name) in origin.files()


async def test_a_change_that_is_always_overtaken_ends(origin: Origin, fleet: MakeFleet) -> None:
    """Bounded by its deadline, and it says that nothing was changed."""
    count = 0

    def edit(snapshot: Snapshot) -> dict[str, bytes | None]:
        nonlocal count
        count += 1
        origin.commit({"README.md": str(count).encode()}, "Somebody else")
        return dict(as_files(a_tenant()))

    with pytest.raises(GitError, match=r"others changed main \d+ times within 1 s"):
        await fleet(change_seconds=1).change(edit, MESSAGE)
    assert count > 1
    assert ACME not in origin.files()


async def test_a_rewritten_history_is_noticed_and_can_be_accepted(
    origin: Origin, fleet: MakeFleet, tmp_path: Path
) -> None:
    """Lost commits stop everything, by name, until somebody accepts what main holds now."""
    begin = origin.head
    await fleet().change(writing(a_tenant()), MESSAGE)
    lost = origin.head
    now = origin.commit({"README.md": b"Rewritten.\n"}, "Rewrite", parent=begin)
    for attempt in (fleet().snapshot(), fleet().change(writing(a_tenant("beta")), MESSAGE)):
        with pytest.raises(GitError, match="rewritten") as caught:
            await attempt
        assert lost in str(caught.value)
        assert f"accept-rewrite {now}" in str(caught.value)
    with pytest.raises(GitError, match="rewritten"):
        await fleet().accept_rewrite(begin)
    assert (await fleet().accept_rewrite(now)).commit == now
    assert await fleet().change(writing(a_tenant("beta")), MESSAGE) is not None
    (clone,) = (tmp_path / "cache").glob("*/clone.git")
    assert Origin.git(_at(clone), "rev-parse", f"refs/tenantry/lost/{lost}") == lost


async def test_a_history_that_was_cut_back_is_noticed(origin: Origin, fleet: MakeFleet) -> None:
    """A branch that was put back to an older commit has lost the newer ones."""
    begin = origin.head
    await fleet().change(writing(a_tenant()), MESSAGE)
    origin.git("update-ref", "refs/heads/main", begin)
    with pytest.raises(GitError, match=f"ends at {begin}"):
        await fleet().snapshot()


async def test_the_log_names_who_touched_a_file(origin: Origin, fleet: MakeFleet) -> None:
    """The newest commit first, of that file alone."""
    one = fleet()
    await one.change(writing(a_tenant()), MESSAGE)
    await one.change(writing(a_tenant().but(is_suspended=True)), "Suspend acme")
    await one.change(writing(a_tenant("beta")), "Onboard beta")
    await one.snapshot()
    log = await one.log(ACME)
    assert [entry.subject for entry in log] == ["Suspend acme", "Onboard acme"]
    assert log[0].commit == origin.git("rev-parse", "main~1")
    assert abs(log[0].time.timestamp() - time.time()) < 60
    assert await one.log("nowhere") == ()


@pytest.mark.parametrize("damage", ["objects", "head", "config", "everything", "locks", "seen"])
async def test_a_damaged_clone_is_made_anew(
    damage: str, origin: Origin, fleet: MakeFleet, tmp_path: Path
) -> None:
    """Whatever happened to the cache folder, the fleet is read and changed."""
    await fleet().change(writing(a_tenant()), MESSAGE)
    (folder,) = (tmp_path / "cache").glob("*")
    clone = folder / "clone.git"
    if damage == "objects":
        for path in (path for path in (clone / "objects").rglob("*") if path.is_file()):
            path.chmod(0o644)
            path.write_bytes(b"")
    elif damage == "head":
        (clone / "HEAD").unlink()
    elif damage == "config":
        (clone / "config").write_text("[core\n")
    elif damage == "everything":
        for path in (path for path in clone.rglob("*") if path.is_file()):
            path.unlink()
    elif damage == "locks":
        for name in ("refs/tenantry/head.lock", "HEAD.lock", "packed-refs.lock", "config.lock"):
            (clone / name).write_text("")
    else:
        (folder / "seen").write_bytes(b"\xff\0")
    assert (await fleet().snapshot()).commit == origin.head
    assert await fleet().change(writing(a_tenant("beta")), MESSAGE) is not None


async def test_several_share_a_clone(origin: Origin, fleet: MakeFleet, tmp_path: Path) -> None:
    """Eight at once, from the first day on: one clone, every change on main."""
    names = [f"tenant-{number}" for number in range(8)]
    await asyncio.gather(
        *(fleet().change(writing(a_tenant(name)), f"Onboard {name}") for name in names)
    )
    assert {tenant_path("dev", name) for name in names} <= set(origin.files())
    assert len(list((tmp_path / "cache").glob("*/clone.git"))) == 1


async def test_a_change_that_is_cancelled_leaves_the_clone_free(
    origin: Origin, fleet: MakeFleet
) -> None:
    """Interrupted in a push, it ends its commands; the same change goes on afterwards."""
    origin.hook("exec sleep 30")
    changing = asyncio.create_task(fleet().change(writing(a_tenant()), MESSAGE))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(changing, 2)
    origin.hook("exit 0")
    await fleet(change_seconds=5).change(writing(a_tenant()), MESSAGE)
    assert ACME in origin.files()


async def test_a_push_whose_answer_was_lost_is_looked_for(
    tmp_path: Path, origin: Origin, fleet: MakeFleet
) -> None:
    """The server dies after taking the pack: the commit is found on main, and made once."""
    with GitServer(tmp_path / "srv").running() as server:
        server.fail("push", "lose")
        change = await fleet(f"{server.url}/fleet.git").change(writing(a_tenant()), MESSAGE)
    assert server.felt == {"lose": 1}
    assert change is not None
    assert change.commit == origin.head
    assert [subject for subject, _ in origin.commits()] == ["Onboard acme", "Begin"]


@pytest.mark.parametrize("fault", ["drop", "reset", "unavailable"])
async def test_a_push_that_broke_is_made_again(
    fault: Fault, tmp_path: Path, origin: Origin, fleet: MakeFleet
) -> None:
    """Dropped, cut off or answered 503: main holds the change once in the end."""
    with GitServer(tmp_path / "srv").running() as server:
        server.fail("push", fault, times=2)
        await fleet(f"{server.url}/fleet.git").change(writing(a_tenant()), MESSAGE)
    assert server.felt[fault] >= 1
    assert [subject for subject, _ in origin.commits()] == ["Onboard acme", "Begin"]


async def test_a_lost_answer_and_a_server_that_stays_away_says_what_is_not_known(
    tmp_path: Path, origin: Origin, fleet: MakeFleet
) -> None:
    """Nobody can tell whether main holds the commit: the error says so, and names it."""
    with GitServer(tmp_path / "srv").running() as server:
        server.fail("push", "lose")
        server.before = lambda step: (
            server.fail("refs", "unavailable", times=99) if step == "push" else None
        )
        with pytest.raises(GitError, match="is not known") as caught:
            await fleet(f"{server.url}/fleet.git", change_seconds=2).change(
                writing(a_tenant()), MESSAGE
            )
    assert server.felt["lose"] == 1
    assert origin.head in str(caught.value)


async def test_a_thousand_tenants_are_read_well_within_a_second(
    origin: Origin, fleet: MakeFleet
) -> None:
    """One listing and one batch of contents, however many files there are."""
    tenants = [a_tenant(f"tenant-{number}") for number in range(1_000)]
    origin.commit(dict(as_files(*tenants)), "A thousand")
    await fleet().snapshot()
    cold = fleet()
    began = time.monotonic()
    snapshot = await cold.snapshot()
    assert time.monotonic() - began < 1
    assert len(snapshot.paths("tenants/dev")) == 1_001


@pytest.mark.parametrize(
    ("subject", "tenant"),
    [("", "acme"), ("a\nb", "acme"), ("a" * 73, "acme"), ("a", "x\nVerb: y"), ("a", "")],
)
def test_a_message_is_lines_of_one_line(subject: str, tenant: str) -> None:
    """Nothing from outside adds a trailer or a paragraph."""
    with pytest.raises(InvalidError, match="one line"):
        message(subject, verb="onboard", tenant=tenant)


def test_the_cache_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a folder given, clones are in the user's cache, one for each address and branch."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folders = {
        Fleet(Remote("/srv/a", branch=branch), may_change=())._clone.git.folder
        for branch in ("main", "next")
    }
    assert len(folders) == 2
    for folder in folders:
        assert folder.is_relative_to(tmp_path / "tenantry" / "fleets")


def _at(folder: Path) -> Origin:
    origin = Origin.__new__(Origin)
    origin.folder = folder
    return origin


def test_a_pool_is_no_tenant() -> None:
    """The helpers of these tests put a pool where pools are."""
    assert set(as_files(a_pool())) == {"tenants/dev/pools/pool-1.yaml"}
