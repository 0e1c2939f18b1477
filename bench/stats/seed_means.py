"""How sure a difference is: images are drawn anew, the same ones for both sides, and averaged over training seeds.

``tasks.metrics.tables`` scores a resample, ``bench.stats.bootstrap`` draws and judges, ``bench.stats.permutation``
tests without a distribution, ``bench.stats.time_ratio`` compares times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UserError
from bench.stats.bootstrap import LEVEL, RESAMPLES, draw
from tasks.metrics.tables import MeanTable, ScoreTable

__all__ = ["Interval", "MeanTable", "ScoreTable", "paired_difference", "table", "value"]


@dataclass(frozen=True)
class Interval:
    """A difference, and the ends of its interval."""

    value: float
    low: float
    high: float

    @property
    def sure(self) -> bool:
        """Whether 0 lies outside."""
        return not self.low <= 0 <= self.high


def table(metric: Any, records: Mapping[int, Any]) -> ScoreTable:
    """The table of a metric over the images in ``records``, which ``Metric.observe`` gave.

    Raises:
        UserError: if the metric keeps none, so that it cannot be resampled.
    """
    if not hasattr(metric, "tables"):
        raise UserError(f"{type(metric).__name__} keeps no per-image table; give it a method `tables`")
    made: ScoreTable = metric.tables(records)
    return made


def value(tables: Sequence[ScoreTable], name: str) -> float:
    """Mean of a metric over several tables (one a training seed), every image once."""
    once = [np.ones((1, len(own.images)), dtype=int) for own in tables]
    return float(np.mean([own.score(weights, [name])[name][0] for own, weights in zip(tables, once, strict=True)]))


def paired_difference(
    one: Sequence[ScoreTable],
    other: Sequence[ScoreTable],
    name: str,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """``one`` minus ``other``, each the mean over its tables, with the percentile interval of resampled images.

    The tables (one a training seed) are kept as they are: the interval is about the images, not about trainings.

    Raises:
        ValueError: if the tables are not of the same images.
    """
    images = list(one[0].images)
    if any(list(own.images) != images for own in [*one, *other]):
        raise ValueError("a paired difference needs the same images in the same order on both sides")
    weights = draw(len(images), resamples=resamples, seed=seed)
    means = [np.mean([own.score(weights, [name])[name] for own in side], axis=0) for side in (one, other)]
    differences = means[0] - means[1]  # (1 + R,), the first with every image once
    low, high = np.nanquantile(differences[1:], [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(differences[0]), float(low), float(high))
