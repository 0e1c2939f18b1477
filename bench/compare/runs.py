"""Compare runs pair by pair on the same images: accuracy by paired bootstrap, time by paired permutation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench import registry
from bench.compare.comparability import differences, settings, took_turns
from bench.compare.score_tables import DataPaths, metrics_of, run_tables
from bench.errors import UserError
from bench.stats import bootstrap
from bench.stats.multiple_comparisons import holm
from bench.stats.pairing import paired, sample_blocks
from bench.stats.time_ratio import time_ratio
from bench.system.environment import hardware_differences
from reports.metrics import HEADLINE
from reports.terminal.comparison import sentence
from results.comparison import Change, Comparison, RunPair, Speed
from results.equal_work import ADVICE, unequal_work
from results.record import Record, Sample, disturbances
from results.run_files import RunFiles, read_run
from results.run_names import label
from results.store import RECORD
from tasks.metrics.tables import ScoreTable


@dataclass
class ScoredRun:
    """One run of a comparison.

    Args:
        label: name in the comparison.
        files: record and samples.
        tables: task to per-image table.
        scores: task to metric to (1 + R,) values.
    """

    label: str
    files: RunFiles
    tables: Mapping[str, ScoreTable]
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def record(self) -> Record:
        """The run's record."""
        return self.files.record


def compare(
    paths: Sequence[Path],
    *,
    data: DataPaths | None = None,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
    every: bool = False,
) -> Comparison:
    """Return the differences of every pair of runs.

    Args:
        paths: run folders, record files, or folders of run folders.
        data: the data of the runs, if it is not the embedded scenes.
        resamples: bootstrap resamples.
        seed: seed of resamples and permutations.
        every: all metrics and phases, instead of each task's headline metrics, the total and decoding.

    Raises:
        UserError: if there are fewer than two runs, or they are of different data.
        StoreError: if a record cannot be read.
    """
    files = [read_run(path) for path in expand(paths)]
    if len(files) < 2:
        raise UserError("compare needs two runs or more; give their folders or record files")
    _refuse_other_data(files)
    metrics = cache(lambda: metrics_of(files[0].record, data or DataPaths()))  # of the same data for all runs
    runs = [
        ScoredRun(label, file, run_tables(file, metrics)) for label, file in zip(_labels(files), files, strict=True)
    ]
    for run in runs:
        for task, table in run.tables.items():
            names = None if every else registry.headline(task)
            run.scores[task] = bootstrap.scores(table, names=names, resamples=resamples, seed=seed)
    pairs = _adjusted([_pair(first, second, seed=seed, every=every) for first, second in combinations(runs, 2)])
    return Comparison(
        runs={run.label: _about(run.record) for run in runs},
        data=str(runs[0].record.data["hash"]),
        images=runs[0].record.images,
        resamples=resamples,
        seed=seed,
        pairs=[msgspec.structs.replace(pair, sentence=sentence(pair)) for pair in pairs],
    )


def expand(paths: Sequence[Path]) -> list[Path]:
    """Replace each folder without a record by the run folders in it, at any depth; keep other paths."""
    expanded: list[Path] = []
    for path in paths:
        inside = sorted(file.parent for file in path.rglob(RECORD)) if path.is_dir() else []
        expanded += inside if inside and not (path / RECORD).exists() else [path]
    return expanded


def _refuse_other_data(files: Sequence[RunFiles]) -> None:
    hashes = {file.record.data.get("hash"): file.path.name for file in files}
    if len(hashes) > 1:
        listed = "; ".join(f"{name}: {digest}" for digest, name in hashes.items())
        raise UserError(f"the runs are of different data (content hash {listed}); compare runs of the same images")


def _labels(files: Sequence[RunFiles]) -> list[str]:
    """Return decoders with mode and batch, followed by the parent folder or a number if they are not unique."""
    names = [label(file.record) for file in files]
    if len(set(names)) == len(names):
        return names
    long = [f"{name} ({file.path.resolve().parent.name})" for name, file in zip(names, files, strict=True)]
    if len(set(long)) == len(long):
        return long
    return [f"{name} #{number}" for number, name in enumerate(names, start=1)]


def _about(record: Record) -> dict[str, str | None]:
    environment = record.environment
    return {
        "decoder": record.decoder,
        "preset": record.preset,
        "commit": environment.get("git_commit"),
        "machine": str(environment.get("gpu") or environment.get("cpu")),
        "started": record.started,
        "checksum": record.checksum,
    }


def _pair(first: ScoredRun, second: ScoredRun, *, seed: int, every: bool) -> RunPair:
    blocking, remarks = _about_time(first, second)
    changes = [
        _change(first, second, task, metric)
        for task in sorted(first.record.metrics, key=_table_position)
        if task in second.record.metrics
        for metric in _metrics(first, second, task, every=every)
    ]
    times = [] if blocking else _times(first, second, seed=seed, every=every)
    return RunPair(
        first=first.label,
        second=second.label,
        metrics=[change for change in changes if change is not None],
        times=times,
        remarks=[*blocking, *remarks],
        doubtful=any(disturbances(run.record.warnings) for run in (first, second)),
    )


def _table_position(task: str) -> int:
    tasks = [metric.task for metric in HEADLINE]
    return tasks.index(task) if task in tasks else len(tasks)


def _metrics(first: ScoredRun, second: ScoredRun, task: str, *, every: bool) -> list[str]:
    chosen = None if every else registry.headline(task)
    common = [name for name in first.record.metrics[task] if name in second.record.metrics[task]]
    return common if chosen is None else [name for name in chosen if name in common]


def _change(first: ScoredRun, second: ScoredRun, task: str, metric: str) -> Change | None:
    a, b = first.record.metrics[task][metric], second.record.metrics[task][metric]
    if a is None and b is None:
        return None
    plain = Change(task=task, metric=metric, first=a, second=b)
    tokenizers = {run.record.notes.get(task, {}).get("tokenizer", "").partition(" ")[0] for run in (first, second)}
    if a is None or b is None:
        return msgspec.structs.replace(plain, note="one run has no value")
    if len(tokenizers) > 1:
        return msgspec.structs.replace(plain, note=f"not comparable: tokenized by {' and '.join(sorted(tokenizers))}")
    plain = msgspec.structs.replace(plain, difference=b - a)
    estimate = _difference(first, second, task, metric)
    if isinstance(estimate, str):
        return msgspec.structs.replace(plain, note=estimate)
    low, high, p, detectable = estimate.low, estimate.high, estimate.p, estimate.detectable
    return msgspec.structs.replace(plain, low=low, high=high, p=p, detectable=detectable)


def _difference(first: ScoredRun, second: ScoredRun, task: str, metric: str) -> bootstrap.Estimate | str:
    """Return second minus first with its interval, or why there is none."""
    a, b = (run.scores.get(task, {}).get(metric) for run in (first, second))
    if a is None or b is None:
        return _why_not(first, second, task)
    if list(first.tables[task].images) != list(second.tables[task].images):
        return "no interval: scored on different images"
    return bootstrap.estimate(b - a) or "no interval: no resample has a value"


def _why_not(first: ScoredRun, second: ScoredRun, task: str) -> str:
    for run in (first, second):
        if not run.files.samples:
            return f"no interval: {run.label} has no samples beside its record"
        if task not in run.tables:
            return "no interval: the metric keeps no per-image table"
    return "no interval: the metric cannot be resampled here"


def _about_time(first: ScoredRun, second: ScoredRun) -> tuple[list[str], list[str]]:
    """Return why time is not compared, and what may have disturbed it."""
    a, b = first.record, second.record
    other = hardware_differences(a.environment, b.environment)
    blocking = [f"time is not compared: other hardware ({'; '.join(other)})"] if other else []
    for run in (first, second):
        if not run.files.samples:
            blocking.append(f"time is not compared: {run.label} has no samples beside its record")
    counts = [len(run.files.samples) for run in (first, second)]
    common = len(paired(first.files.samples, second.files.samples))
    remarks = []
    if all(counts) and not common:
        blocking.append("time is not compared: the runs are of different images")
    elif common < max(counts):
        remarks.append(f"time is compared on the {common} images that both have, of {counts[0]} and {counts[1]}")
    if differing := differences(settings(a), settings(b)):
        texts = [f"{name} {one or 'default'} and {other or 'default'}" for name, (one, other) in differing.items()]
        remarks.append(f"the runs differ in {', '.join(texts)}")
    if set(a.tasks) != set(b.tasks):
        both = [f"{run.label}: {', '.join(run.record.tasks)}" for run in (first, second)]
        remarks.append(f"the runs ran other tasks ({'; '.join(both)}): decoding is compared on those of both")
    if unequal := unequal_work(*({task: cost.sequences for task, cost in side.cost.items()} for side in (a, b))):
        remarks.append(f"the runs did unequal work ({unequal}): {ADVICE}")
    for run in (first, second):
        if run.record.latency.sittings > 1:
            remarks.append(f"{run.label} was measured in {run.record.latency.sittings} sittings")
    remarks += [f"times of {run.label} are doubtful: {text}" for run in (first, second) for text in run.record.warnings]
    if not blocking and not took_turns(a, b):
        remarks.append(
            "measured one after the other or by separate commands: what the machine did to one of them is in the ratio"
        )
    return blocking, remarks


def _times(first: ScoredRun, second: ScoredRun, *, seed: int, every: bool) -> list[Speed]:
    pairs = paired(first.files.samples, second.files.samples)
    tasks = set(first.record.tasks) & set(second.record.tasks)
    same = set(first.record.tasks) == set(second.record.tasks)
    phases = ["total", "decode"] if same else ["decode"]
    if every:
        phases += [name for name in first.record.latency.phases if name in second.record.latency.phases]
    timed = {phase: [pair for pair in pairs if all(_phase_ms(s, phase, tasks) for s in pair)] for phase in phases}
    return [_speed(phase, samples, tasks, seed=seed) for phase, samples in timed.items() if samples]


def _phase_ms(sample: Sample, phase: str, tasks: Set[str]) -> float | None:
    """Return the milliseconds of a phase; ``decode`` is the sum over ``tasks``."""
    if phase == "decode":
        return sum(sample.milliseconds.get(f"decode.{task}", 0.0) for task in tasks) or None
    return sample.milliseconds.get(phase)


def _speed(phase: str, pairs: Sequence[tuple[Sample, Sample]], tasks: Set[str], *, seed: int) -> Speed:
    sides = list(zip(*pairs, strict=True))
    a, b = ([_phase_ms(sample, phase, tasks) or 0.0 for sample in side] for side in sides)
    ratio = time_ratio(a, b, sample_blocks(*sides), seed=seed)
    return Speed(
        phase=phase,
        first_ms=float(np.mean(a)),
        second_ms=float(np.mean(b)),
        ratio=ratio.value,
        low=ratio.low or None,  # 0 to infinity is no interval
        high=ratio.high if np.isfinite(ratio.high) else None,
        p=ratio.p,
        detectable=ratio.detectable if np.isfinite(ratio.detectable) else None,
        blocks=ratio.blocks,
    )


def _adjusted(pairs: Sequence[RunPair]) -> list[RunPair]:
    """Return the pairs with Holm's p over everything that the comparison tests."""
    adjusted = iter(holm([p for pair in pairs for p in [*(c.p for c in pair.metrics), *(s.p for s in pair.times)]]))
    return [
        msgspec.structs.replace(
            pair,
            metrics=[msgspec.structs.replace(change, adjusted=next(adjusted)) for change in pair.metrics],
            times=[msgspec.structs.replace(speed, adjusted=next(adjusted)) for speed in pair.times],
        )
        for pair in pairs
    ]
