"""Intervals of every number of a report, and comparisons of every pair of its runs, from their per-image tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap
from bench.stats.pairing import paired, sample_blocks
from bench.stats.permutation import holm
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
    """Statistics of runs on the same data.

    Args:
        runs: label to run.
        tables: label to task to table; a run without samples has none and gets no interval.
        main: labels of the runs that are compared; they decide which metrics are averaged, and their comparisons are
            corrected for their number.
        resamples: of the bootstrap.
        seed: of the resamples.
    """
    scores = {label: _scores(runs[label], own, resamples=resamples, seed=seed) for label, own in tables.items()}
    _add_average([runs[label] for label in main], scores)
    intervals: dict[str, dict[str, Interval]] = {}
    for label, own in scores.items():
        found = {key: bootstrap.estimate(values) for key, values in own.items()}
        intervals[label] = {key: Interval(e.low, e.high) for key, e in found.items() if e is not None}
        if (time := _time(runs[label], resamples=resamples, seed=seed)) is not None:
            intervals[label][TIME] = time
    pairs = combinations(runs, 2)
    each = [one for a, b in pairs for one in _pair(a, b, runs, scores, tables, seed=seed)]
    comparisons = corrected(each, main)
    known = any(intervals.values())
    images = next(iter(runs.values())).record.images
    told = (
        f"95 % intervals by paired bootstrap over {images} images, {resamples} resamples, seed {seed}; "
        "differences count as significant with p below 0.05 after Holm's correction over the pairs of strategies"
    )
    return Statistics(told if known else "", intervals, comparisons)


def corrected(found: Sequence[MetricDifference], main: Sequence[str]) -> list[MetricDifference]:
    """The comparisons with Holm's p: among the pairs of compared runs, metric by metric, as one asks who is best in it.

    Comparisons with further runs of the same strategies keep their own p.
    """
    family: dict[str, list[int]] = {}
    for place, one in enumerate(found):
        if one.p is not None and {one.first, one.second} <= set(main):
            family.setdefault(one.key, []).append(place)
    made = list(found)
    for places in family.values():
        for place, p in zip(places, holm([found[place].p for place in places]), strict=True):
            made[place] = replace(found[place], p=p)
    return made


def _scores(run: RunFiles, tables: Mapping[str, ScoreTable], *, resamples: int, seed: int) -> Scores:
    found: Scores = {}
    for task, table in tables.items():
        for name, values in bootstrap.scores(table, resamples=resamples, seed=seed).items():
            if run.record.metrics[task].get(name) is not None:
                found[f"{task}.{name}"] = values
    return found


def _add_average(main: Sequence[RunFiles], scores: dict[str, Scores]) -> None:
    """Add the mean over the metrics that stand for a run, resample by resample."""
    keys = [metric.key for metric in averaged([msgspec.to_builtins(run.record) for run in main])]
    for own in scores.values():
        if keys and all(key in own for key in keys):
            own[AVERAGE] = np.mean([own[key] for key in keys], axis=0)


def _time(run: RunFiles, *, resamples: int, seed: int) -> Interval | None:
    """Interval of the mean time: blocks of consecutive images are drawn anew, for neighbors are not independent."""
    timed = [sample for sample in run.samples if "total" in sample.milliseconds]
    totals = np.array([sample.milliseconds["total"] for sample in timed])
    blocks = block_means(totals, sample_blocks(timed))
    if len(blocks) < 2:
        return None
    drawn = bootstrap.draw(len(blocks), resamples=resamples, seed=seed)[1:] @ blocks / len(blocks)
    low, high = np.quantile(drawn, [(1 - bootstrap.LEVEL) / 2, (1 + bootstrap.LEVEL) / 2])
    return Interval(float(low), float(high))


def _pair(
    first: str,
    second: str,
    runs: Mapping[str, RunFiles],
    scores: Mapping[str, Scores],
    tables: Mapping[str, Mapping[str, ScoreTable]],
    *,
    seed: int,
) -> list[MetricDifference]:
    found = []
    ends: dict[str, Any]
    a, b = scores.get(first, {}), scores.get(second, {})
    for key in (key for key in a if key in b):
        task = key.partition(".")[0]
        both = [list(own[task].images) for own in (tables[first], tables[second]) if task in own]
        estimate = bootstrap.estimate(b[key] - a[key])
        if estimate is not None and (key == AVERAGE or both[0] == both[1]):
            interval = Interval(estimate.low, estimate.high)
            ends = {"value": estimate.value, "interval": interval, "p": estimate.p}
            found.append(MetricDifference(first=first, second=second, key=key, **ends))
    time = _faster(runs[first], runs[second], seed=seed)
    if time is not None:
        ends = {"value": time.value, "interval": Interval(time.low, time.high), "p": time.p}
        found.append(MetricDifference(first=first, second=second, key=TIME, **ends))
    return found


def _faster(first: RunFiles, second: RunFiles, *, seed: int) -> Ratio | None:
    """How many times faster the second is; None on other hardware, other images, or too few of them."""
    if hardware_differences(first.record.environment, second.record.environment):
        return None
    pairs = [pair for pair in paired(first.samples, second.samples) if all("total" in s.milliseconds for s in pair)]
    if not pairs:
        return None
    sides = list(zip(*pairs, strict=True))
    a, b = ([sample.milliseconds["total"] for sample in side] for side in sides)
    ratio = time_ratio(b, a, sample_blocks(*sides), seed=seed)
    return ratio if np.isfinite(ratio.high) and ratio.low > 0 else None
