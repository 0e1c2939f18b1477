"""The history of runs: one line per decoder and run, appended and never changed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from results.files import StoreError, read_file, write_error
from results.names import check_names, check_text

SCHEMA = "decoder-bench/history/1"


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One decoder of one run.

    Args:
        schema: name and version of this format.
        date: UTC time at which the run ended, ISO 8601.
        commit: git commit; null outside a repository.
        dirty: whether the tree was changed.
        decoder: strategy, with mode and batch where they are told apart (``mad.graphed``).
        preset: preset.
        data: content hash of the data.
        machine: fingerprint of the hardware.
        processor: its name.
        metrics: ``<task> <metric>`` to value.
        ratios: ``total/parallel``, ``decode/calibration``, ... to the ratio of times within the run.
        ms: mean milliseconds per image.
        checksum: of the predictions.
    """

    schema: str = SCHEMA
    date: str
    commit: str | None
    dirty: bool | None
    decoder: str
    preset: str
    data: str
    machine: str
    processor: str
    metrics: dict[str, float | None]
    ratios: dict[str, float]
    ms: float
    checksum: str

    def __post_init__(self) -> None:
        check_names([self.decoder, self.preset])
        check_text([self.date, self.commit, self.data, self.machine, self.processor, list(self.metrics)])

    @property
    def run(self) -> tuple[str, ...]:
        """Fields that identify the run, equal when it is judged again."""
        return (self.machine, self.decoder, self.preset, self.checksum, self.date)


def append(path: Path, entries: Sequence[HistoryEntry]) -> None:
    """Append lines for runs that are not in the file yet; safe for several processes at once.

    Raises:
        StoreError: if the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stored = {entry.run for entry in read(path)}
            lines = b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries if entry.run not in stored)
            if lines and stream.tell() and not _ends_whole(stream.fileno()):
                lines = b"\n" + lines  # after an incomplete line
            stream.write(lines)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise write_error(path, error, option="--history") from None


def _ends_whole(file: int) -> bool:
    return os.pread(file, 1, os.fstat(file).st_size - 1) == b"\n"


def read(path: Path) -> list[HistoryEntry]:
    """Return all entries in order, without incomplete lines and those of other versions.

    Raises:
        StoreError: if there is no such file.
    """
    try:
        lines = read_file(path).splitlines()
    except OSError as error:
        raise StoreError(f"{path}: no history ({error.strerror}); `python -m bench gate` appends to it") from None
    entries = []
    for line in lines:
        try:
            entry = msgspec.json.decode(line, type=HistoryEntry)
        except (msgspec.MsgspecError, RecursionError):
            continue
        if entry.schema == SCHEMA:
            entries.append(entry)
    return entries
