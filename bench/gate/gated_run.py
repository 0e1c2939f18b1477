"""What the gate looks at: finished runs with their times in turn with ``parallel`` and the calibration workload."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from bench.compare.comparability import busy, loaded, settings, took_turns
from bench.errors import UserError
from bench.stats.pairing import paired, pieces
from bench.system.calibration import Calibration
from results.baseline import Baseline
from results.record import Key, Record, Sample
from results.run_files import RunFiles
from results.run_names import run_name_of
from tasks.metrics.tables import ScoreTable

REFERENCE, CALIBRATION = "parallel", "calibration"
DIGITS = 4  # of a time that is kept


@dataclass(frozen=True)
class Measured:
    """One decoder's run as the gate sees it.

    Args:
        record: its record.
        tables: task to per-image table.
        images: ids in order, with the number of the repetition where there is one.
        total_ms: milliseconds of each image.
        decode_ms: milliseconds of each image's decoding, all tasks together.
        against: as in ``Baseline``.
        together: whether it took turns with the reference, image by image.
        pieces: number of each image's piece: images of one batch are one measurement; empty if each is one of its own.
        drift: how much slower the machine was after the run than before, where the calibration was measured around it.
    """

    record: Record
    tables: Mapping[str, ScoreTable]
    images: Sequence[Key]
    total_ms: Sequence[float]
    decode_ms: Sequence[float]
    against: Mapping[str, Mapping[str, Sequence[float]]]
    together: bool
    drift: float | None = None
    pieces: Sequence[int] = ()


def measured(
    runs: Iterable[RunFiles],
    tables: Callable[[RunFiles], Mapping[str, ScoreTable]],
    calibration: Calibration | None = None,
) -> dict[str, Measured]:
    """Name of a run (``mad``, ``mad.graphed``) to it, with what was measured beside it.

    Args:
        runs: runs of one command.
        tables: gives the per-image tables of a run.
        calibration: the machine's speed around the runs. A phase ``calibration`` of the samples, measured before each
            image, is taken instead where it is there.

    Raises:
        UserError: if there are several runs of a decoder in one mode and batch.
    """
    by_name: dict[str, RunFiles] = {}
    for run in runs:
        if (name := run_name_of(run.record)) in by_name:
            both = f"{by_name[name].path} and {run.path}"
            raise UserError(f"{both} are both runs of {name}; give those of one command")
        by_name[name] = run
    found = {}
    for name, run in by_name.items():
        reference = by_name.get(run_name_of(msgspec.structs.replace(run.record, decoder=REFERENCE)))  # in the same mode
        beside = paired(run.samples, reference.samples) if reference is not None and reference is not run else None
        samples = [own for own, _ in beside] if beside else run.samples
        inside = all("calibration" in sample.milliseconds for sample in samples)
        found[name] = Measured(
            record=run.record,
            tables=tables(run),
            images=[sample.key for sample in samples],
            total_ms=[sample.milliseconds["total"] for sample in samples],
            decode_ms=[decode_ms(sample) for sample in samples],
            against=_against(samples, [other for _, other in beside or []], calibration, inside=inside),
            together=reference is None or took_turns(run.record, reference.record),
            drift=None if inside or calibration is None else calibration.drift,
            pieces=pieces([sample.measurement for sample in samples]),
        )
    return found


def decode_ms(sample: Sample) -> float:
    """Milliseconds of all tasks' decoding."""
    return sum(value for name, value in sample.milliseconds.items() if name.startswith("decode."))


def _against(
    samples: Sequence[Sample], reference: Sequence[Sample], calibration: Calibration | None, *, inside: bool
) -> dict[str, dict[str, list[float]]]:
    against: dict[str, dict[str, list[float]]] = {}
    if reference:
        against[REFERENCE] = {
            "total": [sample.milliseconds["total"] for sample in reference],
            "decode": [decode_ms(sample) for sample in reference],
        }
    if inside and samples:
        against[CALIBRATION] = {"total": [sample.milliseconds["calibration"] for sample in samples]}
    elif calibration is not None:
        against[CALIBRATION] = {"total": calibration.per_image(len(samples))}
    return against


def tokenizer(record: Record) -> str:
    """First word of the caption metrics' tokenizer: ``ptb``, ``python`` or nothing."""
    return record.notes.get("captioning", {}).get("tokenizer", "").partition(" ")[0]


def baseline_of(run: Measured) -> Baseline:
    """The baseline that a run would be from now on."""
    record = run.record
    return Baseline(
        decoder=record.decoder,
        name=run_name_of(record),
        tasks=record.tasks,
        busy=busy(record) or "",
        pieces=list(run.pieces),
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
        together=run.together,
        environment=record.environment,
        commit=record.environment.get("git_commit"),
        written=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def was_busy(baseline: Baseline) -> str | None:
    """Why the machine counted as busy when a baseline was measured; None if it did not."""
    return loaded(baseline.environment) if baseline.busy is None else baseline.busy or None


def _rounded(times: Sequence[float]) -> list[float]:
    return [round(ms, DIGITS - 1 - math.floor(math.log10(ms))) if ms > 0 else 0.0 for ms in times]
