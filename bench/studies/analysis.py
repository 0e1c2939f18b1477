"""What arms score and how they differ, from per-image tables of every arm and seed, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap
from bench.stats.time_ratio import time_ratio
from bench.studies.definition import Contrast
from reports.metrics import averaged, headline
from reports.report_data import AVERAGE, TIME
from results.run_files import RunFiles
from results.study import ContrastResult, Difference, Point
from tasks.metrics.tables import ScoreTable

FEWEST_SEEDS = 3  # below, the spread of seeds says nothing
CODEC_TASKS = {"depth": "depth", "masks": "segmentation"}


@dataclass(frozen=True)
class Scores:
    """What an arm scored with one seed.

    Args:
        values: ``task.metric`` and ``average`` to value.
        draws: the same keys to (1 + R,) values, on all images and on R resamples of them; empty without tables.
        milliseconds: ``total`` and ``decode.<task>`` to mean milliseconds per image.
        image_ms: milliseconds of each image.
    """

    values: Mapping[str, float]
    draws: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    image_ms: Sequence[float] = ()


def run_scores(run: RunFiles, tables: Mapping[str, ScoreTable], *, resamples: int) -> Scores:
    """Return the scores of a run from its per-image tables; all runs of the same images get the same resamples."""
    plain = msgspec.to_builtins(run.record)
    values = {m.key: value for m in headline([plain]) if (value := m.value(plain)) is not None}
    draws: dict[str, NDArray[Any]] = {}
    for task, table in tables.items():
        names = [metric.name for metric in headline([plain]) if metric.task == task]
        for name, column in bootstrap.scores(table, names=names, resamples=resamples, seed=0).items():
            if run.record.metrics[task].get(name) is not None:
                draws[f"{task}.{name}"] = column
    keys = [metric.key for metric in averaged([plain])]
    if len(keys) > 1:
        values[AVERAGE] = sum(values[key] for key in keys) / len(keys)
        if all(key in draws for key in keys):
            draws[AVERAGE] = np.mean([draws[key] for key in keys], axis=0)
    phases = {name: phase.mean_ms for name, phase in run.record.latency.phases.items() if name.startswith("decode.")}
    milliseconds = {"total": run.record.latency.total.mean_ms, **phases}
    return Scores(values, draws, milliseconds, [sample.milliseconds["total"] for sample in run.samples])


def codec_scores(codec: str, card: Mapping[str, Any]) -> Scores:
    """Return what a codec scored in its last evaluation; there are no per-image tables of it."""
    return Scores({f"{CODEC_TASKS[codec]}.{name}": float(value) for name, value in card.get("metrics", {}).items()})


def point(seeds: Sequence[Scores], *, command: str = "") -> Point:
    """Return one arm, averaged over its seeds."""
    keys = _shared(scores.values for scores in seeds)
    each = {key: [scores.values[key] for scores in seeds] for key in keys}
    intervals = {key: (found.low, found.high) for key in keys if (found := interval([(1, seeds)], key)) is not None}
    several = len(seeds) > 1
    return Point(
        values={key: float(np.mean(values)) for key, values in each.items()},
        intervals=intervals,
        milliseconds={
            name: float(np.mean([scores.milliseconds[name] for scores in seeds]))
            for name in _shared(scores.milliseconds for scores in seeds)
        },
        seeds=len(seeds),
        seed_values=each if several else {},
        deviations={key: float(np.std(values, ddof=1)) for key, values in each.items()} if several else {},
        command=command,
    )


@dataclass(frozen=True)
class ContrastEstimate:
    """A weighted sum of arms, its 95 % interval, and its value with each seed."""

    value: float
    low: float
    high: float
    each: Sequence[float]

    @property
    def agreeing(self) -> bool | None:
        """Whether every seed gives the same sign; None with one seed."""
        return len({value > 0 for value in self.each}) == 1 if len(self.each) > 1 else None


def interval(arms: Sequence[tuple[float, Sequence[Scores]]], key: str) -> ContrastEstimate | None:
    """Return a weighted sum of arms, paired by seed and image; None where there is nothing to judge it by.

    With per-image tables this is the paired bootstrap over images of the mean over seeds: the trainings are kept as
    they are. Without them it is Student's interval over at least three seeds.

    Args:
        arms: weight and scores of each seed, of every arm.
        key: ``task.metric`` or ``average``.
    """
    counts = {len(seeds) for _, seeds in arms}
    if len(counts) > 1 or any(key not in scores.values for _, seeds in arms for scores in seeds):
        return None
    values = np.sum([[weight * scores.values[key] for scores in seeds] for weight, seeds in arms], axis=0)
    if all(key in scores.draws for _, seeds in arms for scores in seeds):
        draws = np.sum([weight * np.stack([scores.draws[key] for scores in seeds]) for weight, seeds in arms], axis=0)
        estimate = bootstrap.estimate(draws.mean(axis=0))
        return (
            None
            if estimate is None
            else ContrastEstimate(estimate.value, estimate.low, estimate.high, draws[:, 0].tolist())
        )
    if any(scores.draws for _, seeds in arms for scores in seeds) or len(values) < FEWEST_SEEDS:
        return None
    from scipy.stats import t

    middle = float(values.mean())
    reach = float(t.ppf((1 + bootstrap.LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5)
    return ContrastEstimate(middle, middle - reach, middle + reach, values.tolist())


def differences(arms: Mapping[str, Sequence[Scores]]) -> list[Difference]:
    """Return the later arm minus the earlier one for all pairs and metrics, and the ratio of their times."""
    found = []
    for first, second in combinations(arms, 2):
        for key in arms[first][0].draws or arms[first][0].values:
            difference = interval([(-1, arms[first]), (1, arms[second])], key)
            if difference is not None:
                ends = {"value": difference.value, "low": difference.low, "high": difference.high}
                found.append(Difference(first=first, second=second, key=key, agreeing=difference.agreeing, **ends))
        found += _time(first, second, arms)
    return found


def contrasts(definitions: Mapping[str, Contrast], arms: Mapping[str, Sequence[Scores]]) -> list[ContrastResult]:
    """Return the contrasts of which all arms are there, each metric held against the paper's effect."""
    found = []
    for name, contrast in definitions.items():
        if not contrast.arms.keys() <= arms.keys():
            continue
        for key, effect in contrast.effects.items():
            result = interval([(weight, arms[arm]) for arm, weight in contrast.arms.items()], key)
            if result is not None:
                found.append(
                    ContrastResult(
                        name=name,
                        arms=contrast.arms,
                        key=key,
                        value=result.value,
                        low=result.low,
                        high=result.high,
                        seed_values=list(result.each),
                        paper=effect.paper,
                        within=effect.within,
                        verdict=verdict(result, effect.paper),
                    )
                )
    return found


def verdict(result: ContrastEstimate, paper: float | str | None) -> str:
    """Return whether a contrast goes the paper's way: ``agrees``, ``disagrees``, ``cannot tell``; ``–`` without one."""
    if paper is None:
        return "–"
    if result.low <= 0 <= result.high:
        return "cannot tell"
    upwards = paper == "up" if isinstance(paper, str) else paper > 0
    return "agrees" if (result.value > 0) == upwards else "disagrees"


def _shared(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    first, *rest = list(mappings)
    return [key for key in first if all(key in mapping for mapping in rest)]


def _time(first: str, second: str, arms: Mapping[str, Sequence[Scores]]) -> list[Difference]:
    """How many times faster the second arm decodes; of the first seed, as seeds decide no time."""
    a, b = (arms[name][0].image_ms for name in (first, second))
    if not a or len(a) != len(b):
        return []
    ratio = time_ratio(list(b), list(a))
    if not np.isfinite(ratio.high) or ratio.low <= 0:
        return []
    return [Difference(first=first, second=second, key=TIME, value=ratio.value, low=ratio.low, high=ratio.high)]
