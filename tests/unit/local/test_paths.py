from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from tenantry_local import paths
from tenantry_local.model import LaptopError
from tenantry_local.paths import run_directory


def test_a_good_run_leaves_nothing(tmp_path: Path) -> None:
    """Keys, tokens and logs go with the run, and what a killed one left goes before it."""
    wanted = tmp_path / "run"
    with run_directory(wanted) as path:
        (path / "key").touch()
        (path / "engine").mkdir()
        assert path.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_keeps_its_logs_and_nothing_else(tmp_path: Path) -> None:
    """A key never outlives its run."""

    def fail() -> None:
        with run_directory(tmp_path / "run") as path:
            (path / "a.log").write_text("why")
            (path / "key.pem").touch()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [entry.name for entry in tmp_path.rglob("*")] == ["last-run", "a.log"]


def test_what_a_killed_run_left_is_removed(tmp_path: Path) -> None:
    """A directory with a laptop's lock that nobody holds is taken over, empty."""
    wanted = tmp_path / "run"
    (wanted / "engine").mkdir(parents=True)
    (wanted / "engine" / "pid").touch()
    (wanted / "laptop.lock").touch()
    (wanted / "token-acme").touch()
    with run_directory(wanted) as path:
        assert [entry.name for entry in path.iterdir()] == ["laptop.lock"]


def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    """One laptop a directory, when the directory was named."""
    with run_directory(tmp_path / "run") as path:
        (path / "token-acme").touch()
        with (
            pytest.raises(LaptopError, match="another laptop runs in") as caught,
            run_directory(tmp_path / "run"),
        ):
            pass
        assert caught.value.status == 2
        assert (path / "token-acme").exists()


def test_a_directory_with_other_files_is_refused(tmp_path: Path) -> None:
    """Nobody's files are removed because a directory was mistyped."""
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(LaptopError, match="not a laptop's"),
        run_directory(tmp_path),
    ):
        pass
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_second_laptop_takes_a_directory_beside_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a name each gets its own, and the next run removes those that were left."""
    monkeypatch.setattr(paths, "HOME", tmp_path)
    monkeypatch.setattr(paths, "RUN_DIR", tmp_path / "run")
    (tmp_path / "run-1").mkdir()
    (tmp_path / "run-1" / "laptop.lock").touch()
    with run_directory(None) as first, run_directory(None) as second:
        assert first == tmp_path / "run"
        assert second.name.startswith("run-")
        assert paths.run_directories() == [first, second]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_its_owner_removed_locks_nobody_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that ends just then takes its directory along, and this one makes it anew."""
    wanted = tmp_path / "run"
    lock = fcntl.flock
    removed: list[Path] = []

    def remove_first(fd: int, operation: int) -> None:
        if not removed:
            removed.append(wanted)
            shutil.rmtree(wanted)
        lock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", remove_first)
    with run_directory(wanted) as path:
        assert removed == [path]
        assert [entry.name for entry in path.iterdir()] == ["laptop.lock"]
        assert paths.is_in_use(path)


def test_what_a_killed_run_left_is_not_in_use(tmp_path: Path) -> None:
    """Its files are there, and nobody holds their lock."""
    assert not paths.is_in_use(tmp_path)
    (tmp_path / "laptop.lock").touch()
    assert not paths.is_in_use(tmp_path)
