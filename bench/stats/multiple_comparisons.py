"""Holm's correction of p values for several comparisons."""

from __future__ import annotations

from collections.abc import Sequence


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Return Holm's adjusted p values, which control the chance of any false alarm; None stays and is not counted."""
    order = sorted((p, position) for position, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    largest = 0.0
    for done, (p, position) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - done)))
        adjusted[position] = largest
    return adjusted
