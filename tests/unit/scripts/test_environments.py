from __future__ import annotations

import dataclasses
import fcntl
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import environments
from environments import CannotInstallError, Environment

ROOT = Path(__file__).resolve().parents[3]
LOCKED = "six==1.17.0 \\\n    --hash=sha256:00\ncolorama==0.4.6 ; sys_platform == 'win32' \\\n"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """One of a checkout of its own, not made yet."""
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    monkeypatch.setattr(environments, "STATE", tmp_path / ".tenantry")
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "Our.Own"\n')
    requirements = tmp_path / "dev.txt"
    requirements.write_text(LOCKED)
    made = Environment(
        name="dev",
        folder=tmp_path / ".venv",
        requirements=requirements,
        projects=(project,),
        megabytes=1,
        seconds=1,
    )
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"dev": made})
    return made


def stamp(environment: Environment) -> None:
    """Leave what a finished install leaves."""
    environment.python.parent.mkdir(parents=True)
    environment.python.symlink_to(sys.executable)
    environment.stamp.write_text("\n".join(environment.describe()))


def test_a_stamp_that_matches_is_enough(environment: Environment) -> None:
    """An environment made from the same files by the same Python is taken as it is."""
    stamp(environment)

    assert environments.main(["dev"]) == 0


@pytest.mark.parametrize("changed", ["dev.txt", "project/pyproject.toml"])
def test_a_changed_file_asks_for_an_update(environment: Environment, changed: str) -> None:
    """A change of what is installed shows in the second line of the stamp, not the first."""
    stamp(environment)

    with (environments.ROOT / changed).open("a") as file:
        file.write("# another\n")

    assert not environment.ready()
    assert environment.stamped()[0] == environment.describe()[0]


def test_a_cut_interpreter_is_not_ready(environment: Environment) -> None:
    """An environment whose Python was removed by an upgrade is made anew."""
    stamp(environment)

    environment.python.unlink()
    environment.python.symlink_to("/nonexistent/python3")

    assert environment.stamped() == []


def test_without_a_stamp_it_is_not_ready(environment: Environment) -> None:
    """An install that was interrupted left no stamp."""
    stamp(environment)

    environment.stamp.unlink()

    assert not environment.ready()


def test_windows_packages_are_not_counted(environment: Environment) -> None:
    """The number that a person reads is of packages that are installed here."""
    assert environments.pins(environment.requirements) == ["six"]


def test_leftovers_are_found(environment: Environment) -> None:
    """An update removes what is neither locked nor ours, and neither pip nor setuptools."""
    site = environment.folder / "lib/python3.11/site-packages"
    for name in ("six-1.17.0", "our_own-0.1", "pip-24.0", "setuptools-70.0", "Old_One-2.0"):
        (site / f"{name}.dist-info").mkdir(parents=True)

    assert environments.unlocked(environment) == ["old-one"]


def test_too_little_space_is_one_line(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is too full ends it before anything is fetched."""
    huge = dataclasses.replace(environment, megabytes=10**12)

    with pytest.raises(CannotInstallError, match=r"^\.venv needs 1000000000000 MB in .*has \d+$"):
        environments.require_space(huge)


def test_a_missing_module_is_one_line(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Debian's Python without its venv package is told which package to install."""
    monkeypatch.setitem(sys.modules, "ensurepip", None)

    assert environments.main(["dev"]) == 2

    (line,) = capsys.readouterr().err.splitlines()
    assert "no module `ensurepip`" in line
    assert "apt install python3." in line


def test_a_file_in_the_way_is_left_alone(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """Something else under the environment's name is not removed."""
    environment.folder.write_text("mine")

    assert environments.main(["dev"]) == 2
    assert environment.folder.read_text() == "mine"
    assert capsys.readouterr().err == ".venv is not a folder: move it away\n"


def test_an_unknown_name_is_refused(
    environment: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    """A name that is no environment's is answered with those that are."""
    assert environments.main(["prod"]) == 2
    assert capsys.readouterr().err == "no environment is called 'prod': there are dev\n"


def test_two_runs_take_turns(
    environment: Environment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A run that finds another installing says so, and gives up when that never ends."""
    monkeypatch.setattr(environments, "LOCK_SECONDS", 0.1)
    environments.STATE.mkdir()
    with (environments.STATE / "install.lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)

        assert environments.main(["dev"]) == 2

    first, second = capsys.readouterr().err.splitlines()
    assert first == "another run is installing into this checkout: waiting for it"
    assert "too long" in second


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("ERROR: [Errno 28] No space left on device", "no space left"),
        ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM", "hash differs"),
        ("NewConnectionError('… Connection refused')", "index cannot be reached"),
        ("error: command 'gcc' failed", "installing failed"),
    ],
)
def test_a_failure_says_why(environment: Environment, log: str, told: str) -> None:
    """What pip says at length is one line for a person, with the place of the rest."""
    environments.STATE.mkdir()
    environment.log.write_text(log)

    assert told in environments.why(environment)
    assert environments.why(environment).endswith("pip's log is .tenantry/install-dev.log")


def test_an_interruption_ends_what_it_started(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ctrl-C ends pip and what pip started, and leaves no stamp."""

    def interrupt(process: subprocess.Popen[bytes], *_: object) -> None:
        started.append(process)
        raise KeyboardInterrupt

    started: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(environments, "watch", interrupt)
    progress = environments.Progress(".venv", 1)
    with (tmp_path / "log").open("w") as log, pytest.raises(KeyboardInterrupt):
        environments.follow(environment, ["sleep", "60"], log, log.fileno(), progress)

    assert started[0].returncode == -signal.SIGTERM


def test_an_old_python_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate needs nothing that an old Python lacks, and names a newer one if there is one."""
    pretend = (
        "import sys, runpy; sys.version_info = (3, 8, 18, 'final', 0);"
        f"runpy.run_path({str(ROOT / 'scripts/bootstrap.py')!r}, run_name='__main__')"
    )

    command = [sys.executable, "-c", pretend]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "Python 3.11 or later is needed" in ended.stderr
