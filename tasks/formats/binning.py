"""Numbers as tokens: coordinates in equal bins of the image (MAD section 3.1), depths in bins of equal ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.errors import TaskError
from tasks.formats.vocabulary import IdRange

READINGS = ("centre", "edge")

# A value read at the lower edge of its bin lies on the border to the bin below, and pixels = value * size rounds to
# either side of it. A thousandth of a bin is far above float32 rounding and far below anything that a bin can tell
# apart.
NUDGE = 1e-3


@dataclass(frozen=True)
class Coordinates:
    """Pixel coordinates as tokens of one range.

    The bin of x is floor(x / size * bins), clamped to 0..bins: with 500 bins there are 501 tokens, the last one for x =
    size. A token is read at the center of its bin, (bin + 0.5) / bins but at most 1, or as MAD's release does at its
    lower edge, bin / bins, which moves everything up and left by half a bin.

    Args:
        ids: the range of the coordinate tokens, ``bins + 1`` ids.
        bins: intervals that [0, 1] is cut into.
        reading: ``centre`` or ``edge``.

    Sizes of images are height and width in pixels.

    Raises:
        TaskError: for another reading.
    """

    ids: IdRange
    bins: int
    reading: str = "centre"

    def __post_init__(self) -> None:
        if self.reading not in READINGS:
            raise TaskError(f"coordinates cannot be read at {self.reading!r}; choose one of {', '.join(READINGS)}")

    def tokens(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """Tokens of pixel coordinates: (..., 2m) float, x and y by turns, to (..., 2m) int64."""
        return self.ids.start + self._bins(points / _scale(points, size) * self.bins)

    def pixels(self, tokens: Tensor, size: tuple[int, int]) -> Tensor:
        """Pixel coordinates of tokens: (..., 2m) int64, x and y by turns, to (..., 2m) float32."""
        normalized = self._read(tokens - self.ids.start)
        return normalized * _scale(normalized, size)

    def again(self, points: Tensor, size: tuple[int, int]) -> Tensor:
        """The tokens that coordinates were read from by ``pixels``: (..., 2m) float to (..., 2m) int64.

        At the edge reading MAD's release floors ``bin / bins * bins`` in float32, which moves a few bins down by one
        (251 and 253 of 500); so does this.
        """
        bins = self._bins(points / _scale(points, size) * self.bins + NUDGE)
        if self.reading == "edge":
            bins = self._bins(self._read(bins) * self.bins)
        return self.ids.start + bins

    def _bins(self, scaled: Tensor) -> Tensor:
        return scaled.floor().clamp(0, self.bins).long()

    def _read(self, bins: Tensor) -> Tensor:
        offset = 0.5 if self.reading == "centre" else 0.0
        return ((bins + offset) / self.bins).clamp(max=1.0)


@dataclass(frozen=True)
class CanvasCoordinates:
    """Coordinates in steps of a square canvas into which images are fitted with their aspect kept (AiT's release).

    The token of x is round(x / side * bins), clamped to 0..bins, and is read as bin / bins * side.

    Args:
        ids: the range of the coordinate tokens, ``bins + 1`` ids.
        bins: steps that the canvas is cut into.
        side: pixels of the canvas.
    """

    ids: IdRange
    bins: int
    side: int

    def tokens(self, points: Tensor) -> Tensor:
        """Tokens of pixels of the canvas, int64 of the same shape."""
        return self.ids.start + (points / self.side * self.bins).round().clamp(0, self.bins).long()

    def pixels(self, tokens: Tensor) -> Tensor:
        """Pixels of the canvas of tokens, float32 of the same shape."""
        return (tokens - self.ids.start) * self.side / self.bins

    def scale(self, size: tuple[int, int]) -> Tensor:
        """(2,) float32: pixels of the canvas to a pixel of an image of that height and width, along x and along y.

        Sides are whole pixels of the canvas, so that the two differ a little.
        """
        height, width = (max(int(side * self.side / max(size) + 0.5), 1) for side in size)
        return torch.tensor([width / size[1], height / size[0]], dtype=torch.float32)


@dataclass(frozen=True)
class LogBins:
    """Lengths in bins of equal ratio between ``low`` and ``high``: the relative error is the same near and far.

    Args:
        bins: number of bins.
        low: meters, lower edge of the first bin; anything nearer falls into it.
        high: meters, upper edge of the last bin; anything farther falls into it.
        reading: ``centre`` reads a bin at its geometric middle, ``edge`` at its lower edge.
    """

    bins: int
    low: float
    high: float
    reading: str = "centre"

    def __post_init__(self) -> None:
        if self.reading not in READINGS:
            raise TaskError(f"depths cannot be read at {self.reading!r}; choose one of {', '.join(READINGS)}")

    def index(self, meters: Tensor) -> Tensor:
        """Bins of depths, int64 of the same shape."""
        ratio = (meters.clamp(self.low, self.high) / self.low).log() / math.log(self.high / self.low)
        return (ratio * self.bins).floor().clamp(0, self.bins - 1).long()

    def meters(self, index: Tensor) -> Tensor:
        """Depths of bins in meters, float32 of the same shape."""
        offset = 0.5 if self.reading == "centre" else 0.0
        return self.low * torch.exp((index + offset) / self.bins * math.log(self.high / self.low))


def overlaps(start: Tensor, stop: Tensor, cells: int, pixels: int) -> Tensor:
    """Share of each of ``cells`` equal cells of [start, stop) that each of ``pixels`` unit pixels covers.

    ``overlaps(top, bottom, ...) @ image @ overlaps(left, right, ...).T`` is the exact mean over every cell of the
    image, zero outside of it.

    Args:
        start: (N,) float, first coordinate of each interval in pixels.
        stop: (N,) float, last coordinate, above ``start``.

    Returns:
        (N, cells, pixels) of the dtype of ``start``.
    """
    step = (stop - start)[:, None] / cells  # (N, 1)
    index = torch.arange(cells, device=start.device, dtype=start.dtype)
    low = (start[:, None] + index * step)[:, :, None]  # (N, cells, 1)
    high = (start[:, None] + (index + 1) * step)[:, :, None]
    pixel = torch.arange(pixels, device=start.device, dtype=start.dtype)
    covered = (torch.minimum(high, pixel + 1) - torch.maximum(low, pixel)).clamp(min=0)
    return covered / step[:, :, None]


def _scale(points: Tensor, size: tuple[int, int]) -> Tensor:
    height, width = size
    return points.new_tensor([width, height]).repeat(points.shape[-1] // 2)
