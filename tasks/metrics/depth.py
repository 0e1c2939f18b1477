"""Depth errors as NYUv2 is scored: Eigen's crop, 1e-3 < truth < 10 m, nine numbers an image, their mean over images."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tasks.base import Json, MetricParts
from tasks.errors import TaskError
from tasks.metrics.tables import MeanTable
from tasks.targets import Targets

NAMES = ("delta1", "delta2", "delta3", "abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
LOWER = frozenset(name for name in NAMES if not name.startswith("delta"))  # errors: less is better
NEAREST, FARTHEST = 1e-3, 10.0  # meters, both outside the valid range
CROPPED_SIZE = (480, 640)
PICTURE_SIDE, PICTURE_NEAREST, PICTURE_FARTHEST = 64, 0.1, 20.0  # cells; meters
EIGEN_CROP = (slice(45, 471), slice(41, 601))  # rows and columns of a 480 x 640 map


class DepthMetric:
    """Nine depth numbers, each the mean over images of the image's own value.

    ``delta1`` to ``delta3``, ``abs_rel``, ``rmse_log`` (natural logarithm), ``log10`` and ``silog`` (not times 100)
    have no unit; ``rmse`` and ``sq_rel`` are in meters. Eigen's crop is taken of 480 x 640 maps only. An image without
    a valid pixel is counted but left out of the means.

    Args:
        parts: nothing of them is needed; the truth comes with each image.
    """

    def __init__(self, *, parts: MetricParts) -> None:
        del parts
        self._notes: dict[str, str] = {}

    def observe(self, image_id: int, prediction: Tensor, targets: Targets) -> dict[str, Json]:
        """Nine numbers of one image (None without valid pixel), its valid ``pixels``, whether it was ``cropped``, and a
        small ``picture`` of the predicted map to look at.

        Args:
            image_id: for messages.
            prediction: (height, width) meters.
            targets: with ``depth`` (height, width) meters, 0 where unknown.

        Raises:
            TaskError: if the image has no depth, or one of another size.
        """
        if targets.depth is None:
            raise TaskError(f"image {image_id} has no depth annotation; score depth on a data set that gives it")
        if prediction.shape != targets.depth.shape:
            raise TaskError(
                f"image {image_id}: predicted depth is {tuple(prediction.shape)}, the truth "
                f"{tuple(targets.depth.shape)}; interpret the tokens at the size of the original image"
            )
        meters = _array(prediction)  # (height, width)
        truth = _array(targets.depth.float())  # as the bounds are meant: a truth of float32(1e-3) is not valid
        valid = (truth > NEAREST) & (truth < FARTHEST)
        cropped = truth.shape == CROPPED_SIZE
        if cropped:
            inside = np.zeros_like(valid)
            inside[EIGEN_CROP] = True
            valid &= inside
        pixels = int(np.count_nonzero(valid))
        errors: Mapping[str, float | None] = _errors(meters[valid], truth[valid]) if pixels else dict.fromkeys(NAMES)
        return {**errors, "pixels": pixels, "cropped": cropped, "picture": _picture(meters)}

    def summarize(self, records: Mapping[int, dict[str, Any]]) -> dict[str, float | None]:
        """Means over the images that have valid pixels; None where none has."""
        scored = [records[image_id] for image_id in sorted(records) if records[image_id]["pixels"]]
        self._notes = _notes(list(records.values()), len(scored))
        if not scored:
            return dict.fromkeys(NAMES)
        return {name: sum(record[name] for record in scored) / len(scored) for name in NAMES}

    def tables(self, records: Mapping[int, dict[str, Any]]) -> MeanTable:
        """The nine numbers of each image; not a number without valid pixel."""
        images = sorted(records)
        columns = {name: [records[i][name] if records[i]["pixels"] else float("nan") for i in images] for name in NAMES}
        return MeanTable(images, columns, LOWER)

    def notes(self) -> dict[str, str]:
        """How many images of the last summary were not cropped, and how many had no valid pixel."""
        return dict(self._notes)


def _picture(meters: NDArray[np.float32]) -> dict[str, Json]:
    """A depth map (height, width) as a small picture: means of cells, in 255 steps of equal ratio (2.1 % each).

    Returns:
        ``rows``, ``columns``, ``nearest`` and ``farthest`` in meters, and ``levels``: one byte a cell, row by row,
        compressed and in base 64; byte b stands for nearest * (farthest / nearest) ** (b / 255).
    """
    rows, columns = picture_size(*meters.shape)
    if not np.isfinite(meters).all():
        meters = np.where(np.isfinite(meters), meters, np.float32(PICTURE_FARTHEST))
    small = np.clip(_means(meters, rows, columns), PICTURE_NEAREST, PICTURE_FARTHEST)
    share = np.log(small / PICTURE_NEAREST) / math.log(PICTURE_FARTHEST / PICTURE_NEAREST)
    levels = (share * 255).round().astype(np.uint8).tobytes()
    packer = zlib.compressobj(6, zlib.DEFLATED, 12, 5)  # a quarter of the memory, whose first touch took longest
    return {
        "rows": rows,
        "columns": columns,
        "nearest": PICTURE_NEAREST,
        "farthest": PICTURE_FARTHEST,
        "levels": base64.b64encode(packer.compress(levels) + packer.flush()).decode(),
    }


def _means(meters: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Means (rows, columns) of cells as even as they can be."""
    height, width = meters.shape
    down, across = height // rows, width // columns
    if height % rows or width % columns:
        whole = torch.from_numpy(meters)[None, None]
        return np.asarray(torch.nn.functional.adaptive_avg_pool2d(whole, (rows, columns))[0, 0])
    strips = reduce(np.add, [meters[row::down] for row in range(down)])  # a mean over the short axes takes long
    return np.asarray(reduce(np.add, [strips[:, column::across] for column in range(across)]) / (down * across))


def picture_size(height: int, width: int) -> tuple[int, int]:
    """Rows and columns of the small picture of a map."""
    scale = min(1.0, PICTURE_SIDE / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def depth_errors(prediction: Tensor, truth: Tensor, valid: Tensor) -> dict[str, float]:
    """Nine depth numbers over the valid pixels.

    Args:
        prediction: meters, any shape; infinite counts as 10 m, not a number and anything nearer as 1 mm.
        truth: meters, same shape, positive where valid.
        valid: bool, same shape, at least one True.

    Returns:
        Values by the names in ``NAMES``.
    """
    chosen = _array(valid)
    return _errors(_array(prediction)[chosen], _array(truth)[chosen])


def _errors(prediction: NDArray[Any], truth: NDArray[Any]) -> dict[str, float]:
    """Nine depth numbers of values (pixels,). They are NumPy's: scoring stands between timed images, and torch takes
    several times as long for it on one thread."""
    p, g = prediction.astype(np.float64), truth.astype(np.float64)
    if not np.isfinite(p).all():
        p = np.nan_to_num(p, nan=NEAREST, posinf=FARTHEST, neginf=FARTHEST)
    np.maximum(p, NEAREST, out=p)
    count, quotient, difference = len(p), p / g, p - g
    relative, ratio = difference / g, np.maximum(quotient, np.divide(g, p, out=p), out=p)  # fresh memory takes time too
    logs = np.log(quotient, out=quotient)
    log_square = float(logs @ logs) / count
    return {
        "delta1": int(np.count_nonzero(ratio < 1.25)) / count,
        "delta2": int(np.count_nonzero(ratio < 1.25**2)) / count,
        "delta3": int(np.count_nonzero(ratio < 1.25**3)) / count,
        "sq_rel": float(difference @ relative) / count,
        "abs_rel": float(np.abs(relative, out=relative).mean()),
        "rmse": math.sqrt(float(difference @ difference) / count),
        "rmse_log": math.sqrt(log_square),
        "silog": math.sqrt(max(0.0, log_square - 0.5 * float(logs.mean()) ** 2)),
        "log10": float(np.abs(logs, out=logs).mean()) / math.log(10),
    }


def _array(values: Tensor) -> NDArray[Any]:
    """On the host; NumPy has no bfloat16."""
    host = values.detach().cpu()
    return np.asarray(host.float() if host.dtype == torch.bfloat16 else host)


def _notes(records: list[dict[str, Any]], scored: int) -> dict[str, str]:
    notes = {}
    whole = sum(not record["cropped"] for record in records)
    if whole:
        notes["crop"] = f"{whole} of {len(records)} images are not 480 x 640 and were scored without Eigen's crop"
    if scored < len(records):
        notes["excluded"] = f"{len(records) - scored} of {len(records)} images were left out: no valid depth pixel"
    return notes
