"""Plain data of a scene: size and classes, poses, items, room, sprites, layout, captions, and the scene itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIZE = 128  # pixels, both sides of every picture
SUPER = 4  # samples per pixel and direction
FOCAL = 120.0  # pixels
CLASSES: tuple[str, ...] = ("person", "circle", "square", "triangle", "star", "ring", "cross", "heart")
"""Class names in the order of their category ids, which run from 1 to 8."""

Floats = npt.NDArray[np.floating]
Mask = npt.NDArray[np.bool_]

FACE, EARS = (0, 1, 2), (3, 4)
RAISED = frozenset(("wave", "up"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pose:
    """How a figure stands and what it wears. Angles in radians; index 0 is the figure's own left, 1 its right."""

    facing: bool
    lean: float
    gaze: float
    arms: tuple[str, str]
    arm_angles: tuple[tuple[float, float], tuple[float, float]]
    leg_angles: tuple[tuple[float, float], tuple[float, float]]
    skin: int
    hair: int
    trousers: int
    shorts: bool
    short_sleeves: bool
    long_hair: bool

    @property
    def own_hidden(self) -> tuple[int, ...]:
        """The keypoints that the figure's own head or hair hides."""
        if self.facing:
            return ()
        return FACE + EARS if self.long_hair else FACE

    @property
    def raised(self) -> int:
        """How many arms are raised: 0, 1 (waving) or 2."""
        return sum(arm in RAISED for arm in self.arms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The camera and what is behind the objects. Lengths in meters, ``horizon`` in pixel rows."""

    horizon: float
    height: float
    wall_depth: float
    shift: float  # how far the patterns of ground and wall are moved to the right
    ground: str
    wall: str
    palette: int
    light: float  # -1 light from the left … +1 from the right


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object as planned. ``size`` is its diameter (a person: height) in pixels, ``foot`` its lowest row."""

    name: str
    color: str
    rgb: tuple[float, float, float]
    texture: str
    depth: float  # meters
    meters: float
    size: float
    x: float
    foot: float
    rotation: float  # radians
    pose: Pose | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sprite:
    """One drawn object.

    ``coverage`` (H, W) in 0…1, ``color`` (H, W, 3) in 0…255 already multiplied by the coverage, ``full_area`` in
    pixels, also counting what lies outside the picture, ``keypoints`` (K, 2) x, y in pixels or None.
    """

    coverage: Floats
    color: Floats
    full_area: float
    keypoints: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A room and its objects, nearest first, each with the mask it would have alone and the mask that is seen."""

    room: Room
    items: tuple[Item, ...]
    sprites: tuple[Sprite, ...]
    whole: tuple[Mask, ...]  # each (H, W): nothing in front of it
    visible: tuple[Mask, ...]  # each (H, W): disjoint


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionClaim:
    """What a caption asserts: ``kind`` is a relation of ``subject`` to ``other`` (positions in the layout's items), or
    "ground", "wall", "side", "color", "texture", "size", "pose" or "count" of ``value``."""

    kind: str
    subject: int = -1
    other: int = -1
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caption:
    """One sentence, the name of its pattern and its claims."""

    text: str
    pattern: str
    claims: tuple[CaptionClaim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """One annotated object. ``mask`` (H, W) is what is seen of it, ``box`` its tight x, y, width, height in pixels.

    ``keypoints`` (17, 3) x, y, v of a person, else None: v = 0 outside the picture (then x = y = 0), 1 hidden behind a
    nearer object, on the far side of the head or under hair, 2 seen. What only the own limbs hide counts as seen.
    """

    category_id: int
    mask: npt.NDArray[np.bool_]
    box: tuple[float, float, float, float]
    depth: float
    keypoints: npt.NDArray[np.float64] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """``image`` (H, W, 3) uint8, ``depth`` (H, W) float32 meters (0 invalid), five captions.

    The objects come in no particular order; ``layout`` is the plan they were drawn from, nearest object first.
    """

    image: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    objects: tuple[SceneObject, ...]
    captions: tuple[Caption, ...]
    layout: Layout


def second_tone(rgb: tuple[float, float, float]) -> tuple[float, float, float]:
    """The other tone of a texture: lighter for a dark color, darker for a light one, always the same hue."""
    red, green, blue = rgb
    bright = 0.3 * red + 0.59 * green + 0.11 * blue
    towards, share = ((40.0, 32.0, 36.0), 0.38) if bright > 150 else ((255.0, 252.0, 244.0), 0.55)
    return (
        red + (towards[0] - red) * share,
        green + (towards[1] - green) * share,
        blue + (towards[2] - blue) * share,
    )
