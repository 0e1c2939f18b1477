"""Worlds: what scenes may contain. ``rooms`` is the embedded data set; ``simple`` is learned in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WorldName = Literal["rooms", "simple"]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Ranges that scenes are drawn from. Lengths in pixels of a picture of 128 unless they say meters.

    Args:
        object_counts: probability of 1, 2, … objects.
        person_share: probability that the first object is a person.
        second_person: probability that the second is one too.
        repeated_class: probability that a shape has the class of an earlier one.
        textures: of shapes, all equally likely.
        striped_persons: share of persons in stripes.
        grounds: indoors and outdoors.
        walls: indoors and outdoors.
        colors: number of color names, in the order of ``shapes.COLORS``.
        shape_sizes: least and most diameter.
        shape_meters: least and most diameter in meters.
        shape_depths: least and most distance in meters.
        person_sizes: least and most height.
        person_depths: least and most distance in meters.
        turn: share of the largest rotation of a shape.
        margin: least distance of a shape's middle from the left and right border, in diameters.
        overhang: share of an object that may lie below the picture.
        visible_share: least share of an object that is seen.
        blind_patches: most patches without a depth measurement.
        captions: of a scene.
        patterns: sentence patterns in use; none: all.
        synonyms: whether things have several names, and adjectives beside their color.
    """

    object_counts: tuple[float, ...] = (0.14, 0.25, 0.27, 0.2, 0.14)
    person_share: float = 0.38
    second_person: float = 0.2
    repeated_class: float = 0.3
    textures: tuple[str, ...] = ("plain", "plain", "striped", "dotted", "checkered")
    striped_persons: float = 0.2
    grounds: tuple[tuple[str, ...], tuple[str, ...]] = (("wood", "tiles", "checker", "carpet"), ("grass", "sand"))
    walls: tuple[tuple[str, ...], tuple[str, ...]] = (("plain", "striped", "panelled", "brick"), ("plain", "brick"))
    colors: int = 9
    shape_sizes: tuple[float, float] = (14.0, 62.0)
    shape_meters: tuple[float, float] = (0.28, 1.15)
    shape_depths: tuple[float, float] = (0.75, 6.5)
    person_sizes: tuple[float, float] = (40.0, 112.0)
    person_depths: tuple[float, float] = (1.6, 4.6)
    turn: float = 1.0
    margin: float = 0.2
    overhang: float = 0.25
    visible_share: float = 0.4
    blind_patches: int = 4
    captions: int = 5
    patterns: tuple[str, ...] = ()
    synonyms: bool = True


WORLDS: dict[WorldName, World] = {
    "rooms": World(),
    "simple": World(
        object_counts=(0.3, 0.45, 0.25),
        person_share=0.65,
        second_person=0.1,
        repeated_class=0.1,
        textures=("plain",),
        striped_persons=0.0,
        grounds=(("wood", "checker"), ("grass", "sand")),
        walls=(("plain",), ("plain",)),
        colors=6,
        shape_sizes=(32.0, 72.0),
        shape_meters=(0.45, 1.2),
        shape_depths=(0.8, 4.0),
        person_sizes=(88.0, 118.0),
        person_depths=(1.6, 3.2),
        turn=0.3,
        margin=0.5,
        overhang=0.0,
        visible_share=0.8,
        blind_patches=1,
        captions=2,
        patterns=("on_ground", "ground_first", "counts", "list"),
        synonyms=False,
    ),
}
