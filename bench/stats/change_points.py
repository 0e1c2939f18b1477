"""Change points of a series: the piecewise-constant fit that is worth its steps, with a least length of a piece.

Costs are absolute deviations from a piece's median, so single outliers make no step; a step has to save more than what
noise alone would, as estimated from the differences of neighbors. Optimal partitioning (Jackson et al. 2005).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

PENALTY = 4.0  # mean deviations that a step has to save, times log(n)
LONGEST = 400  # values looked at, the newest


@dataclass(frozen=True)
class Piece:
    """A stretch of a series at one level.

    Args:
        start: index of its first value.
        stop: index behind its last.
        level: median of its values.
    """

    start: int
    stop: int
    level: float


def pieces(values: Sequence[float], *, least: int = 3) -> list[Piece]:
    """The pieces of a series; one if nothing changed.

    Args:
        values: the series.
        least: fewest values of a piece.
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
    found: list[Piece] = []
    stop = count
    while stop > 0 and count >= least:
        start = int(last[stop])
        found.append(Piece(offset + start, offset + stop, float(np.median(series[start:stop]))))
        stop = start
    found = found[::-1] or [Piece(offset, offset + count, float(np.median(series)))]
    return _settled(found, series, offset, least)


def _settled(found: list[Piece], series: Array, offset: int, least: int) -> list[Piece]:
    """Without a last piece that has its least length only because values of the level before were taken into it."""
    if len(found) < 2:
        return found
    before, last = found[-2:]
    own = series[last.start - offset :]
    new = int((np.abs(own - last.level) < np.abs(own - before.level)).sum())
    if new >= least:
        return found
    level = float(np.median(series[before.start - offset :]))
    return [*found[:-2], Piece(before.start, last.stop, level)]


def _noise(series: Array) -> float:
    """Mean absolute deviation of a value from its level, from the differences of neighbors; a step hardly moves it."""
    differences = np.abs(np.diff(series))
    typical = float(np.median(differences)) / 2**0.5 if len(differences) else 0.0
    return max(typical, 1e-9 * float(np.median(np.abs(series))), np.finfo(float).tiny)


def _costs(series: Array) -> Array:
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
