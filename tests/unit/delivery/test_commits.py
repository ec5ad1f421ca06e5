"""What is committed, and what its versions are called."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

from tenantry_delivery.commits import Change, Source
from tenantry_delivery.errors import DeliveryError


class Repository:
    """A repository of which every commit has a time of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.time = 1_700_000_000
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *words: str) -> str:
        self.time += 60
        env = {
            "PATH": "/usr/bin:/bin:/usr/local/bin",
            "HOME": str(self.root),
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": "dev" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "dev@localhost" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_DATE": f"{self.time} +0000" for who in ("AUTHOR", "COMMITTER")},
        }
        done = subprocess.run(
            ["git", *words], cwd=self.root, env=env, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            path = self.root / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, "utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message=Change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    found = Repository(tmp_path)
    found.commit(producer__a="1", consumer__a="1")
    return found


def test_what_did_not_change_keeps_its_name(repository: Repository) -> None:
    """However much else is committed."""
    before = Source(repository.root).changed(["consumer"])
    changed = repository.commit(producer__a="2")

    source = Source(repository.root)

    assert before == source.changed(["consumer"])
    assert (
        changed
        == source.changed(["producer"]).commit
        == source.changed(["consumer", "producer"]).commit
    )
    assert 2 == source.changed(["producer"]).number


def test_a_merge_is_one_change_of_its_own_time(repository: Repository) -> None:
    """A branch that was begun early and merged late would be older than what it is newer than."""
    repository.git("switch", "--quiet", "--create", "work")
    for number in range(5):
        repository.commit(consumer__a=f"w{number}")
    repository.git("switch", "--quiet", "main")
    repository.commit(producer__a="2")
    repository.git("merge", "--quiet", "--no-ff", "--message=Merge", "work")
    merged = repository.git("rev-parse", "HEAD")

    source = Source(repository.root)
    found = source.changed(["consumer"])

    assert (merged, 3) == (found.commit, found.number)
    assert found.number > source.changed(["producer"]).number
    assert f"{found.time}" == repository.git("log", "-1", "--format=%ct", merged)


def test_a_later_change_is_the_greater_version() -> None:
    """By number, not by letters: the tenth comes after the ninth."""
    ninth, tenth = (Change("f" * 40, number, 0).version("1.2.3") for number in (9, 10))

    assert ("1.2.3-main.9.gffffffffffff", "1.2.3-main.10.gffffffffffff") == (ninth, tenth)
    # As semantic versioning orders what is dot-separated: numbers as numbers, below the release.
    assert Version("1.2.3.dev9") < Version("1.2.3.dev10") < Version("1.2.3")


def test_what_is_not_committed_is_not_in_it(repository: Repository) -> None:
    """It is counted, so that somebody can be told."""
    (repository.root / "producer/a").write_text("dirty", "utf-8")
    (repository.root / "new").write_text("dirty", "utf-8")
    source = Source(repository.root)

    assert 2 == source.uncommitted()
    assert (b"1", {"a": b"1"}) == (source.read("producer/a"), source.files("producer"))
    place = repository.root / "taken"
    place.mkdir()
    source.extract(["producer"], place)
    assert ["producer/a"] == [
        str(path.relative_to(place)) for path in sorted(place.rglob("*")) if path.is_file()
    ]


@pytest.mark.parametrize(
    ("config", "attributes"),
    [
        ("[core]\n autocrlf = true\n", ""),
        ("[core]\n eol = crlf\n", "* text\n"),
        ("", "* export-ignore\n"),
        ("[log]\n showSignature = true\n[color]\n ui = always\n", "* export-subst\n"),
    ],
)
def test_what_is_built_does_not_depend_on_who_builds(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, config: str, attributes: str
) -> None:
    """Settings and attributes of a user's Git are for the files that they work with."""
    repository.commit(consumer__lines="one\ntwo\n$Format:%H$\n", consumer__empty="")
    (repository.root / "consumer/program").write_bytes(b"\0\r\n")
    (repository.root / "consumer/program").chmod(0o755)
    (repository.root / "consumer/link").symlink_to("lines")
    repository.commit(consumer__last="x")
    before = Source(repository.root).changed(["consumer"])
    settings = repository.root / "settings"
    settings.write_text(config, "utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    (repository.root / ".git/info/attributes").write_text(attributes, "utf-8")

    source = Source(repository.root)
    place = repository.root / "taken"
    source.extract(["consumer"], place)

    assert {
        "a": b"1",
        "empty": b"",
        "last": b"x",
        "lines": b"one\ntwo\n$Format:%H$\n",
        "program": b"\0\r\n",
    } == source.files("consumer")
    assert b"one\ntwo\n$Format:%H$\n" == source.read("consumer/lines")
    assert before == source.changed(["consumer"])
    taken = place / "consumer"
    assert b"one\ntwo\n$Format:%H$\n" == (taken / "link").read_bytes()
    assert (taken / "link").is_symlink()
    modes = {path.name: path.stat().st_mode & 0o777 for path in taken.iterdir()}
    assert {"a": 0o644, "program": 0o755} == {name: modes[name] for name in ("a", "program")}


def test_what_replaces_a_commit_here_is_not_built(repository: Repository) -> None:
    """Elsewhere nobody has that."""
    first = repository.git("rev-parse", "HEAD")
    second = repository.commit(producer__a="2")
    repository.git("replace", first, second)

    assert b"1" == Source(repository.root, first).read("producer/a")


def test_a_commit_elsewhere_is_not_of_the_branch(repository: Repository) -> None:
    """What nobody merged is not released."""
    repository.git("switch", "--quiet", "--create", "work")
    elsewhere = repository.commit(producer__a="mine")

    assert not Source(repository.root, elsewhere).is_of("main")
    assert Source(repository.root, "main").is_of("main")
    assert Source(repository.root, "main").is_of("work")


def test_who_names_what_is_not_there_is_told(repository: Repository) -> None:
    """A commit, or a path."""
    with pytest.raises(DeliveryError, match="has no commit no-such"):
        Source(repository.root, "no-such")
    with pytest.raises(DeliveryError, match="chart is not in commit"):
        Source(repository.root).changed(["producer", "chart"])


def test_a_part_of_the_history_is_refused(repository: Repository, tmp_path: Path) -> None:
    """Its commits would be counted from where it was cut."""
    repository.commit(producer__a="2")
    repository.git("clone", "--quiet", "--depth=1", f"file://{repository.root}", "shallow")

    with pytest.raises(DeliveryError, match="git fetch --unshallow"):
        Source(repository.root / "shallow")
