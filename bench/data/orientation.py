"""How an image lies that has an EXIF orientation: as it is stored, or turned as viewers show it.

COCO's annotations count in stored pixels; most annotation tools of today count in turned ones.
"""

from __future__ import annotations

from typing import Literal

from PIL import ExifTags, Image

from bench.data.problems import Fault

Exif = Literal["annotated", "stored", "turned"]
"""``annotated``: whichever has the annotated width and height; an image of which both have them is refused."""

UPRIGHT = 1
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = 5  # from here on width and height change places


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8 of an open image file; 1 where there is none. Pixels are not read."""
    if image.format == "PNG" and "exif" not in image.info:
        return UPRIGHT  # Pillow would read the pixels to look behind them
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, UPRIGHT)
    except Exception:  # Pillow raises whatever its parser stumbles over; the picture itself may be whole
        return UPRIGHT
    return value if value in TURNS else UPRIGHT


def turned_size(size: tuple[int, int], value: int) -> tuple[int, int]:
    """Width and height behind the turn."""
    return size[::-1] if value >= SIDEWAYS else size


def chosen_turn(value: int, stored: tuple[int, int], annotated: tuple[int, int] | None, exif: Exif) -> int | Fault:
    """The orientation by which an image is turned, 1 for as it is stored; a fault if the annotation leaves it open.

    Args:
        value: EXIF orientation.
        stored: width and height in the file.
        annotated: height and width of the annotation, if there are any.
        exif: what the user chose.
    """
    if value == UPRIGHT or exif == "stored":
        return UPRIGHT
    if exif == "turned":
        return value
    fits = [turn for turn in (UPRIGHT, value) if annotated and turned_size(stored, turn) == annotated[::-1]]
    if len(fits) == 1:
        return fits[0]
    if annotated is not None and not fits:
        return UPRIGHT  # the size is refused, whichever way it lies
    return Fault(
        "image with an EXIF orientation",
        f"has EXIF orientation {value}, and its annotations may mean it as stored or as turned",
        "give --exif stored (COCO) or --exif turned (most annotation tools), or save it without the tag",
    )
