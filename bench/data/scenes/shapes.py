"""The seven shapes: outlines, named colors and textures, drawn as anti-aliased cut-outs with a soft light on them.

Everything is rasterized ``SUPER`` times larger as binary masks (what is covered, where the second tone of the texture
lies, where the rim lies) and averaged down; colors are mixed afterwards at picture size, which costs a ninth.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from bench.data.scenes.elements import SIZE, SUPER, Floats, Item, Sprite, second_tone

Point = tuple[float, float]

# Saturated but not shrill: they stand out from the muted rooms and from each other.
COLORS: dict[str, tuple[int, int, int]] = {
    "red": (212, 52, 48),
    "orange": (240, 134, 36),
    "yellow": (246, 208, 56),
    "green": (62, 160, 78),
    "blue": (48, 104, 208),
    "purple": (132, 70, 172),
    "pink": (244, 138, 176),
    "white": (244, 242, 236),
    "black": (44, 44, 50),
}

# How far each shape is turned at most, in radians: enough for every look of it, and a heart stays a heart.
TURN: dict[str, float] = {
    "circle": math.pi,
    "square": math.pi / 4,
    "triangle": math.pi / 3,
    "star": math.pi / 5,
    "ring": math.pi,
    "cross": math.pi / 4,
    "heart": math.pi / 6,
}

_Y, _X = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + np.float32(0.5)


def pick_color(generator: np.random.Generator, colors: int) -> tuple[str, tuple[float, float, float]]:
    """The name of one of the first ``colors`` colors and a slightly varied RGB value of it."""
    name = tuple(COLORS)[int(generator.integers(colors))]
    brighter = generator.uniform(-9, 9)
    red, green, blue = (float(np.clip(c + brighter + generator.uniform(-4, 4), 0, 255)) for c in COLORS[name])
    return name, (red, green, blue)


def draw(item: Item, *, light: float) -> Sprite:
    """Draw a shape; ``light`` is the side the light comes from (-1 left … +1 right)."""
    outline, hole = _OUTLINES[item.name], _HOLES.get(item.name)
    radius = item.size / 2
    turned = _turn(outline, item.rotation, radius)
    # The lowest corner stands on the ground, wherever the turn has put it.
    center = (item.x, item.foot - max(y for _, y in turned))
    body = _move(turned, center)
    inner = _move(_turn(hole, item.rotation, radius), center) if hole else None

    mask, pen = _canvas()
    pen.polygon(_scaled(body), fill=255)
    if inner:
        pen.polygon(_scaled(inner), fill=0)
    coverage = _reduced(mask)

    mask, pen = _canvas()
    width = max(2, round(SUPER * max(1.6, 0.05 * item.size)))
    for loop in (body, inner):
        if loop:
            pen.line([*_scaled(loop), *_scaled(loop[:2])], fill=255, width=width, joint="curve")
    rim = _reduced(mask)

    color = _toned(item, center) * _light(center, radius, light, round_body=item.name == "circle")[..., None]
    color *= (1 - (0.12 if item.color == "white" else 0.3) * rim)[..., None]
    color = np.clip(color, 0, 255) * coverage[..., None]
    full = _area(body) - (_area(inner) if inner else 0.0)
    return Sprite(coverage=coverage, color=color.astype(np.float32), full_area=full, keypoints=None)


def _toned(item: Item, center: Point) -> Floats:
    """(H, W, 3): the two tones of the object's texture everywhere, also outside it."""
    first = np.array(item.rgb, dtype=np.float32)
    if item.texture == "plain":
        return np.broadcast_to(first, (SIZE, SIZE, 3)).astype(np.float32)
    mask, pen = _canvas()
    for patch in _texture(item.texture, item.size):
        pen.polygon(_scaled(_move(_turn(patch, item.rotation, 1.0), center)), fill=255)
    second = np.array(second_tone(item.rgb), dtype=np.float32)
    return first + (second - first) * _reduced(mask)[..., None]


def _texture(texture: str, size: float) -> list[list[Point]]:
    """Polygons of the second tone around the origin, in pixels."""
    cell = max(3.0, size / 7)
    reach = math.ceil(size * 0.75 / cell)
    span = range(-reach, reach + 1)
    if texture == "striped":
        half = reach * cell
        return [_box(-half, (i - 0.25) * cell, half, (i + 0.25) * cell) for i in range(-reach, reach + 1)]
    if texture == "checkered":
        return [
            _box(i * cell, j * cell, (i + 1) * cell, (j + 1) * cell) for i in span for j in span if (i + j) % 2 == 0
        ]
    dot = [(0.3 * cell * x, 0.3 * cell * y) for x, y in _circle(10)]
    return [_move(dot, ((i + 0.5 * (j % 2)) * cell, j * cell * 0.87)) for i in span for j in span]


def _light(center: Point, radius: float, light: float, *, round_body: bool) -> Floats:
    """(H, W) brightness factor: a gradient over the body, and a highlight where the body is a ball."""
    x, y = (_X - center[0]) / radius, (_Y - center[1]) / radius
    if not round_body:
        return np.asarray(1.0 + 0.13 * np.clip(0.7 * light * x - 0.8 * y, -1, 1), dtype=np.float32)
    distance = (x - 0.35 * light) ** 2 + (y + 0.4) ** 2
    return np.asarray(0.78 + 0.4 * np.exp(-0.9 * distance), dtype=np.float32)


def _canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("L", (SIZE * SUPER, SIZE * SUPER))
    return image, ImageDraw.Draw(image)


def _reduced(image: Image.Image) -> Floats:
    return np.asarray(image.reduce(SUPER), dtype=np.float32) / np.float32(255)


def _scaled(points: list[Point]) -> list[Point]:
    # The drawing library counts from pixel centers.
    return [(x * SUPER - 0.5, y * SUPER - 0.5) for x, y in points]


def _turn(points: list[Point], angle: float, scale: float) -> list[Point]:
    cosine, sine = math.cos(angle) * scale, math.sin(angle) * scale
    return [(x * cosine - y * sine, x * sine + y * cosine) for x, y in points]


def _move(points: list[Point], by: Point) -> list[Point]:
    return [(x + by[0], y + by[1]) for x, y in points]


def _area(points: list[Point]) -> float:
    following = points[1:] + points[:1]
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in zip(points, following, strict=True))) / 2


def _box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _circle(corners: int, radius: float = 1.0) -> list[Point]:
    turns = (2 * math.pi * i / corners for i in range(corners))
    return [(radius * math.cos(turn), radius * math.sin(turn)) for turn in turns]


def _star(points: int, inner: float, outer: float) -> list[Point]:
    corners = []
    for i in range(2 * points):
        turn, radius = math.pi * i / points - math.pi / 2, inner if i % 2 else outer
        corners.append((radius * math.cos(turn), radius * math.sin(turn)))
    return corners


def _heart(corners: int) -> list[Point]:
    points = []
    for i in range(corners):
        t = 2 * math.pi * i / corners
        x = 16 * math.sin(t) ** 3
        y = -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
        points.append((x / 16.5, (y - 2.5) / 15.5))
    return points


def _cross(arm: float) -> list[Point]:
    a, b = arm, 1.0
    quarter = [(-a, -b), (a, -b), (a, -a)]
    return [corner for k in range(4) for corner in _turn(quarter, k * math.pi / 2, 1.0)]


# Outlines of radius about 1 around the origin, y downwards.
_OUTLINES: dict[str, list[Point]] = {
    "circle": _circle(48, 0.96),
    "square": _box(-0.84, -0.84, 0.84, 0.84),
    "triangle": [(1.1 * x, 1.1 * y) for x, y in _turn(_circle(3), -math.pi / 2, 1.0)],
    "star": _star(5, 0.48, 1.1),
    "ring": _circle(48),
    "cross": _cross(0.34),
    "heart": _heart(48),
}
_HOLES: dict[str, list[Point]] = {"ring": _circle(40, 0.56)}
