"""Ticks of log scales."""

from __future__ import annotations

from reports.figures.drawing import log_ticks


def test_ticks_are_round_and_few() -> None:
    assert log_ticks(50, 200) == [50, 100, 200]
    assert log_ticks(0.05, 300) == [0.1, 1, 10, 100]
    for low, high in ((60, 75), (71, 120), (3, 4), (0.011, 0.013), (1, 1e6)):
        ticks = log_ticks(low, high)
        assert 3 <= len(ticks) <= 6 and low <= min(ticks) and max(ticks) <= high
