"""Clip polygons to a window around the image, so that far coordinates take no memory."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from tasks.errors import TaskError

Point = tuple[float, float]  # x, y


def clip_polygon(points: list[Point], low: Point, high: Point) -> list[Point]:
    """The part of a polygon within a window (Sutherland and Hodgman 1974: cut along one side after the other)."""
    for axis, limit, sign in ((0, low[0], 1), (0, high[0], -1), (1, low[1], 1), (1, high[1], -1)):
        inner: list[Point] = []
        for first, second in zip([*points[-1:], *points[:-1]], points, strict=True):
            inside = [(point[axis] - limit) * sign >= 0 for point in (first, second)]
            if inside[0] != inside[1]:
                share = (limit - first[axis]) / (second[axis] - first[axis])
                other = first[1 - axis] + share * (second[1 - axis] - first[1 - axis])
                inner.append((limit, other) if axis == 0 else (other, limit))
            if inside[1]:
                inner.append(second)
        points = inner
    return points


def reaches_far(polygon: Sequence[float], size: Sequence[int]) -> bool:
    """Whether a polygon x0 y0 x1 y1 ... leaves its image (height, width) by more than the image's own size.

    Raises:
        TaskError: if a coordinate is no finite number.
    """
    try:
        finite = isfinite(sum(polygon))
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        raise TaskError("a polygon has a coordinate that is no finite number; correct its segmentation")
    height, width = size
    if not polygon or -min(size) <= min(polygon) <= max(polygon) <= 2 * min(size):  # nearly always
        return False
    x, y = polygon[::2], polygon[1::2]
    return bool(y) and (min(x) < -width or max(x) > 2 * width or min(y) < -height or max(y) > 2 * height)


def near_image(polygons: Sequence[Sequence[float]], size: Sequence[int]) -> list[Sequence[float]]:
    """The same polygons, those that reach far cut to three times the image (height, width) around it.

    The COCO API walks along every edge: one that is 1e9 pixels long takes all memory.

    Raises:
        TaskError: if a coordinate is no finite number.
    """
    return [_cut(polygon, size) if reaches_far(polygon, size) else polygon for polygon in polygons]


def _cut(polygon: Sequence[float], size: Sequence[int]) -> list[float]:
    height, width = map(float, size)
    points = [(float(x), float(y)) for x, y in zip(polygon[::2], polygon[1::2], strict=False)]
    return [value for point in clip_polygon(points, (-width, -height), (2 * width, 2 * height)) for value in point]
