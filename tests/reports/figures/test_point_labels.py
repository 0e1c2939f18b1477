"""Names in figures: the marker nearest to a name is its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from reports.figures import frontier
from reports.figures.point_labels import label_points
from reports.style import COLUMN, figure_style
from results.published import systems
from tests.reports.report_data import report_data

CROWDS = {
    "in a row": [
        (0.17, 38.9, "MAD R50"),
        (0.19, 46.8, "MAD Swin-B"),
        (0.26, 47.6, "MAD ViT-B"),
        (40, 46.1, "Pix2SeqV2"),
    ],
    "on a heap": [(1.0 + 0.02 * n, 30 + 0.8 * (n % 3), f"strategy {n}") for n in range(5)],
    "at the edges": [(0.1, 10, "first of them"), (100, 10, "last of them"), (100, 60, "another one")],
}


def nearest(axes: Any, points: Sequence[tuple[float, float, str]]) -> dict[str, str]:
    """Name to the name of the marker that stands nearest to its letters."""
    axes.figure.draw_without_rendering()
    places = {name: axes.transData.transform((x, y)) for x, y, name in points}
    found = {}
    for text in axes.texts:
        if text.get_text() in places:
            box = text.get_window_extent()
            far = {
                name: math.hypot(max(box.x0 - x, x - box.x1, 0), max(box.y0 - y, y - box.y1, 0))
                for name, (x, y) in places.items()
            }
            found[text.get_text()] = min(far, key=lambda name: far[name])
    return found


@pytest.mark.parametrize("crowd", CROWDS)
def test_every_name_stands_nearest_to_its_own_marker(crowd: str) -> None:
    points = CROWDS[crowd]
    with figure_style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(COLUMN, 2.7))
        axes.set_xscale("log")
        axes.plot([x for x, _, _ in points], [y for _, y, _ in points], "o")
        axes.margins(0.3)
        figure.draw_without_rendering()
        assert label_points(axes, points, size=6)
        assert nearest(axes, points) == {name: name for _, _, name in points}
        plt.close(figure)


def test_names_that_cannot_stand_clear_are_not_written() -> None:
    points = [(1.0 + 1e-6 * n, 1.0, f"a name of some length {n}") for n in range(40)]
    with figure_style():
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(figsize=(COLUMN, 2.7))
        figure.draw_without_rendering()
        assert not label_points(axes, points, crowded=False)
        assert not axes.texts
        plt.close(figure)


def test_the_headline_figure_names_the_right_markers(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def keep(axes: Any, points: Sequence[tuple[float, float, str]], **options: Any) -> bool:
        written = label_points(axes, points, **options)
        seen.append((nearest(axes, points), [name for _, _, name in points], written))
        return written

    monkeypatch.setattr(frontier, "label_points", keep)
    assert frontier.frontier_figure(report_data(), systems()) is not None
    assert len(seen) == 2, "ours and the published ones"
    for found, names, written in seen:
        assert found == ({name: name for name in names} if written else {})
    assert np.all([written for _, _, written in seen])
