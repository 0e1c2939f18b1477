"""Reads image files; a broken one is named in one line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from bench.data.orientation import TURNS, Exif, chosen_turn, orientation, turned_size
from bench.data.problems import Fault, Problem, refuse

MILLIMETERS = 1000.0  # of a meter
GRAY_STEP = 257  # of 16-bit gray is one of 8-bit gray
GRAY_16 = "I"  # begins the names of Pillow's modes of 16-bit gray
RGB_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP")  # not every format Pillow knows: some start other programs
DEPTH_FORMATS = ("PNG",)
END_MARKS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
OTHER_FORMATS = {  # first bytes of images that are not read
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    b"\xffO\xffQ": "JPEG 2000",
    b"\0\0\1\0": "icon",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


class ImageHeader(NamedTuple):
    """What the head of an image file says; ``size`` is height and width as the image is used, turned or not."""

    size: tuple[int, int]
    mode: str
    orientation: int
    transparent: bool


def read_rgb(
    path: Path, *, size: tuple[int, int] | None = None, record: str = "", exif: Exif = "annotated"
) -> Image.Image:
    """An image, fully decoded, as RGB; gray values of 16 bits are divided by 257, transparency is ignored.

    Args:
        path: image file.
        size: height and width that it must have.
        record: the record that names the file, for the message.
        exif: how an image lies that has an EXIF orientation.

    Raises:
        DataError: if the file is missing, cut or broken, has another size, or may lie in two ways.
    """
    with _opened(path, record, RGB_FORMATS) as opened:
        opened.load()
        value = orientation(opened)
        _check_color(path, record, opened.mode)
        image = _rgb(opened)
    turn = _turn(path, record, chosen_turn(value, image.size, size, exif))
    if turn in TURNS:
        image = image.transpose(TURNS[turn])
    _check_size(path, record, image.size, size)
    return image


def read_depth(
    path: Path, *, size: tuple[int, int] | None = None, record: str = "", scale: float = MILLIMETERS
) -> Tensor:
    """(height, width) float32 meters from a 16-bit PNG; 0 where the sensor saw nothing.

    Args:
        path: depth file.
        size: height and width that it must have.
        record: the record that names the file, for the message.
        scale: stored value of one meter; 1000 for millimeters.

    Raises:
        DataError: if the file is missing, broken, not 16-bit gray, or has another size than ``size``.
    """
    with _opened(path, record, DEPTH_FORMATS) as opened:
        mode, values = opened.mode, np.asarray(opened)
    _check_depth(path, record, mode)
    _check_size(path, record, (values.shape[1], values.shape[0]), size)
    return torch.from_numpy(values.astype(np.float32) / np.float32(scale))


def read_header(
    path: Path, *, size: tuple[int, int] | None = None, record: str = "", exif: Exif = "annotated"
) -> ImageHeader:
    """The head of an image file; the pixels are not read. Arguments and errors are those of ``read_rgb``."""
    with _opened(path, record, RGB_FORMATS) as opened:
        mode, stored, value = opened.mode, opened.size, orientation(opened)
        transparent = mode in ("LA", "PA", "RGBA") or "transparency" in opened.info
    _check_color(path, record, mode)
    actual = turned_size(stored, _turn(path, record, chosen_turn(value, stored, size, exif)))
    _check_size(path, record, actual, size)
    return ImageHeader((actual[1], actual[0]), mode, value, transparent)


def check_depth_header(path: Path, *, size: tuple[int, int] | None = None, record: str = "") -> None:
    """Check the head of a depth map; the values are not read. Arguments and errors are those of ``read_depth``."""
    with _opened(path, record, DEPTH_FORMATS) as opened:
        mode, actual = opened.mode, opened.size
    _check_depth(path, record, mode)
    _check_size(path, record, actual, size)


def looks_cut(path: Path) -> bool:
    """Whether a JPEG or PNG file lacks its end mark. Some whole JPEGs have bytes behind it, so decoding must decide."""
    mark = END_MARKS.get(path.suffix.lower())
    if mark is None:
        return True
    try:
        with path.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - len(mark)))
            return stream.read() != mark
    except OSError:
        return True


@contextmanager
def _opened(path: Path, record: str, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """An open image file; refused if it cannot be opened or, within the block, decoded."""
    try:
        with Image.open(path, formats=formats) as opened:
            yield opened
    except _BROKEN as error:
        refuse(Problem(path, record, _broken(path, error)))


def _rgb(image: Image.Image) -> Image.Image:
    if not image.mode.startswith(GRAY_16):
        return image.convert("RGB")
    values = np.asarray(image).astype(np.int64).clip(0, np.iinfo(np.uint16).max)
    return Image.fromarray(((values + GRAY_STEP // 2) // GRAY_STEP).astype(np.uint8)).convert("RGB")


def _turn(path: Path, record: str, turn: int | Fault) -> int:
    if isinstance(turn, Fault):
        refuse(Problem(path, record, turn))
    return turn


def _check_color(path: Path, record: str, mode: str) -> None:
    if mode == "F":
        message = "holds fractions, which have no fixed white"
        refuse(Problem(path, record, Fault("image of fractions", message, "save it as 8-bit or 16-bit PNG")))


def _check_depth(path: Path, record: str, mode: str) -> None:
    if not (mode == "I" or mode.startswith("I;16")):
        message = f"depth image has mode {mode}, expected 16-bit gray (millimeters)"
        fault = Fault("depth is not 16-bit", message, "export the depth as 16-bit PNG in millimeters")
        refuse(Problem(path, record, fault))


def _check_size(path: Path, record: str, actual: tuple[int, int], expected: tuple[int, int] | None) -> None:
    if expected is not None and actual != expected[::-1]:
        fault = Fault(
            "size disagrees",
            f"is {actual[0]}x{actual[1]} pixels, expected {expected[1]}x{expected[0]} (width x height)",
            "use the file that the annotation was made for",
        )
        refuse(Problem(path, record, fault))


def _broken(path: Path, error: BaseException) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault("missing image", "no such file", "put the image there or remove the record")
    if isinstance(error, PermissionError):
        return Fault("unreadable image", "may not be read", "change its permissions")
    if isinstance(error, IsADirectoryError):
        return Fault("missing image", "is a folder", "give the name of an image file")
    why = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        return Fault("image too large", f"has too many pixels ({why})", "scale it down and its annotations with it")
    if isinstance(error, UnidentifiedImageError) and (name := _other_format(path)):
        return Fault("unread format", f"is a {name} image, expected {' or '.join(RGB_FORMATS)}", "convert it to PNG")
    return Fault("broken image", f"broken or cut image ({why})", "download it again")


def _other_format(path: Path) -> str:
    with suppress(OSError), path.open("rb") as stream:
        head = stream.read(12)
        if head[4:8] == b"ftyp":
            return "HEIF or AVIF"
        return next((name for start, name in OTHER_FORMATS.items() if head.startswith(start)), "")
    return ""
