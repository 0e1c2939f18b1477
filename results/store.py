"""The folder of one run: samples are appended one by one, the record is written last, a killed run resumes."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import msgspec

from results.files import (
    MEBIBYTE,
    StoreError,
    append_line,
    read_file,
    reserve,
    write_all,
    write_atomically,
    write_error,
)
from results.names import check_names, check_text
from results.record import READABLE, SCHEMA, Key, Record, Sample

__all__ = [
    "PARTIAL", "RECORD", "SAMPLES", "RunFolder", "StoreError", "append_line", "open_run", "partial_name", "read_record",
    "read_samples", "reserve", "setting_differences", "write_atomically",
]  # fmt: skip

RECORD = "record.json"
SAMPLES = "samples.jsonl"
PARTIAL = "samples.partial.jsonl"
LARGEST_RECORD = 64 * MEBIBYTE


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """First line of a partial file.

    Args:
        schema: record format.
        signature: everything that decides the predictions; must be equal for a run to be continued.
        started: UTC time of the first session, ISO 8601.
    """

    schema: str
    signature: dict[str, Any]
    started: str


class RunFolder:
    """An open run. Each finished image is one flushed line, so ``kill -9`` loses at most the image in progress.

    Processes that share the images of a run have a file each and read each other's lines.

    Attributes:
        samples: samples of earlier sessions and of this one, by ``Sample.key``.
        rank: rank of this process among those that share the run.
        sitting: number of this process among those that worked on the run.
        started: time of the first session.
    """

    def __init__(
        self, path: Path, stream: IO[bytes], header: Header, samples: dict[Key, Sample], *, rank: int = 0
    ) -> None:
        self.path = path
        self.rank = rank
        self.samples = samples
        self.started = header.started
        self.sitting = 1 + max((s.sitting for s in samples.values()), default=0)
        self._stream = stream

    def append(self, sample: Sample) -> None:
        """Append one sample. Raises StoreError if the disk is full."""
        try:
            write_all(self._stream, msgspec.json.encode(sample) + b"\n")
        except OSError as error:
            raise write_error(self.path, error) from None
        self.samples[sample.key] = sample

    def learn(self, samples: Iterable[Sample]) -> None:
        """Add samples of other processes; samples that are there already stay."""
        self.samples = {sample.key: sample for sample in samples} | self.samples

    def others(self, signature: dict[str, Any]) -> dict[Key, Sample]:
        """Return the samples that other processes of this or an earlier session left in this folder.

        Raises:
            StoreError: if they are of a run with other settings.
        """
        samples: dict[Key, Sample] = {}
        for path in _partials(self.path):
            if path.name != partial_name(self.rank):
                samples |= _lines(read_file(path), path, signature)[1]
        return samples

    def write(self, record: Record, order: Sequence[Key]) -> Path:
        """Write ``samples.jsonl`` in ``order`` and then the record, both atomically; returns the record's path."""
        lines = b"".join(msgspec.json.encode(self.samples[key]) + b"\n" for key in order)
        write_atomically(self.path / SAMPLES, lines)
        write_atomically(self.path / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n")
        return self.path / RECORD

    def discard(self) -> None:
        """Remove the partial files. If killed before, the next run writes the record again."""
        for path in _partials(self.path) if self.rank == 0 else [self.path / partial_name(self.rank)]:
            path.unlink(missing_ok=True)

    def finish(self, record: Record, order: Sequence[Key]) -> Path:
        """Write record and samples, then remove the partial files."""
        path = self.write(record, order)
        self.discard()
        return path


@contextmanager
def open_run(
    path: Path, *, signature: dict[str, Any], started: str, fresh: bool = False, rank: int = 0
) -> Iterator[RunFolder]:
    """Open ``path`` for a run, continuing an unfinished one with the same signature.

    Args:
        path: folder of the run; made if absent.
        signature: what decides the predictions, as plain JSON data.
        started: UTC time, stored if this is the first session.
        fresh: discard an unfinished run; rank 0 discards the files of all ranks before the others open theirs.
        rank: rank of this process among those that share the run.

    Raises:
        StoreError: if the folder cannot be written, another process works in it, or it holds an unfinished run with
            other settings.
    """
    partial = path / partial_name(rank)
    try:
        path.mkdir(parents=True, exist_ok=True)
        stream = open(partial, "ab+", buffering=0, opener=_without_following)  # noqa: SIM115 (closed below)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise StoreError(f"{partial}: is a link, and links are not followed; remove it") from None
        raise write_error(path, error) from None
    with stream:
        try:
            folder = _locked_folder(path, stream, signature, started, fresh=fresh, rank=rank)
        except OSError as error:
            raise write_error(partial, error) from None
        try:
            yield folder
        finally:
            if not any(sample.rank == rank for sample in folder.samples.values()):  # nothing to continue
                partial.unlink(missing_ok=True)
                with suppress(OSError):
                    path.rmdir()


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def _locked_folder(
    path: Path, stream: IO[bytes], signature: dict[str, Any], started: str, *, fresh: bool, rank: int
) -> RunFolder:
    """Lock the partial file, read what is there already, and write the header if there is none."""
    partial = path / partial_name(rank)
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        raise StoreError(f"{partial}: is no regular file; remove it")
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise StoreError(f"{path}: another process is running here; wait for it or choose another --out") from None
    if fresh:
        stream.truncate(0)
        for other in _partials(path) if rank == 0 else []:
            if other != partial:
                other.unlink()
    header, samples = _resume(stream, partial, signature)
    if header is None:
        header = Header(schema=SCHEMA, signature=signature, started=started)
        stream.truncate(0)
        write_all(stream, msgspec.json.encode(header) + b"\n")
    return RunFolder(path, stream, header, samples, rank=rank)


def partial_name(rank: int) -> str:
    """Return the name of the file to which a process appends during a run."""
    return PARTIAL if rank == 0 else PARTIAL.replace(".jsonl", f".{rank}.jsonl")


def _partials(path: Path) -> list[Path]:
    return sorted(path.glob(PARTIAL.replace(".jsonl", "*.jsonl")))


def _resume(stream: IO[bytes], path: Path, signature: dict[str, Any]) -> tuple[Header | None, dict[Key, Sample]]:
    """Return header and samples of an unfinished run, and cut a last line that a kill left incomplete."""
    stream.seek(0)
    content = stream.read()
    header, samples = _lines(content, path, signature)
    if header is not None:
        stream.truncate(content.rfind(b"\n") + 1)
        stream.seek(0, os.SEEK_END)
    return header, samples


def _lines(content: bytes, path: Path, signature: dict[str, Any]) -> tuple[Header | None, dict[Key, Sample]]:
    """Return header and samples of a partial file; no header if not even its line is complete."""
    whole = content.split(b"\n")[:-1]  # the text after the last newline is incomplete
    if not whole:
        return None, {}
    try:
        header = msgspec.json.decode(whole[0], type=Header)
        samples = [msgspec.json.decode(line, type=Sample) for line in whole[1:]]
        for sample in samples:
            _check_phases(sample)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(f"{path}: not readable ({error}); --fresh starts over") from None
    expected = msgspec.json.decode(msgspec.json.encode(signature))
    if header.schema != SCHEMA or header.signature != expected:
        changed = ", ".join(_describe_differences(header.signature, expected)) or "record format"
        raise StoreError(
            f"{path.parent}: holds an unfinished run with other settings ({changed}); "
            "finish it with those, choose another --out, or discard it with --fresh"
        )
    return header, {sample.key: sample for sample in samples}


def _check_phases(sample: Sample) -> None:
    """Refuse a sample without the time of a phase that it tells more of. Raises ValueError."""
    passes = (name.rpartition(".")[0] for name in sample.passes)
    decoded = (f"decode.{task}" for task in sample.work if len(sample.milliseconds) > 1)
    for phase in (*sample.process_ms, *sample.computed, *passes, *decoded):
        if phase not in sample.milliseconds:
            raise ValueError(f"image {sample.image_id} has no milliseconds of phase {phase!r}")


def setting_differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the sorted names of the settings whose values differ; a missing setting counts as None."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _describe_differences(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield ``outer.inner: old → new`` for each setting that differs."""
    for name in setting_differences(before, after):
        old, new = before.get(name), after.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _describe_differences(old, new, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}: {old} → {new}"


def read_record(path: Path) -> Record:
    """Read the record of a run folder or record file.

    Raises:
        StoreError: if there is none or it is not a record of this version.
    """
    file = path / RECORD if path.is_dir() else path
    try:
        record = msgspec.json.decode(read_file(file, most=LARGEST_RECORD), type=Record)
        check_names(_names(record))
        check_text(msgspec.to_builtins(record))
    except OSError as error:
        raise StoreError(f"{file}: no record ({error.strerror}); `python -m bench run` writes one") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(
            f"{file}: not a {SCHEMA} record ({error}); give the folder of a run, or run it again"
        ) from None
    if record.schema not in READABLE:
        raise StoreError(
            f"{file}: is a {record.schema} record, this version reads {' and '.join(READABLE)}; run it again"
        )
    return record


def _names(record: Record) -> Iterator[str]:
    """Yield what a record calls decoder, preset, mode, tasks, metrics, phases and interleaved runs."""
    yield from (record.decoder, record.preset, record.mode.name, record.latency.scenario)
    yield from (
        *record.tasks,
        *record.off,
        *record.metrics,
        *record.notes,
        *record.cost,
        *record.weights,
        *record.interleaved,
    )
    yield from (name for metrics in record.metrics.values() for name in metrics)
    yield from (name for notes in record.notes.values() for name in notes)
    yield from (*record.latency.phases, *record.latency.alone, *record.latency.passes, *record.work)


def read_samples(path: Path) -> list[Sample]:
    """Return the samples of a finished run, in the order of the data set.

    Raises:
        StoreError: if they cannot be read.
    """
    file = path / SAMPLES
    try:
        samples = [msgspec.json.decode(line, type=Sample) for line in read_file(file).splitlines()]
        check_text([sample.file for sample in samples])
    except OSError as error:
        raise StoreError(f"{file}: cannot be read ({error.strerror}); run it again") from None
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise StoreError(f"{file}: not readable ({error}); run it again") from None
    return samples
