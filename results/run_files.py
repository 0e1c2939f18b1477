"""The files of a finished run: record, samples and their checksum."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from results.record import Record, Sample
from results.store import RECORD, SAMPLES, StoreError, read_record, read_samples


@dataclass(frozen=True)
class RunFiles:
    """A finished run.

    Args:
        path: folder.
        record: its record.
        samples: in the order of the data set; empty if only the record exists.
    """

    path: Path
    record: Record
    samples: Sequence[Sample]


def read_run(path: Path) -> RunFiles:
    """Read record and samples of a run folder or record file.

    Raises:
        StoreError: if there is no record, or the samples do not match it.
    """
    record = read_record(path)
    folder = path if path.is_dir() else path.parent
    if not (folder / SAMPLES).exists() or (path.is_file() and path.name != RECORD):
        return RunFiles(folder, record, [])
    samples = read_samples(folder)
    if checksum(samples) != record.checksum:
        raise StoreError(f"{folder / SAMPLES}: is not of the run that record.json tells of; run it again")
    return RunFiles(folder, record, samples)


def checksum(samples: Sequence[Sample]) -> str:
    """Return SHA-256 over image ids and stored predictions, or over tokens if nothing was scored, in order."""
    digest = hashlib.sha256()
    for sample in samples:
        digest.update(msgspec.json.encode([sample.image_id, sample.predictions or sample.tokens]))
    return digest.hexdigest()
