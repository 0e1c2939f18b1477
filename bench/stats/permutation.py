"""Distribution-free tests: sign flips (paired permutation), the Hodges-Lehmann estimate, Holm's correction."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLIPS = 10_000
EXACT = 13  # most values for which every pattern of signs is tried
TABULATED = 60  # most values with an exact signed-rank distribution; a normal one above
LEVEL = 0.95


def sign_flips(values: Array, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the two-sided p of paired differences (n,): the share of sign patterns with a mean as far from 0.

    If the sides of a pair are exchangeable, every pattern of signs is equally likely.
    """
    return _share(np.asarray(values, dtype=float), np.abs, flips=flips, seed=seed)


def sign_flips_above(values: Array, margin: float, *, flips: int = FLIPS, seed: int = 0) -> float:
    """Return the one-sided p of paired differences (n,) above ``margin``."""
    return _share(np.asarray(values, dtype=float) - margin, lambda sums: sums, flips=flips, seed=seed)


def _share(values: Array, side: Callable[[Array], Array], *, flips: int, seed: int) -> float:
    """Return the share of sign patterns for which ``side`` of the sum is at least the observed one."""
    count = len(values)
    if not count:
        return 1.0
    exact = count <= EXACT
    if exact:  # the observed pattern is among them
        signs = 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)
    else:
        signs = np.random.default_rng([seed, count]).choice([-1.0, 1.0], size=(flips, count))
    observed = float(side(values.sum()))
    reached = int((side(signs @ values) >= observed - 1e-12 * np.abs(values).sum()).sum())
    return (reached + (not exact)) / (len(signs) + (not exact))


def hodges_lehmann(values: Array) -> tuple[float, float, float]:
    """Return the location of values (n,), the median of all pairwise means, with its 95 % signed-rank interval.

    The interval is infinite below 6 values, for which none exists (Hodges and Lehmann 1963).
    """
    values = np.asarray(values, dtype=float)
    rows, columns = np.triu_indices(len(values))
    walsh = np.sort((values[rows] + values[columns]) / 2)
    cut = _signed_rank_cut(len(values))
    if cut is None:
        return float(np.median(walsh)), -np.inf, np.inf
    return float(np.median(walsh)), float(walsh[cut]), float(walsh[-1 - cut])


def _signed_rank_cut(count: int) -> int | None:
    """Return how many of the smallest pairwise means lie outside the interval; None if there is no interval."""
    tail = (1 - LEVEL) / 2
    if count > TABULATED:
        mean, error = count * (count + 1) / 4, (count * (count + 1) * (2 * count + 1) / 24) ** 0.5
        return max(0, int(mean - 1.959964 * error - 0.5))
    ways = np.zeros(count * (count + 1) // 2 + 1)
    ways[0] = 1.0
    for rank in range(1, count + 1):  # each rank is that of a positive value or not
        ways[rank:] = ways[rank:] + ways[:-rank].copy()
    below = np.cumsum(ways) / 2.0**count  # P(rank sum <= k)
    cut = int(np.searchsorted(below, tail, side="right"))
    return cut - 1 if cut else None
