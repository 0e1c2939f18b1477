"""Finished runs as the gate sees them: times paired with those of ``parallel`` and of the calibration workload."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bench.compare.comparability import busy, loaded, settings, took_turns
from bench.errors import UserError
from bench.stats.pairing import paired, sample_blocks
from bench.system.calibration import Calibration
from results.baseline import Baseline
from results.record import Key, Record, Sample
from results.run_files import RunFiles
from results.run_names import run_name_of
from tasks.metrics.tables import ScoreTable

REFERENCE, CALIBRATION = "parallel", "calibration"
DIGITS = 4  # significant digits of a stored time


@dataclass(frozen=True)
class GatedRun:
    """One decoder's run.

    Args:
        record: its record.
        tables: task to per-image table.
        images: sample keys in order.
        total_ms: milliseconds of each image.
        decode_ms: milliseconds of each image's decoding, summed over tasks.
        against: as in ``Baseline``.
        interleaved: whether it alternated with the reference image by image.
        drift: how much slower the machine was after the run than before; None unless calibrated around the run.
        measurements: as in ``Baseline``.
    """

    record: Record
    tables: Mapping[str, ScoreTable]
    images: Sequence[Key]
    total_ms: Sequence[float]
    decode_ms: Sequence[float]
    against: Mapping[str, Mapping[str, Sequence[float]]]
    interleaved: bool
    drift: float | None = None
    measurements: Sequence[int] = ()


def gated_runs(
    runs: Iterable[RunFiles],
    tables: Callable[[RunFiles], Mapping[str, ScoreTable]],
    calibration: Calibration | None = None,
) -> dict[str, GatedRun]:
    """Map names of runs (``mad``, ``mad.graphed``) to the runs, each paired with the reference in the same mode.

    Args:
        runs: runs of one command.
        tables: returns the per-image tables of a run.
        calibration: the machine's speed around the runs; unused where samples have a phase ``calibration``.

    Raises:
        UserError: if there are several runs of a decoder in one mode and batch.
    """
    by_name: dict[str, RunFiles] = {}
    for run in runs:
        if (name := run_name_of(run.record)) in by_name:
            both = f"{by_name[name].path} and {run.path}"
            raise UserError(f"{both} are both runs of {name}; give those of one command")
        by_name[name] = run
    result = {}
    for name, run in by_name.items():
        reference = by_name.get(run_name_of(msgspec.structs.replace(run.record, decoder=REFERENCE)))
        result[name] = _gated_run(run, reference, tables(run), calibration)
    return result


def _gated_run(
    run: RunFiles, reference: RunFiles | None, tables: Mapping[str, ScoreTable], calibration: Calibration | None
) -> GatedRun:
    pairs = paired(run.samples, reference.samples) if reference is not None and reference is not run else []
    samples = [sample for sample, _ in pairs] or run.samples
    inside = all("calibration" in sample.milliseconds for sample in samples)
    against: dict[str, dict[str, list[float]]] = {}
    if pairs:
        others = [other for _, other in pairs]
        against[REFERENCE] = {"total": _total_ms(others), "decode": [decode_ms(other) for other in others]}
    if inside and samples:
        against[CALIBRATION] = {"total": [sample.milliseconds["calibration"] for sample in samples]}
    elif calibration is not None:
        against[CALIBRATION] = {"total": calibration.per_image(len(samples))}
    return GatedRun(
        record=run.record,
        tables=tables,
        images=[sample.key for sample in samples],
        total_ms=_total_ms(samples),
        decode_ms=[decode_ms(sample) for sample in samples],
        against=against,
        interleaved=reference is None or took_turns(run.record, reference.record),
        drift=None if inside or calibration is None else calibration.drift,
        measurements=sample_blocks(samples),
    )


def _total_ms(samples: Sequence[Sample]) -> list[float]:
    return [sample.milliseconds["total"] for sample in samples]


def decode_ms(sample: Sample) -> float:
    """Return the milliseconds of decoding, summed over tasks."""
    return sum(value for name, value in sample.milliseconds.items() if name.startswith("decode."))


def tokenizer(record: Record) -> str:
    """Return the first word of the caption metrics' tokenizer: ``ptb``, ``python`` or empty."""
    return record.notes.get("captioning", {}).get("tokenizer", "").partition(" ")[0]


def baseline_of(run: GatedRun) -> Baseline:
    """Return the run as a baseline for later runs."""
    record = run.record
    return Baseline(
        decoder=record.decoder,
        name=run_name_of(record),
        tasks=record.tasks,
        busy=busy(record) or "",
        measurements=list(run.measurements),
        preset=record.preset,
        data=str(record.data["hash"]),
        seed=record.seed,
        tokenizer=tokenizer(record),
        settings=settings(record),
        metrics=record.metrics,
        checksum=record.checksum,
        tables={task: table.pack() for task, table in run.tables.items()},
        images=list(run.images),
        total_ms=_rounded(run.total_ms),
        decode_ms=_rounded(run.decode_ms),
        against={name: {part: _rounded(ms) for part, ms in parts.items()} for name, parts in run.against.items()},
        interleaved=run.interleaved,
        environment=record.environment,
        commit=record.environment.get("git_commit"),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def was_busy(baseline: Baseline) -> str | None:
    """Return why the machine counted as busy when a baseline was measured; None if it did not."""
    return loaded(baseline.environment) if baseline.busy is None else baseline.busy or None


def _rounded(times: Sequence[float]) -> list[float]:
    return [round(ms, DIGITS - 1 - math.floor(math.log10(ms))) if ms > 0 else 0.0 for ms in times]
