"""Between an instance mask at image size and the small mask inside its box: crop before encoding, paste after decoding.

Cropping polygons and pasting follow detectron2, as MAD does (section 4.1): the COCO API rasterizes the shifted and
scaled polygons; pasting is bilinear sampling at pixel centers with zeros outside of the mask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor

from tasks.errors import TaskError
from tasks.formats.binning import overlaps
from tasks.polygons import near_image
from tasks.targets import Segmentation

THRESHOLD = 0.5
SMALLEST_SIDE = 0.1  # pixels; detectron2's guard against boxes without extent
SHORTEST_POLYGON = 6  # numbers; fewer enclose no area, and the COCO API would read four as a box
MOST_PIXELS = 1 << 28  # of an image; Pillow opens none that is larger
CANVAS_BYTES = 1 << 30  # largest canvas that is pasted at once on an accelerator

Bits = NDArray[np.bool_]


def crop(segmentation: Segmentation, box: Tensor, side: int) -> Tensor:
    """(side, side) bool mask of one object inside its box.

    Polygons are rasterized at the small size. A run-length code is averaged over each cell, and a cell is foreground if
    at least half of its area is covered.

    Args:
        segmentation: COCO polygons or run-length code in pixels of the same image as ``box``.
        box: (4,) float, x0 y0 x1 y1 in pixels.
        side: M, cells along each side.
    """
    if isinstance(segmentation, Mapping):
        return _crop_code(segmentation, box, side)
    return _crop_polygons(segmentation, box, side)


def _crop_polygons(polygons: Sequence[Sequence[float]], box: Tensor, side: int) -> Tensor:
    corner = box.cpu().numpy()
    scale = side / np.maximum(corner[2:] - corner[:2], SMALLEST_SIDE)
    points = (np.asarray(polygon, dtype=np.float64).reshape(-1, 2) for polygon in polygons)
    moved = [((xy - corner[:2]) * scale).reshape(-1).tolist() for xy in points]
    return torch.from_numpy(decode_mask(moved, (side, side))).bool()


def _crop_code(code: dict[str, Any], box: Tensor, side: int) -> Tensor:
    height, width = code["size"]
    whole = torch.from_numpy(decode_mask(code, (height, width))).double()  # (height, width)
    left, top, right, bottom = box.double().cpu()[:, None]
    rows = overlaps(top, torch.maximum(bottom, top + SMALLEST_SIDE), side, height)[0]  # (M, height)
    columns = overlaps(left, torch.maximum(right, left + SMALLEST_SIDE), side, width)[0]  # (M, width)
    # A cell that is exactly half covered must not depend on how the sum was rounded.
    return rows @ whole @ columns.T >= THRESHOLD - 1e-9


def decode_mask(segmentation: Segmentation, size: Sequence[int]) -> NDArray[np.uint8]:
    """(height, width) mask of one object; empty where no polygon has three points.

    Args:
        segmentation: COCO polygons, or a run-length code with counts as list, text or bytes.
        size: height and width of the image in pixels.

    Raises:
        TaskError: if a code does not fit its size, or a coordinate is no finite number.
    """
    if isinstance(segmentation, Mapping):
        _check_code(segmentation)
        plain = isinstance(segmentation["counts"], list)
        code = coco_mask.frPyObjects(dict(segmentation), *segmentation["size"]) if plain else segmentation
    else:
        polygons = [p for p in near_image(segmentation, size) if len(p) >= SHORTEST_POLYGON]
        if not polygons:
            return np.zeros(size, dtype=np.uint8)
        code = coco_mask.merge(coco_mask.frPyObjects(polygons, *size))
    mask: NDArray[np.uint8] = coco_mask.decode(code)
    return mask


def _check_code(code: Mapping[str, Any]) -> None:
    """Raise TaskError for a run-length code that the COCO API would take too much memory for."""
    height, width = code["size"]
    if not (height > 0 and width > 0 and height * width <= MOST_PIXELS):
        raise TaskError(f"a run-length code has size {[height, width]}; give the height and width of its image")
    counts = code["counts"]
    if isinstance(counts, list) and (min(counts, default=0) < 0 or sum(counts) != height * width):
        raise TaskError(f"run-length counts cover {sum(counts)} pixels of {height * width}; make the code again")


def raster(segmentation: Segmentation, size: tuple[int, int], canvas: tuple[int, int]) -> Tensor:
    """(rows, columns) float32 mask of one object on a canvas that holds its image in the top left corner.

    Args:
        segmentation: COCO polygons or run-length code.
        size: height and width of the image in pixels.
        canvas: rows and columns, no fewer than the image's.
    """
    mask = torch.from_numpy(decode_mask(segmentation, size)).float()
    return torch.nn.functional.pad(mask, (0, canvas[1] - size[1], 0, canvas[0] - size[0]))


def align(mask: Tensor, box: Tensor, side: int) -> Tensor:
    """(side, side) bool: the part of a mask (rows, columns) inside a box (4,), at least half covered (AiT's release).

    Each cell is a mean of bilinear samples, as many as it has pixels (RoIAlign, He et al. 2017).
    """
    from torchvision.ops import roi_align  # seconds to import, and only AiT's masks need it

    boxes = torch.cat([box.new_zeros(1), box])[None].float()
    shares = roi_align(mask[None, None].float(), boxes, (side, side), sampling_ratio=-1, aligned=True)
    return torch.as_tensor(shares[0, 0] >= THRESHOLD)


def paste(probabilities: Tensor, boxes: Tensor, window: tuple[int, int, int, int]) -> Tensor:
    """Foreground of masks pasted into one window of the image.

    Args:
        probabilities: (N, M, M) float foreground probabilities inside the boxes.
        boxes: (N, 4) float, x0 y0 x1 y1 in pixels of the image, not empty.
        window: x0 y0 x1 y1 in whole pixels; (0, 0, width, height) is the whole image.

    Returns:
        (N, y1 - y0, x1 - x0) bool.
    """
    left, top, right, bottom = window
    x0, y0, x1, y1 = boxes.float()[:, :, None].unbind(1)  # (N, 1) each
    y = torch.arange(top, bottom, device=boxes.device, dtype=torch.float32) + 0.5
    x = torch.arange(left, right, device=boxes.device, dtype=torch.float32) + 0.5
    y = (y - y0) / (y1 - y0) * 2 - 1  # (N, window height)
    x = (x - x0) / (x1 - x0) * 2 - 1  # (N, window width)
    grid = torch.stack(
        [x[:, None, :].expand(-1, y.shape[1], -1), y[:, :, None].expand(-1, -1, x.shape[1])], dim=3
    )  # (N, window height, window width, 2)
    sampled = torch.nn.functional.grid_sample(probabilities.float()[:, None], grid, align_corners=False)
    return sampled[:, 0] >= THRESHOLD


def paste_codes(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[dict[str, Any]]:
    """Compressed COCO run-length codes, at image size, of masks pasted into the image.

    Args:
        probabilities: (N, M, M) float foreground probabilities inside the boxes.
        boxes: (N, 4) float, x0 y0 x1 y1 in pixels, not empty; what lies outside of the image is cut off.
        size: height and width of the image in pixels.
    """
    boxes = boxes.to(probabilities.device)
    windows = _windows(probabilities, boxes, size)
    if probabilities.device.type == "cpu":
        parts = (
            paste(probabilities[i : i + 1], boxes[i : i + 1], window)[0].numpy() for i, window in enumerate(windows)
        )
    else:  # one launch for many masks costs less there than the pixels outside of the boxes
        parts = (
            whole[window[1] : window[3], window[0] : window[2]]
            for whole, window in zip(_canvases(probabilities, boxes, size), windows, strict=True)
        )
    return [encode_window(part, window, size) for part, window in zip(parts, windows, strict=True)]


def _windows(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[tuple[int, int, int, int]]:
    """The pixels in which a pasted mask can reach one half: its box and, against rounding, one pixel around it.

    What codecs make of codes may be above 1, and then one half lies further out: values fall to 0 within a cell.
    """
    height, width = size
    far = boxes.new_tensor([width, height])
    cells = (boxes[:, 2:] - boxes[:, :2]) / probabilities.shape[-1]  # (N, 2)
    peaks = probabilities.float().flatten(1).amax(dim=1).clamp(min=1)[:, None].to(boxes)  # (N, 1)
    reach = 1 + cells * (0.5 - 0.5 / peaks)
    low = torch.minimum((boxes[:, :2] - reach).floor().clamp(min=0), far)
    high = torch.maximum(torch.minimum((boxes[:, 2:] + reach).ceil(), far), low)  # nothing of a box outside
    return [(x0, y0, x1, y1) for x0, y0, x1, y1 in torch.cat([low, high], dim=1).long().tolist()]


def _canvases(probabilities: Tensor, boxes: Tensor, size: tuple[int, int]) -> list[Bits]:
    height, width = size
    # A pixel takes two float32 grid coordinates and one sample.
    chunk = max(1, CANVAS_BYTES // (12 * height * width))
    canvases: list[Bits] = []
    for start in range(0, len(boxes), chunk):
        part = slice(start, start + chunk)
        canvases.extend(paste(probabilities[part], boxes[part], (0, 0, width, height)).cpu().numpy())
    return canvases


def encode_window(part: Bits, window: tuple[int, int, int, int], size: tuple[int, int]) -> dict[str, Any]:
    """Compressed run-length code of an image that is empty outside of one window.

    The same code as the COCO API makes from the whole image, at the cost of the window: runs go down the columns, and a
    run that reaches the bottom of the image goes on at the top of the next column.

    Args:
        part: (window height, window width) bool.
        window: x0 y0 x1 y1 in whole pixels.
        size: height and width of the image in pixels.
    """
    height, width = size
    rows, columns = part.shape
    padded = np.zeros((columns, rows + 2), dtype=np.int8)
    padded[:, 1:-1] = part.T
    column, row = np.nonzero(np.diff(padded, axis=1))  # where a run starts or has ended, column after column
    changes = (window[0] + column) * height + window[1] + row
    joined = np.flatnonzero(changes[1:-1:2] == changes[2::2])  # an end that is the start of the next run
    changes = np.delete(changes, np.concatenate([2 * joined + 1, 2 * joined + 2]))
    counts = np.diff(changes, prepend=0, append=height * width)
    if len(changes) and changes[-1] == height * width:
        counts = counts[:-1]
    code = coco_mask.frPyObjects({"size": [height, width], "counts": counts.tolist()}, height, width)
    return {"size": [height, width], "counts": code["counts"].decode("ascii")}
