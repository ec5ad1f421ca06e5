from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

import tool
from support.waiting import wait_for

ROOT: Final = Path(__file__).resolve().parents[3]

GO_MOD: Final = """module some

go 1.25.0

tool (
\texample.com/cmd/one
\texample.com/cmd/two
)

require example.com v1.2.3 // indirect
"""

#: In Go's place: writes down what it was told, and a file where `-o` says.
GO: Final = """#!/bin/sh
echo "$*" >>"$CALLS"
case "$*" in
  *broken*) echo "does not compile" >&2; exit 1 ;;
  *endless*) exec sleep 60 ;;
  "mod download"*) cat "$SAID" ;;
esac
while [ $# -gt 0 ]; do
  [ "$1" != -o ] || echo made >"$2"
  shift
done
"""


@pytest.fixture
def locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of a tool called `some`, with a cache and a Go of their own."""
    folder = tmp_path / "tools"
    (folder / "some").mkdir(parents=True)
    (folder / "some" / "go.mod").write_text(GO_MOD)
    go = tmp_path / "bin" / "go"
    go.parent.mkdir()
    go.write_text(GO)
    go.chmod(0o755)
    monkeypatch.setattr(tool, "LOCKS", folder)
    monkeypatch.setenv("PATH", str(go.parent), prepend=os.pathsep)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.delenv("CI", raising=False)
    return folder


Calls = Callable[[], list[str]]


@pytest.fixture
def calls(locks: Path) -> Calls:
    """What Go was told so far."""
    path = Path(os.environ["CALLS"])
    return lambda: path.read_text().splitlines() if path.exists() else []


def test_a_tool_is_made_once(locks: Path, calls: Calls) -> None:
    """The second time its folder is known without Go."""
    folder = tool.make("some")

    assert {"one", "two", "lock"} == {path.name for path in folder.iterdir()}
    assert ["example.com/cmd/one", "example.com/cmd/two"] == [
        call.rpartition(" ")[2] for call in calls()
    ]
    assert folder == tool.make("some") == tool.built("some")
    assert 2 == len(calls())


def test_only_what_is_missing_is_made(locks: Path, calls: Calls) -> None:
    """A command that is asked for later joins those that are there."""
    folder = tool.make("some", "two")
    assert folder == tool.built("some", "two")
    assert tool.built("some") is None

    assert folder == tool.make("some")

    assert ["example.com/cmd/two", "example.com/cmd/one"] == [
        call.rpartition(" ")[2] for call in calls()
    ]


def test_another_lock_is_another_folder(locks: Path) -> None:
    """What was built from a lock that changed is not taken for what it says now."""
    before = tool.make("some")
    with (locks / "some" / "go.mod").open("a") as file:
        file.write("// changed\n")

    assert tool.built("some") is None
    assert tool.make("some") != before


def test_promtool_is_made_without_the_clouds(locks: Path, calls: Calls) -> None:
    """Whose clients are half of what it is built from, and no matter of rules."""
    (locks / "promtool").mkdir()
    text = "module promtool\n\ntool example.com/cmd/promtool\n"
    (locks / "promtool" / "go.mod").write_text(text)

    tool.make("promtool")
    tool.make("some")

    assert ["remove_all_sd" in call for call in calls()] == [True, False, False]


def test_gitea_is_made_with_its_database_and_knows_its_version(
    locks: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite is C, which nothing else is made with."""
    go = Path(os.environ["PATH"].partition(os.pathsep)[0]) / "go"
    go.write_text(GO.replace("$*", "C=$CGO_ENABLED $*", 1))
    (locks / "gitea").mkdir()
    text = "module gitea\n\ntool code.gitea.io/gitea\n\nrequire code.gitea.io/gitea v1.2.3\n"
    (locks / "gitea" / "go.mod").write_text(text.replace("require ", "require (\n\t") + ")\n")

    tool.make("gitea")
    tool.make("some")

    of_gitea, *others = calls()
    assert of_gitea.startswith("C=1 build ")
    assert "-tags sqlite sqlite_unlock_notify -ldflags -s -w -X main.Version=1.2.3 -o" in of_gitea
    assert ["C=0 build"] * 2 == [" ".join(call.split()[:2]) for call in others]
    assert not [call for call in others if "sqlite" in call or "main.Version" in call]


def test_a_build_that_fails_leaves_nothing(locks: Path, calls: Calls) -> None:
    """The next run tries again."""
    path = locks / "some" / "go.mod"
    path.write_text(GO_MOD.replace("cmd/two", "cmd/broken"))

    with pytest.raises(tool.CannotMakeError, match=r"^some: go build -mod=readonly failed$"):
        tool.make("some")

    assert tool.built("some", "one") is not None
    assert tool.built("some", "broken") is None
    assert 2 == len(calls())
    with pytest.raises(tool.CannotMakeError):
        tool.make("some")
    assert 3 == len(calls())


@pytest.mark.parametrize(("ci", "status"), [("", 3), ("true", 1)])
def test_without_go_it_says_so(
    locks: Path,
    ci: str,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One line, and a status of its own where a person reads it; CI fails."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("CI", ci)

    assert status == tool.main(["some", "one"])

    said = capsys.readouterr()
    assert "" == said.out
    assert "Go 1.26 or later on the PATH" in said.err


def test_without_go_what_is_made_is_found(locks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was filled is enough."""
    folder = tool.make("some")
    monkeypatch.setenv("PATH", "/nowhere")

    assert folder == tool.make("some")


def test_built_prints_a_folder_or_nothing(locks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It makes nothing, and that nothing is there is no failure."""
    assert 0 == tool.main(["--built", "some"])
    assert "" == capsys.readouterr().out

    assert 0 == tool.main(["some"])
    made = capsys.readouterr().out
    assert 0 == tool.main(["--built", "some"])
    assert made == capsys.readouterr().out == f"{tool.built('some')}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["other"], "there is no tool called other: there are some"),
        (["some", "three"], "some has no three: it has one, two"),
        ([], "tool.py [--built] NAME"),
        (["--all", "some"], "tool.py [--built] NAME"),
        (["--else", "some"], "tool.py [--built] NAME"),
    ],
)
def test_what_does_not_exist_is_refused(
    locks: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line says what there is."""
    assert 2 == tool.main(arguments)
    assert said in capsys.readouterr().err


def test_a_command_of_the_machine_will_do(
    locks: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the version does not matter, one on the PATH is linked, and nothing is built."""
    monkeypatch.setattr(tool, "_FROM_PATH", frozenset({"one"}))
    own = Path(os.environ["PATH"].partition(os.pathsep)[0]) / "one"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)

    folder = tool.make("some")

    assert own == (folder / "one").readlink()
    assert 1 == len(calls())


def test_two_runs_make_it_once(locks: Path, calls: Calls, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one waits for the first, and finds what that made."""
    folder = tool.make("some", "one")
    (folder / "one").unlink()
    said: list[str] = []
    monkeypatch.setattr(tool, "say", said.append)
    waiting = threading.Thread(target=tool.make, args=("some", "one"))
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        wait_for(lambda: said and said[0].endswith("waiting"))
        (folder / "one").write_text("made by the first")
    waiting.join(10)

    assert "made by the first" == (folder / "one").read_text()
    assert 1 == len(calls())


def test_a_run_that_is_ended_leaves_nothing(locks: Path, calls: Calls) -> None:
    """SIGTERM ends it and what it built so far is gone; the lock is free."""
    (locks / "some" / "go.mod").write_text(GO_MOD.replace("cmd/one", "cmd/endless"))
    code = "import sys, pathlib, tool; tool.LOCKS = pathlib.Path(sys.argv[1]); tool.main(['some'])"
    env = os.environ | {"PYTHONPATH": str(ROOT / "scripts")}
    with subprocess.Popen([sys.executable, "-c", code, str(locks)], env=env) as run:
        wait_for(calls)
        run.send_signal(signal.SIGTERM)
        run.wait(10)

    [folder] = (Path(os.environ["XDG_CACHE_HOME"]) / "tenantry").iterdir()
    assert {"lock"} == {path.name for path in folder.iterdir()}
    with (folder / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_what_a_killed_run_left_is_removed(locks: Path) -> None:
    """The next one that makes something in the same folder clears up."""
    folder = tool.make("some", "one")
    (folder / "making.x").mkdir()
    (folder / "making.x" / "two").write_text("half of it")

    tool.make("some")

    assert {"one", "two", "lock"} == {path.name for path in folder.iterdir()}


@pytest.fixture
def module(locks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module with two definitions, of which one is wanted."""
    folder = tmp_path / "module"
    (folder / "crds").mkdir(parents=True)
    (folder / "crds" / "widgets.yaml").write_text("kind: CustomResourceDefinition\n")
    (folder / "crds" / "gadgets.yaml").write_text("kind: CustomResourceDefinition\n")
    said = tmp_path / "said"
    said.write_text(f'{{"Dir": "{folder}", "Sum": "h1:right="}}')
    monkeypatch.setenv("SAID", str(said))
    (locks / "crds").mkdir()
    return folder


def lock_crds(locks: Path, line: str) -> None:
    (locks / "crds" / "modules.txt").write_text(f"# A comment.\n{line}\n")


def test_definitions_are_collected(locks: Path, calls: Calls, module: Path) -> None:
    """The files that the list names, of the module that it locks."""
    lock_crds(locks, "example.com/w@v1.0.0 h1:right= crds/w*.yaml")

    folder = tool.make("crds")

    assert ["widgets.yaml"] == [path.name for path in (folder / "crds").iterdir()]
    assert ["mod download -json example.com/w@v1.0.0"] == calls()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("example.com/w@v1.0.0 h1:wrong= crds/w*.yaml", "has the sum h1:right=, and h1:wrong= is"),
        ("example.com/w@v1.0.0 h1:right= crds/x*.yaml", r"has no crds/x\*\.yaml"),
    ],
)
def test_what_is_not_what_was_locked_is_not_collected(
    locks: Path, module: Path, line: str, why: str
) -> None:
    """Another sum, or a file that is not there, and nothing is made."""
    lock_crds(locks, line)

    with pytest.raises(tool.CannotMakeError, match=why):
        tool.make("crds")

    assert tool.built("crds") is None


def test_the_locks_of_the_repository_are_understood() -> None:
    """Every tool has commands, and the version that programs are stamped with is found."""
    for lock in tool.LOCKS.iterdir():
        assert tool._commands(lock.name, ())

    assert {"etcd", "kube-apiserver", "kube-controller-manager"} < {
        *tool._commands("kubernetes", ())
    }
    assert tool.version("kubernetes", "k8s.io/kubernetes").startswith("v1.35.")
    assert all(checksum.startswith("h1:") for checksum, _ in tool.modules().values())
