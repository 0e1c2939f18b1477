"""The gallery: predictions of all strategies on the same images, drawn as boxes, joints, masks and depth maps.

Colors are the classes' in boxes and masks, one scale of meters for all depth maps of an image, another for all errors.
"""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reports.report_data import GalleryImage, GalleryRow

TILE = 200  # pixels of a panel's longer side
NAME = 11.0  # pixels of a name's height
DEPTH, ERROR = "cividis_r", "magma"  # color maps of even brightness
QUALITY = 72
# Okabe and Ito's colors, told apart by readers with any kind of cones; their black is a light gray on photographs.
CLASSES = (
    (0, 114, 178),
    (230, 159, 0),
    (0, 158, 115),
    (213, 94, 0),
    (204, 121, 167),
    (86, 180, 233),
    (240, 228, 66),
    (225, 225, 225),
)


def columns(picture: GalleryImage) -> list[str]:
    """Headings of the panels of a row."""
    views = (picture.truth, *picture.shown)
    headings = ["boxes and joints"] if any(shown.boxes is not None for shown in views) else []
    headings += ["masks"] if any(shown.masks is not None for shown in views) else []
    if any(shown.depth is not None for shown in views):
        headings += ["depth", *(["depth error"] if picture.truth.depth is not None and picture.shown else [])]
    return headings or ["image"]


def rows(picture: GalleryImage) -> list[dict[str, Any]]:
    """Label, panels with alternative texts, caption markup and scores, for the ground truth and every strategy."""
    farthest, worst = _scales(picture)
    rows_ = []
    for shown in (picture.truth, *picture.shown):
        truth = shown is picture.truth
        panels = _panels(picture, shown, farthest, worst)
        rows_.append(
            {
                "label": shown.label,
                "panels": [
                    (_data_url(panel), _alt(shown) if place == 0 else f"{shown.label}: {name}, the same image")
                    for place, (panel, name) in enumerate(zip(panels, columns(picture), strict=False))
                ],
                "said": html.escape(shown.caption or "") if truth else marked(shown.caption or "", picture.references),
                "scores": shown.scores,
            }
        )
    return rows_


def legend(picture: GalleryImage) -> list[tuple[str, str]]:
    """Name and color of every class that is drawn, in order of their indices."""
    class_names = {
        number: name
        for shown in (picture.truth, *picture.shown)
        for number, name in zip(shown.classes, shown.names, strict=True)
    }
    return [
        (class_names[number], "#{:02x}{:02x}{:02x}".format(*CLASSES[number % len(CLASSES)]))
        for number in sorted(class_names)
    ]


def scales(picture: GalleryImage) -> list[tuple[str, str, str]]:
    """Name, CSS colors and largest value of the depth and error maps, which begin at 0 m."""
    import matplotlib as mpl

    scales_ = []
    for name, colors, top in zip(("depth", "depth error"), (DEPTH, ERROR), _scales(picture), strict=True):
        if name in columns(picture):
            steps = ", ".join(mpl.colors.to_hex(mpl.colormaps[colors](share)) for share in np.linspace(0, 1, 6))
            scales_.append((name, steps, f"{top:.1f} m" if top >= 1 else f"{top:.2f} m"))
    return scales_


def marked(caption: str, references: Sequence[str]) -> str:
    """The caption as markup with the words underlined that no reference uses."""
    vocabulary = {word for text in references for word in _words(text)}
    parts = []
    for word in caption.split():
        stems = _words(word)
        unknown = bool(vocabulary) and bool(stems) and not set(stems) <= vocabulary
        parts.append(f"<u>{html.escape(word)}</u>" if unknown else html.escape(word))
    return " ".join(parts)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def _panels(picture: GalleryImage, shown: GalleryRow, farthest: float, worst: float) -> list[Any]:
    panels = []
    if shown.boxes is not None:
        panels.append(_with_boxes(picture, shown))
    if shown.masks is not None:
        panels.append(_with_masks(picture, shown))
    if shown.depth is not None:
        panels.append(_map(np.where(shown.depth > 0, shown.depth, np.nan), farthest, DEPTH, _size(picture)))
        truth = picture.truth.depth
        if truth is not None and shown is not picture.truth:
            panels.append(_map(_error(shown.depth, truth), worst, ERROR, _size(picture)))
    return panels or [_enlarged(picture)]


def _size(picture: GalleryImage) -> tuple[int, int]:
    """Width and height of a panel."""
    height, width = picture.image.shape[:2]
    scale = TILE / max(height, width)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _enlarged(picture: GalleryImage) -> Any:
    from PIL import Image

    return Image.fromarray(picture.image).convert("RGB").resize(_size(picture), Image.Resampling.BICUBIC)


def _with_boxes(picture: GalleryImage, shown: GalleryRow) -> Any:
    from PIL import ImageDraw

    image = _enlarged(picture)
    draw, scale = ImageDraw.Draw(image), image.width / picture.image.shape[1]
    assert shown.boxes is not None  # noqa: S101 - asked by the caller
    written: list[tuple[float, float, float, float]] = []
    for box, number, name in zip(shown.boxes, shown.classes, shown.names, strict=True):
        x0, y0, x1, y1 = (float(value) * scale for value in box)
        color = CLASSES[number % len(CLASSES)]
        draw.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=color, width=2)
        written.append(_place_name((x0, y0, x1, y1), draw.textlength(name) + 3, image.size, written))
        left, top, *_ = written[-1]
        draw.rectangle(written[-1], fill=color)
        draw.text((left + 2, top), name, fill="white" if sum(color) < 420 else "black")
    for pose in () if shown.joints is None else shown.joints:
        _pose(draw, pose, picture.limbs, scale)
    return image


def _place_name(
    box: tuple[float, float, float, float], wide: float, size: tuple[int, int], taken: Sequence[Any]
) -> tuple[float, float, float, float]:
    """Place a name within the image, at the corner of its box where other names cover it least."""
    x0, y0, x1, y1 = box
    best, least = (0.0, 0.0, wide, NAME), float("inf")
    for x, y in ((x0, y0 - NAME), (x0, y1), (x1 - wide, y0 - NAME), (x1 - wide, y1), (x0, y0), (x0, y1 - NAME)):
        left, top = max(0.0, min(x, size[0] - wide)), max(0.0, min(y, size[1] - NAME - 1))
        place = (left, top, left + wide, top + NAME)
        covered = sum(
            max(0.0, min(place[2], other[2]) - max(place[0], other[0]))
            * max(0.0, min(place[3], other[3]) - max(place[1], other[1]))
            for other in taken
        )
        if covered < least:
            best, least = place, covered
    return best


def _pose(draw: Any, pose: NDArray[np.float64], limbs: Sequence[tuple[int, int]], scale: float) -> None:
    seen = [(float(x + 0.5) * scale, float(y + 0.5) * scale) if visible >= 0.5 else None for x, y, visible in pose]
    for start, end in limbs:
        if seen[start] is not None and seen[end] is not None:
            draw.line((seen[start], seen[end]), fill=(20, 20, 20), width=4)
            draw.line((seen[start], seen[end]), fill=(255, 255, 255), width=2)
    for joint in seen:
        if joint is not None:
            draw.circle(joint, 2, fill=(213, 94, 0), outline=(20, 20, 20))


def _with_masks(picture: GalleryImage, shown: GalleryRow) -> Any:
    from PIL import Image

    gray = picture.image.astype(np.float64).mean(axis=2, keepdims=True)
    canvas = np.repeat(gray * 0.6 + 80, 3, axis=2)  # (height, width, 3)
    for mask, number in zip(shown.masks or (), shown.classes, strict=True):
        canvas[mask] = 0.4 * canvas[mask] + 0.6 * np.array(CLASSES[number % len(CLASSES)])
        canvas[_outline(mask)] = CLASSES[number % len(CLASSES)]
    pixels = canvas.clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize(_size(picture), Image.Resampling.BICUBIC)


def _outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask (height, width) that touch its outside."""
    inner = np.pad(mask, 1)
    inside = inner[:-2, 1:-1] & inner[2:, 1:-1] & inner[1:-1, :-2] & inner[1:-1, 2:]
    edge: NDArray[np.bool_] = mask & ~inside
    return edge


def _scales(picture: GalleryImage) -> tuple[float, float]:
    """Largest depth and largest error (0.98 quantile) of the maps of a picture, meters."""
    maps = [shown.depth for shown in (picture.truth, *picture.shown) if shown.depth is not None]
    farthest = max((float(depth.max()) for depth in maps), default=1.0)
    truth = picture.truth.depth
    errors = [] if truth is None else [_error(s.depth, truth) for s in picture.shown if s.depth is not None]
    worst = max((float(np.nanquantile(error, 0.98)) for error in errors), default=1.0)
    return farthest or 1.0, worst or 1.0


def _error(depth: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """(rows, columns) absolute error in meters, NaN where the ground truth is unknown."""
    if depth.shape != truth.shape:
        raise ValueError(f"depth map of {depth.shape}, ground truth of {truth.shape}; give both in one size")
    error: NDArray[np.float64] = np.where(truth > 0, np.abs(depth - truth), np.nan)
    return error


def _map(values: NDArray[np.float64], top: float, colors: str, size: tuple[int, int]) -> Any:
    """A color map of values from 0 to ``top``, gray where a value is NaN."""
    import matplotlib as mpl
    from PIL import Image

    pixels = (mpl.colormaps[colors]((values / top).clip(0, 1))[..., :3] * 255).astype(np.uint8)
    pixels[~np.isfinite(values)] = 150
    return Image.fromarray(pixels).resize(size, Image.Resampling.NEAREST)


def _data_url(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", quality=QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _alt(shown: GalleryRow) -> str:
    parts = []
    if shown.boxes is not None:
        objects = "object" if len(shown.boxes) == 1 else "objects"
        parts.append(f"{len(shown.boxes)} {objects}: {', '.join(shown.names) or 'none'}")
    if shown.masks is not None:
        parts.append(f"{len(shown.masks)} {'mask' if len(shown.masks) == 1 else 'masks'}")
    if shown.joints is not None:
        parts.append(f"{len(shown.joints)} {'pose' if len(shown.joints) == 1 else 'poses'}")
    if shown.depth is not None:
        parts.append("depth map")
    if shown.caption:
        parts.append(f"caption: {shown.caption}")
    return f"{shown.label}: {'; '.join(parts) or 'the image'}. {shown.scores}".strip()
