"""Where a laptop keeps what it writes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from tenantry_local.model import LaptopError

_LOCK: Final = "laptop.lock"


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
            lock = _lock(path)
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
            shutil.rmtree(path, ignore_errors=True)


def keep_logs(path: Path) -> Path:
    """Copy the logs of a run to `last-run` beside it. Logs only: a key dies with its run."""
    kept = last_run(path)
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for log in path.glob("*.log"):
        shutil.copy2(log, kept)
    return kept


def run_directories() -> list[Path]:
    """Where laptops run that were not told where to: the first one first."""
    return [RUN_DIR, *sorted(HOME.glob(f"{RUN_DIR.name}-*"))]


def last_run(path: Path) -> Path:
    """Where the logs of a failed run are."""
    return path.parent / "last-run"


def _lock(path: Path) -> IO[bytes] | None:
    """The lock of a directory, or None. It ends with its process, however that ends."""
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()) and not (path / _LOCK).exists():
        msg = f"{path} holds files that are not a laptop's: they would be lost"
        raise LaptopError(msg, status=2)
    path.chmod(0o700)
    file = (path / _LOCK).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _sweep() -> None:
    """Remove the extra directories of laptops that were killed."""
    for path in HOME.glob(f"{RUN_DIR.name}-*"):
        lock = _lock(path)
        if lock is not None:
            with lock:
                shutil.rmtree(path, ignore_errors=True)


def _empty(path: Path) -> None:
    """Remove what a killed run left."""
    for entry in path.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != _LOCK:
            with contextlib.suppress(FileNotFoundError):
                entry.unlink()
