"""Plain data of a scene: the room, its items, the pose of a person."""

from __future__ import annotations

from dataclasses import dataclass

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
