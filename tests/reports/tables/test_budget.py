"""Knees of curves of accuracy against time."""

from __future__ import annotations

from reports.tables.budget import knee


def test_knees() -> None:
    assert knee([(1, 0.1), (2, 0.3), (4, 0.32), (8, 0.33)]) == 1
    assert knee([(1, 1.0), (2, 0.4), (4, 0.35)], higher=False) == 1
    assert knee([(1, 0.1), (2, 0.2), (4, 0.3)]) is None, "a straight line has none"
    assert knee([(1, 0.1), (2, 0.05), (4, 0.3)]) is None, "below the line there is none"
    assert knee([(1, 0.1), (2, 0.3)]) is None
