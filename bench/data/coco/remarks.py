"""What is usable in a COCO annotation file but must be known to a reader of its results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.polygons import reaches_far

ROUNDING = 1.0  # pixels by which a box may reach past its image unreported: COCO's boxes are rounded
NAMED = 10  # ids in a note
OVERHANG = "boxes that reach past their image, clipped"
FAR = "polygons far outside of their image, cut near it"
NO_OUTLINE = "objects without an outline"
NO_AREA = "persons with labeled joints and an area of at most 1 pixel, by which COCO scales its tolerances"
NO_JOINTS = "persons with labeled joints and num_keypoints 0, which COCO's evaluation leaves out"
REMEDIES = {
    OVERHANG: "correct bbox; they are clipped as targets and as ground truth",
    FAR: "correct segmentation",
    NO_OUTLINE: "give segmentation, or --tasks detection",
    NO_AREA: "give the area of the person in pixels",
    NO_JOINTS: "give the number of labeled joints",
}


@dataclass(frozen=True)
class ImageEntry:
    """An image of the data set. ``height`` and ``width`` in pixels are those of the annotation file."""

    path: Path
    height: int
    width: int

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


def corners(box: list[float], image: ImageEntry) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a box x, y, width, height, clipped to its image."""
    x, y, width, height = box
    return max(x, 0), max(y, 0), min(x + width, image.width), min(y + height, image.height)


def overhangs(box: list[float], image: ImageEntry) -> bool:
    """Whether a box reaches past any side of its image by more than rounding."""
    x, y, width, height = box
    return max(-x, -y, x + width - image.width, y + height - image.height) > ROUNDING


def note(remark: str, ids: list[int]) -> str:
    """A remark with its number of annotations and the ids of the first."""
    more = ", …" if len(ids) > NAMED else ""
    return f"{remark}: {len(ids):,} (annotation {', '.join(map(str, ids[:NAMED]))}{more})"


def instance_remarks(record: dict[str, Any], image: ImageEntry) -> Iterator[str]:
    """Remarks on a checked object."""
    if overhangs(record["bbox"], image):
        yield OVERHANG
    outline = record.get("segmentation")
    if not outline:
        yield NO_OUTLINE
    elif type(outline) is list and any(reaches_far(polygon, image.size) for polygon in outline):
        yield FAR


def keypoint_remarks(record: dict[str, Any]) -> Iterator[str]:
    """Remarks on a checked person with labeled joints."""
    if record["area"] <= 1:
        yield NO_AREA
    if record.get("num_keypoints", 1) == 0:
        yield NO_JOINTS
