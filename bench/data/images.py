"""Reads image files; a broken one is named in one line."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.problems import Fault, Problem, refuse

MILLIMETERS = 1000.0  # of a meter
RGB_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "WEBP")  # not every format Pillow knows: some start other programs
DEPTH_FORMATS = ("PNG",)
END_MARKS = {".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9", ".png": b"IEND\xaeB`\x82"}
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, Image.DecompressionBombError)


def read_rgb(path: Path, *, size: tuple[int, int] | None = None, record: str = "") -> Image.Image:
    """An image, fully decoded, as RGB; orientation tags are ignored, as COCO's annotations do.

    Args:
        path: image file.
        size: height and width that it must have.
        record: the record that names the file, for the message.

    Raises:
        DataError: if the file is missing, cut or broken, or has another size.
    """
    with _opened(path, record, RGB_FORMATS) as opened:
        image = opened.convert("RGB")
    _check_size(path, record, image.size, size)
    return image


def read_depth(path: Path, *, size: tuple[int, int] | None = None, record: str = "") -> Tensor:
    """(height, width) float32 meters from a 16-bit PNG in millimeters; 0 where the sensor saw nothing.

    Raises:
        DataError: if the file is missing, broken, not 16-bit gray, or has another size than ``size``.
    """
    with _opened(path, record, DEPTH_FORMATS) as opened:
        mode, millimeters = opened.mode, np.asarray(opened)
    _check_mode(path, record, mode)
    _check_size(path, record, (millimeters.shape[1], millimeters.shape[0]), size)
    return torch.from_numpy(millimeters.astype(np.float32) / MILLIMETERS)


def header_size(
    path: Path, *, size: tuple[int, int] | None = None, record: str = "", depth: bool = False
) -> tuple[int, int]:
    """Height and width as the head of an image file gives them; the pixels are not read.

    Args:
        path: image file.
        size: height and width that it must have.
        record: the record that names the file, for the message.
        depth: whether it must be a 16-bit depth map.

    Raises:
        DataError: if the file is missing, is no such image or has another size.
    """
    with _opened(path, record, DEPTH_FORMATS if depth else RGB_FORMATS) as opened:
        mode, actual = opened.mode, opened.size
    if depth:
        _check_mode(path, record, mode)
    _check_size(path, record, actual, size)
    return actual[1], actual[0]


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
        refuse(Problem(path, record, _broken(error)))


def _check_mode(path: Path, record: str, mode: str) -> None:
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


def _broken(error: BaseException) -> Fault:
    if isinstance(error, FileNotFoundError):
        return Fault("missing image", "no such file", "put the image there or remove the record")
    if isinstance(error, PermissionError):
        return Fault("unreadable image", "may not be read", "change its permissions")
    why = " ".join(str(error).split())
    return Fault("broken image", f"broken or cut image ({why})", "download it again")
