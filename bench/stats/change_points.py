"""Change points of a series: a piecewise-constant fit in which every step saves more than its penalty.

Costs are absolute deviations from a segment's median, so single outliers make no step. The penalty scales with the
noise, estimated from the differences of neighbors. Optimal partitioning (Jackson et al. 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTY = 4.0  # mean deviations that a step has to save, times log(n)
LONGEST = 400  # newest values that are fitted


@dataclass(frozen=True)
class Segment:
    """A stretch of a series at one level.

    Args:
        start: index of its first value.
        stop: index behind its last.
        level: median of its values.
    """

    start: int
    stop: int
    level: float


def segments(values: Sequence[float], *, least: int = 3) -> list[Segment]:
    """Return the segments of a series; one if nothing changed.

    Args:
        values: the series.
        least: fewest values of a segment.
    """
    series = np.asarray(values, dtype=float)[-LONGEST:]
    offset, count = len(values) - len(series), len(series)
    if not count:
        return []
    penalty = PENALTY * _noise(series) * np.log(max(count, 2))
    costs = _costs(series)
    best = np.full(count + 1, np.inf)
    best[0], last = -penalty, np.zeros(count + 1, dtype=int)
    for stop in range(least, count + 1):
        starts = np.arange(0, stop - least + 1)
        total = best[starts] + costs[starts, stop - 1] + penalty
        last[stop] = starts[int(np.argmin(total))]
        best[stop] = total.min()
    fit: list[Segment] = []
    stop = count
    while stop > 0 and count >= least:
        start = int(last[stop])
        fit.append(Segment(offset + start, offset + stop, float(np.median(series[start:stop]))))
        stop = start
    fit = fit[::-1] or [Segment(offset, offset + count, float(np.median(series)))]
    return _without_borrowed_tail(fit, series, offset, least)


def _without_borrowed_tail(fit: list[Segment], series: NDArray[np.float64], offset: int, least: int) -> list[Segment]:
    """Merge a last segment that reaches ``least`` only with values that are closer to the level before."""
    if len(fit) < 2:
        return fit
    before, last = fit[-2:]
    tail = series[last.start - offset :]
    new = int((np.abs(tail - last.level) < np.abs(tail - before.level)).sum())
    if new >= least:
        return fit
    level = float(np.median(series[before.start - offset :]))
    return [*fit[:-2], Segment(before.start, last.stop, level)]


def _noise(series: NDArray[np.float64]) -> float:
    """Mean absolute deviation of a value from its level, from the differences of neighbors; a step hardly moves it."""
    differences = np.abs(np.diff(series))
    typical = float(np.median(differences)) / 2**0.5 if len(differences) else 0.0
    return max(typical, 1e-9 * float(np.median(np.abs(series))), np.finfo(float).tiny)


def _costs(series: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, n) sum of absolute deviations from the median of ``series[i : j + 1]`` for i <= j."""
    count = len(series)
    costs = np.zeros((count, count))
    for start in range(count):
        ordered: list[float] = []
        for stop in range(start, count):
            ordered.insert(int(np.searchsorted(ordered, series[stop])), float(series[stop]))
            half = (stop - start + 1) // 2
            costs[start, stop] = sum(ordered[-half:]) - sum(ordered[:half]) if half else 0.0
    return costs
