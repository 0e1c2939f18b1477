"""Values of an ablation's settings and their differences, averaged over seeds, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from bench.stats import bootstrap
from bench.stats.time_ratio import time_ratio
from reports.metrics import averaged, headline
from reports.report_data import AVERAGE, TIME
from results.ablation import Difference, Point
from results.run_files import RunFiles
from tasks.metrics.tables import ScoreTable

Array = np.ndarray[Any, Any]
FEWEST_SEEDS = 3  # below, the spread of seeds says nothing


def point(runs: Sequence[RunFiles], tables: Sequence[Mapping[str, ScoreTable]], *, resamples: int) -> Point:
    """One setting, from the runs of its seeds."""
    draws = [_draws(run, own, resamples=resamples) for run, own in zip(runs, tables, strict=True)]
    each = [_values(run) for run in runs]
    keys = [key for key in each[0] if all(key in values for values in each)]
    intervals = {}
    for key in keys:
        known = [own[key] for own in draws if key in own]
        found = bootstrap.estimate(np.mean(known, axis=0)) if len(known) == len(draws) else None
        if found is not None:
            intervals[key] = (found.low, found.high)
    return Point(
        values={key: float(np.mean([values[key] for values in each])) for key in keys},
        intervals=intervals,
        milliseconds=_milliseconds(runs),
        seeds=len(runs),
        seed_values={key: [values[key] for values in each] for key in keys} if len(runs) > 1 else {},
        deviations={key: float(np.std([values[key] for values in each], ddof=1)) for key in keys if len(runs) > 1},
    )


def differences(
    first: str,
    second: str,
    runs: Mapping[str, Sequence[RunFiles]],
    tables: Mapping[str, Sequence[Mapping[str, ScoreTable]]],
    *,
    resamples: int,
) -> list[Difference]:
    """``second`` minus ``first`` on the same resamples, the mean over seeds."""
    a, b = (
        [_draws(run, own, resamples=resamples) for run, own in zip(runs[name], tables[name], strict=True)]
        for name in (first, second)
    )
    found = []
    for key in a[0]:
        if not all(key in own for own in (*a, *b)):
            continue
        each = [two[key] - one[key] for one, two in zip(a, b, strict=True)]
        estimate = bootstrap.estimate(np.mean(each, axis=0))
        if estimate is not None:
            signs = {bool(own[0] > 0) for own in each}
            agreeing = len(signs) == 1 if len(each) > 1 else None
            found.append(
                Difference(
                    first=first,
                    second=second,
                    key=key,
                    value=estimate.value,
                    low=estimate.low,
                    high=estimate.high,
                    agreeing=agreeing,
                )
            )
    return [*found, *_time(first, second, runs)]


def seed_differences(first: str, second: str, points: Mapping[str, Point]) -> list[Difference]:
    """``second`` minus ``first`` where only the seeds' values are known: their mean and Student's interval."""
    from scipy.stats import t

    found = []
    for key, values in points[first].seed_values.items():
        others = points[second].seed_values.get(key, [])
        if len(values) != len(others) or len(values) < FEWEST_SEEDS:
            continue
        each = np.array(others) - np.array(values)
        reach = float(t.ppf((1 + bootstrap.LEVEL) / 2, len(each) - 1) * each.std(ddof=1) / len(each) ** 0.5)
        middle = float(each.mean())
        agreeing = bool((each > 0).all() or (each < 0).all())
        low, high = middle - reach, middle + reach
        found.append(
            Difference(first=first, second=second, key=key, value=middle, low=low, high=high, agreeing=agreeing)
        )
    return found


def _draws(run: RunFiles, tables: Mapping[str, ScoreTable], *, resamples: int) -> dict[str, Array]:
    """Key to (1 + R,) values of the headline metrics and their average."""
    plain = [msgspec.to_builtins(run.record)]
    found: dict[str, Array] = {}
    for task, table in tables.items():
        names = [metric.name for metric in headline(plain) if metric.task == task]
        for name, values in bootstrap.scores(table, names=names, resamples=resamples, seed=0).items():
            if run.record.metrics[task].get(name) is not None:
                found[f"{task}.{name}"] = values
    keys = [metric.key for metric in averaged(plain)]
    if len(keys) > 1 and all(key in found for key in keys):
        found[AVERAGE] = np.mean([found[key] for key in keys], axis=0)
    return found


def _values(run: RunFiles) -> dict[str, float]:
    plain = msgspec.to_builtins(run.record)
    found = {m.key: value for m in headline([plain]) if (value := m.value(plain)) is not None}
    keys = [metric.key for metric in averaged([plain])]
    if len(keys) > 1:
        found[AVERAGE] = sum(found[key] for key in keys) / len(keys)
    return found


def _milliseconds(runs: Sequence[RunFiles]) -> dict[str, float]:
    records = [run.record for run in runs]
    names = [name for name in records[0].latency.phases if name.startswith("decode.")]
    found = {"total": float(np.mean([record.latency.total.mean_ms for record in records]))}
    for name in names:
        found[name] = float(np.mean([r.latency.phases[name].mean_ms for r in records if name in r.latency.phases]))
    return found


def _time(first: str, second: str, runs: Mapping[str, Sequence[RunFiles]]) -> list[Difference]:
    """How many times faster the second setting decodes; of the first seed, as seeds decide no time."""
    a, b = ([sample.milliseconds["total"] for sample in runs[name][0].samples] for name in (first, second))
    if not a or len(a) != len(b):
        return []
    ratio = time_ratio(b, a)
    if not np.isfinite(ratio.high) or ratio.low <= 0:
        return []
    return [Difference(first=first, second=second, key=TIME, value=ratio.value, low=ratio.low, high=ratio.high)]
