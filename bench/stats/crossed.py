"""A mean over training seeds and images, where every seed is scored on the same images: its interval and its test.

With D(s, i) = mean + seed(s) + image(i) + both(s, i) over S seeds and I images, the mean over all varies by
var(seed) / S + var(both) / (S I) + var(image) / I. The variance of the S values of seeds, divided by S, estimates the
first two; the third, which all seeds share, comes from the bootstrap over images. Its resamples of the mean over seeds
also contain var(both) / (S I), which is taken off: resamples of single seeds contain S times as much.

The two parts have S - 1 and I - 1 degrees of freedom; their sum is given the harmonic mean of these, weighted by the
parts. Satterthwaite's mean is weighted by their squares, and covers too little at 3 seeds: where the spread of seeds
happens to be small, it also counts for too little (`python -m bench measure coverage` compares them).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bench.stats.bootstrap import LEVEL

POWER = 0.8


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds with its uncertainty.

    Args:
        value: the mean.
        error: its standard error.
        degrees: of freedom of the error; infinite if the error is 0.
    """

    value: float
    error: float
    degrees: float

    @property
    def reach(self) -> float:
        """Half the length of the 95 % interval."""
        from scipy.special import stdtrit

        return float(stdtrit(self.degrees, (1 + LEVEL) / 2) * self.error) if self.error else 0.0

    @property
    def p(self) -> float:
        """Two-sided probability of a mean this far from 0 if the true one is 0."""
        from scipy.special import stdtr

        if not self.error:
            return float(self.value == 0)
        return float(2 * stdtr(self.degrees, -abs(self.value) / self.error))

    @property
    def resolvable(self) -> float:
        """Smallest true mean that differs from 0 significantly with probability 0.8."""
        return self.error * errors_resolvable(round(self.degrees, 1)) if self.error else 0.0


def seed_mean(values: NDArray[np.float64], image_variance: float = 0.0, images: int = 2) -> SeedMean:
    """Return the mean of seeds (S,), S >= 2.

    Args:
        values: of each seed on all images.
        image_variance: of the mean by the images that all seeds share.
        images: how many.
    """
    seed_part = float(values.var(ddof=1)) / len(values)
    total = seed_part + image_variance
    if not total:
        return SeedMean(float(values.mean()), 0.0, np.inf)
    degrees = total / (seed_part / (len(values) - 1) + image_variance / max(1, images - 1))
    return SeedMean(float(values.mean()), total**0.5, degrees)


def crossed_mean(draws: NDArray[np.float64], images: int) -> SeedMean:
    """Return the mean over seeds and images.

    Args:
        draws: (S, 1 + R) values of S >= 2 seeds on all images, then on R resamples of them, the same for all seeds.
        images: how many.
    """
    seeds, resamples = len(draws), draws[:, 1:][:, np.isfinite(draws[:, 1:]).all(axis=0)]
    together, single = resamples.mean(axis=0).var(ddof=1), resamples.var(axis=1, ddof=1).mean()
    shared = float(together - (single - together) / (seeds - 1))
    return seed_mean(draws[:, 0], max(0.0, shared), images)


@cache
def errors_resolvable(degrees: float) -> float:
    """Return the true mean that a two-sided test at 5 % finds with probability 0.8, in estimated standard errors.

    Noncentral t distribution; divided by how much too small an estimated standard error is on average (c4).

    Args:
        degrees: of freedom of the standard error.
    """
    from scipy.optimize import brentq
    from scipy.special import gammaln
    from scipy.stats import nct, t

    critical = t.ppf((1 + LEVEL) / 2, degrees)
    shrinkage = (2 / degrees) ** 0.5 * np.exp(gammaln((degrees + 1) / 2) - gammaln(degrees / 2))
    return float(brentq(lambda mean: nct.sf(critical, degrees, mean) - POWER, 0, 100) / shrinkage)
