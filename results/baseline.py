"""A baseline: scores and times of a decoder image by image, small enough to be committed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from results.files import StoreError, read_file, write_atomically
from results.names import check_names, check_text
from results.record import Key

SCHEMA = "decoder-bench/baseline/1"


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """One decoder's baseline.

    Args:
        schema: name and version of this format.
        decoder: strategy.
        name: of the run (``mad``, ``mad.graphed``).
        preset: preset of the run.
        data: content hash of the data.
        seed: seed of every random choice.
        tokenizer: ``ptb`` or ``python``, the caption metrics' tokenizer; empty without captions.
        settings: batch, threads, device, precision, mode and others that decide times or predictions.
        metrics: task to metric to value.
        checksum: of the predictions.
        tables: task to packed per-image table.
        images: sample keys in order.
        total_ms: milliseconds of each image.
        decode_ms: milliseconds of each image's decoding, summed over tasks.
        against: yardstick of the same run (``parallel``, ``calibration``) to ``total`` and ``decode`` to milliseconds
            of each image.
        interleaved: whether the decoders of the run alternated image by image; ``together`` in the file.
        environment: of the run's record.
        commit: git commit.
        written: UTC time, ISO 8601.
        tasks: tasks that ran, whose times are in the total; empty in older files, whose ``metrics`` name them.
        busy: why the machine counted as busy while it was measured; empty if it did not, null in older files.
        measurements: number of each image's measurement, equal for images of one batch; empty if each image is its
            own; ``pieces`` in the file.
    """

    schema: str = SCHEMA
    decoder: str
    preset: str
    data: str
    seed: int
    tokenizer: str
    settings: dict[str, Any]
    metrics: dict[str, dict[str, float | None]]
    checksum: str
    tables: dict[str, Any]
    images: list[Key]
    total_ms: list[float]
    decode_ms: list[float]
    against: dict[str, dict[str, list[float]]]
    interleaved: bool = msgspec.field(name="together")
    environment: dict[str, Any]
    commit: str | None
    written: str
    name: str = ""
    tasks: list[str] = []
    busy: str | None = None
    measurements: list[int] = msgspec.field(name="pieces", default_factory=list)

    def __post_init__(self) -> None:
        columns = [
            self.total_ms,
            self.decode_ms,
            *(column for parts in self.against.values() for column in parts.values()),
        ]
        if any(len(column) != len(self.images) for column in columns):
            raise ValueError("times and images differ in number")
        if self.schema != SCHEMA:
            raise ValueError(f"schema {self.schema}, expected {SCHEMA}")
        check_names([self.decoder, self.run_name, self.preset, *self.tasks, *self.metrics, *self.against])
        check_names(name for metrics in self.metrics.values() for name in metrics)
        check_text([self.settings, self.environment, self.busy, self.commit, self.written, self.tokenizer])

    @property
    def run_name(self) -> str:
        """Name of the run; that of the decoder in files without one."""
        return self.name or self.decoder

    @property
    def ran(self) -> list[str]:
        """Tasks that ran."""
        return self.tasks or list(self.metrics)


def baseline_path(folder: Path, preset: str, name: str) -> Path:
    """Return the path of a run's baseline."""
    return folder / f"{preset}-{name}.json"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        StoreError: if there is none or it is not a baseline of this version.
    """
    try:
        return msgspec.json.decode(read_file(path), type=Baseline)
    except OSError as error:
        raise StoreError(
            f"{path}: no baseline ({error.strerror}); `python -m bench gate --update-baseline` writes one"
        ) from None
    except (msgspec.MsgspecError, RecursionError) as error:
        raise StoreError(f"{path}: not a {SCHEMA} file ({error}); write it again with --update-baseline") from None


def write_baseline(folder: Path, baseline: Baseline) -> Path:
    """Write a baseline atomically and return its path."""
    path = baseline_path(folder, baseline.preset, baseline.run_name)
    write_atomically(path, msgspec.json.encode(baseline) + b"\n")
    return path
