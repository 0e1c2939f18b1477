"""Intervals of every number of a report and differences of every pair of its runs, from per-image tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap
from bench.stats.multiple_comparisons import holm
from bench.stats.pairing import paired, sample_blocks
from bench.stats.time_ratio import Ratio, block_means, time_ratio
from bench.system.environment import hardware_differences
from reports.metrics import averaged
from reports.report_data import AVERAGE, TIME, Interval, MetricDifference, Statistics
from results.run_files import RunFiles
from tasks.metrics.tables import ScoreTable

Array = NDArray[np.float64]
Scores = dict[str, Array]  # ``task.metric`` to (1 + R,) values


def report_statistics(
    runs: Mapping[str, RunFiles],
    tables: Mapping[str, Mapping[str, ScoreTable]],
    *,
    main: Sequence[str],
    resamples: int,
    seed: int,
) -> Statistics:
    """Return statistics of runs on the same data.

    Args:
        runs: label to run.
        tables: label to task to table; a run without samples has none and gets no interval.
        main: labels of the compared runs. They decide which metrics are averaged, and their differences are corrected
            for multiple comparisons.
        resamples: bootstrap resamples.
        seed: seed of the resamples.
    """
    scores = {label: _scores(runs[label], by_task, resamples=resamples, seed=seed) for label, by_task in tables.items()}
    _add_average([runs[label] for label in main], scores)
    intervals: dict[str, dict[str, Interval]] = {}
    for label, by_key in scores.items():
        estimates = {key: bootstrap.estimate(values) for key, values in by_key.items()}
        intervals[label] = {key: Interval(e.low, e.high) for key, e in estimates.items() if e is not None}
        if (time := _time(runs[label], resamples=resamples, seed=seed)) is not None:
            intervals[label][TIME] = time
    pairs = [_differences(a, b, runs, scores, tables, seed=seed) for a, b in combinations(runs, 2)]
    differences = corrected([difference for pair in pairs for difference in pair], main)
    images = next(iter(runs.values())).record.images
    method = (
        f"95 % intervals for these weights, by paired bootstrap over {images} images, {resamples} resamples, "
        f"seed {seed}; differences count as significant with p below 0.05 after Holm's correction over the pairs of "
        "strategies"
    )
    return Statistics(method if any(intervals.values()) else "", intervals, differences)


def corrected(differences: Sequence[MetricDifference], main: Sequence[str]) -> list[MetricDifference]:
    """Return the differences with Holm's p over the pairs of compared runs, metric by metric.

    Differences from further runs of the same strategies keep their p.
    """
    families: dict[str, list[int]] = {}
    for number, difference in enumerate(differences):
        if difference.p is not None and {difference.first, difference.second} <= set(main):
            families.setdefault(difference.key, []).append(number)
    result = list(differences)
    for numbers in families.values():
        for number, p in zip(numbers, holm([differences[number].p for number in numbers]), strict=True):
            result[number] = replace(differences[number], p=p)
    return result


def _scores(run: RunFiles, tables: Mapping[str, ScoreTable], *, resamples: int, seed: int) -> Scores:
    return {
        f"{task}.{name}": values
        for task, table in tables.items()
        for name, values in bootstrap.scores(table, resamples=resamples, seed=seed).items()
        if run.record.metrics[task].get(name) is not None
    }


def _add_average(main: Sequence[RunFiles], scores: dict[str, Scores]) -> None:
    """Add the mean over the averaged metrics, resample by resample."""
    keys = [metric.key for metric in averaged([msgspec.to_builtins(run.record) for run in main])]
    for by_key in scores.values():
        if keys and all(key in by_key for key in keys):
            by_key[AVERAGE] = np.mean([by_key[key] for key in keys], axis=0)


def _time(run: RunFiles, *, resamples: int, seed: int) -> Interval | None:
    """Return the interval of the mean time by resampling blocks of images, as neighbors are not independent."""
    timed = [sample for sample in run.samples if "total" in sample.milliseconds]
    totals = np.array([sample.milliseconds["total"] for sample in timed])
    blocks = block_means(totals, sample_blocks(timed))
    if len(blocks) < 2:
        return None
    drawn = bootstrap.draw(len(blocks), resamples=resamples, seed=seed)[1:] @ blocks / len(blocks)
    low, high = np.quantile(drawn, [(1 - bootstrap.LEVEL) / 2, (1 + bootstrap.LEVEL) / 2])
    return Interval(float(low), float(high))


def _differences(
    first: str,
    second: str,
    runs: Mapping[str, RunFiles],
    scores: Mapping[str, Scores],
    tables: Mapping[str, Mapping[str, ScoreTable]],
    *,
    seed: int,
) -> list[MetricDifference]:
    def difference(key: str, estimate: bootstrap.Estimate | Ratio) -> MetricDifference:
        interval = Interval(estimate.low, estimate.high)
        return MetricDifference(
            first=first, second=second, key=key, value=estimate.value, interval=interval, p=estimate.p
        )

    differences = []
    a, b = scores.get(first, {}), scores.get(second, {})
    for key in (key for key in a if key in b):
        task = key.partition(".")[0]
        images = [list(by_task[task].images) for by_task in (tables[first], tables[second]) if task in by_task]
        estimate = bootstrap.estimate(b[key] - a[key])
        if estimate is not None and (key == AVERAGE or images[0] == images[1]):
            differences.append(difference(key, estimate))
    speedup = _speedup(runs[first], runs[second], seed=seed)
    return differences if speedup is None else [*differences, difference(TIME, speedup)]


def _speedup(first: RunFiles, second: RunFiles, *, seed: int) -> Ratio | None:
    """Return how many times faster the second is; None on other hardware, other images, or too few of them."""
    if hardware_differences(first.record.environment, second.record.environment):
        return None
    pairs = [pair for pair in paired(first.samples, second.samples) if all("total" in s.milliseconds for s in pair)]
    if not pairs:
        return None
    sides = list(zip(*pairs, strict=True))
    a, b = ([sample.milliseconds["total"] for sample in side] for side in sides)
    ratio = time_ratio(b, a, sample_blocks(*sides), seed=seed)
    return ratio if np.isfinite(ratio.high) and ratio.low > 0 else None
