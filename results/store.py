"""The folder of one run: samples are appended as they come, the record is written at the end, a killed run resumes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from results.record import READABLE, SCHEMA, Record, Sample

RECORD = "record.json"
SAMPLES = "samples.jsonl"
PARTIAL = "samples.partial.jsonl"


class StoreError(Exception):
    """The run folder cannot be used; the message names it and says what to do."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a partial file: what must be equal for a run to be continued.

    Args:
        schema: record format.
        signature: everything that decides the predictions (decoder, options, data hash, seed).
        started: UTC time of the first sitting, ISO 8601.
    """

    schema: str
    signature: dict[str, Any]
    started: str


class RunFolder:
    """An open run. Each finished image is one flushed line, so ``kill -9`` loses at most the image in work.

    Attributes:
        samples: lines of earlier sittings, by image id.
        sitting: number of this process among those that worked on the run.
        started: time of the first sitting.
    """

    def __init__(self, path: Path, stream: IO[bytes], header: Header, samples: dict[int, Sample]) -> None:
        self.path = path
        self.samples = samples
        self.started = header.started
        self.sitting = 1 + max((s.sitting for s in samples.values()), default=0)
        self._stream = stream

    def append(self, sample: Sample) -> None:
        """Keep one image's outcome."""
        self.samples[sample.image_id] = sample
        try:
            self._stream.write(msgspec.json.encode(sample) + b"\n")
            self._stream.flush()
        except OSError as error:
            raise StoreError(f"{self.path}: cannot write ({error.strerror}); make room and run it again") from None

    def finish(self, record: Record, order: Sequence[int]) -> Path:
        """Write ``samples.jsonl`` (a line an image, in ``order`` of ids) and then the record; each appears whole.

        A kill between the two leaves the partial file, from which the next run writes both again.
        """
        lines = b"".join(msgspec.json.encode(self.samples[image_id]) + b"\n" for image_id in order)
        write_atomically(self.path / SAMPLES, lines)
        write_atomically(self.path / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        (self.path / PARTIAL).unlink()
        return self.path / RECORD


@contextmanager
def open_run(path: Path, *, signature: dict[str, Any], started: str, fresh: bool = False) -> Iterator[RunFolder]:
    """Open ``path`` for a run, continuing an unfinished one with the same signature.

    Args:
        path: folder of the run; made if absent.
        signature: what decides the predictions, as plain JSON data.
        started: UTC time, kept if this is the first sitting.
        fresh: discard an unfinished run.

    Raises:
        StoreError: if the folder cannot be written, another process works in it, or it holds an unfinished run with
            other settings.
    """
    partial = path / PARTIAL
    try:
        path.mkdir(parents=True, exist_ok=True)
        stream = partial.open("ab+")
    except OSError as error:
        raise StoreError(f"{path}: cannot write here ({error.strerror}); choose another folder with --out") from None
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError(f"{path}: another process is running here; wait for it or choose another --out") from None
        if fresh:
            stream.truncate(0)
        header, samples = _resume(stream, path, signature)
        if header is None:
            header = Header(schema=SCHEMA, signature=signature, started=started)
            stream.truncate(0)
            stream.write(msgspec.json.encode(header) + b"\n")
            stream.flush()
        folder = RunFolder(path, stream, header, samples)
        try:
            yield folder
        finally:
            if not folder.samples:  # nothing to continue from, so nothing is left behind
                partial.unlink(missing_ok=True)
                with suppress(OSError):
                    path.rmdir()


def _resume(stream: IO[bytes], path: Path, signature: dict[str, Any]) -> tuple[Header | None, dict[int, Sample]]:
    """Header and samples of an unfinished run; a last line cut by a kill is dropped from the file."""
    stream.seek(0)
    lines = stream.read().split(b"\n")
    whole = lines[:-1]  # what follows the last newline was never finished
    if not whole:
        return None, {}
    try:
        header = msgspec.json.decode(whole[0], type=Header)
        samples = [msgspec.json.decode(line, type=Sample) for line in whole[1:]]
    except msgspec.MsgspecError as error:
        raise StoreError(f"{path / PARTIAL}: not readable ({error}); --fresh starts over") from None
    wanted = msgspec.json.decode(msgspec.json.encode(signature))
    if header.schema != SCHEMA or header.signature != wanted:
        changed = ", ".join(_differences(header.signature, wanted)) or "record format"
        raise StoreError(
            f"{path}: holds an unfinished run with other settings ({changed}); "
            "finish it with those, choose another --out, or discard it with --fresh"
        )
    stream.truncate(sum(len(line) + 1 for line in whole))
    stream.seek(0, os.SEEK_END)
    return header, {sample.image_id: sample for sample in samples}


def _differences(before: Any, after: Any, name: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key), after.get(key), f"{name}.{key}" if name else key)
    elif before != after:
        yield f"{name}: {before} → {after}"


def read_record(path: Path) -> Record:
    """The record in a run folder or file.

    Raises:
        StoreError: if there is none or it is not a record of this version.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        record = msgspec.json.decode(file.read_bytes(), type=Record)
    except OSError as error:
        raise StoreError(f"{file}: no record ({error.strerror}); `python -m bench run` writes one") from None
    except msgspec.MsgspecError as error:
        raise StoreError(f"{file}: not a {SCHEMA} record ({error})") from None
    if record.schema not in READABLE:
        raise StoreError(f"{file}: is a {record.schema} record, this version reads {' and '.join(READABLE)}")
    return record


def read_samples(path: Path) -> list[Sample]:
    """Per-image lines of a finished run, in the order of the data set."""
    return [msgspec.json.decode(line, type=Sample) for line in (path / SAMPLES).read_bytes().splitlines()]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; its folder is made if absent."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise StoreError(f"{path}: cannot write ({error.strerror}); choose another folder with --out") from None
