"""Image files: how they lie, what their values mean, and which are refused with a remedy that helps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from bench.data.images import read_header, read_rgb
from bench.data.orientation import SIDEWAYS
from bench.errors import DataError
from tests.bench.data.folders import HEIGHT, WIDTH, picture

STORED, SIZE = (HEIGHT, WIDTH), (WIDTH, HEIGHT)


def tagged(path: Path, orientation: int, height: int = HEIGHT, width: int = WIDTH) -> Path:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    picture(1, height, width).save(path, exif=exif.tobytes())
    return path


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    """An annotation that fits one way only decides; one that fits both is refused until the user says."""
    path = tagged(tmp_path / f"image.{suffix}", orientation)
    with Image.open(path) as opened:
        stored, turned = np.asarray(opened), np.asarray(ImageOps.exif_transpose(opened))
    assert np.array_equal(read_rgb(path, exif="stored"), stored)
    assert np.array_equal(read_rgb(path, exif="turned"), turned)
    assert read_header(path, exif="turned").size == turned.shape[:2]
    assert read_header(path, exif="stored").orientation == orientation
    if orientation == 1:
        assert np.array_equal(read_rgb(path, size=STORED), stored)
    elif orientation < SIDEWAYS:
        with pytest.raises(DataError, match=rf"orientation {orientation}.*--exif stored \(COCO\) or --exif turned"):
            read_rgb(path, size=STORED)
    else:
        assert np.array_equal(read_rgb(path, size=STORED), stored)
        assert np.array_equal(read_rgb(path, size=STORED[::-1]), turned)
        assert read_header(path, size=STORED[::-1]).size == STORED[::-1]
        with pytest.raises(DataError, match="expected 7x5"):
            read_rgb(path, size=(5, 7))


def test_square_image_with_orientation_is_refused(tmp_path: Path) -> None:
    path = tagged(tmp_path / "square.png", 6, 16, 16)
    for read in (read_rgb, read_header):
        with pytest.raises(DataError, match="EXIF orientation 6"):
            read(path, size=(16, 16))


def test_broken_exif_is_no_orientation(tmp_path: Path) -> None:
    picture(1).save(tmp_path / "image.jpg", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    assert read_header(tmp_path / "image.jpg", size=STORED).orientation == 1


@pytest.mark.parametrize("suffix", ["png", "pgm"])
def test_gray_of_16_bits_is_divided_by_257(tmp_path: Path, suffix: str) -> None:
    values = np.arange(256, dtype=np.uint16).reshape(16, 16) * 257
    path = tmp_path / f"gray.{suffix}"
    if suffix == "png":
        Image.fromarray(values).save(path)
    else:
        path.write_bytes(b"P5 16 16 65535 " + values.astype(">u2").tobytes())
    image = np.asarray(read_rgb(path))
    assert image.shape == (16, 16, 3) and np.array_equal(image[..., 1].ravel(), np.arange(256))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_modes_with_8_bits(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("image.jpg" if mode == "CMYK" else "image.png")
    source = picture(3).convert("L").point(lambda value: 255 * (value > 127)).convert("RGB")
    source.convert(mode).save(path, **({"quality": 95} if mode == "CMYK" else {}))
    values = np.asarray(read_rgb(path)).astype(int)
    assert values.shape == (*STORED, 3)
    assert np.abs(values - np.asarray(source)).mean() < 20
    assert read_header(path).transparent == (mode in ("LA", "RGBA"))


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("gif", r"is a GIF image.*convert it"), ("tif", "is a TIFF image.*convert it"), ("jp2", "is a JPEG 2000 image")],
)
def test_other_formats_are_named(tmp_path: Path, suffix: str, expected: str) -> None:
    path = tmp_path / "image.jpg"
    picture(1).save(tmp_path / f"image.{suffix}")
    (tmp_path / f"image.{suffix}").rename(path)
    with pytest.raises(DataError, match=expected):
        read_rgb(path)


def test_fractions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.pfm"
    Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)).save(path, format="PPM")
    with pytest.raises(DataError, match="holds fractions"):
        read_rgb(path)


def test_huge_image_is_not_called_broken(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    Image.new("1", (20_000, 9_000)).save(path)
    with pytest.raises(DataError, match=r"too many pixels.*scale it down"):
        read_rgb(path)


def test_folder_in_place_of_an_image(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_rgb(tmp_path)
