"""Place names beside the points of a figure, each nearest to its point and clear of everything else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from reports.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Box = tuple[float, float, float, float]
Spot = tuple[float, float]

_POINTS = 72
_MARK = 3.0  # points from a marker's middle to its edge
_LEADER = 9.0  # points of distance above which a thin line joins a name to its point
_AMBIGUOUS = 1e5  # cost of a name that stands nearer to another point than to its own; nothing is as bad
_NEARER = 0.97  # a name's distance to its own point is at most this share of that to any other
_CLEARLY = 0.75  # above this share a line says whose the name is
_DOUBTFUL = 2.0  # cost of such a line, square points
_ROUNDS = 4

# Points to the right and up; near places first.
_AROUND = ((6.0, 0.0), (6.0, 5.0), (6.0, -5.0), (0.0, 8.0), (0.0, -8.0), (-6.0, 0.0), (-6.0, 5.0), (-6.0, -5.0))
_FURTHER = ((9.0, 9.0), (9.0, -9.0), (-9.0, 9.0), (-9.0, -9.0), (0.0, 12.0), (0.0, -12.0))
_SPOTS: tuple[Spot, ...] = (
    *((dx * reach, dy * reach) for reach in (1.0, 1.5) for dx, dy in _AROUND),
    *((dx * reach, dy * reach) for reach in (1.0, 1.5, 2.0, 2.6) for dx, dy in _FURTHER),
)


def label_points(
    axes: Axes,
    points: Sequence[tuple[float, float, str]],
    *,
    size: float = 7,
    avoid: Sequence[Box] = (),
    crowded: bool = True,
) -> bool:
    """Write a name beside each point, nearest to its own and clear of other points, names, lines and the axes' edges.

    Args:
        axes: with limits, scales and layout set.
        points: x, y and name.
        size: of the letters, points.
        avoid: straight lines to keep clear of: x0, y0, x1, y1 in data units.
        crowded: whether to write the names even where some cannot stand clear beside their points.

    Returns:
        Whether the names were written.
    """
    renderer = axes.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    scale = axes.figure.dpi / _POINTS
    x0, y0, x1, y1 = axes.get_window_extent(renderer).extents
    frame = (float(x0), float(y0), float(x1), float(y1))
    places = [(float(px), float(py)) for px, py in (axes.transData.transform((x, y)) for x, y, _ in points)]
    taken = [(x - _MARK * scale, y - _MARK * scale, x + _MARK * scale, y + _MARK * scale) for x, y in places]
    taken += [_covered(axes, line, scale) for line in avoid]
    texts = [
        axes.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=size, color=INK)
        for x, y, name in points
    ]
    sizes = []
    for text in texts:
        text.set_in_layout(False)
        extent = text.get_window_extent(renderer)
        sizes.append((float(extent.width), float(extent.height)))
    spots, cost = _arranged(places, sizes, taken, frame, scale)
    if cost > 0 and not crowded:
        for text in texts:
            text.remove()
        return False
    boxes = [_box(place, spot, extent, scale) for place, spot, extent in zip(places, spots, sizes, strict=True)]
    doubtful = [n for n, box in enumerate(boxes) if _share(box, n, places) > _CLEARLY]
    for number, (text, spot, (x, y, _)) in enumerate(zip(texts, spots, points, strict=True)):
        text.set(position=spot, ha=_anchor(spot[0]), va="center")
        if math.hypot(*spot) > _LEADER or number in doubtful:
            line = {"arrowstyle": "-", "color": INK, "linewidth": 0.4, "alpha": 0.6, "shrinkA": 0, "shrinkB": 2}
            leader = axes.annotate("", (x, y), spot, textcoords="offset points", arrowprops=line)
            leader.set_in_layout(False)
    return True


def _arranged(
    places: Sequence[Spot], sizes: Sequence[Spot], taken: Sequence[Box], frame: Box, scale: float
) -> tuple[list[Spot], float]:
    """A spot for each name and the largest cost, by coordinate descent: each name in turn takes its best spot."""
    boxes: list[list[Box]] = []
    alone: list[list[float]] = []  # cost of each spot, whatever the other names do
    for number, (place, size) in enumerate(zip(places, sizes, strict=True)):
        boxes.append([_box(place, spot, size, scale) for spot in _SPOTS])
        costs_alone = []
        for box in boxes[number]:
            cost = sum(_overlap(box, other) for other in taken) + 20 * scale * _outside(box, frame)
            share = _share(box, number, places)
            doubt = _AMBIGUOUS if share > _NEARER else _DOUBTFUL * scale**2 if share > _CLEARLY else 0.0
            costs_alone.append(cost + doubt)
        alone.append(costs_alone)
    chosen: list[int | None] = [None] * len(places)
    costs = [0.0] * len(places)
    for _ in range(_ROUNDS):
        for number in range(len(places)):
            names = [boxes[n][spot] for n, spot in enumerate(chosen) if spot is not None and n != number]
            total = [
                cost + sum(_overlap(box, name) for name in names)
                for cost, box in zip(alone[number], boxes[number], strict=True)
            ]
            best = min(range(len(total)), key=lambda spot: (round(total[spot], 3), spot))
            chosen[number], costs[number] = best, round(total[best], 3)
    return [_SPOTS[spot or 0] for spot in chosen], max(costs, default=0.0)


def _covered(axes: Axes, line: Box, scale: float) -> Box:
    """Pixels of a straight line, a point wide."""
    x0, y0, x1, y1 = line
    (left, low), (right, high) = axes.transData.transform([(x0, y0), (x1, y1)])
    return (
        float(min(left, right) - scale / 2),
        float(min(low, high) - scale / 2),
        float(max(left, right) + scale / 2),
        float(max(low, high) + scale / 2),
    )


def _anchor(dx: float) -> str:
    return "left" if dx > 0 else "right" if dx < 0 else "center"


def _box(place: Spot, spot: Spot, size: Spot, scale: float) -> Box:
    """Pixels that a text of ``size`` covers when it stands at ``spot`` points from ``place`` pixels."""
    (width, height), x, y = size, place[0] + spot[0] * scale, place[1] + spot[1] * scale
    left = x - {"left": 0.0, "right": width, "center": width / 2}[_anchor(spot[0])]
    return left, y - height / 2, left + width, y + height / 2


def _apart(box: Box, place: Spot) -> float:
    """Pixels between a box and a point."""
    across = max(box[0] - place[0], place[0] - box[2], 0.0)
    up = max(box[1] - place[1], place[1] - box[3], 0.0)
    return math.hypot(across, up)


def _share(box: Box, number: int, places: Sequence[Spot]) -> float:
    """A name's distance to its own point as a share of that to the nearest other."""
    others = [place for n, place in enumerate(places) if n != number]
    near = min((_apart(box, other) for other in others), default=math.inf)
    return _apart(box, places[number]) / near if near else math.inf


def _overlap(first: Box, second: Box) -> float:
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Box, frame: Box) -> float:
    return sum(max(a, 0.0) for a in (frame[0] - box[0], box[2] - frame[2], frame[1] - box[1], box[3] - frame[3]))
