"""What arms score and how they differ, from per-image tables of every arm and seed, with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.stats import bootstrap
from bench.stats.crossed import SeedMean, crossed_mean, seed_mean
from bench.stats.pairing import sample_blocks
from bench.stats.time_ratio import log_ratios, ratio_of
from reports.metrics import averaged, headline
from reports.report_data import AVERAGE, TIME
from results.record import Sample
from results.run_files import RunFiles
from results.study import Difference, Point
from tasks.metrics.tables import ScoreTable

FEWEST_SEEDS = 3  # below, the spread of seeds says nothing
CODEC_TASKS = {"depth": "depth", "masks": "segmentation"}


@dataclass(frozen=True)
class Scores:
    """What an arm scored with one seed.

    Args:
        values: ``task.metric`` and ``average`` to value.
        draws: the same keys to (1 + R,) values, on all images and on R resamples of them; empty without tables.
        images: that it was scored on.
        trained: whether its weights were trained with this seed.
        milliseconds: ``total`` and ``decode.<task>`` to mean milliseconds per image; empty if it was not timed.
        samples: of the images, with their times; empty if it was not timed.
    """

    values: Mapping[str, float]
    draws: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    images: int = 0
    trained: bool = False
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    samples: Sequence[Sample] = ()


def run_scores(run: RunFiles, tables: Mapping[str, ScoreTable], *, resamples: int, trained: bool) -> Scores:
    """Return the scores of a run from its per-image tables; all runs of the same images get the same resamples."""
    plain = msgspec.to_builtins(run.record)
    values = {m.key: value for m in headline([plain]) if (value := m.value(plain)) is not None}
    draws: dict[str, NDArray[Any]] = {}
    for task, table in tables.items():
        names = [name for name in _names(values, task) if run.record.metrics[task].get(name) is not None]
        draws |= _draws(task, table, names, resamples)
    keys = [metric.key for metric in averaged([plain])]
    if len(keys) > 1:
        values[AVERAGE] = sum(values[key] for key in keys) / len(keys)
        if all(key in draws for key in keys):
            draws[AVERAGE] = np.mean([draws[key] for key in keys], axis=0)
    latency, timed = run.record.latency, run.record.latency.scenario != "untimed"
    phases = {name: phase.mean_ms for name, phase in latency.phases.items() if name.startswith("decode.")}
    return Scores(
        values,
        draws,
        images=run.record.images,
        trained=trained,
        milliseconds={"total": latency.total.mean_ms, **phases} if timed else {},
        samples=run.samples if timed else (),
    )


def codec_scores(codec: str, card: Mapping[str, Any], table: ScoreTable, *, resamples: int) -> Scores:
    """Return what a codec scored, from its per-image table, and how many codes it used in its last evaluation."""
    task = CODEC_TASKS[codec]
    values = {f"{task}.{name}": float(value) for name, value in card.get("metrics", {}).items()}
    draws = _draws(task, table, [name for name in _names(values, task) if name in table.names], resamples)
    values |= {key: float(column[0]) for key, column in draws.items()}
    return Scores(values, draws, images=len(table.images), trained=True)


def _names(values: Mapping[str, float], task: str) -> list[str]:
    return [key.removeprefix(f"{task}.") for key in values if key.startswith(f"{task}.")]


def _draws(task: str, table: ScoreTable, names: Sequence[str], resamples: int) -> dict[str, NDArray[Any]]:
    scores = bootstrap.scores(table, names=names, resamples=resamples, seed=0)
    return {f"{task}.{name}": column for name, column in scores.items()}


def point(seeds: Sequence[Scores], *, command: str = "") -> Point:
    """Return one arm, averaged over its seeds."""
    keys = _shared(scores.values for scores in seeds)
    each = {key: [scores.values[key] for scores in seeds] for key in keys}
    estimates = {key: estimate for key in keys if (estimate := interval([(1, seeds)], key)) is not None}
    several = len(seeds) > 1
    return Point(
        values={key: float(np.mean(values)) for key, values in each.items()},
        intervals={key: (estimate.low, estimate.high) for key, estimate in estimates.items()},
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
    """A weighted sum of arms, or a ratio of their times.

    Args:
        value: the sum or ratio.
        low: lower end of the 95 % interval.
        high: upper end.
        each: the value with each seed.
        p: two-sided, of no effect.
        resolvable: smallest effect found with 80 % power.
        scope: whether the interval covers training seeds and images, or images alone.
        images: that it is of.
    """

    value: float
    low: float
    high: float
    each: Sequence[float]
    p: float
    resolvable: float
    scope: Literal["method", "weights"] = "weights"
    images: int = 0

    @property
    def agreeing(self) -> bool | None:
        """Whether every seed gives the same sign; None with one seed."""
        return len({value > 0 for value in self.each}) == 1 if len(self.each) > 1 else None


Weighted = Sequence[tuple[float, Sequence[Scores]]]
"""Weight and scores of each seed, of every arm."""


def interval(arms: Weighted, key: str) -> ContrastEstimate | None:
    """Return a weighted sum of arms, paired by seed and image; None where there is nothing to judge it by.

    Of at least three seeds that were trained it covers seeds and images. Otherwise it is the paired bootstrap over
    images of the mean over seeds, for these weights. Without per-image tables it covers seeds alone.

    Args:
        arms: weight and scores of each seed, of every arm.
        key: ``task.metric`` or ``average``.
    """
    scores = [one for _, seeds in arms for one in seeds]
    if len({len(seeds) for _, seeds in arms}) > 1 or any(key not in one.values for one in scores):
        return None
    trained = len(arms[0][1]) >= FEWEST_SEEDS and any(one.trained for one in scores)
    if all(key in one.draws for one in scores):
        draws = np.sum([weight * np.stack([one.draws[key] for one in seeds]) for weight, seeds in arms], axis=0)
        return _from_draws(draws, scores[0].images, trained=trained)
    if trained and not any(one.draws for one in scores):
        values = np.sum([[weight * one.values[key] for one in seeds] for weight, seeds in arms], axis=0)
        return _over_seeds(seed_mean(values), values.tolist(), 0)
    return None


def _from_draws(draws: NDArray[Any], images: int, *, trained: bool) -> ContrastEstimate | None:
    """Return the mean over seeds of (S, 1 + R) values, on all images and on R resamples of them."""
    estimate = bootstrap.estimate(draws.mean(axis=0))
    each = draws[:, 0].tolist()
    if estimate is None or trained:
        return None if estimate is None else _over_seeds(crossed_mean(draws, images), each, images)
    ends = (estimate.value, estimate.low, estimate.high)
    return ContrastEstimate(*ends, each, estimate.p, estimate.detectable, images=images)


def _over_seeds(mean: SeedMean, each: Sequence[float], images: int) -> ContrastEstimate:
    low, high = mean.value - mean.reach, mean.value + mean.reach
    return ContrastEstimate(mean.value, low, high, each, mean.p, mean.resolvable, "method", images)


def time_ratio(arms: Weighted, phase: str) -> ContrastEstimate | None:
    """Return the product of the times of arms, each to the power of its weight; None if they were not timed together.

    Args:
        arms: weight and scores of each seed, of every arm; weights add up to 0.
        phase: ``total`` or ``decode.<task>``.
    """
    weights = [weight / len(seeds) for weight, seeds in arms for _ in seeds]
    by_key = [{sample.key: sample for sample in one.samples} for _, seeds in arms for one in seeds]
    common = [key for key in by_key[0] if all(key in samples for samples in by_key)]
    sides = [[samples[key] for key in common] for samples in by_key]
    if not common or phase not in sides[0][0].milliseconds:
        return None
    logs = [
        weight * log_ratios([1.0] * len(common), [sample.milliseconds[phase] for sample in side])
        for weight, side in zip(weights, sides, strict=True)
    ]
    ratio = ratio_of(np.sum(logs, axis=0), sample_blocks(*sides))
    if not np.isfinite(ratio.high) or ratio.low <= 0:
        return None
    seeds = len(arms[0][1])
    each = [float(np.exp(np.mean(np.sum(logs[seed::seeds], axis=0) * seeds))) for seed in range(seeds)]
    resolvable = 1 + ratio.detectable
    return ContrastEstimate(ratio.value, ratio.low, ratio.high, each, ratio.p, resolvable, images=ratio.images)


def differences(arms: Mapping[str, Sequence[Scores]]) -> list[Difference]:
    """Return the later arm minus the earlier one for all pairs and metrics, and the ratio of their times."""
    results = []
    for first, second in combinations(arms, 2):
        estimates = {
            key: interval([(-1, arms[first]), (1, arms[second])], key)
            for key in arms[first][0].draws or arms[first][0].values
        }
        estimates[TIME] = time_ratio([(1, arms[first]), (-1, arms[second])], "total")
        for key, estimate in estimates.items():
            if estimate is not None:
                ends = {"value": estimate.value, "low": estimate.low, "high": estimate.high}
                agreeing = estimate.agreeing if key != TIME else None
                results.append(Difference(first=first, second=second, key=key, agreeing=agreeing, **ends))
    return results


def _shared(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    first, *rest = list(mappings)
    return [key for key in first if all(key in mapping for mapping in rest)]
