"""Ratio of two runs' times on the same images, with an interval.

A machine's speed drifts over seconds, so neighboring images are not independent: a test that ignores this finds
differences between two identical runs. Log-ratios are therefore averaged over blocks of consecutive images first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.errors import UserError
from bench.stats.bootstrap import DETECTABLE
from bench.stats.permutation import hodges_lehmann, sign_flips

FEWEST_BLOCKS, BLOCK = 12, 25
SHORTEST_MS = 1e-6  # a clock may answer 0


@dataclass(frozen=True)
class Ratio:
    """How many times as long one thing takes as another.

    Args:
        value: Hodges-Lehmann estimate over blocks.
        low: lower end of the 95 % interval.
        high: upper end.
        p: two-sided, by paired permutation of blocks; 1 where nothing differs.
        detectable: smallest change of the ratio that would be found with probability 0.8, 0.03 for 3 %.
        images: pairs measured.
        blocks: blocks they were averaged to.
    """

    value: float
    low: float
    high: float
    p: float
    detectable: float
    images: int
    blocks: int


def block_means(values: NDArray[np.float64], measurements: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Return (b,) means of consecutive values (n,): blocks of 25, or shorter ones to get 12 blocks.

    Args:
        values: one an image.
        measurements: a number per image, equal for images of one batch; a block holds whole measurements. Without it
            each image is one measurement.
    """
    if measurements is not None and len(values):
        starts = [0, *(place for place in range(1, len(values)) if measurements[place] != measurements[place - 1])]
    else:
        starts = list(range(len(values)))
    count = min(len(starts), max(FEWEST_BLOCKS, len(values) // BLOCK))
    if not count:
        return np.zeros(0)
    cuts = [int(part[0]) for part in np.array_split(np.array(starts), count)]
    return np.array([part.mean() for part in np.split(values, cuts[1:])])


def log_ratios(first: Sequence[float], second: Sequence[float]) -> NDArray[np.float64]:
    """Return (n,) log(second / first) of paired milliseconds.

    Raises:
        UserError: if their numbers differ or are 0.
    """
    if len(first) != len(second) or not len(first):
        raise UserError(f"{len(first)} and {len(second)} times are no pairs; compare runs of the same images")
    a, b = (np.log(np.maximum(np.asarray(times, dtype=float), SHORTEST_MS)) for times in (first, second))
    ratios: NDArray[np.float64] = b - a
    return ratios


def ratio_of(logs: NDArray[np.float64], measurements: Sequence[int] | None = None, *, seed: int = 0) -> Ratio:
    """Return the ratio whose logarithms are ``logs`` (n,), one per image in the order of measurement.

    Args:
        logs: logarithms.
        measurements: as in ``block_means``.
        seed: seed of the permutations.
    """
    means = block_means(logs, measurements)
    value, low, high = hodges_lehmann(means)
    error = float(np.std(means, ddof=1) / len(means) ** 0.5) if len(means) > 1 else np.inf
    return Ratio(
        value=float(np.exp(value)),
        low=float(np.exp(low)),
        high=float(np.exp(high)),
        p=sign_flips(means, seed=seed),
        detectable=float(np.expm1(DETECTABLE * error)),
        images=len(logs),
        blocks=len(means),
    )


def time_ratio(
    first: Sequence[float], second: Sequence[float], measurements: Sequence[int] | None = None, *, seed: int = 0
) -> Ratio:
    """Return how many times as long ``second`` takes as ``first`` (milliseconds of the same images in order)."""
    return ratio_of(log_ratios(first, second), measurements, seed=seed)
