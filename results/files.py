"""Files of results: read with a bound, written whole or not at all; errors name the file and what to do."""

from __future__ import annotations

import errno
import fcntl
import glob
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

MEBIBYTE = 2**20
MOST = 2048 * MEBIBYTE
"""Bytes of the largest file that is read: the samples of 100,000 images take less."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a full disk, a quota and a limit on the size of files."""


class StoreError(Exception):
    """A file or folder of results cannot be used; the message names it and says what to do."""


def read_file(path: Path, *, most: int = MOST) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: if there is none, or it cannot be read.
        StoreError: if it is a device, a pipe or a folder, or larger than ``most`` bytes.
    """
    with open(path, "rb", opener=_without_waiting) as stream:
        status = os.fstat(stream.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StoreError(f"{path}: is no regular file; give a file that a run wrote")
        if status.st_size > most:
            size = f"{status.st_size / MEBIBYTE:,.0f} MiB, at most {most / MEBIBYTE:,.0f} MiB are read"
            raise StoreError(f"{path}: is too large ({size}); give a file that a run wrote")
        return stream.read(most)


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer would wait for ever


def write_atomically(path: Path, content: bytes | memoryview) -> None:
    """Write a file that readers see with its old or its new content, never a part; makes its folder.

    Raises:
        StoreError: if it cannot be written.
    """
    with _errors(path), open_part(path) as (part, stream):
        write_all(stream, content)
        os.fsync(stream.fileno())
        part.replace(path)


def reserve(path: Path) -> None:
    """Check that a file can be written, before hours of work; its content stays and no new file is left.

    Raises:
        StoreError: if it cannot be written.
    """
    with _errors(path):
        if path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        with open_part(path):
            pass


def append_line(path: Path, line: bytes) -> None:
    """Append a line; makes the file and its folder.

    Raises:
        StoreError: if it cannot be written.
    """
    with _errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as stream:
            write_all(stream, line + b"\n")


def write_all(stream: IO[bytes], content: bytes | memoryview) -> None:
    """Write everything to an unbuffered stream, which has nothing left to fail with when it is closed."""
    left = memoryview(content)
    while left:
        left = left[stream.write(left) :]


def write_error(path: Path, error: OSError, option: str = "--out") -> StoreError:
    """Return the error to raise where a file cannot be written; ``option`` names another place."""
    remedy = "make room and run it again" if error.errno in FULL else f"choose another place with {option}"
    return StoreError(f"{path}: cannot write here ({error.strerror}); {remedy}")


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise write_error(path, error) from None


@contextmanager
def open_part(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Open a file beside ``path`` that may become it, and remove it afterwards if it is still there.

    A lock tells such files of living processes from those that killed ones left, which are removed.

    Raises:
        OSError: if it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        _remove_unlocked(stale)
    part, stream = _locked_part(path)
    with stream:
        try:
            yield part, stream
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)


def _locked_part(path: Path) -> tuple[Path, IO[bytes]]:
    while True:
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        stream = part.open("xb", buffering=0)
        with suppress(OSError):  # a file system without locks
            fcntl.flock(stream, fcntl.LOCK_EX)
        if os.fstat(stream.fileno()).st_nlink:
            return part, stream
        stream.close()  # another process took it for a left one before it was locked


def _remove_unlocked(part: Path) -> None:
    with suppress(OSError), open(part, "rb", opener=_without_waiting) as stream:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        part.unlink()
