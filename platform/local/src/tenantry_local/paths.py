"""Where a laptop keeps what it writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tenantry_local.model import LaptopError

_LOCK: Final = "laptop.lock"
_SWEEP_TRIES: Final = 100
_SWEEP_SECONDS: Final = 0.01


def _repository() -> Path:
    # src/tenantry_local/paths.py, in platform/local of the repository.
    root = Path(__file__).resolve().parents[4]
    return root if (root / "platform" / "local").is_dir() else Path.cwd()


REPOSITORY: Final = _repository()
HOME: Final = REPOSITORY / ".tenantry"
RUN_DIR: Final = HOME / "run"


@contextmanager
def run_directory(wanted: Path | None) -> Generator[Path, None, None]:
    """A directory that is this laptop's alone, empty, and gone when the block ends.

    None wants `.tenantry/run`, or one beside it when a laptop runs there already. When the
    block fails, its logs are kept in `last-run` beside it.

    Raises:
        LaptopError: The one that was wanted is in use, or holds something else.
    """
    path = wanted or RUN_DIR
    lock = _lock(path)
    if wanted is None:
        if lock is None:
            path = RUN_DIR.with_name(f"{RUN_DIR.name}-{os.getpid()}")
            lock = _lock_from_sweepers(path)
        _sweep()
    if lock is None:
        msg = f"another laptop runs in {path}"
        raise LaptopError(msg, status=2)
    with lock:
        path = path.resolve()
        _empty(path)
        try:
            yield path
        except Exception:
            keep_logs(path)
            raise
        finally:
            _remove(path)


def keep_logs(path: Path) -> Path:
    """Copy the logs of a run to `last-run` beside it. Logs only: a key dies with its run."""
    kept = last_run(path)
    shutil.rmtree(kept, ignore_errors=True)
    # A full disk, say: what ended the run is what its reader has to know.
    with contextlib.suppress(OSError):
        kept.mkdir(parents=True, exist_ok=True)
        for log in path.glob("*.log"):
            shutil.copy2(log, kept)
    return kept


def run_directories() -> list[Path]:
    """Where laptops run that were not told where to: the first one first."""
    return [RUN_DIR, *sorted(HOME.glob(f"{RUN_DIR.name}-*"))]


def is_in_use(path: Path) -> bool:
    """Whether a laptop runs in a directory; a killed one leaves its files, but no lock."""
    try:
        with (path / _LOCK).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def last_run(path: Path) -> Path:
    """Where the logs of a failed run are."""
    return path.parent / "last-run"


def _lock(path: Path) -> IO[bytes] | None:
    """The lock of a directory, or None. It ends with its process, however that ends."""
    while True:
        path.mkdir(parents=True, exist_ok=True)
        # Another run that ends may remove the directory between any two of these lines.
        with contextlib.suppress(FileNotFoundError):
            if any(path.iterdir()) and not (path / _LOCK).exists() and any(path.iterdir()):
                msg = f"{path} holds files that are not a laptop's: they would be lost"
                raise LaptopError(msg, status=2)
            path.chmod(0o700)
            file = (path / _LOCK).open("ab")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
                return None
            if _is_still(path / _LOCK, file):
                return file
            file.close()


def _is_still(path: Path, file: IO[bytes]) -> bool:
    """Whether the path names the file that is open: a removed one locks nobody out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _lock_from_sweepers(path: Path) -> IO[bytes] | None:
    """The lock of a directory that no other laptop wants; one that sweeps may hold it briefly."""
    for _ in range(_SWEEP_TRIES):
        if (lock := _lock(path)) is not None:
            return lock
        time.sleep(_SWEEP_SECONDS)
    return None


def _sweep() -> None:
    """Remove the extra directories of laptops that were killed."""
    for path in HOME.glob(f"{RUN_DIR.name}-*"):
        lock = _lock(path)
        if lock is not None:
            with lock:
                _remove(path)


def _remove(path: Path) -> None:
    """Remove a directory whose lock is held; the lock last, which says whose the rest is."""
    with contextlib.suppress(OSError):
        _empty(path)
        (path / _LOCK).unlink()
        path.rmdir()


def _empty(path: Path) -> None:
    """Remove what a killed run left."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            with contextlib.suppress(FileNotFoundError):
                entry.unlink()
