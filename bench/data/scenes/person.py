"""The person: a jointed paper figure posed by angles, whose joints are the seventeen COCO keypoints.

The figure faces the camera or turns its back. Facing figures have a face, others only hair. "Left" is
the figure's own left as in COCO, so it is on the picture's right when the figure faces us and on its left when it does
not; left limbs are a shade lighter than right ones. Turned away, nose and eyes are labeled where they would be and
count as occluded (v = 1); so do the ears under long hair.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from bench.data.scenes.elements import SIZE, SUPER, Item, Pose, Sprite, second_tone

KEYPOINTS: tuple[str, ...] = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle",
    "right_ankle",
)  # fmt: skip
"""COCO's seventeen keypoints, in COCO's order."""

SKELETON: tuple[tuple[int, int], ...] = (
    (16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9), (8, 10), (9, 11),
    (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7),
)  # fmt: skip
"""COCO's limbs as pairs of keypoint numbers, counted from 1."""


Point = tuple[float, float]
Color = tuple[int, int, int]

SKINS: tuple[Color, ...] = ((246, 214, 186), (232, 190, 154), (205, 152, 112), (158, 106, 74), (112, 74, 54))
HAIRS: tuple[Color, ...] = ((48, 38, 34), (92, 60, 40), (150, 98, 54), (208, 160, 68), (140, 66, 40), (176, 172, 168))
TROUSERS: tuple[Color, ...] = ((62, 76, 112), (96, 100, 108), (124, 98, 72), (70, 92, 78), (88, 66, 92))
SHOES: Color = (58, 48, 46)
INK: Color = (52, 44, 48)

# Angles in degrees, measured outwards from hanging straight down: (upper arm, forearm) and (thigh, shin).
ARMS: dict[str, tuple[float, float]] = {
    "down": (14, 8),
    "hip": (42, -38),
    "out": (82, 88),
    "wave": (98, 160),
    "up": (150, 166),
    "front": (22, -52),
    "aside": (48, 58),
}
LEGS: dict[str, tuple[float, float]] = {
    "straight": (4, 2),
    "apart": (17, 13),
    "lunge": (30, 4),
    "lifted": (44, -12),
}

# Proportions in shares of the standing height.
HEAD, HEAD_RADIUS = 0.905, 0.083
SHOULDER, SHOULDER_HALF = 0.775, 0.115
HIP, HIP_HALF = 0.475, 0.068
UPPER_ARM, FOREARM, THIGH, SHIN = 0.165, 0.15, 0.23, 0.21


def sample_pose(generator: np.random.Generator) -> Pose:
    """Draw a pose: arms independently of each other, at most one leg lifted."""
    names = tuple(ARMS)
    arms = (names[int(generator.integers(len(names)))], names[int(generator.integers(len(names)))])
    if generator.random() < 0.3:  # symmetrical poses are what people do
        arms = (arms[0], arms[0])
    legs = tuple(LEGS)
    left, right = legs[int(generator.integers(len(legs)))], legs[int(generator.integers(len(legs)))]
    if "lifted" in (left, right):
        left, right = (left, "straight") if left == "lifted" else ("straight", right)
    return Pose(
        facing=bool(generator.random() < 0.7),
        lean=math.radians(float(generator.uniform(-6, 6))),
        gaze=float(generator.uniform(-0.016, 0.016)),
        arms=arms,
        arm_angles=(_jitter(generator, ARMS[arms[0]], 11), _jitter(generator, ARMS[arms[1]], 11)),
        leg_angles=(_jitter(generator, LEGS[left], 4), _jitter(generator, LEGS[right], 4)),
        skin=int(generator.integers(len(SKINS))),
        hair=int(generator.integers(len(HAIRS))),
        trousers=int(generator.integers(len(TROUSERS))),
        shorts=bool(generator.random() < 0.3),
        short_sleeves=bool(generator.random() < 0.4),
        long_hair=bool(generator.random() < 0.4),
    )


def _jitter(generator: np.random.Generator, angles: tuple[float, float], spread: float) -> tuple[float, float]:
    first, second = generator.uniform(-spread, spread, size=2)
    return math.radians(angles[0] + float(first)), math.radians(angles[1] + float(first + second) / 2)


def joints(item: Item, pose: Pose) -> npt.NDArray[np.float64]:
    """(17, 2) x, y of the keypoints in pixels; the lower ankle stands just above ``item.foot``."""
    left = 1.0 if pose.facing else -1.0  # the side of the picture on which the figure's own left is
    points = np.zeros((17, 2))
    # Built in shares of the height, y upwards from the hips' middle.
    points[0] = (pose.gaze, HEAD - 0.012 - HIP)
    for k, side in ((0, left), (1, -left)):
        points[1 + k] = (side * 0.031 + pose.gaze, HEAD + 0.012 - HIP)
        points[3 + k] = (side * 0.078, HEAD - 0.004 - HIP)
        shoulder = np.array((side * SHOULDER_HALF, SHOULDER - HIP))
        elbow = shoulder + _limb(side, pose.arm_angles[k][0], UPPER_ARM)
        points[5 + k], points[7 + k] = shoulder, elbow
        points[9 + k] = elbow + _limb(side, pose.arm_angles[k][1], FOREARM)
    cosine, sine = math.cos(pose.lean), math.sin(pose.lean)
    points[:11] = points[:11] @ np.array(((cosine, -sine), (sine, cosine)))
    for k, side in ((0, left), (1, -left)):
        hip = np.array((side * HIP_HALF, 0.0))
        knee = hip + _limb(side, pose.leg_angles[k][0], THIGH)
        points[11 + k], points[13 + k], points[15 + k] = hip, knee, knee + _limb(side, pose.leg_angles[k][1], SHIN)
    points[:, 1] -= points[15:, 1].min() - 0.03
    return np.stack((item.x + points[:, 0] * item.size, item.foot - points[:, 1] * item.size), axis=1)


def _limb(side: float, angle: float, length: float) -> npt.NDArray[np.float64]:
    return np.array((side * math.sin(angle) * length, -math.cos(angle) * length))


def draw(item: Item, pose: Pose) -> Sprite:
    """Draw the figure and report its keypoints (K, 2), also those outside the picture."""
    points = joints(item, pose)
    pen = _Pen(item.size)
    at: list[Point] = [(float(x), float(y)) for x, y in points]
    _legs(pen, at, pose)
    if pose.facing:
        _long_hair(pen, at, pose)  # hangs behind the shoulders
        _torso(pen, at, item, pose)
        _head(pen, at, pose)
        _arms(pen, at, pose, item)
    else:
        _arms(pen, at, pose, item)
        _torso(pen, at, item, pose)
        _long_hair(pen, at, pose)  # hangs over the shoulders
        _head(pen, at, pose)
    coverage, color = pen.finish()
    # A figure covers about 0.13 of its height squared, little depending on the pose.
    full_area = max(0.13 * item.size**2, float(coverage.sum()))
    return Sprite(coverage=coverage, color=color, full_area=full_area, keypoints=points)


def _shade(color: Color | tuple[float, float, float], factor: float) -> Color:
    red, green, blue = (min(255, max(0, round(c * factor))) for c in color)
    return red, green, blue


def _side_shade(index: int) -> float:
    return 1.1 if index == 0 else 0.86


def _legs(pen: _Pen, at: list[Point], pose: Pose) -> None:
    for k in (1, 0):
        hip, knee, ankle = at[11 + k], at[13 + k], at[15 + k]
        cloth = _shade(TROUSERS[pose.trousers], _side_shade(k))
        skin = _shade(SKINS[pose.skin], 0.5 + _side_shade(k) / 2)
        direction = math.copysign(0.022, ankle[0] - (at[11][0] + at[12][0]) / 2)
        toe = (ankle[0] + direction * pen.height, ankle[1] + 0.008 * pen.height)
        pen.chain([ankle, toe], 0.05, [SHOES])
        pen.chain([hip, knee, ankle], 0.064, [cloth, skin if pose.shorts else cloth], first=0.086)


def _arms(pen: _Pen, at: list[Point], pose: Pose, item: Item) -> None:
    for k in (1, 0):
        shoulder, elbow, wrist = at[5 + k], at[7 + k], at[9 + k]
        cloth = _shade(item.rgb, _side_shade(k))
        skin = _shade(SKINS[pose.skin], 0.5 + _side_shade(k) / 2)
        pen.disc(wrist, 0.034, 0.034, skin)
        pen.chain([shoulder, elbow, wrist], 0.05, [cloth, skin if pose.short_sleeves else cloth], first=0.064)
        pen.disc(wrist, 0.028, 0.028, skin, ink=False)


def _torso(pen: _Pen, at: list[Point], item: Item, pose: Pose) -> None:
    left, right, hip_left, hip_right = at[5], at[6], at[11], at[12]
    collar = _between(left, right, 0.5)
    pen.chain([collar, _between(at[3], at[4], 0.5)], 0.06, [SKINS[pose.skin]])
    cloth = _shade(item.rgb, 1.0)
    pen.chain([hip_left, hip_right], 0.1, [TROUSERS[pose.trousers]])
    hem_left, hem_right = _between(left, hip_left, 0.88), _between(right, hip_right, 0.88)
    pen.body([left, right, hem_right, hem_left], 0.05, cloth)
    if item.texture == "striped":
        tone = _shade(second_tone(item.rgb), 1.0)
        for share in (0.15, 0.4, 0.65, 0.9):
            pen.chain([_between(left, hip_left, share), _between(right, hip_right, share)], 0.034, [tone], ink=False)


def _long_hair(pen: _Pen, at: list[Point], pose: Pose, *, ink: bool = True) -> None:
    if pose.long_hair:
        center = _between(at[3], at[4], 0.5)
        pen.disc((center[0], center[1] + 0.03 * pen.height), 0.094, 0.105, HAIRS[pose.hair], ink=ink)


def _head(pen: _Pen, at: list[Point], pose: Pose) -> None:
    skin, hair = SKINS[pose.skin], HAIRS[pose.hair]
    center = _between(at[3], at[4], 0.5)
    h = pen.height
    for ear in (at[3], at[4]):
        pen.disc(ear, 0.02, 0.026, skin)
    if not pose.facing:
        pen.disc((center[0], center[1] - 0.006 * h), 0.08, HEAD_RADIUS + 0.006, hair)
        _long_hair(pen, at, pose, ink=False)  # once more: no edge where hair lies on hair
        return
    gaze = pose.gaze * h
    pen.disc((center[0], center[1] - 0.022 * h), 0.08, 0.074, hair)
    pen.disc((center[0] + 0.5 * gaze, center[1] + 0.018 * h), 0.069, 0.07, skin)
    for eye in (at[1], at[2]):
        pen.disc(eye, 0.0185, 0.0205, (252, 250, 246), ink=False)
        pen.disc((eye[0] + 0.15 * gaze, eye[1]), 0.0105, 0.0135, INK, ink=False)
    pen.disc((at[0][0], at[0][1] + 0.006 * h), 0.011, 0.012, _shade(skin, 0.78), ink=False)
    pen.smile((at[0][0], at[0][1] + 0.022 * h), 0.026, (156, 62, 64))


def _between(a: Point, b: Point, share: float) -> Point:
    return a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share


class _Pen:
    """Draws parts, each with a thin dark edge, on a large canvas. Points in pixels, widths in shares of the height."""

    def __init__(self, height: float) -> None:
        self.height = height
        self._edge = max(1, round(0.3 * SUPER + 0.004 * height * SUPER))
        self._image = Image.new("RGB", (SIZE * SUPER, SIZE * SUPER))
        self._mask = Image.new("L", self._image.size)
        self._draw, self._mark = ImageDraw.Draw(self._image), ImageDraw.Draw(self._mask)

    def chain(
        self, points: list[Point], width: float, colors: list[Color], *, first: float | None = None, ink: bool = True
    ) -> None:
        """A limb with round ends through ``points``; ``first`` is the width of its first piece."""
        widths = [first or width] + [width] * (len(points) - 2)
        pieces = list(zip(points[:-1], points[1:], widths, colors, strict=True))
        if ink:
            for a, b, thick, color in pieces:
                self._stroke(a, b, self._wide(thick) + 2 * self._edge, _shade(color, 0.62))
        for a, b, thick, color in reversed(pieces):
            self._stroke(a, b, self._wide(thick), color)

    def disc(self, center: Point, across: float, down: float, color: Color, *, ink: bool = True) -> None:
        """An ellipse with the given half axes."""
        x, y = self._at(center)
        for grow, tint in ((self._edge, _shade(color, 0.62)), (0, color)) if ink else ((0, color),):
            a, b = across * self.height * SUPER + grow, down * self.height * SUPER + grow
            self._draw.ellipse((x - a, y - b, x + a, y + b), fill=tint)
            self._mark.ellipse((x - a, y - b, x + a, y + b), fill=255)

    def smile(self, middle: Point, across: float, color: Color) -> None:
        """The lower half of a flat ellipse, as a line."""
        x, y = self._at(middle)
        a, b = across * self.height * SUPER, 0.72 * across * self.height * SUPER
        self._draw.arc((x - a, y - b, x + a, y + b), 20, 160, fill=color, width=round(self._wide(0.011)))

    def body(self, corners: list[Point], radius: float, color: Color) -> None:
        """A polygon with rounded corners."""
        loop = [*corners, corners[0]]
        for grow, tint in ((2 * self._edge, _shade(color, 0.62)), (0, color)):
            for a, b in itertools.pairwise(loop):
                self._stroke(a, b, self._wide(2 * radius) * 0.8 + grow, tint)
            self._draw.polygon([self._at(c) for c in corners], fill=tint)
            self._mark.polygon([self._at(c) for c in corners], fill=255)

    def finish(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Coverage (H, W) in 0…1 and color (H, W, 3) in 0…255 times coverage."""
        coverage = np.asarray(self._mask.reduce(SUPER), dtype=np.float32) / np.float32(255)
        return coverage, np.asarray(self._image.reduce(SUPER), dtype=np.float32)

    def _stroke(self, a: Point, b: Point, width: float, color: Color) -> None:
        start, end, half = self._at(a), self._at(b), width / 2
        for draw, fill in ((self._draw, color), (self._mark, 255)):
            draw.line([start, end], fill=fill, width=max(1, round(width)))
            for x, y in (start, end):
                draw.ellipse((x - half, y - half, x + half, y + half), fill=fill)

    def _at(self, point: Point) -> Point:
        return point[0] * SUPER - 0.5, point[1] * SUPER - 0.5

    def _wide(self, share: float) -> float:
        return max(2.0, share * self.height * SUPER)
