"""A hidden folder for a file or folder in the making, which no kill leaves behind for ever."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
HOUR = 3600  # seconds after which a part without a lock has no owner: it is from an older version


@contextmanager
def part_folder(target: Path) -> Iterator[Path]:
    """A new folder beside ``target`` to write in, locked and removed at the end; stale ones beside it are removed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_stale_parts(target.parent)
    part = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent))
    try:
        with (part / LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield part
    finally:
        shutil.rmtree(part, ignore_errors=True)


def remove_stale_parts(folder: Path) -> None:
    """Remove what killed processes left unfinished in a folder; parts that a process still writes stay."""
    for part in folder.glob(".*.part"):
        with suppress(OSError):
            if not _has_owner(part):
                shutil.rmtree(part, ignore_errors=True) if part.is_dir() else part.unlink(missing_ok=True)


def _has_owner(part: Path) -> bool:
    lock = part / LOCK
    if not lock.is_file():
        files = [part, *part.iterdir()] if part.is_dir() else [part]
        return time.time() - max(file.lstat().st_mtime for file in files) < HOUR
    with lock.open() as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False
