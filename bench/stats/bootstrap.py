"""Paired bootstrap over images: both runs are scored on the same resamples, so effects of single images cancel.

Efron and Tibshirani 1993, chapters 13 (percentile interval) and 15 (significance by inverting it).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from tasks.metrics.tables import ScoreTable

Array = NDArray[np.float64]

RESAMPLES = 1000
LEVEL = 0.95
FEW = 5  # resamples in a tail, below which their share is too coarse
# Standard errors of the smallest difference that a two-sided test at 5 % finds four times out of five.
DETECTABLE = 1.959964 + 0.841621


@dataclass(frozen=True)
class Estimate:
    """A value with its uncertainty.

    Args:
        value: on the images as they are.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided probability of a value this far from 0 if the true one is 0.
        detectable: smallest true value found with probability 0.8; 0 if no resample differs.
        draws: (R,) finite values of the resamples.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float
    draws: Array


def draw(images: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Array:
    """Return (1 + resamples, images) weights: every image once, then counts of draws with replacement."""
    if images < 1 or resamples < 1:
        raise UserError(f"{resamples} resamples of {images} images: give at least 1 of both")
    counts = np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=resamples)
    return np.concatenate([np.ones((1, images), dtype=counts.dtype), counts])


def estimate(values: Array) -> Estimate | None:
    """Return a value with its uncertainty; None if the value itself or every resample is NaN.

    Args:
        values: (1 + R,) the value on the images as they are, then on each resample.
    """
    draws = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]) or not len(draws):
        return None
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    error = float(np.std(draws, ddof=1)) if len(draws) > 1 else 0.0
    return Estimate(
        float(values[0]), float(low), float(high), two_sided(draws, float(values[0])), DETECTABLE * error, draws
    )


def two_sided(draws: Array, value: float) -> float:
    """Return the two-sided p of a value with resamples ``draws`` (R,); below 0.05 if the 95 % interval excludes 0."""
    below, above = int((draws <= 0).sum()), int((draws >= 0).sum())
    return min(1.0, 2 * _tail(min(below, above), draws, abs(value)))


def beyond(draws: Array, value: float, margin: float) -> float:
    """Return the one-sided p of a value above ``margin``: the share of resamples ``draws`` (R,) not above it."""
    return _tail(int((draws <= margin).sum()), draws, value - margin)


def _tail(count: int, draws: Array, distance: float) -> float:
    """Return the share of resamples in a tail, or the normal distribution's share if there are almost none."""
    share = (1 + count) / (1 + len(draws))
    error = float(np.std(draws))
    if count >= FEW or not error:
        return share
    return min(share, 0.5 * math.erfc(distance / error / 2**0.5))


def scores(table: ScoreTable, *, names: Sequence[str] | None = None, resamples: int, seed: int) -> dict[str, Array]:
    """Return metric to (1 + R,) values of a table; two tables of the same images get the same resamples."""
    return table.score(draw(len(table.images), resamples=resamples, seed=seed), names)


def differences(first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Estimate | None]:
    """Return second minus first of every common metric, from the ``scores`` of two tables of the same images."""
    return {name: estimate(second[name] - first[name]) for name in first if name in second}


def paired(
    first: ScoreTable,
    second: ScoreTable,
    *,
    names: Sequence[str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate | None]:
    """Return second minus first of every common metric.

    Raises:
        UserError: if the tables are not of the same images in the same order.
    """
    if list(first.images) != list(second.images):
        raise UserError("the runs are of different images; compare runs of the same data")
    a, b = (scores(table, names=names, resamples=resamples, seed=seed) for table in (first, second))
    return differences(a, b)
